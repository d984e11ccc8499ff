from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from fewshot_sep.loops.curation import loop_chunks


def acid(bpm: float, beats: int, flags: int = 0) -> bytes:
    return b"acid" + struct.pack("<IIHHfIHHf", 24, flags, 60, 0x8000, 0.0, beats, 4, 4, bpm)


def smpl(first: int, last: int) -> bytes:
    head = struct.pack("<9I", 0, 0, 22675, 60, 0, 0, 0, 1, 0)
    loop = struct.pack("<6I", 0, 0, first, last, 0, 0)
    return b"smpl" + struct.pack("<I", len(head + loop)) + head + loop


def wav(path: Path, *after: bytes, before: tuple[bytes, ...] = ()) -> Path:
    soundfile.write(path, np.zeros(1000), 44100, subtype="PCM_16")
    data = path.read_bytes()
    body = data[12:36] + b"".join(before) + data[36:] + b"".join(after)
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body) + 4) + b"WAVE" + body)
    return path


def test_acid_and_smpl_anywhere_in_the_file(tmp_path: Path) -> None:
    expected = loop_chunks.LoopInfo(pytest.approx(126.5), 8.0, False, (10, 899))
    assert loop_chunks.read(wav(tmp_path / "after.wav", acid(126.5, 8), smpl(10, 899))) == expected
    odd = b"note" + struct.pack("<I", 3) + b"abc\0"
    assert loop_chunks.read(wav(tmp_path / "before.wav", before=(odd, smpl(10, 899), acid(126.5, 8)))) == expected
    assert soundfile.info(tmp_path / "before.wav").frames == 1000


def test_libsndfile_reads_the_same_acid_chunk(tmp_path: Path) -> None:
    path = wav(tmp_path / "a.wav", before=(acid(97.0, 16),))
    assert "Tempo     : 97.0" in soundfile.info(path, verbose=True).extra_info
    assert (loop_chunks.read(path).bpm, loop_chunks.read(path).beats) == (97.0, 16.0)


def test_one_shot_says_no_tempo(tmp_path: Path) -> None:
    assert loop_chunks.read(wav(tmp_path / "a.wav", acid(120, 4, flags=1))) == loop_chunks.LoopInfo(one_shot=True)


@pytest.mark.parametrize("chunk", [acid(float("nan"), 0), acid(0.0, 0), acid(9e9, 2**31)])
def test_senseless_values_say_nothing(tmp_path: Path, chunk: bytes) -> None:
    assert loop_chunks.read(wav(tmp_path / "a.wav", chunk)) == loop_chunks.LoopInfo()


def test_damaged_files_say_nothing(tmp_path: Path) -> None:
    whole = wav(tmp_path / "whole.wav", smpl(3, 2), acid(120, 4)).read_bytes()
    for cut in range(0, len(whole), 7):
        path = tmp_path / "cut.wav"
        path.write_bytes(whole[:cut])
        assert loop_chunks.read(path) == loop_chunks.LoopInfo()
    soundfile.write(tmp_path / "other.flac", np.zeros(10), 44100)
    assert loop_chunks.read(tmp_path / "other.flac") == loop_chunks.LoopInfo()
    endless = whole[:12] + b"acid" + struct.pack("<I", 0xFFFFFFFF) + bytes(4)
    (tmp_path / "endless.wav").write_bytes(endless)
    assert loop_chunks.read(tmp_path / "endless.wav") == loop_chunks.LoopInfo()
