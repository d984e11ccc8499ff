"""What a few seconds of adapting to query and song give: python -m fewshot_sep.experiments.flagship.adaptation ITEMS -o FOLDER

A copy of the network is tuned to both. Only the biases of its FiLM layers move, which add to the scale and the shift of
each channel. The tasks are made of what is at hand, no stem is looked at: a passage of the song with a piece of the
query laid over, loud or soft. The target is the piece and what a first estimate finds in the passage, so that this is
not unlearnt for the sake of the query; the rest is what the estimate leaves. In some tasks there is only the rest, for
which silence is right. A first estimate as the teacher of a second: after Tzinis et al. 2022, "RemixIT: continual
self-training of speech enhancement models via bootstrapped remixing".
"""

from __future__ import annotations

import argparse
import copy
import json
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fewshot_sep import Separator, audio, metrics
from fewshot_sep.errors import FewshotSepError
from fewshot_sep.experiments.evaluation import items, tables
from fewshot_sep.experiments.evaluation.conditions import Sounds
from fewshot_sep.experiments.evaluation.items import Item
from fewshot_sep.experiments.evaluation.case import Array, Case
from fewshot_sep.experiments.kit import document, stats
from fewshot_sep.loops.library import is_held_out
from fewshot_sep.systems import MaskSystem
from fewshot_sep.unet import Film

REPORT = Path(__file__).parent / "report"
BATCH = 4
FRAMES = 64  # of a task: half of what the network was trained to see at once
RATE = 0.003  # Adam's
BETAS = (0.9, 0.99)
ABSENT = 0.3  # of the tasks
QUERY_DB = (-12.0, 6.0)  # level of the query re the passage
SOUNDING = 10**-1.5  # energy of a piece of the query re the loudest piece, at least
LOGGED = 5  # steps at each end of which the loss is averaged
SEARCHED = 3  # the settings above were chosen after trials on every third item; those come last

Row = dict[str, Any]


class Tuning:
    """A copy of a separator's system on its way to one song and one query; equal seeds make equal steps.

    Raises:
        FewshotSepError: the network has no FiLM layers.
    """

    def __init__(self, separator: Separator, case: Case, seed: int) -> None:
        if not isinstance(separator.system, MaskSystem):
            raise FewshotSepError(
                f"{separator.name}: preset {separator.preset.name} has no FiLM layers to tune; give other --weights"
            )
        self.case, self.system = case, copy.deepcopy(separator.system).requires_grad_(False)
        self.system.si_sdr_weight = 0.0  # settings and report are of the loss before it had SI-SDR
        heard = separator.condition(case.queries, case.sample_rate)
        self.conditioning = type(heard)(*(tensor.clone() for tensor in heard))  # inference tensors take no gradients
        self.separator = Separator(self.system, str(separator.device), separator.name)
        biases = [layer.scale_and_shift.bias for layer in self.system.network.modules() if isinstance(layer, Film)]
        self._optimizer = torch.optim.Adam([bias.requires_grad_() for bias in biases], RATE, BETAS)
        self.losses: list[float] = []
        song, estimate = (self._spectrum(sound, case.sample_rate) for sound in (case.mixture, self.estimate()))
        query = torch.cat([self._spectrum(*clip) for clip in case.queries], dim=-1)
        self._tasks = Tasks(song, estimate, query, seed)

    def _spectrum(self, samples: Array, sample_rate: int) -> Tensor:
        inside = audio.resample(samples, sample_rate, self.separator.sample_rate)
        channels = self.separator.preset.channels
        fitting = inside if len(inside) == channels else np.repeat(inside.mean(0, keepdims=True), channels, axis=0)
        return self.system.stft(torch.from_numpy(fitting).to(self.system.device))

    def estimate(self) -> Array:
        """The target as it is found now, of the mixture's shape."""
        return self.separator.estimate(self.case.mixture, self.conditioning, self.case.sample_rate)

    def step(self) -> None:
        """One batch of tasks."""
        target, rest = self._tasks.batch()
        true = self.system.truth(target + rest, target)
        conditioning = type(self.conditioning)(*(t.expand(BATCH, *t.shape[1:]) for t in self.conditioning))
        logits = self.system.logits(true.whole, conditioning).float()
        loss, _ = self.system.mask_loss(logits, true)
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
        gain = 10 ** (self.random.uniform(*QUERY_DB) / 20) * _rms(passage) / (_rms(piece) + metrics.EPS)
        return found + gain * piece, rest


def _at_least(spectrum: Tensor, frames: int) -> Tensor:
    return F.pad(spectrum, (0, max(0, frames - spectrum.shape[-1])))


def _rms(spectrum: Tensor) -> Tensor:
    return spectrum.abs().square().mean().sqrt()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("items", type=Path, help="folder with items.json, see experiments/benchmark")
    parser.add_argument(
        "-o", "--output", type=Path, default=REPORT, help="folder for adaptation.md and adaptation.json"
    )
    parser.add_argument("--seconds", type=float, nargs="+", default=[0, 5, 20], help="of processor time to adapt")
    parser.add_argument("--weights", type=Path, help="other weights than the bundled ones")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    if min(arguments.seconds) < 0:
        parser.error("--seconds: give numbers of 0 or more")
    torch.set_num_threads(arguments.threads)
    separator = Separator.from_pretrained(arguments.weights, "cpu")
    listed = items.read(arguments.items)
    settings = {"weights": separator.digest, "items": arguments.items.resolve().name, "threads": arguments.threads}
    settings |= {"seconds": sorted({0.0, *arguments.seconds}), "searched on": f"one item in {SEARCHED}"}
    rows = done(arguments.output, settings)
    sounds = Sounds(arguments.items)
    numbers = {item.id: number for number, item in enumerate(listed)}
    todo = [item for item in listed if all(row["id"] != item.id for row in rows)]
    todo.sort(key=lambda item: (numbers[item.id] % SEARCHED == 0, zlib.crc32(item.id.encode())))
    for left, item in zip(range(len(todo) - 1, -1, -1), todo, strict=True):
        searched = numbers[item.id] % SEARCHED == 0
        rows += measure(separator, item, sounds.case(item), settings["seconds"], searched)
        write(arguments.output, settings, sorted(rows, key=lambda row: numbers[row["id"]]))
        print(f"{item.id}, {left} to go", flush=True)


