from __future__ import annotations

import pytest
import torch

from fewshot_sep.experiments.flagship import onnx_network
from fewshot_sep.systems import MaskSystem, build


@pytest.mark.parametrize("preset", ["tiny", "tiny-informed"])
def test_the_graph_gives_what_the_network_gives_for_any_number_of_frames(preset: str) -> None:
    pytest.importorskip("onnx")
    torch.manual_seed(0)
    system = build(preset).eval()
    assert isinstance(system, MaskSystem)
    model = onnx_network.graph(system)
    with torch.inference_mode():
        conditioning = system.condition(torch.randn(1, 1, 20_000))
        for frames in (37, 100):
            energy = torch.rand(1, 2, system.preset.bands, frames)
            inputs = system.network_inputs(energy, conditioning)
            assert onnx_network.greatest_difference(model, system, inputs) < 1e-4
