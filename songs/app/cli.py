"""The command `fewshot-sep app`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from fewshot_sep import extras
from fewshot_sep.errors import OutputError


def app(
    song: Annotated[Path | None, typer.Argument(metavar="SONG", help="Song to open.", show_default=False)] = None,
    *,
    folder: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where songs, marks and stems are kept; else with the user's other data."),
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 0,
    host: Annotated[
        str, typer.Option(help="Address; another one lets other machines in that know the token.")
    ] = "127.0.0.1",
    browser: Annotated[bool, typer.Option(help="Open the page in the browser.")] = True,
    max_upload: Annotated[float, typer.Option(metavar="GB", min=0.001, help="Largest song that is taken.")] = 8.0,
    tracker: Annotated[str, typer.Option(help="Beat tracker: auto, madmom (non-commercial) or librosa.")] = "auto",
    device: Annotated[str, typer.Option(help="Where the network runs: auto, cpu or cuda.")] = "auto",
    weights: Annotated[Path | None, typer.Option(metavar="FILE", help="Other weights than the bundled ones.")] = None,
) -> None:
    """Open a page in the browser on which to mark an instrument in a song, hear what is found, and peel it off.

    Everything runs on this machine. The page's address is printed; it holds a token that no other page knows. Marks,
    names and stems are kept. Ctrl-C ends it.

    Example:
      fewshot-sep app
      fewshot-sep app song.mp3
    """
    extras.require("app")
    import secrets
    import socket
    import threading
    import webbrowser

    import uvicorn

    from fewshot_sep import audio
    from fewshot_sep.songs.app import server
    from fewshot_sep.songs.pipeline import SongSeparator

    def separator() -> SongSeparator:
        from fewshot_sep.separator import Separator

        return SongSeparator(Separator.from_pretrained(weights, device=device), tracker=tracker)

    if song is not None:
        audio.check_header(song)
    token = secrets.token_urlsafe(24)
    page = server.build(folder or _home(), separator, token, host, max_song=round(max_upload * 1e9))
    if song is not None:
        page.state.desk.open_file(song, song.name)
    try:
        listening = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        page.state.desk.close()
        raise OutputError(
            f"{host}:{port} cannot be listened at ({error.strerror or error}): choose another --port"
        ) from error
    here = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    shown = f"[{here}]" if ":" in here else here
    address = f"http://{shown}:{listening.getsockname()[1]}/?token={token}"
    typer.echo(address)
    sys.stdout.flush()
    if browser:
        threading.Thread(target=webbrowser.open, args=[address], daemon=True).start()  # one in the terminal blocks
    config = uvicorn.Config(page, log_level="warning", access_log=False, timeout_graceful_shutdown=3)
    uvicorn.Server(config).run(sockets=[listening])


def _home() -> Path:
    """The folder for this program's data, as the system wants it."""
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home()))
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return base / "fewshot-sep" / "app"
