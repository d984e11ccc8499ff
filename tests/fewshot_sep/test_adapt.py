"""Adapting to query and song."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fewshot_sep import Separator
from fewshot_sep.adapt import FRAMES, PASSAGE_SECONDS, PASSAGES, Tasks, Tuning, adapt
from fewshot_sep.audio import ArraySource
from fewshot_sep.errors import FewshotSepError
from fewshot_sep.separator import Contrast
from fewshot_sep.systems import build

RATE = 44100


def tone(hertz: float, seconds: float, rate: int = RATE, channels: int = 1) -> np.ndarray:
    wave = 0.2 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)
    return np.repeat(wave[None], channels, 0).astype(np.float32)


QUERY = tone(220, 1)
SONG = tone(220, 2) + tone(3000, 2)


def separator(preset: str = "tiny") -> Separator:
    torch.manual_seed(0)
    return Separator(build(preset), "cpu")


def tuned(model: Separator, steps: int, seed: int = 0) -> Tuning:
    tuning = Tuning(model, SONG, model.condition([QUERY], RATE), [QUERY], RATE, seed)
    for _ in range(steps):
        tuning.step()
    return tuning


def test_it_learns_its_tasks_and_leaves_the_separator_alone() -> None:
    model = separator()
    before = {name: tensor.clone() for name, tensor in model.system.state_dict().items()}
    plain = model.separate(SONG, [QUERY], RATE).target
    np.testing.assert_allclose(model.estimate(SONG, tuned(model, 0).conditioning, RATE), plain, atol=1e-6)
    tuning = tuned(model, 25)
    first, last = tuning.ends()
    assert first is not None and last is not None and last < first
    assert np.abs(model.estimate(SONG, tuning.conditioning, RATE) - plain).max() > 1e-5
    np.testing.assert_allclose(model.separate(SONG, [QUERY], RATE).target, plain, atol=1e-6)
    changed = {
        name for name, tensor in tuning.conditioning.system.state_dict().items() if (tensor != before[name]).any()
    }
    assert changed and all(name.endswith("film.scale_and_shift.bias") for name in changed)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.system.state_dict().items())


def test_as_many_steps_from_the_same_seed_give_the_same() -> None:
    model = separator()
    a, b, c = (model.estimate(SONG, tuned(model, 2, seed).conditioning, RATE) for seed in (1, 1, 2))
    np.testing.assert_array_equal(a, b)
    assert np.abs(a - c).max() > 0


@pytest.mark.parametrize(("rate", "channels"), [(44100, 1), (16000, 2), (48000, 2)])
def test_any_rate_and_channels_and_several_queries(rate: int, channels: int) -> None:
    model = separator()
    song = tone(220, 1, rate, channels) + tone(3000, 1, rate, channels)
    queries = [tone(220, 0.5, rate)[0], (tone(440, 0.4, 22050, 2), 22050)]
    found = adapt(model, ArraySource(song, rate), model.condition(queries, rate), queries, seconds=0.05)
    assert found.steps > 0 and found.seconds >= 0.05
    assert set(found.facts()) == {"seconds", "steps", "loss before", "loss after"}
    target = model.estimate(song, found.conditioning, rate)
    assert target.shape == song.shape and np.isfinite(target).all()


def test_what_it_is_not_is_heard_by_the_network_as_it_was() -> None:
    model, other = separator(), tone(3000, 1)
    plain = model.condition([QUERY], RATE, [other])
    found = adapt(model, ArraySource(SONG, RATE), plain, [QUERY], seconds=0.05).conditioning
    assert isinstance(found, Contrast) and found.unlike is plain.unlike
    alone = model.estimate(SONG, found.like, RATE)
    assert np.sum(model.estimate(SONG, found, RATE) ** 2) < np.sum(alone**2)


def test_no_time_is_no_step_and_no_change() -> None:
    model = separator()
    found = adapt(model, ArraySource(SONG, RATE), model.condition([QUERY], RATE), [QUERY], seconds=0)
    assert (found.steps, found.loss_before, found.loss_after) == (0, None, None)
    plain = model.separate(SONG, [QUERY], RATE).target
    np.testing.assert_allclose(model.estimate(SONG, found.conditioning, RATE), plain, atol=1e-6)


def test_silence_stays_silence() -> None:
    model, silence = separator(), np.zeros((1, RATE), np.float32)
    found = adapt(model, ArraySource(silence, RATE), model.condition([QUERY], RATE), [QUERY], seconds=0.05)
    assert not model.estimate(silence, found.conditioning, RATE).any()
    assert np.isfinite(model.estimate(SONG, found.conditioning, RATE)).all()


def test_of_a_long_song_only_passages_are_read() -> None:
    rate, read = 8000, []

    class Long(ArraySource):
        def read(self, start: int, stop: int) -> np.ndarray:
            read.append((start, stop))
            return super().read(start, stop)

    model = separator()
    source = Long(tone(220, 60, rate), rate)
    adapt(model, source, model.condition([QUERY], RATE), [(QUERY, RATE)], seconds=0)
    assert len(read) == PASSAGES and all(stop - start == PASSAGE_SECONDS * rate for start, stop in read)
    assert read[0][0] == 0 and read[-1][1] == source.frames


def test_tasks_are_a_sounding_piece_of_the_query_over_the_first_estimate() -> None:
    song = torch.full((2, 3, 2 * FRAMES), 1 + 0j)
    estimate = torch.full_like(song, 0.25)
    query = torch.zeros(2, 3, 4 * FRAMES, dtype=song.dtype)
    query[..., FRAMES] = 5j
    tasks = Tasks(song, estimate, query, seed=0)
    targets, rests = (torch.cat(parts) for parts in zip(*(tasks.batch() for _ in range(50)), strict=True))
    assert (rests == 0.75).all()
    kept, added = targets.real.flatten(1).amax(1), targets.imag.flatten(1).amax(1)
    absent = kept == 0
    assert (kept[~absent] == 0.25).all() and (added[~absent] > 0).all() and (added[absent] == 0).all()
    assert 0.15 < absent.float().mean() < 0.45


def test_a_network_without_film_layers_is_refused() -> None:
    model = separator("tiny-image")
    with pytest.raises(FewshotSepError, match="tiny-image cannot be adapted"):
        adapt(model, ArraySource(SONG, RATE), model.condition([QUERY], RATE), [QUERY], seconds=1)
