"""Every engine that is installed: exact length, same pitch, onsets where they belong."""

from __future__ import annotations

import numpy as np
import pytest

from fewshot_sep import stretch as module
from fewshot_sep.errors import EngineMissing
from fewshot_sep.stretch import available_engines, resolve, stretch
from tests.sounds import RATE, rms, tone

ENGINES = [*available_engines(), "auto"]


def sine(samples: int, channels: int) -> np.ndarray:
    return tone(440, samples / RATE, channels=channels)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(("samples", "frames"), [(44101, 51003), (50001, 35003)])
def test_a_sine_keeps_frequency_and_level(engine: str, channels: int, samples: int, frames: int) -> None:
    found = stretch(sine(samples, channels), frames, RATE, engine)
    assert found.shape == (channels, frames)
    assert found.dtype == np.float32
    middle = found[:, 8000:-8000]
    for row in middle:
        peak = np.abs(np.fft.rfft(row * np.hanning(len(row)), 1 << 18)).argmax() * RATE / (1 << 18)
        assert peak == pytest.approx(440, abs=1)
        assert rms(row) == pytest.approx(0.5 / np.sqrt(2), rel=0.05)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("ratio", [0.75, 1.3])
def test_onsets_land_in_proportion(engine: str, ratio: float) -> None:
    samples = np.zeros((1, 2 * RATE), np.float32)
    ring = np.exp(-np.arange(4000) / 600) * np.sin(np.arange(4000) * 0.3)
    onsets = [20000, 41000, 66000]
    for onset in onsets:
        samples[0, onset : onset + 4000] = ring
    found = stretch(samples, round(2 * RATE * ratio), RATE, engine)[0]
    for onset in onsets:
        at = round(onset * ratio)
        around = np.abs(found[at - 6000 : at + 6000])
        first_loud = at - 6000 + int(np.flatnonzero(around > 0.5 * around.max())[0])
        assert abs(first_loud - at) < 0.02 * RATE


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("samples", "frames"), [(1, 2), (2, 1), (301, 217), (8191, 9001), (5, 0), (0, 7), (0, 0)])
def test_short_and_empty_sounds_have_the_length_asked_for(engine: str, samples: int, frames: int) -> None:
    found = stretch(sine(samples, 2), frames, RATE, engine)
    assert found.shape == (2, frames)
    assert np.isfinite(found).all()


def test_the_same_length_is_a_copy() -> None:
    samples = sine(1000, 1)
    found = stretch(samples, 1000, RATE)
    np.testing.assert_array_equal(found, samples)
    assert not np.shares_memory(found, samples)


@pytest.mark.parametrize("engine", ENGINES)
def test_any_level_is_kept_and_the_input_as_it_was(engine: str) -> None:
    assert not stretch(np.zeros((2, 20000), np.float32), 23456, RATE, engine).any()
    for gain in (1e-4, 4.0):
        samples = gain * sine(30000, 1)
        given = samples.copy()
        found = stretch(samples, 36000, RATE, engine)
        np.testing.assert_array_equal(samples, given)
        np.testing.assert_array_equal(found, stretch(samples, 36000, RATE, engine))
        assert rms(found[:, 8000:-8000]) == pytest.approx(gain * 0.5 / np.sqrt(2), rel=0.05)


def test_an_absurd_ratio_is_refused() -> None:
    with pytest.raises(ValueError, match="8 times"):
        stretch(sine(1000, 1), 9000, RATE)


def test_engines_that_cannot_run_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EngineMissing, match=r"'taffy'.*signalsmith, rubberband, pylibrb"):
        resolve("taffy")
    monkeypatch.setattr(module, "_installed", lambda name: False)
    assert available_engines() == []
    with pytest.raises(EngineMissing, match="rubberband-cli"):
        resolve("rubberband")
    with pytest.raises(EngineMissing, match="python-stretch"):
        resolve("auto")
