"""Systems that predict a mask, with and without templates of the query."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
import torch
from torch import nn

from fewshot_sep import presets
from fewshot_sep.systems import MaskSystem, build
from tests.fewshot_sep.tensors import PRESETS, noise, tone


@pytest.fixture(params=PRESETS.values(), ids=list(PRESETS))
def system(request: pytest.FixtureRequest) -> MaskSystem:
    """An untrained mask is 0.5 everywhere; that of this system depends on mixture and query."""
    torch.manual_seed(0)
    system = build(request.param)
    assert isinstance(system, MaskSystem)
    for module in system.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.5)
    return system.eval()


@pytest.mark.parametrize("preset", [preset for preset in presets.PRESETS.values() if preset.name.startswith("tiny")])
def test_build_knows_every_kind(preset: presets.Preset) -> None:
    assert build(preset.name).preset is build(preset).preset is preset


@pytest.mark.parametrize("samples", [1024, 5000])
@pytest.mark.parametrize("clips", [1, 3])
@pytest.mark.parametrize("time_scale", [1.0, 1.3])
@torch.inference_mode()
def test_the_output_has_the_mixtures_shape_and_less_energy(
    system: MaskSystem, samples: int, clips: int, time_scale: float
) -> None:
    mixture = noise(2, 2, samples)
    out = system(mixture, system.condition(noise(2, clips, 3000)), time_scale)
    assert out.shape == mixture.shape
    assert 0 < out.square().sum() < mixture.square().sum()


@torch.inference_mode()
def test_no_bin_gets_louder_and_none_changes_phase(system: MaskSystem) -> None:
    spectrum = system.stft(noise(2, 2, 4096))
    share = system.masked(spectrum, 20 * noise(2, 2, 32, spectrum.shape[-1])) / spectrum
    assert share.imag.abs().max() < 1e-5
    assert 0 < share.real.min() < share.real.max() <= 1 + 1e-6


@pytest.mark.parametrize("gain", [0.03, 30.0, -1.0])
@torch.inference_mode()
def test_the_gain_of_mixture_and_query_does_not_matter(system: MaskSystem, gain: float) -> None:
    mixture, clip = noise(1, 2, 5000), noise(1, 1, 3000, seed=1)
    once, again = (system(level * mixture, system.condition(clip / level)) for level in (1.0, gain))
    torch.testing.assert_close(again, gain * once, rtol=1e-2, atol=1e-3 * abs(gain))


@torch.inference_mode()
def test_another_query_gives_another_mask(system: MaskSystem) -> None:
    mixture = noise(1, 2, 6000)
    one, other = (system(mixture, system.condition(query)) for query in (tone(800, 1, 1, 6000), noise(1, 1, 6000)))
    assert (one - other).abs().max() > 1e-4


@torch.inference_mode()
def test_clips_are_averaged_together_and_apart(system: MaskSystem) -> None:
    clips = torch.cat([noise(2, 1, 5000, seed=seed) * 10**seed for seed in range(3)], dim=1)
    together = system.encode(clips)
    alone = [system.encode(clips[:, i : i + 1]) for i in range(3)]
    apart = system.average(alone)
    shapes = {system.condition_on(encoded).templates.shape for encoded in (together, apart, alone[0])}
    assert len(shapes) == 1
    for name in ("embedding", "profile"):
        mean = torch.stack([getattr(one, name) for one in alone]).mean(0)
        torch.testing.assert_close(getattr(together, name), mean, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(getattr(apart, name), mean)


@torch.inference_mode()
def test_profile_is_mean_and_peak_of_the_querys_bands(system: MaskSystem) -> None:
    query = noise(1, 1, 5000)
    spectrum = librosa.stft(query.numpy(), n_fft=1024, hop_length=256, pad_mode="constant")
    magnitude = np.sqrt(system.bands.numpy() @ np.abs(spectrum) ** 2)
    image = (np.log(magnitude / magnitude.mean() + 1e-3) + 2) / 2.5
    expected = np.stack([image.mean(-1), image.max(-1)], axis=2)[0]
    np.testing.assert_allclose(system.encode(query).profile.numpy(), expected, rtol=1e-3, atol=1e-4)


def test_band_energies_add_up_to_the_bins(system: MaskSystem) -> None:
    spectrum = system.stft(noise(2, 3000))
    energy = system.band_energy(spectrum)
    assert energy.shape == (2, 32, spectrum.shape[-1])
    torch.testing.assert_close(energy.sum(1), spectrum.abs().square().sum(1), rtol=1e-4, atol=1e-4)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(system.band_energy(spectrum), energy, rtol=0, atol=0)
