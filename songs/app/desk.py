"""The song that is worked on, all that is known of it, and where it lies on disk; what the page shows and asks for."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import math
import os
import re
import secrets
import shutil
import threading
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewshot_sep import audio, files
from fewshot_sep.errors import BadAudio, FewshotSepError, OutputError
from fewshot_sep.songs.app import session as sessions
from fewshot_sep.songs.app.export import Stack
from fewshot_sep.songs.app.peel import Peeler, Result, changed, known_roles
from fewshot_sep.songs.app.session import REST, BadEdit, Clip, Item, Mark, Session, Song, Stem
from fewshot_sep.songs.app.tracks import PEAK_HOP, RawTrack, check_room, explained, peaks
from fewshot_sep.songs.app.worker import Job, Worker
from fewshot_sep.songs.grid import bar_grid
from fewshot_sep.songs.pipeline import SongSeparator
from fewshot_sep.songs.settings import Format

PREVIEW_SECONDS = 10.0
UNDOABLE = 200
NEWS_SECONDS = 2.0  # between two times that the page is told how much of a song is read
BEFORE = "before-"  # and a stem's id: the sound that it is taken from
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
        self._lock = threading.RLock()
        with explained(home):
            home.mkdir(parents=True, exist_ok=True)
            self._held = _hold(home / "lock")
            shutil.rmtree(self.temporary, ignore_errors=True)
            self.temporary.mkdir()
        self._separator = functools.cache(separator)
        self._roles: list[str] = []  # what can be shown; none until the weights are loaded
        self._errors: list[str] = []
        self._peaks: dict[str, tuple[list[Result], NDArray[np.int8]]] = {}
        self._session: Session | None = None
        self.peeler: Peeler  # of the song that is open
        self._undo: list[Session] = []
        self._redo: list[Session] = []
        self._evidence: dict[str, tuple[list[str], str | None]] = {}  # remarks and error by the item's id
        self._bars: list[float] | None = None
        self._known: int | float = math.inf  # frames of the song that are read, from its start on
        self.worker = Worker(changed, self._failed)
        # Reads the song and finds its bars, which can take minutes: nothing else waits for that.
        self._listener = Worker(changed, self._failed)
        self.worker.submit("model", self._load_model)

    def close(self) -> None:
        """End the work; songs stay, temporary files go."""
        self._listener.close()
        self.worker.close()
        shutil.rmtree(self.temporary, ignore_errors=True)
        self._held.close()

    def busy(self) -> bool:
        """Whether there is anything to do."""
        return self.worker.busy() or self._listener.busy()

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
                self._open(folder)
                if clip and not self.session.stems[0].clips and self.session.stems[0].name == "stem 1":
                    self.add_clip(self.session.stems[0].id, "alone", clip.name, clip.read_bytes())
            except FewshotSepError as error:
                raise BadEdit(str(error).replace(str(path), name)) from error
            finally:
                if own:
                    path.unlink(missing_ok=True)

        self._cancel_all()
        self.worker.submit("song", work)

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
        folder = self._folder(id)
        self._cancel_all()
        self.worker.submit("song", lambda job: self._open(folder))

    def forget(self, id: str) -> None:
        """Remove a song and all that was found of it from the disk."""
        folder = self._folder(id)
        if self._session and folder == self.peeler.folder:
            self._leave()
        self.worker.submit(f"forget {id}", lambda job: shutil.rmtree(folder, ignore_errors=True), small=True)

    def _cancel_all(self) -> None:
        """End what is done with the song that is open."""
        self._listener.cancel()
        self.worker.cancel("preview", "separate", "evidence", "song")

    def _leave(self) -> None:
        self._cancel_all()
        with self._lock:
            self._session = None

    def recent(self) -> list[dict[str, str]]:
        """Songs on disk, the last one first."""
        found = []
        for path in self.home.glob("*/session.json"):
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                name = str(files.read_json(path)["song"]["name"])
                found.append((path.stat().st_mtime, {"id": path.parent.name, "name": name}))
        return [entry for _, entry in sorted(found, key=lambda pair: -pair[0])][:20]

    def _folder(self, id: str) -> Path:
        folder = self.home / id
        if not re.fullmatch("[0-9a-f]{16}", id) or not (folder / "session.json").is_file():
            raise BadEdit("no such song")
        return folder

    def _take_in(self, path: Path, name: str) -> Path:
        """A folder for a file; it lies there as `source` until all of it is read."""
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        folder, new = self.home / digest[:16], self.temporary / digest[:16]
        if (folder / "session.json").is_file():
            return folder
        facts = audio.check_header(path)
        tags = {key: value for key, value in facts.tags.items() if value}
        song = Song(name, digest, facts.sample_rate, facts.channels, facts.frames, tags)
        check_room(self.home, path.stat().st_size + 4 * song.frames * song.channels)
        try:
            with explained(new):
                (new / "clips").mkdir(parents=True)
                try:
                    os.link(path, new / "source")
                except OSError:  # it lies elsewhere
                    shutil.copyfile(path, new / "source")
                files.write_json(new / "warnings.json", [])
                files.write_json(new / "session.json", sessions.begin(song).to_json())
                shutil.rmtree(folder, ignore_errors=True)  # there is no session in it
                new.rename(folder)
        finally:
            shutil.rmtree(new, ignore_errors=True)
        return folder

    def _read(self, job: Job) -> None:
        """Decode the song; what is read can be heard, marked and previewed meanwhile."""
        with self._lock:
            folder, song, track = self.peeler.folder, self.session.song, self.peeler.song
        assert isinstance(track, RawTrack)
        source, progress, done, told = folder / "source", self._listener.progress(job), 0, 0.0

        def keep(block: NDArray[np.float32]) -> None:
            nonlocal done, told
            track.write(done, block)
            done += block.shape[1]
            progress(min(done / song.frames, 1.0))
            if time.monotonic() > told + NEWS_SECONDS and done > 1.1 * self._known:  # all of it is drawn anew
                with self._lock:
                    if not job.cancelled:  # else another song is open
                        self._known, told = done, time.monotonic()
                self._look_at_evidence()
                self._changed()

        try:
            facts = audio.decode(source, keep)
        except FewshotSepError as error:
            self._leave()
            if isinstance(error, BadAudio):
                self.forget(folder.name)
            raise BadEdit(str(error).replace(str(source), song.name)) from error
        with self._lock:
            if job.cancelled:
                return
            for path in folder.glob("*.f32"):  # its length may only have been guessed
                os.truncate(path, 4 * facts.channels * facts.frames)
            track.frames = facts.frames
            self._session = sessions.resized(self.session, facts.frames)
            self._undo, self._redo = (
                [sessions.resized(one, facts.frames) for one in steps] for steps in (self._undo, self._redo)
            )
            files.write_json(folder / "session.json", self._session.to_json())
            files.write_json(folder / "warnings.json", facts.warnings)
            self._warnings, self._known = _texts(facts.warnings), math.inf
            (folder / "song.peaks").write_bytes(self.peaks("song").tobytes())
            source.unlink()
        self._look_at_evidence()

    def _wait_for(self, frame: float) -> None:
        """Wait until the song is read so far; here jobs end that are cancelled."""
        self.worker.pause()
        while self._known < frame:
            time.sleep(0.05)
            self.worker.pause()

    def _open(self, folder: Path) -> None:
        session = sessions.load(files.read_json(folder / "session.json"))
        song = session.song
        track = RawTrack(folder / "song.f32", song.sample_rate, song.channels, song.frames)
        for path in folder.iterdir():
            if path.suffix == ".part" or (
                path.stem not in {"song", *(s.id for s in session.stems)} and path.suffix == ".f32"
            ):
                path.unlink(missing_ok=True)
        warnings = files.read_json(folder / "warnings.json")
        with self._lock:
            self._session = session
            self._undo, self._redo, self._evidence, self._bars = [], [], {}, None
            self._warnings, self._known = _texts(warnings), math.inf
            self.peeler = Peeler(
                self._separator, track, folder, self._clip_path, self._wait_for, lambda: self._changed()
            )
            self._peaks.clear()
            if (folder / "source").exists():
                track.clear()
                self._known = 0
                self._listener.submit("reading", self._read)
            else:
                self._peaks["song"] = self._parts("song"), np.fromfile(folder / "song.peaks", np.int8).reshape(-1, 2)
            (folder / "session.json").touch()
            self._listener.submit("bars", self._find_bars)
            self._look_at_evidence()

    # What is decided

    @property
    def session(self) -> Session:
        """The open one. Raises BadEdit where none is."""
        if self._session is None:
            raise BadEdit("no song is open")
        return self._session

    def edit(self, said: sessions.Edit) -> None:
        """An edit by the page; `do` may also be "undo" and "redo". Raises BadEdit, OutputError."""
        with self._lock:
            steps = {"undo": (self._undo, self._redo), "redo": (self._redo, self._undo)}.get(str(said.get("do")))
            if steps is None:
                self._decide(sessions.edit(self.session, said))
            elif steps[0]:
                steps[1].append(self.session)
                self._store(steps[0].pop())

    def add_clip(self, stem: str, role: str, name: str, content: bytes) -> None:
        """A sound file as evidence. Raises BadAudio, BadEdit, OutputError."""
        digest = hashlib.sha256(content).hexdigest()
        with self._lock:
            new = sessions.add_clip(self.session, stem, role, name, digest)
            check_room(self.peeler.folder, len(content))
            path = self.peeler.folder / "clips" / digest
            with files.replacing(path) as temporary:
                temporary.write_bytes(content)
                try:
                    audio.read(temporary)
                except FewshotSepError as error:
                    raise BadEdit(str(error).replace(str(temporary), name)) from error
            self._decide(new)

    def open_session(self, content: object) -> None:
        """Marks, settings and names from a file that the page has given away. Raises BadEdit."""
        with self._lock:
            new, song = sessions.load(content), self.session.song
            if new.song.digest != song.digest and abs(new.song.seconds - song.seconds) > 0.1:
                raise BadEdit(f"this session is of another song, {new.song.name!r}: open that song first")
            self._decide(Session(song, new.stems))

    def _decide(self, new: Session) -> None:
        if new != self.session:
            self._undo = [*self._undo, self.session][-UNDOABLE:]
            self._redo = []
            self._store(new)

    def _store(self, new: Session) -> None:
        files.write_json(self.peeler.folder / "session.json", new.to_json())
        self._session = new
        self._look_at_evidence()
        self._changed()

    def _clip_path(self, clip: Clip) -> Path:
        path = self.peeler.folder / "clips" / clip.digest
        if not path.is_file():
            raise BadEdit(f"the clip {clip.name!r} is not here: drop its file once more")
        return path

    # Work

    def preview(self, stem: str, start: float, stop: float) -> None:
        """Find a stem in at most ten seconds from `start` on, soon."""
        of, rate = self.session.stem(stem), self.session.song.sample_rate
        first = round(max(start, 0) * rate)
        last = min(round(min(stop, start + PREVIEW_SECONDS) * rate), self.session.song.frames)
        if last <= first:
            raise BadEdit("there is nothing of the song in view")
        self._run("preview", lambda job: self.peeler.preview(self.session, of, first, last, self.worker.progress(job)))

    def separate(self, stem: str) -> None:
        """Find a stem in the whole song, soon."""
        self.session.stem(stem)

        def work(job: Job) -> None:
            self._wait_for(math.inf)
            self.peeler.separate(self.session, self.session.stem(stem), self.worker.progress(job))

        self._run("separate", work)

    def _run(self, kind: str, work: Callable[[Job], None]) -> None:
        def whole(job: Job) -> None:
            work(job)
            self._look_at_evidence()  # of later stems: what they are taken from has changed

        self.worker.cancel("preview", "separate")
        self.worker.submit(kind, whole)

    def _load_model(self, job: Job) -> None:
        self._roles = list(known_roles(self._separator()))

    def _find_bars(self, job: Job) -> None:
        with self._lock:
            peeler, song = self.peeler, self.session.song
        grid = bar_grid(peeler.beats(self._listener.progress(job)), song.frames, song.sample_rate)
        with self._lock:
            if not job.cancelled:
                self._bars = [round(frame / song.sample_rate, 3) for frame in grid.boundaries]

    def bars(self) -> list[float]:
        """Where bars begin, in seconds; none before they are found, or where there are none."""
        return self._bars or []

    def _look_at_evidence(self) -> None:
        self.worker.submit("evidence", self._examine, small=True)

    def _examine(self, job: Job) -> None:
        found: dict[str, tuple[list[str], str | None]] = {}
        session = self._session
        if session is None:
            return
        for stem in session.stems:
            for item in stem.evidence:
                if job.cancelled:
                    return
                if isinstance(item, Mark) and item.stop * session.song.sample_rate > self._known:
                    continue
                try:
                    found[item.id] = self.peeler.encoded(stem, item).quality["remarks"], None
                except FewshotSepError as error:
                    found[item.id] = [], str(error)
        with self._lock:
            self._evidence = found

    def _failed(self, job: Job) -> None:
        self._errors.append(job.error)

    # What the page sees

    def state(self) -> dict[str, Any]:
        """All that the page shows, but for sound and pictures."""
        with self._lock:
            job, session = self.worker.current or self._listener.current, self._session
            said: dict[str, Any] = {
                "ready": bool(self._roles),
                "roles": self._roles,
                "error": {"number": len(self._errors), "text": self._errors[-1] if self._errors else ""},
                "job": job and {"kind": job.kind, "share": round(job.share, 3), "left": job.seconds_left()},
            }
            if session is None:
                return said | {"song": None, "recent": self.recent()}
            return said | {
                "song": {"id": self.peeler.folder.name, "name": session.song.name, "seconds": session.song.seconds}
                | {"rate": session.song.sample_rate, "channels": session.song.channels, "frames": session.song.frames}
                | {"known": min(self._known / session.song.sample_rate, session.song.seconds)},
                "warnings": self._warnings,
                "stems": [self._stem(session, stem) for stem in session.kept],
                "residual": self._version(self._parts(REST)),
                "bars": None if self._bars is None else len(self._bars),
                "undo": len(self._undo),
                "redo": len(self._redo),
            }

    def _stem(self, session: Session, stem: Stem) -> dict[str, Any]:
        result = self.peeler.result(stem.id)
        opposite = sessions.contradictions(stem)

        def item(of: Item, **more: object) -> dict[str, Any]:
            remarks, error = self._evidence.get(of.id, ([], None))
            if of.id in opposite:
                remarks = [*remarks, opposite[of.id]]
            judged = {"known": of.id in self._evidence, "remarks": remarks, "error": error}
            return {"id": of.id, "role": of.role, **more, **judged}

        return {
            "id": stem.id,
            "name": stem.name,
            "grid": stem.grid,
            "residual_pass": stem.residual_pass,
            "mixture": self._version(self._parts(f"{BEFORE}{stem.id}")),
            "minus": [session.stem(id).name for id in stem.minus],
            "marks": [item(mark, start=mark.start, stop=mark.stop) for mark in stem.marks],
            "clips": [item(clip, name=clip.name) for clip in stem.clips],
            "result": result
            and {
                "kind": result.kind,
                "start": result.start / session.song.sample_rate,
                "stop": result.done / session.song.sample_rate,
                "whole": self.peeler.is_whole(stem.id),
                "fresh": result.key == self.peeler.key(session, stem)
                if self._roles
                else result.key.startswith(session.key(stem)),
                "version": result.version,
                "level": result.level_db,
                "warnings": result.warnings,
            },
        }

    def _taken_out(self, track: str) -> tuple[str, ...] | None:
        """The stems that a track is the song without; None for a stem's own. Raises BadEdit: no such track."""
        if track == "song":
            return ()
        if track == REST:
            return tuple(stem.id for stem in self.session.kept)
        if track.startswith(BEFORE):
            return self.session.stem(track.removeprefix(BEFORE)).minus
        if not self.peeler.result(self.session.stem(track).id):
            raise BadEdit("nothing was found of this stem yet")
        return None

    def _parts(self, track: str) -> list[Result]:
        """What a track is made of. Raises BadEdit: there is no such track."""
        stems = self._taken_out(track)
        frames = int(min(self._known, self.session.song.frames))
        song = [] if stems is None else [Result("", "whole", frames, 0, f"song {self._known}")]
        found = (self.peeler.result(id) for id in ([track] if stems is None else stems))
        return [*song, *(result for result in found if result)]

    def _version(self, parts: list[Result]) -> str:
        """Another one when the sound changes; what is read of the song meanwhile is no change."""
        versions = [result.version for result in parts if result.key]
        return hashlib.sha256("-".join([self.peeler.folder.name, *versions]).encode()).hexdigest()[:12]

    def track(self, id: str) -> audio.Source:
        """Sound by name: "song", "residual", a stem's id, or "before-" and a stem's id. Raises BadEdit."""
        with self._lock:
            stems = self._taken_out(id)
            return self.peeler.track(id) if stems is None else self.peeler.remainder(stems)

    def peaks(self, id: str) -> NDArray[np.int8]:
        """The peaks of a whole track, see `tracks.peaks`. Only where it has changed since the last time is it read."""
        with self._lock:
            source, parts, peeler = self.track(id), self._parts(id), self.peeler
            count = -(-source.frames // PEAK_HOP)
            like = "song" if id == REST or id.startswith(BEFORE) else ""
            before, known = self._peaks.get(id) or self._peaks.get(like) or ([], np.zeros((count, 2), np.int8))
        if len(known) != count:
            before, known = [], np.zeros((count, 2), np.int8)
        spans = changed(before, parts)
        if spans:
            known = known.copy()
            for start, stop in spans:
                bins = slice(start // PEAK_HOP, -(-stop // PEAK_HOP))
                known[bins] = peaks(source, bins.start * PEAK_HOP, min(bins.stop * PEAK_HOP, source.frames))
        with self._lock:
            if peeler is self.peeler:  # else another song was opened meanwhile
                self._peaks[id] = parts, known
        return known

    # What goes out

    def stack(self, format: Format, bits: int) -> Stack:
        """The stems that are found in the whole song, and the residual. Raises BadEdit."""
        with self._lock:
            done = [stem for stem in self.session.kept if self.peeler.is_whole(stem.id)]
            if not done:
                raise BadEdit("nothing was separated in the whole song yet")
            return Stack(self.peeler, self.session, done, format, bits)


def _texts(warnings: list[str]) -> list[str]:
    """Warnings without the file's name."""
    return [warning.partition(": ")[2] or warning for warning in warnings]


def _hold(path: Path) -> Any:
    """Keep others out of a folder."""
    file = path.open("w")
    if not files.lock(file):
        file.close()
        raise OutputError(
            f"{path.parent}: another fewshot-sep app is at work here; open its page, or choose another --folder"
        )
    return file
