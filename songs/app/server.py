"""The page's server: files of the page, the state as server-sent events, sound by ranges, edits and uploads.

Only who knows the token gets anything but the page's own files; `Host` must be this machine by a name that no stranger
can take, and a request from another page is refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ipaddress
import json
import secrets
from collections.abc import AsyncIterator, Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fewshot_sep import extras, files
from fewshot_sep.errors import FewshotSepError
from fewshot_sep.songs.app.desk import Desk
from fewshot_sep.songs.app.open_song import OpenSong
from fewshot_sep.songs.app.session import BadEdit
from fewshot_sep.songs.app.tracks import check_room, tile
from fewshot_sep.songs.pipeline import SongSeparator
from fewshot_sep.songs.settings import SUBTYPES, Format

STATIC = Path(__file__).parent / "static"
MAX_SONG, MAX_CLIP, MAX_EDIT = 8 << 30, 256 << 20, 4 << 20  # bytes
MAX_RANGE = 64 << 20
MAX_LEVEL = 24
STATE_SECONDS = 0.1  # between two states that are sent
BEAT_SECONDS = 15.0  # after which a quiet connection says that it lives

HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-{nonce}'; "
    "img-src 'self' data: blob:; connect-src 'self'; media-src 'self' blob:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


class Guard:
    """Refuses requests by another name than this machine's, from other pages, and without the token; adds headers.

    Args:
        name: what the server is bound to; besides it, `localhost` and addresses in numbers are this machine.
    """

    def __init__(self, app: ASGIApp, token: str, name: str) -> None:
        self._app, self._token, self._names = app, token, {"localhost", name.casefold()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        nonce = scope["nonce"] = secrets.token_urlsafe(12)

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                known = {key.lower() for key, _ in message["headers"]}
                more = ((key.encode(), value.replace("{nonce}", nonce).encode()) for key, value in HEADERS.items())
                message["headers"] = [*message["headers"], *(pair for pair in more if pair[0] not in known)]
            await send(message)

        refusal = self._refusal(request)
        answer = PlainTextResponse(refusal, 403) if refusal else self._app
        await answer(scope, receive, with_headers)

    def _refusal(self, request: Request) -> str:
        host = request.headers.get("host", "")
        if not self._is_here(urlsplit(f"//{host}").hostname or ""):
            return "this name is not this machine's"
        origin = request.headers.get("origin")
        if origin is not None and origin != f"http://{host}":
            return "requests from other pages are refused"
        if request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            return "requests from other pages are refused"
        given = request.headers.get("x-token") or request.query_params.get("token", "")
        if not request.scope["path"].startswith(("/static/", "/vendor/")) and not secrets.compare_digest(
            given.encode(), self._token.encode()
        ):
            return "Open the address that `fewshot-sep app` printed: it holds a token that is needed here."
        return ""

    def _is_here(self, name: str) -> bool:
        if name.casefold() in self._names:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


class Listeners:
    """Who wants to know that something changed; told from any thread."""

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop | None = None
        self.closed = False
        self._events: set[asyncio.Event] = set()

    def tell(self) -> None:
        if self.loop:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self.loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        for event in self._events:
            event.set()

    async def states(self, state: Callable[[], Any]) -> AsyncIterator[str]:
        """The state now and whenever it has changed, as server-sent events."""
        event = asyncio.Event()
        self._events.add(event)
        try:
            while not self.closed:
                event.clear()
                yield f"data: {json.dumps(await run_in_threadpool(state))}\n\n"
                await asyncio.sleep(STATE_SECONDS)
                while not event.is_set() and not self.closed:
                    try:
                        await asyncio.wait_for(event.wait(), BEAT_SECONDS)
                    except TimeoutError:
                        yield ": still here\n\n"
        finally:
            self._events.discard(event)


def build(
    home: Path, separator: Callable[[], SongSeparator], token: str, name: str = "127.0.0.1", *, max_song: int = MAX_SONG
) -> Starlette:
    """The page as an ASGI application; its `state.desk` is the `Desk`.

    Raises:
        EngineMissing: the package with wavesurfer.js is not installed.
        OutputError: see `Desk`.
    """
    extras.require("app", "wavesurf")
    vendor = find_spec("wavesurf")
    assert vendor is not None and vendor.submodule_search_locations
    listeners = Listeners()
    desk = Desk(home, separator, listeners.tell)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        listeners.loop = asyncio.get_running_loop()
        try:
            yield
        finally:
            listeners.closed = True
            listeners.tell()
            await run_in_threadpool(desk.close)

    async def page(request: Request) -> Response:
        text = (STATIC / "index.html").read_text(encoding="utf-8")
        return HTMLResponse(text.replace("{nonce}", request.scope["nonce"]))

    async def events(request: Request) -> Response:
        return StreamingResponse(listeners.states(desk.state), media_type="text/event-stream")

    async def state(request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(desk.state))

    async def put_song(request: Request) -> Response:
        name = _name(request)
        path = desk.temporary / f"upload-{secrets.token_hex(8)}"
        try:
            await _receive(request, path, max_song)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        desk.open_file(path, name, own=True)
        return JSONResponse({})

    async def post_demo(request: Request) -> Response:
        await run_in_threadpool(desk.open_demo)
        return JSONResponse({})

    async def put_clip(request: Request) -> Response:
        content = await _body(request, MAX_CLIP)
        stem, role = (request.query_params.get(key, "") for key in ("stem", "role"))
        await run_in_threadpool(desk.song.add_clip, stem, role, _name(request), content)
        return JSONResponse({})

    async def post_edit(request: Request) -> Response:
        await run_in_threadpool(desk.song.edit, await _json(request))
        return JSONResponse({})

    async def post_run(request: Request) -> Response:
        said = await _json(request)
        if said.get("do") == "preview":
            desk.song.preview(str(said.get("stem")), *(_number(said, key) for key in ("start", "stop")))
        elif said.get("do") == "separate":
            desk.song.separate(str(said.get("stem")))
        elif said.get("do") == "cancel":
            desk.worker.cancel("preview", "separate", "song")
        elif said.get("do") == "open":
            desk.open_recent(str(said.get("id")))
        elif said.get("do") == "forget":
            desk.forget(str(said.get("id")))
        else:
            raise BadEdit("no such thing to do")
        return JSONResponse({})

    async def get_session(request: Request) -> Response:
        name = f"{desk.song.session.song.stem}.session.json"
        headers = {"content-disposition": f"attachment; filename*=UTF-8''{quote(name)}"}
        return Response(files.to_json(desk.song.session.to_json()), media_type="application/json", headers=headers)

    async def put_session(request: Request) -> Response:
        await run_in_threadpool(desk.song.open_session, await _json(request))
        return JSONResponse({})

    async def get_bars(request: Request) -> Response:
        return JSONResponse(desk.song.bars or [])

    async def get_audio(request: Request) -> Response:
        """Raw samples, `(frames, channels)` 32-bit floats, little-endian; by ranges."""
        source = await run_in_threadpool(desk.song.track, request.path_params["track"])
        size = 4 * source.channels
        span = _range(request.headers.get("range", ""), source.frames * size)
        headers = {"accept-ranges": "bytes", "content-type": "application/octet-stream"}
        if span is None:
            return Response(status_code=416, headers=headers | {"content-range": f"bytes */{source.frames * size}"})
        first, last = span
        samples = await run_in_threadpool(source.read, first // size, -(-last // size))
        body = samples.T.astype("<f4").tobytes()[first % size :][: last - first]
        headers["content-range"] = f"bytes {first}-{last - 1}/{source.frames * size}"
        return Response(body, 206, headers)

    async def get_peaks(request: Request) -> Response:
        found = await run_in_threadpool(desk.song.peaks, request.path_params["track"])
        return Response(found.tobytes(), media_type="application/octet-stream")

    async def get_tile(request: Request) -> Response:
        level, index = request.path_params["level"], request.path_params["index"]
        source = await run_in_threadpool(desk.song.track, request.path_params["track"])
        if level > MAX_LEVEL or index > source.frames >> 8:
            raise BadEdit("no such piece of the song")
        found = await run_in_threadpool(tile, source, level, index)
        return Response(found, media_type="application/octet-stream")

    async def get_download(request: Request) -> Response:
        """One stem, the residual, or `all` as a zip."""
        format, bits, what = (request.query_params.get(key, "") for key in ("format", "bits", "what"))
        form = next((known for known in SUBTYPES if (known[0], str(known[1])) == (format, bits)), None)
        if form is None:
            raise BadEdit("no such format")
        path = desk.temporary / f"download-{secrets.token_hex(8)}.{'zip' if what == 'all' else format}"
        try:
            name = await run_in_threadpool(_write, desk.song, what, form, path)
        except FewshotSepError as error:
            desk.report(_line(error))  # browsers say no more of a download than that it failed
            raise
        gone = BackgroundTask(functools.partial(path.unlink, missing_ok=True))
        return FileResponse(path, filename=name, background=gone)

    app = Starlette(
        routes=[
            Route("/", page),
            Route("/api/state", state),
            Route("/api/events", events),
            Route("/api/song", put_song, methods=["PUT"]),
            Route("/api/demo", post_demo, methods=["POST"]),
            Route("/api/clip", put_clip, methods=["PUT"]),
            Route("/api/edit", post_edit, methods=["POST"]),
            Route("/api/run", post_run, methods=["POST"]),
            Route("/api/session", get_session, methods=["GET"]),
            Route("/api/session", put_session, methods=["PUT"]),
            Route("/api/bars", get_bars),
            Route("/api/audio/{track}", get_audio),
            Route("/api/peaks/{track}", get_peaks),
            Route("/api/tile/{track}/{level:int}/{index:int}", get_tile),
            Route("/api/download", get_download),
            Mount("/static", StaticFiles(directory=STATIC)),
            Mount("/vendor", StaticFiles(directory=vendor.submodule_search_locations[0])),
        ],
        middleware=[Middleware(Guard, token=token, name=name)],
        exception_handlers={FewshotSepError: _explain, ClientDisconnect: _explain},
        lifespan=lifespan,
    )
    app.state.desk = desk
    return app


async def _explain(request: Request, error: Exception) -> Response:
    """What a user can mend, as text."""
    return JSONResponse({"error": _line(error) or "interrupted"}, 400)


def _line(error: Exception) -> str:
    return " ".join(str(error).splitlines())


def _name(request: Request) -> str:
    """A file's own name, whatever folder the page says it lies in; only ever shown."""
    given = request.query_params.get("name", "").replace("\\", "/").rpartition("/")[2]
    return "".join(char for char in given if char.isprintable())[:200].strip() or "song"


