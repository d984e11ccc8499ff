from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import scipy.signal
import torch
from torch import Tensor, nn

from fewshot_sep import losses, presets, systems
from fewshot_sep.systems import ImageSystem, MaskSystem, Truth
from fewshot_sep.unet import QueryConditioning

MASK = replace(presets.get("tiny"), n_fft=1024, hop=256, bands=32, widths=(4, 6), features=5, segment=4096)
IMAGE = presets.get("tiny-image")


class Answer(nn.Module):
    """A network whose output is a function of the mixture's image alone."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, image: Tensor, *_: object) -> Tensor:
        return self.function(image)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 0.1


def mask_system() -> MaskSystem:
    torch.manual_seed(0)
    system = MaskSystem(MASK).eval()
    for module in system.modules():  # an untrained mask is 0.5 all over; make it depend on what comes in
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.5)
    return system


def image_system() -> ImageSystem:
    torch.manual_seed(0)
    return ImageSystem(IMAGE).eval()


def numpy_spectrum(wave: np.ndarray, n_fft: int, hop: int) -> np.ndarray:
    """By definition: zeros around, periodic Hann window; `(..., freq, time)`."""
    padded = np.pad(wave.astype(np.float64), [(0, 0)] * (wave.ndim - 1) + [(n_fft // 2, n_fft // 2)])
    frames = np.lib.stride_tricks.sliding_window_view(padded, n_fft, axis=-1)[..., ::hop, :]
    return np.moveaxis(np.fft.rfft(frames * scipy.signal.get_window("hann", n_fft)), -1, -2)


# --- masks


@pytest.mark.parametrize("samples", [1024, 4096, 5000])
@pytest.mark.parametrize("clips", [1, 3])
def test_mask_system_gives_back_the_mixtures_shape(samples: int, clips: int) -> None:
    system = mask_system()
    with torch.inference_mode():
        out = system(noise(2, 2, samples), system.condition(noise(2, clips, 3000)))
    assert out.shape == (2, 2, samples)
    assert out.isfinite().all()


def test_no_bin_gets_louder_and_none_changes_phase() -> None:
    system, spectrum = mask_system(), MaskSystem(MASK).stft(noise(2, 2, 4096))
    masked = system.masked(spectrum, 20 * noise(2, 2, MASK.bands, spectrum.shape[-1]))
    assert (masked.abs() <= spectrum.abs() * (1 + 1e-6)).all()
    share = masked / spectrum
    assert share.imag.abs().max() < 1e-5
    assert share.real.min() > 0


def test_output_has_no_more_energy_than_the_mixture() -> None:
    system, mixture = mask_system(), noise(1, 2, 20_000)
    with torch.inference_mode():
        out = system(mixture, system.condition(noise(1, 1, 4096)))
    assert 0 < out.square().sum() < mixture.square().sum()


@pytest.mark.parametrize("gain", [0.1, 10.0, -1.0])
def test_ten_times_the_mixture_ten_times_the_target(gain: float) -> None:
    system, mixture = mask_system(), noise(1, 2, 6000)
    with torch.inference_mode():
        conditioning = system.condition(noise(1, 1, 4096, seed=1))
        out, scaled = system(mixture, conditioning), system(gain * mixture, conditioning)
    torch.testing.assert_close(scaled, gain * out, rtol=1e-3, atol=1e-5 * abs(gain))


@pytest.mark.parametrize("gain", [0.1, 10.0, -1.0])
def test_level_of_the_query_does_not_matter(gain: float) -> None:
    system, query = mask_system(), noise(1, 1, 6000)
    with torch.inference_mode():
        for tensor, scaled in zip(system.condition(query), system.condition(gain * query), strict=True):
            torch.testing.assert_close(scaled, tensor, rtol=1e-3, atol=1e-3)


def test_queries_steer_the_mask() -> None:
    system, mixture = mask_system(), noise(1, 2, 6000)
    tone = torch.sin(torch.arange(6000.0) / 9)[None, None]
    with torch.inference_mode():
        one, other = (system(mixture, system.condition(query)) for query in (tone, noise(1, 1, 6000)))
    assert (one - other).abs().max() > 1e-4


def test_several_clips_count_as_the_mean_of_each() -> None:
    system, clips = mask_system(), torch.cat([noise(2, 1, 5000, seed=seed) * 10**seed for seed in range(3)], dim=1)
    with torch.inference_mode():
        together = system.condition(clips)
        alone = [system.condition(clips[:, i : i + 1]) for i in range(3)]
    assert together.embedding.shape == (2, MASK.features)
    assert together.profile.shape == (2, 2, MASK.bands)
    for tensor, parts in zip(together, zip(*alone, strict=True), strict=True):
        torch.testing.assert_close(tensor, torch.stack(parts).mean(0), rtol=1e-4, atol=1e-4)


def test_profile_is_mean_and_peak_of_the_querys_bands() -> None:
    system, query = mask_system(), noise(1, 1, 5000)
    energy = np.abs(numpy_spectrum(query.numpy(), MASK.n_fft, MASK.hop)) ** 2
    magnitude = np.sqrt(system.bands.numpy() @ energy)
    image = (np.log(magnitude / magnitude.mean() + 1e-3) + 2) / 2.5
    expected = np.stack([image.mean(-1), image.max(-1)], axis=2)[0]
    with torch.inference_mode():
        np.testing.assert_allclose(system.condition(query).profile.numpy(), expected, rtol=1e-3, atol=1e-4)


def test_band_energies_add_up_to_the_bins() -> None:
    system, spectrum = mask_system(), MaskSystem(MASK).stft(noise(2, 3000))
    assert system.band_energy(spectrum).shape == (2, MASK.bands, spectrum.shape[-1])
    torch.testing.assert_close(
        system.band_energy(spectrum).sum(1), spectrum.abs().square().sum(1), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("mask", [0.0001, 0.3, 0.9999])
def test_mask_loss_is_the_error_of_the_spectrum(mask: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a constant mask the error on bands is `|mX - S|^2` on bins; both terms against numpy."""
    system, target = mask_system(), noise(2, 2, 4096)
    mixture = target + 0.5 * noise(2, 2, 4096, seed=1)
    logit = float(np.log(mask / (1 - mask)))
    system.network = Answer(lambda image: torch.full_like(image, logit))  # type: ignore[assignment]
    heard: list[Tensor] = []
    ratio = losses.soft_noise_ratio
    monkeypatch.setattr(losses, "soft_noise_ratio", lambda *energies: heard.extend(energies) or ratio(*energies))
    loss, parts = system.loss(mixture, noise(2, 1, 4096), target)

    x, s = (numpy_spectrum(wave.numpy(), MASK.n_fft, MASK.hop) for wave in (mixture, target))
    energies = [np.sum(np.abs(part) ** 2, axis=(1, 2, 3)) for part in (mask * x - s, s, x)]
    for found, expected in zip(heard, energies, strict=True):
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-3)
    error, part, whole = energies
    noise_db = np.mean(10 * np.log10((error + 1e-3 * whole) / (part + 1e-3 * whole)))
    assert float(parts["snr_db"]) == pytest.approx(-noise_db, abs=1e-2)

    wanted, rest = (np.sqrt(system.bands.numpy() @ np.abs(y) ** 2) for y in (s, x - s))
    ideal, weight = wanted / (wanted + rest), np.sqrt(wanted + rest)
    entropy = -(ideal * np.log(mask) + (1 - ideal) * np.log(1 - mask))
    cross_entropy = np.mean((entropy * weight).sum((1, 2, 3)) / weight.sum((1, 2, 3)))
    assert float(parts["cross_entropy"]) == pytest.approx(cross_entropy, rel=1e-3)

    product = np.sum(np.real(mask * x * np.conj(s)), axis=(1, 2, 3))
    alike = product**2 / (np.sum(np.abs(mask * x) ** 2, axis=(1, 2, 3)) * part)
    si_sdr_db = np.mean(10 * np.log10((alike + 10**-2.5) / (1 - alike + 10**-2.5)))
    assert float(parts["soft_si_sdr_db"]) == pytest.approx(si_sdr_db, abs=1e-2)
    whole_loss = cross_entropy + 0.05 * noise_db - 0.1 * si_sdr_db + float(parts["crowd"])
    whole_loss += 0.1 * float(parts["contrast"])
    assert float(loss) == pytest.approx(whole_loss, rel=1e-3, abs=1e-3)


