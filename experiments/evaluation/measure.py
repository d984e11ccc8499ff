"""Runs one method over items and writes a row for each as it comes; what a run already holds is not done again."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import inspect
import json
import math
import multiprocessing
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import astuple
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import fewshot_sep
import fewshot_sep.songs
from fewshot_sep import metrics, weights
from fewshot_sep.errors import FewshotSepError
from fewshot_sep.experiments.evaluation import conditions, methods, settings
from fewshot_sep.experiments.evaluation.case import Array, Case
from fewshot_sep.experiments.evaluation.conditions import Sounds
from fewshot_sep.experiments.evaluation.items import Item
from fewshot_sep.experiments.evaluation.methods import Choice
from fewshot_sep.experiments.evaluation.runs import ROWS, Row, read_rows
from fewshot_sep.experiments.kit import cost
from fewshot_sep.loops.library import is_held_out

FLOORS = ("songs", "loops", "experiments")  # in the source tree these are links
MAX_DB = 100.0  # BSS Eval's ratios are infinite where nothing is wrong
WITH_BSS_EVAL = ("same", "cross", "sources")


def score(item: Item, case: Case, estimate: Array, queried: Array | None = None) -> Row:
    """All figures of an estimate, in dB.

    Where the target does not sound (no reference, or one under -60 dB re the mixture) there is only the output's level:
    every ratio to the target would be undefined. `queried` is the stem of the instrument that a wrong query plays.
    """
    row: Row = {"level": metrics.level_db(estimate, case.mixture), "sounds": False}
    reference = case.reference
    if reference is None or metrics.level_db(reference, case.mixture) < settings.SILENT_DB:
        return row
    sdr, si_sdr = metrics.sdr(reference, estimate), metrics.si_sdr(reference, estimate)
    row |= {
        "sounds": True,
        "sdr": sdr,
        "si_sdr": si_sdr,
        "sdri": sdr - metrics.sdr(reference, case.mixture),
        "si_sdri": si_sdr - metrics.si_sdr(reference, case.mixture),
        "target_level": metrics.level_db(estimate, reference),
        "collapsed": row["level"] < settings.COLLAPSED_DB,
        "retrieved": all(si_sdr > metrics.si_sdr(other, estimate) for other in case.others),
    }
    if item.kind in WITH_BSS_EVAL:
        residual = case.mixture - reference
        # Both places hold the estimate and only the first is read: the residual is there to measure interference by.
        found = metrics.bss_eval([reference, residual], [estimate, estimate])
        for name, values in zip(found._fields, found, strict=True):
            row[f"bss_{name}"] = float(np.clip(values[0], -MAX_DB, MAX_DB))
    if queried is not None:
        followed = metrics.si_sdr(queried, estimate)
        row |= {"asked_si_sdri": followed - metrics.si_sdr(queried, case.mixture), "followed": followed > si_sdr}
    return row


class Answer(NamedTuple):
    """What a method made of an item: the target, or what went wrong; the process's peak memory so far in MiB.

    `seconds` went by, of which all cores together worked `cpu_s`: a busy machine makes the former longer.
    """

    estimate: Array | None
    seconds: float = 0.0
    cpu_s: float = 0.0
    peak_mib: float | None = None
    problem: str = ""


class Worker:
    """One method, ready; equal questions, that are only scored in another way, are answered once."""

    def __init__(self, choice: Choice, folder: Path) -> None:
        self.choice, self.sounds = choice, Sounds(folder)
        self.method = methods.load(choice)
        self._last: tuple[Any, Answer] | None = None

    def answer(self, item: Item) -> Answer:
        """The method's answer; an error that is meant for users is part of it."""
        truth = item.reference if self.choice.name in settings.ORACLES else None
        mixture = item.mix or (item.reference, item.others)
        shown = (item.query, item.clips, item.seconds, item.among, item.without, item.kind == "borders")
        question = (mixture, shown, item.instrument, truth)
        if self._last is None or self._last[0] != question:
            try:
                self._last = question, self._run(self.sounds.case(item))
            except FewshotSepError as error:
                return Answer(None, problem=str(error))
        return self._last[1]

    def _run(self, case: Case) -> Answer:
        given, estimates = self.choice.given(case), list[Array]()
        seconds, cpu_s = cost.clock(lambda: estimates.append(np.asarray(self.method(given), dtype=np.float32)))
        (found,) = estimates
        if found.shape != case.mixture.shape or not np.isfinite(found).all():
            raise FewshotSepError(
                f"{self.choice.label} gave an array {found.shape} for a mixture {case.mixture.shape}, or NaN; "
                "a method must give the target in the mixture's shape"
            )
        return Answer(found, seconds, cpu_s, cost.peak_mib())


