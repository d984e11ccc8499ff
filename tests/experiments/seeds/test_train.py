from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fewshot_sep import plots, weights
from fewshot_sep.errors import FewshotSepError, WeightsError
from fewshot_sep.experiments import seeds
from fewshot_sep.experiments.evaluation import methods
from fewshot_sep.experiments.seeds import systems
from fewshot_sep.experiments.seeds import train as training
from fewshot_sep.experiments.seeds.exp_wave_u_net import WaveUNet
from fewshot_sep.experiments.seeds.labels import Labels
from fewshot_sep.experiments.seeds.separate import LabelSeparator
from fewshot_sep.experiments.seeds.waveform import WaveformSystem
from fewshot_sep.loops import library
from fewshot_sep.loops.library import Library

NAME = "cexp-wave-u-net"


def tiny(labels: int) -> WaveformSystem:
    return WaveformSystem(NAME, WaveUNet(labels, True, width=2, levels=2), "either", True)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that trains in no time, and no drawing of curves."""
    monkeypatch.setitem(systems.RECIPES, NAME, systems.Recipe(tiny, 2, 256))
    monkeypatch.setattr(plots, "loss_curve", lambda logs, picture: None)


@dataclass(frozen=True)
class Case:
    mixture: np.ndarray
    sample_rate: int
    instrument: str
    queries: list[Any] = field(default_factory=list)


def train(tones: Library, run: Path, **budget: Any) -> Path:
    (path,) = training.train(tones.folder, run, [NAME], device="cpu", **budget)
    return path


def steps_done(run: Path) -> int:
    checkpoint = torch.load(run / NAME / "checkpoints" / "last.ckpt", map_location="cpu", weights_only=False)
    return int(checkpoint["global_step"])


def test_trained_weights_come_back_and_separate(tones: Library, tmp_path: Path) -> None:
    path = train(tones, tmp_path, steps=2)
    card = weights.card(path)
    assert (card["system"], card["steps"], card["labels"]) == (NAME, 2, ["guitar", "piano", "pipe"])
    system, labels = systems.load(NAME, tmp_path)
    checkpoint = torch.load(tmp_path / NAME / "checkpoints" / "last.ckpt", map_location="cpu", weights_only=False)
    for name, value in system.state_dict().items():
        assert torch.allclose(value, checkpoint["state_dict"][f"system.{name}"], atol=1e-3), "half precision"
    assert labels.names == ("guitar", "piano", "pipe")
    separator = seeds.load(NAME, tmp_path, device="cpu")
    mixture = np.random.default_rng(0).normal(0, 0.1, (2, 3333)).astype(np.float32)
    target = separator(Case(mixture, 44100, "steel guitar"))
    assert target.shape == mixture.shape and target.any() and np.isfinite(target).all()
    (choice,) = methods.choose([NAME], [f"{NAME}={path}"], device="cpu")
    np.testing.assert_array_equal(methods.load(choice)(Case(mixture, 44100, "steel guitar")), target)


def test_training_goes_on_and_refuses_another_library(tones: Library, tmp_path: Path) -> None:
    train(tones, tmp_path, steps=2)
    assert steps_done(tmp_path) == 2
    train(tones, tmp_path, steps=3)
    assert steps_done(tmp_path) == 3
    fewer = tuple(replace(row, family="invented") if row.instrument == "flute" else row for row in tones)
    other = library.write(tones.folder, fewer)
    try:
        with pytest.raises(FewshotSepError, match="other labels"):
            train(other, tmp_path, steps=4)
    finally:
        library.write(tones.folder, tones)


def test_minutes_become_steps_once(tones: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def measured(name: str, *_: Any) -> float:
        asked.append(name)
        return 20.0

    monkeypatch.setattr(training, "_seconds_per_step", measured)
    train(tones, tmp_path, minutes=1)
    assert steps_done(tmp_path) == 3
    train(tones, tmp_path, minutes=1)
    assert steps_done(tmp_path) == 3
    assert asked == [NAME]


def test_a_step_is_timed(tones: Library, tmp_path: Path) -> None:
    path = train(tones, tmp_path, minutes=1e-6)
    assert weights.card(path)["steps"] == 1


@pytest.mark.parametrize(
    ("change", "message"), [({"system": "wavenet"}, "says 'wavenet'"), ({"labels": ["guitar"]}, "does not fit")]
)
def test_weights_of_something_else_are_refused(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    labels = Labels(("guitar", "piano"))
    path = tmp_path / NAME / systems.FILE
    weights.save(tiny(2), path, {"system": NAME, "labels": labels.names})  # type: ignore[arg-type]
    assert systems.load(NAME, tmp_path)[1] == labels
    path.with_suffix(".json").write_text(json.dumps({**weights.card(path), **change}))
    with pytest.raises(WeightsError, match=message):
        systems.load(NAME, tmp_path)


# --- the separator


class Halving(torch.nn.Module):
    """Knows two labels: gives half of the mixture for the first, a quarter for the second."""

    preset = tiny(2).preset

    def condition(self, labels: torch.Tensor) -> torch.Tensor:
        return labels

    def forward(self, mixture: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        assert mixture.shape[1] == 1
        return mixture * (labels * torch.tensor([0.5, 0.25])).sum()


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [16000, 44100])
@pytest.mark.parametrize(("instrument", "share"), [("steel guitar", 0.5), ("clav", 0.25), ("violin", 0.0)])
def test_the_instrument_decides_and_channels_stay_apart(
    channels: int, rate: int, instrument: str, share: float
) -> None:
    separator = LabelSeparator(Halving(), Labels(("guitar", "piano")), "cpu")  # type: ignore[arg-type]
    time = np.arange(10 * rate + 7) / rate  # longer than a segment
    mixture = np.stack([np.sin(2 * np.pi * hertz * time) for hertz in (200, 500)][:channels]).astype(np.float32)
    target = separator(Case(mixture, rate, instrument))
    assert target.shape == mixture.shape and target.dtype == np.float32
    assert np.abs(target - share * mixture)[:, rate // 10 : -rate // 10].max() < 0.01


# --- commands and papers


def test_every_system_has_its_paper() -> None:
    assert set(seeds.NAMES) == set(systems.RECIPES)
    for name in seeds.NAMES:
        assert all(seeds.about(name))
    with pytest.raises(FewshotSepError, match="wavenet"):
        seeds.about("wave-net")


def test_commands_answer_without_torch() -> None:
    code = "import sys; from fewshot_sep.experiments.seeds import table2, train; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
