from __future__ import annotations

from pathlib import Path

from fewshot_sep.experiments.whole_songs import report
from fewshot_sep.experiments.whole_songs.settings import METHODS


def test_the_report_compares_the_methods_over_all_songs(tmp_path: Path) -> None:
    figures = {"spectral_snri": 0.5, "seconds": {"network": 0.1}}
    songs = [{"song": "a", "method": name, "si_sdri": float(n), **figures} for n, name in enumerate(METHODS)]
    items = [{**row, "song": "b", "si_sdri": row["si_sdri"] + more} for row in songs for more in (0.5, 1.5)]
    metrics = {"songs": songs, "items": items, "beats": {"a": {"beats": 0.98, "meter": 4.0}}}
    text = report.write(tmp_path, metrics).read_text()
    assert "| a | 0.00 | 1.00 | 2.00 | 3.00 | 4.00 | 5.00 |" in text
    assert "| b | 1.00 | 2.00 | 3.00 | 4.00 | 5.00 | 6.00 |" in text
    assert "| audio | 2.50 | 0.50 | +2.00 (worst song +2.00) | +1.00 | 0.000 | 0.000 | 0.100 | 0.000 | 0.100 |" in text
    assert "| a | 0.98 | 4.00 |" in text
