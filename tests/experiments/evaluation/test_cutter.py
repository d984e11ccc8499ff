from __future__ import annotations

import json
import struct
from pathlib import Path

import av
import numpy as np
import pytest

from fewshot_sep import audio
from fewshot_sep.errors import BadAudio, BadItems
from fewshot_sep.experiments.evaluation import cutter, items, stems
from fewshot_sep.experiments.evaluation.conditions import Sounds
from fewshot_sep.experiments.evaluation.cutter import Settings, cut

RATE = 8000
SHORT = Settings(seconds=2, per_song=2, clips=3, clip_s=2)


def noise(seed: int, seconds: float, channels: int = 1) -> np.ndarray:
    """Different at every moment, so that a passage can be found again."""
    return np.random.default_rng(seed).uniform(-0.2, 0.2, (channels, round(seconds * RATE))).astype(np.float32)


def album(folder: Path) -> dict[str, np.ndarray]:
    """Two songs in MUSDB's form, 14 s each; the drums of the second are silent in its second half."""
    sounds = {
        "One/bass.wav": noise(1, 14),
        "One/drums.wav": noise(2, 14, 2),
        "One/mixture.wav": noise(9, 14),
        "Two/bass.flac": noise(3, 14),
        "Two/drums.wav": noise(4, 14),
        "Two/Trumpet 1.wav": noise(5, 14),
    }
    sounds["Two/drums.wav"][:, 7 * RATE :] = 0
    for name, samples in sounds.items():
        audio.write(folder / name, samples, RATE)
    return sounds


def place(part: np.ndarray, whole: np.ndarray) -> int:
    """Where in `whole` the first channel of `part` is; it may have been scaled."""
    step = RATE // 10
    likeness = [
        np.corrcoef(part[0], whole[0, start : start + part.shape[1]] + 1e-6 * part[0, ::-1])[0, 1]
        for start in range(0, whole.shape[1] - part.shape[1] + 1, step)
    ]
    assert max(likeness) > 0.999
    return likeness.index(max(likeness)) * step


def test_items_of_an_album(tmp_path: Path) -> None:
    sounds = album(tmp_path / "album")
    made = cut(tmp_path / "album", tmp_path / "set", SHORT)
    assert made == items.read(tmp_path / "set")
    kinds = {(item.song, item.target, item.kind) for item in made}
    assert {("One", "bass", "same"), ("One", "drums", "cross"), ("Two", "trumpet", "same")} <= kinds
    assert {(song, target) for song, target, kind in kinds if kind == "absent"} == {("One", "trumpet")}
    originals = {"One": {"bass": "One/bass.wav", "drums": "One/drums.wav"}}
    originals["Two"] = {"bass": "Two/bass.flac", "drums": "Two/drums.wav", "trumpet": "Two/Trumpet 1.wav"}
    read = Sounds(tmp_path / "set")
    for item in made:
        case = read.case(item)
        parts = [*case.others, *([case.reference] if case.reference is not None else [])]
        assert case.mixture == pytest.approx(np.sum(parts, axis=0), abs=1e-5)
        if item.kind != "same":
            continue
        whole = sounds[originals[item.song][item.target]]
        assert case.reference is not None
        window = place(case.reference, whole)
        for name in item.material:
            query, rate = read.read(name)
            assert rate == RATE and abs(place(query, whole) - window) >= 2 * RATE
        if item.target == "drums" and item.song == "Two":
            assert window < 7 * RATE


def test_passages_with_and_without_the_target_are_of_the_song_and_lie_elsewhere(tmp_path: Path) -> None:
    sounds = {name: noise(seed, 20) for seed, name in enumerate(("bass", "drums", "piano"), 1)}
    sounds["bass"][:, 6 * RATE : 9 * RATE] = 0  # where it rests
    for name, samples in sounds.items():
        audio.write(tmp_path / "album/One" / f"{name}.wav", samples, RATE)
        audio.write(tmp_path / "album/Two" / f"{name}.wav", samples[:, ::-1], RATE)
    read = Sounds(tmp_path / "set")
    song = sum(sounds.values())
    seen = set()
    for item in cut(tmp_path / "album", tmp_path / "set", SHORT):
        assert (item.among is None) == (item.without is None) == (item.kind == "absent")
        if item.song != "One":
            continue
        seen.add((item.target, item.kind))
        others = song - sounds[item.target]
        case = read.case(item)
        ((among, _),), ((without, _),) = case.among, case.absent
        window, there, elsewhere = place(case.mixture, song), place(among, song), place(without, others)
        starts = sorted((window, there, elsewhere))
        assert np.diff(starts).min() >= 2 * RATE
        if item.target == "bass":
            assert elsewhere + RATE >= 6 * RATE and elsewhere + RATE <= 9 * RATE
    assert seen == {(name, kind) for name in sounds for kind in ("same", "cross")}


def test_the_same_settings_give_the_same_set_and_other_seeds_another(tmp_path: Path) -> None:
    album(tmp_path / "album")
    one, same, other = (
        cut(tmp_path / "album", tmp_path / name, SHORT._replace(seed=seed))
        for name, seed in (("one", 0), ("same", 0), ("other", 1))
    )
    assert one == same
    files = [(tmp_path / name / "audio/One.1.mix.flac").read_bytes() for name in ("one", "same", "other")]
    assert files[0] == files[1] != files[2]
    assert {item.kind for item in other} == {item.kind for item in one}


