"""The best, the median and the worst item of a method, to look at and to listen to."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from fewshot_sep import audio, plots
from fewshot_sep.experiments.evaluation.case import Array
from fewshot_sep.experiments.evaluation.conditions import Sounds
from fewshot_sep.experiments.evaluation.items import Item
from fewshot_sep.experiments.evaluation.measure import Worker
from fewshot_sep.experiments.evaluation.methods import Choice
from fewshot_sep.experiments.evaluation.runs import Row
from fewshot_sep.experiments.evaluation.settings import PRESENT
from fewshot_sep.experiments.kit import document

SHOWN = ("mixture", "target", "estimate")
LISTEN_S, LISTEN_RATE = 4, 24000
COLOURS = 48


class Example(NamedTuple):
    """An item with what was made of it. Sounds: `(channels, samples)`, `rate` in Hz each."""

    title: str
    sounds: dict[str, tuple[Array, int]]


def pick(choice: Choice, rows: Sequence[Row], items: Sequence[Item], folder: Path) -> list[Example]:
    """Those of a method's rows, separated once more, as a run keeps no sound; none of fewer than three."""
    by_id = {item.id: item for item in items if item.kind in PRESENT}
    own = [row for row in rows if row["method"] == choice.label and row["id"] in by_id and row.get("sounds")]
    ranked = sorted(own, key=lambda row: -row["si_sdri"])
    if len(ranked) < 3:
        return []
    worker, sounds, examples = Worker(choice, folder), Sounds(folder), []
    for name, row in (("best", ranked[0]), ("median", ranked[len(ranked) // 2]), ("worst", ranked[-1])):
        item = by_id[row["id"]]
        case, answer = sounds.case(item), worker.answer(item)
        if answer.estimate is not None and case.reference is not None:
            parts = zip(SHOWN, (case.mixture, case.reference, answer.estimate), strict=True)
            found = {"query": case.queries[0], **{part: (samples, case.sample_rate) for part, samples in parts}}
            examples.append(Example(f"{name}: {row['id']}, SI-SDRi {row['si_sdri']:.1f} dB", found))
    return examples


def draw(examples: Sequence[Example], picture: Path) -> None:
    """Spectrograms: a row for each example, mixture, target and estimate on the mixture's scale."""
    figure, axes = plots.new_figure(len(examples), len(SHOWN), 13, 2.7 * len(examples))
    for line, example in zip(axes, examples, strict=True):
        reference = None
        for panel, name in zip(line, SHOWN, strict=True):
            title = f"{example.title}\n{name}" if name == SHOWN[0] else f"\n{name}"
            reference = plots.spectrogram(panel, *example.sounds[name], title, reference, columns=400)
            panel.title.set_fontsize(9)
    whole = io.BytesIO()
    figure.savefig(whole, dpi=70)
    with Image.open(whole) as image:  # few colours: a third of the bytes, which a page holds once more
        image.convert("RGB").quantize(COLOURS).save(picture, optimize=True)


def sounds(example: Example) -> document.Sounds:
    """A few seconds of each sound, mono: where the target is loudest."""
    target, rate = example.sounds["target"]
    power = np.cumsum(np.concatenate([[0.0], np.square(target, dtype=np.float64).sum(0)]))
    length = min(LISTEN_S * rate, target.shape[1])
    start = int(np.argmax(power[length:] - power[:-length])) if target.shape[1] > length else 0
    clips = {}
    for name, (samples, its_rate) in example.sounds.items():
        begin = 0 if name == "query" else start
        part = samples[:, begin : begin + LISTEN_S * its_rate].mean(0, keepdims=True)
        clips[name] = audio.encode(audio.resample(part, its_rate, LISTEN_RATE), LISTEN_RATE)
    return document.Sounds(example.title, clips)
