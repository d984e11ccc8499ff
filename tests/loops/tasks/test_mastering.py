import numpy as np
import pytest
import torch

from fewshot_sep.loops.tasks import mastering

RATE = 8000


@pytest.mark.parametrize("channels", [1, 2])
def test_sources_add_up_to_the_mixture_after_it(channels: int) -> None:
    torch.manual_seed(0)
    sources = torch.randn(2, 64, channels, RATE // 4) * 0.2
    drawn = mastering.draw(np.random.default_rng(0), 64)
    assert all(np.ptp(getattr(drawn, name)) > 0 for name in ("gain_db", "channels", "squash"))
    mixture, *parts = mastering.master(drawn, RATE, sources.sum(0), *sources)
    torch.testing.assert_close(sum(parts), mixture, atol=1e-4, rtol=0)
    assert mixture.abs().max() <= 1.0 and torch.isfinite(mixture).all()
    assert (mixture - sources.sum(0)).abs().amax((1, 2)).gt(0.01).sum() > 16  # something was done to many


def test_same_seed_same_mastering() -> None:
    one, other = (mastering.draw(np.random.default_rng(3), 5) for _ in range(2))
    assert np.array_equal(one.channels, other.channels) and np.array_equal(one.hz, other.hz)


def test_silence_stays_silence_and_a_low_pass_takes_the_highs() -> None:
    drawn = mastering.draw(np.random.default_rng(1), 4)
    assert not mastering.master(drawn, RATE, torch.zeros(4, 2, 999))[0].any()
    zeros = np.zeros(1, np.float32)
    low = mastering.Mastering(
        np.full((1, 3), 100, np.float32), np.zeros((1, 3), np.float32), np.full(1, 1000, np.float32),
        np.eye(2, dtype=np.float32)[None], zeros, zeros,
    )  # fmt: skip
    time = torch.arange(RATE) / RATE
    for hz, loud in ((200, True), (3000, False)):
        tone = 0.5 * torch.sin(2 * torch.pi * hz * time).expand(1, 2, -1)
        both = torch.stack([tone, torch.roll(tone, 1, -1)])
        ratio = mastering.master(low, RATE, 0.5 * tone + 0.5 * torch.sin(2 * torch.pi * 200 * time), tone, both[1])[1]
        assert (ratio.square().mean() > 0.01) == loud
