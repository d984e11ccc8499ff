"""The network and the whole separation beside peers: the 2020 thesis's system, Open-Unmix and HTDemucs.

Of the last two the architectures come from their packages on PyPI, the extra `compare`, and have random weights. Rounds
are interleaved, so that a busy machine slows all alike.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from fewshot_sep import Separator, audio
from fewshot_sep.experiments.kit import cost, excerpt
from fewshot_sep.experiments.kit.document import Block, Heading, Points, Table, Text
from fewshot_sep.experiments.kit.tables import number
from fewshot_sep.separator import Array
from fewshot_sep.systems import ImageSystem, MaskSystem, build

MAX_COST = 0.25
"""The network's goal: seconds per second of stereo on two cores."""
INSTALL = "pip install -c constraints.txt -e '.[compare]'"
COLUMNS = ("network_wall", "network_cpu", "whole_wall", "whole_cpu", "network_times_first", "whole_times_first")

Times = dict[str, tuple[list[float], list[float]]]
"""Seconds by the clock and of CPU of each round, by model."""


@dataclass(frozen=True)
class Peer:
    """A model, ready to be timed on a song.

    Attributes:
        gives: what comes out of it.
        network: the network alone, on the song or its beginning; `seconds`: of sound that it is given.
        whole: from the song's samples to the separated ones, as the model is meant to be used.
    """

    name: str
    gives: str
    parameters: int
    network: Callable[[], object]
    seconds: float
    whole: Callable[[], object]


def ours(separator: Separator, song: Array, query: Array, rate: int) -> Peer:
    """A separator of this project; its network is given segments that do not overlap."""
    system, preset = separator.system, separator.preset
    conditioning = separator.condition([query], rate)
    fitted = song if preset.channels == 2 else song.mean(0, keepdims=True)
    inside = torch.from_numpy(audio.resample(fitted, rate, preset.sample_rate))
    segments = [part[None] for part in torch.split(inside, preset.segment, dim=1) if part.shape[1] == preset.segment]
    with torch.inference_mode():
        inputs = [_inputs(system, segment, conditioning.positive) for segment in segments]

    @torch.inference_mode()
    def network() -> None:
        for given in inputs:
            system.network(*given)

    seconds = len(segments) * preset.segment / preset.sample_rate
    whole = lambda: separator.estimate(song, conditioning, rate)  # noqa: E731
    return Peer(preset.name, "the query's instrument", _parameters(system), network, seconds, whole)


def _inputs(system: nn.Module, segment: torch.Tensor, conditioning: Any) -> tuple[Any, ...]:
    if isinstance(system, MaskSystem):
        return system.network_inputs(system.band_energy(system.stft(segment)), conditioning)
    assert isinstance(system, ImageSystem)
    return system.image(segment).image, *conditioning


def open_unmix(song: Array, rate: int) -> Peer:
    """`umxhq` with one target; its network is given the whole song's magnitudes at once."""
    from openunmix import umxhq_spec
    from openunmix.model import Separator as Unmix

    networks = umxhq_spec(targets=["vocals"], pretrained=False)
    model = Unmix(networks, niter=1, residual=True, sample_rate=rate).eval()
    waves = torch.from_numpy(song)[None]
    with torch.inference_mode():
        magnitudes = model.complexnorm(model.stft(waves))
    network = torch.inference_mode()(lambda: networks["vocals"](magnitudes))
    whole = torch.inference_mode()(lambda: model(waves))
    return Peer("Open-Unmix", "one stem", _parameters(networks["vocals"]), network, song.shape[1] / rate, whole)


def htdemucs(song: Array, rate: int) -> Peer:
    """`HTDemucs` with its constructor's defaults; its network, waveform to waveform, is given 10 s."""
    from demucs.apply import apply_model
    from demucs.htdemucs import HTDemucs

    model = HTDemucs(sources=["drums", "bass", "other", "vocals"], samplerate=rate).eval()
    waves = torch.from_numpy(song)[None]
    segment = waves[..., : int(model.segment * rate)]
    network = torch.inference_mode()(lambda: model(segment))
    whole = torch.inference_mode()(lambda: apply_model(model, waves, shifts=0))
    return Peer("HTDemucs", "four stems at once", _parameters(model), network, float(model.segment), whole)


