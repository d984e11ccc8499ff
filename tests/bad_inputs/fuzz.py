"""Hostile inputs, made from a seed: damaged sound files of every format, state files, names; what must hold of them.

`python -m tests.bad_inputs.fuzz SECONDS [FIRST_SEED]` looks for new ones and prints how many of each kind it tried.
"""

from __future__ import annotations

import base64
import collections
import contextlib
import copy
import functools
import io
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile

from fewshot_sep import audio, weights
from fewshot_sep.beats import Beats
from fewshot_sep.errors import FewshotSepError
from fewshot_sep.experiments.evaluation import items, runs
from fewshot_sep.experiments.kit import document, resume
from fewshot_sep.loops import library
from fewshot_sep.loops.composing import make_library
from fewshot_sep.loops.curation import edits, state
from fewshot_sep.loops.curation.analysis import Analysis
from fewshot_sep.loops.curation.decide import Edit
from fewshot_sep.songs import beat_cache, jobs
from fewshot_sep.songs.checkpoint import Partial
from fewshot_sep.songs.grid import bar_grid

RATE = 22050
MAX_SECONDS = 30.0
MAX_FRAMES = 1 << 24
Random = np.random.Generator
Check = Callable[[Path], object]
"""What must hold of a file; how it fails is said by an exception."""

# --- sound files

_SNDFILE = {
    "wav": [*(("WAV", kind) for kind in ("PCM_16", "FLOAT", "PCM_24", "ULAW", "MS_ADPCM")), ("WAVEX", "PCM_16")],
    "rf64": [("RF64", "PCM_16")],
    "flac": [("FLAC", "PCM_16"), ("FLAC", "PCM_24")],
    "ogg": [("OGG", "VORBIS"), ("OGG", "OPUS")],
    "mp3": [("MP3", "MPEG_LAYER_III")],
    "aiff": [("AIFF", "PCM_16")],
    "caf": [("CAF", "PCM_16"), ("CAF", "ALAC_16")],
    "au": [("AU", "PCM_16")],
    "w64": [("W64", "PCM_16")],
    "voc": [("VOC", "PCM_16")],
}
_FFMPEG = {"m4a": ("mp4", "aac"), "mka": ("matroska", "flac"), "webm": ("webm", "libopus"), "wma": ("asf", "wmav2")}
_FFMPEG |= {"aac": ("adts", "aac"), "ac3": ("ac3", "ac3"), "wv": ("wv", "wavpack"), "ts": ("mpegts", "mp2")}


@functools.cache
def whole_files() -> list[tuple[str, bytes]]:
    """Undamaged files, ending and content."""
    wave = 0.3 * np.sin(np.arange(9000)[:, None] * [0.03, 0.05])
    found = []
    for ending, forms in _SNDFILE.items():
        for form, subtype in forms:
            rate = 24000 if subtype == "OPUS" else RATE
            data = io.BytesIO()
            soundfile.write(data, wave, rate, subtype, format=form)
            found.append((ending, data.getvalue()))
    for ending, (form, codec) in _FFMPEG.items():
        with contextlib.suppress(av.FFmpegError, ValueError):  # an encoder that this FFmpeg lacks
            found.append((ending, _encoded(wave, form, codec)))
    found.append(("mp3", next(data for name, data in found if name == "mp3") * 2))
    found.append(("m3u8", b"#EXTM3U\n#EXTINF:1,\nneighbour.wav\n"))
    found.append(("ffconcat", b"ffconcat version 1.0\nfile neighbour.wav\n"))
    return found


def _encoded(wave: np.ndarray, form: str, codec: str) -> bytes:
    data = io.BytesIO()
    with av.open(data, "w", format=form) as container:
        stream = container.add_stream(codec, rate=48000, layout="stereo")
        resampler = av.AudioResampler(stream.format.name, "stereo", 48000, stream.frame_size or 1024)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(wave.T, np.float32), "fltp", "stereo")
        frame.sample_rate = 48000
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return data.getvalue()


_EXTREMES = [0, 1, 2, 3, 127, 128, 255, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]


