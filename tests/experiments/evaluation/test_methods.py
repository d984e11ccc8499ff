from __future__ import annotations

import sys
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest

from fewshot_sep import Prompt
from fewshot_sep.errors import FewshotSepError
from fewshot_sep.experiments.evaluation.case import Case
from fewshot_sep.experiments.evaluation.methods import choose, imported, load, target_of
from fewshot_sep.experiments.evaluation.settings import BASELINES, BUNDLED, TRAINED

CASE = Case(
    np.random.default_rng(0).uniform(-0.5, 0.5, (2, 4000)).astype(np.float32),
    [(np.full((1, 800), 0.25, np.float32), 8000), (np.full((2, 1600), 0.5, np.float32), 16000)],
    8000,
    "flute",
    None,
    [],
)


@pytest.mark.parametrize(
    ("asked", "weights", "meant"),
    [
        (
            ["segment", "new=segment", "nmf"],
            ["old", "new=new"],
            [("segment", "segment", "old"), ("new", "segment", "new"), ("nmf", "nmf", None)],
        ),
        (["cmd:x --a=b {mix}"], [], [("cmd:x --a=b {mix}", "cmd:x --a=b {mix}", None)]),
        (["theirs=cmd:x --a=b"], [], [("theirs", "cmd:x --a=b", None)]),
        (
            ["clip", "mine=once"],  # as older runs call them
            ["clip=a"],
            [("segment", "segment", "a"), ("mine", "segment-no-suppression", None)],
        ),
        (["clip:alone+absent"], ["mine"], [("segment:alone+absent", "segment:alone+absent", "mine")]),
    ],
)
def test_labels_methods_and_weights(
    asked: list[str], weights: list[str], meant: list[tuple[str, str, str | None]]
) -> None:
    found = choose(asked, weights)
    assert [choice[:3] for choice in found] == [(label, spec, file and Path(file)) for label, spec, file in meant]


@pytest.mark.parametrize(
    ("asked", "weights", "named"),
    [
        (["magic"], [], "magic"),
        (["clip", "clip"], [], "segment, segment"),
        (["clip"], ["nmf=f.safetensors"], "nmf"),
        *(([spec], [], r"alone\+absent") for spec in ("nmf:absent", "segment:loud", "song:", "nmf:alone+")),
    ],
)
def test_what_cannot_be_meant_is_refused(asked: list[str], weights: list[str], named: str) -> None:
    with pytest.raises(FewshotSepError, match=named):
        choose(asked, weights)


@pytest.mark.parametrize("name", sorted(set(TRAINED) - set(BUNDLED)))
def test_methods_without_weights_say_how_to_train_some(name: str) -> None:
    with pytest.raises(FewshotSepError, match=r"python -m|fewshot-sep train") as caught:
        load(choose([f"mine={name}"], [])[0])
    assert f"--weights mine={TRAINED[name].file}" in str(caught.value)


def test_every_name_has_its_method() -> None:
    assert all(callable(imported(method.loader)) for method in TRAINED.values())
    assert all(callable(load(choose([name], [])[0])) for name in BASELINES)


def test_anyones_function(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "someones.py").write_text("def half(case):\n    return case.mixture / 2\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert np.array_equal(load(choose(["someones:half"], [])[0])(CASE), CASE.mixture / 2)
    for wrong in ("someones:third", "noones:half"):
        with pytest.raises(FewshotSepError, match="cannot be imported"):
            load(choose([wrong], [])[0])


def test_anyones_command_gets_mixture_and_joined_queries() -> None:
    code = (
        "import sys, soundfile as sf; m, r = sf.read(sys.argv[1], always_2d=True); q, s = sf.read(sys.argv[2]); "
        "sf.write(sys.argv[3], m * 0 + len(q) / s + q[1200].mean(), r, subtype='FLOAT')"
    )
    found = load(choose([f'cmd:"{sys.executable}" -c "{code}" {{mix}} {{query}} {{out}}'], [])[0])(CASE)
    assert found.shape == CASE.mixture.shape
    assert found == pytest.approx(0.2 + 0.5, abs=0.02)  # 0.2 s of clips in all


@pytest.mark.parametrize("command", ["echo no such luck >&2; exit 3", "true"])
def test_a_command_that_fails_says_so(command: str) -> None:
    with pytest.raises(FewshotSepError, match=r"no such luck|it says nothing"):
        load(choose([f"cmd:{command}"], [])[0])(CASE)


@pytest.mark.parametrize(
    ("spec", "kinds"),
    [
        ("irm", "same"),
        ("silence", "same absent"),
        ("nmf", "same absent itself wrong clips"),
        ("segment", "same absent itself wrong clips"),
        ("segment:among+absent", "same absent wrong"),
        pytest.param("wavenet", "same absent wrong", id="conditioned on the label, whatever the clips are"),
    ],
)
def test_kinds_that_tell_something_about_a_method(spec: str, kinds: str) -> None:
    (choice,) = choose([spec], [])
    assert [kind for kind in ("same", "absent", "itself", "wrong", "clips") if choice.applies(kind)] == kinds.split()


def test_methods_are_told_what_their_roles_say() -> None:
    clip = (np.ones((1, 800), np.float32), 8000)
    case = CASE._replace(among=[clip], absent=[clip, clip])
    counts = {}
    for spec in ("clip", "song:alone+absent", "nmf:among+absent", "segment:among", "irm", "someones:function"):
        (choice,) = choose([spec], [])
        given = choice.given(case)
        counts[choice.label] = (choice.name, len(given.queries), len(given.among), len(given.absent))
    assert counts == {
        "segment": ("segment", 2, 0, 0),
        "song:alone+absent": ("song", 2, 0, 2),
        "nmf:among+absent": ("nmf", 0, 1, 2),
        "segment:among": ("segment", 0, 1, 0),
        "irm": ("irm", 2, 0, 0),
        "someones:function": ("someones:function", 2, 1, 2),
    }


def test_separators_get_a_prompt() -> None:
    separator, clip = Mock(), (np.ones((1, 800), np.float32), 8000)
    target_of(separator, residual_pass=False)(CASE._replace(queries=[], among=[clip], absent=[clip]))
    prompt = Prompt([], [clip], [clip])
    separator.separate.assert_called_once_with(CASE.mixture, prompt, CASE.sample_rate, residual_pass=False)
