from __future__ import annotations

import pytest
import torch
from torch import nn

from fewshot_sep import systems
from fewshot_sep.systems import spread
from fewshot_sep.unet import ConcatUNet, Film, QueryConditioning, QueryEncoder, QueryUNet, SteeredBlock

BANDS, FEATURES = 32, 6


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def small(channels: int = 1, widths: tuple[int, ...] = (4, 6, 8)) -> QueryUNet:
    torch.manual_seed(0)
    return QueryUNet(channels, BANDS, widths, FEATURES, fine=4).eval()


def conditioning(batch: int = 1, seed: int = 0) -> QueryConditioning:
    random = torch.Generator().manual_seed(seed)
    return QueryConditioning(
        torch.randn(batch, FEATURES, generator=random), torch.randn(batch, 2, BANDS, generator=random)
    )


@pytest.fixture(scope="module")
def thesis() -> systems.System:
    torch.manual_seed(0)
    return systems.build("illes2020").eval()


def test_thesis_network_has_the_size_of_a_five_level_unet(thesis: systems.System) -> None:
    def convolutions(inputs: int, outputs: int) -> int:  # two 3x3 with bias, each with scale and shift
        return 9 * inputs * outputs + 9 * outputs * outputs + 2 * 3 * outputs

    widths = [64, 128, 256, 512, 1024]
    down = sum(convolutions(a, b) for a, b in zip([2, *widths], widths, strict=False))
    up = sum(4 * 2 * a * a + a + convolutions(2 * a, a) for a in widths[:-1])
    assert parameters(thesis) == down + up + 64 + 1 == 31_042_945


def test_thesis_latent_image(thesis: systems.System) -> None:
    with torch.inference_mode():
        levels = thesis.network.encode(torch.rand(1, 2, 256, 256))  # type: ignore[operator, union-attr]
    assert [tuple(level.shape) for level in levels] == [
        (1, 64, 256, 256),
        (1, 128, 128, 128),
        (1, 256, 64, 64),
        (1, 512, 32, 32),
        (1, 1024, 16, 16),
    ]


def test_thesis_image_of_four_beats_is_256_by_256(thesis: systems.System) -> None:
    image, spectrum, peak = thesis.image(torch.randn(2, 1, 18_000))  # type: ignore[operator]
    assert image.shape == spectrum.shape == (2, 1, 256, 256)
    assert peak.shape == (2, 1, 1, 1)


def test_concat_unet_stays_in_zero_to_one() -> None:
    torch.manual_seed(0)
    network = ConcatUNet(2).eval()
    network.output.weight.data = torch.tensor([100.0, -100.0])[None, :, None, None]
    image = network(torch.rand(2, 1, 32, 48), torch.rand(2, 1, 32, 48))
    assert image.shape == (2, 1, 32, 48)
    assert image.min() == 0
    assert image.max() == 1


def test_concat_unet_listens_to_the_query() -> None:
    torch.manual_seed(0)
    network = ConcatUNet(2).eval()
    nn.init.constant_(network.output.bias, 0.5)
    mixture = torch.rand(1, 1, 32, 32)
    first, second = network(mixture, torch.zeros(1, 1, 32, 32)), network(mixture, torch.ones(1, 1, 32, 32))
    assert not torch.allclose(first, second)


def test_shipped_network_is_of_moderate_size() -> None:
    assert 2e6 < parameters(systems.build("steered")) < 8e6


@pytest.mark.parametrize("frames", [1, 2, 7, 8, 9, 31])
@pytest.mark.parametrize("channels", [1, 2])
def test_mask_has_the_mixtures_shape(frames: int, channels: int) -> None:
    with torch.inference_mode():
        logits = small(channels)(torch.randn(2, channels, BANDS, frames), conditioning(2))
    assert logits.shape == (2, channels, BANDS, frames)
    assert logits.isfinite().all()


def test_bands_must_halve_evenly() -> None:
    with pytest.raises(ValueError, match="halved"):
        QueryUNet(1, 36, (4, 4, 4), FEATURES)


def test_examples_of_a_batch_do_not_touch_each_other() -> None:
    network, mixture, asked = small(), torch.randn(3, 1, BANDS, 8), conditioning(3)
    with torch.inference_mode():
        together = network(mixture, asked)
        alone = [network(mixture[i : i + 1], QueryConditioning(*(t[i : i + 1] for t in asked))) for i in range(3)]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-4, rtol=1e-4)


def test_profile_of_the_query_reaches_the_mask() -> None:
    network, mixture, asked = small(), torch.randn(1, 1, BANDS, 8), conditioning()
    with torch.inference_mode():
        assert not torch.allclose(network(mixture, asked), network(mixture, asked._replace(profile=asked.profile + 1)))


def test_steering_happens_in_every_block() -> None:
    """With all films but one silenced, the embedding still changes the mask; with none left it does not."""
    network, mixture = small(), torch.randn(1, 1, BANDS, 8)
    blocks = [module for module in network.modules() if isinstance(module, SteeredBlock)]
    assert len(blocks) == 2 * network.levels
    one = conditioning()
    other = one._replace(embedding=-one.embedding)
    films = [block.film for block in blocks]
    weights = [torch.randn_like(film.scale_and_shift.weight) for film in films]

    def change() -> float:
        with torch.inference_mode():
            return (network(mixture, one) - network(mixture, other)).abs().max().item()

    for film in films:
        nn.init.zeros_(film.scale_and_shift.weight)
    assert change() == 0
    for film, weight in zip(films, weights, strict=True):
        film.scale_and_shift.weight.data.copy_(weight)
        assert change() > 1e-4
        nn.init.zeros_(film.scale_and_shift.weight)


def test_film_scales_and_shifts_each_channel() -> None:
    film, x, embedding = Film(3, 2), torch.randn(4, 2, 5, 6), torch.randn(4, 3)
    weight, bias = film.scale_and_shift.weight, film.scale_and_shift.bias
    both = embedding @ weight.T + bias
    expected = x * (1 + both[:, :2, None, None]) + both[:, 2:, None, None]
    torch.testing.assert_close(film(x, embedding), expected)


@pytest.mark.parametrize("frames", [1, 2, 15, 16, 17, 100])
def test_encoder_takes_a_query_of_any_length(frames: int) -> None:
    encoder = QueryEncoder(BANDS, FEATURES, widths=(2, 2, 4, 4)).eval()
    with torch.inference_mode():
        embedding = encoder(torch.randn(3, 1, BANDS, frames))
    assert embedding.shape == (3, FEATURES)
    assert embedding.isfinite().all()


def test_encoder_knows_high_from_low() -> None:
    torch.manual_seed(0)
    clip = torch.zeros(1, 1, BANDS, 16)
    clip[:, :, :8] = 3
    low, high = QueryEncoder(BANDS, FEATURES)(torch.cat([clip, clip.flip(2)]))
    assert (low - high).abs().max() > 0.01


def test_the_query_encoder_cannot_fall_silent() -> None:
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
