"""The head that predicts how much a separation improves, see `fewshot_sep.prediction`: its tasks, fit and report."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
import typer
from numpy.typing import NDArray
from scipy.stats import spearmanr

from fewshot_sep import Prompt, Separator, audio, cli, files, metrics, plots, weights
from fewshot_sep.evidence import AMONG
from fewshot_sep.experiments.evaluation import items as evaluation_items
from fewshot_sep.experiments.evaluation import settings
from fewshot_sep.experiments.evaluation.case import Array
from fewshot_sep.experiments.evaluation.cutter import kinds_of
from fewshot_sep.experiments.evaluation.items import Item
from fewshot_sep.experiments.kit import document, tables
from fewshot_sep.experiments.kit.document import Block, Picture, Table, Text
from fewshot_sep.loops import library as libraries
from fewshot_sep.loops.library import Library
from fewshot_sep.loops.tasks.mixing import TaskMixer
from fewshot_sep.loops.tasks.options import PROMPTED
from fewshot_sep.loops.tasks.pool import AudioPool
from fewshot_sep.prediction import ENDING, FAILED_DB, MAX_SIGN, Head, observe
from fewshot_sep.prompt import ROLES, Query
from fewshot_sep.songs.expectation import ABSENT, FAILED
from fewshot_sep.songs.pipeline import SongRun, SongSeparator

COMMAND = "python -m fewshot_sep.experiments.flagship.prediction LIBRARY MODULE_ITEMS DEVSET RUN"
REPORT = Path(__file__).with_name("report") / "prediction"
Floats = NDArray[np.float64]

BATCH, SEED, WITH_PASS, ABSENT_SHARE = 8, 2, 0.7, 0.2
NOISE, MIXED, SHORT = 0.04, 0.1, 0.1  # of the library's tasks: the clip is noise; has others in it; is cut to SHORT_S
SHORT_S = (0.4, 0.7, 1.2)
RANGE_DB = (-15.0, 30.0)
MODULES_COUNT = 5.0  # times as much as tasks of the library: they sound like records
QUANTILES, FOLDS, STEPS, DECAY = (0.1, 0.5, 0.9), 5, 1000, 1e-3
BINS = 5


@dataclass(frozen=True)
class Row:
    """One separation: `clip` says how it was asked, `si_sdri` is None where the instrument is not in the mixture."""

    song: str
    clip: str
    si_sdri: float | None
    signs: dict[str, float]


def measured(
    songs: SongSeparator, mixture: Array, prompt: Prompt, rate: int, truth: Array | None, residual_pass: bool = True
) -> tuple[float | None, dict[str, float]] | None:
    """The improvement and the signs of a separation; None where nothing at all was found."""
    source = audio.ArraySource(mixture, rate)
    separator = songs.separator
    conditioning = separator.condition(prompt, rate, within=source if residual_pass else None)
    run = SongRun(songs, source, conditioning, "none", residual_pass=False)
    target = np.concatenate([block for block, _ in run.stems()], axis=1)
    signs = observe(separator, conditioning, run.monitor.samples, run.monitor.level_db)
    if not signs:
        return None
    if truth is None or metrics.level_db(truth, mixture) < settings.SILENT_DB:
        return None, signs
    return metrics.si_sdr(truth, target) - metrics.si_sdr(truth, mixture), signs


def task_rows(library: Path, tasks: int, shown: Collection[str], seed: int = SEED) -> Iterator[Row]:
    """Tasks of what training left alone in a library, without the songs that are shown."""
    whole = libraries.read(library)
    rows = [row for row in whole if row.split != "train" and (row.song or "").split("@")[0] not in shown]
    songs = SongSeparator(Separator.from_pretrained())
    preset = songs.separator.preset
    pool = AudioPool(
        Library(whole.folder, tuple(replace(row, split="these") for row in rows)), "these", preset.sample_rate
    )
    mixer = TaskMixer(pool, BATCH, preset.segment, preset.channels, replace(PROMPTED, absent=ABSENT_SHARE), seed)
    chance = random.Random(seed)
    for place in range(tasks):
        index, number = divmod(place, BATCH)
        if not number:
            batch = mixer.draw(index)
        evidence = batch.evidence
        clips: list[list[Query]] = [[] for _ in ROLES]
        for prompt, task, role in zip(evidence.clips, evidence.task.tolist(), evidence.role.tolist(), strict=True):
            clips[role] += [clip.numpy()[None] for clip in prompt] if task == number else []
        mixture, target = batch.mixture[number].numpy(), batch.target[number].numpy()
        other = batch.mixture[(number + 1) % BATCH].mean(0, keepdim=True).numpy()
        kind = _spoilt(clips[0], other, preset.sample_rate, chance)
        told = kind != "noise" or clips[AMONG]  # noise alone tells of nothing
        truth = target if target.any() and told else None
        found = measured(songs, mixture, Prompt(*clips), preset.sample_rate, truth, chance.random() < WITH_PASS)
        if found:
            yield Row(f"task {index}.{number}", kind, *found)


def _spoilt(alone: list[Query], other: Array, rate: int, chance: random.Random) -> str:
    """Make some of the clips of an instrument alone bad ones; says how."""
    place = chance.random()
    if not alone or place > NOISE + MIXED + SHORT:
        return "clip"
    clip = np.asarray(alone[0])
    if place < NOISE:
        noise = np.random.default_rng(chance.randrange(2**32)).normal(0, 0.1, clip.shape)
        alone[:] = [noise.astype(np.float32)]
        return "noise"
    if place < NOISE + MIXED:
        alone[:] = [clip + other * np.sqrt(np.mean(clip**2) / (np.mean(other**2) + 1e-9))]
        return "with others"
    length = int(chance.choice(SHORT_S) * rate)
    start = max(0, min(int(np.abs(clip[0]).argmax()) - length // 4, clip.shape[1] - length))
    alone[:] = [clip[:, start : start + length]]
    return "short"


def item_rows(folder: Path) -> Iterator[Row]:
    """Items, each with its clip, every second with another song's, with a clip among others, or with a `not`."""
    songs = SongSeparator(Separator.from_pretrained())
    items, chance = evaluation_items.read(folder), random.Random(SEED)
    for number, item in enumerate(items):
        for kind, prompt in _asked(folder, items, number, chance):
            mixture, rate = audio.read(folder / (item.mix or ""))
            reference = item.reference if kind != "foreign" else None
            truth = np.broadcast_to(audio.read(folder / reference)[0], mixture.shape) if reference else None
            if found := measured(songs, mixture, prompt, rate, truth):
                yield Row(item.song, kind, *found)


