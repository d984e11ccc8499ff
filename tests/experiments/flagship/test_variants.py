from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from fewshot_sep import presets, weights
from fewshot_sep.errors import WeightsError
from fewshot_sep.evidence import Evidence
from fewshot_sep.experiments.flagship import variants
from fewshot_sep.experiments.flagship.variants import VARIANTS, l1, log_mse, recorded
from fewshot_sep.experiments.kit import variants as driver
from fewshot_sep.loops.library import Row
from fewshot_sep.objectives import MaskLoss, true_mask
from fewshot_sep.systems import MaskSystem
from fewshot_sep.unet import Film, FrequencyLinear, SteeredBlock

SAMPLES = presets.get("tiny").segment
DISTINCT = {(variant.system, variant.objective): name for name, variant in reversed(VARIANTS.items())}
"""A variant for each pair of network and objective; the others differ in their material or their steps."""
QUICK = ("concat", "l1", "together")
"""One of each kind: another network, another loss, the objective of now."""


def tones(*hertz: float) -> Tensor:
    """`(len(hertz), 1, samples)`."""
    time = torch.arange(SAMPLES) / 44100
    return 0.3 * torch.stack([torch.sin(2 * torch.pi * one * time) for one in hertz])[:, None]


def tasks() -> tuple[Tensor, Tensor, Tensor]:
    """Low tones are the targets among high ones; a low tone is the query."""
    target = tones(300, 350, 420, 510).expand(-1, 2, -1)
    return target + tones(3000, 3300, 3700, 4200).expand(-1, 2, -1), tones(320, 390, 450, 480), target


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in DISTINCT.values()]
)
def test_every_network_learns_by_its_objective(name: str) -> None:
    torch.manual_seed(0)
    system, objective, batch = variants.build(name, "tiny").train(), VARIANTS[name].objective, tasks()
    optimizer = torch.optim.Adam(system.parameters(), 3e-3)
    losses = []
    for _ in range(12):
        loss = objective(system, batch[0], Evidence.of_alone(batch[1]), batch[2]).total
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.9 * losses[0]


def test_weights_of_no_variant_are_refused(tmp_path: Path) -> None:
    weights.save(variants.build("recipe", "tiny"), tmp_path / driver.WEIGHTS, {})
    with pytest.raises(WeightsError, match="names no variant"):
        variants.load(tmp_path / driver.WEIGHTS)


def test_the_concatenating_network_depends_on_its_query_and_takes_any_length() -> None:
    torch.manual_seed(0)
    system = variants.build("concat", "tiny").eval()
    mixture, queries, _ = tasks()
    with torch.inference_mode():
        one, other = (system(mixture, system.condition(q)) for q in (queries, tones(3000, 3300, 3700, 4200)))
        short, long = (system(x, system.condition(queries)) for x in (mixture[..., :20000], mixture.repeat(1, 1, 2)))
    assert not torch.equal(one, other)
    assert short.shape[-1] == 20000 and long.shape[-1] == 2 * SAMPLES


def test_what_a_variant_changes_in_the_network() -> None:
    names = ("recipe", "no-tdf", "film-deepest", "wider", "deeper", "finer")
    recipe, convolving, deepest, wider, deeper, finer = (variants.build(name, "tiny") for name in names)

    def count(system: MaskSystem, kind: type) -> int:
        return sum(isinstance(module, kind) for module in system.network.modules())

    def blocks(system: MaskSystem) -> list[SteeredBlock]:
        return [module for module in system.network.modules() if isinstance(module, SteeredBlock)]

    assert count(recipe, FrequencyLinear) > 0 == count(convolving, FrequencyLinear)
    assert count(recipe, Film) == count(convolving, Film) > count(deepest, Film) > 0
    assert [2 * block.first.out_channels for block in blocks(recipe)] == [b.first.out_channels for b in blocks(wider)]
    assert len(blocks(deeper)) == 2 * len(blocks(recipe))
    bands = [[block.across.up.out_features for block in blocks(system)] for system in (recipe, finer)]
    assert bands[1] == [2 * rows for rows in bands[0]]


@pytest.mark.parametrize("loss", [log_mse, l1])
def test_the_losses_are_least_at_the_truth(loss: MaskLoss) -> None:
    mixture, _, target = tasks()
    system = variants.build("recipe", "tiny")
    true = true_mask(system, system.stft(mixture), system.stft(target))
    ideal = torch.logit((true.target / (true.mixture + 1e-12)).sqrt().clamp(1e-4, 1 - 1e-4))
    at_truth, *others = (float(loss(system, logits, true).total) for logits in (ideal, 0 * ideal, 0 * ideal - 10))
    assert at_truth < 0.5 * min(others)
    silent = true_mask(system, system.stft(mixture), 0 * system.stft(target))
    assert float(loss(system, 0 * ideal - 30, silent).total) < 1e-6


def test_rows_with_beats_were_rendered() -> None:
    assert recorded(Row("a.flac", "piano", "piano", "evr", "CC0", 0, 0, "", "train"))
    assert not recorded(Row("a.flac", "piano", "piano", "fluidr3", "MIT", 120, 16, "", "train"))
