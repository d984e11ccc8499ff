"""A batch gives the same wherever its songs lie and whoever separates them."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fewshot_sep import audio, systems, weights
from fewshot_sep.errors import BadAudio, FewshotSepError, OutputError
from fewshot_sep.prompt import ByRole
from fewshot_sep.songs import remote
from fewshot_sep.songs.batch import Batch, OpenBatch, Part, outcomes
from fewshot_sep.songs.jobs import Job, jobs
from fewshot_sep.songs.separate_file import Options
from fewshot_sep.songs.settings import Grid
from fewshot_sep.stores import NOTES, Store
from fewshot_sep.workers import Actors, Event, Processes
from tests.songs.material import RATE, sound


class Copier:
    """Separates by copying; counts; fails where it is told to."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.shared: list[str] = []
        self.fail = ""

    def __call__(
        self, separator: Any, job: Job, evidence: Any, options: Any, progress: Any, elsewhere: Any
    ) -> tuple[list[Path], list[str]]:
        self.done.append(job.song.name)
        if elsewhere:
            self.shared.append(job.song.name)
        if job.song.name == self.fail:
            raise BadAudio(f"{job.song}: is bad")
        data = job.song.read_bytes()
        for path in job.outputs[:3]:
            path.parent.mkdir(parents=True, exist_ok=True)
        job.outputs.target.write_bytes(data)
        job.outputs.residual.write_bytes(data[::-1])
        job.outputs.report.write_text(json.dumps({"song": str(job.song), "digests": job.owner}))
        return list(job.outputs[:3]), [f"{job.song}: odd"]


class Bench:
    """Batches from one store to another, in this process."""

    def __init__(self, folder: Path) -> None:
        self.songs, self.out = (Store(f"file://{folder / name}") for name in ("songs", "out"))
        self.folder, self.copier = folder, Copier()
        for number, name in enumerate(("a.wav", "b/a.wav", "c.wav")):
            sound(folder / "songs" / name, seed=number)

    def plan(self, skip: bool = True, evidence: str = "e") -> tuple[OpenBatch, list[str]]:
        work, carrier, done = remote.plan(
            [Path(self.songs.url)], self.out.url, "horn", ".wav", "{song}/{name}", evidence, ("usual",), skip
        )
        batch = Batch(work, ByRole(), ByRole(), Options(), remote=carrier)
        opened = OpenBatch(pickle.loads(pickle.dumps(batch)), None, None, self.copier)
        return opened, done

    def results(self) -> list[str]:
        return [name for name in self.out.names() if not name.startswith(NOTES)]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    (tmp_path / "machine").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "machine"))
    return Bench(tmp_path)


def test_songs_go_from_store_to_store_and_their_reports_name_them(bench: Bench) -> None:
    opened, done = bench.plan()
    outcomes = [opened.song(number) for number in range(3)]
    assert not done and not any(outcome.error for outcome in outcomes)
    assert bench.results() == [
        f"{place}/horn{end}" for place in ("a", "b/a", "c") for end in (".report.json", ".residual.wav", ".wav")
    ]
    assert bench.out.read("b/a/horn.wav") == (bench.folder / "songs/b/a.wav").read_bytes()
    assert json.loads(bench.out.read("b/a/horn.report.json"))["song"] == f"{bench.songs.url}/b/a.wav"
    assert outcomes[1].written[0] == f"{bench.out.url}/b/a/horn.wav"
    assert outcomes[1].said == (f"{bench.songs.url}/b/a.wav: odd",)
    assert opened.batch.remote is not None
    assert not [path for path in opened.batch.remote.stage.rglob("*") if path.is_file()], "nothing stays on the machine"