def done(folder: Path, settings: Row) -> list[Row]:
    """The rows of an earlier call with the same settings, so that a stopped one goes on."""
    path = folder / "adaptation.json"
    found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found["rows"] if found.get("settings") == settings else []


def measure(
    separator: Separator, item: Item, case: Case, budgets: Sequence[float], searched: bool = False
) -> list[Row]:
    """A row for each budget in seconds of processor time, in rising order, of one adaptation that goes on.

    The first estimate and the making of tasks are in the time, the last estimate is not.
    """
    facts = {"id": item.id, "kind": item.kind, "song": item.song, "target": item.target, "searched": searched}
    facts |= {"seen": item.seen if item.seen is not None else not is_held_out(item.target)}
    started = time.process_time()
    tuning = Tuning(separator, case, zlib.crc32(item.id.encode()))
    spent = time.process_time() - started
    rows: list[Row] = []
    for budget in budgets:
        while spent < budget:
            started = time.process_time()
            tuning.step()
            spent += time.process_time() - started
        row = facts | {"budget": budget, "seconds": round(spent, 2), "steps": len(tuning.losses)}
        row |= dict(zip(("loss_before", "loss_after"), tuning.ends(), strict=True))
        found = tuning.estimate()
        row["level"] = metrics.level_db(found, case.mixture)
        if case.reference is not None:
            mixture, estimate = (metrics.si_sdr(case.reference, sound) for sound in (case.mixture, found))
            row["si_sdri"] = estimate - mixture
        rows.append({name: round(float(v), 4) if isinstance(v, float) else v for name, v in row.items()})
    return rows


def write(folder: Path, settings: Row, rows: Sequence[Row]) -> None:
    """The rows as `adaptation.json`, what they say as `adaptation.md`."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(f"  {json.dumps(row)}" for row in rows)
    text = f'{{"settings": {json.dumps(settings)},\n "rows": [\n{lines}\n]}}\n'
    (folder / "adaptation.json").write_text(text, encoding="utf-8")
    (folder / "adaptation.md").write_text(document.markdown(blocks(rows)), encoding="utf-8")


def blocks(rows: Sequence[Row]) -> list[document.Block]:
    """The report: what each budget changes, by kind of item and by whether training knew the instrument."""
    present = [row for row in rows if "si_sdri" in row]
    groups = {
        "same and cross": present,
        "of these, not tried on": [row for row in present if not row["searched"]],
        "same": [row for row in present if row["kind"] == "same"],
        "cross": [row for row in present if row["kind"] == "cross"],
        "seen": [row for row in present if row["seen"]],
        "unseen": [row for row in present if not row["seen"]],
    }
    absent = [row for row in rows if row["kind"] == "absent"]
    head = ["items", "s", "steps", "n", "median", "mean", "gain, median", "gain, mean", "better", "worst", "best"]
    return [
        document.Heading("Adapting to query and song", 1),
        document.Text(
            "Improvement in SI-SDR over the mixture and what adapting for some seconds of one core adds to it, in dB; "
            "in brackets 95 % intervals by songs. The settings were chosen after trials on every third item of the set."
        ),
        document.Table(head, [line for name, group in groups.items() for line in _lines(name, group, "si_sdri")]),
        document.Text("Instrument not in the song: level of the output re the mixture; a negative gain is better."),
        document.Table(head, _lines("absent", absent, "level")),
        document.Text(
            "Made by `python -m fewshot_sep.experiments.flagship.adaptation`; the rows are in `adaptation.json`."
        ),
    ]


def _lines(name: str, rows: Sequence[Row], figure: str) -> list[list[str]]:
    """A line for each budget, compared with the same items at budget 0."""
    before = {row["id"]: row[figure] for row in rows if row["budget"] == 0}
    lines = []
    for budget in sorted({row["budget"] for row in rows}):
        chosen = [row for row in rows if row["budget"] == budget]
        after, songs = [row[figure] for row in chosen], [row["song"] for row in chosen]
        steps = f"{np.median([row['steps'] for row in chosen]):.0f}"
        line = [name, f"{budget:g}", steps, str(len(chosen)), f"{np.median(after):.2f}", f"{np.mean(after):.2f}"]
        if budget:
            found = stats.compare(after, [before[row["id"]] for row in chosen], songs)
            gains = np.subtract(after, [before[row["id"]] for row in chosen])
            better = np.mean(gains < 0) if figure == "level" else np.mean(gains > 0)
            ends = sorted((gains.min(), gains.max()), reverse=figure == "level")
            line += [_interval(found.median), _interval(found.mean), tables.percent(float(better))]
            line += [f"{end:+.2f}" for end in ends]
        lines.append(line + [""] * (11 - len(line)))
    return lines


def _interval(found: stats.Interval) -> str:
    return f"{found.value:+.2f} [{found.low:+.2f}, {found.high:+.2f}]"


if __name__ == "__main__":
    main()
