"""What the templates of a query add to a mask system; see test_mask.py for what both kinds share."""

from __future__ import annotations

import pytest
import torch

from fewshot_sep.systems import InformedSystem
from tests.fewshot_sep.tensors import PRESETS, tone


@pytest.fixture
def system() -> InformedSystem:
    torch.manual_seed(0)
    return InformedSystem(PRESETS["tiny-informed"]).eval()


@torch.inference_mode()
def test_extra_channels_separate_what_is_like_the_query_from_what_is_not(system: InformedSystem) -> None:
    low, high = tone(700, 1, 2, 8000), tone(6000, 1, 2, 8000)
    low_energy, high_energy, both = (system.band_energy(system.stft(x)) for x in (low, high, low + high))
    query = system.condition(low[:, :1])
    image, conditioning, extra = system.network_inputs(both, query)
    low_band, high_band = (energy.mean((0, 1, 3)).argmax() for energy in (low_energy, high_energy))
    like, unlike = extra[0].mean(-1)
    assert conditioning is query
    assert extra.shape == (1, InformedSystem.extra_channels, *image.shape[2:])
    assert like[low_band] > like[high_band] + 0.5
    assert unlike[high_band] > unlike[low_band]


@torch.inference_mode()
def test_the_mask_follows_the_templates(system: InformedSystem) -> None:
    mixture = torch.randn(1, 2, 5000) * 0.1
    query, other = (system.condition(tone(hertz, 1, 1, 3000)) for hertz in (700, 6000))
    assert (system(mixture, query) - system(mixture, query._replace(templates=other.templates))).abs().max() > 1e-5


@torch.inference_mode()
def test_several_clips_share_the_templates(system: InformedSystem) -> None:
    one, other = (system.condition(tone(hertz, 1, 1, 8000)) for hertz in (700, 6000))
    both = system.average([one, other])
    peaks = [{int(band) for band in sound.templates[0].argmax(0)} for sound in (one, other, both)]
    assert peaks[2] == peaks[0] | peaks[1]
