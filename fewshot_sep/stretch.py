"""Time-stretching without change of pitch, by one of several engines."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fewshot_sep.audio import fit
from fewshot_sep.errors import EngineMissing

Array = NDArray[np.float32]
Engine = Callable[[Array, int, int], Array]

MIN_SAMPLES = 8192  # engines work on windows: shorter input is padded to this length
MAX_RATIO = 8.0


def stretch(samples: Array, frames: int, sample_rate: int, engine: str = "auto") -> Array:
    """Make `samples` last exactly `frames` samples at the same pitch.

    Shape: (channels, n) -> (channels, frames). The same length gives a copy; silence or no samples give silence.
    Raises EngineMissing, and ValueError for more than 8 times longer or shorter.
    """
    name = resolve(engine)
    channels, length = samples.shape
    if frames == length:
        return samples.astype(np.float32, copy=True)
    if not frames or not samples.any():
        return np.zeros((channels, frames), dtype=np.float32)
    ratio = frames / length
    if not 1 / MAX_RATIO <= ratio <= MAX_RATIO:
        raise ValueError(f"cannot stretch {length} samples to {frames}: more than {MAX_RATIO:g} times")
    peak = 2 * np.abs(samples).max()  # engines have floors and ceilings of level: stay clear of both
    padded = fit(samples / peak, max(length, MIN_SAMPLES))
    wanted = frames if length >= MIN_SAMPLES else round(MIN_SAMPLES * ratio)
    return fit(ENGINES[name](padded, wanted, sample_rate) * peak, frames)


def resolve(engine: str) -> str:
    """The engine that `stretch` would run: for "auto" the best that is installed. Raises EngineMissing."""
    available = available_engines()
    if engine in available:
        return engine
    if engine == "auto" and available:
        return available[0]
    if engine not in ENGINES and engine != "auto":
        raise EngineMissing(f"unknown stretcher {engine!r}: choose auto, {', '.join(ENGINES)}")
    raise EngineMissing(f"stretcher {engine!r} is not installed: it needs {NEEDS.get(engine, NEEDS['signalsmith'])}")


def available_engines() -> list[str]:
    """Names of the engines that can run here, in the order in which "auto" takes them.

    The order is by the similarity of the spectra after stretching there and back, on excerpts of ten recordings.
    """
    found = {
        "signalsmith": _installed("python_stretch"),
        "rubberband": _installed("pyrubberband") and shutil.which("rubberband") is not None,
        "pylibrb": _installed("pylibrb"),
    }
    return [name for name in ENGINES if found[name]]


def _installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _signalsmith(samples: Array, frames: int, sample_rate: int) -> Array:
    from python_stretch import Signalsmith

    stretcher = Signalsmith.Stretch(0)
    stretcher.preset(samples.shape[0], sample_rate)
    stretcher.timeFactor = samples.shape[1] / frames
    return np.asarray(stretcher.process(samples), dtype=np.float32)


def _rubberband(samples: Array, frames: int, sample_rate: int) -> Array:
    import pyrubberband

    finer = {"--fine": ""} if shutil.which("rubberband-r3") else {}
    stretched = pyrubberband.time_stretch(samples.T, sample_rate, samples.shape[1] / frames, rbargs=finer)
    return np.asarray(stretched.reshape(-1, samples.shape[0]).T, dtype=np.float32)


def _pylibrb(samples: Array, frames: int, sample_rate: int) -> Array:
    from pylibrb import Option, RubberBandStretcher

    options = Option.PROCESS_OFFLINE | Option.ENGINE_FINER | Option.WINDOW_SHORT | Option.THREADING_NEVER
    stretcher = RubberBandStretcher(sample_rate, samples.shape[0], options, frames / samples.shape[1], 1.0)
    stretcher.study(samples, final=True)
    parts = []
    for start in range(0, samples.shape[1], MIN_SAMPLES):
        stretcher.process(samples[:, start : start + MIN_SAMPLES], final=start + MIN_SAMPLES >= samples.shape[1])
        while (ready := stretcher.available() or 0) > 0:
            parts.append(np.asarray(stretcher.retrieve(ready), dtype=np.float32))
    return np.concatenate(parts, axis=1)


ENGINES: dict[str, Engine] = {"signalsmith": _signalsmith, "rubberband": _rubberband, "pylibrb": _pylibrb}
NEEDS = {
    "signalsmith": "pip install python-stretch",
    "rubberband": "pip install pyrubberband and the program `rubberband` (apt install rubberband-cli)",
    "pylibrb": "pip install pylibrb",
}
