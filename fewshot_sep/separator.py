"""`Separator`: mixture and queries in, target and residual out; any length and rate, mono or stereo.

Compose as you need: `condition` (encodes a prompt), `estimate` (arrays), `stream` (anything that can be read in blocks,
in bounded memory), `separate` (the whole job on arrays).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fewshot_sep import audio, levels, spectral, weights
from fewshot_sep.bandwidth import high_band_gain
from fewshot_sep.errors import BadQuery, FewshotSepError, first_line
from fewshot_sep.overlap_add import Span, chunks_of, crossfade, needed
from fewshot_sep.prompt import ByRole, Prompt, Query, as_prompt
from fewshot_sep.systems.base import System, opaque

Array = NDArray[np.float32]
Progress = Callable[[float], None]
Encoding: TypeAlias = tuple[Tensor, ...]
"""What a system keeps of a clip; only that system can read it."""

MIN_SOUND_S = 0.1
MAX_GAP_S = 1.0  # of silence within a clip; what is longer is cut to that
MAX_WINDOWS = 32  # of a long query, or a mixture; spread over its length
MIN_WINDOW_ENERGY = 1e-3  # of the loudest window's; quieter ones are left out
MIN_RESIDUAL = 0.1  # of the energy of a passage; less is what the first pass missed of the target, not something else
CONTEXT = 1 / 6  # of a segment, on each side of what is kept


@dataclass(frozen=True)
class Separation:
    """`target + residual` is the mixture; both `(channels, samples)` float32 at the mixture's rate."""

    target: Array
    residual: Array
    sample_rate: int


class Conditioning(NamedTuple):
    """What a system keeps of a prompt; only that system can read it.

    Attributes:
        positive: what steers it.
        negative: what else it is to estimate, each in a pass of its own, and suppress; for systems that know no roles.
        prompt: the encoded clips.
    """

    positive: Encoding
    negative: tuple[Encoding, ...] = ()
    prompt: ByRole[Encoding] = ByRole()


