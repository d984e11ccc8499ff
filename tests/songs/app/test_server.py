"""The page's server, asked as the page and as strangers ask it; no browser, and a separator whose answer is known."""

from __future__ import annotations

import asyncio
import io
import json
import threading
import time
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fewshot_sep import audio, files
from fewshot_sep.errors import OutputError
from fewshot_sep.songs.app import server, tracks
from fewshot_sep.songs.app import session as sessions
from fewshot_sep.songs.app.cli import app
from fewshot_sep.songs.app.session import Song
from tests.sounds import noise

from .conftest import RATE, TOKEN, Client  # isort: skip

Start = Callable[..., Client]
Marked = tuple[Client, str]


@pytest.fixture
def read_slowly(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Songs are decoded up to their first block, the rest when this is set."""
    go_on, genuine = threading.Event(), audio.decode

    def slow(path: Path, keep: Callable[[Any], object]) -> audio.Facts:
        def kept(block: np.ndarray) -> None:
            keep(block)
            assert go_on.wait(30)

        return genuine(path, kept)

    monkeypatch.setattr(audio, "decode", slow)
    return go_on


def test_a_song_is_marked_separated_peeled_and_sums_up(marked: Marked, song: Path) -> None:
    client, first = marked
    mixture, _ = audio.read(song)
    np.testing.assert_array_equal(client.samples("song"), mixture)
    state = client.done(do="separate", stem=first)
    assert (
        state["error"]["text"] == "" and state["stems"][0]["result"]["whole"] and state["stems"][0]["result"]["fresh"]
    )
    np.testing.assert_allclose(client.samples(first), 0.5 * mixture, atol=1e-7)
    client.edit(do="next")
    second = client.state()["stems"][1]["id"]
    np.testing.assert_array_equal(client.samples(f"before-{second}"), mixture - client.samples(first))
    client.edit(do="mark", stem=second, role="alone", start=0, stop=2)
    client.edit(do="rename", stem=second, name="bass")
    client.done(do="separate", stem=second)
    parts = [client.samples(name) for name in (first, second, "residual")]
    np.testing.assert_allclose(sum(parts), mixture, atol=1e-6)
    np.testing.assert_allclose(parts[1], 0.25 * mixture, atol=1e-7)
    client.edit(do="remove", stem=first)
    parts = [client.samples(name) for name in (second, "residual")]
    np.testing.assert_allclose(sum(parts), mixture, atol=1e-6)


def test_downloads_sum_to_the_song(marked: Marked, song: Path) -> None:
    client, stem = marked
    mixture, _ = audio.read(song)
    client.download("all", expect=400)
    client.done(do="separate", stem=stem)
    for format, bits in (("wav", 16), ("wav", 24), ("wav", 32), ("flac", 16), ("flac", 24)):
        answer = client.download("all", format, bits)
        bundle = zipfile.ZipFile(io.BytesIO(answer.content))
        names = [f"my song/{name}.{format}" for name in ("stem 1", "residual")]
        assert set(bundle.namelist()) == {*names, "my song/session.json"}
        bundle.extractall(song.parent / f"{format}{bits}")
        parts = [audio.read(song.parent / f"{format}{bits}" / name)[0] for name in names]
        np.testing.assert_allclose(sum(parts), mixture, atol=1e-6 if bits == 32 else 2.0 ** (2 - bits))
        assert json.loads(bundle.read("my song/session.json"))["song"]["name"] == "my song.wav"
    one = client.download(stem)
    assert "my%20song%20-%20stem%201.wav" in one.headers["content-disposition"]
    client.download("all", "flac", 32, expect=400)
    client.download("../../etc/passwd", expect=400)
    assert not list(client.app.state.desk.temporary.iterdir())


def test_a_preview_finds_what_is_in_view_alone(marked: Marked, song: Path) -> None:
    client, stem = marked
    result = client.done(do="preview", stem=stem, start=1.0, stop=2.5)["stems"][0]["result"]
    assert (result["kind"], result["start"], result["stop"]) == ("preview", 1.0, 2.5)
    found, (mixture, _) = client.samples(stem), audio.read(song)
    np.testing.assert_array_equal(found[:, RATE : RATE * 5 // 2], 0.5 * mixture[:, RATE : RATE * 5 // 2])
    assert not found[:, :RATE].any() and not found[:, RATE * 5 // 2 :].any()


def test_what_is_known_is_not_computed_twice(marked: Marked, half: Any) -> None:
    client, stem = marked
    client.idle()
    assert len(half.encoded) == 1
    client.done(do="separate", stem=stem)
    client.run(do="separate", stem=stem)
    assert client.done(do="preview", stem=stem, start=0, stop=2)["stems"][0]["result"]["whole"]
    assert len(half.encoded) == 1
    pieces = len(half.conditionings)
    client.done(do="separate", stem=stem)
    assert len(half.conditionings) == pieces
    client.edit(do="mark", stem=stem, role="absent", start=4, stop=5)
    client.idle()
    assert len(half.encoded) == 2


def test_cancelled_and_again_goes_on_where_it_stopped(marked: Marked, song: Path, half: Any) -> None:
    client, stem = marked
    client.idle()
    half.gate.clear()
    client.run(do="separate", stem=stem)
    while client.state()["job"] is None or client.state()["job"]["kind"] != "separate":
        time.sleep(0.01)
    client.edit(do="mark", stem=stem, role="absent", start=4, stop=5)  # may be done while it runs
    client.edit(do="undo")
    client.run(do="cancel")
    half.gate.set()
    state = client.idle()
    assert state["error"]["text"] == "" and state["job"] is None
    assert client.done(do="separate", stem=stem)["stems"][0]["result"]["whole"]
    np.testing.assert_allclose(client.samples(stem), 0.5 * audio.read(song)[0], atol=1e-7)


def test_previews_leave_what_was_found_in_the_whole_song(start: Start, marked: Marked, half: Any) -> None:
    client, stem = marked
    client.idle()
    pieces = 0

    def cancelled_at_the_last(mixture: np.ndarray, sample_rate: int) -> np.ndarray:
        nonlocal pieces
        pieces += 1
        if pieces == 5:
            client.run(do="cancel")
        return 0.5 * mixture

    half.find = cancelled_at_the_last
    done = client.done(do="separate", stem=stem)["stems"][0]["result"]["stop"]
    assert 0 < done < 6
    preview = client.done(do="preview", stem=stem, start=5, stop=6)["stems"][0]["result"]
    assert (preview["kind"], preview["start"]) == ("preview", 5)
    again = client.done(do="preview", stem=stem, start=0, stop=done / 2)["stems"][0]["result"]
    assert (again["kind"], again["stop"]) == ("whole", done)
    client.done(do="preview", stem=stem, start=5, stop=6)
    client = start()
    (kept,) = client.done(do="open", id=client.state()["recent"][0]["id"])["stems"]
    assert kept["result"]["kind"] == "preview"
    before = pieces
    whole = client.done(do="separate", stem=stem)["stems"][0]["result"]
    assert whole["whole"] and pieces - before < 5  # it went on where it had stopped
    client.edit(do="mark", stem=stem, role="absent", start=4, stop=5)
    assert client.done(do="preview", stem=stem, start=0, stop=1)["stems"][0]["result"]["kind"] == "preview"
    client.edit(do="undo")
    before = pieces
    assert client.done(do="separate", stem=stem)["stems"][0]["result"] == whole and pieces == before


def test_a_restart_loses_nothing(start: Start, marked: Marked, song: Path) -> None:
    client, stem = marked
    client.add_clip(stem, "absent", song.read_bytes())
    before = client.done(do="separate", stem=stem)
    client = start()
    (recent,) = client.idle()["recent"]
    assert recent["name"] == "my song.wav"
    after = client.done(do="open", id=recent["id"])
    for state in (before, after):
        state.pop("error"), state.pop("undo")
    assert after == before
    client = start()
    assert client.upload(song)["stems"] == before["stems"]  # the same file is the same song
    assert client.done(do="forget", id=recent["id"])["recent"] == []
    assert not list((song.parent / "home").glob("*/*.f32"))


def test_what_is_read_so_far_can_be_used_and_a_restart_reads_on(
    start: Start, tmp_path: Path, read_slowly: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fewshot_sep.songs.app.open_song.NEWS_SECONDS", 0)
    path = tmp_path / "long.ogg"
    audio.write(path, 0.5 * noise(1, 120 * RATE), RATE)
    mixture, _ = audio.read(path)

    client = start()
    client.ask("PUT", "/api/song", params={"name": path.name}, content=path.read_bytes())
    while not (client.state()["song"] or {"known": 0})["known"]:
        time.sleep(0.01)
    stem, known = client.state()["stems"][0]["id"], round(client.state()["song"]["known"] * RATE)
    assert client.state()["song"]["frames"] == mixture.shape[1] > known
    np.testing.assert_array_equal(client.samples("song", 1)[:, :known], mixture[:, :known])
    found = client.peaks("song")
    assert found[: known // 256].all() and not found[-(-known // 256) :].any()
    client.edit(do="mark", stem=stem, role="alone", start=1, stop=3)
    client.edit(do="set", stem=stem, grid="none")
    client.run(do="preview", stem=stem, start=2, stop=5)
    while not (result := client.state()["stems"][0]["result"]):
        time.sleep(0.01)
    assert (result["kind"], result["stop"]) == ("preview", 5)
    client.edit(do="mark", stem=stem, role="absent", start=100, stop=110)
    client.run(do="separate", stem=stem)
    time.sleep(0.3)
    state = client.state()
    assert state["job"]["kind"] == "separate" and state["job"]["share"] == 0  # it waits
    assert [mark["known"] for mark in state["stems"][0]["marks"]] == [True, False]
    threading.Timer(0.5, read_slowly.set).start()
    client = start()
    client.run(do="open", id=client.state()["recent"][0]["id"])
    while not client.state()["song"]:
        time.sleep(0.01)
    state = client.done(do="separate", stem=stem)
    assert [mark["known"] for mark in state["stems"][0]["marks"]] == [True, True]
    assert state["song"]["known"] == state["song"]["seconds"] and state["stems"][0]["result"]["whole"]
    np.testing.assert_array_equal(client.samples("song", 1), mixture)
    np.testing.assert_allclose(client.samples(stem, 1), 0.5 * mixture, atol=1e-7)
    assert not list((tmp_path / "home").glob("*/source"))


def test_a_song_is_as_long_as_what_can_be_read(start: Start, song: Path) -> None:
    song.write_bytes(song.read_bytes()[: -4 * 2 * 2 * RATE])  # the last two seconds
    client = start()
    state = client.upload(song)
    assert state["song"]["seconds"] == 4 and "cut short" in " ".join(state["warnings"])
    client.edit(do="mark", stem=state["stems"][0]["id"], role="alone", start=3, stop=6)
    assert client.state()["stems"][0]["marks"][0]["stop"] == 4
    assert client.samples("song").shape[1] == 4 * RATE


def test_no_session_is_stored_that_cannot_be_loaded(start: Start, song: Path) -> None:
    audio.write(song, audio.read(song)[0][:, : 4 * RATE + 4], RATE)  # it ends half a millisecond after 4 s
    client = start()
    stem = client.upload(song)["stems"][0]["id"]
    said = client.ask("GET", "/api/session").json()
    mark = {"id": "a" * 8, "role": "alone"}
    said["song"]["frames"] = 9 * RATE
    said["stems"][0]["marks"] = [mark | {"start": 1, "stop": 8}, mark | {"start": 4.0, "stop": 8}]
    said["song"]["digest"] = client.app.state.desk.song.session.song.digest
    client.ask("PUT", "/api/session", json=said)
    (kept,) = client.state()["stems"][0]["marks"]
    assert (kept["start"], kept["stop"]) == (1, 4)
    client.edit(do="rename", stem=stem, name="guitar")
    client = start()
    assert client.done(do="open", id=client.state()["recent"][0]["id"])["stems"][0]["name"] == "guitar"


def test_marks_stay_where_they_are_when_a_session_is_loaded() -> None:
    song = Song("a.wav", "0", 44100, 2, 44100 * 600)
    ends = [(n / 1000, (n + 1) / 1000) for n in range(1, 9000, 7)]
    marks = [{"id": "a" * 8, "role": "alone", "start": start, "stop": stop} for start, stop in ends]
    content = sessions.begin(song).to_json()
    for some in (marks[:400], marks[400:800]):
        stems = [content["stems"][0] | {"marks": some}]
        found = sessions.load(content | {"stems": stems}).stems[0].marks
        assert [(mark.start, mark.stop) for mark in found] == [(mark["start"], mark["stop"]) for mark in some]


def test_a_song_that_cannot_be_used_is_closed_again(start: Start, song: Path) -> None:
    samples = audio.read(song)[0]
    samples[0, -1] = np.nan
    song.write_bytes(audio.encode(samples, RATE, "WAV", "FLOAT"))
    state = start().upload(song)
    assert state["song"] is None and "NaN" in state["error"]["text"] and state["recent"] == []
    assert not list((song.parent / "home").glob("*/song.f32"))


def test_marks_move_change_go_and_come_back(marked: Marked) -> None:
    client, stem = marked
    mark = client.state()["stems"][0]["marks"][0]["id"]
    client.edit(do="change", stem=stem, item=mark, start=2, stop=99)
    moved = client.state()["stems"][0]["marks"][0]
    assert (moved["start"], moved["stop"], moved["role"]) == (2, 6, "alone")
    client.edit(do="change", stem=stem, item=mark, role="among")
    client.edit(do="delete", stem=stem, item=mark)
    assert client.state()["stems"][0]["marks"] == []
    client.edit(do="undo")
    client.edit(do="undo")
    assert client.state()["stems"][0]["marks"][0]["role"] == "alone"
    client.edit(do="redo")
    assert client.state()["stems"][0]["marks"][0]["role"] == "among"


def test_the_evidence_is_judged(marked: Marked) -> None:
    client, stem = marked
    client.edit(do="mark", stem=stem, role="absent", start=2.5, stop=4)
    client.edit(do="mark", stem=stem, role="alone", start=5, stop=5.05)
    client.edit(do="mark", stem=stem, role="alone", start=0, stop=5)
    alone, absent, short, crowded = client.idle()["stems"][0]["marks"]
    assert "contradicts" in " ".join(alone["remarks"]) and "contradicts" in " ".join(absent["remarks"])
    assert "only" in " ".join(short["remarks"])
    assert "more than one instrument" in " ".join(crowded["remarks"])


@pytest.mark.parametrize(
    "said",
    [
        {"do": "mark", "stem": "nobody", "role": "alone", "start": 0, "stop": 1},
        {"do": "mark", "role": "alone"},
        {"do": "mark", "role": "loud", "start": 0, "stop": 1},
        {"do": "mark", "role": "alone", "start": 3, "stop": 1},
        {"do": "mark", "role": "alone", "start": float("inf"), "stop": float("nan")},
        {"do": "rename", "name": "../../../tmp/x"},
        {"do": "rename", "name": "Residual"},
        {"do": "rename", "name": "  "},
        {"do": "set", "grid": "sideways"},
        {"do": "order", "by": "up"},
        {"do": "explode"},
        {},
    ],
)
def test_senseless_edits_are_refused_and_change_nothing(marked: Marked, said: dict[str, Any]) -> None:
    client, stem = marked
    before = client.idle()
    content = json.dumps({"stem": stem} | said)
    assert client.ask("POST", "/api/edit", 400, content=content).json()["error"]
    assert client.idle() == before


def test_strangers_are_refused(start: Start) -> None:
    http = start().http
    assert http.get("/", params={"token": TOKEN}, headers={"x-token": ""}).status_code == 200
    assert http.get("/api/state", headers={"x-token": "wrong"}).status_code == 403
    assert http.get("/", headers={"x-token": ""}).status_code == 403
    assert http.get("/api/state", headers={"host": "evil.example:1234"}).status_code == 403  # DNS rebinding
    open_path = {"x-token": "", "host": "127.0.0.1/static/?"}  # is rebuilt into the address by some versions
    assert http.get("/api/state", headers=open_path).status_code == 403
    assert http.post("/api/demo", headers={"origin": "http://evil.example"}).status_code == 403
    assert http.post("/api/demo", headers={"origin": "null"}).status_code == 403
    assert http.get("/api/state", headers={"sec-fetch-site": "cross-site"}).status_code == 403
    for host in ("localhost:1234", "[::1]:1234", "127.0.0.1:1234"):
        assert http.get("/api/state", headers={"host": host, "origin": f"http://{host}"}).status_code == 200


def test_no_path_leaves_its_folder(start: Start, song: Path) -> None:
    client = start()
    client.upload(song, "../../../etc/<b>passwd</b>\x00.wav")
    assert client.state()["song"]["name"] == "passwd</b>.wav" or "/" not in client.state()["song"]["name"]
    for path in (
        "/static/../server.py",
        "/static/%2e%2e/server.py",
        "/static/..%2fserver.py",
        "/vendor/%2e%2e/torch/version.py",
    ):
        assert client.http.get(path).status_code == 404
    for track in ("..", "%2e%2e%2fsession", "before-..%2f", "song.f32"):
        assert client.http.get(f"/api/audio/{track}").status_code in (400, 404)
    assert client.run(400, do="open", id="../../x") and client.run(400, do="forget", id="..")


def test_headers(start: Start) -> None:
    client = start()
    page = client.http.get("/", params={"token": TOKEN})
    policy = page.headers["content-security-policy"]
    assert "script-src 'self';" in policy and "unsafe" not in policy and "default-src 'none'" in policy
    assert page.headers["x-content-type-options"] == "nosniff"
    assert "<script>" not in page.text and "onclick" not in page.text and "style=" not in page.text
    for found in ("/static/main.js", "/vendor/wavesurfer.min.js"):
        assert "javascript" in client.http.get(found).headers["content-type"]
    assert client.http.get("/static/nothing").headers["x-content-type-options"] == "nosniff"


def test_uploads_have_limits(start: Start, song: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = start(max_song=1000)
    answer = client.ask("PUT", "/api/song", 400, params={"name": "long.wav"}, content=song.read_bytes())
    assert "limit" in answer.json()["error"] and not list(client.app.state.desk.temporary.iterdir())
    client = start()
    monkeypatch.setattr(tracks, "MIN_FREE", 1 << 60)
    answer = client.ask("PUT", "/api/song", 400, params={"name": "a.wav"}, content=song.read_bytes())
    assert "make room" in answer.json()["error"]


def test_a_silent_track_takes_the_room_of_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    track = tracks.RawTrack(tmp_path / "a.f32", RATE, 2, 60 * RATE)
    track.clear()
    track.write(0, noise(2, 60 * RATE))
    free = tracks.MIN_FREE + 1000
    monkeypatch.setattr(tracks.shutil, "disk_usage", lambda folder: SimpleNamespace(free=free))
    track.clear()
    assert not track.read(0, 1000).any()
    with pytest.raises(OutputError, match="make room"):
        tracks.RawTrack(tmp_path / "b.f32", RATE, 2, 60 * RATE).clear()


def send(client: Client, name: str, content: bytes) -> None:
    client.ask("PUT", "/api/song", params={"name": name}, content=content)


def until(truth: Callable[[], object]) -> None:
    end = time.monotonic() + 30
    while not truth():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.fixture
def taken_in_slowly(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """No song is taken in until this is set."""
    go_on, genuine = threading.Event(), audio.check_header

    def slow(path: Path) -> audio.Facts:
        assert go_on.wait(30)
        time.sleep(0.1)  # the one before gets as far as it can
        return genuine(path)

    monkeypatch.setattr(audio, "check_header", slow)
    return go_on


@pytest.mark.parametrize("when", ["taken in", "read"])
def test_another_song_takes_the_place_of_a_bad_one(
    start: Start, song: Path, taken_in_slowly: threading.Event, read_slowly: threading.Event, when: str
) -> None:
    bad = noise(2, 120 * RATE)
    bad[0, -1] = np.nan
    client = start()
    client.idle()
    if when == "read":
        taken_in_slowly.set()
    send(client, "bad.wav", audio.encode(bad, RATE, "WAV", "FLOAT"))
    until(lambda: client.state()["song" if when == "read" else "job"])
    send(client, "good.wav", song.read_bytes())
    taken_in_slowly.set()
    until(lambda: (client.state()["song"] or {"name": ""})["name"] == "good.wav")
    until(lambda: not client.app.state.desk.worker.busy())
    read_slowly.set()
    state = client.idle()
    assert state["song"] and state["song"]["known"] == 6 and state["error"]["text"] == ""
    np.testing.assert_array_equal(client.samples("song"), audio.read(song)[0])
    assert not list(client.app.state.desk.temporary.iterdir())


def test_a_song_may_be_opened_again_when_its_reading_ends(
    start: Start, song: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ending, go_on, genuine = threading.Event(), threading.Event(), sessions.resized

    def slow(*given: Any) -> sessions.Session:
        ending.set()
        assert go_on.wait(30)
        return genuine(*given)

    monkeypatch.setattr(sessions, "resized", slow)
    client = start()
    desk = client.app.state.desk
    desk.open_file(song, song.name)
    assert ending.wait(30)
    desk.open_file(song, song.name)
    until(lambda: not desk.worker.busy())
    go_on.set()
    assert client.idle()["error"]["text"] == ""
    np.testing.assert_array_equal(client.samples("song"), audio.read(song)[0])


def test_a_song_that_is_taken_in_can_be_cancelled(start: Start, song: Path, taken_in_slowly: threading.Event) -> None:
    client = start()
    client.idle()
    for name in ("first", "second", "third"):  # the second one waits, and never begins
        send(client, name, song.read_bytes())
        until(lambda: client.state()["job"])
    client.run(do="cancel")
    taken_in_slowly.set()
    state = client.idle()
    assert state["song"] is None and state["error"]["text"] == ""
    assert not list(client.app.state.desk.temporary.iterdir())


def test_a_song_may_be_forgotten_while_it_is_opened(start: Start, song: Path) -> None:
    start().upload(song)
    client = start()
    (recent,) = client.idle()["recent"]
    desk = client.app.state.desk
    with desk.worker._wake:
        desk.open_recent(recent["id"])
        desk.forget(recent["id"])
    state = client.idle()
    assert (state["song"], state["recent"], state["error"]["text"]) == (None, [], "no such song")


def test_a_link_to_a_song_is_as_good_as_the_song(start: Start, song: Path, tmp_path: Path) -> None:
    (tmp_path / "links").mkdir()
    link = tmp_path / "links" / "link.wav"
    try:
        link.symlink_to(Path("..") / song.name)
    except OSError:
        pytest.skip("no links here")
    client = start()
    client.app.state.desk.open_file(link, link.name)
    state = client.idle()
    assert state["error"]["text"] == "" and state["song"]["known"] == 6


def test_a_full_disk_is_said_and_loses_no_step(marked: Marked, song: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client, stem = marked
    client.done(do="separate", stem=stem)
    before = client.state()

    def full(*given: Any, **more: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(files, "put_text", full)
        client.edit(do="undo", expect=400)
        client.edit(do="rename", stem=stem, name="guitar", expect=400)
        assert client.state() == before
    with monkeypatch.context() as patch:
        patch.setattr(tracks, "MIN_FREE", 1 << 60)
        client.download("all", expect=400)
    assert "make room" in client.state()["error"]["text"]  # the page says it: browsers do not
    content = song.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", full)
        answer = client.ask("PUT", "/api/song", 400, params={"name": "a.wav"}, content=content)
    assert "No space left" in answer.json()["error"]
    client.edit(do="undo")
    assert client.state()["redo"] == 1


def test_what_is_no_sound_is_said(start: Start, song: Path) -> None:
    client = start()
    client.ask("PUT", "/api/song", params={"name": "notes.txt"}, content=b"do re mi")
    state = client.idle()
    assert "notes.txt" in state["error"]["text"] and "home" not in state["error"]["text"] and state["song"] is None
    stem = client.upload(song)["stems"][0]["id"]
    assert "x.wav" in client.add_clip(stem, "alone", b"fa so", expect=400).json()["error"]


@pytest.mark.parametrize(
    ("header", "first", "last"),
    [("bytes=0-7", 0, 8), ("bytes=3-12", 3, 13), ("bytes=8-", 8, None), ("bytes=0-999999999", 0, None)],
)
def test_audio_comes_by_ranges(start: Start, song: Path, header: str, first: int, last: int | None) -> None:
    client = start()
    client.upload(song)
    whole = audio.read(song)[0].T.tobytes()
    answer = client.ask("GET", "/api/audio/song", 206, headers={"range": header})
    assert answer.content == whole[first:last]
    assert answer.headers["content-range"].endswith(f"/{len(whole)}")
    for bad in ("bytes=999999999-", "bytes=9-3", "lines=1-2", "bytes=-5"):
        client.ask("GET", "/api/audio/song", 416, headers={"range": bad})


def test_peaks_and_tiles(start: Start, song: Path) -> None:
    client = start()
    client.upload(song)
    mixture, _ = audio.read(song)
    found = client.peaks("song")
    np.testing.assert_allclose(found[1] / 127, [mixture[:, 256:512].min(), mixture[:, 256:512].max()], atol=0.005)
    assert len(found) == -(-mixture.shape[1] // 256)
    content = client.ask("GET", "/api/tile/song/0/0").content
    assert len(content) == tracks.BANDS * tracks.TILE_COLUMNS
    client.ask("GET", "/api/tile/song/0/99999999", 400)
    client.ask("GET", "/api/tile/song/99/0", 400)


def test_peaks_follow_what_changes(marked: Marked, song: Path, half: Any) -> None:
    client, stem = marked
    desk = client.app.state.desk

    def agree() -> None:
        for track in ("song", "residual", *(s["id"] for s in client.state()["stems"] if s["result"])):
            source = desk.song.track(track)
            np.testing.assert_array_equal(client.peaks(track), tracks.peaks(source, 0, source.frames))

    agree()
    for first, last in ((1.0, 2.5), (3.0, 4.0)):
        client.done(do="preview", stem=stem, start=first, stop=last)
        agree()

    def by_pieces(mixture: np.ndarray, sample_rate: int) -> np.ndarray:
        agree()
        return 0.5 * mixture

    half.find = by_pieces
    assert client.done(do="separate", stem=stem)["error"]["text"] == ""
    agree()
    client.edit(do="next")
    client.edit(do="remove", stem=stem)
    agree()
    other = song.with_name("other.wav")
    audio.write(other, 0.1 * noise(2, 3 * RATE, seed=1), RATE)
    before = client.state()["residual"]
    client.upload(other)
    assert client.state()["residual"] != before
    agree()


def test_what_weights_do_not_know_is_left_out_and_said(start: Start, song: Path, half: Any) -> None:
    half.system = SimpleNamespace(knows_roles=False)
    client = start()
    stem = client.upload(song)["stems"][0]["id"]
    client.edit(do="mark", stem=stem, role="among", start=0, stop=1)
    said = client.done(do="preview", stem=stem, start=0, stop=2)["error"]["text"]
    assert "plays alone" in said and "do not know" in said
    client.edit(do="mark", stem=stem, role="alone", start=1, stop=3)
    client.edit(do="mark", stem=stem, role="absent", start=4, stop=5)
    for run in ({"do": "preview", "start": 0, "stop": 2}, {"do": "separate"}):
        result = client.done(stem=stem, **run)["stems"][0]["result"]
        assert result["fresh"] and "do not know" in " ".join(result["warnings"])
    assert set(half.conditionings[0]) == {"2 s", "not 1 s"}


@pytest.mark.parametrize("grid", ["auto", "none"])
@pytest.mark.parametrize("other", ["weights", "tracker"])
def test_other_weights_or_beats_make_results_stale(
    start: Start, marked: Marked, half: Any, monkeypatch: pytest.MonkeyPatch, grid: str, other: str
) -> None:
    client, stem = marked
    client.edit(do="set", stem=stem, grid=grid)
    assert client.done(do="separate", stem=stem)["stems"][0]["result"]["fresh"]
    if other == "weights":
        half.describe = lambda: {"name": "later", "sha256": "1"}
    else:
        monkeypatch.setattr("fewshot_sep.songs.pipeline.beats.resolve", lambda tracker: "another")
    client = start()
    opened = client.done(do="open", id=client.state()["recent"][0]["id"])
    assert opened["stems"][0]["result"]["fresh"] == (other == "tracker" and grid == "none")


def test_a_tile_shows_a_tone_where_it_is() -> None:
    time = np.arange(44100) / 44100
    source = audio.ArraySource(np.sin(2 * np.pi * 1000 * time).astype(np.float32), 44100)
    edges = np.geomspace(tracks.LOWEST_HZ, 16000, tracks.BANDS + 1)
    for level in (0, 1, 5):
        rows = np.frombuffer(tracks.tile(source, level, 0), np.uint8).reshape(tracks.BANDS, -1)
        column = rows[:, 22050 // (tracks.PEAK_HOP << level)].astype(int)
        loudest = column.argmax()
        assert edges[loudest] * 0.98 <= 1000 <= edges[loudest + 1] * 1.02
        assert column[loudest] > 235 and np.median(column) < 60


def test_a_session_opens_again(marked: Marked) -> None:
    client, stem = marked
    client.edit(do="rename", stem=stem, name="guitar")
    said = client.ask("GET", "/api/session").json()
    client.edit(do="remove", stem=stem)
    client.ask("PUT", "/api/session", json=said)
    assert client.state()["stems"][0]["name"] == "guitar"
    for damage in ({}, {"stems": []}, {"stems": [{"id": "../x"}]}, {"song": 3}, {"stems": said["stems"] * 2}):
        client.ask("PUT", "/api/session", 400, json=said | damage if damage else damage)
    circle = [
        said["stems"][0] | {"id": "a" * 8, "minus": ["b" * 8]},
        said["stems"][0] | {"id": "b" * 8, "minus": ["a" * 8]},
    ]
    client.ask("PUT", "/api/session", 400, json=said | {"stems": [circle[0], circle[1] | {"name": "other"}]})
    other = said | {"song": said["song"] | {"digest": "0", "frames": 10**9}}
    assert "another song" in client.ask("PUT", "/api/session", 400, json=other).json()["error"]


def test_every_tab_hears_of_every_change(marked: Marked) -> None:
    client, stem = marked
    client.idle()
    listeners, desk = server.Listeners(), client.app.state.desk

    async def two_tabs() -> list[int]:
        listeners.loop = asyncio.get_running_loop()
        desk._changed = listeners.tell
        tabs = [listeners.states(desk.state) for _ in range(2)]
        for tab in tabs:
            await anext(tab)
        await asyncio.to_thread(client.edit, do="mark", stem=stem, role="absent", start=4, stop=5)
        said = [json.loads((await anext(tab)).removeprefix("data: ")) for tab in tabs]
        return [len(state["stems"][0]["marks"]) for state in said]

    with ThreadPoolExecutor() as elsewhere:  # tests with a browser have a loop of their own in this thread
        assert elsewhere.submit(lambda: asyncio.run(two_tabs())).result() == [2, 2]


def test_two_programs_do_not_share_a_folder(start: Start, song: Path) -> None:
    start()
    with pytest.raises(OutputError, match="another"):
        server.build(song.parent / "home", lambda: None, TOKEN)


def test_the_server_does_not_wait_for_the_browser(half: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    served, shown = threading.Event(), threading.Event()
    monkeypatch.setattr("fewshot_sep.separator.Separator.from_pretrained", lambda *given, **more: half)
    monkeypatch.setattr("webbrowser.open", lambda address: served.wait(5) and shown.set())  # as one in the terminal
    monkeypatch.setattr("uvicorn.Server.run", lambda self, sockets: served.set())
    app(folder=tmp_path)
    assert shown.wait(5)
