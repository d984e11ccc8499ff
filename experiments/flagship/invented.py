"""Draws spectrograms of the first 20 invented instruments: python -m fewshot_sep.experiments.flagship.invented [PNG]"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from scipy.signal import stft

from fewshot_sep.loops.instruments.synth import PERCUSSION_SOUNDS, Patch
from fewshot_sep.loops.library import SAMPLE_RATE
from fewshot_sep.loops.score import Note

ROWS, COLUMNS, SECONDS = 4, 5, 2.0
OUTPUT = Path(__file__).parent / "report" / "invented.png"


def phrase(patch: Patch) -> list[Note]:
    """Four notes up a chord and a long one; of percussion its sounds in turn."""
    starts = (0.0, 0.25, 0.5, 0.75, 1.0)
    if patch.kind == "percussion":
        return [Note(start, 0.2, float(index % PERCUSSION_SOUNDS), 0.9) for index, start in enumerate(starts)]
    lengths = (0.22, 0.22, 0.22, 0.22, 0.7)
    pitches = (48, 52, 55, 60, 55)
    return [Note(s, length, float(p), 0.8) for s, length, p in zip(starts, lengths, pitches, strict=True)]


def spectrogram(sound: np.ndarray, bands: int = 90) -> tuple[np.ndarray, np.ndarray]:
    """Levels in dB under the loudest point, `(bands, frames)`, and the bands' centres from 60 Hz to 16 kHz."""
    hz, _, spectrum = stft(sound, SAMPLE_RATE, nperseg=2048, noverlap=2048 - 512)
    power = np.abs(spectrum) ** 2
    edges = np.geomspace(60, 16000, bands + 1)
    low = np.searchsorted(hz, edges[:-1])
    high = np.maximum(np.searchsorted(hz, edges[1:]), low + 1)
    banded = np.array([power[a:b].mean(0) for a, b in zip(low, high, strict=True)])
    return 10 * np.log10(banded / banded.max() + 1e-8), np.sqrt(edges[1:] * edges[:-1])


def draw(path: Path) -> None:
    """Write the figure to `path`."""
    figure, axes = plt.subplots(ROWS, COLUMNS, figsize=(10, 6), sharex=True, sharey=True, layout="constrained")
    for seed, axis in enumerate(axes.flat):
        patch = Patch(seed)
        sound = patch.play(phrase(patch), round(SECONDS * SAMPLE_RATE), np.random.default_rng(seed))
        levels, centres = spectrogram(sound)
        axis.imshow(
            levels, origin="lower", aspect="auto", cmap="magma", vmin=-70, vmax=0, extent=(0, SECONDS, 0, len(centres))
        )
        ticks = (100, 1000, 10000)
        axis.set_yticks(
            np.interp(np.log(ticks), np.log(centres), np.arange(len(centres))), ("100 Hz", "1 kHz", "10 kHz")
        )
        axis.set_title(f"{seed}: {patch.kind}", fontsize=8)
        axis.tick_params(labelsize=7)
    for axis in axes[-1]:
        axis.set_xlabel("s", fontsize=7)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=80)
    plt.close(figure)


if __name__ == "__main__":
    draw(Path(sys.argv[1]) if len(sys.argv) > 1 else OUTPUT)
