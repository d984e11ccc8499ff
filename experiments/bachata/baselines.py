"""What the thesis's network is compared with: NMF informed by the query, the shipped model, and upper bounds."""

from __future__ import annotations

import numpy as np

from fewshot_sep.experiments.bachata.examples import Array, Example, tensor
from fewshot_sep.experiments.evaluation.baselines import nmf
from fewshot_sep.experiments.evaluation.case import Case
from fewshot_sep.separator import Separator
from fewshot_sep.systems import ImageSystem


def factorised(example: Example, sample_rate: int) -> Array:
    """The stems as query-informed NMF estimates them, `(instruments, samples)`."""
    mixture = example.mixture[None]
    cases = [Case(mixture, [(query[None], sample_rate)], sample_rate, "", None, []) for query in example.queries]
    return np.stack([nmf(case)[0] for case in cases])


def shipped(separator: Separator, example: Example, sample_rate: int) -> Array:
    """The stems as a `Separator` estimates them with the same queries, `(instruments, samples)`."""
    mixture = example.mixture[None]
    return np.stack([separator.separate(mixture, [query], sample_rate).target[0] for query in example.queries])


def ideal_ratio_mask(system: ImageSystem, example: Example) -> Array:
    """The mixture times each stem's share of the magnitudes, on the thesis's spectrogram."""
    mixture, stems = (system.spectrum(tensor(system, x)) for x in (example.mixture, example.stems))
    share = stems.abs() / (stems.abs().sum(0) + 1e-8)
    return system.stft.inverse(mixture * share, example.stems.shape[1]).cpu().numpy()


def true_magnitude(system: ImageSystem, example: Example) -> Array:
    """The stems' own magnitudes with the mixture's phase: what the thesis's network would give if it made no error."""
    mixture, stems = (system.spectrum(tensor(system, x)) for x in (example.mixture, example.stems))
    return system.stft.inverse(stems.abs() * mixture.sgn(), example.stems.shape[1]).cpu().numpy()
