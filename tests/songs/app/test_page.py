"""The page in a real browser: by mouse, by keyboard, in two tabs, with three hours of sound and with hostile names."""

from __future__ import annotations

import threading
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fewshot_sep import audio
from fewshot_sep.songs.app import peel, tracks
from tests.sounds import noise, tone

from .conftest import RATE, Client, beats_at_once  # isort: skip

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
expect = pytest.importorskip("playwright.sync_api", reason="pip install -e '.[dev]'").expect

Start, Serve, Tab = Callable[..., Client], Callable[[Client], str], Callable[[str], Any]
ROLES = {"alone": "plays alone", "among": "plays here", "absent": "does not play here"}


@pytest.fixture
def opened(start: Start, serve: Serve, tab: Tab, song: Path) -> tuple[Any, Client]:
    """A page with a song of six seconds."""
    client = start()
    page = tab(serve(client))
    choose(page, "#choose-song", song)
    expect(page.locator("#work")).to_be_visible()
    painted(page)
    return page, client


def choose(page: Any, button: str, path: Path) -> None:
    with page.expect_file_chooser() as chooser:
        page.click(button)
    chooser.value.set_files(path)


def painted(page: Any) -> None:
    """Wait until the waveform is there to be dragged over."""
    expect(page.locator("#wave canvas").first).to_be_attached()
    page.wait_for_timeout(500)


def drag(page: Any, start: float, stop: float, row: float = 0.4) -> None:
    """Drag over a part of what is in view."""
    box = page.locator("#wave").bounding_box()
    across = [box["x"] + box["width"] * share for share in (start, (start + stop) / 2, stop)]
    page.mouse.move(across[0], box["y"] + box["height"] * row)
    page.mouse.down()
    for x in across[1:]:
        page.mouse.move(x, box["y"] + box["height"] * row, steps=5)
    page.mouse.up()


def mark(page: Any, role: str, start: float, stop: float) -> None:
    drag(page, start, stop)
    page.click(f".role-{role}")
    expect(page.locator("#marking button").first).to_be_disabled()


def separate(page: Any) -> None:
    page.click("#separate")
    expect(page.locator("#outcome")).to_contain_text("Separated", timeout=1_800_000)


def downloaded(page: Any, folder: Path) -> dict[str, np.ndarray]:
    """The stack as the page gives it away."""
    with page.expect_download() as download:
        page.click("#download-all")
    download.value.save_as(folder / "all.zip")
    with zipfile.ZipFile(folder / "all.zip") as bundle:
        bundle.extractall(folder)
        names = [name for name in bundle.namelist() if name.endswith(".wav") and "/clips/" not in name]
    return {Path(name).stem: audio.read(folder / name)[0] for name in names}


def test_marks_by_dragging_run_peel_download(opened: tuple[Any, Client], song: Path, tmp_path: Path) -> None:
    page, client = opened
    for number, role in enumerate(ROLES):
        mark(page, role, 0.1 + 0.3 * number, 0.2 + 0.3 * number)
        expect(page.locator(f".item.{role}")).to_have_count(1)
    found = client.state()["stems"][0]["marks"]
    assert [m["role"] for m in found] == list(ROLES)
    assert found[1]["start"] == pytest.approx(0.4 * 6, abs=0.1) and found[1]["stop"] == pytest.approx(0.5 * 6, abs=0.1)
    drag(page, 0.15, 0.25)  # a mark moves when it is dragged
    page.wait_for_timeout(500)
    assert client.state()["stems"][0]["marks"][0]["start"] == pytest.approx(0.2 * 6, abs=0.1)
    drag(page, 0.302, 0.35)  # and ends elsewhere when its end is
    page.wait_for_timeout(500)
    assert client.state()["stems"][0]["marks"][0]["stop"] == pytest.approx(0.35 * 6, abs=0.1)
    page.click("#preview")
    expect(page.locator("#outcome")).to_contain_text("Preview")
    for name in ("drums", "bass"):
        if page.locator("#next").is_enabled():
            page.click("#next")
            expect(page.locator(".row")).to_have_count(3)
            mark(page, "alone", 0.1, 0.3)
        page.locator("input.name").last.fill(name)
        page.keyboard.press("Enter")
        separate(page)
    parts = downloaded(page, tmp_path)
    assert list(parts) == ["drums", "bass", "residual"]
    np.testing.assert_allclose(sum(parts.values()), audio.read(song)[0], atol=1e-6)
    page.click("[aria-label='Move up: bass']")
    page.click("[aria-label='Remove drums']")
    expect(page.locator(".row .name").first).to_have_value("bass")
    parts = downloaded(page, tmp_path)
    assert list(parts) == ["bass", "residual"]
    np.testing.assert_allclose(sum(parts.values()), audio.read(song)[0], atol=1e-6)


