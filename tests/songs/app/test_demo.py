"""The demo song on the page, with the bundled weights: what a musician does, a killed server, the command line."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fewshot_sep import audio

from .test_page import choose, downloaded, drag, mark, painted, separate  # isort: skip

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
expect = pytest.importorskip("playwright.sync_api", reason="pip install -e '.[dev]'").expect

COMMAND = "from fewshot_sep import cli; from fewshot_sep.songs.{module} import {name}; cli.run({name})"


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Callable[[], tuple[subprocess.Popen[str], str]]]:
    """Starts `fewshot-sep app` and gives its page's address."""
    started: list[subprocess.Popen[str]] = []

    def start() -> tuple[subprocess.Popen[str], str]:
        code = COMMAND.format(module="app.cli", name="app")
        arguments = [sys.executable, "-c", code, "--no-browser", "--folder", str(tmp_path / "home")]
        started.append(subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True))
        output = started[-1].stdout
        assert output
        return started[-1], output.readline().strip()

    yield start
    for process in started:
        process.terminate()
        process.wait(30)


def test_the_demo_song(
    program: Callable[..., Any], tab: Callable[[str], Any], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    pictures = request.config.getoption("--screenshots")

    def picture(page: Any, name: str) -> None:
        expect(page.locator("#progress")).to_be_hidden(timeout=patience)  # bars are found
        page.evaluate("import('/static/main.js').then(({ player }) => { player.currentTime = 12.4; })")
        page.evaluate("document.activeElement.blur()")
        page.wait_for_timeout(3000)
        if pictures:
            from PIL import Image

            page.screenshot(path=tmp_path / name, full_page=True)
            with Image.open(tmp_path / name) as shot:
                few = shot.convert("RGB").quantize(128, dither=Image.Dither.NONE)
                few.save(Path(pictures) / name, optimize=True)

    patience = 1_800_000  # milliseconds, for what the network does
    process, address = program()
    page = tab(address)
    page.set_viewport_size({"width": 1180, "height": 800})
    page.click("#demo")
    expect(page.locator("#work")).to_be_visible()
    painted(page)
    page.locator("input.name").first.fill("guitar")
    page.keyboard.press("Enter")
    for role, start, stop in (("alone", 0.32, 0.43), ("among", 0.55, 0.68), ("absent", 0.8, 0.93)):
        mark(page, role, start, stop)
        expect(page.locator(f".item.{role}").last).not_to_contain_text("being looked at", timeout=patience)
    expect(page.locator(".item.alone").first).to_contain_text("more than one instrument")
    picture(page, "app_marks.png")
    expect(page.locator(".item.among")).to_contain_text("left out")  # these weights know no "plays here"
    page.click("#preview")
    expect(page.locator("#outcome")).to_contain_text("left out", timeout=patience)
    page.locator(".item.among [data-item]").click()
    expect(page.locator(".item")).to_have_count(3)
    page.locator(".item.absent [data-item]").click()  # in truth the guitar plays all the time, and never alone
    page.locator(".item.alone [data-item]").first.click()
    expect(page.locator(".item")).to_have_count(1)
    page.click("#preview")
    expect(page.locator("#outcome")).to_contain_text("Preview", timeout=patience)
    page.click("#separate")
    expect(page.locator("#doing")).to_contain_text("Separating")
    page.click("#cancel")
    separate(page)
    picture(page, "app_mixer.png")

    process.kill()  # as hard as it gets
    process.wait()
    page.close()
    _, address = program()
    page = tab(address)
    page.set_viewport_size({"width": 1180, "height": 800})
    page.click("#recent button >> nth=0")
    painted(page)
    expect(page.locator(".item")).to_have_count(1)
    expect(page.locator("#outcome")).to_contain_text("Separated", timeout=patience)

    page.click("#next")
    expect(page.locator(".row")).to_have_count(3)
    page.locator("input.name").last.fill("rhythm")
    page.keyboard.press("Enter")
    painted(page)
    drag(page, 0.1, 0.25)
    page.keyboard.press("1")
    separate(page)
    picture(page, "app_stack.png")
    parts = downloaded(page, tmp_path)
    assert list(parts) == ["guitar", "rhythm", "residual"]
    data = Path(__file__).parents[3] / "experiments" / "demo" / "data"
    song = tmp_path / "song.wav"
    (guitar, rate), (backing, _) = (audio.read(data / name) for name in ("guitar.ogg", "backing.ogg"))
    audio.write(song, guitar + backing, rate)
    np.testing.assert_allclose(sum(parts.values()), guitar + backing, atol=1e-6)

    code = COMMAND.format(module="cli", name="separate")
    session = next(tmp_path.glob("War*/session.json"))
    command = [sys.executable, "-c", code, str(song), "--session", str(session), "-o", str(tmp_path / "out")]
    subprocess.run(command, check=True)
    for name, part in parts.items():
        np.testing.assert_array_equal(audio.read(tmp_path / "out" / "song" / f"{name}.wav")[0], part)

    page.click("[aria-label='Remove rhythm']")
    expect(page.locator(".row")).to_have_count(2)
    choose(page, "#open-session", session)
    expect(page.locator(".row")).to_have_count(3)
    expect(page.locator(".row .name").nth(1)).to_have_value("rhythm")
