"""The models whose speed is compared: ours, the 2020 thesis's, Open-Unmix and HTDemucs.

The last two have random weights; their architectures come from their packages on PyPI, the extra `compare`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from fewshot_sep import Separator, audio
from fewshot_sep.separator import Array
from fewshot_sep.systems import ImageSystem, MaskSystem


@dataclass(frozen=True)
class Rival:
    """A model, ready to be timed on a song.

    Attributes:
        gives: what comes out of it.
        network: the network alone, on the song or its beginning; `heard`: how many seconds of sound that is.
        whole: from the song's samples to the separated ones, as the model is meant to be used.
    """

    name: str
    gives: str
    parameters: int
    network: Callable[[], object]
    heard: float
    whole: Callable[[], object]


def ours(separator: Separator, song: Array, query: Array, rate: int) -> Rival:
    """A separator of this project; its network hears the song in segments that do not overlap."""
    system, preset = separator.system, separator.preset
    conditioning = separator.condition([query], rate)
    heard = song if preset.channels == 2 else song.mean(0, keepdims=True)
    inside = torch.from_numpy(audio.resample(heard, rate, preset.sample_rate))
    segments = [part[None] for part in inside.split(preset.segment, dim=1) if part.shape[1] == preset.segment]
    with torch.inference_mode():
        inputs = [_inputs(system, segment, conditioning) for segment in segments]

    @torch.inference_mode()
    def network() -> None:
        for given in inputs:
            system.network(*given)

    def whole() -> Array:
        return separator.estimate(song, conditioning, rate)

    seconds = len(segments) * preset.segment / preset.sample_rate
    return Rival(preset.name, "the query's instrument", _size(system), network, seconds, whole)


def _inputs(system: nn.Module, segment: torch.Tensor, conditioning: Any) -> tuple[Any, ...]:
    if isinstance(system, MaskSystem):
        return system.inputs(system.band_energy(system.stft(segment)), conditioning)
    assert isinstance(system, ImageSystem)
    return system.image(segment)[0], *conditioning


def open_unmix(song: Array, rate: int) -> Rival:
    """`umxhq` with one target; its network hears the whole song's magnitudes at once."""
    from openunmix import umxhq_spec
    from openunmix.model import Separator as Unmix

    networks = umxhq_spec(targets=["vocals"], pretrained=False)
    model = Unmix(networks, niter=1, residual=True, sample_rate=rate).eval()
    waves = torch.from_numpy(song)[None]
    with torch.inference_mode():
        magnitudes = model.complexnorm(model.stft(waves))
    network = torch.inference_mode()(lambda: networks["vocals"](magnitudes))
    whole = torch.inference_mode()(lambda: model(waves))
    return Rival("Open-Unmix", "one stem", _size(networks["vocals"]), network, song.shape[1] / rate, whole)


def htdemucs(song: Array, rate: int) -> Rival:
    """`HTDemucs` with its constructor's defaults; its network, waveform to waveform, hears 10 s."""
    from demucs.apply import apply_model
    from demucs.htdemucs import HTDemucs

    model = HTDemucs(sources=["drums", "bass", "other", "vocals"], samplerate=rate).eval()
    waves = torch.from_numpy(song)[None]
    segment = waves[..., : int(model.segment * rate)]
    network = torch.inference_mode()(lambda: model(segment))
    whole = torch.inference_mode()(lambda: apply_model(model, waves, shifts=0))
    return Rival("HTDemucs", "four stems at once", _size(model), network, float(model.segment), whole)


def _size(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