def test_contrast_asks_only_of_tasks_whose_target_sounds() -> None:
    system, target, queries = mask_system(), noise(4, 2, 4096), noise(4, 1, 4096, seed=1)
    target[2:] = 0
    some = system.contrast_loss(queries, target)
    assert float(some) == pytest.approx(float(system.contrast_loss(queries[:2], target[:2])), abs=1e-6) and some > 0
    assert float(system.contrast_loss(queries, torch.zeros_like(target))) == 0


def test_improvement_is_measured_where_the_target_sounds() -> None:
    system, target = mask_system(), noise(2, 2, 4096)
    mixture = target + noise(2, 2, 4096, seed=1)
    assert "si_sdri_db" in system.loss(mixture, noise(2, 1, 4096), target)[1]
    assert "si_sdri_db" not in system.loss(mixture, noise(2, 1, 4096), torch.zeros_like(target))[1]
    system.network = Answer(torch.zeros_like)  # type: ignore[assignment]
    parts = system.loss(mixture, noise(2, 1, 4096), target)[1]
    assert float(parts["si_sdri_db"]) == pytest.approx(0, abs=1e-3)  # half of everything is no better than all


@pytest.mark.parametrize("silent", ["target", "mixture", "query", "one of the batch"])
def test_mask_loss_of_silence_is_finite(silent: str) -> None:
    system = mask_system().train()
    mixture, query, target = noise(2, 2, 4096), noise(2, 1, 4096, seed=1), noise(2, 2, 4096, seed=2)
    if silent == "one of the batch":
        target[0] = 0
    elif silent == "query":
        query = torch.zeros_like(query)
    else:
        target = torch.zeros_like(target)
        mixture = mixture if silent == "target" else torch.zeros_like(mixture)
    loss, _ = system.loss(mixture, query, target)
    loss.backward()
    assert loss.isfinite()
    gradients = {name: parameter.grad for name, parameter in system.named_parameters()}
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients.values())


