from __future__ import annotations

import math

import librosa
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from fewshot_sep import presets, spectral
from tests.sounds import noise

WINDOWS = [(4096, 1024), (2048, 512), (510, 71), (512, 100)]
BANDS = [(4096, 256), (2048, 64), (2048, 128), (1024, 100), (510, 64), (64, 8)]


@pytest.mark.parametrize(("n_fft", "hop"), WINDOWS)
@given(samples=st.integers(1, 9000), shape=st.sampled_from([(), (1,), (2,), (3, 2)]))
@settings(max_examples=15, deadline=None)
def test_round_trip_of_any_length(n_fft: int, hop: int, samples: int, shape: tuple[int, ...]) -> None:
    wave = torch.from_numpy(2 * noise(math.prod(shape), samples, samples)).reshape(*shape, samples)
    stft = spectral.Stft(n_fft, hop)
    spectrum = stft(wave)
    assert spectrum.shape == (*shape, n_fft // 2 + 1, samples // hop + 1)
    assert (stft.inverse(spectrum, samples) - wave).abs().max() < 1e-5


@pytest.mark.parametrize("name", presets.PRESETS)
def test_a_masked_sound_ends_without_a_click(name: str) -> None:
    """The window must not vanish at the last samples, or what a mask changes there becomes a loud click."""
    preset = presets.get(name)
    stft, random = spectral.Stft(preset.n_fft, preset.hop), torch.Generator().manual_seed(0)
    for samples in range(5 * preset.hop - 2, 5 * preset.hop + 2):
        wave = torch.rand(1, samples, generator=random) - 0.5
        spectrum = stft(wave)
        masked = stft.inverse(spectrum * torch.rand(spectrum.shape, generator=random), samples)
        assert masked.abs().max() < 1


@pytest.mark.parametrize(("n_fft", "hop"), WINDOWS)
def test_stft_is_librosas(n_fft: int, hop: int) -> None:
    wave = noise(2, 10_007)
    expected = librosa.stft(wave, n_fft=n_fft, hop_length=hop, window="hann", center=True, pad_mode="constant")
    np.testing.assert_allclose(spectral.Stft(n_fft, hop)(torch.from_numpy(wave)).numpy(), expected, atol=1e-3)


@given(arrays.arrays(np.float64, 20, elements=st.floats(0, 1e6)))
def test_equations_3_to_5_undo_each_other(magnitude: np.ndarray) -> None:
    compressed = spectral.log_compress(torch.from_numpy(magnitude))
    peak = compressed.max() + 1e-8
    normalised = compressed / peak
    assert 0 <= normalised.min() <= normalised.max() <= 1
    np.testing.assert_allclose(spectral.log_expand(normalised * peak).numpy(), magnitude, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("n_fft", "bands"), BANDS)
def test_bands_share_out_every_bin(n_fft: int, bands: int) -> None:
    weights = spectral.band_weights(n_fft, bands)
    assert weights.shape == (bands, n_fft // 2 + 1)
    assert weights.min() >= 0
    torch.testing.assert_close(weights.sum(0), torch.ones(n_fft // 2 + 1))
    assert (weights.sum(1) > 0).all(), "a band without bins"
    assert ((weights > 0).sum(0) <= 2).all(), "a bin lies between two centres"


@given(n_fft=st.integers(32, 4096), share=st.floats(0.05, 0.9))
@settings(deadline=None, max_examples=50)
def test_band_centres_rise_from_zero_to_nyquist(n_fft: int, share: float) -> None:
    bands = max(4, int(share * n_fft / 2))
    centres = spectral.band_centres(n_fft, bands)
    assert len(centres) == bands
    assert centres[0] == 0
    assert centres[-1].item() == pytest.approx(n_fft / 2)
    assert (centres.diff() > 0.5).all()


@pytest.mark.parametrize(("n_fft", "bands"), BANDS)
def test_bands_are_one_bin_wide_at_the_bottom_and_equal_ratios_above(n_fft: int, bands: int) -> None:
    centres = spectral.band_centres(n_fft, bands)
    narrow = int((centres == torch.arange(bands)).sum())
    assert 2 <= narrow < bands
    below = narrow - 1  # the last of the narrow bands leans over to its wide neighbour
    weights = spectral.band_weights(n_fft, bands)
    assert torch.equal(weights[:below, :below], torch.eye(below))
    assert not weights[:below, below:].any()
    ratios = centres[narrow:] / centres[narrow - 1 : -1]
    torch.testing.assert_close(ratios, ratios[0].expand_as(ratios), rtol=2e-3, atol=0)
    step = (centres[narrow] - centres[narrow - 1]).item()
    assert 0.7 < step < 1.5, "the spacing jumps where the two parts meet"


def test_more_bands_than_bins_are_refused() -> None:
    with pytest.raises(ValueError, match="fewer bands"):
        spectral.band_centres(100, 51)
