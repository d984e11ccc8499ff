"""What can be evaluated, by name: baselines, this project's separators, anyone's function or shell command."""

from __future__ import annotations

import functools
import importlib
import shlex
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fewshot_sep.errors import FewshotSepError
from fewshot_sep.experiments.evaluation import settings
from fewshot_sep.experiments.evaluation.case import Array, Case, Method
from fewshot_sep.prompt import ROLES

if TYPE_CHECKING:
    from fewshot_sep import Separator, SongSeparator
    from fewshot_sep.experiments.evaluation.items import Item


def target_of(separator: Separator | SongSeparator, residual_pass: bool = True) -> Method:
    """What a separator finds of the instrument that the clips of a case show."""
    from fewshot_sep import Prompt

    def find(case: Case) -> Array:
        prompt = Prompt(case.queries, case.among, case.absent)
        return separator.separate(case.mixture, prompt, case.sample_rate, residual_pass=residual_pass).target

    return find


def separator(name: str, weights: Path | None, device: str) -> Method:
    """`fewshot_sep.SongSeparator` for the method `song`, else `fewshot_sep.Separator`."""
    from fewshot_sep import Separator, SongSeparator

    whole = Separator.from_pretrained(weights, device=device)
    return target_of(SongSeparator(whole) if name == "song" else whole, name != "segment-no-suppression")


class Choice(NamedTuple):
    """A method as the user chose it: `label` in reports; `spec` a name, `module:function` or `cmd:...`.

    Attributes:
        name: `spec` without the roles.
        roles: whose clips the method is given.
    """

    label: str
    spec: str
    weights: Path | None = None
    device: str = "auto"

    @property
    def name(self) -> str:
        return _parts(self.spec)[0]

    @property
    def roles(self) -> tuple[str, ...]:
        return _parts(self.spec)[1]

    def lacks(self, item: Item) -> bool:
        """Whether an item has no clip of a role that the method is to be given."""
        return ("among" in self.roles and not item.among) or ("absent" in self.roles and not item.without)

    def given(self, case: Case) -> Case:
        """The case without the clips of other roles; a function of a `Case` gets all of it."""
        if ":" in self.name:
            return case
        clips = zip(ROLES, (case.queries, case.among, case.absent), strict=True)
        queries, among, absent = (list(some) if role in self.roles else [] for role, some in clips)
        return case._replace(queries=queries, among=among, absent=absent)

    def applies(self, kind: str) -> bool:
        """Whether items of a kind tell anything about this method."""
        if self.name in settings.ORACLES:
            return kind in ("same", "cross", "sources")
        if self.name in settings.SEEDS or "alone" not in self.roles:  # looks at no clip of it alone
            return kind not in ("itself", "clips")
        return self.name not in settings.UNINFORMED or kind in ("same", "cross", "absent", "sources")


def choose(names: Sequence[str], weights: Sequence[str], device: str = "auto") -> list[Choice]:
    """Read `[LABEL=]METHOD[:ROLES]` and `[LABEL=]FILE`.

    Weights without a label are for those methods that have bundled ones.

    >>> choose(["nmf", "mine=segment"], ["mine=a.safetensors"])[1][:3]
    ('mine', 'segment', PosixPath('a.safetensors'))

    Raises:
        FewshotSepError: an unknown method or role, a label twice, weights for a method that was not chosen.
    """
    known = (*settings.BASELINES, *settings.TRAINED)
    files = {current(label): file for label, file in (_pair(text, "") for text in weights)}
    choices = []
    for text in names:
        label, spec = map(current, _pair(text, text))
        name, roles = _parts(spec)
        if ":" not in name and name not in known:
            raise FewshotSepError(f"no method {spec!r}; there are: {', '.join(known)}, module:function, cmd:'...'")
        if name in settings.PROMPTED and not ({*roles} <= {*ROLES} and {"alone", "among"} & {*roles}):
            raise FewshotSepError(
                f"method {spec!r}: write roles like {name}:alone+absent, of {', '.join(ROLES)}; one of the "
                "first two must be there"
            )
        file = files.get(label, files.get("") if name in settings.BUNDLED else None)
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


def _parts(spec: str) -> tuple[str, tuple[str, ...]]:
    """A method's name, and the roles of the clips that it is given.

    >>> _parts("nmf:alone+absent"), _parts("nmf"), _parts("module:function")
    (('nmf', ('alone', 'absent')), ('nmf', ('alone',)), ('module:function', ('alone',)))
    """
    name, sign, roles = spec.partition(":")
    return (name, tuple(roles.split("+"))) if sign and name in settings.PROMPTED else (spec, ROLES[:1])


def current(name: str) -> str:
    """A method's name, or `name:roles`, as it is now."""
    before, sign, roles = name.partition(":")
    return settings.METHOD_ALIASES.get(before, before) + sign + roles


def load(choice: Choice) -> Method:
    """The method, its weights read.

    Raises:
        FewshotSepError: weights that are needed and not given; `module:function` that cannot be imported; whatever the
            system raises.
    """
    name, weights = choice.name, choice.weights
    if name.startswith("cmd:"):
        return functools.partial(_command, name.removeprefix("cmd:"))
    if name in settings.BASELINES:
        name = f"fewshot_sep.experiments.evaluation.baselines:{name}"
    if name not in settings.TRAINED:
        method: Method = imported(name)
        return method
    loader, training, file = settings.TRAINED[name]
    if weights is None and training:
        given = shlex.quote(f"{choice.label}={file}")
        raise FewshotSepError(
            f"{name}: no weights come along; train some ({training}) and give them: --weights {given}"
        )
    trained: Method = imported(loader)(name, weights, choice.device)
    return trained


def imported(path: str) -> Any:
    """What `module:name` names.

    Raises:
        FewshotSepError: it cannot be imported.
    """
    module, _, name = path.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise FewshotSepError(f"{path}: cannot be imported ({error}); write module:function") from error


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
