from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from matplotlib.image import imread
from typer import Typer
from typer.testing import CliRunner

from fewshot_sep.errors import FewshotSepError
from fewshot_sep.experiments.bachata import findings, report, trainer
from fewshot_sep.experiments.bachata.examples import draw
from fewshot_sep.experiments.bachata.run import bachata
from fewshot_sep.experiments.bachata.settings import INSTRUMENTS, VARIANTS, Settings, Variant
from fewshot_sep.experiments.kit import document, resume
from fewshot_sep.loops.tasks.pool import AudioPool


@pytest.fixture
def metrics() -> dict[str, Any]:
    """What metrics.json holds, with numbers that tell where they come from."""
    each = {name: float(place) for place, name in enumerate(INSTRUMENTS)}
    figures_of_each = {name: dict.fromkeys(findings.FIGURES, value) for name, value in each.items()}
    return {
        "settings": Settings()._asdict(),
        "material": "soundfonts x.sf2",
        "clips": {"train": 1000, "valid": 100},
        "test_voices": ["bass", "guira", "guitar"],
        "collections_of_the_shipped_model": ["x"],
        "trainings": {name: {"parameters": 480_000, "epochs": 50, "iterations": 3, "seconds": 60} for name in VARIANTS},
        "loss": {name: [0.04, 0.03, 0.02, 0.01] for name in VARIANTS},
        "test": {"the mixture itself": figures_of_each, "ideal ratio mask": figures_of_each},
        "variants": {name: each for name, variant in VARIANTS.items() if not variant.short},
    }


def test_the_report_holds_the_figures(metrics: dict[str, Any]) -> None:
    written = document.markdown(findings.blocks(metrics))
    for row in (
        "| clipping | 0.0 | 1.0 | 2.0 | 3.0 | 1.5 |",
        "| ideal ratio mask | bongo | 0.0 | 0.0 | 0.0 | 0.0 | 0.0 |",
    ):
        assert row in written
    assert all(f"(figure{number}.png)" in written for number in (6, 8, 9, 10))
    assert "9 trainings took 9 minutes" in written and "but the bongo" in written
    assert "This is a reduced run" in written and "nan" not in written.lower().split()


def test_figure_6_is_drawn(pool: AudioPool, tmp_path: Path) -> None:
    report.spectrograms(trainer.build(Variant(), 1).eval(), draw(pool, 1, 18000)[0], tmp_path / "6.png")
    assert imread(tmp_path / "6.png").std() > 0.01


def test_table_1_holds_mixture_stems_and_estimates(pool: AudioPool, tmp_path: Path) -> None:
    (example,) = draw(pool, 1, 18000)
    loud = example._replace(stems=3 * example.stems)
    (sounds,) = report.table_1(trainer.build(Variant(), 1).eval(), [loud])
    assert list(sounds.clips)[:3] == ["mixture", "bongo, true", "bongo, separated"] and len(sounds.clips) == 9
    (tmp_path / "mixture.mp3").write_bytes(sounds.clips["mixture"])
    samples, rate = soundfile.read(tmp_path / "mixture.mp3")
    assert rate == 11025 and np.abs(samples).max() < 1.1
    assert np.corrcoef(samples[:18000], loud.mixture[: len(samples)])[0, 1] > 0.9


def test_a_run_with_other_settings_is_refused(tmp_path: Path) -> None:
    resume.same_as_before(tmp_path, {"width": 3})
    app = Typer()
    app.command()(bachata)
    result = CliRunner().invoke(app, ["-o", str(tmp_path)])
    assert isinstance(result.exception, FewshotSepError) and "another width" in str(result.exception)


@pytest.mark.parametrize("module", ["bachata.run", "mnist.run"])
def test_commands_import_nothing_heavy(module: str) -> None:
    code = (
        f"import sys, fewshot_sep.experiments.{module}\n"
        "assert not {'torch', 'librosa', 'scipy', 'matplotlib', 'numpy'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
