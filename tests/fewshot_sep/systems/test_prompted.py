"""What roles add to a mask system; see test_mask.py for what all kinds share."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from fewshot_sep import presets, weights
from fewshot_sep.errors import BadQuery
from fewshot_sep.systems import InformedSystem, PromptedSystem, build
from fewshot_sep.systems.attending import FRAMES
from fewshot_sep.systems.prompted import ABSENT_TEMPLATES
from tests.fewshot_sep.tensors import PRESETS, tone

COUNT = PRESETS["tiny-prompted"].templates
LOW, HIGH = tone(700, 1, 1, 8000), tone(6000, 1, 1, 8000)


@pytest.fixture(params=["tiny-prompted", "tiny-attending"])
def system(request: pytest.FixtureRequest) -> PromptedSystem:
    torch.manual_seed(0)
    system = build(PRESETS[request.param]).eval()
    assert isinstance(system, PromptedSystem)
    return system


def explained(system: PromptedSystem, *roles: Tensor | None) -> Tensor:
    """Mean level over time of what alone, the rest, among and absent explain of low and high tone: `(4, bands)`."""
    encoded = (None if clips is None else system.encode(clips) for clips in roles)
    energy = system.band_energy(system.stft((LOW + HIGH).expand(-1, 2, -1)))
    return system.network_inputs(energy, system.condition_on(*encoded)).extra[0, :4].mean(-1)


def band(system: PromptedSystem, wave: Tensor) -> int:
    return int(system.band_energy(system.stft(wave)).mean((0, 1, 3)).argmax())


@torch.inference_mode()
def test_templates_explain_by_role(system: PromptedSystem) -> None:
    low, high = band(system, LOW), band(system, HIGH)
    alone, rest, among, absent = explained(system, LOW, None, HIGH)
    assert alone[low] > alone[high] + 0.5 and absent[high] > absent[low] + 0.5
    assert among.max() == among.min()
    assert rest[high] < absent[high]


@torch.inference_mode()
def test_what_plays_among_others_is_what_they_do_not_explain(system: PromptedSystem) -> None:
    low, high = band(system, LOW), band(system, HIGH)
    _, _, among, absent = explained(system, None, LOW + HIGH, HIGH)
    assert among[low] > among[high] + 0.3
    assert absent[high] > absent[low] + 0.5


@torch.inference_mode()
def test_a_role_not_given_is_as_if_it_were_not_there(system: PromptedSystem) -> None:
    clips = [system.encode(clip) for clip in (LOW, LOW + HIGH, HIGH)]
    twice = [encoding._make(part.repeat(2, *[1] * (part.dim() - 1)) for part in encoding) for encoding in clips]
    given = torch.tensor([[True, False, True], [False, True, True]])
    batch = system.condition_on(*twice, given=given)
    for row, roles in enumerate([(clips[0], None, clips[2]), (None, clips[1], clips[2])]):
        for found, expected in zip(batch, system.condition_on(*roles), strict=True):
            torch.testing.assert_close(found[row : row + 1], expected, rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_every_role_changes_the_answer_once_trained(system: PromptedSystem) -> None:
    torch.nn.init.normal_(system.join_roles[-1].weight)
    mixture = torch.randn(1, 2, 6000)
    alone, among, absent = (system.encode(clip) for clip in (LOW, LOW + HIGH, HIGH))
    found = [
        system(mixture, system.condition_on(*roles))
        for roles in ((alone,), (alone, among), (alone, None, absent), (None, among, absent), (alone, among, absent))
    ]
    assert all((one - other).abs().max() > 1e-5 for place, one in enumerate(found) for other in found[:place])
    more = 3 * FRAMES * (system.preset.kind == "attending")
    assert system.condition_on(alone, among, absent).templates.shape[-1] == (2 + ABSENT_TEMPLATES) * COUNT + more


def test_weights_without_roles_are_a_start_that_answers_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(1)
    monkeypatch.setattr(presets, "PRESETS", PRESETS)
    before = InformedSystem(PRESETS["tiny-informed"])
    before.train()
    before(torch.randn(2, 2, 6000), before.condition(torch.randn(2, 1, 6000)))
    weights.save(before.eval(), tmp_path / "before.safetensors", {})
    after = PromptedSystem(PRESETS["tiny-prompted"]).eval()
    left = weights.load_what_fits(after, tmp_path / "before.safetensors")
    assert left and all(name.startswith(("join_roles", "not_given")) for name in left)
    before = InformedSystem(PRESETS["tiny-informed"]).eval()
    weights.load_what_fits(before, tmp_path / "before.safetensors")
    with torch.inference_mode():
        mixture = torch.randn(1, 2, 6000)
        expected, found = (system(mixture, system.condition(LOW)) for system in (before, after))
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


def test_other_systems_say_that_they_know_no_roles() -> None:
    system = InformedSystem(PRESETS["tiny-informed"])
    encoding = system.encode(LOW)
    for roles in ((None, encoding), (encoding, encoding), (encoding, None, encoding)):
        with pytest.raises(BadQuery, match="alone"):
            system.condition_on(*roles)
    assert system.condition_on(encoding) is encoding


@torch.inference_mode()
def test_marks_alone_separate_by_templates_before_any_training(system: PromptedSystem) -> None:
    """The untrained network passes about half of everything; only without a clip alone do templates join in."""
    low, high = band(system, LOW), band(system, HIGH)
    energy = system.band_energy(system.stft((LOW + HIGH).expand(-1, 2, -1)))
    alone, among, absent = (system.encode(clip) for clip in (LOW, LOW + HIGH, HIGH))
    masks = [
        torch.sigmoid(system.logits(energy, system.condition_on(*roles))).mean((0, 1, 3))
        for roles in ((None, among, absent), (alone, among, absent), (None, among, None))
    ]
    marked, clip, unmarked = (float(mask[low] - mask[high]) for mask in masks)
    assert marked > 0.5
    assert abs(clip) < 0.2 and abs(unmarked) < 0.2