def row_of(choice: Choice, item: Item, answer: Answer, sounds: Sounds) -> Row:
    """One row of the run; with `failed` where there is no estimate."""
    seen = item.seen if item.seen is not None else not is_held_out(item.target)
    row: Row = {"method": choice.label, "id": item.id, "kind": item.kind, "song": item.song}
    row |= {"target": item.target, "sources": item.sources, "seen": seen}
    row |= {"query": item.queried} if item.queried else {}
    row |= {"clips": item.clips, "clip_s": item.seconds} if item.clips else {}
    if answer.estimate is None:
        return row | {"failed": answer.problem}
    case = sounds.case(item)
    queried = sounds.read(item.queried_reference)[0] if item.queried_reference else None
    row |= {"seconds": answer.seconds, "cpu_s": answer.cpu_s, "audio_s": case.mixture.shape[1] / case.sample_rate}
    row |= {"peak_mib": answer.peak_mib, **score(item, case, answer.estimate, queried)}
    return {name: _plain(value) for name, value in row.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, float):
        return round(value, 4) if math.isfinite(value) else None
    return value


def digest(choice: Choice, items: Sequence[Item], folder: Path) -> dict[str, str]:
    """What each item's row depends on, by the item's id: method, weights, code, the item and its sound files."""
    known = [weights.sha256(path) for path in _code(choice)]
    if choice.name in settings.TRAINED:
        known.append(weights.sha256(choice.weights or weights.bundled()))
    method = "\n".join([choice.spec, *known])
    files = {name: weights.sha256(folder / name) for item in items for name in item.files}
    return {
        item.id: hashlib.sha256(
            "\n".join([method, repr(astuple(item)), *(files[name] for name in item.files)]).encode()
        ).hexdigest()[:16]
        for item in items
    }


def _code(choice: Choice) -> list[Path]:
    """The source files that a row depends on: the ground, whole songs, this module, the method's own.

    That is for a method of another experiment its whole folder. Of loops and experiments nothing else is looked at.
    """
    ground = Path(fewshot_sep.__path__[0])
    code = [file for file in ground.rglob("*.py") if file.relative_to(ground).parts[0] not in FLOORS]
    code += [*Path(fewshot_sep.songs.__path__[0]).rglob("*.py"), Path(__file__), Path(conditions.__file__)]
    if choice.name in settings.TRAINED:
        loader = importlib.util.find_spec(settings.TRAINED[choice.name].loader.partition(":")[0])
        own = Path(str(loader and loader.origin))
        code += [own] if own.parent == Path(__file__).parent else own.parent.rglob("*.py")
    elif not choice.spec.startswith("cmd:"):
        function = methods.load(choice)
        if file := inspect.getsourcefile(inspect.unwrap(getattr(function, "func", function))):  # of a partial
            code.append(Path(file))
    return sorted(set(code))


def run(choice: Choice, items: Sequence[Item], folder: Path, out: Path) -> Iterator[Row]:
    """Rows of one method, in a process of its own, whose peak memory is thus the method's; written as they come.

    Rows that the run holds from before come first, if nothing they depend on has changed. The items are such that tell
    something about the method and have the clips that it is given.
    """
    wanted = digest(choice, items, folder)
    before = {row["id"]: row for row in read_rows(out) if row["method"] == choice.label}
    todo = []
    for item in items:
        row = before.get(item.id, {})
        if row.get("digest") == wanted[item.id] and "failed" not in row:
            yield row
        else:
            todo.append(item)
    if not todo:
        return
    todo.sort(key=lambda item: (item.song, item.mix or "", item.query, item.clips))  # equal questions side by side
    path = out / ROWS
    torn = path.is_file() and not path.read_bytes().endswith(b"\n")
    sounds = Sounds(folder)
    # Ctrl-C is this process's to answer.
    ignoring = (signal.SIGINT, signal.SIG_IGN)
    pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), signal.signal, ignoring)
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write("\n" if torn else "")
            for item in todo:
                answer = pool.submit(_answer, choice, folder, item).result()
                row = row_of(choice, item, answer, sounds) | {"digest": wanted[item.id]}
                file.write(json.dumps(row) + "\n")
                file.flush()
                yield row
    except BrokenProcessPool as error:
        raise FewshotSepError(
            f"{choice.label}: its process ended early (out of memory?); call again to resume"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


worker_of = functools.cache(Worker)
"""The method in a process of its own, loaded once."""


def _answer(choice: Choice, folder: Path, item: Item) -> Answer:
    return worker_of(choice, folder).answer(item)
