from __future__ import annotations

import copy
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from fewshot_sep import Separator
from fewshot_sep.experiments.flagship import onnx_network, runtimes
from fewshot_sep.experiments.speed import peers, run
from fewshot_sep.systems import MaskSystem, build
from fewshot_sep.unet import Conditioning

Way = Callable[[MaskSystem], nn.Module]


def tiny(name: str, seconds: float) -> peers.Rival:
    torch.manual_seed(0)
    return peers.ours(Separator(build(name), "cpu"), *run.song(seconds))


def mask_system(preset: str = "tiny") -> MaskSystem:
    system = build(preset).eval()
    assert isinstance(system, MaskSystem)
    return system


def test_calls_take_turns() -> None:
    order: list[str] = []
    times = run.interleaved({name: lambda name=name: order.append(name) for name in "abc"}, 2)
    assert order == list("abcabc")
    assert all(len(kept) == 2 for pair in times.values() for kept in pair)


def test_a_machine_that_slows_down_does_not_change_ratios() -> None:
    times = {"slow": ([2.0, 20.0, 200.0], [2.0, 2.0, 2.0]), "fast": ([1.0, 10.0, 100.0], [0.5, 0.5, 0.5])}
    assert run.faster(times, "fast", than="slow") == 2
    assert run.faster(times, "fast", "slow", 1) == 4


def test_a_song_is_repeated_to_its_length() -> None:
    (short, _, rate), (long, _, _) = run.song(10), run.song(40)
    assert short.shape == (2, 10 * rate) and long.shape == (2, 40 * rate)
    assert np.array_equal(long[:, 30 * rate :], short)


@pytest.mark.parametrize("preset", ["tiny", "tiny-informed", "tiny-image"])
def test_work_per_second_does_not_hang_on_the_length(preset: str) -> None:
    rows = [run.compare([tiny(preset, seconds)], seconds, 1)[0] for seconds in (4, 9)]
    assert rows[0]["multiply_adds_per_s"] == pytest.approx(rows[1]["multiply_adds_per_s"])
    assert rows[0]["multiply_adds_per_s"] > 0 and rows[0]["network_wall"] > 0
    assert rows[0]["network_times_first"] == rows[0]["whole_times_first"] == 1


def test_a_model_whose_package_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("openunmix", "demucs.apply"):
        monkeypatch.setitem(sys.modules, module, None)
    found, missing = run.entrants(4)
    assert [model.name for model in found] == ["informed", "illes2020"]
    assert [line.split()[0] for line in missing] == ["Open-Unmix", "HTDemucs"]
    assert all(run.INSTALL in line for line in missing)


@pytest.mark.parametrize("preset", ["tiny", "tiny-informed"])
@pytest.mark.parametrize("make", [runtimes.channels_last, runtimes.folded, runtimes.bfloat16])
def test_runtimes_give_the_same_and_leave_the_network_as_it_is(make: Way, preset: str) -> None:
    torch.manual_seed(0)
    system = mask_system(preset)
    for buffer in system.network.buffers():  # statistics of a training, so that there is something to fold
        if buffer.is_floating_point():
            buffer.uniform_(0.5, 2)
    before = copy.deepcopy(system.state_dict())
    image, conditioning = torch.randn(1, 2, 64, 37), Conditioning(torch.randn(1, 16), torch.randn(1, 2, 64))
    inputs = [image, conditioning, *([torch.randn(1, system.planes, 64, 37)] if system.planes else [])]
    with torch.inference_mode():
        wanted, found = system.network(*inputs), make(system)(*inputs)
    assert torch.allclose(found.float(), wanted, atol=0.2 if make is runtimes.bfloat16 else 1e-5)
    assert all(torch.equal(before[name], value) for name, value in system.state_dict().items())


def test_the_report_keeps_both_parts(tmp_path: Path) -> None:
    facts = {"system": "here", "torch": "2", "cores": 2, "seconds": 4, "rounds": 1, "missing": ["X is left out"]}
    models = [tiny("tiny", 4), tiny("tiny-image", 4)]
    run.write(tmp_path, "models", {**facts, "threads": 2, "rows": run.compare(models, 4, 1)})
    ways = {"PyTorch": lambda system: system.network, "channels last": runtimes.channels_last}
    rows, missing = run.compare_runtimes(Separator(build("tiny"), "cpu"), 4, 1, 2, ways)
    assert not missing and rows[0]["network_faster"] == 1 and rows[1]["greatest_difference"] < 1e-4
    run.write(tmp_path, "runtimes", {**facts, "rows": rows})
    text = (tmp_path / "speed.md").read_text()
    assert all(line in text for line in ("| tiny-image |", "| 2 | channels last |", "X is left out."))
    assert set(json.loads((tmp_path / "speed.json").read_text())) == {"models", "runtimes"}
    assert (tmp_path / "speed.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize("preset", ["tiny", "tiny-informed"])
def test_the_network_in_onnx_runtime_gives_the_same_for_any_number_of_frames(preset: str) -> None:
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package)
    torch.manual_seed(0)
    system = build(preset).eval()
    assert isinstance(system, MaskSystem)
    other = onnx_network.OnnxNetwork(onnx_network.exported(system))
    with torch.inference_mode():
        heard = system.condition(torch.randn(1, 1, 30000))
        for frames in (40, 63):
            inputs = system.inputs(torch.rand(1, 2, system.preset.bands, frames), heard)
            torch.testing.assert_close(other(*inputs), system.network(*inputs), atol=1e-4, rtol=1e-4)
