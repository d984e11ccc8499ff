from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fewshot_sep.experiments.whole_songs import report, run
from fewshot_sep.experiments.whole_songs.settings import DEFAULT, METHODS


@pytest.fixture
def metrics() -> dict[str, Any]:
    """As older versions wrote them."""
    figures = {"grid": "downbeat", "spectral gain": 0.5, "seconds": {"network": 0.1}}
    silent, accented = [0.0] * 32, [2.0] * 8 + [0.0] * 24
    stages = {"tracking": 0.03, "network": 0.04, "masking": 0.02, "process": 0.1}
    return {
        "songs": [{"song": "a", "way": name, "gain": float(n), **figures} for n, name in enumerate(METHODS)],
        "profiles": {"a": {"meter": 4, "plain": silent, "thesis": accented, DEFAULT: silent, "truth": silent}},
        "joins": {"a": dict.fromkeys(METHODS, 50.0)},
        "queries": {
            "a": {"alone": [1.0, 3.0], "averaged": {"3": [2.0]}, "all": 2.5, "shorter": {"1": [0.5], "3": [1.0]}}
        },
        "not": [{"song": "a", "without": 1.0, "with": 2.0}, {"song": "a", "without": 3.0, "with": 2.5}],
        "crowds": {"clips": 50, "mixtures": 40, "area": 0.9, "false alarms": 0.02, "hits": 0.5},
        "memory, 3 hours": {**stages, "peak_mib": 800.0, "bars": 9},
    }


def test_report_and_figures_of_what_was_measured(metrics: dict[str, Any], tmp_path: Path) -> None:
    text = report.write(tmp_path, run.current(metrics)).read_text()
    assert {path.name for path in tmp_path.iterdir()} == {"boundaries.png", "queries.png", "report.md", "metrics.json"}
    assert json.loads((tmp_path / "metrics.json").read_text()) == run.current(metrics)
    assert "| a | 0.00 | 1.00 | 2.00 | 3.00 | 4.00 | 5.00 |" in text
    assert "| a | 50.0 | 50.0 | +0.00 | +0.00 | +2.00 | +0.00 | +2.00 | +0.00 |" in text
    assert "| a | 1.00 | 2.00 | 3.00 | 0.50 | 1.00 | 2.00 |  | 2.50 |" in text
    assert "2.00 -> 2.25 dB" in text and "50 % of the items" in text
    assert "at 2 % of the items' 50 queries" in text and "at 50 % of 40 passages" in text
    assert "| 3 hours | 9 | 0.030 | 0.040 | 0.020 | 0.100 | 800 |" in text
    assert "## Beats" not in text, "which was not measured"


def test_what_is_measured_is_kept_at_once_and_not_measured_again(metrics: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    path.write_text(json.dumps(metrics))
    kept = run.Metrics(path)
    kept.need("boundaries", lambda: pytest.fail("measured again"))
    kept.need("beats", lambda: {"a": 1 / 3})
    assert run.Metrics(path).all["beats"] == {"a": 0.3333}
