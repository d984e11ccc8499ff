from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from fewshot_sep import systems as packaged
from fewshot_sep.evidence import Evidence
from fewshot_sep.experiments.seeds import methods
from fewshot_sep.experiments.seeds.label_twin import LabelTwin
from fewshot_sep.experiments.seeds.wavenet import WaveNet, WaveNetObjective, WaveNetSystem, rms


@pytest.fixture
def network() -> WaveNet:
    torch.manual_seed(0)
    return WaveNet(3, channels=4, stacks=2, depth=4)


def one_hot(label: int, batch: int = 1, labels: int = 3) -> Tensor:
    return nn.functional.one_hot(torch.full((batch,), label), labels).float()


@pytest.mark.parametrize("samples", [1, 999, 5000])
def test_system_keeps_any_length_and_level(network: WaveNet, samples: int) -> None:
    system, labels = WaveNetSystem(network).eval(), one_hot(2, batch=2)
    mixture = torch.randn(2, 1, samples)
    out = system(mixture, labels)
    assert out.shape == mixture.shape
    assert torch.allclose(system(100 * mixture, labels), 100 * out, rtol=1e-2, atol=1e-3)


def test_objective_is_the_distance_to_the_middle_of_the_target(network: WaveNet) -> None:
    system = WaveNetSystem(network).eval()
    mixture = torch.randn(2, 1, system.task_samples(3000))
    level, context = rms(mixture), network.context // 2
    out = network(mixture / level, one_hot(0, batch=2))
    target = nn.functional.pad((out + 0.3) * level, (context, context), value=99)
    loss = WaveNetObjective()(system, mixture, Evidence.of_alone(one_hot(0, batch=2)), target)
    assert loss.total.item() == pytest.approx(0.3, rel=1e-3)
    assert "si_sdri_db" in loss.parts


def test_wavenet_sees_its_context_and_no_more_on_both_sides(network: WaveNet) -> None:
    network = network.double()
    field = network.context + 1
    assert field == 1 + 2 * (2 * (1 + 2 + 4 + 8) + 3)
    wave, label = torch.randn(1, 1, field + 10, dtype=torch.float64), one_hot(0).double()
    before = network(wave, label)
    assert before.shape == (1, 1, 11)
    for place, changes in ((4, False), (5, True), (5 + field // 2 + 1, True), (4 + field, True), (5 + field, False)):
        other = wave.clone()
        other[..., place] += 10
        assert (network(other, label)[0, 0, 5] != before[0, 0, 5]) == changes


def test_default_wavenet_is_as_deep_as_that_of_rethage() -> None:
    network = WaveNet(3)
    assert len(network.blocks) == 30
    assert network.context + 1 == 6139 + 6  # 6139 in Rethage et al., who count the dilated layers alone


def test_wavenet_depends_on_the_label(network: WaveNet) -> None:
    wave = torch.randn(1, 1, network.context + 20)
    assert not torch.allclose(network(wave, one_hot(0)), network(wave, one_hot(1)))


def test_label_twin_is_the_default_without_its_query_encoder() -> None:
    twin, model = LabelTwin(5, "tiny"), packaged.build("tiny")
    assert {n: p.shape for n, p in twin.network.named_parameters()} == {
        n: p.shape for n, p in model.network.named_parameters()
    }
    assert [n for n, _ in twin.named_parameters() if not n.startswith("network.")] == ["query_encoder.weight"]


def test_label_twin_depends_on_the_label_and_learns_it() -> None:
    torch.manual_seed(0)
    twin = LabelTwin(5, "tiny")
    mixture = torch.randn(2, 2, 62 * 512)
    objective = methods.RECIPES["label-twin"].objective
    objective(twin, mixture, Evidence.of_alone(one_hot(1, batch=2, labels=5)), 0.5 * mixture).total.backward()
    gradient = twin.query_encoder.weight.grad
    assert gradient[1].any() and not gradient[[0, 2, 3, 4]].any()
    twin.eval()
    one, two = (twin(mixture, twin.condition(one_hot(n, batch=2, labels=5))) for n in (1, 2))
    assert one.shape == mixture.shape
    assert not torch.allclose(one, two)
