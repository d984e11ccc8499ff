"""The stems of one song, found one after the other, each in what those before it left; nothing is computed twice."""

from __future__ import annotations

import json
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from fewshot_sep import audio, beats, files
from fewshot_sep.beats import Beats
from fewshot_sep.errors import BadQuery
from fewshot_sep.prompt import ROLES, ByRole, Role
from fewshot_sep.separator import Conditioning
from fewshot_sep.songs import beat_cache, expectation, report
from fewshot_sep.songs.app.session import Clip, Item, Session, Stem
from fewshot_sep.songs.app.tracks import RawTrack, Remainder
from fewshot_sep.songs.pipeline import Progress, SongRun, SongSeparator, part
from fewshot_sep.songs.queries import EncodedClip, encode, read_passage

Array = NDArray[np.float32]
T = TypeVar("T")

CACHED = 500
PREVIEW = ".preview"  # after a stem's id: beside what is found of it in the whole song
RESIDUAL_SHARE, TRACKING_SHARE = 0.35, 0.1  # of the progress bar, where they must be done
ABSENT = "this instrument does not seem to be there"
LEFT_OUT = "what is said to play with others was left out: these weights do not know that"


@dataclass(frozen=True)
class Result:
    """What a stem's track holds.

    Attributes:
        key: of the stem when it was found, see `Peeler.key`.
        done: frames found from the song's start; of a preview, where it ends.
        start: where a preview begins.
        version: another one whenever samples change.
    """

    key: str
    kind: str  # "preview" or "whole"
    done: int
    start: int
    version: str
    level_db: float | None = None
    warnings: tuple[str, ...] = ()
    report: dict[str, Any] | None = None


def changed(before: Sequence[Result], now: Sequence[Result]) -> list[tuple[int, int]]:
    """Where sound that is made of some results may differ, once these have taken the place of others: spans of frames.

    What a run in the whole song had found before stays while it gets on.
    """
    old = {result.version: result for result in before}
    new = {result.version: result for result in now}
    gone = [result for version, result in old.items() if version not in new]
    come = [result for version, result in new.items() if version not in old]
    spans = []
    for result in come:
        same = (r for r in gone if (r.key, r.kind) == (result.key, "whole") and r.done <= result.done)
        grown = next(same, None) if result.kind == "whole" else None
        if grown:
            gone.remove(grown)
        spans.append((grown.done if grown else result.start, result.done))
    return [(start, stop) for start, stop in [*spans, *((r.start, r.done) for r in gone)] if stop > start]


def known_roles(songs: SongSeparator) -> tuple[Role, ...]:
    """What a separator's weights can be shown of an instrument."""
    return tuple(role for role in ROLES if role != "among" or songs.separator.system.knows_roles)


class _Watched:
    """A source that calls `watch` before every read, see `Peeler`."""

    def __init__(self, source: audio.Source, watch: Callable[[int], None]) -> None:
        self._source, self._watch = source, watch
        self.sample_rate, self.channels, self.frames = source.sample_rate, source.channels, source.frames

    def read(self, start: int, stop: int) -> Array:
        self._watch(stop)
        return self._source.read(start, stop)


