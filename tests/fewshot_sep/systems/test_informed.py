from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from fewshot_sep import presets, systems
from fewshot_sep.systems.informed import InformedSystem, Sound

PRESET = replace(presets.get("tiny-informed"), n_fft=1024, hop=256, bands=32, widths=(4, 6), features=5, segment=4096)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 0.1


def tone(hertz: float, *shape: int) -> Tensor:
    return 0.1 * torch.sin(2 * torch.pi * hertz / PRESET.sample_rate * torch.arange(shape[-1])).expand(shape)


def informed_system() -> InformedSystem:
    torch.manual_seed(0)
    system = InformedSystem(PRESET).eval()
    for module in system.modules():  # an untrained mask is 0.5 all over; make it depend on what comes in
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.5)
    return system


@pytest.mark.parametrize("samples", [1024, 5000])
@pytest.mark.parametrize("clips", [1, 3])
def test_the_estimate_has_the_mixtures_shape(samples: int, clips: int) -> None:
    system, mixture = informed_system(), noise(2, 2, samples)
    assert system(mixture, system.condition(noise(2, clips, 3000, seed=1))).shape == mixture.shape


def test_the_mask_follows_the_templates() -> None:
    system, mixture = informed_system(), noise(1, 2, 5000)
    query, other = (system.condition(noise(1, 1, 3000, seed=seed)) for seed in (1, 2))
    assert (system(mixture, query) - system(mixture, query._replace(templates=other.templates))).abs().max() > 1e-5


@pytest.mark.parametrize("gain", [0.01, 30.0])
def test_the_gain_of_mixture_and_query_does_not_matter(gain: float) -> None:
    system, mixture, clip = informed_system(), noise(1, 2, 5000), noise(1, 2, 3000, seed=1)
    once, again = (system(level * mixture, system.condition(clip / level)) for level in (1.0, gain))
    torch.testing.assert_close(again, gain * once, rtol=1e-2, atol=1e-3 * gain)


def test_planes_tell_which_part_of_a_mixture_sounds_like_the_query() -> None:
    system = informed_system()
    low, high = tone(700, 1, 2, 8000), tone(6000, 1, 2, 8000)
    low_energy, high_energy, both = (system.band_energy(system.stft(x)) for x in (low, high, low + high))
    _, _, extra_channels = system.inputs(both, system.condition(low[:, :1]))
    low_band, high_band = (energy.mean((0, 1, 3)).argmax() for energy in (low_energy, high_energy))
    like, unlike = extra_channels[0].mean(-1)
    assert extra_channels.shape == (1, InformedSystem.extra_channels, *both.shape[2:])
    assert like[low_band] > like[high_band] + 0.5
    assert unlike[high_band] > unlike[low_band]


def test_several_clips_average_and_share_the_templates() -> None:
    system = informed_system()
    one, other = (system.condition(tone(hertz, 1, 1, 8000)) for hertz in (700, 6000))
    both = system.average([one, other])
    torch.testing.assert_close(both.embedding, (one.embedding + other.embedding) / 2)
    torch.testing.assert_close(both.profile, (one.profile + other.profile) / 2)
    assert both.templates.shape == one.templates.shape
    peaks = {int(part.templates[0].argmax(0)[k]) for part in (one, other) for k in range(PRESET.templates)}
    assert {int(band) for band in both.templates[0].argmax(0)} == peaks, "every clip has a say"
    assert system(noise(1, 2, 5000), both).shape == (1, 2, 5000)


def test_the_loss_reaches_every_parameter() -> None:
    system = informed_system().train()
    mixture, target = noise(2, 2, PRESET.segment), tone(900, 2, 2, PRESET.segment)
    total, parts = system.loss(mixture + target, tone(900, 2, 1, PRESET.segment), target)
    total.backward()
    assert not [name for name, p in system.named_parameters() if p.grad is None]
    assert total.isfinite() and {"contrast", "crowd", "cross_entropy"} <= parts.keys()
    _, parts = system.eval().loss(mixture + target, tone(900, 2, 1, PRESET.segment), target)
    assert "si_sdri_db" in parts and all(value.isfinite() for value in parts.values())


def test_profile_and_templates_are_taken_from_the_same_examples() -> None:
    full = Sound(torch.randn(400, 3), torch.randn(400, 2, 5), torch.rand(400, 5, 4))
    thinned = systems.without_profile(full, 0.2)
    gone = ~thinned.profile.flatten(1).any(1)
    assert 50 < gone.sum() < 110
    assert (gone == ~thinned.templates.flatten(1).any(1)).all()
    assert (thinned.templates[~gone] == full.templates[~gone]).all()


def test_it_learns() -> None:
    torch.manual_seed(0)
    system = InformedSystem(PRESET).train()
    target, other = tone(900, 4, 2, PRESET.segment), tone(5000, 4, 2, PRESET.segment)
    optimizer = torch.optim.AdamW(system.parameters(), 1e-2)
    course = []
    for _ in range(30):
        optimizer.zero_grad()
        total, parts = system.loss(target + other, target[:, :1], target)
        total.backward()
        optimizer.step()
        course.append(float(parts["cross_entropy"].detach()))
    assert course[-1] < 0.5 * course[0]
