"""A trained mask system as two ONNX graphs, for runtimes without PyTorch. Needs the extra `onnx`.

`PROMPT` turns the STFTs of clips into a conditioning, once for a prompt; `SEGMENT` turns the STFT of a segment and that
conditioning into the STFT of the target. The transforms themselves stay outside: every runtime has an FFT, few have one
in ONNX. What a `Separator` adds besides (passes over what is left of the song, overlapping segments, other sample
rates) is arithmetic on what these two give.

Shape:
    STFT: `(n, bins, frames, 2)`, real and imaginary part last, Hann window, centred, zeros beyond the ends.
    clips: `alone`, `among`, `absent`: n windows of a clip's mono sound, any n and any frames; only `alone` where the
        system knows no roles. What is not given is any array of that shape and False in `given`, `(3,)` bool.
    mixture: `(n, channels, bins, frames, 2)`, any n segments that share a conditioning, any frames.
    conditioning: `embedding`, `profile`, `templates`, as in `QueryConditioning`, for one prompt.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fewshot_sep import extras, files
from fewshot_sep import weights as stored
from fewshot_sep.errors import FewshotSepError
from fewshot_sep.prompt import ROLES
from fewshot_sep.systems import AnySystem, MaskSystem
from fewshot_sep.unet import QueryConditioning

OPSET = 18
TOLERANCE = 1e-4
"""Of the target's STFT, re the mixture's RMS, between ONNX Runtime and PyTorch."""
FRAMES = 64  # of the sounds that the graphs are traced with
CONDITIONING = QueryConditioning._fields
Array = NDArray[np.float32]


class Graphs(NamedTuple):
    """Both graphs, as ONNX files have them."""

    prompt: bytes
    segment: bytes


class PromptGraph(nn.Module):
    """STFTs of clips by role to a conditioning."""

    def __init__(self, system: MaskSystem) -> None:
        super().__init__()
        self.system = system

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        if not self.system.knows_roles:
            return _held(self._encoded(given[0]))
        *clips, shown = given
        alone, among, absent = (self._encoded(clip) for clip in clips)
        return _held(self.system.condition_on(alone, among, absent, shown[None]))

    def _encoded(self, clip: Tensor) -> QueryConditioning:
        return self.system.encode_energy(self.system.band_energy(_spectrum(clip))[None])


class SegmentGraph(nn.Module):
    """STFT of segments and a conditioning to the target's STFT."""

    def __init__(self, system: MaskSystem) -> None:
        super().__init__()
        self.system = system

    def forward(self, mixture: Tensor, embedding: Tensor, profile: Tensor, templates: Tensor | None = None) -> Tensor:
        batch = mixture.shape[0]
        kept = profile.new_zeros(1, profile.shape[2], 0) if templates is None else templates
        parts = [part.expand(batch, *part.shape[1:]) for part in (embedding, profile, kept)]
        energy = self.system.band_energy(_spectrum(mixture))
        logits = self.system.logits(energy, QueryConditioning(*parts))
        mask = torch.matmul(self.system.bands.T, torch.sigmoid(logits.float()))
        return mixture * mask[..., None]


class _RealPair(NamedTuple):
    """A spectrum's two parts: ONNX has no complex numbers."""

    real: Tensor
    imag: Tensor


def _spectrum(pair: Tensor) -> Any:
    return _RealPair(pair[..., 0], pair[..., 1])


def _held(conditioning: QueryConditioning) -> tuple[Tensor, ...]:
    """What there is of it: presets without templates have none."""
    return tuple(part for part in conditioning if part.shape[-1])