class Peeler:
    """Finds stems of a song.

    Args:
        songs: gives the separator, which may take long the first time.
        folder: for the stems' tracks, `ID.f32`, and what is known of them, `ID.json`; previews are `ID.preview.*`.
        clip_path: where a clip's file lies.
        watch: called often, with the frame up to which the song is wanted: it may wait for that; an exception that it
            raises ends what is done just now.
        changed: called when a track has other samples.
    """

    def __init__(
        self,
        songs: Callable[[], SongSeparator],
        song: audio.Source,
        folder: Path,
        clip_path: Callable[[Clip], Path],
        watch: Callable[[int], None] = lambda frame: None,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._songs, self.song, self.folder = songs, song, folder
        self.clip_path, self._watch, self._changed = clip_path, watch, changed
        self._cache: OrderedDict[Hashable, Any] = OrderedDict()
        self._beats: Beats | None = None
        self._tracking = threading.Lock()
        self._results: dict[str, Result | None] = {}

    @property
    def songs(self) -> SongSeparator:
        return self._songs()

    def result(self, stem: str) -> Result | None:
        """What is known of a stem's track; None where nothing was found yet."""
        return self._result(self._heard(stem))

    def track(self, stem: str) -> RawTrack:
        return self._track(self._heard(stem))

    def _heard(self, stem: str) -> str:
        """The name of what is heard of a stem: a preview, until the stem is looked for in the whole song again."""
        preview = f"{stem}{PREVIEW}"
        return preview if self._result(preview) else stem

    def _result(self, name: str) -> Result | None:
        if name not in self._results:
            try:
                said = files.read_json(self.folder / f"{name}.json")
                size = (self.folder / f"{name}.f32").stat().st_size
                found = Result(**(said | {"warnings": tuple(said["warnings"])}))
                whole = size == 4 * self.song.channels * self.song.frames
                self._results[name] = found if whole else None
            except (OSError, ValueError, TypeError, KeyError):
                self._results[name] = None
        return self._results[name]

    def _track(self, name: str) -> RawTrack:
        return RawTrack(self.folder / f"{name}.f32", self.song.sample_rate, self.song.channels, self.song.frames)

    def remainder(self, stems: tuple[str, ...]) -> Remainder:
        """The song without some stems; those of which nothing was found change nothing."""
        return Remainder(self.song, [self.track(id) for id in stems if self.result(id)])

    def _mixture(self, stem: Stem) -> _Watched:
        """What a stem is taken from."""
        return _Watched(self.remainder(stem.minus), self._watch)

    def key(self, session: Session, stem: Stem) -> str:
        """A digest of all that a stem's sound depends on, the weights too, and where it is cut at bars the tracker."""
        cut = any(other.grid != "none" for other in session.needed([stem]))
        weights = str(self.songs.separator.describe()["sha256"])[:12]
        return " ".join([session.key(stem), weights, *([self.songs.tracker] if cut else [])])

    def is_whole(self, stem: str) -> bool:
        """Whether a stem is found in the whole song, by whatever evidence."""
        known = self.result(stem)
        return known is not None and (known.kind, known.done) == ("whole", self.song.frames)

    def _is_done(self, session: Session, stem: Stem) -> bool:
        """Whether a stem is found in the whole song, as it is asked for now."""
        known = self.result(stem.id)
        return known is not None and self.is_whole(stem.id) and known.key == self.key(session, stem)

    def encoded(self, stem: Stem, item: Item) -> EncodedClip:
        """A mark or a clip, encoded. Raises BadAudio, BadQuery."""
        model = self.songs.separator
        if isinstance(item, Clip):
            path = self.clip_path(item)
            key = ("clip", item.digest, item.name, item.role)
            return self._once(key, lambda: encode(model, item.name, *audio.read(path), item.role))
        source, rate = self._mixture(stem), self.song.sample_rate
        span = (round(item.start * rate), round(item.stop * rate))
        name = f"the mark at {item.start:.1f} to {item.stop:.1f} s"
        place = ("mark", self._left(stem), span, item.role)
        return self._once(place, lambda: encode(model, name, read_passage(model, source, *span), rate, item.role))

    def beats(self, progress: Progress | None = None) -> Beats:
        """The song's beats, kept in `beats.json`; a second thread waits for those that the first one finds."""
        while not self._tracking.acquire(timeout=0.1):
            self._watch(0)
        try:
            return self._track_beats(progress)
        finally:
            self._tracking.release()

    def _track_beats(self, progress: Progress | None) -> Beats:
        path = self.folder / "beats.json"
        origin = beat_cache.fingerprint("", self.songs.tracker, self.songs.meters)
        seconds = self.song.frames / self.song.sample_rate
        self._beats = self._beats or beat_cache.load(path, origin, seconds)
        if self._beats is None:
            song = _Watched(self.song, self._watch)
            found = beats.track(song, tracker=self.songs.tracker, meters=self.songs.meters, progress=progress)
            files.write_json(path, beat_cache.to_json(found, origin), indent=None)
            # As they are kept, rounded: so that every later run has the same.
            self._beats = beat_cache.load(path, origin, seconds) or found
        return self._beats

    def preview(self, session: Session, stem: Stem, start: int, stop: int, progress: Progress | None = None) -> None:
        """Find a stem in a passage, quickly: without bars, and without the residual-estimation pass if it is not done.

        What was found in the whole song stays, and is heard if it has the passage.

        Raises BadAudio, BadQuery, OutputError.
        """
        key = self.key(session, stem)
        for name in (self._heard(stem.id), stem.id):
            known = self._result(name)
            if known and known.key == key and known.start <= start and stop <= known.done:
                if name == stem.id:
                    self._forget_preview(stem)
                return
        conditioning = self._conditioning(stem)
        conditioning = self._cache.get(self._residual_key(stem), conditioning) if stem.residual_pass else conditioning
        mixture = self._mixture(stem).read(start, stop)
        source = _Watched(audio.ArraySource(mixture, self.song.sample_rate), self._watch)
        blocks = self.songs.separator.stream(source, conditioning, progress)
        target = np.concatenate(list(blocks), axis=1)
        self._cleared(f"{stem.id}{PREVIEW}").write(start, target)
        powers = [float(np.square(x, dtype=np.float64).sum()) for x in (mixture, target)]
        level = 10 * np.log10(powers[1] / powers[0]) if min(powers) > 0 else None
        absent = powers[0] > 0 and (level is None or level < expectation.ABSENT_DB)
        warnings = [*([f"{ABSENT}, in the passage in view"] if absent else []), *self._remarks(stem)]
        self._put(f"{stem.id}{PREVIEW}", Result(key, "preview", stop, start, "", level, tuple(warnings)))

    def separate(self, session: Session, stem: Stem, progress: Progress | None = None) -> None:
        """Find a stem in the whole song, and before it those that it depends on, as far as that is not done.

        Raises BadAudio, BadQuery, OutputError.
        """
        needed = session.needed([stem])
        for other in needed:
            self._forget_preview(other)
        work = [other for other in needed if not self._is_done(session, other)]
        for number, other in enumerate(work):
            self._separate(session, other, part(progress, number / len(work), (number + 1) / len(work)))

    def _separate(self, session: Session, stem: Stem, progress: Progress | None) -> None:
        source = self._mixture(stem)
        conditioning = self._conditioning(stem)
        begin = 0.0
        if stem.residual_pass:
            begin = RESIDUAL_SHARE
            report_read = part(progress, 0, begin) or (lambda share: None)  # the pass does not say how far it is
            counted = _Watched(source, lambda frame: report_read(min(frame / source.frames, 1.0)))
            conditioning = self._once(
                self._residual_key(stem), lambda: self.songs.separator.add_residual(conditioning, counted)
            )
        known = None
        if stem.grid != "none":
            known = self.beats(part(progress, begin, begin + TRACKING_SHARE))
            begin += TRACKING_SHARE
        run = SongRun(self.songs, source, conditioning, stem.grid, False, known)
        key, known_part = self.key(session, stem), self.result(stem.id)
        done = known_part.done if known_part and (known_part.kind, known_part.key) == ("whole", key) else 0
        track = self._track(stem.id) if done else self._cleared(stem.id)
        run.resume(track.read, done)
        for target, _ in run.stems(part(progress, begin, 1.0), start=done):
            track.write(done, target)
            done += target.shape[1]
            self._put(stem.id, Result(key, "whole", done, 0, ""))
        settings = self.songs.settings(stem.grid, stem.residual_pass)
        content = report.of(run.monitor, settings, self.songs.separator.describe())
        warnings = [ABSENT if "does not seem to be in the song" in text else text for text in content["warnings"]]
        warnings += self._remarks(stem)
        self._put(stem.id, Result(key, "whole", done, 0, "", run.monitor.level_db, tuple(warnings), content))

    def _cleared(self, name: str) -> RawTrack:
        """A track, silent; before that its result is forgotten, so that a killed program leaves no wrong one."""
        self._forget(name)
        track = self._track(name)
        track.clear()
        return track

    def _forget_preview(self, stem: Stem) -> None:
        """Let what is found in the whole song be heard again. The preview's samples stay: they may be read just now."""
        self._forget(f"{stem.id}{PREVIEW}")
        self._changed()

    def _forget(self, name: str) -> None:
        (self.folder / f"{name}.json").unlink(missing_ok=True)
        self._results[name] = None

    def _conditioning(self, stem: Stem) -> Conditioning:
        """What the network keeps of a stem's evidence, as far as its weights know it. Raises BadAudio, BadQuery."""
        known = known_roles(self.songs)
        roles: dict[str, list[Any]] = {role: [] for role in ROLES}
        for item in stem.evidence:
            self._watch(0)
            if item.role in known:
                roles[item.role].append(self.encoded(stem, item).encoding)
        if not roles["alone"] and not roles["among"]:
            more = f"; {LEFT_OUT}" if self._remarks(stem) else ""
            raise BadQuery(f"mark where the instrument plays alone, or drop a clip of it{more}")
        return self.songs.separator.combine(ByRole(**roles))

    def _remarks(self, stem: Stem) -> list[str]:
        known = known_roles(self.songs)
        return [LEFT_OUT] if any(item.role not in known for item in stem.evidence) else []

    def _residual_key(self, stem: Stem) -> Hashable:
        said = [(m.role, m.start, m.stop) for m in stem.marks], [(c.role, c.digest) for c in stem.clips]
        return "residual", self._left(stem), json.dumps(said)

    def _left(self, stem: Stem) -> Hashable:
        """What the sound that a stem is taken from depends on."""
        known = (self.result(id) for id in stem.minus)
        return tuple(result.version for result in known if result)

    def _once(self, key: Hashable, compute: Callable[[], T]) -> T:
        if key not in self._cache:
            self._cache[key] = compute()
            if len(self._cache) > CACHED:
                self._cache.popitem(last=False)
        self._cache.move_to_end(key)
        found: T = self._cache[key]
        return found

    def _put(self, name: str, result: Result) -> None:
        result = replace(result, version=secrets.token_hex(4))
        self._results[name] = result
        files.write_json(self.folder / f"{name}.json", asdict(result), indent=None)
        self._changed()
