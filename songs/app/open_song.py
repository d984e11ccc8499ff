"""A song that is worked on: what was decided about it, what is found of it, and what the page asks for."""

from __future__ import annotations

import hashlib
import math
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewshot_sep import audio, files
from fewshot_sep.errors import FewshotSepError
from fewshot_sep.songs.app import session as sessions
from fewshot_sep.songs.app.export import Stack
from fewshot_sep.songs.app.peel import PREVIEW, Peeler, Result, changed
from fewshot_sep.songs.app.session import REST, BadEdit, Clip, Item, Mark, Session, Stem
from fewshot_sep.songs.app.tracks import PEAK_HOP, RawTrack, check_room, peaks
from fewshot_sep.songs.app.worker import Job, Worker
from fewshot_sep.songs.grid import bar_grid
from fewshot_sep.songs.pipeline import Progress, SongSeparator
from fewshot_sep.songs.settings import Format

PREVIEW_SECONDS = 10.0
UNDOABLE = 200
NEWS_SECONDS = 2.0  # between two times that the page is told how much of a song is read
BEFORE = "before-"  # and a stem's id: the sound that it is taken from


class OpenSong:
    """A song from its folder, where all that is done to it is kept. Its methods may be called from any thread.

    Args:
        separator: gives the separator, which may take long the first time.
        worker: does previews, stems and the look at evidence.
        changed: called, from any thread, when `state` has changed.

    Raises:
        BadEdit: the session in the folder is damaged.
    """

    def __init__(
        self, folder: Path, separator: Callable[[], SongSeparator], worker: Worker, changed: Callable[[], None]
    ) -> None:
        self.folder, self._worker, self._changed = folder, worker, changed
        self.session = sessions.load(files.read_json(folder / "session.json"))
        self._lock = threading.RLock()
        self._undo: list[Session] = []
        self._redo: list[Session] = []
        self._evidence: dict[str, tuple[list[str], str | None]] = {}  # remarks and error by the item's id
        self.bars: list[float] | None = None  # where they begin, in seconds, once that is known
        self._warnings = _texts(files.read_json(folder / "warnings.json"))
        self._peaks: dict[str, tuple[list[Result], NDArray[np.int8]]] = {}
        self._known: int | float = math.inf  # frames of the song that are read, from its start on
        song, tracks = self.session.song, {"song", *(stem.id for stem in self.session.stems)}
        for path in folder.iterdir():
            if path.suffix == ".part" or (path.suffix == ".f32" and path.stem.removesuffix(PREVIEW) not in tracks):
                path.unlink(missing_ok=True)
        self._track = RawTrack(folder / "song.f32", song.sample_rate, song.channels, song.frames)
        self.peeler = Peeler(separator, self._track, folder, self._clip_path, self._wait_for, changed)
        if self.is_read:
            self._peaks["song"] = self._parts("song"), np.fromfile(folder / "song.peaks", np.int8).reshape(-1, 2)
        else:
            self._track.clear()
            self._known = 0
        (folder / "session.json").touch()

    @property
    def is_read(self) -> bool:
        """Whether all of it lies in the folder as samples."""
        return not (self.folder / "source").exists()

    def read(self, job: Job, progress: Progress) -> None:
        """Decode the song; what is read can be heard, marked and previewed meanwhile. Raises BadAudio, OutputError."""
        song, source, done, told = self.session.song, self.folder / "source", 0, 0.0

        def keep(block: NDArray[np.float32]) -> None:
            nonlocal done, told
            self._track.write(done, block)
            done += block.shape[1]
            progress(min(done / song.frames, 1.0))
            if time.monotonic() > told + NEWS_SECONDS and done > 1.1 * self._known:  # all of it is drawn anew
                self._known, told = done, time.monotonic()
                self.look_at_evidence()
                self._changed()

        facts = audio.decode(source, keep)
        with self._lock:
            if job.cancelled:
                return
            for path in self.folder.glob("*.f32"):  # its length may only have been guessed
                os.truncate(path, 4 * facts.channels * facts.frames)
            self._track.frames = facts.frames
            self.session = sessions.resized(self.session, facts.frames)
            for steps in (self._undo, self._redo):
                steps[:] = [sessions.resized(one, facts.frames) for one in steps]
            files.write_json(self.folder / "session.json", self.session.to_json())
            files.write_json(self.folder / "warnings.json", facts.warnings)
            self._warnings, self._known = _texts(facts.warnings), math.inf
            (self.folder / "song.peaks").write_bytes(self.peaks("song").tobytes())
            source.unlink()
        self.look_at_evidence()

    def _wait_for(self, frame: float) -> None:
        """Wait until the song is read so far; here jobs end that are cancelled."""
        self._worker.pause()
        while self._known < frame:
            time.sleep(0.05)
            self._worker.pause()

    def find_bars(self, progress: Progress) -> None:
        song = self.session.song
        grid = bar_grid(self.peeler.beats(progress), song.frames, song.sample_rate)
        self.bars = [round(frame / song.sample_rate, 3) for frame in grid.boundaries]

    # What is decided

    def edit(self, said: sessions.Edit) -> None:
        """An edit by the page; `do` may also be "undo" and "redo". Raises BadEdit, OutputError."""
        with self._lock:
            steps = {"undo": (self._undo, self._redo), "redo": (self._redo, self._undo)}.get(str(said.get("do")))
            if steps is None:
                self._decide(sessions.edit(self.session, said))
            elif steps[0]:
                before = self.session
                self._store(steps[0][-1])
                steps[0].pop()
                steps[1].append(before)

    def add_clip(self, stem: str, role: str, name: str, content: bytes) -> None:
        """A sound file as evidence. Raises BadAudio, BadEdit, OutputError."""
        digest = hashlib.sha256(content).hexdigest()
        sessions.add_clip(self.session, stem, role, name, digest)  # would it be taken?
        check_room(self.folder, len(content))
        with files.replacing(self.folder / "clips" / digest) as temporary:
            temporary.write_bytes(content)
            try:
                audio.read(temporary)
            except FewshotSepError as error:
                raise BadEdit(str(error).replace(str(temporary), name)) from error
        with self._lock:
            self._decide(sessions.add_clip(self.session, stem, role, name, digest))

    def open_session(self, content: object) -> None:
        """Marks, settings and names from a file that the page has given away. Raises BadEdit."""
        with self._lock:
            new, song = sessions.load(content), self.session.song
            if new.song.digest != song.digest and abs(new.song.seconds - song.seconds) > 0.1:
                raise BadEdit(f"this session is of another song, {new.song.name!r}: open that song first")
            self._decide(sessions.resized(Session(song, new.stems), song.frames))

    def _decide(self, new: Session) -> None:
        if new != self.session:
            before = self.session
            self._store(new)
            self._undo = [*self._undo, before][-UNDOABLE:]
            self._redo = []

    def _store(self, new: Session) -> None:
        """Write a session, and only then take it for the one. Raises OutputError."""
        files.write_json(self.folder / "session.json", new.to_json())
        self.session = new
        self.look_at_evidence()
        self._changed()

    def _clip_path(self, clip: Clip) -> Path:
        path = self.folder / "clips" / clip.digest
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
        self._run("preview", lambda job: self.peeler.preview(self.session, of, first, last, self._worker.progress(job)))

    def separate(self, stem: str) -> None:
        """Find a stem in the whole song, soon."""
        self.session.stem(stem)

        def work(job: Job) -> None:
            self._wait_for(math.inf)
            self.peeler.separate(self.session, self.session.stem(stem), self._worker.progress(job))

        self._run("separate", work)

    def _run(self, kind: str, work: Callable[[Job], None]) -> None:
        def whole(job: Job) -> None:
            work(job)
            self.look_at_evidence()  # of later stems: what they are taken from has changed

        self._worker.cancel("preview", "separate")
        self._worker.submit(kind, whole)

    def look_at_evidence(self) -> None:
        """Find out soon what is to be said of it."""
        self._worker.submit("evidence", self._examine, small=True)

    def _examine(self, job: Job) -> None:
        found: dict[str, tuple[list[str], str | None]] = {}
        song = self.session.song
        for stem in self.session.stems:
            for item in stem.evidence:
                if job.cancelled:
                    return
                if isinstance(item, Mark) and item.stop * song.sample_rate > self._known:
                    continue
                try:
                    found[item.id] = self.peeler.encoded(stem, item).quality["remarks"], None
                except FewshotSepError as error:
                    found[item.id] = [], str(error)
        self._evidence = found

    # What the page sees

    def state(self, ready: bool) -> dict[str, Any]:
        """All of it that the page shows, but for sound and pictures; `ready`: the separator is there."""
        with self._lock:
            song = self.session.song
            return {
                "song": {"id": self.folder.name, "name": song.name, "seconds": song.seconds}
                | {"rate": song.sample_rate, "channels": song.channels, "frames": song.frames}
                | {"known": min(self._known / song.sample_rate, song.seconds)},
                "warnings": self._warnings,
                "stems": [self._stem(stem, ready) for stem in self.session.kept],
                "residual": self._version(self._parts(REST)),
                "bars": None if self.bars is None else len(self.bars),
                "undo": len(self._undo),
                "redo": len(self._redo),
            }

    def _stem(self, stem: Stem, ready: bool) -> dict[str, Any]:
        session, result = self.session, self.peeler.result(stem.id)
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
                if ready
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
        return hashlib.sha256("-".join([self.folder.name, *versions]).encode()).hexdigest()[:12]

    def track(self, id: str) -> audio.Source:
        """Sound by name: "song", "residual", a stem's id, or "before-" and a stem's id. Raises BadEdit."""
        with self._lock:
            stems = self._taken_out(id)
            return self.peeler.track(id) if stems is None else self.peeler.remainder(stems)

    def peaks(self, id: str) -> NDArray[np.int8]:
        """The peaks of a whole track, see `tracks.peaks`. Only where it has changed since the last time is it read."""
        with self._lock:
            source, parts = self.track(id), self._parts(id)
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
