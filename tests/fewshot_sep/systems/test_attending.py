"""What frames of the prompt add to a prompted system; see test_prompted.py for roles."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from fewshot_sep import presets
from fewshot_sep.evidence import Evidence
from fewshot_sep.objectives import MaskObjective
from fewshot_sep.systems import AttendingSystem, PromptedSystem, build
from fewshot_sep.systems.attending import FRAMES, loud_frames
from tests.fewshot_sep.tensors import noise, tone

LOW, HIGH = tone(700, 1, 1, 8000), tone(6000, 1, 1, 8000)
MAX_BYTES, BYTES_OF_A_WEIGHT = 16 * 2**20, 2


@pytest.fixture
def system() -> AttendingSystem:
    torch.manual_seed(0)
    preset = presets.get("tiny-attending")
    return AttendingSystem(replace(preset, n_fft=1024, hop=256, bands=32, features=5, segment=4096)).eval()


@torch.inference_mode()
def test_a_role_not_given_is_as_if_it_were_not_there(system: AttendingSystem) -> None:
    clips = [system.encode(clip) for clip in (LOW, LOW + HIGH, HIGH)]
    twice = [encoding._make(part.repeat(2, *[1] * (part.dim() - 1)) for part in encoding) for encoding in clips]
    given = torch.tensor([[True, False, True], [True, True, False]])
    mixture = noise(1, 2, 5000).expand(2, -1, -1)
    batch = system(mixture, system.condition_on(*twice, given=given))
    for row, roles in enumerate([(clips[0], None, clips[2]), (clips[0], clips[1], None)]):
        alone = system(mixture[:1], system.condition_on(*roles))
        torch.testing.assert_close(batch[row : row + 1], alone, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("samples", [1024, 5000])
@pytest.mark.parametrize("time_scale", [1.0, 1.3])
@torch.inference_mode()
def test_any_length_and_any_gain(system: AttendingSystem, samples: int, time_scale: float) -> None:
    mixture, clips = noise(2, 2, samples), noise(2, 3, 3000)
    out = system(mixture, system.condition(clips), time_scale)
    assert out.shape == mixture.shape
    assert 0 < out.square().sum() < mixture.square().sum()
    louder = system(30 * mixture, system.condition(clips / 30), time_scale)
    torch.testing.assert_close(louder, 30 * out, rtol=1e-2, atol=0.03)


@torch.inference_mode()
def test_the_frames_change_the_answer(system: AttendingSystem) -> None:
    mixture, conditioning = noise(1, 2, 5000), system.condition(LOW)
    of_another = conditioning.templates.clone()
    of_another[..., -3 * FRAMES :] = system.condition(HIGH).templates[..., -3 * FRAMES :]
    changed = system(mixture, conditioning._replace(templates=of_another))
    assert (changed - system(mixture, conditioning)).abs().max() > 1e-5


def test_every_parameter_learns(system: AttendingSystem) -> None:
    torch.nn.init.normal_(system.join_roles[-1].weight)
    clips = torch.cat([LOW, HIGH, LOW + HIGH, HIGH])
    evidence = Evidence(clips, torch.tensor([0, 1, 0, 1]), torch.tensor([0, 0, 1, 2]))
    mixture, target = (LOW + HIGH).expand(2, 2, -1), torch.cat([LOW, HIGH]).expand(2, 2, -1)
    MaskObjective()(system.train(), mixture + noise(2, 2, 8000), evidence, target).total.backward()
    idle = {name for name, parameter in system.named_parameters() if not parameter.grad.abs().sum() > 0}
    assert idle <= {"multi_source_detector.bias"}, "which as many clips of one instrument as of several balance"


def test_loud_frames() -> None:
    magnitude = torch.tensor([0.0, 4.0, 0.0, 2.0, 0.0, 0.0]).repeat(1, 3, 1)
    frames = loud_frames(magnitude, 3)
    assert frames.shape == (1, 3, 3)
    assert (frames[0, 0, :2] > 0).all() and frames[0, 0, 0] == 2 * frames[0, 0, 1]
    torch.testing.assert_close(loud_frames(100 * magnitude, 3), frames)
    assert loud_frames(magnitude[..., 1:2], 5).unique().tolist() == [1]
    assert not loud_frames(0 * magnitude, 4).any()


@pytest.mark.parametrize("name", ["prompted", "prompted-fine", "prompted-wide", "attending"])
def test_candidates_are_prompted_and_small(name: str) -> None:
    system = build(name)
    assert isinstance(system, PromptedSystem)
    tensors = [tensor for key, tensor in system.state_dict().items() if not key.startswith("stft.")]
    assert BYTES_OF_A_WEIGHT * sum(tensor.numel() for tensor in tensors) < 0.98 * MAX_BYTES