def test_what_is_done_is_not_done_again_and_what_is_not_is(bench: Bench) -> None:
    bench.copier.fail = "c.wav"
    first, _ = bench.plan()
    assert [bool(first.song(number).error) for number in range(3)] == [False, False, True]
    bench.copier = Copier()
    second, done = bench.plan()
    assert done == [f"{bench.songs.url}/{name}" for name in ("a.wav", "b/a.wav")]
    assert second.song(0).error == "" and bench.copier.done == ["c.wav"]
    assert bench.plan()[1][2:] == [f"{bench.songs.url}/c.wav"]
    assert len(bench.results()) == 9
    sound(bench.folder / "songs/c.wav", seed=9)  # another song of that name
    assert len(bench.plan()[1]) == 2


def test_what_a_killed_worker_had_put_is_removed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, _ = bench.plan()
    put = Store.put

    def die(self: Store, name: str, content: Path | bytes) -> None:
        if name.endswith(".report.json"):
            raise KeyboardInterrupt
        put(self, name, content)

    monkeypatch.setattr(Store, "put", die)
    with pytest.raises(KeyboardInterrupt):
        opened.song(0)
    assert bench.results() == ["a/horn.residual.wav", "a/horn.wav"]
    monkeypatch.undo()
    again, done = bench.plan()
    assert not done and not bench.results()
    assert [again.song(number).error for number in range(3)] == ["", "", ""]
    assert len(bench.results()) == 9 and not [name for name in bench.results() if "-2" in name]


def test_a_worker_that_died_after_its_work_has_not_to_do_it_again(bench: Bench) -> None:
    opened, _ = bench.plan()
    first = opened.song(0)
    assert set(opened.song(0, losses=1).written) == set(first.written)
    assert bench.copier.done == ["a.wav"]


def test_no_object_of_another_is_overwritten(bench: Bench) -> None:
    bench.out.put("a/horn.wav", b"mine")
    opened, _ = bench.plan()
    assert opened.song(0).written[0] == f"{bench.out.url}/a/horn-2.wav" and bench.out.read("a/horn.wav") == b"mine"
    other, done = bench.plan(evidence="other")
    assert not done and other.song(0).written[0] == f"{bench.out.url}/a/horn-3.wav"


def test_bad_stores_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bench: Bench) -> None:
    with pytest.raises(FewshotSepError, match="nowhere"):
        Store("nowhere://bucket")
    with pytest.raises(BadAudio, match="no such song"):
        remote.plan([Path("memory://nothing")], bench.out.url, "horn", ".wav", "{song}/{name}", "e", 1, True)
    with pytest.raises(FewshotSepError, match="results in one"):
        remote.refuse_urls([Path("s3://songs")])
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        Store(f"file://{tmp_path}/file").put("a/b", b"")


# With the command, workers and a network.


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("material")
    torch.manual_seed(0)
    weights.save(systems.build("tiny-informed"), folder / "weights.safetensors", {})
    sound(folder / "horn.wav", 0.5, seed=7)
    for number in range(4):
        sound(folder / "songs" / f"{number}.wav", 9 + number, seed=number)
    (folder / "songs" / "bad.wav").write_bytes(b"no sound")
    return folder


def begun(material: Path, songs: str, out: str, *options: str, **variables: str) -> subprocess.Popen[str]:
    arguments = ["separate", songs, "--query", str(material / "horn.wav"), "-o", out, *options]
    model = ["--weights", str(material / "weights.safetensors"), "--grid", "none", "--device", "cpu"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])} | variables
    line = [sys.executable, "-m", "fewshot_sep", *arguments, *model]
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def command(material: Path, songs: str, *given: str, **variables: str) -> subprocess.CompletedProcess[str]:
    with begun(material, songs, *given, **variables) as process:
        said = process.communicate()
    return subprocess.CompletedProcess(process.args, process.returncode, *said)


def contents(store: Store) -> dict[str, object]:
    """Sounds as they are, reports without times, places and the machine's notes."""
    found: dict[str, object] = {name: store.read(name) for name in store.names() if not name.startswith(NOTES)}
    for name in [name for name in found if name.endswith(".json")]:
        report = json.loads(found[name])
        found[name] = {key: value for key, value in report.items() if key != "song" and not key.startswith("seconds")}
    return found


