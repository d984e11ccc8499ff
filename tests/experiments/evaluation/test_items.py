from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fewshot_sep.errors import BadItems
from fewshot_sep.experiments.evaluation import items


def change(folder: Path, **fields: Any) -> None:
    """Give the first item other fields; None takes one away."""
    path = folder / "items.json"
    entries = json.loads(path.read_text())
    entries[0] = {name: value for name, value in (entries[0] | fields).items() if value is not None}
    path.write_text(json.dumps(entries))


def test_reads_the_published_form(item_folder: Path) -> None:
    found = items.read(item_folder)
    assert [item.kind for item in found].count("absent") == 1
    first = found[0]
    assert (first.id, first.sources, first.instrument) == ("a.bass.same", 3, "bass")
    assert first.material == (first.query,)


def test_what_is_written_is_read_again(item_folder: Path) -> None:
    passages = {"among": "audio/a.mix.wav", "without": "audio/a.flute.wav"}
    change(item_folder, seen=True, queries=["audio/a.bass.query.wav", "audio/b.bass.query.wav"], **passages)
    found = items.read(item_folder)
    assert found[0].seen is True and len(found[0].material) == 2
    assert {"among": found[0].among, "without": found[0].without} == passages
    assert found[1].among is found[1].without is None
    items.write(item_folder, found)
    assert items.read(item_folder) == found


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"query": None}, "'query'"),
        ({"mix": 3}, "'mix'"),
        ({"mix": "audio/gone.wav"}, "gone.wav"),
        ({"mix": 300 * "x"}, 300 * "x"),
        ({"kind": "twice"}, "'twice'"),
        ({"reference": None}, "'reference'"),
        ({"others": "audio/a.flute.wav"}, "'others'"),
        ({"seen": "yes"}, "'seen'"),
        ({"without": ["audio/a.mix.wav"]}, "'without'"),
        ({"among": "audio/nowhere.wav"}, "nowhere.wav"),
        ({"id": "a.bass.cross"}, "'a.bass.cross'"),
    ],
)
def test_what_is_wrong_is_named_in_one_line(item_folder: Path, fields: dict[str, Any], named: str) -> None:
    change(item_folder, **fields)
    with pytest.raises(BadItems) as caught:
        items.read(item_folder)
    assert named in str(caught.value) and str(item_folder) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [None, "{", "[]", "[3]", '{"id": 1}'])
def test_a_list_that_is_none_is_refused(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "items.json").write_text(content)
    with pytest.raises(BadItems, match=r"items\.json"):
        items.read(tmp_path)
