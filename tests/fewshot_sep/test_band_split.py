"""What is its own of the band-split network; see test_unet.py for what both networks share."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from fewshot_sep.band_split import BandSplitNetwork, GroupLinear, rotated
from fewshot_sep.prompt import ROLES
from fewshot_sep.unet import QueryConditioning
from tests.fewshot_sep.tensors import BANDS, FEATURES, GROUP, WIDTH, band_split, conditioning, image


@pytest.mark.parametrize(("bands", "width"), [(30, WIDTH), (BANDS, 48)])
def test_bands_and_width_must_divide_evenly(bands: int, width: int) -> None:
    with pytest.raises(ValueError, match="multiple"):
        BandSplitNetwork(1, bands, width, 1, FEATURES, group=GROUP)


def test_every_parameter_learns() -> None:
    network = band_split(2, 1, layers=2).train()
    network(image(2, 2), conditioning(2), image(2, 1)).square().mean().backward()
    idle = [name for name, parameter in network.named_parameters() if not parameter.grad.abs().sum() > 0]
    assert not idle


@torch.inference_mode()
def test_frames_that_are_not_given_do_not_count_and_their_order_does_not_matter() -> None:
    network, mixture, nothing = band_split(), image(1, 1), image(1, 0)
    told = conditioning(frames=3)
    frames = told.templates.unflatten(2, (len(ROLES), 3))

    def logits(frames: Tensor) -> Tensor:
        return network(mixture, told._replace(templates=frames.flatten(2)), nothing)

    expected = logits(frames)
    torch.testing.assert_close(logits(frames.flip(3)), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(logits(torch.cat([frames, 0 * frames], 3)), expected, rtol=1e-4, atol=1e-5)
    assert (logits(frames.flip(2)) - expected).abs().max() > 1e-4, "roles"
    assert logits(0 * frames).isfinite().all()


def test_groups_have_maps_of_their_own() -> None:
    layer, x = GroupLinear(3, 4, 5), torch.randn(2, 3, 6, 4)
    for group in range(3):
        expected = x[:, group] @ layer.weight[5 * group : 5 * group + 5].T
        torch.testing.assert_close(layer(x)[:, group], expected)


def test_products_of_rotated_features_depend_on_distances() -> None:
    one, other = torch.randn(2, 8)
    products = rotated(one.expand(9, 8)) @ rotated(other.expand(9, 8)).T
    for distance in range(-8, 9):
        diagonal = products.diagonal(distance)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal), rtol=1e-4, atol=1e-4)
    assert products.diagonal().std() < 0.1 * products.std()


def tones(batch: int, random: torch.Generator) -> tuple[Tensor, QueryConditioning, Tensor]:
    """Mixtures of two tones; which of them is the target only the frames of the prompt tell."""
    bands = torch.rand(batch, BANDS, generator=random).argsort(1)[:, :2]
    mixture = torch.zeros(batch, BANDS, 4).scatter(1, bands[..., None].expand(-1, -1, 4), 1)[:, None]
    frames = torch.zeros(batch, BANDS, len(ROLES))
    frames[:, :, 0] = torch.full((batch, BANDS), -1.0).scatter(1, bands[:, :1], 1)
    target = torch.zeros(batch, BANDS).scatter(1, bands[:, :1], 1)[:, None, :, None].expand_as(mixture)
    return mixture, QueryConditioning(torch.zeros(batch, FEATURES), torch.zeros(batch, 2, BANDS), frames), target


def test_learns_to_keep_the_tone_that_the_prompt_has() -> None:
    network, random = band_split().train(), torch.Generator().manual_seed(1)
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)

    def error(batch: int) -> Tensor:
        """Of the mask where the mixture sounds: 0.69 for an undecided one."""
        mixture, told, target = tones(batch, random)
        logits = network(mixture, told, mixture[:, :0])
        return torch.nn.functional.binary_cross_entropy_with_logits(logits, target, mixture, reduction="sum") / (
            mixture.sum()
        )

    for _ in range(100):
        optimizer.zero_grad()
        error(16).backward()
        optimizer.step()
    with torch.inference_mode():
        assert error(64) < 0.2
