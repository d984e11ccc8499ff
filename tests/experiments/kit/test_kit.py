from __future__ import annotations

from pathlib import Path

import pytest

from fewshot_sep.errors import FewshotSepError
from fewshot_sep.experiments.kit import curves, resume


def test_losses_are_means_of_epochs_over_all_logs(tmp_path: Path) -> None:
    for number, lines in enumerate((["0,1.0", "1,3.0", "2,5.0"], ["3,7.0", "4,", "4,9.0"])):
        log = tmp_path / f"{number}.csv"
        log.write_text("\n".join(["step,train/loss", *lines]))
    assert curves.losses(sorted(tmp_path.glob("*.csv")), 2) == [2.0, 6.0, 9.0]


def test_curves_are_drawn_for_as_many_panels_as_fit(tmp_path: Path) -> None:
    curves.loss_per_epoch({"a": [3.0, 2.0, 1.0, 0.5, 0.4]}, 10, (1, 2, 5), tmp_path / "loss.png", columns=2)
    assert (tmp_path / "loss.png").read_bytes()[:4] == b"\x89PNG"


def test_a_run_goes_on_with_the_same_settings_alone(tmp_path: Path) -> None:
    resume.same_as_before(tmp_path, {"width": 8, "steps": 10, "unseen": (3, 8)})
    resume.same_as_before(tmp_path, {"width": 8, "steps": 20, "unseen": (3, 8)}, free=("steps",))
    with pytest.raises(FewshotSepError, match=r"another width \(8\)"):
        resume.same_as_before(tmp_path, {"width": 4, "steps": 20, "unseen": (3, 8)})


def test_what_was_measured_is_read_back(tmp_path: Path) -> None:
    for value, of, found in ((1.0, "a", 1.0), (2.0, "a", 1.0), (3.0, "b", 3.0)):
        assert resume.measured_once(tmp_path / "m" / "x.json", {"weights": of}, lambda value=value: value) == found
