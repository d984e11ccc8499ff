"""The page's server with a separator whose answer is known: half of what it is given."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
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

    def __enter__(self) -> Client:
        self.http.__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        self.http.__exit__(*exception)

    def ask(self, method: str, path: str, expect: int = 200, **more: Any) -> Any:
        answer = self.http.request(method, path, **more)
        assert answer.status_code == expect, answer.text
        return answer

    def edit(self, expect: int = 200, **said: Any) -> Any:
        return self.ask("POST", "/api/edit", expect, json=said)

    def run(self, expect: int = 200, **said: Any) -> Any:
        return self.ask("POST", "/api/run", expect, json=said)

    def state(self) -> Any:
        return self.ask("GET", "/api/state").json()

    def idle(self, seconds: float = 60) -> Any:
        """The state when all work is done."""
        end = time.monotonic() + seconds
        while self.app.state.desk.worker.busy():
            assert time.monotonic() < end, self.state()
            time.sleep(0.01)
        return self.state()

    def upload(self, path: Path, name: str | None = None) -> Any:
        self.ask("PUT", "/api/song", params={"name": name or path.name}, content=path.read_bytes())
        return self.idle()

    def samples(self, track: str, channels: int = 2) -> np.ndarray:
        content = self.ask("GET", f"/api/audio/{track}", 206).content
        return np.frombuffer(content, "<f4").reshape(-1, channels).T


@pytest.fixture
def song(tmp_path: Path) -> Path:
    """Six seconds of stereo noise."""
    path = tmp_path / "my song.wav"
    audio.write(path, 0.5 * noise(2, 6 * RATE), RATE)
    return path


@pytest.fixture
def half(fake: type) -> Any:
    """Halves what it is given; waits at `gate` before each piece."""

    class Half(fake):  # type: ignore[misc]
        system = SimpleNamespace(knows_roles=True)

        def __init__(self) -> None:
            super().__init__(self.halved)
            self.gate = threading.Event()
            self.gate.set()

        def halved(self, mixture: np.ndarray, sample_rate: int) -> np.ndarray:
            assert self.gate.wait(30)
            return 0.5 * mixture

        def add_residual(self, conditioning: list[str], mixture: audio.Source) -> list[str]:
            mixture.read(0, 10)
            return super().add_residual(conditioning, mixture)  # type: ignore[no-any-return]

    return Half()


def beats_at_once(source: audio.Source, **more: Any) -> Beats:
    """Two beats a second, four to the bar."""
    times = np.arange(0, source.frames / source.sample_rate, 0.5)
    return Beats(times, np.arange(len(times)) % 4 + 1, np.ones(len(times)), 4, "librosa")


@pytest.fixture
def start(tmp_path: Path, half: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Client]]:
    """Starts servers, one after the other, in the same folder; `start()` ends the one before."""
    from fewshot_sep.songs.app import peel, server

    monkeypatch.setattr(peel.beats, "track", beats_at_once)

    running: list[Client] = []

    def begin(**more: Any) -> Client:
        while running:
            running.pop().__exit__(None, None, None)
        app = server.build(tmp_path / "home", lambda: SongSeparator(half, tracker="librosa"), TOKEN, **more)
        client = Client(app)
        client.__enter__()
        running.append(client)
        return client

    yield begin
    while running:
        running.pop().__exit__(None, None, None)