def graphs(system: AnySystem, **about: str) -> Graphs:
    """A system as ONNX; what a user must know of the signal, and what is said `about` it, is the models' metadata.

    Raises:
        EngineMissing: no ONNX exporter.
        FewshotSepError: a system that predicts no mask.
    """
    extras.require("onnx", "onnx", "onnxscript")
    if not isinstance(system, MaskSystem):
        raise FewshotSepError(f"weights of preset '{system.preset.name}' predict no mask: they have no ONNX form")
    system.eval()
    roles = ROLES if system.knows_roles else ROLES[:1]
    any_size, preset = torch.export.Dim.DYNAMIC, system.preset
    # No two sizes are alike, or the exporter takes them for one.
    clips = [torch.rand(2 + place, preset.n_fft // 2 + 1, FRAMES + 5 * place, 2) for place in range(len(roles))]
    mixture = torch.rand(5, preset.channels, preset.n_fft // 2 + 1, FRAMES + 21, 2)
    shown = [torch.ones(len(roles), dtype=torch.bool)] if system.knows_roles else []
    with torch.inference_mode():
        conditioning = PromptGraph(system)(*clips, *shown)
    names = CONDITIONING[: len(conditioning)]
    facts = {"preset": preset.name, **about}
    facts |= {name: str(getattr(preset, name)) for name in ("sample_rate", "n_fft", "hop", "segment")}
    return Graphs(
        _exported(
            PromptGraph(system),
            (*clips, *shown),
            ((*({0: any_size, 2: any_size} for _ in roles), *(None for _ in shown)),),
            [*roles, *(["given"] if shown else [])],
            names,
            facts,
        ),
        _exported(
            SegmentGraph(system),
            (mixture, *(part.clone() for part in conditioning)),
            ({0: any_size, 3: any_size}, *(None for _ in conditioning)),
            ["mixture", *names],
            ["target"],
            facts,
        ),
    )


def _exported(
    module: nn.Module,
    given: tuple[Tensor, ...],
    shapes: Any,
    inputs: Sequence[str],
    outputs: Sequence[str],
    facts: dict[str, str],
) -> bytes:
    import onnx

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # or it tells that torchvision is not installed
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module.eval(),
            given,
            dynamo=True,
            verbose=False,
            external_data=False,
            opset_version=OPSET,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes=shapes,
        )
    assert program is not None
    model = program.model_proto
    onnx.helper.set_model_props(model, facts)
    return bytes(model.SerializeToString())


def write(weights: Path, out: Path) -> float:
    """Export the weights to `out`, and their prompt graph to `prompt_path(out)`, once they agree with PyTorch.

    Returns:
        By how much they differ from PyTorch, see `greatest_difference`.

    Raises:
        EngineMissing: no exporter, or no ONNX Runtime to compare with.
        FewshotSepError: they differ by more than `TOLERANCE`.
        WeightsError, OutputError.
    """
    extras.require("onnx")
    system = stored.load(weights)
    found = graphs(system, weights=weights.name, sha256=stored.sha256(weights))
    difference = greatest_difference(found, system)
    if not difference <= TOLERANCE:
        raise FewshotSepError(f"{weights}: ONNX Runtime differs from PyTorch by {difference:.1e}; nothing is written")
    for path, graph in zip((prompt_path(out), out), found, strict=True):
        with files.replacing(path) as temporary:
            temporary.write_bytes(graph)
    return difference


def prompt_path(out: Path) -> Path:
    """Where the prompt graph goes beside a segment graph.

    >>> prompt_path(Path("a/model.onnx")).as_posix()
    'a/model.prompt.onnx'
    """
    return out.with_suffix(f".prompt{out.suffix}")


def greatest_difference(found: Graphs, system: AnySystem, segments: int = 2, samples: int | None = None) -> float:
    """Between the STFT of noise's target by ONNX Runtime and that by the system itself, re the noise's RMS.

    Clips in each role, and the noise, have lengths of their own, which are not those of the tracing.

    Args:
        samples: of the noise; the preset's segment if None.

    Raises:
        EngineMissing: ONNX Runtime is not installed.
    """
    extras.require("onnx", "onnxruntime")
    assert isinstance(system, MaskSystem)
    stft, preset, chance = system.stft, system.preset, torch.Generator().manual_seed(0)
    length = samples or preset.segment
    roles = ROLES if system.knows_roles else ROLES[:1]
    clips = [torch.randn(1, 1 + place, length // (2 + place), generator=chance) for place in range(len(roles))]
    mixture = torch.randn(segments, preset.channels, length, generator=chance)
    worst = 0.0
    with torch.inference_mode():
        spectrum = stft(mixture)
        for shown in _ways(len(roles)):
            encoded = [system.encode(clip) if is_given else None for clip, is_given in zip(clips, shown, strict=True)]
            alone, among, absent = [*encoded, None, None][:3]
            conditioned = system.condition_on(alone, among, absent)
            parts = [part.expand(segments, *part.shape[1:]) for part in conditioned]
            logits = system.logits(system.band_energy(spectrum), QueryConditioning(*parts))
            expected = _pair(system.masked(spectrum, logits))
            given: dict[str, Any] = {role: _pair(stft(clip[0])) for role, clip in zip(roles, clips, strict=True)}
            if system.knows_roles:
                given["given"] = np.array(shown)
            names = [name for name, part in zip(CONDITIONING, parts, strict=True) if part.shape[-1]]
            conditioning = dict(zip(names, run(found.prompt, given), strict=True))
            target = run(found.segment, {"mixture": _pair(spectrum), **conditioning})[0]
            worst = max(worst, float(np.abs(target - expected).max()) / float(spectrum.abs().square().mean().sqrt()))
    return worst


def _ways(roles: int) -> list[tuple[bool, ...]]:
    """Which roles are given: those that show the instrument, with and without the third."""
    return [(True,)] if roles == 1 else [(True, False, False), (False, True, True), (True, True, True)]


def run(graph: bytes, given: dict[str, Any]) -> list[Array]:
    """What ONNX Runtime makes of it on the CPU."""
    import onnxruntime

    return list(onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"]).run(None, given))


def _pair(spectrum: Tensor) -> Array:
    return torch.view_as_real(spectrum).contiguous().numpy()
