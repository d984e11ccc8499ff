"""Adapting to query and song at the time of use: for a few seconds, a copy of the network is tuned to both.

Only the biases of its FiLM layers move, which add to the scale and the shift of each channel. The tasks are made of
what is at hand: a passage of the song with a piece of the query laid over, loud or soft. The target is the piece and
what a first estimate finds in the passage, so that this is not unlearnt for the sake of the query; the rest is what the
estimate leaves. In some tasks there is only the rest, for which silence is right. A first estimate as the teacher of a
second: after Tzinis et al. 2022, "RemixIT: continual self-training of speech enhancement models via bootstrapped
remixing".
"""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fewshot_sep import audio
from fewshot_sep.errors import FewshotSepError
from fewshot_sep.separator import Adapted, Array, Contrast, Progress, Query, Separator
from fewshot_sep.systems import NOISE_WEIGHT, MaskSystem
from fewshot_sep.unet import Conditioning, Film

PASSAGES, PASSAGE_SECONDS = 4, 10.0  # of a song that is longer than all of them together
BATCH = 4
FRAMES = 64  # of a task: half of what the network was trained to see at once
RATE = 0.003  # Adam's
BETAS = (0.9, 0.99)
ABSENT = 0.3  # of the tasks
QUERY_DB = (-12.0, 6.0)  # level of the query re the passage
SOUNDING = 10**-1.5  # energy of a piece of the query re the loudest piece, at least
LOGGED = 5  # steps at each end of which the loss is averaged
EPS = 1e-9


class Adaptation(NamedTuple):
    """What came of it: a conditioning for `Separator.estimate` and `stream`; the losses are None without a step."""

    conditioning: Any
    seconds: float
    steps: int
    loss_before: float | None
    loss_after: float | None

    def facts(self) -> dict[str, Any]:
        """For reports."""
        before, after = (loss if loss is None else round(loss, 4) for loss in (self.loss_before, self.loss_after))
        return {"seconds": round(self.seconds, 2), "steps": self.steps, "loss before": before, "loss after": after}


def adapt(
    separator: Separator,
    source: audio.Source,
    conditioning: Any,
    queries: Sequence[Query],
    seconds: float,
    progress: Progress | None = None,
) -> Adaptation:
    """Tune for a time by the clock, the making of tasks included, at least one step. The separator stays as it is.

    Args:
        source: the song; of a long one four passages are heard.
        conditioning: what the separator keeps of the queries, from `Separator.condition`.
        queries: arrays at the source's rate, or pairs of array and rate.

    Raises:
        FewshotSepError: the separator's network has no FiLM layers.
    """
    began = time.perf_counter()
    tuning = Tuning(separator, _passages(source), conditioning, queries, source.sample_rate)
    spent = 0.0
    while spent < seconds:
        tuning.step()
        spent = time.perf_counter() - began
        if progress:
            progress(min(spent / seconds, 1.0))
    return Adaptation(tuning.conditioning, spent, len(tuning.losses), *tuning.ends())


def _passages(source: audio.Source) -> Array:
    """The song if it is short, else passages that are spread over it, joined; `(channels, samples)`."""
    length = round(PASSAGE_SECONDS * source.sample_rate)
    if source.frames <= PASSAGES * length:
        return source.read(0, source.frames)
    starts = np.linspace(0, source.frames - length, PASSAGES).astype(int)
    return np.concatenate([source.read(int(start), int(start) + length) for start in starts], axis=1)


