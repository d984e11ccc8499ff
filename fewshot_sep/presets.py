"""Named, frozen configurations of signal and model. Add one here and `--preset NAME` knows it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from fewshot_sep.errors import FewshotSepError

Kind = Literal["mask", "informed", "prompted", "attending", "image"]


@dataclass(frozen=True)
class Preset:
    """All that defines a system besides its weights.

    Attributes:
        kind: which system: `mask` (a mask in [0, 1], conditioned on encoded queries), `informed` (its network
            also gets what templates of the queries explain), `prompted` (that, and it knows clips among others and
            clips without the instrument), `attending` (that, with a band-split network that attends to the clips'
            frames) or `image` (the thesis: one spectrogram to another).
        sample_rate: in Hz; other rates are resampled on the way in and out.
        channels: 1 or 2; mono sound is doubled for a stereo system and folded back.
        n_fft, hop: of the STFT, in samples.
        segment: samples the network was trained to see at once.
        bands: rows of the network's image.
        widths: channels of each level of the U-Net (`image`: only the first is used, each level doubles it;
            `attending`: of each layer, all alike).
        features: size of the query embedding (not `image`).
        beat: seconds that a beat lasts in the common tempo to which songs are brought.
        context: seconds of sound on each side of a bar, in the common tempo, that the network gets too.
        templates: spectra that are kept of the queries beside their embedding (`informed` and what follows it).
        patch: bands and frames on a side of what the U-Net's first level sees as one; bands of an `attending`
            network's token.
    """

    name: str
    kind: Kind
    sample_rate: int
    channels: int
    n_fft: int
    hop: int
    segment: int
    bands: int
    widths: tuple[int, ...]
    features: int = 0
    beat: float = 0.5
    context: float = 0.2  # measured: 0.45 gives no more
    templates: int = 0
    patch: int = 2

    @property
    def predicts_mask(self) -> bool:
        """Whether the target is a share of the mixture in every cell of its spectrogram."""
        return self.kind != "image"


# 44.1 kHz stereo up to Nyquist; 4096/1024 costs half of 2048/512 and its ideal ratio mask is 0.4 dB better.
_STEERED = Preset("steered", "mask", 44100, 2, 4096, 1024, 127 * 1024, 256, (32, 64, 128, 256), 256)
# The same, with clips of the instrument among others and of the song without it as further evidence.
_PROMPTED = replace(_STEERED, name="prompted", kind="prompted", templates=16)
# The 2020 bachata thesis: 4 beats at 147 BPM. 510/71 with 105 zeros appended make 18,000 samples 256 x 256.
# A whole beat of context: the thesis's network was trained on clips whose sounds lie on the beat's grid.
_BEAT = 18000 / 11025 / 4
_THESIS = Preset("illes2020", "image", 11025, 1, 510, 71, 18000, 256, (64,), beat=_BEAT, context=_BEAT)
# For tests: the same code at a size that trains in seconds.
_TINY = Preset("tiny", "mask", 44100, 2, 2048, 512, 62 * 512, 64, (8, 16), 16)

PRESETS = {
    preset.name: preset
    for preset in (
        _STEERED,
        # The same network with what the query's templates explain of the mixture as further input.
        replace(_STEERED, name="informed", kind="informed", templates=16),
        _PROMPTED,
        # Three networks that could follow `prompted`, each within 16 MiB of weights: a level of single bands and frames
        # on top of it; twice its width but at the deepest level; and attention to the clips' frames.
        replace(_PROMPTED, name="prompted-fine", widths=(32, 32, 64, 128, 256), patch=1),
        replace(_PROMPTED, name="prompted-wide", widths=(64, 128, 256, 256)),
        replace(_PROMPTED, name="attending", kind="attending", widths=(128,) * 6, patch=8),
        # `steered` at half the width, in half the time: for the ablations of `experiments/flagship`.
        replace(_STEERED, name="slim", widths=(16, 32, 64, 128)),
        _THESIS,
        _TINY,
        replace(_TINY, name="tiny-informed", kind="informed", templates=4),
        replace(_TINY, name="tiny-prompted", kind="prompted", templates=4),
        replace(_TINY, name="tiny-attending", kind="attending", templates=4, widths=(32, 32), patch=8),
        replace(_THESIS, name="tiny-image", widths=(2,)),
    )
}
DEFAULT = "prompted"


def get(name: str) -> Preset:
    """The preset of that name. Raises FewshotSepError, which lists those there are."""
    if name not in PRESETS:
        raise FewshotSepError(f"no preset '{name}'; there are: {', '.join(PRESETS)}")
    return PRESETS[name]