class Separator:
    """Separates sound with a trained system.

    Above the model's bandwidth (only for rates over its own) the gain of the octave below is applied, frame by frame,
    if the system predicts a mask; an image system leaves that band in the residual.

    Args:
        device: `auto` (CUDA, else Apple's MPS, else CPU), or a torch device.
        name, digest: of the weights, for reports.
    """

    def __init__(self, system: System[Any], device: str = "auto", name: str = "untrained", digest: str = "") -> None:
        self.device = _device(device)
        self.system = opaque(system).to(self.device).eval()
        self.preset = system.preset
        self.sample_rate = self.preset.sample_rate
        self.name, self.digest = name, digest

    @classmethod
    def from_pretrained(cls, path: str | Path | None = None, device: str = "auto") -> Separator:
        """The bundled weights, those at `path`, or those of that name in a hub; only the last may need a network.

        Args:
            path: of the weights, or a name such as `user/model` or `user/model@revision`, see `fewshot_sep.hub`.

        Raises WeightsError: missing or damaged. EngineMissing: a name in a hub, but no huggingface_hub.
        """
        from fewshot_sep import hub  # with a command, which arrays do without

        if path and hub.is_name(name := Path(path).as_posix()):
            path, name = hub.fetch(name)
        else:
            path = Path(path) if path else weights.bundled()
            name = path.name
        return cls(weights.load(path), device, name, weights.sha256(path))

    def describe(self) -> dict[str, str | int]:
        """Model facts for reports."""
        return {
            "preset": self.preset.name,
            "weights": self.name,
            "sha256": self.digest,
            "device": str(self.device),
            "sample_rate": self.sample_rate,
        }

    @torch.inference_mode()
    def condition(
        self,
        prompt: Prompt | Sequence[Query],
        sample_rate: int,
        unlike: Sequence[Query] = (),
        within: audio.Source | None = None,
    ) -> Conditioning:
        """Encode a prompt, once for any number of mixtures; clips of any length have equal weight.

        Args:
            prompt: clips by role, or a list of clips of the instrument alone: arrays `(channels, samples)` or
                `(samples,)` at `sample_rate`, or pairs of array and rate.
            unlike: more clips without the instrument, as `Prompt.absent`.
            within: the mixture, for the residual-estimation pass, see `add_residual`.

        Raises:
            BadQuery: no clip of the instrument; a clip that is silent or has under 0.1 s of sound; a role that these
                weights do not know.
            BadAudio: not finite, more than two channels, empty.
        """
        clips = as_prompt(prompt, unlike)
        conditioning = self.combine(
            ByRole(
                self._encode_all(clips.alone, sample_rate, "query"),
                self._encode_all(clips.among, sample_rate, "clip among others"),
                self._encode_all(clips.absent, sample_rate, "negative clip"),
            )
        )
        return self.add_residual(conditioning, within) if within else conditioning

    @torch.inference_mode()
    def encode(self, query: Query, sample_rate: int, name: str = "the query") -> Encoding:
        """What the system keeps of one clip; errors name it. Raises BadQuery and BadAudio as `condition` does."""
        samples, rate = query if isinstance(query, tuple) else (query, sample_rate)
        samples, rate = audio.validate(samples, name), audio.check_rate(rate, name)
        _check_sound(samples, rate, name)
        sounding = levels.without_silence(levels.downmix(samples), round(MAX_GAP_S * rate))
        mono = audio.resample(sounding[None], rate, self.sample_rate)[0]
        return self._encode_windows(self._windows(mono))

    def _encode_all(self, clips: Sequence[Query], sample_rate: int, kind: str) -> list[Encoding]:
        return [
            self.encode(clip, sample_rate, f"the {kind}" if len(clips) == 1 else f"{kind} {number}")
            for number, clip in enumerate(clips, 1)
        ]

    @torch.inference_mode()
    def combine(self, prompt: ByRole[Encoding]) -> Conditioning:
        """The conditioning of clips that are encoded.

        Raises BadQuery where none shows the instrument, and where these weights do not know a role.
        """
        if not prompt.alone and not prompt.among:
            raise BadQuery("no query: give at least one clip of the instrument")
        alone, among, absent = (
            (self.system.average(clips) if len(clips) > 1 else clips[0]) if clips else None for clips in prompt
        )
        if self.system.knows_roles:
            return Conditioning(self.system.condition_on(alone, among, absent), (), prompt)
        return Conditioning(self.system.condition_on(alone, among), tuple(prompt.absent), prompt)

    @torch.inference_mode()
    def add_residual(
        self,
        conditioning: Conditioning,
        mixture: audio.Source,
        targets_of: Callable[[Iterable[Array]], Iterable[Array]] | None = None,
    ) -> Conditioning:
        """The residual-estimation pass: separate up to `MAX_WINDOWS` segments of the mixture and use what is left.

        The residual is one more clip without the instrument. Only for systems that predict a mask.

        Args:
            targets_of: the targets in segments, in order, if the network does not run here.
        """
        if not self.preset.predicts_mask:
            return conditioning
        monos, rate = [], mixture.sample_rate
        length = round(self.preset.segment * rate / self.sample_rate)
        starts = at_most(_spread(mixture.frames, length), MAX_WINDOWS)
        parts = [mixture.read(start, min(start + length, mixture.frames)) for start in starts]
        here = (self._segment(part, conditioning, rate, 1.0) for part in parts)
        for part, target in zip(parts, targets_of(parts) if targets_of else here, strict=True):
            residual = part - target
            if np.mean(residual**2) > MIN_RESIDUAL * np.mean(part**2):
                monos.append(audio.resample(levels.downmix(residual)[None], rate, self.sample_rate)[0])
        loudest = max((np.mean(mono**2) for mono in monos), default=0.0)
        windows = [self._windows(mono) for mono in monos if np.mean(mono**2) > loudest * MIN_WINDOW_ENERGY]
        if not windows:
            return conditioning
        prompt = conditioning.prompt
        of_residual = self._encode_windows(np.concatenate(windows))
        return self.combine(prompt._replace(absent=[*prompt.absent, of_residual]))

    def _encode_windows(self, windows: Array) -> Encoding:
        encoding: Encoding = self.system.encode(torch.from_numpy(windows)[None].to(self.device))
        return encoding

    @torch.inference_mode()
    def polyphony_logit(self, encoding: Encoding) -> float | None:
        """Log odds that more than one instrument plays in an encoded clip; None where the model cannot tell."""
        logit = self.system.polyphony_logit(encoding)
        return None if logit is None else float(logit)

    @torch.inference_mode()
    def similarity(self, one: Encoding, other: Encoding) -> float:
        """How alike the instruments in two encoded clips are to the model, from -1 to 1."""
        return float(self.system.similarity(one, other))

    def _windows(self, mono: Array) -> Array:
        """Segments of a clip that hold sound, `(windows, segment)`; a short clip is repeated to fill one."""
        segment = self.preset.segment
        if len(mono) < segment:
            return np.resize(mono, (1, segment))
        starts = _spread(len(mono), segment)
        energies = np.array([np.mean(mono[start : start + segment] ** 2) for start in starts])
        starts = starts[energies >= energies.max() * MIN_WINDOW_ENERGY]
        return np.stack([mono[start : start + segment] for start in at_most(starts, MAX_WINDOWS)])

    def estimate(
        self,
        mixture: Array,
        conditioning: Conditioning,
        sample_rate: int,
        progress: Progress | None = None,
        time_scale: float = 1.0,
    ) -> Array:
        """The target in an array `(channels, samples)`, one or two channels; the same shape comes back."""
        blocks = self.stream(audio.ArraySource(mixture, sample_rate), conditioning, progress, time_scale)
        return np.concatenate(list(blocks), axis=1)

    def separate(
        self,
        mixture: Array,
        prompt: Prompt | Sequence[Query],
        sample_rate: int,
        progress: Progress | None = None,
        unlike: Sequence[Query] = (),
        residual_pass: bool = True,
    ) -> Separation:
        """Split a mixture into target, the instrument that the prompt shows, and residual.

        Args:
            mixture: `(channels, samples)` or `(samples,)`, one or two channels, any rate.
            prompt, unlike: clips by role, or a list of clips of the instrument alone, see `condition`.
            progress: called with the share done, 0 to 1.
            residual_pass: separate passages of the mixture first and use their residual, see `add_residual`; takes more
                than twice as long.

        Raises:
            BadAudio, BadQuery: see `fewshot_sep.errors`.
        """
        mixture = audio.validate(mixture, "the mixture")
        within = audio.ArraySource(mixture, sample_rate) if residual_pass else None
        conditioning = self.condition(prompt, sample_rate, unlike, within)
        target = self.estimate(mixture, conditioning, sample_rate, progress)
        return Separation(target, mixture - target, sample_rate)

    def stream(
        self,
        source: audio.Source,
        conditioning: Conditioning,
        progress: Progress | None = None,
        time_scale: float = 1.0,
        start: int = 0,
    ) -> Iterator[Array]:
        """Blocks `(channels, n)` of the target, in order, covering the source exactly, in bounded memory; see `spans`.

        Args:
            time_scale: the network sees the source as if it lasted so many times as long; see `System.forward`.
            start: the first sample that is wanted.
        """
        rate = source.sample_rate
        spans, fade = self.spans(source.frames, rate, time_scale)
        chosen = needed(spans, start)
        mixtures = (source.read(span.offset, span.end) for span in chosen)
        targets = (self._segment(mixture, conditioning, rate, time_scale) for mixture in mixtures)
        yield from crossfade(chunks_of(chosen, targets, progress), fade, start)
        if progress:
            progress(1.0)

    def spans(self, frames: int, sample_rate: int, time_scale: float = 1.0) -> tuple[list[Span], int]:
        """What is separated at once of so many samples, and how far crossfades reach to each side of a boundary.

        Segments overlap by a third and are crossfaded where both have context; what fits into one is taken at once.
        """
        segment = int(self.preset.segment * sample_rate / self.sample_rate / time_scale)
        context = max(1, int(CONTEXT * segment))
        keep = frames if frames <= segment else max(1, segment - 2 * context)
        found = []
        for start in range(0, frames, keep):
            stop = min(start + keep, frames)
            # The last may be tiny: its context reaches back over a whole segment.
            offset = max(0, min(start - context, frames - keep - 2 * context))
            found.append(Span(start, stop, offset, min(stop + context, frames)))
        return found, context // 2

    def _segment(self, mixture: Array, conditioning: Conditioning, sample_rate: int, time_scale: float) -> Array:
        """One segment through the system, at the model's rate and channels."""
        if not mixture.any():
            return np.zeros_like(mixture)
        inside = audio.resample(mixture, sample_rate, self.sample_rate)
        target = self._each_channel(inside, conditioning, time_scale)
        result = audio.resample(target, self.sample_rate, sample_rate, frames=mixture.shape[1])
        if sample_rate > self.sample_rate and self.preset.predicts_mask:
            beyond = mixture - audio.resample(inside, self.sample_rate, sample_rate, frames=mixture.shape[1])
            result = result + beyond * high_band_gain(inside, target, mixture.shape[1])
        return result

    def _each_channel(self, mixture: Array, conditioning: Conditioning, time_scale: float) -> Array:
        """The target in each channel, whatever the system's channels.

        Channels that share no image (one is dead, or much quieter, or of opposite polarity) are separated one by one,
        each as well as in mono: the network knows levels only against the mean of both.
        """
        channels = self.preset.channels
        if len(mixture) == 2 and not levels.share_an_image(mixture):
            parts = [self._each_channel(channel[None], conditioning, time_scale) for channel in mixture]
            return np.concatenate(parts)
        if not mixture.any():
            return np.zeros_like(mixture)
        if len(mixture) <= channels:
            fitted = np.repeat(mixture, channels // len(mixture), axis=0)
            target = self._run(fitted, conditioning, time_scale)
            return target if len(mixture) == channels else target.mean(0, keepdims=True)
        target = self._run(mixture.mean(0, keepdims=True), conditioning, time_scale)
        return np.repeat(target, len(mixture), axis=0)

    @torch.inference_mode()
    def _run(self, mixture: Array, conditioning: Conditioning, time_scale: float) -> Array:
        length = mixture.shape[1]
        padded = np.pad(mixture, ((0, 0), (0, max(0, self.system.min_samples(time_scale) - length))))
        wave = torch.from_numpy(padded)[None].to(self.device)
        target = self.system(wave, conditioning.positive, time_scale)
        if conditioning.negative:
            interference = [self.system(wave, negative, time_scale) for negative in conditioning.negative]
            target = spectral.suppress_interference(self.system.stft, wave, target, interference)
        samples: Array = target[0, :, :length].float().cpu().numpy()
        return samples


def _spread(frames: int, segment: int) -> NDArray[np.int64]:
    """Starts of segments that overlap by about a half and cover all frames; of one alone where there are fewer."""
    most = max(0, frames - segment)
    return np.linspace(0, most, round(2 * most / segment) + 1).astype(int)


def at_most(starts: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """`count` of them, evenly spread, or all if there are fewer."""
    chosen = np.linspace(0, len(starts) - 1, min(len(starts), count)).astype(int)
    return np.take(starts, chosen)


def _check_sound(samples: Array, sample_rate: int, name: str) -> None:
    """Raise BadQuery unless 0.1 s of the clip sound."""
    frame = max(1, sample_rate // 100)
    sounding = levels.active(levels.frame_power(samples, frame), levels.RANGE_DB)
    seconds = sounding.sum() * frame / sample_rate
    if seconds < MIN_SOUND_S - 1e-9:
        silent = f"it is silent (nothing is above {levels.SILENCE_DBFS:g} dBFS)"
        found = f"only {seconds:.2f} s of it sound" if sounding.any() else silent
        raise BadQuery(f"{name}: {found}; give a clip with at least {MIN_SOUND_S} s of sound, better 2 to 10 s")


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        probe = torch.ones(1, device=name)
        if float(probe.sum()) != 1:  # "meta" holds no numbers
            raise RuntimeError("it does not compute")
        return probe.device
    except Exception as error:  # of any kind, by the device
        reason = first_line(error)
        raise FewshotSepError(f"device '{name}' cannot be used here ({reason}); try --device cpu") from error
