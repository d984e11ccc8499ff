"""The 2020 bachata thesis's system against its equations."""

from __future__ import annotations

from collections.abc import Callable

import librosa
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fewshot_sep import presets
from fewshot_sep.systems import ImageSystem
from tests.fewshot_sep.tensors import noise

SAMPLES = 18_000


class Network(nn.Module):
    """A network whose output is a function of the mixture's image alone."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, image: Tensor, query: Tensor) -> Tensor:
        return self.function(image)


def spectrum(wave: Tensor) -> np.ndarray:
    padded = np.pad(wave.double().numpy(), [(0, 0), (0, 0), (0, 105)])
    return librosa.stft(padded, n_fft=510, hop_length=71, pad_mode="constant")


@pytest.fixture
def system() -> ImageSystem:
    torch.manual_seed(0)
    return ImageSystem(presets.get("tiny-image")).eval()


@pytest.mark.parametrize("samples", [1000, 18_000, 18_001])
@torch.inference_mode()
def test_the_output_has_the_mixtures_shape(system: ImageSystem, samples: int) -> None:
    out = system(noise(2, 1, samples), system.condition(noise(2, 3, samples)))
    assert out.shape == (2, 1, samples)
    assert out.isfinite().all()


@pytest.mark.parametrize("scale", [0.7, 1.0, 1.406, 1.42])
@torch.inference_mode()
def test_a_segment_of_any_time_scale_fits_the_querys_image(system: ImageSystem, scale: float) -> None:
    wave = noise(1, 1, system.min_samples(scale))
    image, spectrum, _ = system.image(wave, scale)
    assert image.shape == system.condition(noise(1, 1, SAMPLES)).image.shape
    torch.testing.assert_close(system.stft_at(scale).inverse(spectrum, wave.shape[-1]), wave, atol=1e-5, rtol=0)


def test_image_is_equations_2_to_4(system: ImageSystem) -> None:
    wave = noise(1, 1, SAMPLES)
    compressed = np.log10(np.abs(spectrum(wave)) + 1)
    image, _, peak = system.image(wave)
    assert image.shape == (1, 1, 256, 256)
    np.testing.assert_allclose(image.numpy(), compressed / compressed.max(), atol=1e-5)
    assert float(peak) == pytest.approx(compressed.max(), rel=1e-5)


@torch.inference_mode()
def test_an_oracle_image_gets_the_mixtures_phase(system: ImageSystem) -> None:
    target = noise(1, 1, SAMPLES)
    mixture = target + noise(1, 1, SAMPLES, seed=1)
    x, s = spectrum(mixture), spectrum(target)
    oracle = np.log10(np.abs(s) + 1) / np.log10(np.abs(x) + 1).max()
    system.network = Network(lambda image: torch.from_numpy(oracle).float())  # type: ignore[assignment]
    found = system(mixture, system.condition(noise(1, 1, SAMPLES, seed=2)))
    mixed = torch.from_numpy(np.abs(s) * np.exp(1j * np.angle(x)))[0]
    expected = torch.istft(mixed, 510, 71, window=torch.hann_window(510, dtype=torch.float64), length=SAMPLES)
    torch.testing.assert_close(found[0], expected.float(), atol=1e-4, rtol=0)


def test_images_to_compare_are_relative_to_the_mixtures_peak(system: ImageSystem) -> None:
    target, guess = noise(2, 1, SAMPLES), 0.2
    mixture = target + noise(2, 1, SAMPLES, seed=1)
    system.network = Network(lambda image: torch.full_like(image, guess))  # type: ignore[assignment]
    predicted, true = system.images(mixture, noise(2, 1, SAMPLES, seed=2), target)
    x, s = (np.log10(np.abs(spectrum(wave)) + 1) for wave in (mixture, target))
    assert (predicted == guess).all()
    np.testing.assert_allclose(true.numpy(), s / x.max((1, 2, 3), keepdims=True), atol=1e-5)


@torch.inference_mode()
def test_queries_are_averaged_as_images(system: ImageSystem) -> None:
    clips = noise(2, 3, SAMPLES)
    alone = [system.condition(clips[:, i : i + 1]) for i in range(3)]
    expected = torch.cat([one.image for one in alone], dim=1).mean(1, keepdim=True)
    torch.testing.assert_close(system.condition(clips).image, expected)
    torch.testing.assert_close(system.average(alone).image, expected)


def test_it_cannot_tell_how_many_instruments_play(system: ImageSystem) -> None:
    assert system.polyphony_logit(system.condition(noise(1, 1, SAMPLES))) is None
