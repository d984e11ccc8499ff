from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics.functional.audio import scale_invariant_signal_distortion_ratio, signal_noise_ratio

from fewshot_sep import metrics

RNG = np.random.default_rng(0)
SIGNAL = RNG.standard_normal((2, 8000)) + 0.1


@pytest.mark.parametrize("noise", [1e-3, 0.1, 1.0, 3.0])
@pytest.mark.parametrize("scale", [-1.0, 0.2, 5.0])
def test_si_sdr_is_torchmetrics(noise: float, scale: float) -> None:
    estimate = scale * (SIGNAL + noise * RNG.standard_normal(SIGNAL.shape)) + 0.3
    expected = scale_invariant_signal_distortion_ratio(
        torch.from_numpy(estimate.mean(0)), torch.from_numpy(SIGNAL.mean(0)), zero_mean=True
    )
    assert metrics.si_sdr(SIGNAL, estimate) == pytest.approx(float(expected), abs=1e-3)
    assert metrics.si_sdr(SIGNAL.mean(0), estimate.mean(0)) == pytest.approx(float(expected), abs=1e-3)


@pytest.mark.parametrize("noise", [1e-3, 0.1, 1.0, 3.0])
def test_sdr_is_torchmetrics_over_all_channels(noise: float) -> None:
    estimate = SIGNAL + noise * RNG.standard_normal(SIGNAL.shape)
    expected = signal_noise_ratio(torch.from_numpy(estimate.ravel()), torch.from_numpy(SIGNAL.ravel()))
    assert metrics.sdr(SIGNAL, estimate) == pytest.approx(float(expected), abs=1e-3)


@pytest.mark.parametrize("estimate", [np.zeros_like(SIGNAL), 1e-4 * SIGNAL], ids=["zero", "-80 dB"])
def test_silence_scores_the_floor_and_nothing_less(estimate: np.ndarray) -> None:
    assert metrics.si_sdr(SIGNAL, estimate) == metrics.SILENT_SI_SDR_DB == -30
    time = np.arange(8000) / 8000
    assert metrics.si_sdr(np.sin(2 * np.pi * 100 * time), np.cos(2 * np.pi * 100 * time)) == -30, "orthogonal"


def test_batch_si_sdr_is_torchmetrics_for_each_example() -> None:
    reference = torch.from_numpy(RNG.standard_normal((3, 1, 500)))
    estimate = 2 * reference + torch.tensor([0.01, 0.3, 2.0])[:, None, None] * torch.from_numpy(
        RNG.standard_normal((3, 1, 500))
    )
    expected = scale_invariant_signal_distortion_ratio(estimate[:, 0], reference[:, 0], zero_mean=False)
    torch.testing.assert_close(metrics.batch_si_sdr(reference, estimate), expected, atol=1e-3, rtol=0)


def test_batch_si_sdr_of_an_orthonormal_spectrum_is_that_of_the_wave() -> None:
    wave, other = (torch.from_numpy(RNG.standard_normal((2, 500))) for _ in range(2))
    expected = metrics.batch_si_sdr(wave, wave + other)
    found = metrics.batch_si_sdr(torch.fft.fft(wave, norm="ortho"), torch.fft.fft(wave + other, norm="ortho"))
    torch.testing.assert_close(found, expected)


def test_batch_si_sdr_of_silence_is_finite() -> None:
    reference, estimate = torch.tensor([0.0, 1.0, 0.0]), torch.tensor([1.0, 0.0, 0.0])
    assert metrics.batch_si_sdr(*(x[:, None].expand(3, 100) for x in (reference, estimate))).isfinite().all()


@given(gain_db=st.floats(-100, 40))
def test_level_is_the_gain(gain_db: float) -> None:
    assert metrics.level_db(10 ** (gain_db / 20) * SIGNAL, SIGNAL) == pytest.approx(gain_db, abs=1e-3)
    assert metrics.level_db(0 * SIGNAL, 0 * SIGNAL) == 0


def test_bss_eval_tells_interference_from_artefacts() -> None:
    one, two, noise = np.random.default_rng(1).standard_normal((3, 40000))
    estimates = np.stack([one + 0.1 * two, two + 0.2 * noise])
    found = metrics.bss_eval(np.stack([one, two]), estimates)
    assert found.sir[0] == pytest.approx(20, abs=0.3)
    assert found.sar[0] > 60
    assert found.sar[1] == pytest.approx(20 * math.log10(5), abs=0.3)
    assert found.sdr[1] == pytest.approx(found.sar[1], abs=0.3)
    assert found.sir[1] > 25


def test_bss_eval_forgives_a_filter_and_averages_channels() -> None:
    one, two = np.random.default_rng(2).standard_normal((2, 20000))
    late = np.concatenate([np.zeros(100), 0.5 * one[:-100]])
    assert metrics.bss_eval([one, two], [late, two]).sdr[0] > 20
    stereo = np.stack([[one, one], [two, two]])
    np.testing.assert_allclose(
        metrics.bss_eval(stereo, stereo + stereo[::-1]), metrics.bss_eval([one, two], [one + two, one + two]), atol=1e-6
    )


def test_bss_eval_has_no_figure_for_silence() -> None:
    one, two = np.random.default_rng(3).standard_normal((2, 20000))
    found = metrics.bss_eval([one, 0 * two], [one + 0.1 * two, two])
    assert np.isfinite(found.sdr[0])
    assert np.isnan([found.sdr[1], found.sir[1], found.sar[1]]).all()
    assert np.isnan(metrics.bss_eval([one, two], [one, 0 * two]).sdr[1])


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_bss_eval_is_the_same_with_any_number_of_threads(threads: int) -> None:
    one, two, noise = np.random.default_rng(1).standard_normal((3, 20000))
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        found = metrics.bss_eval([one, two], [one + 0.3 * noise, two + 0.1 * one])
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert found.sdr[0] == pytest.approx(10.6, abs=0.3)