def _parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def installed(seconds: float) -> tuple[list[Peer], list[str]]:
    """The models that can be had here, the shipped one first, and a line about each that cannot."""
    (mixture, rate), (query, query_rate) = excerpt.song(seconds), audio.read(excerpt.QUERY)
    assert rate == query_rate
    torch.manual_seed(0)
    separators = (Separator.from_pretrained(device="cpu"), Separator(build("illes2020"), "cpu"))
    found = [ours(separator, mixture, query, rate) for separator in separators]
    missing = []
    for name, make in (("Open-Unmix", open_unmix), ("HTDemucs", htdemucs)):
        try:
            found.append(make(mixture, rate))
        except ImportError as error:
            missing.append(f"{name} is left out ({error}); it comes with {INSTALL}")
    return found, missing


def measure(seconds: float, rounds: int, threads: int) -> dict[str, Any]:
    """A row for each model, of `seconds` of the bundled excerpt."""
    torch.set_num_threads(threads)
    models, missing = installed(seconds)
    facts = {"torch": torch.__version__, "threads": threads, "seconds": seconds, "rounds": rounds}
    return {**facts, "rows": compare(models, seconds, rounds), "missing": missing}


def compare(models: list[Peer], seconds: float, rounds: int) -> list[dict[str, Any]]:
    """A row for each model; times per second of audio, medians over the rounds."""
    for model in models:
        model.network()  # warms up
    network = interleaved({model.name: model.network for model in models}, rounds)
    whole = interleaved({model.name: model.whole for model in models}, rounds)
    first = models[0]
    return [
        {
            "model": model.name,
            "gives": model.gives,
            "parameters": model.parameters,
            **_medians("network", network[model.name], model.seconds),
            **_medians("whole", whole[model.name], seconds),
            "network_times_first": speedup(network, first.name, model.name) * first.seconds / model.seconds,
            "whole_times_first": speedup(whole, first.name, model.name),
        }
        for model in models
    ]


def interleaved(works: Mapping[str, Callable[[], object]], rounds: int) -> Times:
    """Each call's times, one call after the other, `rounds` times over."""
    times: Times = {name: ([], []) for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            for kept, seconds in zip(times[name], cost.clock(work), strict=True):
                kept.append(seconds)
    return times


def speedup(times: Times, name: str, than: str) -> float:
    """Median over the rounds of how many times less time `name` took in a round."""
    return statistics.median(slow / fast for slow, fast in zip(times[than][0], times[name][0], strict=True))


def _medians(name: str, times: tuple[list[float], list[float]], seconds: float) -> dict[str, float]:
    wall, cpu = (statistics.median(kept) / seconds for kept in times)
    return {f"{name}_wall": wall, f"{name}_cpu": cpu}


def blocks(part: dict[str, Any]) -> list[Block]:
    """The section of the report."""
    rows = part["rows"]
    first = rows[0]["model"]
    head = ["model", "gives", "parameters (M)", "network", "CPU", "whole", "CPU"]
    lines = [
        [
            *(row["model"], row["gives"], number(row["parameters"] / 1e6)),
            *(number(row[name], 1 if "times" in name else 3) for name in COLUMNS),
        ]
        for row in rows
    ]
    return [
        Heading("Beside peers"),
        Text(
            f"{part['seconds']:g} s of stereo at 44.1 kHz, {part['threads']} of {part['cores']} cores, one process; "
            f"medians of {part['rounds']} interleaved rounds ({part['system']}, PyTorch {part['torch']}). Seconds per "
            "second of audio, by the clock and of CPU time, all threads together; the latter depends less on what else "
            "the machine has to do."
        ),
        Table([*head, f"times {first}: network", "whole"], lines),
        *([Points([f"{line}." for line in part["missing"]])] if part["missing"] else []),
        Text(
            "Only cost is compared, not quality: all but the first have random weights. `network` leaves out what "
            "turns sound into its input and its output into sound, except for HTDemucs, whose network does it itself. "
            "`whole` is from samples to samples, with overlaps, as each is meant to be used: `Separator.estimate` for "
            "the first two (illes2020 works on mono at 11 kHz), one target with one Wiener step for Open-Unmix, "
            "overlaps of a quarter for HTDemucs, which gives four stems at once: a quarter of its cost falls to each. "
            f"The network's goal is at most {MAX_COST} s per second on two cores."
        ),
    ]
