from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from fewshot_sep.objectives import spread
from fewshot_sep.unet import ConcatUNet, Film, QueryConditioning, QueryEncoder, QueryUNet, SteeredBlock
from tests.fewshot_sep.tensors import BANDS, FEATURES, band_split, conditioning, image, query_unet

both = pytest.mark.parametrize("build", [query_unet, band_split])


def test_thesis_network_is_a_five_level_unet() -> None:
    def convolutions(inputs: int, outputs: int) -> int:  # two 3x3 with bias, each with scale and shift
        return 9 * inputs * outputs + 9 * outputs * outputs + 2 * 3 * outputs

    network = ConcatUNet()
    widths = [64, 128, 256, 512, 1024]
    down = sum(convolutions(a, b) for a, b in zip([2, *widths], widths, strict=False))
    up = sum(4 * 2 * a * a + a + convolutions(2 * a, a) for a in widths[:-1])
    assert sum(parameter.numel() for parameter in network.parameters()) == down + up + 64 + 1
    with torch.inference_mode():
        levels = network.encode(torch.rand(1, 2, 256, 256))
    assert [level.shape[1:] for level in levels] == [(width, 16384 // width, 16384 // width) for width in widths]


def test_concat_unet_stays_in_zero_to_one_and_depends_on_the_query() -> None:
    torch.manual_seed(0)
    network = ConcatUNet(2).eval()
    network.output.weight.data = torch.tensor([100.0, -100.0])[None, :, None, None]
    mixture, query = torch.rand(2, 2, 1, 32, 48)
    image = network(mixture, query)
    assert image.shape == mixture.shape
    assert image.min() == 0 and image.max() == 1
    assert not torch.allclose(image, network(mixture, 1 - query))


@both
@pytest.mark.parametrize("frames", [1, 2, 7, 8, 9, 31])
@pytest.mark.parametrize(("channels", "extra"), [(1, 0), (2, 0), (2, 3)])
def test_mask_has_the_mixtures_shape(build: Callable[..., nn.Module], frames: int, channels: int, extra: int) -> None:
    with torch.inference_mode():
        logits = build(channels, extra)(image(2, channels, frames), conditioning(2), image(2, extra, frames))
    assert logits.shape == (2, channels, BANDS, frames)
    assert logits.isfinite().all()


def test_bands_must_halve_evenly() -> None:
    with pytest.raises(ValueError, match="halved"):
        QueryUNet(1, 36, (4, 4, 4), FEATURES)


@both
def test_examples_of_a_batch_do_not_affect_each_other(build: Callable[..., nn.Module]) -> None:
    network, inputs = build(extra_channels=2), (image(3, 1), conditioning(3), image(3, 2))

    def only(number: int) -> Tensor:
        mixture, query, extra = inputs
        one = slice(number, number + 1)
        return network(mixture[one], QueryConditioning(*(part[one] for part in query)), extra[one])

    with torch.inference_mode():
        torch.testing.assert_close(network(*inputs), torch.cat([only(n) for n in range(3)]), atol=1e-4, rtol=1e-4)


def test_profile_and_extra_channels_reach_the_mask() -> None:
    network, mixture, query, extra = query_unet(extra_channels=2), image(1, 1), conditioning(), image(1, 2)
    with torch.inference_mode():
        found = network(mixture, query, extra)
        assert not torch.allclose(found, network(mixture, query._replace(profile=query.profile + 1), extra))
        assert not torch.allclose(found, network(mixture, query, extra + 1))


def test_steering_happens_in_every_block() -> None:
    """With all films but one set to zero, the embedding still changes the mask; with none left it does not."""
    network, mixture, extra = query_unet(), image(1, 1), image(1, 0)
    blocks = [module for module in network.modules() if isinstance(module, SteeredBlock)]
    assert len(blocks) == 2 * network.levels
    one = conditioning()
    other = one._replace(embedding=-one.embedding)
    films = [block.film for block in blocks]
    weights = [torch.randn_like(film.scale_and_shift.weight) for film in films]

    def change() -> float:
        with torch.inference_mode():
            return (network(mixture, one, extra) - network(mixture, other, extra)).abs().max().item()

    for film in films:
        nn.init.zeros_(film.scale_and_shift.weight)
    assert change() == 0
    for film, weight in zip(films, weights, strict=True):
        film.scale_and_shift.weight.data.copy_(weight)
        assert change() > 1e-4
        nn.init.zeros_(film.scale_and_shift.weight)


def test_film_scales_and_shifts_each_channel() -> None:
    film, x, embedding = Film(3, 2), torch.randn(4, 2, 5, 6), torch.randn(4, 3)
    both = embedding @ film.scale_and_shift.weight.T + film.scale_and_shift.bias
    expected = x * (1 + both[:, :2, None, None]) + both[:, 2:, None, None]
    torch.testing.assert_close(film(x, embedding), expected)


@pytest.mark.parametrize("frames", [1, 2, 15, 16, 17, 100])
def test_encoder_takes_a_query_of_any_length(frames: int) -> None:
    encoder = QueryEncoder(BANDS, FEATURES, widths=(2, 2, 4, 4)).eval()
    with torch.inference_mode():
        embedding = encoder(torch.randn(3, 1, BANDS, frames))
    assert embedding.shape == (3, FEATURES)
    assert embedding.isfinite().all()


def test_the_query_encoder_cannot_die() -> None:
    torch.manual_seed(0)
    encoder = QueryEncoder(64, 16)
    with torch.no_grad():
        encoder.summary[0].weight.sub_(2.0)  # what goes into the rectifiers drifts far below zero
        encoder.head[0].bias.sub_(20.0)
    queries = torch.rand(6, 1, 64, 40) * torch.linspace(0.2, 2, 6)[:, None, None, None]
    encoder(queries)  # running statistics
    for _ in range(50):
        embedding = encoder(queries)
    assert spread(embedding) > 0.1
    assert spread(encoder.eval()(queries)) > 0.1
