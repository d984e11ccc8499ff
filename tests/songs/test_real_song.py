"""The bundled excerpt of a real song, whose chart says 140 beats a minute from its first sample on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fewshot_sep.experiments.demo
from fewshot_sep import Separator, SongSeparator, audio, beats
from fewshot_sep.metrics import si_sdr

DATA = Path(fewshot_sep.experiments.demo.__file__).parent / "data"
BEAT = 60 / 140
SECONDS = 12


@pytest.fixture(scope="module")
def song() -> dict[str, Any]:
    guitar, rate = audio.read(DATA / "guitar.ogg")
    backing, _ = audio.read(DATA / "backing.ogg")
    return {"guitar": guitar, "mixture": guitar + backing, "rate": rate, "query": audio.read(DATA / "query.ogg")}


@pytest.mark.skipif("madmom" not in beats.available_trackers(), reason="madmom is not installed")
def test_beats_and_bars_are_those_of_the_chart(song: dict[str, Any]) -> None:
    found = beats.track(song["mixture"], song["rate"], "madmom")
    phase = found.times / BEAT
    delay = np.median((phase + 0.5) % 1 - 0.5)
    assert found.meter == 4
    assert abs(delay * BEAT) < 0.1
    numbers = np.round(phase - delay).astype(int)
    assert np.mean(np.abs(phase - delay - numbers) * BEAT < 0.07) > 0.95
    assert np.mean((numbers - numbers[0] + found.positions[0] - 1) % 4 == found.positions - 1) > 0.95


@pytest.mark.skipif("madmom" not in beats.available_trackers(), reason="madmom is not installed")
@pytest.mark.slow
@pytest.mark.parametrize("shift", [-3, -1, 2])
def test_a_song_begun_elsewhere_sounds_the_same(song: dict[str, Any], shift: int) -> None:
    rate, mixture = song["rate"], song["mixture"][:, : SECONDS * song["rate"]]
    frames = round(abs(shift) * BEAT * rate)
    moved = mixture[:, frames:] if shift < 0 else np.pad(mixture, ((0, 0), (frames, 0)))
    separator = SongSeparator(Separator.from_pretrained(device="cpu"), tracker="madmom")
    targets = [separator.separate(samples, [song["query"]], rate, "downbeat").target for samples in (mixture, moved)]
    lead = 4 * rate
    offset = frames if shift > 0 else -frames
    reference = song["guitar"][:, lead : SECONDS * rate]
    before = si_sdr(reference, targets[0][:, lead:])
    assert si_sdr(reference, targets[1][:, lead + offset :]) == pytest.approx(before, abs=0.5)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_instrument_is_never_switched_in_a_long_song(song: dict[str, Any]) -> None:
    """Four minutes: the excerpt eight times, which the borders of chunks meet at another place each time."""
    rate, times = song["rate"], 8
    mixture, guitar = (np.tile(song[name], times) for name in ("mixture", "guitar"))
    assert mixture.shape[1] > 239 * rate
    separator = Separator.from_pretrained(device="cpu")
    target = separator.separate(mixture, [song["query"]], rate).target
    gains = np.array([
        [si_sdr(true[:, at : at + 5 * rate], target[:, at : at + 5 * rate]) for true in (guitar, mixture - guitar)]
        for at in range(0, mixture.shape[1] - 5 * rate + 1, 5 * rate)
    ])  # fmt: skip
    assert np.all(gains[:, 0] > gains[:, 1])  # it is the guitar everywhere
    again = gains[:, 0].reshape(times, -1)
    assert np.ptp(again, axis=0).max() < 2  # and the same passage sounds alike whenever it comes
