"""A head fitted to tasks whose truth is known by construction."""

from __future__ import annotations

import numpy as np

from fewshot_sep.experiments.evaluation.items import Item
from fewshot_sep.experiments.flagship.prediction import Row, conformal, judged, not_in_song, shown_songs


def rows(count: int, songs: int, seed: int) -> list[Row]:
    """The improvement falls with doubt; an instrument that is not there is quiet; the third sign says nothing."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(count):
        there = number % 4 > 0
        level, doubt, nothing = rng.normal(-10 if there else -35, 5), rng.uniform(), rng.normal()
        gain = 14 - 16 * doubt + rng.normal(0, 2)
        signs = {"level": level, "doubt": doubt, "nothing": nothing}
        found.append(Row(f"song {number % songs:02}", "clip", gain if there else None, signs))
    return found


def test_a_fitted_head_knows_what_tasks_hold_and_its_interval_keeps_its_promise() -> None:
    head = conformal(rows(200, 200, 0), rows(120, 12, 1))
    found = judged(head, rows(400, 40, 2))
    assert found["rank correlation"] > 0.85 and found["mean error (dB)"] < 2.2
    assert 0.7 < found["in the interval"] < 0.95
    assert found["failures ranked (AUC)"] > 0.9 and found["absences ranked (AUC)"] > 0.95
    assert found["failed and said"] > 0.7 and found["present but said absent"] < 0.1


def test_a_clip_of_another_song_is_of_what_this_song_has_not() -> None:
    def item(song: str, target: str, kind: str = "same", others: tuple[str, ...] = ()) -> Item:
        return Item(f"{song}.{target}", song, target, kind, "mix", f"{song}.{target}.query", "reference", others)

    others = "a.drums.flac", "a.lead_vocal.flac"
    items = [
        item("a", "violin", others=others),
        item("a", "flute", "absent"),
        item("b", "strings"),
        item("b", "vocals"),
    ]
    items += [item("b", "snare"), item("b", "flute"), item("b", "piano", "cross"), item("c", "organ")]
    assert [found.target for found in not_in_song(items, "a")] == ["flute", "organ"]


def test_a_song_is_shown_or_fitted_to_never_both() -> None:
    class Named:
        def __init__(self, song: str) -> None:
            self.song = song

    items = [Named(song) for song in "abcdabcd"]
    assert shown_songs(items) == {"b", "d"}  # type: ignore[arg-type]
