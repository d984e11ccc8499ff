"""Training objectives: their figures by definition, silence, and that systems learn by them."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fewshot_sep import objectives, presets
from fewshot_sep.evidence import ABSENT, ALONE, AMONG, Evidence
from fewshot_sep.objectives import MIN_TARGET_SHARE, MaskObjective
from fewshot_sep.systems import AnySystem, MaskSystem, build
from fewshot_sep.unet import QueryConditioning
from tests.fewshot_sep.tensors import PRESETS, noise, tone

alone = Evidence.of_alone


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
    loss, parts = objective(system, mixture, alone(noise(2, 1, 4096)), target)

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
    expected = cross_entropy + 0.1 * noise_db - 0.1 * si_sdr_db + float(parts["multi_source"])
    assert float(loss) == pytest.approx(expected + 0.1 * float(parts["contrast"]), rel=1e-3, abs=1e-3)


def test_terms_without_weight_are_left_out() -> None:
    objective = MaskObjective(contrastive_weight=0, multi_source_weight=0)
    _, parts = objective(mask_system(), noise(2, 2, 4096), alone(noise(2, 1, 4096)), noise(2, 2, 4096, seed=1))
    assert not {"contrast", "multi_source"} & parts.keys()


def test_image_loss_is_equation_1() -> None:
    torch.manual_seed(0)
    system = build("tiny-image").eval()
    wave, query, target = (noise(2, 1, 18_000, seed=seed) for seed in range(3))
    predicted, true = (image.detach().numpy() for image in system.images(wave, query, target))  # type: ignore[operator]
    loss, parts = objectives.for_system(system)(system, wave, alone(query), target)
    assert float(loss) == pytest.approx(np.mean((predicted - true) ** 2), rel=1e-5) and not parts


def test_contrast_is_only_of_clips_alone_whose_target_sounds() -> None:
    torch.manual_seed(0)
    embeddings, targets, wave = torch.randn(6, 5), torch.randn(4, 5), noise(4, 2, 4096)
    wave[3] = 0
    system = mask_system()
    true = objectives.true_mask(system, system.stft(wave), system.stft(wave))
    task, role = torch.tensor([0, 1, 3, 2, 0, 1]), torch.tensor([ALONE, ALONE, ALONE, AMONG, ABSENT, ABSENT])
    some = objectives.contrastive_loss(embeddings, targets, Evidence(noise(6, 1, 9), task, role), true)
    cosine = torch.cosine_similarity(embeddings[:2, None], targets[None, :2], dim=2) / 0.1
    assert float(some) == pytest.approx(-float(cosine.log_softmax(1).diag().mean()), abs=1e-5)
    silent = true._replace(target=0 * true.target)
    assert objectives.contrastive_loss(embeddings, targets, Evidence(noise(6, 1, 9), task, role), silent) == 0


@torch.no_grad()
def test_every_task_is_conditioned_on_its_own_clips() -> None:
    torch.manual_seed(0)
    system = build(PRESETS["tiny-prompted"]).eval()
    assert isinstance(system, MaskSystem)
    clips = noise(5, 2, 4096)
    evidence = Evidence(clips, torch.tensor([0, 2, 1, 0, 1]), torch.tensor([ALONE, ALONE, AMONG, ABSENT, ABSENT]))
    found = objectives.by_task(system, system.encode(clips), evidence, 3)
    own = [system.encode(clips[place : place + 1]) for place in range(5)]
    for task, roles in enumerate([(own[0], None, own[3]), (None, own[2], own[4]), (own[1],)]):
        for part, expected in zip(found, system.condition_on(*roles), strict=True):
            torch.testing.assert_close(part[task : task + 1], expected, rtol=1e-3, atol=1e-4)


def test_improvement_is_told_by_the_roles_that_are_given() -> None:
    task, role = torch.tensor([0, 1, 3, 2, 0, 2]), torch.tensor([ALONE, ALONE, ALONE, AMONG, ABSENT, ABSENT])
    evidence = Evidence(noise(6, 1, 9), task, role)
    found = objectives.improvements(torch.tensor([8.0, 2.0, 6.0, torch.nan]), evidence)
    assert {name: float(value) for name, value in found.items()} == {
        "si_sdri_db": 6,
        "si_sdri_db, alone": 2,
        "si_sdri_db, alone+absent": 8,
        "si_sdri_db, among+absent": 6,
    }


def test_improvement_is_measured_where_the_target_sounds() -> None:
    system, objective, target, query = mask_system(), MaskObjective(), noise(2, 2, 4096), noise(2, 1, 4096)
    mixture = target + noise(2, 2, 4096, seed=1)
    system.network = Constant(0.0)
    parts = objective(system, mixture, alone(query), target).parts
    assert float(parts["si_sdri_db"]) == pytest.approx(0, abs=1e-3)  # half of everything is no better than all
    for gain, measured in ((0.0, False), (0.5 * MIN_TARGET_SHARE**0.5, False), (2 * MIN_TARGET_SHARE**0.5, True)):
        parts = objective(system, noise(2, 2, 4096, seed=1), alone(query), gain * target).parts
        assert ("si_sdri_db" in parts) == measured


@pytest.mark.parametrize("preset", [*PRESETS, "tiny-image"])
@pytest.mark.parametrize("silent", ["", "target", "mixture", "query", "one of the batch"])
def test_every_parameter_gets_a_finite_gradient(preset: str, silent: str) -> None:
    torch.manual_seed(0)
    system: AnySystem = build(PRESETS.get(preset, presets.get(preset))).train()
    shape = system.preset.channels, system.preset.segment
    mixture, query, target = noise(2, *shape), noise(2, 1, shape[1], seed=1), noise(2, *shape, seed=2)
    for tensor, names in ((mixture, ["mixture"]), (query, ["query"]), (target, ["target", "mixture"])):
        tensor *= silent not in names
    target[0] *= silent != "one of the batch"
    evidence = alone(query)
    if system.knows_roles:
        torch.nn.init.normal_(system.join_roles[-1].weight)  # type: ignore[index, union-attr]
        task, role = torch.tensor([0, 1, 0, 1]), torch.tensor([ALONE, AMONG, ABSENT, ABSENT])
        evidence = Evidence(torch.cat([query, query]), task, role)
    loss, parts = objectives.for_system(system)(system, mixture, evidence, target)
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
        loss, parts = objective(system, target + other, alone(target[:, :1]), target)
        loss.backward()
        optimizer.step()
        course.append(float(parts["cross_entropy"].detach()))
    assert course[-1] < 0.5 * course[0]


def detector_batch(system: MaskSystem, seed: int) -> tuple[Tensor, Tensor, objectives.TrueMask]:
    """Low tones as clips, and their images; mixtures of a low tone and a noise as loud."""
    tones = torch.sin(torch.arange(4096) * (0.1 + 0.2 * torch.rand(4, 1, 1, generator=torch.manual_seed(seed))))
    other = noise(4, 1, 4096, seed=seed) * 5
    true = objectives.true_mask(system, *(system.stft(x.expand(-1, 2, -1)) for x in (tones + other, tones)))
    return tones, system.image(system.band_energy(system.stft(tones))), true


def detector_loss(system: MaskSystem, tones: Tensor, images: Tensor, true: objectives.TrueMask) -> Tensor:
    return objectives.multi_source_loss(system, images, 1, alone(tones), true)


def test_the_multi_source_detector_learns_and_leaves_the_encoder_alone() -> None:
    system = MaskSystem(PRESETS["tiny"]).train()
    assert (system.polyphony_logit(system.condition(noise(2, 1, 4096))) == 0).all()
    before = {name: value.clone() for name, value in system.query_encoder.state_dict().items()}
    optimizer = torch.optim.Adam(system.parameters(), 0.02)
    for step in range(60):
        optimizer.zero_grad()
        detector_loss(system, *detector_batch(system, step)).backward()
        assert all(parameter.grad is None for parameter in system.query_encoder.parameters())
        optimizer.step()
    assert all((value == before[name]).all() for name, value in system.query_encoder.state_dict().items())
    assert system.query_encoder.training
    system.eval()
    tones, *_ = detector_batch(system, 1000)
    single = system.polyphony_logit(system.condition(tones))
    several = system.polyphony_logit(system.condition(tones + noise(4, 1, 4096, seed=7) * 5))
    assert single.max() < 0 < several.min()


def test_only_mixtures_of_comparable_levels_count_as_several_sources() -> None:
    system = mask_system()
    nn.init.normal_(system.multi_source_detector.weight)
    tones, images, true = detector_batch(system, 0)
    some = detector_loss(system, tones, images, true)
    none = detector_loss(system, tones, images, true._replace(residual=true.residual * 1e-3))
    few = len(tones) // objectives.MULTI_SOURCE_SHARE
    single = torch.nn.functional.softplus(system.polyphony_logit(system.condition(tones[:few]))).mean()
    torch.testing.assert_close(none, single)
    assert abs(float(some - single)) > 1e-3


def test_clips_of_a_target_of_several_instruments_are_no_example_of_one() -> None:
    system = mask_system()
    nn.init.normal_(system.multi_source_detector.weight)
    tones, images, true = detector_batch(system, 0)
    evidence = Evidence.of_alone(tones)
    several = torch.arange(len(tones)) < 1
    found = objectives.multi_source_loss(system, images, 1, evidence._replace(several=several), true)
    later = objectives.multi_source_loss(system, images.roll(-1, 0), 1, evidence, true)
    torch.testing.assert_close(found, later)
    assert abs(float(found - objectives.multi_source_loss(system, images, 1, evidence, true))) > 1e-3


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
