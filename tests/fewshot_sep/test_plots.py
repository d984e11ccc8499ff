from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.collections import QuadMesh
from matplotlib.image import imread

from fewshot_sep import plots
from tests.sounds import tone


def drawn(samples: np.ndarray, sample_rate: int, **options: float) -> tuple[Any, QuadMesh, float]:
    figure, axes = plots.new_figure(1, 1, 6, 3)
    reference = plots.spectrogram(axes[0, 0], samples, sample_rate, "a title", **options)  # type: ignore[arg-type]
    figure.canvas.draw()
    return axes[0, 0], axes[0, 0].collections[0], reference


@pytest.mark.parametrize("sample_rate", [8000, 22050, 48000])
def test_a_tone_lies_at_its_frequency_and_time(sample_rate: int) -> None:
    samples = np.pad(tone(1000, 1, sample_rate, channels=2), ((0, 0), (sample_rate, sample_rate)))
    axes, mesh, _ = drawn(samples, sample_rate)
    level_db = np.asarray(mesh.get_array())
    corners = mesh.get_coordinates()
    row, column = np.unravel_index(level_db.argmax(), level_db.shape)
    assert corners[row, column, 1] < 1000 < corners[row + 1, column, 1] or abs(corners[row, column, 1] - 1000) < 15
    assert 1 < corners[row, column, 0] < 2
    assert level_db.max() == pytest.approx(0, abs=1e-3)
    loud = (level_db > -20).any(0)
    assert loud.sum() * (corners[0, 1, 0] - corners[0, 0, 0]) == pytest.approx(1, abs=0.3)
    assert axes.get_ylim()[1] == sample_rate / 2
    labels = axes.get_title(), axes.get_xlabel(), axes.get_ylabel(), axes.get_yscale()
    assert labels == ("a title", "time (s)", "frequency (Hz)", "log")
    assert "level (dB)" in [extra.get_ylabel() for extra in axes.figure.axes]


def test_two_sounds_on_one_scale() -> None:
    sound = tone(1000, 0.5, 22050)
    _, _, reference = drawn(sound, 22050)
    _, mesh, same = drawn(0.1 * sound, 22050, reference=reference)
    assert same == reference
    assert np.asarray(mesh.get_array()).max() == pytest.approx(-20, abs=0.01)
    assert drawn(0 * sound, 22050)[2] == 1, "silence has no maximum to refer to"


def test_a_long_sound_stays_a_small_picture() -> None:
    _, mesh, _ = drawn(tone(1000, 60, 8000), 8000, columns=100)
    assert np.asarray(mesh.get_array()).shape[1] < 200


@pytest.mark.parametrize("samples", [1, 100, 3000])
def test_short_sounds_lie_where_they_are(samples: int) -> None:
    click = np.zeros(samples, np.float32)
    click[0] = 1
    _, mesh, _ = drawn(click, 44100)
    level_db, corners = np.asarray(mesh.get_array()), mesh.get_coordinates()
    loudest = level_db.max(0).argmax()
    assert corners[0, loudest, 0] <= 0 <= corners[0, loudest + 1, 0]


def test_loss_curve_joins_the_logs_of_two_sessions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    header = "epoch,step,train/loss,valid/loss,valid/snr_db\n"
    (tmp_path / "a.csv").write_text(header + "0,10,3.0,,\n0,10,,2.5,1.0\n0,20,2.0,,\n")
    (tmp_path / "b.csv").write_text("epoch,step,train/loss,speed/examples_per_s\n0,30,1.0,7.5\n")
    figures = []
    new_figure = plots.new_figure
    monkeypatch.setattr(plots, "new_figure", lambda *size: figures.append(new_figure(*size)) or figures[-1])
    plots.loss_curve([tmp_path / "b.csv", tmp_path / "a.csv"], tmp_path / "curve.png")

    (_, axes), panels = figures[0], figures[0][1][:, 0]
    assert [panel.get_ylabel() for panel in panels] == ["loss", "snr (dB)"]
    assert all(panel.get_xlabel() == "step" for panel in panels)
    assert axes.shape == (2, 1)
    lines = {line.get_label(): line.get_xydata().tolist() for line in panels[0].lines}
    assert lines == {"train": [[10, 3], [20, 2], [30, 1]], "valid": [[10, 2.5]]}
    assert [line.get_xydata().tolist() for line in panels[1].lines] == [[[10, 1]]]
    assert imread(tmp_path / "curve.png").std() > 0.01


def test_loss_curve_of_nothing_draws_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("epoch,step\n")
    plots.loss_curve([tmp_path / "a.csv"], tmp_path / "curve.png")
    plots.loss_curve([], tmp_path / "curve.png")
    assert not (tmp_path / "curve.png").exists()
