"""Where the seed systems come from, what their papers measured, and what differs here; nothing heavy is imported."""

from __future__ import annotations

from typing import NamedTuple

from fewshot_sep.errors import FewshotSepError


class About(NamedTuple):
    """A system's paper, the paper's own figure with where it stands, and in a sentence what differs here."""

    title: str
    authors_year: str
    figure: str
    differs: str


class Ratios(NamedTuple):
    """Means in dB."""

    sdr: float
    sir: float
    sar: float


_SLIZOVSKAIA = "End-to-end sound source separation conditioned on instrument labels", "Slizovskaia et al. 2019"

PAPERS: dict[str, About] = {
    "exp-wave-u-net": About(
        *_SLIZOVSKAIA,
        "URMP, mean over the test set (Table 1): SDR -4.12, SIR -3.06, SAR 12.18 dB; "
        "SDR with 2, 3, 4 sources (Table 2): -0.42, -3.85, -5.90 dB",
        "8 levels of 12 channels more each instead of 12 levels of 24, 16 kHz, one output for each label of the "
        "library instead of 13, trained for minutes on loops instead of 23 hours of a TPU on URMP.",
    ),
    "cexp-wave-u-net": About(
        *_SLIZOVSKAIA,
        "URMP, mean over the test set (Table 1): SDR -1.37, SIR 2.16, SAR 6.36 dB; "
        "SDR with 2, 3, 4 sources (Table 2): -0.16, -0.68, -2.56 dB",
        "As Exp-Wave-U-Net; labels scale the bottleneck by learnt weights, where the authors' code keeps a copy of it "
        "for each label and cancels those not asked for; and in every other training example only the one instrument "
        "asked for is in the label vector, as in use: the paper's vector names all that play.",
    ),
    "wavenet": About(
        "End-to-end music source separation: is it possible in the waveform domain?; "
        "Music source separation in the waveform domain",
        "Lluís et al. 2019; Jemine and Beguin 2019",
        "Vocals, mean opinion score of 15 listeners: 3.0 ± 1.0, Wave-U-Net 3.3 ± 0.85 (Lluís et al., as quoted by the "
        "tutorial of Dieleman, Pons and Lee 2019, 'Comparison: a perceptual study'); Jemine and Beguin give no figure",
        "3 stacks of 32 channels instead of 4 of 64 and a smaller head, one output, told by its label as Jemine and "
        "Beguin proposed, where Lluís et al. have one output per source.",
    ),
    "demucs": About(
        "Demucs: deep extractor for music sources with extra unlabeled data remixed",
        "Défossez et al. 2019",
        "MusDB: SDR 1.6 dB above Wave-U-Net's (abstract; also in the tutorial of Dieleman, Pons and Lee 2019)",
        "4 levels from 16 channels on instead of 6 from 64, mono at 16 kHz instead of stereo at 44.1 kHz, one output "
        "whose label scales the input of the LSTM instead of one per source, no unlabelled data.",
    ),
    "mrcae": About(
        "Raw multi-channel audio source separation using multi-resolution convolutional auto-encoders",
        "Grais et al. 2018",
        "No figure in the abstract, nor in the tutorial of Dieleman, Pons and Lee 2019 that presents it",
        "Mono instead of stereo, strided layers with filters of our own choice of lengths, one network for all "
        "instruments whose label scales the code, where the paper's extracts the singing voice.",
    ),
    "label-twin": About(
        "The default preset of this package with labels in place of queries",
        "this package",
        "None: it shows what the query brings, see the default preset",
        "The embedding of the query is a learnt one of the instrument's label, and no profile of the query is seen; "
        "the budget is that of the seed systems, not that of the shipped weights.",
    ),
}
NAMES = tuple(PAPERS)

TABLE_2: dict[str, dict[int, Ratios]] = {
    "InformedNMF": {2: Ratios(3.08, 4.98, 10.55), 3: Ratios(0.07, 1.69, 9.01), 4: Ratios(-3.84, -2.62, 8.65)},
    "exp-wave-u-net": {2: Ratios(-0.42, 1.75, 10.98), 3: Ratios(-3.85, -2.74, 11.97), 4: Ratios(-5.90, -5.33, 12.87)},
    "cexp-wave-u-net": {2: Ratios(-0.16, 4.62, 7.48), 3: Ratios(-0.68, 2.88, 5.91), 4: Ratios(-2.56, 0.44, 6.35)},
}
"""Table 2 of Slizovskaia et al. 2019: URMP, by system and number of sources."""


def about(name: str) -> About:
    """The entry of a system.

    Raises:
        FewshotSepError: there is no such system; the message lists those there are.
    """
    if name not in PAPERS:
        raise FewshotSepError(f"no seed system '{name}'; there are: {', '.join(NAMES)}")
    return PAPERS[name]
