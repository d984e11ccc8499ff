"""Averages of weights."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from fewshot_sep import weights
from fewshot_sep.experiments.flagship.average_weights import average_weights
from fewshot_sep.systems import build


def saved(path: Path, seed: int, preset: str = "tiny") -> Path:
    torch.manual_seed(seed)
    weights.save(build(preset), path, {"steps": seed, "evaluation": {"same": 1}})
    return path


def test_every_tensor_lies_between_and_the_card_says_so(tmp_path: Path) -> None:
    before, after = saved(tmp_path / "before.safetensors", 1), saved(tmp_path / "after.safetensors", 2)
    average_weights(before, after, tmp_path / "mixed.safetensors", 0.25)
    a, b, mixed = (weights.load(path).state_dict() for path in (before, after, tmp_path / "mixed.safetensors"))
    assert any((a[name] != b[name]).any() for name in a)
    for name, tensor in mixed.items():
        torch.testing.assert_close(tensor, (0.75 * a[name] + 0.25 * b[name]).to(tensor.dtype), atol=1e-3, rtol=1e-2)
    card = weights.card(tmp_path / "mixed.safetensors")
    assert card["steps"] == 2 and "evaluation" not in card
    assert card["average"] == {
        "share of this training's weights": 0.25,
        "before": weights.sha256(before),
        "after": weights.sha256(after),
    }


def test_what_only_one_has_is_taken_from_it(tmp_path: Path) -> None:
    before, after = saved(tmp_path / "before.safetensors", 1), saved(tmp_path / "after.safetensors", 2)
    tensors = load_file(before)
    kept = next(name for name, tensor in tensors.items() if tensor.is_floating_point())
    del tensors[kept]
    save_file(tensors, before)
    card = weights.card(before)
    before.with_suffix(".json").write_text(json.dumps({**card, "sha256": weights.sha256(before)}))
    average_weights(before, after, tmp_path / "mixed.safetensors", 0.25)
    mixed, own = (load_file(path) for path in (tmp_path / "mixed.safetensors", after))
    assert mixed[kept].equal(own[kept])
    assert any(not mixed[name].equal(own[name]) for name in tensors)


def test_weights_of_a_network_with_fewer_inputs_count_as_zero_for_the_others(tmp_path: Path) -> None:
    before, after = saved(tmp_path / "a.safetensors", 1), saved(tmp_path / "b.safetensors", 2, "tiny-informed")
    average_weights(before, after, tmp_path / "mixed.safetensors", 0.25)
    a, b, mixed = (
        weights.load(path).state_dict()["network.stem.weight"]
        for path in (before, after, tmp_path / "mixed.safetensors")
    )
    shared = a.shape[1]
    torch.testing.assert_close(mixed[:, :shared], 0.75 * a + 0.25 * b[:, :shared], atol=1e-3, rtol=1e-2)
    torch.testing.assert_close(mixed[:, shared:], 0.25 * b[:, shared:], atol=1e-3, rtol=1e-2)
