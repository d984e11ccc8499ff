"""What can be evaluated, by name: baselines, this project's separators, anyone's function or shell command."""

from __future__ import annotations

import functools
import importlib
import shlex
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fewshot_sep.errors import FewshotSepError
from fewshot_sep.experiments import seeds

if TYPE_CHECKING:
    from fewshot_sep import Separator
    from fewshot_sep.songs import SongSeparator

Array = NDArray[np.float32]


class Case(NamedTuple):
    """What a method is given. Arrays are `(channels, samples)`.

    `instrument` names what the queries play, for methods that are told by label. `reference` and `others`, the true
    stems, are for upper bounds alone; `reference` is None where the instrument is not in the mixture.
    """

    mixture: Array
    queries: list[tuple[Array, int]]
    sample_rate: int
    instrument: str
    reference: Array | None
    others: list[Array]


Method = Callable[[Case], Array]
"""Returns the target, of the mixture's shape."""

BASELINES = ("mixture", "silence", "hpss", "repet-sim", "nmf", "irm", "mixphase")
UNINFORMED = frozenset({"mixture", "silence", "hpss", "repet-sim"})
"""Baselines to which the query says nothing, or no more than which half of their output to give."""
ORACLES = frozenset({"irm", "mixphase"})
"""Upper bounds: they look at the true stems instead of the query."""


def _target_of(separator: Separator | SongSeparator, contrast: bool = True) -> Method:
    return lambda case: (
        separator.separate(case.mixture, case.queries, case.sample_rate, residual_pass=residual_pass).target
    )


def _clip(weights: Path | None, device: str, contrast: bool = True) -> Method:
    from fewshot_sep import Separator

    return _target_of(Separator.from_pretrained(weights, device=device), contrast)


def _song(weights: Path | None, device: str) -> Method:
    from fewshot_sep import Separator
    from fewshot_sep.songs import SongSeparator

    return _target_of(SongSeparator(Separator.from_pretrained(weights, device=device)))


def _given(weights: Path | None, name: str, training: str, file: str) -> Path:
    """The weights; where none are given, the error says how to come by some."""
    if weights is None:
        raise FewshotSepError(
            f"{name}: no weights come along; train some ({training}) and give them: --weights {name}={file}"
        )
    return weights


def _illes2020(weights: Path | None, device: str) -> Method:
    training = "fewshot-sep train LIBRARY -o RUN --preset illes2020"
    return _clip(_given(weights, "illes2020", training, "RUN/weights.safetensors"), device)


def _seed(name: str, weights: Path | None, device: str) -> Method:
    training = f"python -m fewshot_sep.experiments.seeds.train LIBRARY -o RUNS --system {name}"
    return seeds.load(name, _given(weights, name, training, f"RUNS/{name}/weights.safetensors").parent.parent, device)


def _variant(weights: Path | None, device: str) -> Method:
    from fewshot_sep import Separator
    from fewshot_sep.experiments.flagship import variants

    training = "python -m fewshot_sep.experiments.flagship.ablation LIBRARY -o RUNS"
    given = _given(weights, "variant", training, "RUNS/NAME/weights.safetensors")
    return _target_of(Separator(variants.load(given), device), residual_pass=False)


SYSTEMS: dict[str, Callable[[Path | None, str], Method]] = {
    "clip": _clip,
    "once": functools.partial(_clip, residual_pass=False),
    "song": _song,
    "illes2020": _illes2020,
    "variant": _variant,
    **{name: functools.partial(_seed, name) for name in seeds.NAMES},
}
"""Trained systems by name: a file of weights (None for the bundled ones) and a device give the method."""


class Choice(NamedTuple):
    """A method as the user asked for it: `label` in reports; `spec` a name, `module:function` or `cmd:...`."""

    label: str
    spec: str
    weights: Path | None = None
    device: str = "auto"

    def applies(self, kind: str) -> bool:
        """Whether items of a kind tell anything about this method."""
        if self.spec in ORACLES:
            return kind in ("same", "cross", "sources")
        if self.spec in seeds.NAMES:  # told by name, whatever the clips are
            return kind not in ("itself", "clips")
        return self.spec not in UNINFORMED or kind in ("same", "cross", "absent", "sources")


