from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from fewshot_sep import presets, weights
from fewshot_sep.errors import WeightsError
from fewshot_sep.experiments.flagship import variants
from fewshot_sep.experiments.flagship.variants import VARIANTS, Contrastive, LogMse, recorded
from fewshot_sep.loops.library import Row
from fewshot_sep.systems import MaskSystem
from fewshot_sep.unet import Film, FrequencyLinear, SteeredBlock

SAMPLES = presets.get("tiny").segment


def tones(*hertz: float) -> Tensor:
    """`(len(hertz), 1, samples)`."""
    time = torch.arange(SAMPLES) / 44100
    return 0.3 * torch.stack([torch.sin(2 * torch.pi * one * time) for one in hertz])[:, None]


def tasks() -> tuple[Tensor, Tensor, Tensor]:
    """Low tones are asked for among high ones; a low tone is the query."""
    target = tones(300, 350, 420, 510).expand(-1, 2, -1)
    return target + tones(3000, 3300, 3700, 4200).expand(-1, 2, -1), tones(320, 390, 450, 480), target


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_learns_and_comes_back_from_disk_the_same(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    system, batch = VARIANTS[name].build("tiny").train(), tasks()
    optimizer = torch.optim.Adam(system.parameters(), 3e-3)
    losses = []
    for _ in range(12):
        loss, _ = system.loss(*batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.9 * losses[0]
    weights.save(system.eval(), tmp_path / "w.safetensors", {"variant": name})
    again = variants.load(tmp_path / "w.safetensors")
    assert type(again) is type(system)
    mixture, queries, _ = batch
    with torch.inference_mode():
        estimates = [one(mixture, one.condition(queries)) for one in (system, again)]
    assert estimates[0].shape == mixture.shape
    torch.testing.assert_close(estimates[1], estimates[0], atol=5e-3, rtol=0)


def test_weights_of_no_variant_are_refused(tmp_path: Path) -> None:
    weights.save(VARIANTS["recipe"].build("tiny"), tmp_path / "w.safetensors", {})
    with pytest.raises(WeightsError, match="names no variant"):
        variants.load(tmp_path / "w.safetensors")


def test_the_concatenating_network_listens_to_its_query_and_takes_any_length() -> None:
    torch.manual_seed(0)
    system = VARIANTS["concat"].build("tiny").eval()
    mixture, queries, _ = tasks()
    with torch.inference_mode():
        one, other = (system(mixture, system.condition(q)) for q in (queries, tones(3000, 3300, 3700, 4200)))
        short, long = (system(x, system.condition(queries)) for x in (mixture[..., :20000], mixture.repeat(1, 1, 2)))
    assert not torch.equal(one, other)
    assert short.shape[-1] == 20000 and long.shape[-1] == 2 * SAMPLES


def test_what_a_variant_takes_out_of_the_network_is_out_of_it() -> None:
    whole, convolving, deepest = (VARIANTS[name].build("tiny") for name in ("recipe", "no-tdf", "film-deepest"))

    def kinds(system: MaskSystem, kind: type) -> int:
        return sum(isinstance(module, kind) for module in system.network.modules())

    assert kinds(whole, FrequencyLinear) > 0 == kinds(convolving, FrequencyLinear)
    assert kinds(whole, Film) == kinds(convolving, Film) > kinds(deepest, Film) > 0


def test_what_a_variant_adds_to_the_network_is_in_it() -> None:
    recipe, wider, deeper, finer = (VARIANTS[name].build("tiny") for name in ("recipe", "wider", "deeper", "finer"))

    def blocks(system: MaskSystem) -> list[SteeredBlock]:
        return [module for module in system.network.modules() if isinstance(module, SteeredBlock)]

    def bands(system: MaskSystem) -> list[int]:
        return [block.across.up.out_features for block in blocks(system)]

    assert [2 * block.first.out_channels for block in blocks(recipe)] == [b.first.out_channels for b in blocks(wider)]
    assert len(blocks(deeper)) == 2 * len(blocks(recipe))
    assert bands(finer) == [2 * rows for rows in bands(recipe)]


def test_the_losses_are_least_at_the_truth() -> None:
    mixture, _, target = tasks()
    for name in ("log-mse", "l1"):
        system = VARIANTS[name].build("tiny")
        true = system.truth(system.stft(mixture), system.stft(target))
        ideal = torch.logit((true.part / (true.whole + 1e-12)).sqrt().clamp(1e-4, 1 - 1e-4))
        at_truth, *others = (
            float(system.mask_loss(logits, true)[0]) for logits in (ideal, torch.zeros_like(ideal), -10 + 0 * ideal)
        )
        assert at_truth < 0.5 * min(others)
    silent = true._replace(part=torch.zeros_like(true.part))
    assert float(LogMse(presets.get("tiny")).mask_loss(torch.full_like(ideal, -30.0), silent)[0]) < 1e-6


def test_the_contrast_falls_when_queries_resemble_their_own_targets() -> None:
    torch.manual_seed(0)
    system = Contrastive(presets.get("tiny"))  # by the batch's statistics: an untrained encoder says the same of all
    mixture, _, target = tasks()
    own = target.mean(1, keepdim=True)
    with torch.no_grad():
        contrast = [float(system.loss(mixture, queries, target)[1]["contrast"]) for queries in (own, own.roll(1, 0))]
    assert contrast[0] < contrast[1]


def test_rows_with_beats_were_rendered() -> None:
    row = Row("a.flac", "piano", "piano", "evr", "CC0", 0, 0, "", "train")
    assert recorded(row)
    assert not recorded(Row("a.flac", "piano", "piano", "fluidr3", "MIT", 120, 16, "", "train"))
