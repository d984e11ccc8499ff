"""How fast the shipped model is on a CPU, beside other architectures and in other runtimes, into `report/speed.md`.

`python -m fewshot_sep.experiments.speed.run` times the shipped weights, `illes2020`, Open-Unmix and HTDemucs (random weights)
on the same song in one process; `--runtimes` instead times the shipped network in other runtimes. Each keeps the
other's part of the report. Rounds are interleaved, so that a busy machine slows all alike.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fewshot_sep import Separator, audio, plots
from fewshot_sep.errors import EngineMissing
from fewshot_sep.experiments.demo.run import DATA
from fewshot_sep.experiments.flagship import flops, runtimes
from fewshot_sep.experiments.speed import peers
from fewshot_sep.experiments.speed.peers import Rival
from fewshot_sep.separator import Array
from fewshot_sep.systems import MaskSystem, build

REPORT = Path(__file__).parent / "report"
MOST, AIM = 0.25, 0.15  # seconds per second of stereo that the network may take on two cores
INSTALL = "pip install -c constraints.txt -e '.[compare,onnx]'"

Times = dict[str, tuple[list[float], list[float]]]  # wall clock and CPU of each round


def clock(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds of wall clock and of CPU (all threads) that a call takes."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def interleaved(works: Mapping[str, Callable[[], object]], rounds: int) -> Times:
    """Each call's times, one call after the other, `rounds` times over."""
    times: Times = {name: ([], []) for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            for kept, seconds in zip(times[name], clock(work), strict=True):
                kept.append(seconds)
    return times


def faster(times: Times, name: str, than: str, clock_: int = 0) -> float:
    """Median over the rounds of how many times less time `name` took in a round; `clock_`: 0 wall clock, 1 CPU."""
    pairs = zip(times[than][clock_], times[name][clock_], strict=True)
    return statistics.median(slow / fast for slow, fast in pairs)


def song(seconds: float) -> tuple[Array, Array, int]:
    """The bundled excerpt, repeated or cut to a length; the query; their rate."""
    guitar, rate = audio.read(DATA / "guitar.ogg")
    backing, _ = audio.read(DATA / "backing.ogg")
    query, _ = audio.read(DATA / "query.ogg")
    mixture, samples = guitar + backing, int(seconds * rate)
    return np.tile(mixture, -(-samples // mixture.shape[1]))[:, :samples], query, rate


def entrants(seconds: float) -> tuple[list[Rival], list[str]]:
    """The models that can be had here, the shipped one first, and a line about each that cannot."""
    mixture, query, rate = song(seconds)
    torch.manual_seed(0)
    both = (Separator.from_pretrained(device="cpu"), Separator(build("illes2020"), "cpu"))
    found = [peers.ours(separator, mixture, query, rate) for separator in both]
    missing = []
    for name, make in (("Open-Unmix", peers.open_unmix), ("HTDemucs", peers.htdemucs)):
        try:
            found.append(make(mixture, rate))
        except ImportError as error:
            missing.append(f"{name} is left out ({error}); it comes with {INSTALL}")
    return found, missing


def compare(models: list[Rival], seconds: float, rounds: int) -> list[dict[str, Any]]:
    """A row for each model; times per second of audio, medians over the rounds."""
    operations = {}
    for model in models:
        print(f"counting {model.name} ...", flush=True)
        operations[model.name] = flops.count(model.network)  # and warms up
    print(f"timing, {rounds} rounds ...", flush=True)
    alone = interleaved({model.name: model.network for model in models}, rounds)
    whole = interleaved({model.name: model.whole for model in models}, rounds)
    first = models[0]
    return [
        {
            "model": model.name,
            "gives": model.gives,
            "parameters": model.parameters,
            "multiply_adds_per_s": operations[model.name] / 2 / model.heard,
            **_medians("network", alone[model.name], model.heard),
            **_medians("whole", whole[model.name], seconds),
            "network_times_first": faster(alone, first.name, model.name) * first.heard / model.heard,
            "whole_times_first": faster(whole, first.name, model.name),
        }
        for model in models
    ]


def _medians(name: str, times: tuple[list[float], list[float]], seconds: float) -> dict[str, float]:
    wall, cpu = (statistics.median(kept) / seconds for kept in times)
    return {f"{name}_wall": wall, f"{name}_cpu": cpu}


def compare_runtimes(
    separator: Separator, seconds: float, rounds: int, threads: int, ways: Mapping[str, Any] = runtimes.WAYS
) -> tuple[list[dict[str, Any]], list[str]]:
    """A row for each way to run the network, how much faster than the first and how equal; and what is missing."""
    mixture, query, rate = song(seconds)
    conditioning = separator.condition([query], rate)
    system = separator.system
    assert isinstance(system, MaskSystem)
    samples = torch.from_numpy(audio.resample(mixture, rate, separator.sample_rate))
    with torch.inference_mode():
        energy = system.band_energy(system.stft(samples[None, :, : separator.preset.segment]))
        inputs = system.inputs(energy, conditioning)
    alone, whole, outputs, missing = {}, {}, {}, []
    for name, make in ways.items():
        print(f"preparing {name} ...", flush=True)
        try:
            network = make(system)
        except EngineMissing as error:
            missing.append(f"{name} is left out: {error}")
            continue
        other = copy.deepcopy(separator)
        other.system.network = network
        alone[name] = _repeated(torch.inference_mode()(network), *inputs)
        whole[name] = _estimate(other, mixture, conditioning, rate)
        alone[name](), whole[name]()  # warms up
        outputs[name] = whole[name]()
    print(f"timing, {rounds} rounds ...", flush=True)
    networks, wholes = interleaved(alone, 3 * rounds), interleaved(whole, rounds)
    first = next(iter(alone))
    rows = [
        {
            "runtime": name,
            "threads": threads,
            "network_faster": faster(networks, name, first),
            "network_cpu_less": faster(networks, name, first, 1),
            "whole_faster": faster(wholes, name, first),
            "whole_cpu_less": faster(wholes, name, first, 1),
            "greatest_difference": float(np.abs(outputs[name] - outputs[first]).max()),
        }
        for name in alone
    ]
    return rows, missing


def _repeated(network: Callable[..., object], *arguments: Any, times: int = 5) -> Callable[[], object]:
    """Several calls in a row: one is too short to be timed on a busy machine."""
    return lambda: [network(*arguments) for _ in range(times)]


def _estimate(separator: Separator, mixture: Array, conditioning: Any, rate: int) -> Callable[[], Array]:
    return lambda: separator.estimate(mixture, conditioning, rate)


def main() -> None:
    cores = os.cpu_count() or 1
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "-o", "--output", type=Path, default=REPORT, help="folder of speed.md, speed.json and speed.png"
    )
    parser.add_argument("--runtimes", action="store_true", help="time the shipped network in other runtimes instead")
    parser.add_argument("--threads", type=int, default=cores, help="default: all cores")
    parser.add_argument("--seconds", type=float, default=30, help="length of the song, 10 at least")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    if given.seconds < 10 or min(given.rounds, given.threads) < 1:
        parser.error("--seconds must be at least 10, --rounds and --threads at least 1")
    part: dict[str, Any] = {
        "system": platform.platform(),
        "torch": torch.__version__,
        "cores": cores,
        "seconds": given.seconds,
        "rounds": given.rounds,
    }
    if given.runtimes:
        part["rows"], part["missing"] = [], []
        for threads in sorted({1, given.threads}):
            torch.set_num_threads(threads)
            shipped = Separator.from_pretrained(device="cpu")
            rows, part["missing"] = compare_runtimes(shipped, given.seconds, given.rounds, threads)
            part["rows"] += rows
    else:
        torch.set_num_threads(given.threads)
        part["threads"] = given.threads
        models, part["missing"] = entrants(given.seconds)
        part["rows"] = compare(models, given.seconds, given.rounds)
    write(given.output, "runtimes" if given.runtimes else "models", part)
    print((given.output / "speed.md").read_text(encoding="utf-8"))


def write(folder: Path, name: str, part: dict[str, Any]) -> None:
    """Put a part in place of the one of that name in the report."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "speed.json"
    parts = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    parts[name] = part
    path.write_text(json.dumps(parts, indent=2) + "\n", encoding="utf-8")
    sections = ["# Speed on a CPU", ""]
    if "models" in parts:
        sections += _models_text(parts["models"])
        _figure(parts["models"], folder / "speed.png")
    if "runtimes" in parts:
        sections += _runtimes_text(parts["runtimes"])
    (folder / "speed.md").write_text("\n".join(sections), encoding="utf-8")


def _where(part: dict[str, Any]) -> str:
    return f"{part['system']}, PyTorch {part['torch']}"


def _models_text(part: dict[str, Any]) -> list[str]:
    rows = part["rows"]
    names = ("network_wall", "network_cpu", "whole_wall", "whole_cpu", "network_times_first", "whole_times_first")
    lines = [
        "## Beside other models",
        "",
        f"{part['seconds']:g} s of stereo at 44.1 kHz, {part['threads']} of {part['cores']} cores, one process;",
        f"medians of {part['rounds']} interleaved rounds ({_where(part)}).",
        "Seconds per second of audio, by the clock and, all threads together, of CPU time (which hangs less on what",
        "else the machine has to do).",
        "",
        "| model | gives | parameters (M) | multiply-adds (G) | network | CPU | whole | CPU | times "
        f"{rows[0]['model']}: network | whole |",
        "|" + "---|" * 10,
    ]
    for row in rows:
        sizes = f"{row['parameters'] / 1e6:.1f} | {row['multiply_adds_per_s'] / 1e9:.2f}"
        figures = " | ".join(f"{row[name]:.{1 if 'times' in name else 3}f}" for name in names)
        lines.append(f"| {row['model']} | {row['gives']} | {sizes} | {figures} |")
    return [
        *lines,
        "",
        *(f"{line}." for line in part["missing"]),
        "Only cost is compared, not quality: all but the first have random weights. The multiply-adds are those of the",
        "network's convolutions, matrix products and recurrent layers, per second of audio. `network` leaves out what",
        "turns sound into its input and its output into sound, except for HTDemucs, whose network does that itself.",
        "`whole` is from samples to samples, with overlaps, as each is meant to be used: `Separator.estimate` for the",
        "first two (illes2020 works on mono at 11 kHz), one target with one Wiener step for Open-Unmix, overlaps of a",
        "quarter for HTDemucs, which gives four stems at once: a quarter of its cost falls to each.",
        f"The network's goal is at most {MOST} s per second on two cores, better {AIM}.",
        "",
        "![seconds per second of audio](speed.png)",
        "",
        "Made by `python -m fewshot_sep.experiments.speed.run`.",
        "",
    ]


def _runtimes_text(part: dict[str, Any]) -> list[str]:
    names = ("network_faster", "network_cpu_less", "whole_faster", "whole_cpu_less")
    lines = [
        "## In other runtimes",
        "",
        f"The shipped weights on {part['cores']} cores; medians of {part['rounds']} interleaved rounds,",
        f"each runtime's time against PyTorch's in the same round ({_where(part)}).",
        f"`network`: one segment; `whole`: `Separator.estimate` of {part['seconds']:g} s; the difference is the",
        "greatest of any sample of the separated waveform.",
        "",
        "| threads | runtime | network: times faster | less CPU | whole: times faster | less CPU | difference |",
        "|" + "---|" * 7,
    ]
    for row in part["rows"]:
        figures = " | ".join(f"{row[name]:.2f}" for name in names)
        lines.append(f"| {row['threads']} | {row['runtime']} | {figures} | {row['greatest_difference']:.0e} |")
    made = "Made by `python -m fewshot_sep.experiments.speed.run --runtimes`."
    return [*lines, "", *(f"{line}." for line in part["missing"]), made, ""]


def _figure(part: dict[str, Any], path: Path) -> None:
    figure, axes = plots.new_figure(1, 1, 8, 3.2)
    panel, rows = axes[0, 0], part["rows"]
    places = np.arange(len(rows))
    for offset, name in ((-0.2, "network"), (0.2, "whole")):
        bars = panel.barh(places + offset, [row[f"{name}_wall"] for row in rows], 0.4, label=name)
        panel.bar_label(bars, fmt="%.3f", padding=3, fontsize=8)
    panel.axvline(MOST, color="black", linestyle="--", linewidth=1, label="goal for the network")
    panel.set_yticks(places, [row["model"] for row in rows])
    panel.invert_yaxis()
    panel.set(xscale="log", xlabel=f"seconds per second of audio, {part['threads']} threads", ylabel="model")
    panel.xaxis.set_major_formatter("{x:g}")
    panel.xaxis.set_minor_formatter("")
    widest = max(row["whole_wall"] for row in rows)
    panel.set_xlim(0.003, max(1.0, 2 * widest))  # room for the figure beside the longest bar
    panel.legend(ncols=3, loc="upper center", bbox_to_anchor=(0.5, 1.2), fontsize=9)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
