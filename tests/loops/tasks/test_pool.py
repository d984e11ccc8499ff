from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fewshot_sep.errors import BadLibrary
from fewshot_sep.loops.library import Library
from fewshot_sep.loops.tasks.pool import AudioPool
from tests.loops.tasks.tones import RATE, frequency, tone, two_instruments


def piece(pool: AudioPool, row: int, start: int, ratio: float, samples: int) -> torch.Tensor:
    """A stretch of one row, full scale at 1."""
    sound = torch.empty(1, samples)
    pool.read(np.array([row]), np.array([start]), np.array([ratio]), sound)
    return sound[0] / 32767


def test_files_are_resampled_and_mixed_down(tmp_path: Path) -> None:
    stereo = np.concatenate([tone(500, 1, 16_000), np.zeros((1, 16_000), np.float32)])
    pool = AudioPool(two_instruments(tmp_path, stereo, rate=16_000), "train", RATE)
    assert pool.lengths.tolist() == [RATE] * 4
    middle = slice(500, -500)
    np.testing.assert_allclose(piece(pool, 1, 0, 1.0, RATE)[middle], tone(500, 1)[0, middle] / 2, atol=1e-3)


def test_what_is_beyond_full_scale_is_turned_down_not_cut_off(tmp_path: Path) -> None:
    loud = 3 * tone(500, 1)
    pool = AudioPool(two_instruments(tmp_path, loud), "train", RATE)
    sound = piece(pool, 1, 0, 1.0, RATE).numpy()
    assert np.corrcoef(sound, loud[0])[0, 1] > 0.9999


@pytest.mark.parametrize("ratio", [0.9, 1.0, 1.12])
def test_a_piece_is_shifted_by_its_ratio_and_ends_in_silence(pool: AudioPool, ratio: float) -> None:
    row = next(index for index, row in enumerate(pool.rows) if row.path == "piano/0.wav")
    sound = piece(pool, row, 1000, ratio, RATE)
    assert sound.shape == (RATE,)
    hertz = np.abs(np.fft.rfft(sound.numpy() * np.hanning(RATE))).argmax()
    assert hertz == pytest.approx(frequency("piano", 0) * ratio, abs=1.5)
    late = piece(pool, row, pool.lengths[row] - 100, ratio, RATE)
    assert late[: int(80 / ratio)].abs().max() > 0.4
    assert not late[int(110 / ratio) :].any()


def test_active_is_where_something_sounds(tmp_path: Path) -> None:
    silence = np.zeros((1, 2 * RATE), np.float32)
    sound = np.concatenate([silence, tone(700, 1), 0.01 * tone(700, 1), silence], 1)
    pool = AudioPool(two_instruments(tmp_path, sound, silence, sound, tone(700, 0.1)), "train", RATE)
    assert pool.active[0].tolist() == [16_000, 18_000, 20_000, 22_000]
    assert pool.active[1].tolist() == pool.active[3].tolist() == [0]


def test_a_part_of_a_pool_is_a_pool_of_those_rows(tones: Library, pool: AudioPool) -> None:
    rows = tuple(row for row in tones if row.family == "winds" and row.split == "train")
    part, alone = pool.only(lambda row: row in rows), AudioPool(Library(tones.folder, rows), "train", RATE)
    assert part.rows == alone.rows
    assert (part.by_instrument, part.songs) == (alone.by_instrument, alone.songs)
    for row in range(len(rows)):
        assert piece(part, row, 5, 1.1, 900).equal(piece(alone, row, 5, 1.1, 900))
    assert part.sound is pool.sound, "not copied"


@pytest.mark.parametrize("keep", ["one instrument", "one row each", "another split"])
def test_too_little_to_draw_from(tones: Library, keep: str) -> None:
    rows = {
        "one instrument": [row for row in tones if row.instrument == "piano"],
        "one row each": [row for row in tones if row.path.endswith("/0.wav")],
        "another split": [replace(row, split="valid") for row in tones],
    }[keep]
    with pytest.raises(BadLibrary, match="two instruments with two loops each"):
        AudioPool(Library(tones.folder, tuple(rows)), "train", RATE)
