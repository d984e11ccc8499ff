from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from fewshot_sep import systems, weights
from fewshot_sep.errors import WeightsError


def trained(preset: str = "tiny", seed: int = 0) -> systems.AnySystem:
    """A system whose running statistics, too, are not those of a fresh one."""
    torch.manual_seed(seed)
    system = systems.build(preset).train()
    for number in range(3):
        wave = torch.randn(2, system.preset.channels, system.preset.segment) * (number + 1)
        system(wave, system.condition(torch.randn(2, 1, system.preset.segment)))
    if preset == "tiny-image":
        torch.nn.init.constant_(system.network.output.bias, 0.3)  # or all is clamped to zero
    return system.eval()


def rewrite_card(path: Path, **changes: object) -> None:
    card = path.with_suffix(".json")
    card.write_text(json.dumps({**json.loads(card.read_text()), "sha256": weights.sha256(path), **changes}))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "run" / "weights.safetensors"
    weights.save(trained(), path, {"steps": 7, "note": "né"})
    return path


@pytest.mark.parametrize("preset", ["tiny", "tiny-informed", "tiny-image"])
def test_what_is_saved_is_loaded_in_half_precision(preset: str, tmp_path: Path) -> None:
    system, path = trained(preset), tmp_path / "weights.safetensors"
    weights.save(system, path, {})
    loaded = weights.load(path)
    assert loaded.preset == system.preset
    assert not loaded.training
    there = system.state_dict()
    for name, value in loaded.state_dict().items():
        assert value.dtype == there[name].dtype
        torch.testing.assert_close(value, there[name], rtol=1e-3, atol=1e-6)
    mixture, query = torch.randn(1, system.preset.channels, 18_000) * 0.1, torch.randn(1, 1, 18_000)
    with torch.inference_mode():
        before, after = (s(mixture, s.condition(query)) for s in (system, loaded))
    assert before.abs().max() > 0
    assert (after - before).square().mean() < 1e-4 * before.square().mean()


def test_card_holds_the_facts(saved: Path) -> None:
    card = weights.card(saved)
    assert card["preset"] == "tiny"
    assert card["parameters"] == sum(p.numel() for p in systems.build("tiny").parameters())
    assert card["sha256"] == hashlib.sha256(saved.read_bytes()).hexdigest() == weights.verify(saved)
    assert (card["steps"], card["note"]) == (7, "né")
    assert sorted(path.name for path in saved.parent.iterdir()) == ["weights.json", "weights.safetensors"]
    tensors = load_file(saved)
    assert {value.dtype for value in tensors.values()} == {torch.float16, torch.int64}
    assert not [name for name in tensors if name.startswith("stft.") or name == "bands"], "the preset implies these"


def test_damage_is_named_with_both_hashes_and_the_cure(saved: Path) -> None:
    promised = weights.sha256(saved)
    damaged = bytearray(saved.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    saved.write_bytes(damaged)
    with pytest.raises(WeightsError) as error:
        weights.load(saved)
    message = str(error.value)
    for part in (str(saved), promised[:12], hashlib.sha256(damaged).hexdigest()[:12], "reinstall", "fetch"):
        assert part in message
    assert "\n" not in message


@pytest.mark.parametrize("content", [None, "", "{", "[1, 2]", "7", '"text"', "\xff"])
def test_missing_or_broken_card(saved: Path, content: str | None) -> None:
    card = saved.with_suffix(".json")
    card.unlink() if content is None else card.write_text(content, encoding="latin-1")
    with pytest.raises(WeightsError, match=r"weights\.json.*beside the weights"):
        weights.load(saved)


def test_missing_weights(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"nothing\.safetensors.*give the"):
        weights.load(tmp_path / "nothing.safetensors")
    with pytest.raises(WeightsError, match="fewshot-sep train"):
        weights.bundled("tiny")


@pytest.mark.parametrize(
    ("change", "says"),
    [({"preset": name}, r"does not know; it has .*tiny") for name in ("no-such-preset", "", None, ["tiny"])]
    + [({"preset": "tiny-image"}, "does not fit preset 'tiny-image'"), ({"sha256": None}, "damaged")],
)
def test_a_card_of_other_weights(saved: Path, change: dict[str, object], says: str) -> None:
    rewrite_card(saved, **change)
    with pytest.raises(WeightsError, match=says):
        weights.load(saved)


@pytest.mark.parametrize(
    "change",
    [
        lambda tensors: tensors.popitem(),
        lambda tensors: tensors.update(more=torch.zeros(1)),
        lambda tensors: tensors.update({"network.stem.bias": torch.zeros(1)}),
    ],
    ids=["one missing", "one too many", "another shape"],
)
def test_not_a_single_tensor_may_differ(saved: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = load_file(saved)
    change(tensors)
    save_file(tensors, saved)
    rewrite_card(saved)
    with pytest.raises(WeightsError, match="does not fit"):
        weights.load(saved)


class Bomb:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("protocol", ["pickle", "torch"])
def test_a_pickle_is_never_opened(saved: Path, protocol: str) -> None:
    crater = saved.with_name("crater")
    bomb = Bomb(crater)
    if protocol == "pickle":
        saved.write_bytes(pickle.dumps(bomb))
    else:
        torch.save(bomb, saved)
    rewrite_card(saved)
    with pytest.raises(WeightsError, match="not a safetensors file"):
        weights.load(saved)
    assert not crater.exists()
    pickle.loads(pickle.dumps(bomb))
    assert crater.exists(), "the bomb is a dud"


def test_a_failed_save_leaves_the_old_weights(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = saved.read_bytes()
    with pytest.raises(TypeError):
        weights.save(trained(seed=1), saved, {"not json": object()})
    assert saved.read_bytes() == before
    weights.load(saved)
    assert sorted(path.name for path in saved.parent.iterdir()) == ["weights.json", "weights.safetensors"]


def test_older_names_of_tensors_are_read(saved: Path) -> None:
    expected = weights.load(saved).state_dict()
    old = {name.replace("multi_source_detector.", "crowd_detector."): value for name, value in load_file(saved).items()}
    assert old.keys() != expected.keys()
    save_file(old, saved)
    rewrite_card(saved)
    for name, value in weights.load(saved).state_dict().items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=0)


def test_what_fits_is_taken_and_the_rest_is_named(saved: Path) -> None:
    other = trained(seed=1)
    stranger = torch.nn.Linear(3, 3)
    other.query_encoder.head.append(stranger)
    before = stranger.weight.clone()
    assert weights.load_what_fits(other, saved) == ["query_encoder.head.3.weight", "query_encoder.head.3.bias"]
    torch.testing.assert_close(stranger.weight, before)
    known = weights.load(saved).state_dict()
    for name, value in other.state_dict().items():
        if name in known:
            torch.testing.assert_close(value, known[name])


def test_a_network_with_more_inputs_begins_as_the_one_with_fewer(saved: Path) -> None:
    small, large = weights.load(saved), systems.build("tiny-informed").eval()
    assert not weights.load_what_fits(large, saved)
    mixture, query = torch.randn(1, 2, 40_000), torch.randn(1, 1, 40_000)
    with torch.inference_mode():
        expected = small(mixture, small.condition(query))
        torch.testing.assert_close(large(mixture, large.condition(query)), expected)
    with pytest.raises(WeightsError, match="nothing in it fits preset 'tiny-image'"):
        weights.load_what_fits(systems.build("tiny-image"), saved)
