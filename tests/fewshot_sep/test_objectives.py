"""Training objectives: their figures by definition, silence, and that systems learn by them."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fewshot_sep import losses, objectives, presets
from fewshot_sep.objectives import MIN_TARGET_SHARE, MaskObjective
from fewshot_sep.systems import AnySystem, MaskSystem, build
from fewshot_sep.unet import QueryConditioning
from tests.fewshot_sep.tensors import PRESETS, noise, tone


class Constant(nn.Module):
    """A network that gives the same number everywhere."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def forward(self, image: Tensor, *_: object) -> Tensor:
        return torch.full_like(image, self.value)


def mask_system() -> MaskSystem:
    torch.manual_seed(0)
    return MaskSystem(PRESETS["tiny"]).eval()


def energy(*parts: np.ndarray) -> list[np.ndarray]:
    return [np.sum(np.abs(part) ** 2, axis=(1, 2, 3)) for part in parts]


@pytest.mark.parametrize("mask", [0.0001, 0.3, 0.9999])
@torch.no_grad()
def test_mask_loss_by_its_definition(mask: float) -> None:
    """A constant mask `m` has the error `|mX - S|^2` in the bins, although it is computed in bands."""
    system, objective, target = mask_system(), MaskObjective(), noise(2, 2, 4096)
    mixture = target + 0.5 * noise(2, 2, 4096, seed=1)
    system.network = Constant(float(np.log(mask / (1 - mask))))
    loss, parts = objective(system, mixture, noise(2, 1, 4096), target)

    x, s = (
        librosa.stft(wave.double().numpy(), n_fft=1024, hop_length=256, pad_mode="constant")
        for wave in (mixture, target)
    )
    error, part, total, estimate = energy(mask * x - s, s, x, mask * x)
    noise_db = np.mean(10 * np.log10((error + 1e-3 * total) / (part + 1e-3 * total)))
    assert float(parts["snr_db"]) == pytest.approx(-noise_db, abs=1e-2)

    wanted, residual = (np.sqrt(system.bands.numpy() @ np.abs(y) ** 2) for y in (s, x - s))
    ideal, weight = wanted / (wanted + residual), np.sqrt(wanted + residual)
    entropy = -(ideal * np.log(mask) + (1 - ideal) * np.log(1 - mask))
    cross_entropy = np.mean((entropy * weight).sum((1, 2, 3)) / weight.sum((1, 2, 3)))
    assert float(parts["cross_entropy"]) == pytest.approx(cross_entropy, rel=1e-3)

    squared_cosine = np.sum(np.real(mask * x * np.conj(s)), axis=(1, 2, 3)) ** 2 / (estimate * part)
    si_sdr_db = np.mean(10 * np.log10((squared_cosine + 10**-2.5) / (1 - squared_cosine + 10**-2.5)))
    assert float(parts["soft_si_sdr_db"]) == pytest.approx(si_sdr_db, abs=1e-2)
    expected = cross_entropy + 0.05 * noise_db - 0.1 * si_sdr_db + float(parts["multi_source"])
    assert float(loss) == pytest.approx(expected + 0.1 * float(parts["contrast"]), rel=1e-3, abs=1e-3)


def test_terms_without_weight_are_left_out() -> None:
    objective = MaskObjective(contrastive_weight=0, multi_source_weight=0)
    _, parts = objective(mask_system(), noise(2, 2, 4096), noise(2, 1, 4096), noise(2, 2, 4096, seed=1))
    assert not {"contrast", "multi_source"} & parts.keys()


def test_image_loss_is_equation_1() -> None:
    torch.manual_seed(0)
    system = build("tiny-image").eval()
    wave, query, target = (noise(2, 1, 18_000, seed=seed) for seed in range(3))
    predicted, true = (image.detach().numpy() for image in system.images(wave, query, target))  # type: ignore[operator]
    loss, parts = objectives.for_system(system)(system, wave, query, target)
    assert float(loss) == pytest.approx(np.mean((predicted - true) ** 2), rel=1e-5) and not parts


def test_contrast_is_only_of_tasks_whose_target_sounds() -> None:
    queries, targets, sounding = noise(4, 8), noise(4, 8, seed=1), torch.tensor([True, False, True, False])
    some = losses.contrast(queries, targets, sounding)
    cosines = torch.cosine_similarity(queries[sounding][:, None], targets[sounding][None], dim=2)
    assert float(some) == pytest.approx(float(-(cosines / 0.1).log_softmax(1).diagonal().mean()), rel=1e-5)
    assert losses.contrast(queries, targets, torch.zeros(4, dtype=torch.bool)) == 0


def test_silent_targets_change_neither_contrast_nor_encoder() -> None:
    system, objective, target, queries = mask_system(), MaskObjective(), noise(4, 2, 4096), noise(4, 1, 4096, seed=1)
    mixture = target + noise(4, 2, 4096, seed=2)
    target[2:] = 0
    some = objective(system, mixture, queries, target).parts["contrast"]
    assert float(some) == pytest.approx(
        float(objective(system, mixture[:2], queries[:2], target[:2]).parts["contrast"]), abs=1e-5
    )
    assert some > 0
    states = []
    for silent in (target, torch.cat([target[:2], queries[2:].expand(-1, 2, -1)])):
        system = mask_system().train()
        objective(system, mixture, queries, silent)
        states.append(system.query_encoder.state_dict())
    assert all(torch.allclose(value, states[1][name], atol=1e-5) for name, value in states[0].items())