def test_a_loud_mixture_is_turned_down_with_its_stems(tmp_path: Path) -> None:
    for name in ("bass", "drums", "piano"):
        audio.write(tmp_path / "album/Loud" / f"{name}.wav", 4 * noise(len(name), 9), RATE)
    made = cut(tmp_path / "album", tmp_path / "set", SHORT)
    case = Sounds(tmp_path / "set").case(made[0])
    assert case.reference is not None and np.abs(case.mixture).max() <= 1
    assert case.mixture == pytest.approx(case.reference + sum(case.others), abs=1e-5)


def test_a_stem_without_a_name_is_not_asked_for_and_may_hide_anything(tmp_path: Path) -> None:
    album(tmp_path / "album")
    audio.write(tmp_path / "album/One/other.wav", noise(8, 14), RATE)
    made = cut(tmp_path / "album", tmp_path / "set", SHORT)
    assert not [item for item in made if item.target == "other"]
    assert not [item for item in made if item.kind == "absent"]
    assert all(item.sources == 3 for item in made if item.song == "One")


def test_folders_as_they_are_published(tmp_path: Path) -> None:
    for name in (
        "urmp/01_Jupiter_vn_vc/AuSep_1_vn_01_Jupiter.wav",
        "urmp/01_Jupiter_vn_vc/AuSep_2_vc_01_Jupiter.wav",
        "urmp/01_Jupiter_vn_vc/AuSep_3_vn_01_Jupiter.wav",
        "urmp/01_Jupiter_vn_vc/AuMix_01_Jupiter.wav",
        "fof/Song A/guitar.ogg",
        "fof/Song A/song.ogg",
        "fof/Song A/rhythm.ogg",
        "moises/5f-a/bass/1.wav",
        "moises/5f-a/drums/2.wav",
        "moises/5f-a/drums/3.wav",
        "moises/5f-a/other_keys/4.wav",
        "moises/5f-a/wind/5.wav",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    found = {song.name: {s.name: (s.instrument, len(s.parts)) for s in song.stems} for song in stems.find(tmp_path)}
    assert found["01_Jupiter_vn_vc"] == {"violin": ("violin", 2), "cello": ("cello", 1)}
    assert found["Song_A"]["guitar"] == ("guitar", 1) and found["Song_A"]["song"] == ("", 1)
    assert found["5f-a"]["drums"] == ("drums", 2) and set(found["5f-a"]) >= {"bass", "drums", "wind"}
    assert len(found) == 3


def test_files_of_one_stem_are_summed(tmp_path: Path) -> None:
    first, second = noise(1, 1), noise(2, 0.5, 2)
    audio.write(tmp_path / "a.wav", first, RATE)
    audio.write(tmp_path / "b.wav", second, RATE)
    total, rate = stems.Stem("drums", "drums", ((tmp_path / "a.wav", 0), (tmp_path / "b.wav", 0))).load()
    assert rate == RATE and total.shape == (2, RATE)
    assert np.allclose(total[:, : RATE // 2], first[:, : RATE // 2] + second) and np.allclose(
        total[1, RATE // 2 :], first[0, RATE // 2 :]
    )


def test_stem_mp4(tmp_path: Path) -> None:
    path = tmp_path / "Tune.stem.mp4"
    with av.open(str(path), "w") as file:
        streams = [file.add_stream("aac", 44100, layout="mono") for _ in range(5)]
        for number, stream in enumerate(streams, 1):
            sine = np.sin(2 * np.pi * 400 * number * np.arange(44100) / 44100)[None].astype(np.float32)
            frame = av.AudioFrame.from_ndarray(sine, "fltp", "mono")
            frame.sample_rate = 44100
            file.mux([*stream.encode(frame), *stream.encode()])
    assert [stem.name for stem in stems.find(tmp_path)[0].stems] == ["drums", "bass", "other", "vocals"]
    names = json.dumps(
        {"stems": [{"name": name} for name in ("Kick", "Flute", "Voice", "Oboe")]}, separators=(",", ":")
    ).encode()
    path.write_bytes(path.read_bytes() + struct.pack(">I", len(names) + 8) + b"stem" + names)
    (song,) = stems.find(tmp_path)
    assert [(song.name, stem.instrument) for stem in song.stems] == [
        ("Tune", "kick"),
        ("Tune", "flute"),
        ("Tune", "vocals"),
        ("Tune", "oboe"),
    ]
    for number, stem in enumerate(song.stems, 2):  # the first stream is the mixture
        samples, rate = stem.load()
        spectrum = np.abs(np.fft.rfft(samples[0, : rate // 2]))
        assert np.argmax(spectrum) * 2 == pytest.approx(400 * number, abs=4)
    with pytest.raises(BadAudio, match="number 5"):
        audio.read(path, stream=5)


def test_where_something_sounds() -> None:
    samples = np.concatenate([noise(0, 1), np.zeros((1, RATE), np.float32), 1e-3 * noise(1, 1)], axis=1)
    assert cutter.active(samples, RATE).tolist() == [True] * 10 + [False] * 20
    assert not cutter.active(np.zeros((1, RATE), np.float32), RATE).any()


def test_what_cannot_be_cut_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadItems, match="no such folder"):
        cut(tmp_path / "gone", tmp_path / "set")
    (tmp_path / "album").mkdir()
    with pytest.raises(BadItems, match="no songs with stems"):
        cut(tmp_path / "album", tmp_path / "set")
    album(tmp_path / "album")
    with pytest.raises(BadItems, match="fewer --seconds"):
        cut(tmp_path / "album", tmp_path / "set", SHORT._replace(seconds=30))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("")
    with pytest.raises(BadItems, match="not empty"):
        cut(tmp_path / "album", tmp_path / "full", SHORT)
