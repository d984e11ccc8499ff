"""The songs on disk, which of them is open, and the two threads that work on it."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import secrets
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fewshot_sep import audio, files
from fewshot_sep.errors import BadAudio, FewshotSepError, OutputError
from fewshot_sep.songs import jobs
from fewshot_sep.songs.app import session as sessions
from fewshot_sep.songs.app.open_song import OpenSong
from fewshot_sep.songs.app.peel import known_roles
from fewshot_sep.songs.app.session import BadEdit, Song
from fewshot_sep.songs.app.tracks import check_room
from fewshot_sep.songs.app.worker import Cancelled, Job, Worker
from fewshot_sep.songs.pipeline import SongSeparator

DEMO = "War of freedom (demo).wav"


class Desk:
    """One song at a time is open; every song has a folder of its own, where all that was done to it is found again.

    Its methods may be called from any thread.

    Args:
        home: for all songs; one program at a time works in it.
        separator: makes the separator, when it is first needed.
        changed: called, from any thread, when `state` has changed.

    Raises:
        OutputError: `home` cannot be written, or another program works in it.
    """

    def __init__(self, home: Path, separator: Callable[[], SongSeparator], changed: Callable[[], None]) -> None:
        self.home, self.temporary = home, home / "tmp"
        self._changed = changed
        with files.explained(home):
            home.mkdir(parents=True, exist_ok=True)
            self._held = _hold(home / "lock")
            shutil.rmtree(self.temporary, ignore_errors=True)
            self.temporary.mkdir()
        self._separator = functools.cache(separator)
        self._roles: list[str] = []  # what can be shown; none until the weights are loaded
        self._errors: list[str] = []
        self._song: OpenSong | None = None
        self.worker = Worker(changed, self._failed)
        # Reads the song and finds its bars, which can take minutes: nothing else waits for that.
        self._reader = Worker(changed, self._failed)
        self.worker.submit("model", self._load_model)

    def close(self) -> None:
        """End the work; songs stay, temporary files go."""
        self._reader.close()
        self.worker.close()
        shutil.rmtree(self.temporary, ignore_errors=True)
        self._held.close()

    def busy(self) -> bool:
        """Whether there is anything to do."""
        return self.worker.busy() or self._reader.busy()

    # The song

    def open_file(self, path: Path, name: str, *, clip: Path | None = None, own: bool = False) -> None:
        """Open a sound file, and read it in the background; a known one comes with all that was done to it.

        Args:
            clip: of an instrument in it, for a new song.
            own: whether the file is to be removed afterwards.
        """

        def work(job: Job) -> None:
            try:
                folder = self._take_in(path, name)
                self.worker.pause()  # another song may be wanted by now
                song = self._open(folder)  # not the open one: where reading fails it is closed at once
                first = song.session.stems[0]
                if clip and not first.clips and first.name == "stem 1":
                    song.add_clip(first.id, "alone", clip.name, clip.read_bytes())
            except FewshotSepError as error:
                raise BadEdit(str(error).replace(str(path), name)) from error

        def after() -> None:
            if own:
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)

        self._begin(work, after)

    def open_demo(self) -> None:
        """The demo's song, with a clip of its guitar."""
        spec = find_spec("fewshot_sep.experiments.demo")
        assert spec and spec.origin
        data = Path(spec.origin).parent / "data"
        guitar, rate = audio.read(data / "guitar.ogg")
        backing, _ = audio.read(data / "backing.ogg")
        path = self.temporary / f"demo-{secrets.token_hex(8)}.wav"
        audio.write(path, guitar + backing, rate)
        self.open_file(path, DEMO, clip=data / "query.ogg", own=True)

    def open_recent(self, id: str) -> None:
        """A song that was open before."""
        self._folder(id)
        self._begin(lambda job: self._open(self._folder(id)))

    def _begin(self, work: Callable[[Job], object], after: Callable[[], object] = lambda: None) -> None:
        """Open a song soon, instead of all that is done for another."""
        self._cancel_work()
        self.worker.cancel("song")
        self.worker.submit("song", work, after=after)

    def forget(self, id: str) -> None:
        """Remove a song and all that was found of it from the disk."""
        folder = self._folder(id)

        def work(job: Job) -> None:
            self._leave(folder)  # it may have been opened meanwhile
            shutil.rmtree(folder, ignore_errors=True)

        self._leave(folder)
        self.worker.submit(f"forget {id}", work, small=True)

    def _cancel_work(self) -> None:
        """End what is done with the song that is open."""
        self._reader.cancel()
        self.worker.cancel("preview", "separate", "evidence")

    def _leave(self, folder: Path) -> None:
        """Close the song of a folder, if it is open."""
        if self._song and self._song.folder == folder:
            self._cancel_work()
            self._song = None

    def recent(self) -> list[dict[str, str]]:
        """Songs on disk, the last one first."""
        found = []
        for path in self.home.glob("*/session.json"):
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                name = str(files.read_json(path)["song"]["name"])
                found.append((path.stat().st_mtime, {"id": path.parent.name, "name": name}))
        return [entry for _, entry in sorted(found, key=lambda pair: -pair[0])]

    def _folder(self, id: str) -> Path:
        folder = self.home / id
        if not re.fullmatch("[0-9a-f]{16}", id) or not (folder / "session.json").is_file():
            raise BadEdit("no such song")
        return folder

    def _take_in(self, path: Path, name: str) -> Path:
        """A folder for a file; it lies there as `source` until all of it is read."""
        digest = jobs.digest(path)
        folder, new = self.home / digest[:16], self.temporary / digest[:16]
        if (folder / "session.json").is_file():
            return folder
        facts = audio.check_header(path)
        tags = {key: value for key, value in facts.tags.items() if value}
        song = Song(name, digest, facts.sample_rate, facts.channels, facts.frames, tags)
        check_room(self.home, path.stat().st_size + 4 * song.frames * song.channels)
        try:
            with files.explained(new):
                (new / "clips").mkdir(parents=True)
                try:
                    os.link(path.resolve(), new / "source")  # else a link would be linked, not its file
                except OSError:  # it lies elsewhere
                    shutil.copyfile(path, new / "source")
                files.write_json(new / "warnings.json", [])
                files.write_json(new / "session.json", sessions.begin(song).to_json())
                shutil.rmtree(folder, ignore_errors=True)  # there is no session in it
                new.rename(folder)
        finally:
            shutil.rmtree(new, ignore_errors=True)
        return folder

    def _open(self, folder: Path) -> OpenSong:
        self._reader.cancel()
        song = self._song
        if not song or song.folder != folder:  # else its reading, cancelled, may be just about to end
            song = OpenSong(folder, self._separator, self.worker, lambda: self._changed())
        self._song = song
        self._reader.submit("reading", lambda job: self._read(song, job))
        self._reader.submit("bars", lambda job: song.find_bars(self._reader.progress(job)))
        song.look_at_evidence()
        return song

    def _read(self, song: OpenSong, job: Job) -> None:
        if song.is_read:
            return
        try:
            song.read(job, self._reader.progress(job))
        except FewshotSepError as error:
            if job.cancelled:
                raise Cancelled from error
            self._leave(song.folder)
            if isinstance(error, BadAudio):
                self.forget(song.folder.name)
            name = song.session.song.name
            raise BadEdit(str(error).replace(str(song.folder / "source"), name)) from error

    def _load_model(self, job: Job) -> None:
        self._roles = list(known_roles(self._separator()))

    def _failed(self, job: Job) -> None:
        self.report(job.error)

    def report(self, error: str) -> None:
        """Show an error on the page."""
        self._errors.append(error)
        self._changed()

    @property
    def song(self) -> OpenSong:
        """The one that is open. Raises BadEdit where none is."""
        if self._song is None:
            raise BadEdit("no song is open")
        return self._song

    def state(self) -> dict[str, Any]:
        """All that the page shows, but for sound and pictures."""
        job, song = self.worker.current or self._reader.current, self._song
        ready = bool(self._roles)
        return {
            "ready": ready,
            "roles": self._roles,
            "error": {"number": len(self._errors), "text": self._errors[-1] if self._errors else ""},
            "job": job and {"kind": job.kind, "share": round(job.share, 3), "left": job.seconds_left()},
            **(song.state(ready) if song else {"song": None, "recent": self.recent()}),
        }


def _hold(path: Path) -> Any:
    """Keep others out of a folder."""
    file = path.open("w")
    if not files.lock(file):
        file.close()
        raise OutputError(
            f"{path.parent}: another fewshot-sep app is at work here; open its page, or choose another --folder"
        )
    return file
