"""Passages as they are written, and the quality of query clips."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fewshot_sep import audio
from fewshot_sep.errors import BadQuery
from fewshot_sep.prompt import ByRole, Role
from fewshot_sep.songs.queries import MAX_PIECES, check_spans, encode_span, examine, parse_span

RATE = 8000


def tone(seconds: float, level_dbfs: float = -12.0, silence: float = 0.0, channels: int = 1) -> np.ndarray:
    time = np.arange(round(seconds * RATE)) / RATE
    sound = 10 ** (level_dbfs / 20) * np.sqrt(2) * np.sin(2 * np.pi * 440 * time)
    return np.tile(np.pad(sound, (0, round(silence * RATE))), (channels, 1)).astype(np.float32)


@pytest.mark.parametrize("channels", [1, 2])
def test_a_good_clip_gets_its_figures_and_no_remark(channels: int) -> None:
    quality = examine(tone(3, silence=2, channels=channels), RATE)
    assert quality["sound (s)"] == pytest.approx(3, abs=0.1)
    assert quality["level (dBFS)"] == pytest.approx(-12, abs=0.2)
    assert quality["remarks"] == []


@pytest.mark.parametrize(
    ("role", "clip", "logit", "remark"),
    [
        ("alone", tone(0.6, silence=5), None, "only 0.6 s of it sound; 2 to 10 s"),
        ("alone", np.ones((1, 1), np.float32), None, "only 0.0 s of it sound"),
        ("alone", tone(3, -52), None, "it is quiet (-52 dBFS)"),
        ("alone", tone(3), 5.0, "more than one instrument"),
        ("alone", tone(3), -3.0, None),
        ("among", tone(3), 5.0, None),
        ("absent", tone(3), 5.0, None),
        ("absent", tone(3, -52), None, None),
        ("among", tone(3, -52), None, "it is quiet (-52 dBFS)"),
        ("absent", tone(0.6), None, "only 0.6 s of it sound; more is better"),
    ],
)
def test_what_is_doubtful_in_its_role_is_remarked(
    role: Role, clip: np.ndarray, logit: float | None, remark: str | None
) -> None:
    quality = examine(clip, RATE, logit, role)
    assert quality.get("polyphony_logit") == logit
    assert len(quality["remarks"]) == (remark is not None)
    assert all(found.startswith(remark or "") for found in quality["remarks"])


@pytest.mark.parametrize(
    ("text", "span"), [("0:12-0:18", (12, 18)), ("1:02:03.5 - 1:02:04", (3723.5, 3724)), ("3-4.25", (3, 4.25))]
)
def test_passages_are_read(text: str, span: tuple[float, float]) -> None:
    assert parse_span(text) == span


@pytest.mark.parametrize("text", ["", "12", "a-b", "5-5", "0:18-0:12", "-3-4", "1:2:3:4-5", "nan-inf"])
def test_passages_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(BadQuery, match=r"passage .*(write it like|ends before)"):
        parse_span(text)


@pytest.mark.parametrize(
    "spans",
    [
        ByRole([(2, 4)], [], [(3, 5)]),
        ByRole([], [(2, 9)], [(12, 15), (4, 5)]),
        ByRole([(0, 1), (5, 6)], [(2, 3)], [(5.9, 7)]),
    ],
)
def test_a_passage_cannot_have_the_instrument_and_have_it_not(spans: ByRole[tuple[float, float]]) -> None:
    with pytest.raises(BadQuery, match=r"passages .* overlap"):
        check_spans(spans)


def test_passages_may_touch_and_those_with_the_instrument_may_overlap() -> None:
    check_spans(ByRole([(2, 4)], [(3, 5)], [(5, 7), (6, 8), (0, 2)]))


def test_of_a_long_passage_no_more_is_read_than_the_separator_looks_at(
    tmp_path: Path, fake: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rate, seconds = 8000, 400
    ramp = np.linspace(0.1, 0.9, rate * seconds, dtype=np.float32)[None]
    audio.write(tmp_path / "song.wav", ramp, rate)
    separator, lengths = fake(), []
    piece = round(separator.preset.segment * rate / separator.preset.sample_rate)
    with audio.open_audio(tmp_path / "song.wav") as song:
        read = song.read
        monkeypatch.setattr(song, "read", lambda start, stop: lengths.append(stop - start) or read(start, stop))
        encode_span(separator, song, (20, 390), "absent")
    assert lengths == [piece] * MAX_PIECES
    ((name, samples),) = separator.encoded
    assert name == "passage 20-390 s"
    assert samples[0, 0] == ramp[0, 20 * rate] and samples[0, -1] == ramp[0, 390 * rate - 1]
    assert (np.diff(samples[0, ::piece]) > 0).all()
