"""What frames of the prompt add to a prompted system; see test_mask.py and test_prompted.py for what it shares."""

from __future__ import annotations

import pytest
import torch

from fewshot_sep.systems import AttendingSystem, PromptedSystem, build
from fewshot_sep.systems.attending import FRAMES, loud_frames
from tests.fewshot_sep.tensors import PRESETS, noise, tone

LOW, HIGH = tone(700, 1, 1, 8000), tone(6000, 1, 1, 8000)
MAX_BYTES, BYTES_OF_A_WEIGHT = 16 * 2**20, 2


@torch.inference_mode()
def test_the_frames_change_the_answer() -> None:
    torch.manual_seed(0)
    system = AttendingSystem(PRESETS["tiny-attending"]).eval()
    mixture, conditioning = noise(1, 2, 5000), system.condition(LOW)
    of_another = conditioning.templates.clone()
    of_another[..., -3 * FRAMES :] = system.condition(HIGH).templates[..., -3 * FRAMES :]
    changed = system(mixture, conditioning._replace(templates=of_another))
    assert (changed - system(mixture, conditioning)).abs().max() > 1e-5


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
