"""Passages that would make good evidence, found with a separator whose answer is known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fewshot_sep import Separator, audio
from fewshot_sep.audio import ArraySource
from fewshot_sep.errors import BadQuery
from fewshot_sep.prompt import ByRole
from fewshot_sep.songs import suggest as module
from fewshot_sep.songs.queries import parse_span
from fewshot_sep.songs.suggest import Passage, clock, distinct, passages, suggest
from fewshot_sep.systems import build
from tests.sounds import noise

RATE = 8000
ALONE, AMONG, ABSENT, SILENT = (0, 8), (8, 20), (20, 30), (30, 40)


@pytest.fixture
def song() -> tuple[np.ndarray, np.ndarray]:
    """Mixture and target: 8 s of it alone, 12 s among others, 10 s without it, 10 s of nothing."""
    target, others = noise(1, 40 * RATE, 1), noise(1, 40 * RATE, 2)
    others[:, : AMONG[0] * RATE] = 0
    target[:, ABSENT[0] * RATE :] = 0
    others[:, SILENT[0] * RATE :] = 0
    return target + others, target


class Knowing:
    """A separator that knows the target of a song, and takes its parts for instruments."""

    def __init__(self, mixture: np.ndarray, target: np.ndarray) -> None:
        self.mixture, self.target = mixture, target

    def encode(self, clip: np.ndarray, rate: int) -> int:
        """The number of the second at which it starts."""
        return round(float(np.flatnonzero(self.mixture[0] == clip[0, 0])[0]) / rate)

    def polyphony_logit(self, second: int) -> float:
        return 3.0 if AMONG[0] - 3 <= second < AMONG[1] else -3.0 + second / 100

    def similarity(self, one: int, other: int) -> float:
        return 1.0 if (one < ABSENT[0]) == (other < ABSENT[0]) else 0.1


def energy(*sounds: np.ndarray) -> np.ndarray:
    """In cells of half a second."""
    return np.array([np.square(sound[0]).reshape(-1, RATE // 2).sum(axis=1) for sound in sounds])


def inside(span: tuple[int, int], found: Sequence[Passage]) -> bool:
    return all(span[0] <= passage.start < passage.stop <= span[1] for passage in found)


def test_passages_are_where_the_target_is_all_one_of_several_and_missing(song: Any) -> None:
    found = passages(energy(*song), count=2)
    assert [len(role) for role in found] == [2, 2, 2]
    assert inside(ALONE, found.alone) and inside(ABSENT, found.absent)
    assert inside((ALONE[0] + 2, AMONG[1] + 2), found.among)
    for role in found:
        assert not role[0].overlaps(role[1])
        assert role[0].score >= role[1].score > 0
    assert passages(energy(*song), count=2, trusted=False) == found._replace(alone=[], absent=[])


def test_nothing_stands_out_in_silence_and_in_a_short_song(song: Any) -> None:
    for mixture in (np.zeros((1, 10 * RATE), np.float32), song[0][:, : 2 * RATE]):
        assert not any(passages(energy(mixture, mixture)))
        assert not distinct(Knowing(mixture, mixture), ArraySource(mixture, RATE))


def test_without_an_instrument_shown_each_passage_shows_another(song: Any) -> None:
    found = distinct(Knowing(*song), ArraySource(song[0], RATE), count=5)
    assert len(found) == 2  # there are no more that differ
    assert inside(ALONE, found[:1]) and inside(ABSENT, found[1:])
    assert found[0].score > found[1].score > 0.5


def test_a_passage_that_cannot_be_encoded_is_passed_over(song: Any) -> None:
    class Refusing(Knowing):
        def encode(self, clip: np.ndarray, rate: int) -> int:
            second = super().encode(clip, rate)
            if second < ABSENT[0]:
                raise BadQuery("next to nothing sounds")
            return second

    (passage,) = distinct(Refusing(*song), ArraySource(song[0], RATE))
    assert inside(ABSENT, [passage])


def test_the_command_prints_options_that_separate_takes(
    song: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    separator = Separator(build("tiny-informed"), "cpu")
    monkeypatch.setattr(Separator, "from_pretrained", lambda *args, **options: separator)
    audio.write(tmp_path / "song.wav", song[0], RATE)
    suggest(tmp_path / "song.wav", count=1)
    printed = capsys.readouterr().out
    assert printed.startswith("one instrument alone, ")
    option, span = printed.split()[-2:]
    assert option == "--query-at" and parse_span(span)[1] - parse_span(span)[0] == 4
    monkeypatch.setattr(
        module, "passages", lambda *args, **options: ByRole([], [Passage("among", 83.5, 87.5, 0.4)], [])
    )
    monkeypatch.setattr("fewshot_sep.songs.expectation.failure", lambda prediction: "it may have failed")
    suggest(tmp_path / "song.wav", query_at=[span])
    printed = capsys.readouterr()
    assert printed.out == "it plays with others, 40%: --with-at 1:23.5-1:27.5\n"
    assert printed.err == "listen first: it may have failed\n"


@pytest.mark.parametrize(
    ("second", "text"),
    [(0, "0:00"), (4, "0:04"), (59.5, "0:59.5"), (60, "1:00"), (83.5, "1:23.5"), (3601, "60:01")],
)
def test_the_clock_is_that_of_marks(second: float, text: str) -> None:
    assert clock(second) == text
