from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from fewshot_sep import presets, systems
from fewshot_sep.informed import Informed, InformedSystem, Sound

PRESET = replace(presets.get("tiny-informed"), n_fft=1024, hop=256, bands=32, widths=(4, 6), features=5, segment=4096)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 0.1


def tone(hertz: float, *shape: int) -> Tensor:
    return 0.1 * torch.sin(2 * torch.pi * hertz / PRESET.sample_rate * torch.arange(shape[-1])).expand(shape)


def informed_system() -> InformedSystem:
    torch.manual_seed(0)
    system = InformedSystem(PRESET).eval()
    for module in system.modules():  # an untrained mask is 0.5 all over; make it depend on what comes in
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.5)
    return system


def told(system: InformedSystem, mixture: Tensor, query: Sound) -> Informed:
    return system.inform(query, *system.split(mixture, query))


@pytest.mark.parametrize("samples", [1024, 5000])
@pytest.mark.parametrize("clips", [1, 3])
def test_both_runs_keep_the_mixtures_shape_and_differ(samples: int, clips: int) -> None:
    system, mixture = informed_system(), noise(2, 2, samples)
    query = system.condition(noise(2, clips, 3000, seed=1))
    first = system(mixture, query)
    second = system(mixture, told(system, noise(2, 2, 6000, seed=2), query))
    assert first.shape == second.shape == mixture.shape
    assert (first - second).abs().max() > 1e-5


def test_a_new_system_begins_by_paying_no_heed_to_the_embeddings_of_the_context() -> None:
    torch.manual_seed(0)
    system = InformedSystem(PRESET).eval()
    query = system.condition(noise(1, 1, 3000))
    informed = told(system, noise(1, 2, 6000, seed=2), query)
    assert (system._embedding(query, informed) == query.embedding).all()


def test_what_a_run_finds_and_leaves_follows_the_mask() -> None:
    system, mixture = informed_system(), noise(1, 2, 5000)
    nn.init.constant_(system.network.sharpen[-1].weight, 0)
    nn.init.constant_(system.network.sharpen[-1].bias, 20)
    query = system.condition(noise(1, 1, 3000, seed=1))
    found, rest = system.split(mixture, query)
    torch.testing.assert_close(found, system.band_energy(system.stft(mixture)).mean(1, keepdim=True))
    assert rest.max() < 1e-6 * found.max()
    assert float(told(system, mixture, query).share) == pytest.approx(0, abs=1e-4)
    nn.init.constant_(system.network.sharpen[-1].bias, -20)
    assert float(told(system, mixture, query).share) == pytest.approx(-1)


@pytest.mark.parametrize("gain", [0.01, 30.0])
def test_the_gain_of_mixture_and_query_does_not_matter(gain: float) -> None:
    system, mixture, clip = informed_system(), noise(1, 2, 5000), noise(1, 2, 3000, seed=1)
    once, again = (
        system(level * mixture, told(system, level * mixture, system.condition(clip / level))) for level in (1.0, gain)
    )
    torch.testing.assert_close(again, gain * once, rtol=1e-2, atol=1e-3 * gain)


def test_templates_tell_which_part_of_a_mixture_sounds_like_the_query() -> None:
    seen: list[Tensor] = []

    class Seeing(nn.Module):
        def forward(self, image: Tensor, conditioning: object, *planes: Tensor) -> Tensor:
            seen.append(torch.cat(planes, dim=1))
            return torch.zeros_like(image)

    system = informed_system()
    system.network = Seeing()  # type: ignore[assignment]
    low, high = tone(700, 1, 2, 8000), tone(6000, 1, 2, 8000)
    query = system.condition(low[:, :1])
    system(low + high, query)
    low_band, high_band = (system.band_energy(system.stft(x)).mean((0, 1, 3)).argmax() for x in (low, high))
    like, nothing, unlike = seen[0][0, :3].mean(-1)
    assert like[low_band] > like[high_band] + 0.5
    assert unlike[high_band] > unlike[low_band]
    assert not nothing.any() and not seen[0][0, 3:].any()

    both = system.inform(query, *(system.band_energy(system.stft(x)).mean(1, keepdim=True) for x in (low, high)))
    system(low + high, both)
    assert seen[1].shape[1] == system.planes == InformedSystem.planes
    _, found, rest = seen[1][0, :3].mean(-1)
    assert found[low_band] > found[high_band] + 0.5
    assert rest[high_band] > rest[low_band] + 0.5


