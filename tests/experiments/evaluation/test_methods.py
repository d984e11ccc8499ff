from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from fewshot_sep import Prompt, Separation
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


def test_labels_and_weights() -> None:
    found = choose(["clip", "new=clip", "nmf"], ["old.safetensors", "new=new.safetensors"])
    assert [(c.label, c.spec, c.weights) for c in found] == [
        ("segment", "segment", Path("old.safetensors")),
        ("new", "segment", Path("new.safetensors")),
        ("nmf", "nmf", None),
    ]
    assert choose(["cmd:x --a=b {mix}"], [])[0].spec == "cmd:x --a=b {mix}"
    assert choose(["theirs=cmd:x --a=b"], [])[0][:2] == ("theirs", "cmd:x --a=b")


def test_names_of_older_runs_are_read() -> None:
    found = choose(["clip", "mine=once"], ["clip=a.safetensors"])
    assert [(c.label, c.spec, c.weights) for c in found] == [
        ("segment", "segment", Path("a.safetensors")),
        ("mine", "segment-no-suppression", None),
    ]


@pytest.mark.parametrize(
    ("asked", "weights", "named"),
    [(["magic"], [], "magic"), (["clip", "clip"], [], "segment, segment"), (["clip"], ["nmf=f.safetensors"], "nmf")],
)
def test_what_cannot_be_meant_is_refused(asked: list[str], weights: list[str], named: str) -> None:
    with pytest.raises(FewshotSepError, match=named):
        choose(asked, weights)


@pytest.mark.parametrize("name", sorted(set(TRAINED) - set(BUNDLED)))
def test_methods_without_weights_say_how_to_train_some(name: str) -> None:
    with pytest.raises(FewshotSepError, match=r"python -m|fewshot-sep train") as caught:
        load(choose([f"mine={name}"], [])[0])
    assert f"--weights mine={TRAINED[name].file}" in str(caught.value)


def test_other_experiments_have_the_methods_that_bear_their_names() -> None:
    assert all(callable(imported(method.loader)) for method in TRAINED.values())


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


def test_kinds_that_tell_something_about_a_method() -> None:
    kinds = {name: {k for k in ("same", "absent", "wrong") if choose([name], [])[0].applies(k)} for name in BASELINES}
    assert kinds["irm"] == {"same"}
    assert kinds["silence"] == {"same", "absent"}
    assert kinds["nmf"] == {"same", "absent", "wrong"}
    assert choose(["segment"], [])[0].applies("clips")
    assert not choose(["wavenet"], [])[0].applies("clips"), "conditioned on the label, whatever the clips are"


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


def test_roles_go_with_older_names_and_with_weights() -> None:
    (choice,) = choose(["clip:alone+absent"], ["mine.safetensors"])
    assert choice[:3] == ("segment:alone+absent", "segment:alone+absent", Path("mine.safetensors"))


@pytest.mark.parametrize("spec", ["nmf:absent", "segment:loud", "song:", "nmf:alone+"])
def test_roles_that_show_no_instrument_or_are_none_are_refused(spec: str) -> None:
    with pytest.raises(FewshotSepError, match=r"alone\+absent"):
        choose([spec], [])


def test_clips_alone_mean_nothing_to_a_method_that_gets_none() -> None:
    (choice,) = choose(["segment:among+absent"], [])
    assert choice.applies("same") and choice.applies("wrong")
    assert not choice.applies("itself") and not choice.applies("clips")


def test_separators_get_a_prompt() -> None:
    separator, clip = Asked(), (np.ones((1, 800), np.float32), 8000)
    target_of(separator)(CASE._replace(queries=[], among=[clip], absent=[clip]))  # type: ignore[arg-type]
    assert (separator.prompt.alone, separator.prompt.among, separator.prompt.absent) == ([], [clip], [clip])


class Asked:
    """Notes the prompt."""

    prompt: Prompt

    def separate(self, mixture: np.ndarray, prompt: Prompt, sample_rate: int, residual_pass: bool) -> Separation:
        self.prompt = prompt
        return Separation(mixture, 0 * mixture, sample_rate)
