from __future__ import annotations

from itertools import islice

import numpy as np
import torch

from fewshot_sep.experiments.seeds.labels import of_library
from fewshot_sep.experiments.seeds.tasks import LabelStream
from fewshot_sep.loops.library import Library
from fewshot_sep.loops.tasks.mixing import TaskMixer
from fewshot_sep.loops.tasks.options import MixingOptions
from fewshot_sep.loops.tasks.pool import AudioPool

RATE = 16000
HERTZ = {"guitar": {300, 320, 700, 720}, "piano": {1100, 1120}, "pipe": {1500, 1520}}
BARE = MixingOptions(same_recording=0, all_but_one=0, equalise=0, room=0, band_limit=0, shift_semitones=0, absent=0.3)


def stream(tones: Library, first: int = 0) -> LabelStream:
    pool = AudioPool(tones, "train", RATE)
    return LabelStream(TaskMixer(pool, 6, RATE // 10, 1, BARE, seed=2, first=first), of_library(tones))


def frequencies(wave: torch.Tensor) -> set[int]:
    """Frequencies in a tenth of a second, whose bins are 10 Hz."""
    magnitude = np.abs(np.fft.rfft(wave.numpy()))
    return {10 * int(place) for place in np.flatnonzero(magnitude > 1e-2 * magnitude.max())} if wave.any() else set()


def test_the_target_is_all_that_bears_the_label(tones: Library) -> None:
    tasks, seen = stream(tones), set()
    for batch in islice(tasks, 20):
        assert batch.mixture.shape == batch.target.shape == (6, 1, RATE // 10)
        queries = batch.evidence.alone
        assert queries.sum(1).eq(1).all()
        for mixture, query, target in zip(batch.mixture, queries, batch.target, strict=True):
            label = tasks.labels.names[int(query.argmax())]
            assert frequencies(target[0]) == frequencies(mixture[0]) & HERTZ[label]
            seen.add((label, len(frequencies(target[0]))))
    # One guitar, two of them as one target, and nothing for what is not there; invented sounds are never queried.
    assert {("guitar", 1), ("guitar", 2), ("piano", 1), ("piano", 0), ("pipe", 1)} <= seen


def test_a_batch_depends_on_its_number_alone(tones: Library) -> None:
    third = list(islice(stream(tones), 4))[3]
    later = next(iter(stream(tones, first=3)))
    assert all(torch.equal(a, b) for a, b in zip(third, later, strict=True) if isinstance(a, torch.Tensor))
    assert torch.equal(third.evidence.alone, later.evidence.alone)


def test_mixtures_of_nothing_but_unnamed_sounds_query_what_is_absent(tones: Library) -> None:
    tasks = stream(tones)
    tasks._label = dict.fromkeys(tasks._label)
    batch = tasks.draw(0)
    assert not batch.target.any()
    assert batch.evidence.alone.sum(1).eq(1).all()