def test_improvement_is_measured_where_the_target_sounds() -> None:
    system, objective, target, query = mask_system(), MaskObjective(), noise(2, 2, 4096), noise(2, 1, 4096)
    mixture = target + noise(2, 2, 4096, seed=1)
    system.network = Constant(0.0)
    parts = objective(system, mixture, query, target).parts
    assert float(parts["si_sdri_db"]) == pytest.approx(0, abs=1e-3)  # half of everything is no better than all
    for gain, measured in ((0.0, False), (0.5 * MIN_TARGET_SHARE**0.5, False), (2 * MIN_TARGET_SHARE**0.5, True)):
        parts = objective(system, noise(2, 2, 4096, seed=1), query, gain * target).parts
        assert ("si_sdri_db" in parts) == measured


@pytest.mark.parametrize("preset", ["tiny", "tiny-informed", "tiny-image"])
@pytest.mark.parametrize("silent", ["", "target", "mixture", "query", "one of the batch"])
def test_every_parameter_gets_a_finite_gradient(preset: str, silent: str) -> None:
    torch.manual_seed(0)
    system: AnySystem = build(PRESETS.get(preset, presets.get(preset))).train()
    shape = system.preset.channels, system.preset.segment
    mixture, query, target = noise(2, *shape), noise(2, 1, shape[1], seed=1), noise(2, *shape, seed=2)
    for tensor, names in ((mixture, ["mixture"]), (query, ["query"]), (target, ["target", "mixture"])):
        tensor *= silent not in names
    target[0] *= silent != "one of the batch"
    loss, parts = objectives.for_system(system)(system, mixture, query, target)
    loss.backward()
    assert loss.isfinite() and all(part.isfinite() for part in parts.values())
    gradients = [parameter.grad for parameter in system.parameters()]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)


def test_an_informed_system_learns() -> None:
    torch.manual_seed(0)
    system = build(PRESETS["tiny-informed"]).train()
    objective = objectives.for_system(system)
    target, other = tone(900, 4, 2, 4096), tone(5000, 4, 2, 4096)
    optimizer = torch.optim.AdamW(system.parameters(), 1e-2)
    course = []
    for _ in range(30):
        optimizer.zero_grad()
        loss, parts = objective(system, target + other, target[:, :1], target)
        loss.backward()
        optimizer.step()
        course.append(float(parts["cross_entropy"].detach()))
    assert course[-1] < 0.5 * course[0]


def images(system: MaskSystem, queries: Tensor) -> Tensor:
    return system.clip_images(system.band_energy(system.stft(queries)))


def detector_batch(system: MaskSystem, seed: int) -> tuple[Tensor, objectives.TrueMask]:
    """Low tones as queries; mixtures of a low tone and a noise as loud."""
    tones = torch.sin(torch.arange(4096) * (0.1 + 0.2 * torch.rand(4, 1, 1, generator=torch.manual_seed(seed))))
    other = noise(4, 1, 4096, seed=seed) * 5
    return tones, objectives.true_mask(system, *(system.stft(x.expand(-1, 2, -1)) for x in (tones + other, tones)))


def test_the_multi_source_detector_learns_and_leaves_the_encoder_alone() -> None:
    system = MaskSystem(PRESETS["tiny"]).train()
    assert (system.polyphony_logit(system.condition(noise(2, 1, 4096))) == 0).all()
    before = {name: value.clone() for name, value in system.query_encoder.state_dict().items()}
    optimizer = torch.optim.Adam(system.parameters(), 0.02)
    for step in range(60):
        optimizer.zero_grad()
        tones, true = detector_batch(system, step)
        objectives.multi_source_loss(system, images(system, tones), true).backward()
        assert all(parameter.grad is None for parameter in system.query_encoder.parameters())
        optimizer.step()
    assert all((value == before[name]).all() for name, value in system.query_encoder.state_dict().items())
    assert system.query_encoder.training
    system.eval()
    tones, _ = detector_batch(system, 1000)
    single = system.polyphony_logit(system.condition(tones))
    several = system.polyphony_logit(system.condition(tones + noise(4, 1, 4096, seed=7) * 5))
    assert single.max() < 0 < several.min()


def test_only_mixtures_of_comparable_levels_count_as_several_sources() -> None:
    system = mask_system()
    nn.init.normal_(system.multi_source_detector.weight)
    tones, true = detector_batch(system, 0)
    some = objectives.multi_source_loss(system, images(system, tones), true)
    none = objectives.multi_source_loss(system, images(system, tones), true._replace(residual=true.residual * 1e-3))
    single = torch.nn.functional.softplus(system.polyphony_logit(system.condition(tones))).mean()
    torch.testing.assert_close(none, single)
    assert abs(float(some - single)) > 1e-3


def test_spread_is_none_of_equal_embeddings_and_high_of_unlike_ones_at_any_scale() -> None:
    assert objectives.spread(torch.ones(5, 8)) < 1e-3
    assert [float(objectives.spread(gain * torch.eye(5))) for gain in (1, 100)] == pytest.approx([0.8**0.5] * 2)


def test_profile_and_templates_are_dropped_from_the_same_examples() -> None:
    torch.manual_seed(0)
    full = QueryConditioning(torch.randn(400, 3), torch.randn(400, 2, 5), torch.rand(400, 5, 4))
    thinned = objectives.without_profile(full, 0.2)
    dropped = ~thinned.profile.flatten(1).any(1)
    assert 50 < dropped.sum() < 110
    assert (dropped == ~thinned.templates.flatten(1).any(1)).all()
    for name in ("profile", "templates"):
        assert (getattr(thinned, name)[~dropped] == getattr(full, name)[~dropped]).all()
    assert thinned.embedding is full.embedding
    assert (objectives.without_profile(full, 0.2).profile == thinned.profile).all()