@pytest.fixture(scope="module")
def alone(material: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    out = tmp_path_factory.mktemp("alone") / "out"
    done = command(material, str(material / "songs"), str(out))
    assert done.returncode == 1 and "1 of 5 songs failed" in done.stderr
    return contents(Store(f"file://{out}"))


@pytest.mark.slow
def test_two_processes_give_what_one_gives(material: Path, alone: dict[str, object], tmp_path: Path) -> None:
    done = command(material, str(material / "songs"), str(tmp_path / "out"), "--jobs", "2")
    assert done.returncode == 1 and "1 of 5 songs failed" in done.stderr
    assert len(alone) == 12 and contents(Store(f"file://{tmp_path / 'out'}")) == alone
    again = command(material, str(material / "songs"), str(tmp_path / "out"), "--jobs", "2", "--skip-existing")
    assert again.stderr.count("done before, left out") == 4 and not again.stdout


@pytest.fixture
def bucket() -> Iterator[dict[str, str]]:
    """How to reach a bucket on this machine."""
    pytest.importorskip("s3fs")
    server = pytest.importorskip("moto.server").ThreadedMotoServer("127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    access = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    try:
        yield access
    finally:
        server.stop()


@pytest.mark.slow
def test_a_bucket_gives_what_a_folder_gives(
    material: Path, alone: dict[str, object], bucket: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in bucket.items():
        monkeypatch.setenv(name, value)
    Store("s3://music")._system.mkdir("music")
    for path in (material / "songs").iterdir():
        Store("s3://music/songs").put(path.name, path)
    done = command(material, "s3://music/songs", "s3://music/out", "--jobs", "2", **bucket)
    assert done.returncode == 1 and "s3://music/songs/bad.wav" in done.stderr, done.stderr
    assert contents(Store("s3://music/out")) == alone
    again = command(material, "s3://music/songs", "s3://music/out", "--jobs", "2", "--resume", **bucket)
    assert again.stderr.count("done before, left out") == 4 and again.returncode == 1


@pytest.mark.slow
@pytest.mark.timeout(560)
def test_a_cluster_gives_what_a_machine_gives_though_one_of_its_machines_dies(
    material: Path, alone: dict[str, object], ray_cluster: Any, tmp_path: Path
) -> None:
    out, said = tmp_path / "out", ""
    with begun(material, str(material / "songs"), str(out), "--cluster", ray_cluster.address) as process:
        assert process.stdout is not None and process.stderr is not None
        for line in process.stderr:
            said += line
            if line == "1/5 songs\n":
                ray_cluster.remove_node(ray_cluster.nodes[0], allow_graceful=False)
        written = process.stdout.read().split()
    assert process.returncode == 1 and "1 of 5 songs failed" in said and "5/5 songs" in said, said
    assert contents(Store(f"file://{out}")) == alone, "nothing is lost, half-written, or left behind"
    assert sorted(written) == sorted(str(out / name) for name in alone), "nothing is done twice"


# Very long songs.


class Here:
    """Workers that all are this process."""

    def __init__(self, work: OpenBatch, size: int) -> None:
        self.work, self.size, self.idle = work, size, set[int]()
        self.events = [Event(worker, "answer") for worker in range(size)]

    def send(self, worker: int, task: Any, losses: int) -> None:
        self.events.append(Event(worker, "answer", self.work(task, losses)))

    def wait(self) -> Event:
        return self.events.pop(0)

    def close(self) -> None:
        pass


@pytest.mark.parametrize(("workers", "shared"), [(1, []), (2, ["1.wav"]), (3, []), (4, ["1.wav", "2.wav", "4.wav"])])
def test_very_long_songs_that_would_leave_workers_idle_are_shared(
    workers: int, shared: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, seconds in enumerate((1, 3, 3, 1, 3)):
        sound(tmp_path / "songs" / f"{number}.wav", seconds, seed=number)
    work, copier = jobs([tmp_path / "songs"], tmp_path / "out", "horn", ".wav", evidence="e"), Copier()
    batch = Batch(work, ByRole(), ByRole(), Options(), long=2)
    opened = OpenBatch(batch, None, None, copier)
    monkeypatch.setattr(Batch, "open", lambda batch: opened)
    found = dict(outcomes(batch, Here(opened, batch.employs(workers))))
    assert sorted(found) == list(range(5)) and all(len(outcome.written) == 3 for outcome in found.values())
    assert sorted(copier.done) == [f"{number}.wav" for number in range(5)] and copier.shared == shared
    assert Batch(work[:1], ByRole(), ByRole(), Options()).employs(4) == 1


@pytest.fixture
def mixes(tmp_path: Path) -> Path:
    """A song that is to count as very long, and one that is not."""
    samples = np.random.default_rng(1).uniform(-0.5, 0.5, (2, 80 * RATE)).astype(np.float32)
    samples[:, np.arange(80 * RATE) % round(0.6 * RATE) > RATE // 20] *= 0.1  # hits at 100 beats a minute
    for name, seconds in (("mix", 80), ("song", 1)):
        audio.write(sound(tmp_path / "songs" / f"{name}.wav"), samples[:, : seconds * RATE], RATE)
    return tmp_path


def batch_of(mixes: Path, material: Path, out: str, grid: Grid = "beat") -> Batch:
    work = jobs([mixes / "songs"], mixes / out, "horn", ".wav", evidence="e")
    none = ByRole[Any]([], [], [])
    clips, weights = none._replace(alone=[material / "horn.wav"]), material / "weights.safetensors"
    return Batch(work, clips, none, Options(grid), weights, "cpu", "librosa", long=20)


def check_shared(batch: Batch, pool: Any, kill: Callable[[], object]) -> None:
    """Both workers separate the mix, though one is killed; all is whole and nothing else is there."""
    send, parts, shares = pool.send, Counter[int](), [0.0]

    def counted(worker: int, task: object, losses: int) -> None:
        parts[worker] += isinstance(task, Part)
        send(worker, task, losses)

    def tell(share: float) -> None:
        if shares[-1] <= 0.5 < share:
            kill()
        shares.append(share)

    pool.send = counted
    with contextlib.closing(pool):
        found = dict(outcomes(batch, pool, lambda number: contextlib.nullcontext(tell)))
    assert sorted(found) == [0, 1] and not any(outcome.error for outcome in found.values())
    assert parts.total() >= 4 and len(+parts) == 2 and shares[-1] == 1


def check_same(mixes: Path) -> None:
    shared, alone = (contents(Store(f"file://{mixes / out}")) for out in ("shared", "alone"))
    assert shared.keys() == alone.keys() and len(shared) in (6, 8)
    assert not list(mixes.rglob(".*")), "nothing else is left"
    for name in shared:
        if name.endswith(".wav"):
            one, other = (audio.read(mixes / out / name)[0] for out in ("shared", "alone"))
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)
        elif name.endswith(".report.json"):
            assert shared[name]["grid"] == alone[name]["grid"]


@pytest.mark.slow
@pytest.mark.parametrize("grid", ["none", "beat"])
def test_a_very_long_song_is_shared_by_processes(mixes: Path, material: Path, grid: Grid) -> None:
    batch, opened = batch_of(mixes, material, "shared", grid), batch_of(mixes, material, "alone", grid).open()
    pool = Processes(batch.open, batch.employs(2))
    check_shared(batch, pool, lambda: next(iter(pool._processes.values())).kill())
    assert not any(opened.song(number).error for number in (0, 1))
    check_same(mixes)


@pytest.mark.slow
@pytest.mark.timeout(280)
def test_a_very_long_song_is_shared_by_machines(mixes: Path, material: Path, ray_cluster: Any) -> None:
    batch, opened = batch_of(mixes, material, "shared"), batch_of(mixes, material, "alone").open()
    pool = Actors(batch.open, ray_cluster.address, 2)
    check_shared(batch, pool, lambda: ray_cluster.remove_node(ray_cluster.nodes[0], allow_graceful=False))
    assert not any(opened.song(number).error for number in (0, 1))
    check_same(mixes)
