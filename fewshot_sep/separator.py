"""`Separator`: mixture and queries in, the queried instrument and the rest out; any length and rate, mono or stereo.

Compose as you need: `condition` (queries to what the network keeps of them), `estimate` (arrays), `stream` (anything
that can be read in blocks, in bounded memory), `separate` (the whole job on arrays).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from fewshot_sep import audio, spectral, weights
from fewshot_sep.errors import BadQuery, FewshotSepError
from fewshot_sep.overlap_add import Piece, first_needed, join
from fewshot_sep.spectral import Stft
from fewshot_sep.systems import MaskSystem, System

Array = NDArray[np.float32]
Query = Array | tuple[Array, int]
Progress = Callable[[float], None]

LEAST_SOUND_S = 0.1
MOST_WINDOWS = 32  # of a long query, or a mixture; spread over its length
QUIET = 1e-3  # of the loudest window's energy: what is below is not heard
LEAST_REST = 0.1  # of the energy of a passage: less is what the first run missed of the target, not something else
CONTEXT = 1 / 6  # of a segment, on each side of what is kept
EXTENSION_OCTAVE = 0.5  # above half the model's band: where the gain for frequencies it cannot see is read off
EPS = 1e-10


@dataclass(frozen=True)
class Separation:
    """`target + residual` is the mixture; both `(channels, samples)` float32 at the mixture's rate."""

    target: Array
    residual: Array
    sample_rate: int


class Contrast(NamedTuple):
    """What a system keeps of the queries, and of each clip of what the target is not."""

    like: Any
    unlike: tuple[Any, ...]


