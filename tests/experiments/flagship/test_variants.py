from __future__ import annotations

import pytest
import torch
from torch import Tensor

from fewshot_sep import presets
from fewshot_sep.evidence import Evidence
from fewshot_sep.experiments.flagship.variants import VARIANTS, rendered
from fewshot_sep.loops.library import Row
from fewshot_sep.systems import MaskSystem, build

SAMPLES = presets.get("tiny").segment


def tones(*hertz: float) -> Tensor:
    """`(len(hertz), 1, samples)`."""
    time = torch.arange(SAMPLES) / 44100
    return 0.3 * torch.stack([torch.sin(2 * torch.pi * one * time) for one in hertz])[:, None]


@pytest.mark.parametrize(
    "name", ["recipe", "together", *(pytest.param(name, marks=pytest.mark.slow) for name in ("si-sdr", "contrastive"))]
)
def test_every_objective_is_learnt(name: str) -> None:
    """Low tones are the targets among high ones; a low tone is the query."""
    torch.manual_seed(0)
    system, objective = build("tiny").train(), VARIANTS[name].objective
    assert isinstance(system, MaskSystem)
    target, queries = tones(300, 350, 420, 510).expand(-1, 2, -1), Evidence.of_alone(tones(320, 390, 450, 480))
    mixture = target + tones(3000, 3300, 3700, 4200).expand(-1, 2, -1)
    optimizer = torch.optim.Adam(system.parameters(), 3e-3)
    losses = []
    for _ in range(12):
        loss = objective(system, mixture, queries, target).total
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.9 * losses[0]


def test_rows_with_beats_were_rendered() -> None:
    assert not rendered(Row("a.flac", "piano", "piano", "evr", "CC0", 0, 0, "", "train"))
    assert rendered(Row("a.flac", "piano", "piano", "fluidr3", "MIT", 120, 16, "", "train"))
