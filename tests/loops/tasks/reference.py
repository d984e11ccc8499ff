"""The mixing of tasks once more, plainly: sound after sound, in double precision."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.fft import next_fast_len

from fewshot_sep.loops.tasks.augment import equalisers, rooms
from fewshot_sep.loops.tasks.plan import EQUALISERS, ROOMS, Excerpts, Plan
from fewshot_sep.loops.tasks.pool import AudioPool

Wave = NDArray[np.float64]


def mixed_sound_by_sound(pool: AudioPool, plan: Plan, samples: int, seed: int = 0) -> tuple[Wave, Wave, Wave]:
    """Mixture and target `(batch, channels, samples)`, clips `(clips, samples)`."""
    size = next_fast_len(samples, real=True)
    curves = equalisers(EQUALISERS, size, pool.sample_rate, seed).numpy()
    responses = rooms(ROOMS, size, pool.sample_rate, seed).numpy()

    def played(excerpts: Excerpts, number: int) -> Wave:
        row, start, ratio, gain, equaliser, room, limit = (numbers[number] for numbers in excerpts)
        begin = pool.starts[row]
        stored = pool.sound[begin + start : begin + pool.lengths[row]].numpy() / 32767
        place = np.arange(samples) * ratio
        spectrum = np.fft.rfft(gain * np.interp(place, np.arange(len(stored) + 1), [*stored, 0], right=0), size)
        if equaliser >= 0:
            spectrum *= curves[equaliser]
        if room >= 0:
            spectrum *= responses[room]
        if limit < pool.sample_rate / 2:
            spectrum[int(limit / (pool.sample_rate / 2) * len(spectrum)) :] = 0
        return np.fft.irfft(spectrum, size)[:samples]

    mixture, target = np.zeros((2, len(plan.tasks), plan.pan.shape[1], samples))
    for number, task in enumerate(plan.task):
        wave = plan.pan[number][:, None] * played(plan.sources, number)
        if delay := plan.delay[number]:
            wave[1] = np.concatenate([np.zeros(delay), wave[1]])[:samples]
        mixture[task] += wave
        target[task] += wave * (plan.place[number] in plan.tasks[task].target)
    clips = np.zeros((len(plan.clips.gain), samples))
    for number, clip in enumerate(plan.clips.clip):
        window, (begin, end, fade) = np.zeros(samples), (int(part[number]) for part in plan.clips[3:6])
        window[begin:end] = 1
        ramp = (np.arange(min(fade, end - begin)) + 0.5) / max(1, fade)
        if begin > 0:
            window[begin : begin + len(ramp)] *= ramp
        if end < samples:
            window[end - len(ramp) : end] *= ramp[::-1]
        clips[clip] += window * played(plan.pieces, number)
    scale = plan.peak[:, None, None] / np.abs(mixture).max((1, 2), keepdims=True)
    return mixture * scale, target * scale, clips