def test_several_clips_average_but_all_their_templates_are_kept() -> None:
    system = informed_system()
    one, other = (system.condition(noise(1, 1, 3000, seed=seed)) for seed in (1, 2))
    both = system.average([one, other])
    torch.testing.assert_close(both.embedding, (one.embedding + other.embedding) / 2)
    torch.testing.assert_close(both.profile, (one.profile + other.profile) / 2)
    assert (both.templates == torch.cat([one.templates, other.templates], dim=2)).all()
    assert system(noise(1, 2, 5000), both).shape == (1, 2, 5000)


def test_a_task_is_two_segments_and_the_second_is_told_of_the_first() -> None:
    system = informed_system()
    samples = system.task_segments * PRESET.segment
    mixture, query = noise(2, 2, samples), noise(2, 1, samples, seed=1)
    losses, logits = [], []
    system.mask_loss = lambda out, true: (logits.append(out) or out.mean(), {})  # type: ignore
    for first in (mixture, torch.cat([noise(2, 2, PRESET.segment, seed=5), mixture[..., PRESET.segment :]], dim=-1)):
        losses.append(system.loss(first, query, 0.5 * first)[0])
    changed = (logits[0] - logits[1]).abs().flatten(1).amax(1)
    assert len(logits[0]) == 4 and (changed > 1e-5).all()


def test_the_loss_reaches_every_parameter_and_reports_both_runs() -> None:
    system = informed_system().train()
    samples = system.task_segments * PRESET.segment
    mixture, target = noise(2, 2, samples), tone(900, 2, 2, samples).clone()
    target[1] = 0
    total, parts = system.loss(mixture + target, tone(900, 2, 1, samples), target)
    total.backward()
    untouched = [name for name, p in system.named_parameters() if p.grad is None]
    assert not untouched
    assert total.isfinite() and {"contrast", "crowd", "cross_entropy"} <= parts.keys()
    _, parts = system.eval().loss(mixture + target, tone(900, 2, 1, samples), target)
    assert {"si_sdri_db", "si_sdri_first_db"} <= parts.keys()
    assert all(value.isfinite() for value in parts.values())
    _, parts = system.loss(mixture, tone(900, 2, 1, samples), 0 * target)
    assert "si_sdri_db" not in parts and float(parts["contrast"]) == 0


def test_leftovers_do_not_enter_the_encoders_statistics() -> None:
    system = informed_system()
    query, energy = system.condition(noise(1, 1, 3000)), system.clip_energy(noise(1, 1, 5000, seed=3))
    system.train()
    before = [buffer.clone() for buffer in system.query_encoder.buffers()]
    system.inform(query, energy, energy)
    assert system.query_encoder.training
    assert all((a == b).all() for a, b in zip(before, system.query_encoder.buffers(), strict=True))


def test_profile_and_templates_are_taken_from_the_same_examples() -> None:
    full = Sound(torch.randn(400, 3), torch.randn(400, 2, 5), torch.rand(400, 5, 4))
    thinned = systems.without_profile(full, 0.2)
    gone = ~thinned.profile.flatten(1).any(1)
    assert 50 < gone.sum() < 110
    assert (gone == ~thinned.templates.flatten(1).any(1)).all()
    assert (thinned.templates[~gone] == full.templates[~gone]).all()


def test_it_learns() -> None:
    torch.manual_seed(0)
    system = InformedSystem(PRESET).train()
    samples = system.task_segments * PRESET.segment
    target, other = tone(900, 4, 2, samples), tone(5000, 4, 2, samples)
    optimizer = torch.optim.AdamW(system.parameters(), 1e-2)
    course = []
    for _ in range(30):
        optimizer.zero_grad()
        total, parts = system.loss(target + other, target[:, :1], target)
        total.backward()
        optimizer.step()
        course.append(float(parts["cross_entropy"].detach()))
    assert course[-1] < 0.5 * course[0]
