from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fewshot_sep import plots, weights
from fewshot_sep.errors import FewshotSepError, WeightsError
from fewshot_sep.experiments.evaluation import methods as evaluation
from fewshot_sep.experiments.evaluation.case import Case
from fewshot_sep.experiments.evaluation.settings import SEEDS
from fewshot_sep.experiments.seeds import methods
from fewshot_sep.experiments.seeds import train as training
from fewshot_sep.experiments.seeds.labels import Labels
from fewshot_sep.experiments.seeds.wavenet import WaveNet, WaveNetObjective, WaveNetSystem
from fewshot_sep.loops import library
from fewshot_sep.loops.library import Library

NAME = "wavenet"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that trains in no time, and no drawing of curves."""

    def tiny(labels: int) -> WaveNetSystem:
        return WaveNetSystem(WaveNet(labels, channels=2, stacks=1, depth=3))

    monkeypatch.setitem(methods.RECIPES, NAME, methods.Recipe(tiny, WaveNetObjective(), 2, 256))
    monkeypatch.setattr(plots, "loss_curve", lambda logs, picture: None)


def case(mixture: np.ndarray, rate: int, instrument: str) -> Case:
    return Case(mixture, [], rate, instrument, None, [])


def train(tones: Library, run: Path, steps: int) -> Path:
    (path,) = training.train_seeds(tones.folder, run, [NAME], steps, device="cpu")
    return path


def test_trained_weights_come_back_and_separate(tones: Library, tmp_path: Path) -> None:
    path = train(tones, tmp_path, steps=2)
    card = weights.card(path)
    assert (card["system"], card["steps"], card["labels"]) == (NAME, 2, ["guitar", "piano", "pipe"])
    separate = methods.load(NAME, path, device="cpu")
    checkpoint = torch.load(tmp_path / NAME / "checkpoints" / "last.ckpt", map_location="cpu", weights_only=True)
    for name, value in separate.system.state_dict().items():
        assert torch.equal(value, checkpoint["state_dict"][f"system.{name}"])
    assert separate.labels.names == ("guitar", "piano", "pipe")
    mixture = np.random.default_rng(0).normal(0, 0.1, (2, 3333)).astype(np.float32)
    target = separate(case(mixture, 44100, "steel guitar"))
    assert target.shape == mixture.shape and target.any() and np.isfinite(target).all()
    (choice,) = evaluation.choose([NAME], [f"{NAME}={path}"], device="cpu")
    np.testing.assert_array_equal(evaluation.load(choice)(case(mixture, 44100, "steel guitar")), target)

    assert weights.card(train(tones, tmp_path, steps=3))["steps"] == 3, "resumed"
    fewer = tuple(replace(row, family="invented") if row.instrument == "flute" else row for row in tones)
    try:
        with pytest.raises(FewshotSepError, match="another labels"):
            train(library.write(tones.folder, fewer), tmp_path, steps=4)
    finally:
        library.write(tones.folder, tones)


@pytest.mark.parametrize(
    ("change", "message"), [({"system": "label-twin"}, "says 'label-twin'"), ({"labels": ["guitar"]}, "does not fit")]
)
def test_weights_of_something_else_are_refused(
    tones: Library, change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = train(tones, tmp_path, steps=1)
    path.with_suffix(".json").write_text(json.dumps({**weights.card(path), **change}))
    with pytest.raises(WeightsError, match=message):
        methods.load(NAME, path)


class Halving(nn.Module):
    """Knows two labels: gives half of the mixture for the first, a quarter for the second."""

    context = 0

    def __init__(self) -> None:
        super().__init__()
        self.share = nn.Parameter(torch.tensor([0.5, 0.25]))

    def forward(self, mixture: Tensor, labels: Tensor) -> Tensor:
        return mixture * (labels * self.share).sum(1)[:, None, None]


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [16000, 44100])
@pytest.mark.parametrize(("instrument", "share"), [("steel guitar", 0.5), ("clav", 0.25), ("violin", 0.0)])
def test_the_instrument_decides_and_channels_stay_apart(
    channels: int, rate: int, instrument: str, share: float
) -> None:
    separate = methods.LabelSeparator(WaveNetSystem(Halving()), Labels(("guitar", "piano")), "cpu")
    time = np.arange(20 * rate + 7) / rate  # several segments
    mixture = np.stack([np.sin(2 * np.pi * hertz * time) for hertz in (200, 500)][:channels]).astype(np.float32)
    target = separate(case(mixture, rate, instrument))
    assert target.shape == mixture.shape and target.dtype == np.float32
    assert np.abs(target - share * mixture)[:, rate // 10 : -rate // 10].max() < 0.01


def test_the_evaluation_knows_every_system_and_no_other_is_built() -> None:
    assert tuple(methods.RECIPES) == SEEDS
    with pytest.raises(FewshotSepError, match="there are: wavenet"):
        methods.build("wave-net", Labels(("guitar",)))