def damaged(data: bytes, random: Random) -> bytes:
    """The same bytes after one to four accidents, most of them near the header."""
    content = bytearray(data)
    for _ in range(random.integers(1, 5)):
        size = len(content)
        if size < 2:
            break
        at = int(random.integers(0, min(size, 200) if random.random() < 0.6 else size))
        length = int(random.integers(1, min(size - at, 400) + 1))
        match random.integers(0, 8):
            case 0:
                content[at] ^= 1 << random.integers(0, 8)
            case 1:
                content[at : at + length] = random.bytes(length)
            case 2:
                del content[at:]
            case 3:
                del content[at : at + length]
            case 4:
                content[at:at] = content[at : at + length]
            case 5:
                width = int(random.choice([1, 2, 4, 8]))
                value = int(random.choice(_EXTREMES)) % (1 << 8 * width)
                content[at : at + width] = value.to_bytes(width, "little" if random.random() < 0.5 else "big")
            case 6:
                content[at : at + length] = bytes(length)
            case 7:
                other = whole_files()[random.integers(len(whole_files()))][1]
                content += other[: int(random.integers(0, len(other)))]
    return bytes(content)


def read_sound(path: Path) -> None:
    """The contract: a file is refused in one line that names it, or gives finite samples at any position."""
    try:
        with audio.open_audio(path) as file:
            assert file.channels in (1, 2) and 8000 <= file.sample_rate <= 192_000 and file.frames > 0
            assert all("\n" not in line and str(path) in line for line in file.warnings)
            assert all(isinstance(text, str) for text in file.tags.values())
            frames = min(file.frames, MAX_FRAMES)
            for start in (0, frames // 2, max(frames - 100, 0)):
                samples = file.read(start, min(start + 5000, frames))
                assert samples.shape == (file.channels, min(start + 5000, frames) - start)
                assert np.isfinite(samples).all()
    except FewshotSepError as error:
        assert str(error).startswith(f"{path}: ") and "\n" not in str(error), error


def sound_case(random: Random, folder: Path) -> Case:
    ending, data = whole_files()[random.integers(len(whole_files()))]
    if random.random() < 0.1:
        ending = whole_files()[random.integers(len(whole_files()))][0]
    return Case(f"sound, {ending}", folder / f"a.{ending}", damaged(data, random), read_sound)


# --- state files

_NUMBERS: list[Any] = [None, True, False, -1, 0, 10**400, 1e308, float("nan"), float("inf")]
_TEXTS = ["", "../victim", "/etc/passwd", "a\0b", "\udce9", "x" * 200_000, "[red]", "$\\frac$", "<script>"]
_HOLDERS: list[Any] = [[], {}, [[]], [None], {"a": {}}, ["../victim"]]
_HOSTILE = [*_NUMBERS, *_TEXTS, *_HOLDERS]


def hostile(content: Any, random: Random) -> Any:
    """JSON with one to three of its values, or names, replaced."""
    content = copy.deepcopy(content)
    for _ in range(random.integers(1, 4)):
        places = list(_places(content))
        if not places:
            break
        holder, key = places[random.integers(len(places))]
        if random.random() < 0.15:
            del holder[key]
        else:
            holder[key] = copy.deepcopy(_HOSTILE[random.integers(len(_HOSTILE))])
    return content


def _places(content: Any) -> Iterator[tuple[Any, Any]]:
    for key in list(content) if isinstance(content, dict) else range(len(content)) if isinstance(content, list) else ():
        yield content, key
        yield from _places(content[key])


def _load_beats(path: Path) -> None:
    found = beat_cache.load(path, _BEATS_OF, 20.0)
    if found is not None and len(found.times):
        grid = bar_grid(found, 20 * RATE, RATE, "beat")
        assert grid.slices[0].start == 0 and grid.slices[-1].stop == 20 * RATE


def _load_curation(path: Path) -> None:
    for entry in state.load(path.parent, path.parent / "src", "librosa").values():
        for piece in entry.pieces:
            assert (path.parent / piece).resolve().is_relative_to(path.parent.resolve())


def _load_items(path: Path) -> None:
    for item in items.read(path.parent):
        assert all((path.parent / name).resolve().is_relative_to(path.parent.resolve()) for name in item.files)


def _load_run(path: Path) -> None:
    facts = runs.read_facts(path.parent)
    document.markdown([document.Text(f"{label}: {method}") for label, method in facts.methods.items()])


def _load_rows(path: Path) -> None:
    from fewshot_sep.experiments.evaluation import tables

    rows = runs.read_rows(path.parent)
    good = {"segment": [row for row in rows if "failed" not in row]}
    if good["segment"]:
        document.markdown([tables.differences(tables.comparisons(good))])


def _load_library(path: Path) -> None:
    for row in library.read(path.parent):
        assert (path.parent / row.path).resolve().is_relative_to(path.parent.resolve())


def _load_journal(path: Path) -> None:
    block = np.ones((2, 10), np.float32)
    with Partial(path.parent / "a.wav", 2, {"song": "a"}, keep=True) as part:
        np.testing.assert_array_equal(part.read(0, part.frames), np.ones((2, part.frames), np.float32))
        part.write(block)


_BEATS_OF = beat_cache.fingerprint("0", "librosa", (3, 4))
_ROW = {"method": "segment", "id": "1", "kind": "same", "song": "a", "target": "flute", "sources": 2, "seen": True}
_ROW |= {"level": -20.0, "sounds": True, "seconds": 1.0, "cpu_s": 1.0, "audio_s": 3.0, "peak_mib": None, "digest": "0"}
_ROW |= {"sdr": 1.0, "si_sdr": 1.0, "sdri": 1.0, "si_sdri": 1.0, "collapsed": False, "retrieved": True}


def _whole_state(folder: Path) -> list[tuple[str, Any, Check]]:
    times = np.arange(1, 30) * 0.5
    beats = Beats(times, np.arange(29) % 4 + 1, np.full(29, 0.6), 4, "librosa", 4)
    entry = {"stamp": [1, 2], "analysis": asdict(Analysis(bpm=120.0)), "edit": asdict(Edit(bpm=100.0)), "recipe": "r"}
    curated = {"source": str((folder / "src").resolve()), "settings": {"tracker": "librosa"}}
    item = {"id": "1", "song": "a", "target": "flute", "kind": "same", "mix": "a.wav", "query": "a.wav"}
    cells = "a.wav", "flute", "winds", "x", "free", 120, 4, "", "train", "", 0, 0
    row = dict(zip(library.COLUMNS, cells, strict=True))
    return [
        ("beats.json", beat_cache.to_json(beats, _BEATS_OF), _load_beats),
        (state.NAME, {**curated, "files": {"x.wav": entry | {"pieces": ["a.wav"], "note": ""}}}, _load_curation),
        (items.NAME, [item | {"reference": "a.wav", "others": ["a.wav"]}], _load_items),
        (runs.FACTS, {"items": "x", "digest": "0", "methods": {"segment": {"spec": "a", "weights": ""}}}, _load_run),
        (runs.ROWS, [_ROW, _ROW | {"id": "2", "song": "b"}], _load_rows),
        (library.CSV_NAME, [row], _load_library),
        ("settings.json", {"steps": 3}, lambda path: resume.same_as_before(path.parent, {"steps": 3})),
        ("make.json", {"plan": "p", "done": []}, lambda path: make_library._resume(path.parent, "p")),
        ("w.json", {"sha256": "0", "preset": "tiny"}, lambda path: weights.card(path.with_suffix(".safetensors"))),
        ("decisions.csv", [{"path": "x.wav", "bpm": 120}], lambda path: edits.read(path, {})),
        ("a.report.json", {"digests": {"song": "0", "evidence": "0"}}, lambda path: jobs._owner(jobs._report(path))),
    ]


def state_case(random: Random, folder: Path) -> Case:
    cases = _whole_state(folder)
    name, content, load = cases[random.integers(len(cases))]
    if name.endswith(".csv"):
        lines = [content[0].keys(), *(hostile(one, random).values() for one in content for _ in range(2))]
        text = "\n".join(",".join(str(cell) for cell in line) for line in lines)
    elif name.endswith(".jsonl"):
        text = "\n".join(json.dumps(hostile(one, random) if random.random() < 0.7 else one) for one in content)
    else:
        text = json.dumps(hostile(content, random))
    data = text.encode(errors="surrogateescape")
    if random.random() < 0.3:
        data = damaged(data, random)
    elif random.random() < 0.05:
        data = (b"[" if random.random() < 0.5 else b'{"a":') * 100_000
    return Case(f"state, {name}", folder / name, data, refused_or_fine(load))


def refused_or_fine(load: Check) -> Check:
    def call(path: Path) -> None:
        try:
            load(path)
        except FewshotSepError as error:
            assert str(error)

    return call


def journal_case(random: Random, folder: Path) -> Case:
    with contextlib.suppress(KeyboardInterrupt), Partial(folder / "a.wav", 2, {"song": "a"}, keep=True) as part:
        for _ in range(3):
            part.write(np.ones((2, 10), np.float32))
        raise KeyboardInterrupt
    path = next(folder.glob("*.journal" if random.random() < 0.5 else "*.resume"))
    return Case("state, resume", path, damaged(path.read_bytes(), random), refused_or_fine(_load_journal))


# --- names

_LETTERS = [*"aAbB.- _~%$[]{}*?'\"\\;&|<>#", "é", "e\u0301", "ß", "ss", "夜", "\udce9", "\n", "İ", "ﬁ"]
_LETTERS += ["-2", "..", "residual"]


def names_case(random: Random, folder: Path) -> Case:
    def name() -> str:
        chosen = "".join(random.choice(_LETTERS) for _ in range(int(random.choice([1, 2, 3, 200]))))
        return os.fsdecode(os.fsencode(chosen)[:250])

    songs = [f"{random.integers(3)}/{name()}.{random.choice(['wav', 'flac'])}" for _ in range(random.integers(1, 9))]
    content = json.dumps([songs, name(), str(random.choice(["{song}/{name}", "{name}-{song}", "{song}{name}"]))])
    return Case("names", folder / "names.json", content.encode(), hand_out)


def hand_out(path: Path) -> None:
    """All outputs of a batch differ, in any letters' case, and lie in the folder."""
    songs, name, template = json.loads(path.read_text())
    out = path.parent / "out"
    paths = [path.parent / song for song in songs]
    found = [output for job in jobs.jobs(paths, out, name, ".wav", template) for output in job.outputs[:4]]
    assert len({str(path).casefold() for path in found}) == len(found)
    assert all(Path(os.path.normpath(path)).is_relative_to(out) and ".." not in path.parts for path in found)
    assert all(len(os.fsencode(part)) <= 255 for path in found for part in path.parts)


# --- running them


class Case:
    """An input and what must hold of it: `check` takes the path that the content lies at."""

    def __init__(self, kind: str, path: Path, content: bytes, check: Check) -> None:
        self.kind, self.path, self.content, self.check = kind, path, content, check

    def failure(self, content: bytes) -> str:
        """What goes wrong with such content; empty where nothing does."""
        self.path.write_bytes(content)
        began = time.process_time()
        try:
            self.check(self.path)
        except Exception as error:
            return f"{type(error).__name__}: {error}"[:300]
        seconds = time.process_time() - began
        return f"took {seconds:.0f} s of CPU" if seconds > MAX_SECONDS else ""

    def smallest(self) -> bytes:
        """Content that fails too, with as much left out as is found in a few seconds."""
        content, size, end = self.content, max(len(self.content) // 2, 1), time.monotonic() + 5
        while size and time.monotonic() < end:
            for at in range(0, len(content), size):
                shorter = content[:at] + content[at + size :]
                if self.failure(shorter):
                    content = shorter
                    break
            else:
                size //= 2
        return content


MAKERS = [sound_case, sound_case, sound_case, state_case, state_case, journal_case, names_case]


def attack(seed: int) -> str:
    """Try the input of a seed, in a folder of its own; returns its kind. Raises AssertionError with seed and input."""
    random = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory(prefix="fewshot-sep-fuzz-") as temporary:
        folder = Path(temporary) / "work"
        folder.mkdir()
        for neighbour in (folder / "neighbour.wav", folder / "a.wav"):
            neighbour.write_bytes(whole_files()[0][1])
        victim = Path(temporary) / "victim"
        victim.write_text("untouched")
        case = MAKERS[random.integers(len(MAKERS))](random, folder)
        if wrong := case.failure(case.content):
            small = case.smallest()
            shown = base64.b64encode(small[:3000]).decode()
            raise AssertionError(
                f"seed {seed}, {case.kind}: {wrong}\nsmallest input, {len(small)} bytes, base64: {shown}"
            )
        assert victim.read_text() == "untouched", f"seed {seed}, {case.kind}: a file outside was changed"
        return case.kind


def main(seconds: float, seed: int = 0) -> int:
    """Attack for so long; prints counts by kind and what failed. Returns how many failed."""
    counts: collections.Counter[str] = collections.Counter()
    failed, end = 0, time.monotonic() + seconds
    note = Path(tempfile.gettempdir()) / f"fewshot-sep-fuzz-{os.getpid()}.seed"  # in case that the interpreter dies
    while time.monotonic() < end:
        note.write_text(str(seed))
        try:
            counts[attack(seed)] += 1
        except AssertionError as error:
            failed += 1
            print(error, flush=True)
        seed += 1
    note.unlink()
    for kind, count in sorted(counts.items()):
        print(f"{count:7d} {kind}")
    print(f"{sum(counts.values())} inputs held, {failed} failed, up to seed {seed - 1}")
    return failed


if __name__ == "__main__":
    sys.exit(bool(main(float(sys.argv[1]), *map(int, sys.argv[2:3]))))
