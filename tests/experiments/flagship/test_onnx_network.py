from __future__ import annotations

import pytest
import torch

from fewshot_sep.experiments.flagship import onnx_network
from fewshot_sep.systems import MaskSystem, build
from fewshot_sep.systems.mask import NetworkInputs


@pytest.fixture(params=["tiny", "tiny-informed"])
def system(request: pytest.FixtureRequest) -> MaskSystem:
    torch.manual_seed(0)
    built = build(request.param).eval()
    assert isinstance(built, MaskSystem)
    return built


def inputs(system: MaskSystem, frames: int) -> NetworkInputs:
    with torch.inference_mode():
        conditioning = system.condition(torch.randn(1, 1, 20_000))
        return system.network_inputs(torch.rand(1, 2, system.preset.bands, frames), conditioning)


@torch.inference_mode()
def test_what_is_exported_is_the_network(system: MaskSystem) -> None:
    image, conditioning, extra = given = inputs(system, 20)
    plain = onnx_network.PlainNetwork(system.network)
    found = plain(image, conditioning.embedding, conditioning.profile, extra if system.extra_channels else None)
    assert found.equal(system.network(*given))


@pytest.mark.slow
def test_the_graph_gives_what_the_network_gives_for_any_number_of_frames(system: MaskSystem) -> None:
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(onnx_network.graph(system), providers=["CPUExecutionProvider"])
    wanted = {one.name for one in session.get_inputs()}
    for frames in (37, 100):
        image, conditioning, extra = given = inputs(system, frames)
        tensors = zip(onnx_network.INPUTS, (image, conditioning.embedding, conditioning.profile, extra), strict=True)
        found = session.run(None, {name: tensor.numpy() for name, tensor in tensors if name in wanted})[0]
        with torch.inference_mode():
            torch.testing.assert_close(torch.from_numpy(found), system.network(*given), atol=1e-4, rtol=0)
