"""Each row of the test library is a steady tone at a whole frequency of its own: one transform tells what sounds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from fewshot_sep import audio, weights
from fewshot_sep.errors import BadLibrary
from fewshot_sep.loops import library
from fewshot_sep.loops.library import Library, Row
from fewshot_sep.loops.tasks.mixing import PLAIN, AudioPool, MixingOptions, TaskMixer, Tasks
from fewshot_sep.loops.tasks.train import train

RATE = 8000
BARE = MixingOptions(same_recording=0, all_but_one=0, equalise=0, room=0, band_limit=0, shift_semitones=0)
FAMILIES = {
    **dict.fromkeys(("drums", "snare", "kick"), "drums"),
    **dict.fromkeys(("piano", "organ"), "keys"),
    **dict.fromkeys(("flute", "oboe"), "winds"),
    "tuba": "brass",
}
INSTRUMENTS = list(FAMILIES)
ROWS = 4


def frequency(instrument: str, number: int) -> int:
    return 300 + 400 * INSTRUMENTS.index(instrument) + 20 * number


def tone(hertz: float, seconds: float, rate: int = RATE) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)).astype(np.float32)[None]


def shelve(folder: Path, rate: int = RATE, seconds: float = 2.0) -> Library:
    """Four rows for each instrument, two from each of two makers; rows 0 and 1 belong to songs of all instruments."""
    rows = []
    for instrument, family in FAMILIES.items():
        split = "unseen" if instrument == "tuba" else "train"
        for number in range(ROWS):
            path = f"{instrument}/{number}.wav"
            (folder / instrument).mkdir(parents=True, exist_ok=True)
            audio.write(folder / path, tone(frequency(instrument, number), seconds, rate), rate)
            song = f"song-{number}" if number < 2 else ""
            rows.append(Row(path, instrument, family, f"maker-{number % 2}", "CC0", 120, 4, song, split))
    return library.write(folder, rows)


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Library:
    return shelve(tmp_path_factory.mktemp("tones"))


@pytest.fixture(scope="module")
def pool(tones: Library) -> AudioPool:
    return AudioPool(tones, "train", RATE)


@pytest.fixture(scope="module")
def melodic(tones: Library) -> AudioPool:
    """Any two of its instruments go together."""
    return AudioPool(Library(tones.folder, tuple(row for row in tones if row.family != "drums")), "train", RATE)


def mixer(pool: AudioPool, options: MixingOptions = BARE, batch: int = 8, channels: int = 2, **more: int) -> TaskMixer:
    return TaskMixer(pool, batch, RATE, channels, options, **more)


class Heard(NamedTuple):
    """One task by ear: rows as (instrument, number)."""

    mixture: set[tuple[str, int]]
    target: set[tuple[str, int]]
    queries: list[set[tuple[str, int]]]


def rows_in(wave: torch.Tensor) -> set[tuple[str, int]]:
    """Rows whose tone is within 60 dB of the loudest; one second of `(..., samples)`, so that bins are Hz.

    The first channel tells all: another one may be late, and so begin in silence.
    """
    magnitude = np.abs(np.fft.rfft(wave.numpy().reshape(-1, RATE)[0]))
    if magnitude.max() < 1e-3:
        return set()
    bins = {frequency(instrument, number): (instrument, number) for instrument in INSTRUMENTS for number in range(ROWS)}
    loud = np.flatnonzero(magnitude > 1e-3 * magnitude.max())
    assert set(loud) <= set(bins), "something sounds that is in no row"
    return {bins[hertz] for hertz in loud}


def listen(tasks: Tasks) -> Iterator[Heard]:
    for mixture, queries, target in zip(*tasks, strict=True):
        yield Heard(rows_in(mixture), rows_in(target), [rows_in(query) for query in queries])


def drawn(mixer: TaskMixer, batches: int = 20) -> list[Heard]:
    return [heard for tasks in islice(mixer, batches) for heard in listen(tasks)]


def names(rows: set[tuple[str, int]]) -> set[str]:
    return {instrument for instrument, _ in rows}


def is_whole_kit_beside_part(instruments: set[str]) -> bool:
    return "drums" in instruments and bool(instruments & {"snare", "kick"})


# --- the stream


def test_shapes(pool: AudioPool) -> None:
    tasks = mixer(pool, replace(MixingOptions(), clips=3), batch=5).draw(0)
    assert tasks.mixture.shape == tasks.target.shape == (5, 2, RATE)
    assert tasks.queries.shape == (5, 3, RATE)
    assert all(tensor.dtype == torch.float32 and tensor.isfinite().all() for tensor in tasks)
    mono = mixer(pool, channels=1, batch=3).draw(0)
    assert mono.mixture.shape == mono.target.shape == (3, 1, RATE)


@pytest.mark.parametrize("options", [MixingOptions(), PLAIN], ids=["usual", "plain"])
def test_same_seed_same_tasks(pool: AudioPool, options: MixingOptions) -> None:
    one, two = (list(islice(mixer(pool, options, seed=7), 3)) for _ in range(2))
    for tasks, same in zip(one, two, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(tasks, same, strict=True))
    other = mixer(pool, options, seed=8).draw(0)
    assert not torch.equal(one[0].mixture, other.mixture)
    assert not torch.equal(one[0].mixture, one[1].mixture)


def test_a_batch_depends_on_its_number_alone(pool: AudioPool) -> None:
    options = MixingOptions()
    third = list(islice(mixer(pool, options), 4))[3]
    for tasks in (mixer(pool, options).draw(3), next(iter(mixer(pool, options, first=3)))):
        assert all(torch.equal(a, b) for a, b in zip(tasks, third, strict=True))


def test_peaks_stay_below_full_scale_and_vary(pool: AudioPool) -> None:
    peaks = torch.cat([tasks.mixture.abs().amax(dim=(1, 2)) for tasks in islice(mixer(pool, MixingOptions()), 10)])
    assert peaks.min() > 0.099
    assert peaks.max() <= 1
    assert peaks.std() > 0.1


# --- what is in a task


def test_mixture_holds_the_target_and_others(melodic: AudioPool) -> None:
    found = drawn(mixer(melodic, replace(BARE, absent=0, sources=(2, 4))))
    for heard in found:
        assert len(heard.target) == 1
        assert heard.target < heard.mixture
        assert 2 <= len(heard.mixture) <= 4
        assert len(names(heard.mixture)) == len(heard.mixture), "an instrument sounds twice"
    assert {len(heard.mixture) for heard in found} == {2, 3, 4}
    assert set.union(*(names(heard.target) for heard in found)) == set(melodic.instruments)


@pytest.mark.parametrize("options", [replace(MixingOptions(), absent=0), PLAIN], ids=["usual", "plain"])
def test_rest_is_what_the_target_leaves(pool: AudioPool, options: MixingOptions) -> None:
    """The target is exactly a part of the mixture: take it away, and its tone is gone."""
    options = replace(options, shift_semitones=0, band_limit=1.0, room=0)
    for tasks in islice(mixer(pool, options), 4):
        for mixture, target in zip(tasks.mixture, tasks.target, strict=True):
            tone, rest = (np.abs(np.fft.rfft(wave.numpy())).sum(0) for wave in (target, mixture - target))
            assert rest[tone.argmax()] < 0.02 * tone.max()


def test_target_is_silent_where_the_instrument_is_absent(melodic: AudioPool) -> None:
    for tasks in islice(mixer(melodic, replace(BARE, absent=1.0, sources=(2, 3))), 10):
        assert not tasks.target.any()
        for heard in listen(tasks):
            assert len(heard.mixture) >= 2
            assert not names(heard.queries[0]) & names(heard.mixture)


def test_half_of_the_absent_are_relatives(pool: AudioPool) -> None:
    found = drawn(mixer(pool, replace(BARE, absent=1.0, sources=(2, 2), coherent=0, same_family_interferer=0)), 30)
    near = [{FAMILIES[n] for n in names(h.queries[0])} & {FAMILIES[n] for n in names(h.mixture)} for h in found]
    assert 0.4 < np.mean([bool(families) for families in near]) < 0.9


def test_absent_in_about_the_share_asked_for(pool: AudioPool) -> None:
    silent = [not heard.target for heard in drawn(mixer(pool, replace(BARE, absent=0.25)), 40)]
    assert 0.17 < np.mean(silent) < 0.33


def test_query_is_another_row_of_the_targets_instrument(pool: AudioPool) -> None:
    for heard in drawn(mixer(pool, replace(BARE, absent=0, clips=2))):
        for query in heard.queries:
            assert names(query) == names(heard.target)
            assert not query & heard.mixture


@pytest.mark.parametrize(("cross", "same_maker"), [(0.0, 1.0), (1.0, 0.0)])
def test_query_comes_from_the_same_or_another_maker(pool: AudioPool, cross: float, same_maker: float) -> None:
    found = drawn(mixer(pool, replace(BARE, absent=0, cross=cross)), 10)
    makers = [(next(iter(heard.target))[1] % 2, next(iter(heard.queries[0]))[1] % 2) for heard in found]
    assert np.mean([target == query for target, query in makers]) == same_maker


def test_a_relative_asks_only_where_no_other_of_the_family_plays(
    melodic: AudioPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fewshot_sep.loops.tasks.mixing.RELATED", {"keys"})
    lonely = []
    for heard in drawn(mixer(melodic, replace(BARE, absent=0, same_family_query=1.0)), 20):
        target, asked = names(heard.target), names(heard.queries[0])
        keys = {"piano", "organ"}
        alone = target <= keys and len(names(heard.mixture) & keys) == 1
        assert asked == (keys - target if alone else target)
        lonely.append(alone)
    assert True in lonely and False in lonely


@pytest.mark.parametrize("coherent", [0.0, 1.0])
def test_a_query_of_the_same_take_is_the_targets_own_row(melodic: AudioPool, coherent: float) -> None:
    options = replace(BARE, absent=0, same_recording=1.0, coherent=coherent, shift_semitones=3.0, clips=2)
    for tasks in islice(mixer(melodic, options), 5):
        for queries, target in zip(tasks.queries, tasks.target, strict=True):
            pitches = [np.abs(np.fft.rfft(wave.numpy())).argmax() for wave in (target[0], *queries)]
            assert len(set(pitches)) == 1, "the same row, at the same pitch"


def test_the_rest_is_asked_for_by_the_rest(melodic: AudioPool) -> None:
    for heard in drawn(mixer(melodic, replace(BARE, absent=0, all_but_one=1.0, sources=(2, 4)))):
        assert heard.queries[0] == heard.target
        assert len(heard.mixture - heard.target) == 1


def test_takes_and_rests_in_about_the_shares_asked_for(melodic: AudioPool) -> None:
    found = drawn(mixer(melodic, replace(BARE, absent=0.5, same_recording=0.4, all_but_one=0.2, sources=(3, 3))), 40)
    present = [heard for heard in found if heard.target]
    assert 0.4 < len(present) / len(found) < 0.6, "absent ones are not among them"
    assert 0.1 < np.mean([len(heard.target) == 2 for heard in present]) < 0.3
    assert 0.3 < np.mean([len(heard.target) == 1 and heard.queries[0] == heard.target for heard in present]) < 0.5


def test_another_passage_lies_apart_where_the_row_is_long_enough(tmp_path: Path) -> None:
    """Every row of this library sweeps upward: its pitch tells the place."""
    rows = []
    for instrument in ("flute", "piano"):
        for number in range(2):
            path = f"{instrument}-{number}.wav"
            sweep = np.sin(2 * np.pi * np.cumsum(np.linspace(200, 1000, 5 * RATE)) / RATE)
            audio.write(tmp_path / path, sweep[None].astype(np.float32) * 0.5, RATE)
            rows.append(Row(path, instrument, "", "maker", "CC0", 120, 4, "", "train"))
    sound = AudioPool(library.write(tmp_path, rows), "train", RATE)
    options = replace(BARE, absent=0, same_recording=1.0, sources=(2, 2))
    for tasks in islice(mixer(sound, options), 5):
        for query, target in zip(tasks.queries[:, 0], tasks.target[:, 0], strict=True):
            begins = [np.abs(np.fft.rfft(wave.numpy()[:800])).argmax() * 10 for wave in (query, target)]
            assert abs(begins[0] - begins[1]) > 120  # Hz; a second apart is 160


@pytest.mark.parametrize("effect", ["equalise", "room"])
def test_another_passage_is_in_the_mixtures_state(melodic: AudioPool, effect: str) -> None:
    """Equaliser and room change how loud one tone is beside another: in the query as in the target."""
    options = replace(BARE, absent=0, all_but_one=1.0, sources=(3, 3), gain_db=0.0, **{effect: 1.0})
    ratios = []
    for tasks in islice(mixer(melodic, options, channels=1), 4):
        for waves in zip(tasks.queries[:, 0], tasks.target[:, 0], strict=True):
            spectra = np.abs([np.fft.rfft(wave.numpy() * np.hanning(RATE)) for wave in waves])
            first = spectra[1].argmax()
            second = np.where(abs(np.arange(len(spectra[1])) - first) > 5, spectra[1], 0).argmax()
            ratios.append(spectra[:, second] / spectra[:, first])
    asked, wanted = np.array(ratios).T
    np.testing.assert_allclose(asked, wanted, rtol=0.1)
    assert wanted.min() < 0.9, "or nothing was changed"


def test_live_instruments_leave_other_passages_alone(melodic: AudioPool) -> None:
    for heard in drawn(mixer(melodic, replace(BARE, live=1.0, absent=0, same_recording=1.0)), 3):
        assert heard.queries[0] == heard.target


def test_live_instruments_are_in_no_row(melodic: AudioPool) -> None:
    options = replace(BARE, live=1.0, absent=0.5, clips=2)
    known = {frequency(instrument, number) for instrument in INSTRUMENTS for number in range(ROWS)}

    def loud(wave: torch.Tensor) -> set[int]:
        magnitude = np.abs(np.fft.rfft(wave.numpy().reshape(-1, RATE)[0]))
        return set(np.flatnonzero(magnitude > 0.02 * magnitude.max()).tolist()) if magnitude.max() > 1e-3 else set()

    silent = 0
    for tasks in islice(mixer(melodic, options), 4):
        for mixture, queries, target in zip(*tasks, strict=True):
            assert all(loud(query) - known for query in queries)
            silent += not target.any()
            if target.any():
                assert loud(target[target.square().sum(1).argmax()]) - known
            else:
                assert not loud(mixture) - known
    assert 5 < silent < 27


def test_unseen_rows_are_never_heard(pool: AudioPool) -> None:
    assert all(row.split == "train" for row in pool.rows)
    for heard in drawn(mixer(pool)):
        assert "tuba" not in names(heard.mixture | set.union(*heard.queries))


@pytest.mark.parametrize("coherent", [0.0, 1.0], ids=["of random rows", "of rows of one song"])
def test_a_part_of_a_kit_never_sounds_beside_the_whole(pool: AudioPool, coherent: float) -> None:
    found = drawn(mixer(pool, replace(BARE, absent=0, coherent=coherent)), 40)
    assert any("drums" in names(heard.mixture) for heard in found)
    assert any("snare" in names(heard.mixture) for heard in found)
    assert not any(is_whole_kit_beside_part(names(heard.mixture)) for heard in found)


def test_the_snare_is_not_absent_where_there_are_drums(pool: AudioPool) -> None:
    for heard in drawn(mixer(pool, replace(BARE, absent=1.0, coherent=0)), 40):
        assert not is_whole_kit_beside_part(names(heard.mixture) | names(heard.queries[0]))


def test_drums_in_a_small_library_do_not_stand_alone(pool: AudioPool) -> None:
    assert min(len(heard.mixture) for heard in drawn(mixer(pool, replace(BARE, coherent=0, absent=0)), 40)) > 1


def test_hard_mixtures_hold_two_of_a_family(melodic: AudioPool) -> None:
    def shares(hard: float) -> float:
        found = drawn(mixer(melodic, replace(options, same_family_interferer=hard)), 20)
        return float(np.mean([len({FAMILIES[name] for name in names(heard.mixture)}) == 1 for heard in found]))

    options = replace(BARE, coherent=0, absent=0, sources=(2, 2))
    assert shares(0.9) > shares(0.0) + 0.2


def test_emphasis_draws_an_instrument_more_often(pool: AudioPool) -> None:
    def share(**emphasis: float) -> float:
        options = replace(BARE, absent=0, coherent=0, emphasis=tuple(emphasis.items()))
        return float(np.mean(["flute" in names(heard.target) for heard in drawn(mixer(pool, options), 25)]))

    assert share() == pytest.approx(1 / 7, abs=0.08)
    assert share(flute=8.0) == pytest.approx(8 / 14, abs=0.12)
    assert share(winds=8.0) == pytest.approx(8 / 21, abs=0.12)


def test_emphasis_draws_songs_that_hold_it_more_often(tones: Library) -> None:
    rows = [row for row in tones if not (row.song == "song-1" and row.instrument == "flute")]
    pool = AudioPool(Library(tones.folder, tuple(rows)), "train", RATE)

    def share(**emphasis: float) -> float:
        options = replace(BARE, absent=0, coherent=1.0, emphasis=tuple(emphasis.items()))
        return float(np.mean([next(iter(heard.target))[1] == 0 for heard in drawn(mixer(pool, options), 25)]))

    assert share() == pytest.approx(1 / 2, abs=0.12)
    assert share(flute=8.0) == pytest.approx(8 / 9, abs=0.08)


class Log(list[tuple[int, int, float]]):
    """What was read of the pool: row, start, ratio."""


@pytest.fixture
def log(pool: AudioPool, monkeypatch: pytest.MonkeyPatch) -> Log:
    entries, piece = Log(), pool.piece

    def read(row: int, start: int, ratio: float, samples: int) -> torch.Tensor:
        entries.append((row, start, ratio))
        return piece(row, start, ratio, samples)

    monkeypatch.setattr(pool, "piece", read)
    return entries


def test_coherent_mixtures_are_one_song_at_one_place(pool: AudioPool, log: Log) -> None:
    stream = mixer(pool, replace(BARE, coherent=1.0, shift_semitones=2.0), batch=1)
    places = set()
    for index in range(30):
        log.clear()
        stream.draw(index)
        *sources, _ = log
        assert len(sources) > 1
        assert len({pool.rows[row].song for row, _, _ in sources}) == 1
        assert len({(start, ratio) for _, start, ratio in sources}) == 1
        places.add(sources[0][1:])
    assert len(places) > 20


def test_random_mixtures_are_not(pool: AudioPool, log: Log) -> None:
    stream = mixer(pool, replace(BARE, coherent=0, shift_semitones=2.0), batch=1)
    starts = []
    for index in range(30):
        log.clear()
        stream.draw(index)
        starts.append(len({(start, ratio) for _, start, ratio in log}) > 1)
    assert np.mean(starts) > 0.9


def test_shifts_stay_in_range(pool: AudioPool, log: Log) -> None:
    mixer(pool, replace(BARE, shift_semitones=2.0), batch=64).draw(0)
    ratios = np.array([ratio for _, _, ratio in log])
    semitones = 12 * np.log2(ratios)
    assert np.abs(semitones).max() <= 2
    assert semitones.min() < -1 < 1 < semitones.max()
    assert 0.3 < np.mean(ratios == 1) < 0.7


# --- the pool


def test_bank_resamples_and_mixes_down(tmp_path: Path) -> None:
    rows = []
    for name in ("piano", "flute"):
        for number in range(2):
            stereo = np.concatenate([tone(500, 1, 16_000), np.zeros((1, 16_000), np.float32)])
            audio.write(tmp_path / f"{name}{number}.wav", stereo, 16_000)
            rows.append(Row(f"{name}{number}.wav", name, name, "x", "CC0", 0, 0, "", "train"))
    pool = AudioPool(library.write(tmp_path, rows), "train", RATE)
    assert pool.lengths == [RATE] * 4
    middle = slice(500, -500)
    np.testing.assert_allclose(pool.piece(1, 0, 1.0, RATE)[middle], tone(500, 1)[0, middle] / 2, atol=1e-3)


@pytest.mark.parametrize("ratio", [0.9, 1.0, 1.12])
def test_a_piece_is_shifted_by_its_ratio_and_ends_in_silence(pool: AudioPool, ratio: float) -> None:
    row = next(index for index, row in enumerate(pool.rows) if row.path == "piano/0.wav")
    sound = pool.piece(row, 1000, ratio, RATE)
    assert sound.shape == (RATE,)
    hertz = np.abs(np.fft.rfft(sound.numpy() * np.hanning(RATE))).argmax()
    assert hertz == pytest.approx(frequency("piano", 0) * ratio, abs=1.5)
    late = pool.piece(row, pool.lengths[row] - 100, ratio, RATE)
    assert late[: int(80 / ratio)].abs().max() > 0.4
    assert not late[int(110 / ratio) :].any()


def test_drawing_starts_where_something_sounds(tmp_path: Path) -> None:
    rows = []
    for name in ("piano", "flute"):
        for number in range(2):
            sound = np.concatenate(
                [np.zeros((1, 10 * RATE), np.float32), tone(700, 1), np.zeros((1, 10 * RATE), np.float32)], 1
            )
            audio.write(tmp_path / f"{name}{number}.wav", sound, RATE)
            rows.append(Row(f"{name}{number}.wav", name, name, "x", "CC0", 0, 0, "", "train"))
    pool = AudioPool(library.write(tmp_path, rows), "train", RATE)
    for tasks in islice(mixer(pool, replace(BARE, absent=0)), 5):
        assert (tasks.target.abs().amax(dim=(1, 2)) > 0.01).all()
        assert (tasks.queries.abs().amax(dim=(1, 2)) > 0.01).all()


@pytest.mark.parametrize("keep", ["one instrument", "one row each", "another split"])
def test_too_little_to_draw_from(tones: Library, keep: str) -> None:
    rows = {
        "one instrument": [row for row in tones if row.instrument == "piano"],
        "one row each": [row for row in tones if row.path.endswith("/0.wav")],
        "another split": [replace(row, split="valid") for row in tones],
    }[keep]
    with pytest.raises(BadLibrary, match="two instruments with two loops each"):
        AudioPool(Library(tones.folder, tuple(rows)), "train", RATE)


def test_a_small_library_of_drums_only_is_no_endless_loop(tones: Library) -> None:
    rows = tuple(row for row in tones if row.family == "drums")
    pool = AudioPool(Library(tones.folder, rows), "train", RATE)
    found = drawn(mixer(pool, replace(BARE, coherent=0, absent=0)), 10)
    assert not any(is_whole_kit_beside_part(names(heard.mixture)) for heard in found)


# --- augmentations


def test_band_limit_cuts_above_and_leaves_below() -> None:
    class Silence:
        rows: tuple[Row, ...] = ()
        instruments = songs = ()
        by_instrument: dict[str, list[int]] = {}  # noqa: RUF012
        sample_rate, device = 45_000, torch.device("cpu")

    samples = 45_000  # of an even spectrum: a bin is a Hz
    cutter = TaskMixer(Silence(), 8, samples, 1, replace(BARE, band_limit=1.0))  # type: ignore[arg-type]
    assert cutter.fft_size == samples
    waves = torch.randn(2, 8, 1, samples, generator=torch.Generator().manual_seed(0))
    cut = cutter._limit_band(waves, cutter._limits(np.random.default_rng(0)))
    before, after = (np.abs(np.fft.rfft(w.numpy())) for w in (waves, cut))
    np.testing.assert_allclose(after[..., :3400], before[..., :3400], atol=1e-2)
    assert after[..., 16_100:].max() < 1e-2
    edges = [int(np.flatnonzero(part > 0.1)[-1]) for part in after[:, :, 0].reshape(-1, samples // 2 + 1)]
    assert edges[:8] == edges[8:], "mixture and target lose the same"
    assert len(set(edges)) > 4
    assert 3400 < min(edges) < max(edges) < 16_100


def test_band_limit_spares_the_others(pool: AudioPool) -> None:
    waves = torch.randn(1, 200, 1, 500)
    stream = TaskMixer(pool, 200, 500, 1, replace(BARE, band_limit=0.3))
    untouched = [
        torch.equal(a, b)
        for a, b in zip(stream._limit_band(waves, stream._limits(np.random.default_rng(0)))[0], waves[0], strict=True)
    ]
    assert 0.55 < np.mean(untouched) < 0.85


@pytest.mark.parametrize("take", [0.0, 1.0])
def test_band_limit_takes_the_same_of_mixture_and_target_but_not_of_a_query_from_elsewhere(
    tmp_path: Path, take: float
) -> None:
    random, rows = np.random.default_rng(0), []
    for name in ("piano", "flute"):
        for number in range(2):
            audio.write(tmp_path / f"{name}{number}.wav", random.uniform(-0.5, 0.5, (1, 22_050)), 44_100)
            rows.append(Row(f"{name}{number}.wav", name, name, "x", "CC0", 0, 0, "", "train"))
    pool = AudioPool(library.write(tmp_path, rows), "train", 44_100)
    tasks = TaskMixer(pool, 16, 20_000, 2, replace(BARE, absent=0, band_limit=1.0, same_recording=take)).draw(0)
    edges = [
        [np.flatnonzero(spectrum > 1e-3 * spectrum.max())[-1] * 44_100 / 20_000 for spectrum in spectra]
        for spectra in (np.abs(np.fft.rfft(wave[:, 0].numpy())) for wave in tasks)
    ]
    mixture, query, target = np.array(edges)
    np.testing.assert_allclose(mixture, target, atol=10)
    assert 3400 < mixture.min() < mixture.max() < 16_200
    assert 3400 < query.min() < query.max() < 16_200
    apart = (np.abs(mixture - query) > 100).sum()
    assert apart == 0 if take else apart > 8


@pytest.mark.parametrize("name", ["equalise", "room"])
def test_augmentations_change_the_sound_but_not_what_is_drawn(pool: AudioPool, name: str) -> None:
    plain, changed = (mixer(pool, replace(BARE, **{name: share}, coherent=0)).draw(0) for share in (0.0, 1.0))
    assert not torch.allclose(plain.mixture, changed.mixture)
    loudest = [
        [np.abs(np.fft.rfft(query.numpy())).argmax() for query in tasks.queries[:, 0]] for tasks in (plain, changed)
    ]
    assert loudest[0] == loudest[1]


# --- the whole way


@pytest.fixture(scope="module")
def loud_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shelve(tmp_path_factory.mktemp("loud"), rate=22_050, seconds=1.0).folder


def run(folder: Path, output: Path, preset: str, steps: int, **more: Any) -> Path:
    options = {"steps": steps, "check_every": 2, "warm_up": 1, "seed": 3, "device": "cpu", **more}
    return train(folder, output, preset=preset, batch=2, emphasis=(("piano", 2.0),), options=options)


@pytest.mark.parametrize("preset", ["tiny", "tiny-informed", "tiny-image"])
def test_from_a_library_to_weights(loud_library: Path, tmp_path: Path, preset: str) -> None:
    path = run(loud_library, tmp_path, preset, steps=2)
    assert path == tmp_path / "weights.safetensors"
    assert weights.load(path).preset.name == preset
    card = weights.card(path)
    assert (card["preset"], card["steps"], card["examples"], card["seed"]) == (preset, 2, 4, 3)
    assert card["optimizer"] == ("adamw" if preset == "tiny-image" else "muon")
    assert card["data"]["files"] == ROWS * (len(INSTRUMENTS) - 1)
    assert card["data"]["instruments"] == len(INSTRUMENTS) - 1
    assert card["data"]["files_by_licence"] == {"CC0": card["data"]["files"]}
    assert "tuba" in card["data"]["held_out"]
    for part in (f"--preset {preset}", "--steps 2", "--batch 2", "--seed 3"):
        assert part in card["command"]
    assert str(tmp_path) not in json.dumps(card)
    assert (tmp_path / "curve.png").is_file()
    assert list(tmp_path.glob("log/*/metrics.csv"))


def test_training_goes_on_where_it_was(loud_library: Path, tmp_path: Path) -> None:
    first = weights.card(run(loud_library, tmp_path, "tiny", steps=2))
    checkpoint = torch.load(tmp_path / "checkpoints" / "last.ckpt", map_location="cpu", weights_only=False)
    assert (checkpoint["global_step"], round(checkpoint["seconds"] / 3600, 2)) == (2, first["hours"])
    seconds = checkpoint["seconds"]
    second = weights.card(run(loud_library, tmp_path, "tiny", steps=4))
    assert (first["steps"], second["steps"]) == (2, 4)
    assert first["sha256"] != second["sha256"]
    assert weights.verify(tmp_path / "weights.safetensors") == second["sha256"]
    checkpoint = torch.load(tmp_path / "checkpoints" / "last.ckpt", map_location="cpu", weights_only=False)
    assert checkpoint["global_step"] == 4
    assert checkpoint["seconds"] > seconds


def test_two_processes_learn_twice_as_many_examples(loud_library: Path, tmp_path: Path) -> None:
    card = weights.card(run(loud_library, tmp_path, "tiny", steps=2, processes=2))
    assert (card["steps"], card["examples"]) == (2, 8)
    assert "--batch 2" in card["command"]
    assert "--processes 2" in card["command"]


def test_a_library_that_is_too_small_writes_nothing(tones: Library, tmp_path: Path) -> None:
    small = tmp_path / "small"
    (small / "piano").mkdir(parents=True)
    rows = [row for row in tones if row.path == "piano/0.wav"]
    (small / rows[0].path).write_bytes(tones.file(rows[0]).read_bytes())
    library.write(small, rows)
    with pytest.raises(BadLibrary, match="two instruments"):
        run(small, tmp_path / "run", "tiny", steps=2)
    assert not (tmp_path / "run").exists()


# --- sources apart


@pytest.mark.parametrize("options", [MixingOptions(absent=0.5), PLAIN], ids=["usual", "plain"])
def test_a_batch_apart_is_the_same_batch_and_its_sources_sum_to_it(pool: AudioPool, options: MixingOptions) -> None:
    for index in range(3):
        apart, whole = mixer(pool, options).draw_apart(index), mixer(pool, options).draw(index)
        assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(apart.tasks, whole, strict=True))
        assert torch.allclose(apart.sources.sum(1), whole.mixture, atol=1e-5)


def test_sources_apart_are_called_what_sounds(pool: AudioPool) -> None:
    absent = 0
    for index in range(10):
        apart = mixer(pool, replace(BARE, absent=0.3)).draw_apart(index)
        for task, target in enumerate(apart.tasks.target):
            heard = [names(rows_in(source)) for source in apart.sources[task]]
            count = len(apart.instruments[task])
            assert heard[:count] == [{name} for name in apart.instruments[task]]
            assert not any(heard[count:])
            queried = names(rows_in(apart.tasks.queries[task]))
            if target.any():
                assert apart.asked[task] == apart.instruments[task][0]
            else:
                assert {apart.asked[task]} == queried and apart.asked[task] not in apart.instruments[task]
                absent += 1
    assert absent > 5