class Tuning:
    """A copy of the separator's network on its way to one song and one query; equal seeds make equal steps.

    Args:
        passages: of the song, joined, `(channels, samples)` at `sample_rate`.
        conditioning, queries: see `adapt`.
    """

    def __init__(
        self,
        separator: Separator,
        passages: Array,
        conditioning: Any,
        queries: Sequence[Query],
        sample_rate: int,
        seed: int = 0,
    ) -> None:
        if not isinstance(separator.system, MaskSystem):
            raise FewshotSepError(
                f"{separator.name}: preset {separator.preset.name} cannot be adapted, its network has no FiLM layers; "
                "leave the adaptation out, or take other weights"
            )
        like = conditioning.like if isinstance(conditioning, Contrast) else conditioning
        self.system = copy.deepcopy(separator.system).requires_grad_(False)
        biases = [layer.scale_and_shift.bias for layer in self.system.network.modules() if isinstance(layer, Film)]
        self._like = Conditioning(*(tensor.clone() for tensor in like))  # made in inference mode: unfit for gradients
        adapted = Adapted(self._like, self.system)
        self.conditioning = conditioning._replace(like=adapted) if isinstance(conditioning, Contrast) else adapted
        self._optimizer = torch.optim.Adam([bias.requires_grad_() for bias in biases], RATE, BETAS)
        self.losses: list[float] = []

        def spectrum(samples: Array, rate: int) -> Tensor:
            inside = separator.fit_channels(audio.resample(samples, rate, separator.sample_rate))
            return self.system.stft(torch.from_numpy(inside).to(separator.device))

        first = separator.estimate(passages, conditioning, sample_rate)
        clips = [query if isinstance(query, tuple) else (query, sample_rate) for query in queries]
        heard = [spectrum(np.atleast_2d(samples), rate) for samples, rate in clips]
        self._tasks = Tasks(spectrum(passages, sample_rate), spectrum(first, sample_rate), torch.cat(heard, -1), seed)

    def step(self) -> None:
        """One batch of tasks."""
        target, rest = self._tasks.batch()
        whole, part, other = (self.system.band_energy(spectrum) for spectrum in (target + rest, target, rest))
        conditioning = Conditioning(*(tensor.expand(BATCH, *tensor.shape[1:]) for tensor in self._like))
        _, cross_entropy, noise = self.system.steered_loss(whole, part, other, conditioning)
        loss = cross_entropy + NOISE_WEIGHT * noise
        self._optimizer.zero_grad()
        loss.backward()
        self._optimizer.step()
        self.losses.append(loss.item())

    def ends(self) -> tuple[float | None, float | None]:
        """The loss of the first steps and of the last."""
        ends = (self.losses[:LOGGED], self.losses[-LOGGED:])
        before, after = (float(np.mean(end)) if end else None for end in ends)
        return before, after


class Tasks:
    """Tasks made of a song, its first estimate and the query, all as spectra `(channels, freq, time)`."""

    def __init__(self, song: Tensor, estimate: Tensor, query: Tensor, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.song, self.estimate, self.query = (_at_least(spectrum, FRAMES) for spectrum in (song, estimate, query))
        pieces = F.avg_pool1d(self.query.abs().square().sum((0, 1))[None], FRAMES, 1)[0]
        self.sounding = torch.nonzero(pieces >= SOUNDING * pieces.max())[:, 0].tolist()

    def batch(self) -> tuple[Tensor, Tensor]:
        """Spectra of target and rest, `(batch, channels, freq, time)`."""
        targets, rests = zip(*(self._task() for _ in range(BATCH)), strict=True)
        return torch.stack(targets), torch.stack(rests)

    def _task(self) -> tuple[Tensor, Tensor]:
        start = int(self.random.integers(self.song.shape[-1] - FRAMES + 1))
        passage, found = (spectrum[..., start : start + FRAMES] for spectrum in (self.song, self.estimate))
        rest = passage - found
        if self.random.random() < ABSENT:
            return torch.zeros_like(rest), rest
        first = int(self.random.choice(self.sounding))
        piece = self.query[..., first : first + FRAMES]
        if self.random.random() < 0.5:
            piece = piece.flip(0)  # left and right
        gain = 10 ** (self.random.uniform(*QUERY_DB) / 20) * _rms(passage) / (_rms(piece) + EPS)
        return found + gain * piece, rest


def _at_least(spectrum: Tensor, frames: int) -> Tensor:
    return F.pad(spectrum, (0, max(0, frames - spectrum.shape[-1])))


def _rms(spectrum: Tensor) -> Tensor:
    return spectrum.abs().square().mean().sqrt()
