import json
from pathlib import Path

import numpy as np
import pytest

from fewshot_sep import audio
from fewshot_sep.experiments.evaluation import items
from fewshot_sep.experiments.flagship import module_items
from fewshot_sep.loops.composing import modules
from fewshot_sep.loops.instruments import tracker
from tests.tracker_module import write_mod

pytestmark = pytest.mark.skipif(not tracker.available(), reason="libopenmpt is not installed")


def test_items_of_the_valid_modules_can_be_evaluated(tmp_path: Path) -> None:
    names = [f"song{number}.mod" for number in range(60)]
    valid = [name for name in names if modules.split_of_file(Path(name)) == "valid"][:2]
    trained = next(name for name in names if modules.split_of_file(Path(name)) == "train")
    (tmp_path / "bugsquish").mkdir()
    for seed, name in enumerate([*valid, trained]):
        write_mod(tmp_path / "bugsquish" / name, seed)
    module_items.module_items(tmp_path / "bugsquish", tmp_path / "items")
    found = items.read(tmp_path / "items")
    assert {item.kind for item in found} == {"same", "absent"}
    assert {item.song.rsplit("-")[-1] for item in found} == {Path(name).stem for name in valid}
    entry = next(entry for entry in json.loads((tmp_path / "items/items.json").read_text()) if entry["kind"] == "same")
    mix, *parts = (
        audio.read(tmp_path / "items" / name)[0] for name in (entry["mix"], entry["reference"], *entry["others"])
    )
    assert mix.shape == (2, 441000)
    np.testing.assert_allclose(np.sum(parts, axis=0), mix, atol=1e-3)
    assert not np.array_equal(audio.read(tmp_path / "items" / entry["query"])[0], parts[0])