class Separator:
    """Separates sound with a trained system.

    Above the model's bandwidth (only for rates over its own) a mask system goes on with the gain that it gave to the
    octave below, moment by moment; an image system leaves what it cannot see in the residual.

    Args:
        system: see `fewshot_sep.systems`; anything with `preset`, `condition`, `average` and a call will do.
        device: `auto` (CUDA, else Apple's MPS, else CPU), or a torch device.
        name: of the weights, for reports.
    """

    def __init__(self, system: System, device: str = "auto", name: str = "untrained", digest: str = "") -> None:
        self.device = _device(device)
        self.system = system.to(self.device).eval()
        self.preset = system.preset
        self.sample_rate = self.preset.sample_rate
        self.name, self.digest = name, digest

    @classmethod
    def from_pretrained(cls, path: str | Path | None = None, device: str = "auto") -> Separator:
        """The bundled weights, or those at `path`; needs no network.

        Raises:
            WeightsError: missing or damaged weights, or no card beside them.
        """
        path = Path(path) if path else weights.bundled()
        return cls(weights.load(path), device, path.name, weights.sha256(path))

    def describe(self) -> dict[str, Any]:
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
        queries: Sequence[Query],
        sample_rate: int,
        unlike: Sequence[Query] = (),
        within: audio.Source | None = None,
    ) -> Any:
        """What the system keeps of the queries; any number of clips of any length count alike.

        Args:
            queries: arrays `(channels, samples)` or `(samples,)` at `sample_rate`, or pairs of array and rate.
            unlike: clips of what the target is not, each of one instrument; what sounds like them is held back. Each
                costs one more run of the network.
            within: the mixture; what else plays in it is then held back like one more clip of `unlike`: what a first
                run leaves of up to `MOST_WINDOWS` segments. Only mask systems heed it.

        Raises:
            BadQuery: no query; one that is silent or has under 0.1 s of sound.
            BadAudio: not finite, more than two channels, empty.
        """
        if not len(queries):
            raise BadQuery("no query: give at least one clip of the instrument")
        names = [f"query {number}" for number in range(1, len(queries) + 1)] if len(queries) > 1 else ["the query"]
        heard = [self._hear(query, sample_rate, name) for query, name in zip(queries, names, strict=True)]
        names = [f"clip {number} of what it is not" for number in range(1, len(unlike) + 1)]
        others = [self._hear(clip, sample_rate, name) for clip, name in zip(unlike, names, strict=True)]
        like = self.system.average(heard) if len(heard) > 1 else heard[0]
        if within and isinstance(self.system, MaskSystem):
            others += self._hear_rest(within, Contrast(like, tuple(others)))
        return Contrast(like, tuple(others)) if others else like

    def _hear_rest(self, source: audio.Source, conditioning: Any) -> list[Any]:
        """What the system keeps of what else plays in a source; nothing where nothing else does."""
        rests = []
        length = round(self.preset.segment * source.sample_rate / self.sample_rate)
        starts = _spread(source.frames, length)
        for start in starts[np.linspace(0, len(starts) - 1, min(len(starts), MOST_WINDOWS)).astype(int)]:
            mixture = source.read(start, min(start + length, source.frames))
            rest = mixture - self._segment(mixture, conditioning, source.sample_rate, 1.0)
            if np.mean(rest**2) > LEAST_REST * np.mean(mixture**2):
                rests.append(rest.mean(0, keepdims=True))
        heard = [audio.resample(rest, source.sample_rate, self.sample_rate)[0] for rest in rests]
        loudest = max((np.mean(mono**2) for mono in heard), default=0.0)
        windows = [self._windows(mono) for mono in heard if np.mean(mono**2) > loudest * QUIET]
        if not windows:
            return []
        return [self.system.condition(torch.from_numpy(np.concatenate(windows))[None].to(self.device))]

    def _hear(self, query: Query, sample_rate: int, name: str) -> Any:
        samples, rate = query if isinstance(query, tuple) else (query, sample_rate)
        samples = audio.validate(samples, name)
        _check_sound(samples, rate, name)
        mono = audio.resample(samples.mean(0, keepdims=True), rate, self.sample_rate)[0]
        return self.system.condition(torch.from_numpy(self._windows(mono))[None].to(self.device))

    @torch.inference_mode()
    def crowdedness(self, query: Query, sample_rate: int) -> float | None:
        """Log odds that more than one instrument plays in a clip; None where the model cannot tell.

        Raises:
            BadQuery, BadAudio: as `condition` does.
        """
        odds = self.system.crowdedness(self.condition([query], sample_rate))
        return None if odds is None else float(odds)

    def _windows(self, mono: Array) -> Array:
        """Segments of a clip that hold sound, `(windows, segment)`; a short clip is repeated to fill one."""
        segment = self.preset.segment
        if len(mono) < segment:
            return np.resize(mono, (1, segment))
        starts = _spread(len(mono), segment)
        levels = np.array([np.mean(mono[start : start + segment] ** 2) for start in starts])
        starts = starts[levels >= levels.max() * QUIET]
        chosen = starts[np.linspace(0, len(starts) - 1, min(len(starts), MOST_WINDOWS)).astype(int)]
        return np.stack([mono[start : start + segment] for start in chosen])

    def estimate(
        self,
        mixture: Array,
        conditioning: Any,
        sample_rate: int,
        progress: Progress | None = None,
        pace: float = 1.0,
    ) -> Array:
        """The target in an array `(channels, samples)`, one or two channels; the same shape comes back."""
        blocks = self.stream(audio.ArraySource(mixture, sample_rate), conditioning, progress, pace)
        return np.concatenate(list(blocks), axis=1)

    def separate(
        self,
        mixture: Array,
        queries: Sequence[Query],
        sample_rate: int,
        progress: Progress | None = None,
        unlike: Sequence[Query] = (),
        contrast: bool = True,
    ) -> Separation:
        """Split a mixture into what sounds like the queries and the rest.

        Args:
            mixture: `(channels, samples)` or `(samples,)`, one or two channels, any rate.
            queries, unlike: clips of what is wanted and of what is not, see `condition`.
            progress: called with the share done, 0 to 1.
            contrast: listen to the mixture first, and hold back what else plays in it; takes more than twice as long.

        Raises:
            BadAudio, BadQuery: see `fewshot_sep.errors`.
        """
        mixture = audio.validate(mixture, "the mixture")
        within = audio.ArraySource(mixture, sample_rate) if contrast else None
        conditioning = self.condition(queries, sample_rate, unlike, within)
        target = self.estimate(mixture, conditioning, sample_rate, progress)
        return Separation(target, mixture - target, sample_rate)

    def stream(
        self,
        source: audio.Source,
        conditioning: Any,
        progress: Progress | None = None,
        pace: float = 1.0,
        start: int = 0,
    ) -> Iterator[Array]:
        """Blocks `(channels, n)` of the target, in order, covering the source exactly, in bounded memory.

        Segments overlap by a third; at each joint one fades into the next within what both know well.

        pace: the network hears the source as if it lasted `pace` times as long; see `System.forward`. start: only what
        is from this sample on.
        """
        segment = int(self.preset.segment * source.sample_rate / self.sample_rate / pace)
        context = max(1, int(CONTEXT * segment))
        keep = max(1, segment - 2 * context)
        stops = range(keep, source.frames + keep, keep)
        first = first_needed(stops, start) * keep
        yield from join(self._pieces(source, conditioning, first, keep, context, progress, pace), context // 2, start)
        if progress:
            progress(1.0)

    def _pieces(
        self,
        source: audio.Source,
        conditioning: Any,
        first: int,
        keep: int,
        context: int,
        progress: Progress | None,
        pace: float,
    ) -> Iterator[Piece]:
        for start in range(first, source.frames, keep):
            stop = min(start + keep, source.frames)
            # A file's last piece may be tiny: let it look back over a whole segment.
            offset = max(0, min(start - context, source.frames - keep - 2 * context))
            mixture = source.read(offset, min(stop + context, source.frames))
            yield Piece(start, stop, offset, self._segment(mixture, conditioning, source.sample_rate, pace))
            if progress:
                progress(stop / source.frames)

    def _segment(self, mixture: Array, conditioning: Any, sample_rate: int, pace: float) -> Array:
        """One segment through the system, at the model's rate and channels."""
        if not mixture.any():
            return np.zeros_like(mixture)
        inside = audio.resample(mixture, sample_rate, self.sample_rate)
        heard = self._fit_channels(inside)
        target = self._run(heard, conditioning, pace)
        if len(mixture) < len(target):
            target = target.mean(0, keepdims=True)
        elif len(mixture) > len(target):
            target = np.repeat(target, len(mixture), axis=0)
        result = audio.resample(target, self.sample_rate, sample_rate, frames=mixture.shape[1])
        if sample_rate > self.sample_rate and self.preset.kind == "mask":
            beyond = mixture - audio.resample(inside, self.sample_rate, sample_rate, frames=mixture.shape[1])
            result = result + beyond * top_gain(inside, target, self.sample_rate, mixture.shape[1])
        return result

    def _fit_channels(self, samples: Array) -> Array:
        channels = self.preset.channels
        if len(samples) == channels:
            return samples
        return np.repeat(samples, channels, axis=0) if channels > 1 else samples.mean(0, keepdims=True)

    @torch.inference_mode()
    def _run(self, mixture: Array, conditioning: Any, pace: float) -> Array:
        length = mixture.shape[1]
        least = int(self.preset.segment / pace) if self.preset.kind == "image" else self.preset.n_fft
        padded = np.pad(mixture, ((0, 0), (0, max(0, least - length))))
        paced = {} if pace == 1 else {"pace": pace}  # a system that knows no pace is still good for the usual one
        heard = torch.from_numpy(padded)[None].to(self.device)
        like, unlike = conditioning if isinstance(conditioning, Contrast) else (conditioning, ())
        target = self.system(heard, like, **paced)
        if unlike:
            others = [self.system(heard, other, **paced) for other in unlike]
            target = spectral.hold_back(self.system.stft, heard, target, others)
        return target[0, :, :length].float().cpu().numpy()


def _spread(frames: int, segment: int) -> NDArray[np.int64]:
    """Starts of segments that overlap by about a half and cover all frames; of one alone where there are fewer."""
    most = max(0, frames - segment)
    return np.linspace(0, most, round(2 * most / segment) + 1).astype(int)


def top_gain(mixture: Array, target: Array, sample_rate: int, frames: int) -> Array:
    """How much of the mixture's highest octave went to the target, over time.

    Shape: both `(channels, samples)` at `sample_rate` -> gains in [0, 1], `(channels, frames)`.
    """
    n_fft = 1024
    stft = Stft(n_fft, n_fft // 2)

    def energy(samples: Array) -> torch.Tensor:
        spectrum = stft(torch.from_numpy(samples))
        return spectrum[:, int(EXTENSION_OCTAVE * n_fft / 2) :].abs().square().sum(1)

    whole, part = energy(mixture), energy(target)
    gain = (part / (whole + EPS)).clamp(0, 1).sqrt()
    return torch.nn.functional.interpolate(gain[None], size=frames, mode="linear", align_corners=True)[0].numpy()


def _check_sound(samples: Array, sample_rate: int, name: str) -> None:
    """Raise BadQuery unless 0.1 s of the clip are above -60 dBFS."""
    window = max(1, sample_rate // 100)
    mono = np.pad(samples.mean(0), (0, -samples.shape[1] % window))
    loud = np.sqrt((mono.reshape(-1, window) ** 2).mean(1)) > 1e-3
    seconds = loud.sum() * window / sample_rate
    if seconds < LEAST_SOUND_S - 1e-9:
        found = "it is silent" if not loud.any() else f"only {seconds:.2f} s of it are above -60 dBFS"
        raise BadQuery(
            f"{name}: {found}; give a clip with at least {LEAST_SOUND_S} s of the instrument, better 2 to 10 s"
        )


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise FewshotSepError(
            f"device '{name}' cannot be used here ({str(error).splitlines()[0]}); try --device cpu"
        ) from error
