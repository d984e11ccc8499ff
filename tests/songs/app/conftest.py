"""The page's server with a separator whose answer is known: half of what it is given."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fewshot_sep import SongSeparator, audio
from fewshot_sep.beats import Beats
from tests.sounds import noise

starlette = pytest.importorskip("starlette", reason="pip install -e '.[app]'")
pytest.importorskip("wavesurf", reason="pip install -e '.[app]'")

RATE = 8000
TOKEN = "correct horse"


class Client:
    """A page's requests, as a browser sends them, and what it waits for."""

    def __init__(self, app: Any) -> None:
        from starlette.testclient import TestClient

        self.app = app
        self.http = TestClient(app, base_url="http://127.0.0.1:1234", headers={"x-token": TOKEN})

    def ask(self, method: str, path: str, expect: int = 200, **more: Any) -> Any:
        answer = self.http.request(method, path, **more)
        assert answer.status_code == expect, answer.text
        return answer

    def edit(self, expect: int = 200, **said: Any) -> Any:
        return self.ask("POST", "/api/edit", expect, json=said)

    def run(self, expect: int = 200, **said: Any) -> Any:
        return self.ask("POST", "/api/run", expect, json=said)

    def done(self, **said: Any) -> Any:
        """The state when a run has ended."""
        self.run(**said)
        return self.idle()

    def add_clip(self, stem: str, role: str, content: bytes, expect: int = 200) -> Any:
        params = {"stem": stem, "role": role, "name": "x.wav"}
        return self.ask("PUT", "/api/clip", expect, params=params, content=content)

    def download(self, what: str, format: str = "wav", bits: int = 32, expect: int = 200) -> Any:
        return self.ask("GET", "/api/download", expect, params={"what": what, "format": format, "bits": bits})

    def state(self) -> Any:
        return self.ask("GET", "/api/state").json()

    def idle(self, seconds: float = 60) -> Any:
        """The state when all work is done."""
        end = time.monotonic() + seconds
        while self.app.state.desk.busy():
            assert time.monotonic() < end, self.state()
            time.sleep(0.01)
        return self.state()

    def upload(self, path: Path, name: str | None = None) -> Any:
        self.ask("PUT", "/api/song", params={"name": name or path.name}, content=path.read_bytes())
        return self.idle()

    def samples(self, track: str, channels: int = 2) -> np.ndarray:
        content = self.ask("GET", f"/api/audio/{track}", 206).content
        return np.frombuffer(content, "<f4").reshape(-1, channels).T

    def peaks(self, track: str) -> np.ndarray:
        return np.frombuffer(self.ask("GET", f"/api/peaks/{track}").content, np.int8).reshape(-1, 2)


@pytest.fixture
def song(tmp_path: Path) -> Path:
    """Six seconds of stereo noise."""
    path = tmp_path / "my song.wav"
    audio.write(path, 0.5 * noise(2, 6 * RATE), RATE)
    return path


@pytest.fixture
def half(fake: type) -> Any:
    """Halves what it is given; waits at `gate` before each piece."""

    class Half(fake):
        system = SimpleNamespace(knows_roles=True)

        def __init__(self) -> None:
            super().__init__(self.halved)
            self.gate = threading.Event()
            self.gate.set()

        def halved(self, mixture: np.ndarray, sample_rate: int) -> np.ndarray:
            assert self.gate.wait(30)
            return 0.5 * mixture

        def add_residual(self, conditioning: list[str], mixture: audio.Source, targets_of: Any = None) -> list[str]:
            mixture.read(0, 10)
            return super().add_residual(conditioning, mixture)

    return Half()


def beats_at_once(source: audio.Source, **more: Any) -> Beats:
    """Two beats a second, four to the bar."""
    times = np.arange(0, source.frames / source.sample_rate, 0.5)
    return Beats(times, np.arange(len(times)) % 4 + 1, np.ones(len(times)), 4, "librosa", 4)


@pytest.fixture
def start(tmp_path: Path, half: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Client]]:
    """Starts servers, one after the other, in the same folder; `start()` ends the one before."""
    from fewshot_sep.songs.app import peel, server

    monkeypatch.setattr(peel.beats, "track", beats_at_once)

    with contextlib.ExitStack() as running:

        def begin(**more: Any) -> Client:
            running.close()
            app = server.build(tmp_path / "home", lambda: SongSeparator(half, tracker="librosa"), TOKEN, **more)
            client = Client(app)
            running.enter_context(client.http)
            return client

        yield begin


@pytest.fixture
def marked(start: Callable[..., Client], song: Path) -> tuple[Client, str]:
    """A page with a song that does without bars, and the id of a stem that is marked to play alone somewhere."""
    client = start()
    stem = str(client.upload(song)["stems"][0]["id"])
    client.edit(do="mark", stem=stem, role="alone", start=1, stop=3)
    client.edit(do="set", stem=stem, grid="none")
    return client, stem


@pytest.fixture
def serve(start: Callable[..., Client]) -> Iterator[Callable[..., str]]:
    """Serves the application of a client to browsers; `serve(client)` is the page's address."""
    import uvicorn

    with contextlib.ExitStack() as stack:

        @contextmanager
        def serving(client: Client) -> Iterator[str]:
            config = uvicorn.Config(client.app, port=0, log_level="error", timeout_graceful_shutdown=1, lifespan="off")
            server = uvicorn.Server(config)
            thread = threading.Thread(target=server.run)
            thread.start()
            while not server.started:
                time.sleep(0.01)
            try:
                port = server.servers[0].sockets[0].getsockname()[1]
                yield f"http://127.0.0.1:{port}/?token={TOKEN}"
            finally:
                server.should_exit = True
                thread.join()

        yield lambda client: stack.enter_context(serving(client))


@pytest.fixture(scope="session")
def browser(request: pytest.FixtureRequest) -> Iterator[Any]:
    """A real browser."""
    path = request.config.getoption("--chromium")
    if not path or not Path(path).is_file():
        pytest.skip("no browser: apt-get install chromium, or name it by --chromium")
    sync_api = pytest.importorskip("playwright.sync_api", reason="pip install -e '.[dev]'")
    sync_api.expect.set_options(timeout=120_000)
    with sync_api.sync_playwright() as playwright:
        # Tests may run as root, for whom chromium has no sandbox.
        started = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def tab(browser: Any) -> Iterator[Callable[[str], Any]]:
    """Opens pages; at the end none may have had an error, or have met the content security policy."""
    context = browser.new_context(viewport={"width": 1280, "height": 860}, accept_downloads=True)
    context.set_default_timeout(120_000)
    problems: list[str] = []

    def open_page(address: str) -> Any:
        page = context.new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda said: problems.append(said.text) if "Content Security Policy" in said.text else None)
        page.on("request", lambda asked: problems.append(asked.url) if not local(asked.url) else None)
        page.goto(address)
        return page

    yield open_page
    context.close()
    assert not problems


def local(url: str) -> bool:
    """Whether a request stays on this machine."""
    return url.startswith(("http://127.0.0.1:", "blob:", "data:"))
