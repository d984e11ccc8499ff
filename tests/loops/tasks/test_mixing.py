"""What was planned is what sounds."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from fewshot_sep.loops.tasks.mixing import TaskMixer, Tasks
from fewshot_sep.loops.tasks.options import PLAIN, PROMPTED, USUAL, MixingOptions
from fewshot_sep.loops.tasks.pool import AudioPool
from tests.loops.tasks.reference import mixed_sound_by_sound
from tests.loops.tasks.tones import PRESENT, RATE, rows_in, two_instruments


def mixer(pool: AudioPool, options: MixingOptions, channels: int = 2, **more: int) -> TaskMixer:
    return TaskMixer(pool, 8, RATE, channels, options, **more)


def tensors(tasks: Tasks) -> list[torch.Tensor]:
    return [tasks.mixture, *tasks.evidence, tasks.target]


# --- the stream


@pytest.mark.parametrize("options", [USUAL, PROMPTED, PLAIN], ids=["usual", "prompted", "plain"])
def test_a_batch_depends_on_seed_and_number_alone(pool: AudioPool, options: MixingOptions) -> None:
    batches = list(islice(mixer(pool, options, seed=7), 3))
    for tasks in (mixer(pool, options, seed=7).draw(2), next(iter(mixer(pool, options, seed=7, first=2)))):
        assert all(torch.equal(a, b) for a, b in zip(tensors(tasks), tensors(batches[2]), strict=True))
    for other in (mixer(pool, options, seed=8).draw(2), batches[1]):
        assert not torch.equal(other.mixture, batches[2].mixture)


@pytest.mark.parametrize("channels", [1, 2])
def test_peaks_stay_below_full_scale_and_vary(pool: AudioPool, channels: int) -> None:
    mixture = torch.cat([tasks.mixture for tasks in islice(mixer(pool, USUAL, channels), 10)])
    assert mixture.shape == (80, channels, RATE)
    peaks = mixture.abs().amax(dim=(1, 2))
    assert peaks.min() > 0.099
    assert peaks.max() <= 1
    assert peaks.std() > 0.1


@pytest.mark.parametrize("options", [USUAL, replace(PROMPTED, mastered=0), PLAIN], ids=["usual", "prompted", "plain"])
@pytest.mark.parametrize("channels", [1, 2])
def test_it_sounds_as_if_mixed_sound_by_sound(pool: AudioPool, options: MixingOptions, channels: int) -> None:
    stream = TaskMixer(pool, 8, RATE - 3, channels, replace(options, band_limit=0.5, absent=0.2, all_but_one=0.2))
    for index in range(4):
        plan, tasks = stream.plan(index), stream.draw(index)
        mixture, target, clips = mixed_sound_by_sound(pool, plan, RATE - 3)
        np.testing.assert_allclose(tasks.mixture, mixture, atol=1e-5)
        np.testing.assert_allclose(tasks.target, target, atol=1e-5)
        np.testing.assert_allclose(tasks.evidence.clips.flatten(0, 1), clips, atol=1e-5)
        assert tasks.evidence.task.tolist() == plan.clips.task.tolist()
        assert tasks.evidence.role.tolist() == plan.clips.role.tolist()


def test_sources_are_mastered_with_their_mixture(pool: AudioPool) -> None:
    plain, stream = (mixer(pool, replace(PROMPTED, mastered=share)) for share in (0, 0.5))
    changed = 0
    for index in range(4):
        tasks, sources, *_ = stream.draw_with_sources(index)
        np.testing.assert_allclose(sources.sum(1), tasks.mixture, atol=1e-5)
        mastered = stream.plan(index).mastered.tolist()
        same = (tasks.mixture == plain.draw(index).mixture).flatten(1).all(1)
        assert all(same[task] for task in range(len(same)) if task not in mastered)
        changed += int((~same).sum())
    assert changed > 4


def test_threads_change_nothing_but_rounding(pool: AudioPool) -> None:
    threads, drawn = torch.get_num_threads(), []
    for count in (1, 2):
        torch.set_num_threads(count)
        drawn.append(tensors(mixer(pool, PROMPTED).draw(0)))
    torch.set_num_threads(threads)
    assert all(torch.allclose(one, other, atol=1e-6) for one, other in zip(*drawn, strict=True))


# --- what is in a task


@pytest.mark.parametrize("options", [replace(USUAL, absent=0.5), PLAIN], ids=["usual", "plain"])
def test_with_sources_it_is_the_same_batch_and_they_sum_to_it(pool: AudioPool, options: MixingOptions) -> None:
    for index in range(3):
        one, other = mixer(pool, options).draw_with_sources(index), mixer(pool, options).draw(index)
        assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(tensors(one.tasks), tensors(other), strict=True))
        assert torch.allclose(one.sources.sum(1), other.mixture, atol=1e-5)


def test_sources_are_called_what_sounds(pool: AudioPool) -> None:
    def names(wave: torch.Tensor) -> set[str]:
        return {instrument for instrument, _ in rows_in(wave)}

    absent = 0
    for index in range(10):
        drawn = mixer(pool, replace(PRESENT, absent=0.3)).draw_with_sources(index)
        for task, target in enumerate(drawn.tasks.target):
            called, queried = drawn.instruments[task], drawn.queried[task]
            assert [names(source) for source in drawn.sources[task, : len(called)]] == [{name} for name in called]
            assert not drawn.sources[task, len(called) :].any()
            assert names(drawn.tasks.evidence.alone[task]) == {queried}
            assert (queried == called[0]) if target.any() else (queried not in called)
            absent += not target.any()
    assert absent > 5


def test_sounds_are_taken_from_where_something_sounds(tmp_path: Path) -> None:
    sound = np.zeros((1, 21 * RATE), np.float32)
    sound[:, 10 * RATE : 11 * RATE] = 0.5 * np.sin(np.arange(RATE))
    pool = AudioPool(two_instruments(tmp_path, sound), "train", RATE)
    for tasks in islice(mixer(pool, PRESENT), 5):
        assert all((waves.abs().amax(dim=(1, 2)) > 0.01).all() for waves in (tasks.target, tasks.evidence.alone))