# --- images


@pytest.mark.parametrize("samples", [1000, 18_000, 18_001])
def test_image_system_gives_back_the_mixtures_shape(samples: int) -> None:
    system = image_system()
    with torch.inference_mode():
        out = system(noise(2, 1, samples), system.condition(noise(2, 3, samples)))
    assert out.shape == (2, 1, samples)
    assert out.isfinite().all()


def test_image_is_equations_2_to_4() -> None:
    wave = noise(1, 1, 18_000)
    magnitude = np.abs(numpy_spectrum(np.pad(wave.numpy(), [(0, 0), (0, 0), (0, 105)]), 510, 71))
    compressed = np.log10(magnitude + 1)
    image, _, peak = image_system().image(wave)
    np.testing.assert_allclose(image.numpy(), compressed / compressed.max(), atol=1e-5)
    assert float(peak) == pytest.approx(compressed.max(), rel=1e-5)


def test_oracle_image_gets_the_mixtures_phase() -> None:
    """A network that knows the target's image leaves only the phase to the mixture."""
    system, target = image_system(), noise(1, 1, 18_000)
    mixture = target + noise(1, 1, 18_000, seed=1)
    x, s = (numpy_spectrum(np.pad(w.numpy(), [(0, 0), (0, 0), (0, 105)]), 510, 71) for w in (mixture, target))
    oracle = np.log10(np.abs(s) + 1) / np.log10(np.abs(x) + 1).max()
    system.network = Answer(lambda image: torch.from_numpy(oracle).float())  # type: ignore[assignment]
    with torch.inference_mode():
        found = system(mixture, system.condition(noise(1, 1, 18_000, seed=2)))

    expected, weight = np.zeros(18_105 + 510), np.zeros(18_105 + 510)
    window = scipy.signal.get_window("hann", 510)
    for index, frame in enumerate(np.fft.irfft((np.abs(s) * np.exp(1j * np.angle(x)))[0, 0].T, 510)):
        expected[71 * index : 71 * index + 510] += frame * window
        weight[71 * index : 71 * index + 510] += window**2
    inside = slice(255, 255 + 18_000)
    np.testing.assert_allclose(found[0, 0].numpy(), expected[inside] / weight[inside], atol=1e-4)


def test_image_loss_is_equation_1() -> None:
    system, target = image_system(), noise(2, 1, 18_000)
    mixture, guess = target + noise(2, 1, 18_000, seed=1), 0.2
    system.network = Answer(lambda image: torch.full_like(image, guess))  # type: ignore[assignment]
    loss, _ = system.loss(mixture, noise(2, 1, 18_000, seed=2), target)
    padded = (np.pad(wave.numpy(), [(0, 0), (0, 0), (0, 105)]) for wave in (mixture, target))
    whole, wanted = (np.log10(np.abs(numpy_spectrum(wave, 510, 71)) + 1) for wave in padded)
    expected = np.mean((wanted / whole.max((1, 2, 3), keepdims=True) - guess) ** 2)
    assert float(loss) == pytest.approx(expected, rel=1e-4)


