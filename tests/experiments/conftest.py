"""Tiny songs of three instruments that do not meet in frequency, and an evaluation set made of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from fewshot_sep import audio

RATE = 8000
SECONDS = 2


def play(instrument: str, seed: int, seconds: float = SECONDS) -> np.ndarray:
    """`(1, samples)`: a melody of tones (bass, flute) or bursts of noise (snare); another seed plays other notes."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * RATE)) / RATE
    note = (time * 8).astype(int)
    if instrument == "snare":
        out = rng.standard_normal(len(time)) * np.exp(-40 * (time % 0.25)) * 0.3
    else:
        pitch = {"bass": 110, "flute": 1100}[instrument] * 2 ** (rng.integers(0, 5, note[-1] + 1)[note] / 12)
        phase = 2 * np.pi * np.cumsum(pitch) / RATE
        out = 0.2 * (np.sin(phase) + 0.5 * np.sin(2 * phase)) * (0.6 + 0.4 * np.cos(2 * np.pi * 4 * time))
    return out[None].astype(np.float32)


@pytest.fixture
def item_folder(tmp_path: Path) -> Path:
    """Two songs: `a` with three stems, `b` with two; same, cross and absent items."""
    folder = tmp_path / "items"
    songs = {"a": ("bass", "flute", "snare"), "b": ("bass", "flute")}
    entries: list[dict[str, object]] = []
    for number, (song, instruments) in enumerate(songs.items()):
        stems = {name: play(name, 10 * number + 1) for name in instruments}
        files = {name: f"audio/{song}.{name}.wav" for name in instruments}
        for name, samples in stems.items():
            audio.write(folder / files[name], samples, RATE)
            audio.write(folder / f"audio/{song}.{name}.query.wav", play(name, 10 * number + 2, 3.5), RATE)
        audio.write(folder / f"audio/{song}.mix.wav", sum(stems.values()), RATE)
        other_song = "b" if song == "a" else "a"
        for name in ("bass", "flute", "snare"):
            entry = {"song": song, "target": name, "mix": f"audio/{song}.mix.wav", "level": None}
            others = [file for other, file in files.items() if other != name]
            if name not in instruments:
                more = {"id": f"{song}.{name}.absent", "kind": "absent", "reference": None, "others": others}
                entries.append(entry | more | {"query": f"audio/{other_song}.{name}.query.wav"})
                continue
            entry |= {"reference": files[name], "others": others}
            entries.append(
                entry | {"id": f"{song}.{name}.same", "kind": "same", "query": f"audio/{song}.{name}.query.wav"}
            )
            if name in songs[other_song]:
                query = f"audio/{other_song}.{name}.query.wav"
                entries.append(entry | {"id": f"{song}.{name}.cross", "kind": "cross", "query": query})
    (folder / "items.json").write_text(json.dumps(entries))
    return folder
