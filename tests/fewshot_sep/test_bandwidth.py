from __future__ import annotations

import numpy as np

from fewshot_sep.bandwidth import high_band_gain


def test_high_band_gain_follows_time_within_bounds() -> None:
    mixture = np.random.default_rng(0).standard_normal((2, 20_000)).astype(np.float32)
    target = mixture.copy()
    target[:, 10_000:] *= 0.25
    gain = high_band_gain(mixture, target, 43_537)
    assert gain.shape == (2, 43_537)
    np.testing.assert_allclose(gain[:, :19_000], 1, atol=0.01)
    np.testing.assert_allclose(gain[:, 24_000:], 0.25, atol=0.01)
    nothing = np.zeros_like(mixture)
    assert high_band_gain(mixture, 10 * mixture, 5000).max() == 1
    assert not high_band_gain(mixture, nothing, 5000).any()
    assert np.isfinite(high_band_gain(nothing, nothing, 5000)).all()