def test_queries_are_averaged_as_images() -> None:
    system, clips = image_system(), noise(2, 3, 18_000)
    with torch.inference_mode():
        (together,) = system.condition(clips)
        alone = torch.cat([system.condition(clips[:, i : i + 1])[0] for i in range(3)], dim=1)
    assert together.shape == (2, 1, 256, 256)
    torch.testing.assert_close(together, alone.mean(1, keepdim=True))


def test_image_loss_of_silence_is_finite() -> None:
    system = image_system().train()
    loss, _ = system.loss(*(torch.zeros(2, 1, 18_000) for _ in range(3)))
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad.isfinite().all() for p in system.parameters() if p.grad is not None)


def crowd_parts(system: MaskSystem, seed: int) -> tuple[Tensor, Truth]:
    """Low tones as queries; mixtures of a low tone and a noise as loud."""
    tones = torch.sin(torch.arange(4096) * (0.1 + 0.2 * torch.rand(4, 1, 1, generator=torch.manual_seed(seed))))
    other = noise(4, 1, 4096, seed=seed) * 5
    return tones, system.truth(*(system.stft(x.expand(-1, 2, -1)) for x in (tones + other, tones)))


def test_the_crowd_detector_learns_and_leaves_the_encoder_alone() -> None:
    system = MaskSystem(MASK).train()
    assert (system.polyphony_logit(system.condition(noise(2, 1, 4096))) == 0).all()
    before = {name: value.clone() for name, value in system.query_encoder.state_dict().items()}
    optimizer = torch.optim.Adam(system.parameters(), 0.02)
    for step in range(60):
        optimizer.zero_grad()
        system.crowd_loss(*crowd_parts(system, step)).backward()
        assert all(parameter.grad is None for parameter in system.query_encoder.parameters())
        optimizer.step()
    assert all((value == before[name]).all() for name, value in system.query_encoder.state_dict().items())
    assert system.query_encoder.training
    system.eval()
    tones, _ = crowd_parts(system, 1000)
    alone = system.polyphony_logit(system.condition(tones))
    crowded = system.polyphony_logit(system.condition(tones + noise(4, 1, 4096, seed=7) * 5))
    assert alone.max() < 0 < crowded.min()


def test_only_mixtures_of_comparable_parts_count_as_crowds() -> None:
    system = mask_system()
    tones, true = crowd_parts(system, 0)
    some = system.crowd_loss(tones, true)
    none = system.crowd_loss(tones, true._replace(rest=true.rest * 1e-3))
    alone = torch.nn.functional.softplus(system.polyphony_logit(system.condition(tones))).mean()
    torch.testing.assert_close(none, alone)
    assert abs(float(some - alone)) > 1e-3


def test_the_image_system_cannot_tell_crowds() -> None:
    assert image_system().polyphony_logit(()) is None


def test_build_knows_every_preset() -> None:
    small = [preset for preset in presets.PRESETS.values() if preset.name.startswith("tiny")]
    assert {preset.kind for preset in small} == {"mask", "image"}
    for preset in small:
        assert systems.build(preset.name).preset is systems.build(preset).preset is preset


def test_spread_is_none_of_equal_embeddings_and_high_of_unlike_ones() -> None:
    assert systems.spread(torch.ones(5, 8)) < 1e-3
    assert systems.spread(torch.eye(5)) > 0.8
    assert systems.spread(100 * torch.eye(5)) == pytest.approx(float(systems.spread(torch.eye(5))), abs=1e-4)


def test_the_profile_is_taken_from_a_share_of_the_examples() -> None:
    torch.manual_seed(0)
    full = QueryConditioning(torch.randn(400, 3), torch.randn(400, 2, 5))
    thinned = systems.without_profile(full, 0.2)
    gone = ~thinned.profile.flatten(1).any(1)
    assert 50 < gone.sum() < 110
    assert (thinned.profile[~gone] == full.profile[~gone]).all()
    assert thinned.embedding is full.embedding
    assert (systems.without_profile(full, 0.2).profile == thinned.profile).all()