async def _receive(request: Request, path: Path, limit: int) -> None:
    """An upload into a file. Raises BadEdit (too large), OutputError (no room)."""
    announced = request.headers.get("content-length", "0")
    check_room(path.parent, int(announced) if announced.isdecimal() else 0)
    with files.explained(path), path.open("wb") as file:
        async for block in _blocks(request, limit, f"{limit / 1e9:g} GB"):
            await run_in_threadpool(file.write, block)


async def _body(request: Request, limit: int) -> bytes:
    return b"".join([block async for block in _blocks(request, limit, f"{limit / 1e6:g} MB")])


async def _blocks(request: Request, limit: int, said: str) -> AsyncIterator[bytes]:
    """What is uploaded. Raises BadEdit: it is larger."""
    taken = 0
    async for block in request.stream():
        taken += len(block)
        if taken > limit:
            raise BadEdit(f"the file is over {said}, which is the limit here")
        yield block


async def _json(request: Request) -> dict[str, Any]:
    try:
        said = files.parse_json((await _body(request, MAX_EDIT)).decode())
    except ValueError as error:
        raise BadEdit("this is no JSON") from error
    if not isinstance(said, dict):
        raise BadEdit("this is no JSON object")
    return said


def _number(said: dict[str, Any], key: str) -> float:
    value = said.get(key)
    if isinstance(value, (int, float)) and -1e9 < value < 1e9:
        return float(value)
    raise BadEdit(f"{key} is no number")


def _write(song: OpenSong, what: str, form: tuple[Format, int], path: Path) -> str:
    """Write one stem, the residual, or `all` as a zip; returns what a user calls it. Raises BadEdit, OutputError."""
    stack, of = song.stack(*form), song.session.song.stem
    if what == "all":
        stack.write_zip(path)
        return f"{of}.zip"
    name = next((stem.name for stem in song.session.kept if stem.id == what), what)
    if name not in stack:
        raise BadEdit("this stem is not separated in the whole song yet")
    stack.write(name, path, stack.gain())
    return f"{of} - {name}{path.suffix}"


def _range(header: str, size: int) -> tuple[int, int] | None:
    """Bytes from and to of a range of `size`, at most `MAX_RANGE` of them; None where it cannot be served."""
    first, dash, last = header.removeprefix("bytes=").partition("-")
    if header and not (dash and first.isdecimal() and (not last or last.isdecimal())):
        return None
    start = int(first or 0)
    stop = min(int(last) + 1 if last else size, size, start + MAX_RANGE)
    return (start, stop) if start < stop else None
