from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fewshot_sep import systems as packaged
from fewshot_sep.evidence import Evidence
from fewshot_sep.experiments.seeds import systems
from fewshot_sep.experiments.seeds.exp_wave_u_net import WaveUNet
from fewshot_sep.experiments.seeds.label_twin import LabelTwin
from fewshot_sep.experiments.seeds.settings import Labelling
from fewshot_sep.experiments.seeds.waveform import Network, WaveformObjective, WaveformSystem
from fewshot_sep.experiments.seeds.wavenet import WaveNet

Distance = Callable[[Tensor, Tensor], Tensor]
SMALL = {
    "exp-wave-u-net": lambda: WaveUNet(3, False, width=2, levels=3),
    "cexp-wave-u-net": lambda: WaveUNet(3, True, width=2, levels=3),
    "wavenet": lambda: WaveNet(3, channels=4, stacks=2, depth=4),
}
LABELLING: dict[str, Labelling] = dict.fromkeys(SMALL, "one") | {
    "exp-wave-u-net": "all",
    "cexp-wave-u-net": "alternating",
}


def small(name: str) -> Network:
    torch.manual_seed(0)
    return SMALL[name]()


def one_hot(label: int, batch: int = 1, labels: int = 3) -> Tensor:
    return nn.functional.one_hot(torch.full((batch,), label), labels).float()


# --- all of them


@pytest.mark.parametrize("name", SMALL)
def test_lengths_are_what_goes_in_and_comes_out(name: str) -> None:
    network = small(name)
    for samples in (1, 2, 77, 1000, 1001, 4096):
        lengths = network.lengths(samples)
        out = network(torch.randn(2, 1, lengths.input), one_hot(1, batch=2))
        assert out.shape[-1] == lengths.output >= samples
        assert network.lengths(lengths.output) == lengths, "the shortest"


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("samples", [1, 999, 5000])
def test_system_keeps_any_length_and_level(name: str, samples: int) -> None:
    system = WaveformSystem(small(name), LABELLING[name]).eval()
    mixture, conditioning = torch.randn(2, 1, samples), system.condition(one_hot(2, batch=2))
    out = system(mixture, conditioning)
    assert out.shape == mixture.shape
    assert torch.allclose(system(100 * mixture, conditioning), 100 * out, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize(("distance", "expected"), [(F.mse_loss, 0.09), (F.l1_loss, 0.3)])
@pytest.mark.parametrize("name", SMALL)
def test_objective_is_the_distance_to_the_middle_of_the_target(name: str, distance: Distance, expected: float) -> None:
    system = WaveformSystem(small(name), LABELLING[name]).eval()
    lengths = system.network.lengths(3000)
    mixture = torch.randn(2, 1, lengths.input)
    level = mixture.square().mean(dim=(1, 2), keepdim=True).sqrt() / system.network.level
    out = system.network(mixture / level, one_hot(0, batch=2))
    context = (lengths.input - lengths.output) // 2
    target = F.pad((out + 0.3) * level, (context, context), value=99)
    loss = WaveformObjective(distance)(system, mixture, Evidence.of_alone(one_hot(0, batch=2)), target)
    assert loss.total.item() == pytest.approx(expected, rel=1e-3)
    assert "si_sdri_db" in loss.parts


@pytest.mark.parametrize(("name", "shift"), [("exp-wave-u-net", 2**3), ("cexp-wave-u-net", 2**3), ("wavenet", 1)])
def test_nothing_is_invented_at_the_ends(name: str, shift: int) -> None:
    """A part of the wave alone gives the same part of the output; zeros for padding would show at its ends."""
    network = small(name)
    whole, part = network.lengths(900), network.lengths(500)
    wave = torch.randn(1, 1, whole.input)
    start = 5 * shift
    inside = network(wave, one_hot(0))[..., start : start + part.output]
    assert torch.allclose(network(wave[..., start : start + part.input], one_hot(0)), inside, atol=1e-5)


# --- Wave-U-Nets


def test_only_the_conditioned_wave_u_net_depends_on_the_labels() -> None:
    lengths = small("exp-wave-u-net").lengths(500)
    wave = torch.randn(1, 1, lengths.input)
    several = torch.tensor([[1.0, 0.0, 1.0]])
    for name, differs in (("exp-wave-u-net", False), ("cexp-wave-u-net", True)):
        network = small(name)
        outputs = [network(wave, labels) for labels in (one_hot(0), one_hot(1), several, torch.zeros(1, 3))]
        assert all(out.shape == (1, 3, lengths.output) and out.abs().max() <= 1 for out in outputs)
        assert all(torch.equal(outputs[0], out) != differs for out in outputs[1:])


def test_labels_multiply_the_bottleneck() -> None:
    """Without a label nothing of the bottleneck is left: its weights do not matter."""
    network = small("cexp-wave-u-net")
    wave = torch.randn(1, 1, network.lengths(500).input)
    queried, silent = (network(wave, labels) for labels in (one_hot(1), torch.zeros(1, 3)))
    with torch.no_grad():
        network.get_submodule("bottleneck").weight.mul_(2)  # type: ignore[operator, union-attr]
    assert torch.equal(network(wave, torch.zeros(1, 3)), silent)
    assert not torch.allclose(network(wave, one_hot(1)), queried)


@pytest.mark.slow
def test_absent_instruments_are_learnt_as_silence() -> None:
    """Two tones; the one that sounds decides which output does."""
    torch.manual_seed(0)
    system = WaveformSystem(WaveUNet(2, False, width=6, levels=2), "all")
    time = torch.arange(system.network.lengths(300).input) / 16000
    tones = [0.14 * torch.sin(2 * torch.pi * hertz * time) for hertz in (300, 2500)]
    target = torch.stack([torch.stack([tones[0], 0 * time]), torch.stack([0 * time, tones[1]])])
    mixture = target.sum(1, keepdim=True)
    optimiser = torch.optim.Adam(system.parameters(), 1e-2)
    for _ in range(60):
        optimiser.zero_grad()
        WaveformObjective(F.mse_loss)(system, mixture, Evidence.of_alone(torch.ones(2, 2)), target).total.backward()
        optimiser.step()
    energy = system.network(mixture, torch.ones(2, 2)).square().mean(-1)
    absent, present = energy.flip(1).diagonal(), energy.diagonal()
    assert (absent < 0.1 * present).all()


# --- WaveNet


def test_wavenet_sees_its_receptive_field_and_no_more_on_both_sides() -> None:
    network = small("wavenet").double()
    field = network.receptive_field
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
    assert network.receptive_field == 6139 + 6  # 6139 in Rethage et al., who count the dilated layers alone


def test_wavenet_depends_on_the_label() -> None:
    network = small("wavenet")
    wave = torch.randn(1, 1, network.lengths(20).input)
    assert not torch.allclose(network(wave, one_hot(0)), network(wave, one_hot(1)))


# --- label twin


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
    objective = systems.RECIPES["label-twin"].objective
    objective(twin, mixture, Evidence.of_alone(one_hot(1, batch=2, labels=5)), 0.5 * mixture).total.backward()
    gradient = twin.query_encoder.weight.grad
    assert gradient[1].any() and not gradient[[0, 2, 3, 4]].any()
    twin.eval()
    one, two = (twin(mixture, twin.condition(one_hot(n, batch=2, labels=5))) for n in (1, 2))
    assert one.shape == mixture.shape
    assert not torch.allclose(one, two)