def _asked(folder: Path, items: Sequence[Item], number: int, chance: random.Random) -> Iterator[tuple[str, Prompt]]:
    item = items[number]

    def clip(name: str) -> list[Query]:
        return [audio.read(folder / name)]

    yield "clip", Prompt(clip(item.query))
    if number % 2 and item.reference and (foreign := not_in_song(items, item.song)):
        yield "foreign", Prompt(clip(chance.choice(foreign).query))
    if number % 2 and item.among:
        yield "with others", Prompt(clip(item.among))
    if not number % 2 and item.without:
        yield "clip and not", Prompt(clip(item.query), absent=clip(item.without))


def not_in_song(items: Sequence[Item], song: str) -> list[Item]:
    """Items of other songs, asked with a clip of their own, whose target is of no family that is known to play here."""
    here = [item for item in items if item.song == song and item.kind != "absent"]
    stems = {Path(name).stem.rpartition(".")[2] for item in here for name in item.others}
    playing = set[str]().union(*map(kinds_of, {item.target for item in here} | stems))
    others = (item for item in items if item.song != song and item.kind == "same")
    return [item for item in others if not kinds_of(item.target) & playing]


def kept(path: Path, rows: Callable[[], Iterator[Row]]) -> list[Row]:
    """Rows in a file, which is written first where it is not there."""
    if not path.is_file():
        with files.replacing(path) as draft, draft.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(asdict(row)) + "\n" for row in rows())
    return [Row(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def shown_songs(items: Sequence[Item]) -> set[str]:
    """Every other song: what is shown of the head is shown on these, and it is fitted without them."""
    return set(sorted({item.song for item in items})[1::2])


def prediction(
    library: Annotated[Path, typer.Argument(help="A loop library, see `fewshot-sep make-library`.")],
    modules: Annotated[Path, typer.Argument(help="Items of `flagship.module_items`.")],
    devset: Annotated[Path, typer.Argument(help="Items of real songs, for the report alone.")],
    run: Annotated[Path, typer.Argument(help="Folder for what is measured, once for the same weights.")],
    report: Annotated[Path, typer.Option("-o", "--output")] = REPORT,
    tasks: Annotated[int, typer.Option(min=1, help="Of the library.")] = 1200,
) -> None:
    """Make the head of the bundled weights and show how well it does.

    Fitted on tasks and on every other song of the modules; shown on the others and on real songs.

    Example:
    python -m fewshot_sep.experiments.flagship.prediction library module_items devset runs/prediction
    """
    shown = shown_songs(evaluation_items.read(modules))
    path = weights.bundled()
    digest = weights.verify(path)
    measured_on = run / digest[:12]
    of_tasks = kept(measured_on / f"{tasks}_tasks.jsonl", lambda: task_rows(library, tasks, shown))
    of_modules = kept(measured_on / "modules.jsonl", lambda: item_rows(modules))
    of_devset = kept(measured_on / "devset.jsonl", lambda: item_rows(devset))
    known = [row for row in of_modules if row.song not in shown]
    head = conformal(of_tasks, known)
    sets = {
        "module songs not fitted": [row for row in of_modules if row.song in shown],
        "development set": of_devset,
    }
    figures = {name: judged(head, rows) for name, rows in sets.items()}
    files.write_json(path.with_name(path.stem + ENDING), {"weights": digest, "head": head._asdict()})
    data = {"tasks": len(of_tasks), "module rows": len(known), "module songs": len({row.song for row in known})}
    known_of_it = {"command": COMMAND, "data": data, "shown on": figures}
    files.write_json(path.with_suffix(".json"), weights.card(path) | {"prediction": known_of_it}, indent=1)
    figure(report, head, sets)
    document.write(report, "How well a prediction of the improvement holds", blocks(data, figures), known_of_it)


def conformal(tasks: Sequence[Row], modules: Sequence[Row]) -> Head:
    """A head fitted to both, its interval widened until it holds on module songs that a fit has not seen."""
    names = sorted({row.song for row in modules})
    beyond = []
    for fold in range(FOLDS):
        left_out = set(names[fold::FOLDS])
        head = fitted(tasks, [row for row in modules if row.song not in left_out])
        beyond += [
            (found.low - row.si_sdri, row.si_sdri - found.high)
            for row in modules
            if row.song in left_out and row.si_sdri is not None
            for found in [head.predict(row.signs)]
        ]
    return fitted(tasks, modules)._replace(
        widen=np.quantile(beyond, QUANTILES[-1], axis=0).clip(min=0).round(3).tolist()
    )


def fitted(tasks: Sequence[Row], modules: Sequence[Row]) -> Head:
    """Lines by pinball loss, and by cross-entropy for presence; a little weight decay."""
    rows = [*tasks, *modules]
    signs = np.array([list(row.signs.values()) for row in rows])
    mean, deviation = signs.mean(0).round(4), (signs.std(0) + 1e-3).round(4)
    values = ((signs - mean) / deviation).clip(-MAX_SIGN, MAX_SIGN)
    x = torch.from_numpy(np.column_stack([values, np.ones(len(rows))]))
    y = torch.tensor([row.si_sdri or 0.0 for row in rows]).double().clamp(*RANGE_DB)
    present = torch.tensor([row.si_sdri is not None for row in rows]).double()
    count = torch.tensor([1.0] * len(tasks) + [MODULES_COUNT] * len(modules)).double()
    lines = torch.zeros(5, x.shape[1], dtype=torch.float64)
    lines[2:, -1] = torch.tensor([0.0, 6.0, 12.0])
    lines.requires_grad_()
    optimizer = torch.optim.Adam([lines], 0.05)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    for _ in range(STEPS):
        in_song, failed, *quantiles = (x @ lines.T).T
        loss = F.binary_cross_entropy_with_logits(in_song, present, count)
        loss = loss + F.binary_cross_entropy_with_logits(failed, (y < FAILED_DB).double(), count * present)
        for share, quantile in zip(QUANTILES, quantiles, strict=True):
            beyond = y - quantile
            loss = loss + (count * present * torch.maximum(share * beyond, (share - 1) * beyond)).mean()
        loss = loss + DECAY * lines[:, :-1].square().sum()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    return Head(
        list(rows[0].signs), mean.tolist(), deviation.tolist(), lines.detach().numpy().round(4).tolist(), [0, 0]
    )


def judged(head: Head, rows: Sequence[Row]) -> dict[str, float]:
    """How well a head does on rows: of those with the instrument, and whether it tells the others from them."""
    found, truth = _predicted(head, rows)
    there = ~np.isnan(truth)
    present, likely, low, median, high = found[there].T
    y = truth[there]
    failed, said = y < FAILED_DB, likely > FAILED
    figures = {
        "separations": len(y),
        "songs": len({row.song for row in rows}),
        "rank correlation": float(spearmanr(median, y)[0]),
        "mean error (dB)": float(np.abs(median - y).mean()),
        "promised too much (dB)": float((median - y).mean()),
        "mean error of a constant (dB)": float(np.abs(np.median(y) - y).mean()),
        "in the interval": float(((low <= y) & (y <= high)).mean()),
        "width (dB)": float((high - low).mean()),
        "failures ranked (AUC)": _auc(likely[failed], likely[~failed]),
        "failed": int(failed.sum()),
        "failed and said": float((failed & said).sum() / max(failed.sum(), 1)),
        "said and failed": float((failed & said).sum() / max(said.sum(), 1)),
        "absences ranked (AUC)": _auc(present, found[~there, 0]),
        "absent": int((~there).sum()),
        "absent and said": float((found[~there, 0] < ABSENT).mean()) if (~there).any() else 0.0,
        "present but said absent": float((present < ABSENT).mean()),
    }
    return {name: round(value, 3) for name, value in figures.items()}


def _auc(higher: Floats, lower: Floats) -> float:
    """How often one is over the other."""
    return float((higher[:, None] > lower).mean())


def _predicted(head: Head, rows: Sequence[Row]) -> tuple[Floats, Floats]:
    """Odds and quantiles `(rows, 5)`; the true improvement, NaN where the instrument is absent."""
    found = np.array([head.predict(row.signs)[:5] for row in rows])
    return found, np.array([np.nan if row.si_sdri is None else row.si_sdri for row in rows])


def figure(folder: Path, head: Head, sets: dict[str, list[Row]]) -> None:
    """Reliability: what was expected against what came, each separation, and means of equally many."""
    drawing, axes = plots.new_figure(1, len(sets), 11, 5)
    for panel, (name, rows) in zip(axes[0], sets.items(), strict=True):
        found, truth = _predicted(head, rows)
        there = ~np.isnan(truth)
        (_, _, low, median, high), y = found[there].T, truth[there]
        panel.plot(median, y, ".", alpha=0.4, label="a separation")
        bins = np.array_split(np.argsort(median), BINS)
        panel.plot(*zip(*((median[some].mean(), y[some].mean()) for some in bins), strict=True), "o-", label="means")
        order = np.argsort(median)
        panel.fill_between(median[order], low[order], high[order], alpha=0.15, label="expected, 4 of 5")
        panel.axline((0, 0), slope=1, color="black", linewidth=0.8)
        panel.set_title(name)
        panel.set_xlabel("expected SI-SDRi (dB)")
        panel.set_ylabel("true SI-SDRi (dB)")
        panel.legend()
    folder.mkdir(parents=True, exist_ok=True)
    drawing.savefig(folder / "reliability.png", dpi=90)


def blocks(data: dict[str, int], figures: dict[str, dict[str, float]]) -> list[Block]:
    """The report."""
    names = list(figures)
    shares = ("in the interval", "failed and said", "said and failed", "absent and said", "present but said absent")

    def cell(name: str, value: float) -> str:
        return tables.percent(value) if name in shares else tables.number(value, 0 if isinstance(value, int) else 2)

    lines = [[key, *(cell(key, figures[name][key]) for name in names)] for key in figures[names[0]]]
    return [
        Text(
            f"Fitted on {data['tasks']} tasks of a library and {data['module rows']} separations of "
            f"{data['module songs']} module songs; shown on the module songs between them and on the development set, "
            "neither of which it was fitted to. An interval is to hold four of five. `Failed` is an improvement under "
            f"{FAILED_DB:g} dB, `said` that it was over {tables.percent(FAILED)} likely; absent is what is less than "
            f"{tables.percent(ABSENT)} likely to be there. {tables.SI_SDR}"
        ),
        Table(["", *names], lines),
        Picture("reliability.png", "Expected against true improvement"),
    ]


if __name__ == "__main__":
    cli.run(prediction)