def test_tracks_play_in_sync_to_the_sample(opened: tuple[Any, Client]) -> None:
    page, _ = opened
    mark(page, "alone", 0.1, 0.3)
    separate(page)
    loudest = page.evaluate(
        """async () => {
          const { player } = await import("/static/main.js");
          const tracks = [...document.querySelectorAll(".row")].map((row) => row.dataset.track);
          const song = `before-${tracks[0]}`;
          player.mix(new Map([song, ...tracks].map((track) => [track, 1])));
          const both = player.context.createAnalyser(), one = player.context.createAnalyser();
          for (const track of [song, ...tracks]) {
            const sign = player.context.createGain();
            sign.gain.value = track === song ? 1 : -1;
            player.output(track).connect(sign).connect(both);
          }
          player.output(song).connect(one);
          await player.play();
          await new Promise((done) => setTimeout(done, 1000));
          const found = [0, 0], samples = new Float32Array(2048);
          const from = player.currentTime;
          for (let turn = 0; turn < 100; turn++) {
            [both, one].forEach((analyser, index) => {
              analyser.getFloatTimeDomainData(samples);
              found[index] = Math.max(found[index], ...samples.map(Math.abs));
            });
            await new Promise((done) => setTimeout(done, 20));
          }
          const moved = player.currentTime - from;
          player.pause();
          return [...found, moved];
        }"""
    )
    assert loudest[0] < 1e-5 < 0.1 < loudest[1]  # song minus stems is silence, while the song is heard
    assert loudest[2] > 0.5


def test_cancel_and_again_and_a_reload_in_mid_run(opened: tuple[Any, Client], half: Any) -> None:
    page, client = opened
    mark(page, "alone", 0.1, 0.3)
    client.idle()
    half.gate.clear()
    page.click("#separate")
    expect(page.locator("#doing")).to_contain_text("Separating")
    page.reload()
    expect(page.locator("#doing")).to_contain_text("Separating")
    expect(page.locator(".item.alone")).to_have_count(1)
    page.click("#cancel")
    half.gate.set()
    expect(page.locator("#progress")).to_be_hidden()
    separate(page)
    assert client.state()["stems"][0]["result"]["whole"]


def test_by_keyboard_alone(start: Start, serve: Serve, tab: Tab, song: Path) -> None:
    client = start()
    client.upload(song)
    page = tab(serve(client))
    painted(page)

    def press(*keys: str) -> None:
        for key in keys:
            page.keyboard.press(key)
            page.wait_for_timeout(150)

    press("ArrowRight", "[", "ArrowRight", "ArrowRight", "]", "1")
    expect(page.locator(".item.alone")).to_have_count(1)
    (found,) = client.state()["stems"][0]["marks"]
    assert (found["start"], found["stop"]) == (1, 3)
    press("ArrowRight", "[", "ArrowRight", "]", "3")
    expect(page.locator(".item.absent")).to_have_count(1)
    press("Control+z")
    expect(page.locator(".item.absent")).to_have_count(0)
    press("Control+Shift+z")
    expect(page.locator(".item.absent")).to_have_count(1)
    for _ in range(60):  # to the second mark's start, and half a second later by its own keys
        press("Tab")
        if page.evaluate(
            "document.activeElement.ariaLabel?.startsWith('From') && document.activeElement.value === '4.00'"
        ):
            break
    press(*["ArrowUp"] * 5)
    expect(page.locator(".item.absent input").first).to_have_value("4.50")
    page.evaluate("document.activeElement.blur()")
    press("+", "f", "Home", "p")
    expect(page.locator("#outcome")).to_contain_text("Preview")
    press("s")
    expect(page.locator("#outcome")).to_contain_text("Separated")
    press("a", "l", " ")
    expect(page.locator("#play")).to_have_text("Pause")
    page.wait_for_timeout(700)
    press(" ", "l", "n")
    expect(page.locator(".row")).to_have_count(3)
    picked = page.locator(".row.selected input.name")
    expect(picked).to_have_value("stem 2")
    page.locator("input.name").first.focus()  # on the way to the evidence
    expect(picked).to_have_value("stem 2")
    page.locator("input.name").first.click()
    expect(picked).to_have_value("stem 1")
    page.evaluate("document.activeElement.blur()")
    press("?")
    expect(page.locator("#help")).to_be_visible()
    press("Escape")
    expect(page.locator("#help")).to_be_hidden()