def choose(asked: list[str], weights: list[str], device: str = "auto") -> list[Choice]:
    """Read `[LABEL=]METHOD` and `[LABEL=]FILE`; weights without a label are for `clip`, `once` and `song`.

    >>> choose(["nmf", "mine=clip"], ["mine=a.safetensors"])[1][:3]
    ('mine', 'clip', PosixPath('a.safetensors'))

    Raises:
        FewshotSepError: an unknown method, a label twice, weights for a method that was not asked for.
    """
    files = dict(_pair(text, "") for text in weights)
    choices = []
    for text in asked:
        label, spec = _pair(text, text)
        if not spec.startswith("cmd:") and ":" not in spec and spec not in (*BASELINES, *SYSTEMS):
            raise FewshotSepError(
                f"no method {spec!r}; there are: {', '.join((*BASELINES, *SYSTEMS))}, module:function, cmd:'...'"
            )
        file = files.get(label, files.get("") if spec in ("clip", "once", "song") else None)
        choices.append(Choice(label, spec, Path(file) if file else None, device))
    labels = [choice.label for choice in choices]
    if len(set(labels)) < len(labels):
        raise FewshotSepError(f"two methods have the same label, of {', '.join(labels)}; write LABEL=METHOD")
    stray = sorted(set(files) - {"", *labels})
    if stray:
        raise FewshotSepError(f"--weights {stray[0]}=...: no method has that label, there are: {', '.join(labels)}")
    return choices


def _pair(text: str, label: str) -> tuple[str, str]:
    """Split at the first `=`, unless that belongs to a shell command."""
    before, sign, after = text.partition("=")
    return (before, after) if sign and ":" not in before else (label, text)


def load(choice: Choice) -> Method:
    """The method, its weights read.

    Raises:
        FewshotSepError: `module:function` that cannot be imported; whatever the system raises.
    """
    spec = choice.spec
    if spec.startswith("cmd:"):
        return functools.partial(_command, spec.removeprefix("cmd:"))
    if spec in SYSTEMS:
        return SYSTEMS[spec](choice.weights, choice.device)
    if spec in BASELINES:
        from fewshot_sep.experiments.evaluation import baselines

        return baselines.METHODS[spec]
    module, _, name = spec.partition(":")
    try:
        function: Any = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise FewshotSepError(f"{spec}: cannot be imported ({error}); write module:function") from error
    return function


def _command(template: str, case: Case) -> Array:
    """Run a shell command that reads {mix} and {query} (the clips, joined) and writes the target to {out}."""
    from fewshot_sep import audio

    with tempfile.TemporaryDirectory() as folder:
        files = {name: Path(folder) / f"{name}.wav" for name in ("mix", "query", "out")}
        audio.write(files["mix"], case.mixture, case.sample_rate)
        rate = case.queries[0][1]
        clips = [audio.resample(clip.mean(0, keepdims=True), r, rate) for clip, r in case.queries]
        audio.write(files["query"], np.concatenate(clips, axis=1) if len(clips) > 1 else case.queries[0][0], rate)
        line = template.format(**{name: shlex.quote(str(path)) for name, path in files.items()})
        ended = subprocess.run(line, shell=True, capture_output=True, text=True)
        if ended.returncode or not files["out"].is_file():
            last = (ended.stderr.strip().splitlines() or ["it says nothing"])[-1]
            raise FewshotSepError(f"the command ended with {ended.returncode} and wrote no target: {last}")
        target, rate = audio.read(files["out"])
    if rate != case.sample_rate:
        raise FewshotSepError(f"the command wrote {rate} Hz, the mixture has {case.sample_rate} Hz")
    return target
