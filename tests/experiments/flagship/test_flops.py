from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from fewshot_sep import presets
from fewshot_sep.errors import FewshotSepError
from fewshot_sep.experiments.flagship import flops


def test_a_training_step_of_a_convolution_is_forward_and_two_gradients() -> None:
    layer, x = nn.Conv2d(3, 8, 3, padding=1), torch.randn(2, 3, 16, 20, requires_grad=True)
    forward = 2 * (3 * 8 * 3 * 3) * (2 * 16 * 20)
    assert flops.count(lambda: layer(x)) == forward
    assert flops.count(lambda: layer(x).sum().backward()) == 3 * forward


@pytest.mark.parametrize("grown", [False, True])
def test_recurrent_layers_are_counted(grown: bool) -> None:
    layer = nn.LSTM(8, 4, num_layers=3, bidirectional=True).eval()
    weights = sum(parameter.numel() for name, parameter in layer.named_parameters() if name.startswith("weight"))
    with torch.set_grad_enabled(grown):
        assert flops.count(lambda: layer(torch.randn(10, 2, 8))) == 2 * 10 * 2 * weights


def test_more_queries_cost_more() -> None:
    preset = presets.get("tiny")
    one, two = flops.of_training(preset), flops.of_training(preset, clips=2)
    assert 0 < one < two < 2 * one


def test_speed_is_read_from_the_logs_of_all_sessions(tmp_path: Path) -> None:
    for version, lines in enumerate((["49,100,0.5,", "60,,,1.0", "99,300,0.1,"], ["149,200,0.2,"])):
        log = tmp_path / "log" / f"version_{version}" / "metrics.csv"
        log.parent.mkdir(parents=True)
        log.write_text("\n".join(["step,speed/examples_per_s,speed/waiting_for_data,train/loss", *lines]))
    assert flops.reached(tmp_path, 5e9) == (200.0, 0.2, 1.0)


def test_a_folder_without_a_log_is_named(tmp_path: Path) -> None:
    with pytest.raises(FewshotSepError, match=str(tmp_path)):
        flops.reached(tmp_path, 1.0)