def test_the_start_page_says_what_went_wrong_before_and_asks_before_it_forgets(
    start: Start, serve: Serve, tab: Tab, song: Path
) -> None:
    start().upload(song)
    client = start()
    client.app.state.desk.report("no weights")
    page = tab(serve(client))
    expect(page.locator("#notice")).to_contain_text("no weights")
    page.reload()
    songs = page.locator("#recent li")
    expect(songs).to_have_count(1)
    expect(page.locator("#notice")).to_be_hidden()
    for answer, left in (("dismiss", 1), ("accept", 0)):
        page.once("dialog", lambda dialog, answer=answer: getattr(dialog, answer)())
        page.click("#recent >> text=Forget")
        expect(songs).to_have_count(left)


def test_a_loop_ends_with_its_song(opened: tuple[Any, Client], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page, client = opened
    page.keyboard.press("l")
    expect(page.locator("#loop")).to_have_attribute("aria-pressed", "true")
    may_end = threading.Event()
    monkeypatch.setattr(peel.beats, "track", lambda *given, **more: may_end.wait(60) and beats_at_once(*given))
    audio.write(tmp_path / "other.wav", noise(1, 2 * RATE, seed=1), RATE)
    choose(page, "#open-song", tmp_path / "other.wav")
    expect(page.locator("#song-name")).to_contain_text("other.wav, 0:02.0")
    expect(page.locator("#loop")).to_have_attribute("aria-pressed", "false")
    assert page.evaluate("import('/static/main.js').then(({ player }) => player.loop)") is None
    expect(page.locator("#doing")).to_contain_text("Finding bars")
    painted(page)
    drag(page, 0.1, 0.3)
    expect(page.locator("#marking button").first).to_be_enabled()
    page.keyboard.press("Escape")  # nothing to cancel: the selection goes
    expect(page.locator("#marking button").first).to_be_disabled()
    may_end.set()
    client.idle()
    page.keyboard.press("End")
    expect(page.locator("#wave")).to_have_attribute("aria-valuetext", "0:02.0")
    clocks = page.evaluate(
        "import('/static/dom.js').then(({ clock }) => [0, 59.94, 59.97, 3599.96, 3661].map((time) => clock(time)))"
    )
    assert clocks == ["0:00.0", "0:59.9", "1:00.0", "1:00:00.0", "1:01:01.0"]


def test_what_cannot_be_saved_is_said(opened: tuple[Any, Client], monkeypatch: pytest.MonkeyPatch) -> None:
    page, _ = opened
    mark(page, "alone", 0.1, 0.3)
    separate(page)
    monkeypatch.setattr(tracks, "MIN_FREE", 1 << 60)
    page.click("#download-all")
    expect(page.locator("#notice")).to_contain_text("make room")


def test_two_tabs_show_the_same(opened: tuple[Any, Client], tab: Tab) -> None:
    page, _ = opened
    other = tab(page.url)
    painted(other)
    mark(page, "alone", 0.1, 0.3)
    expect(other.locator(".item.alone")).to_have_count(1)
    mark(other, "absent", 0.5, 0.6)
    expect(page.locator(".item")).to_have_count(2)
    other.click("#undo")
    expect(page.locator(".item")).to_have_count(1)
    other.close()
    separate(page)


def test_three_hours_open_at_once_and_play_anywhere(start: Start, serve: Serve, tab: Tab, tmp_path: Path) -> None:
    path = tmp_path / "hours.flac"
    minute = 0.2 * noise(1, 60 * RATE)
    with audio.AudioWriter(path, RATE, 1, subtype="PCM_16") as writer:
        for _ in range(180):
            writer.write(minute)
    client = start()
    page = tab(serve(client))
    choose(page, "#choose-song", path)
    expect(page.locator("#unread-all")).to_be_visible()  # while the rest is read
    painted(page)
    page.keyboard.press(" ")
    expect(page.locator("#time")).not_to_have_text("0:00.0")
    page.keyboard.press(" ")
    mark(page, "alone", 0.1, 0.2)
    expect(page.locator("#preview")).to_be_enabled()
    page.keyboard.press("p")
    expect(page.locator("#outcome")).to_contain_text("Preview of 0:")
    expect(page.locator("#unread-all")).to_be_hidden(timeout=600_000)
    began = time.monotonic()
    page.reload()
    painted(page)
    assert time.monotonic() - began < 30
    page.keyboard.press("End")
    for _ in range(30):
        page.keyboard.press("ArrowLeft")
    for _ in range(8):
        page.keyboard.press("+")
    page.keyboard.press(" ")
    page.wait_for_timeout(2500)
    assert page.inner_text("#time").startswith("2:59:") and page.inner_text("#play") == "Pause"
    page.keyboard.press(" ")
    start_seconds, stop_seconds = page.evaluate("import('/static/main.js').then(({ look }) => look())")
    assert stop_seconds - start_seconds < 160
    page.keyboard.press("p")
    expect(page.locator("#outcome")).to_contain_text("Preview of 2:59:")
    assert page.inner_text("#time").startswith("2:59:")  # not where the preview before was


def test_hostile_names_are_text(start: Start, serve: Serve, tab: Tab, song: Path, tmp_path: Path) -> None:
    hostile = "<img src=x onerror=document.title='pwned'>&quot;'$(id)`.wav"
    evil = tmp_path / hostile
    evil.write_bytes(song.read_bytes())
    page = tab(serve(start()))
    choose(page, "#choose-song", evil)
    expect(page.locator("#song-name")).to_contain_text(hostile)
    painted(page)
    choose(page, "#add-alone", evil)
    expect(page.locator(".clip")).to_have_text(hostile)
    for name in ("../../etc/passwd", "<b>bold</b>", "residual", ""):
        page.locator("input.name").first.fill(name)
        page.keyboard.press("Enter")
        expect(page.locator("#notice")).to_be_visible()
        expect(page.locator("input.name").first).to_have_value("stem 1")
    page.locator("input.name").first.fill("𝄞 — ünïcode 'x' & co")
    page.keyboard.press("Enter")
    expect(page.locator("#evidence-title")).to_contain_text("𝄞 — ünïcode 'x' & co")
    separate(page)
    assert set(downloaded(page, tmp_path)) == {"𝄞 — ünïcode 'x' & co", "residual"}
    assert page.locator("img").count() == 0 and "pwned" not in page.title().replace(hostile, "")


def test_axe_finds_nothing(start: Start, serve: Serve, browser: Any, song: Path) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="pip install -e '.[dev]'").Axe()
    page = browser.new_page(bypass_csp=True)  # axe styles the page
    page.goto(serve(start()))

    def check() -> None:
        found = axe.run(page).response["violations"]
        assert not [(rule["id"], [node["html"][:120] for node in rule["nodes"]]) for rule in found]

    check()
    choose(page, "#choose-song", song)
    painted(page)
    for number, role in enumerate(ROLES):
        mark(page, role, 0.1 + 0.3 * number, 0.2 + 0.3 * number)
    separate(page)
    page.click("#next")
    expect(page.locator(".row")).to_have_count(3)
    check()
    page.click("#show-help")
    check()
    page.close()


def test_what_is_not_there_is_said(opened: tuple[Any, Client], half: Any) -> None:
    page, _ = opened
    half.find = lambda mixture, sample_rate: 0.001 * mixture
    mark(page, "alone", 0.1, 0.3)
    page.click("#separate")
    expect(page.locator("#outcome")).to_contain_text("does not seem to be there")
    page.click("#outcome a")
    expect(page.locator("#try")).to_be_in_viewport()


def test_what_went_wrong_is_said(opened: tuple[Any, Client], tmp_path: Path) -> None:
    page, _ = opened
    text = tmp_path / "notes.txt"
    text.write_text("do re mi")
    choose(page, "#add-alone", text)
    expect(page.locator("#notice")).to_contain_text("notes.txt")
    audio.write(tmp_path / "clip.wav", tone(440, 2), 44100)
    choose(page, "#add-alone", tmp_path / "clip.wav")
    expect(page.locator(".clip")).to_have_text("clip.wav")
    expect(page.locator("#notice")).to_be_hidden()
