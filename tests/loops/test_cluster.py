"""Libraries made by a cluster are those that one machine makes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fewshot_sep.loops.composing import make_library
from fewshot_sep.loops.curation.curate import Settings, curate
from tests.loops.curation.test_curate import clicks, hashes, put


@pytest.mark.slow
@pytest.mark.timeout(500)
def test_a_cluster_makes_and_curates_what_a_machine_does(ray_cluster: Any, tmp_path: Path) -> None:
    put(tmp_path / "loops/Bass 120bpm.wav", clicks(120, 4, 11025), 11025)
    put(tmp_path / "loops/Kick 147bpm.wav", clicks(147, 4, 11025, 1), 11025)
    settings, done = Settings("illes2020", "signalsmith", "librosa"), list[float]()

    def lose_a_machine(share: float) -> None:
        if not done:
            ray_cluster.remove_node(ray_cluster.nodes[0], allow_graceful=False)
        done.append(share)

    for where, progress in ((None, None), (ray_cluster.address, lose_a_machine)):
        folder, workers = tmp_path / ("cluster" if where else "machine"), 2 if where else 1
        curate(tmp_path / "loops", folder / "curated", settings, workers=workers, cluster=where)
        make_library.make(folder / "made", songs=4, seed=3, workers=workers, cluster=where, progress=progress)
    assert hashes(tmp_path / "cluster/curated") == hashes(tmp_path / "machine/curated")
    one, two = (hashes(tmp_path / where / "made") for where in ("machine", "cluster"))
    assert len(done) == 4 and len(one) > 8
    del one["make.json"], two["make.json"]  # in the order in which songs were done
    assert one == two
