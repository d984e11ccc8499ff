from __future__ import annotations

import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest
import torch

from fewshot_sep import Separator, onnx_graph, weights
from fewshot_sep.errors import FewshotSepError
from fewshot_sep.systems import MaskSystem, build
from fewshot_sep.unet import QueryConditioning

ROOT = Path(__file__).parents[2]


def made(preset: str) -> MaskSystem:
    torch.manual_seed(0)
    system = build(preset).eval()
    assert isinstance(system, MaskSystem)
    for parameter in system.parameters():  # of what begins at zero too
        parameter.data += 0.02 * torch.randn_like(parameter)
    return system


@pytest.mark.parametrize("preset", ["tiny", "tiny-informed", "tiny-prompted"])
@torch.inference_mode()
def test_what_is_exported_is_the_system(preset: str) -> None:
    system = made(preset)
    clips = [torch.randn(2, 9_000 + 3000 * place) for place in range(3)]
    mixture = torch.randn(3, 2, 20_000)
    for shown in onnx_graph._ways(3 if system.knows_roles else 1):
        roles = [system.encode(clip[None]) if is_given else None for clip, is_given in zip(clips, shown, strict=False)]
        expected = system(mixture, QueryConditioning(*(p.expand(3, *p.shape[1:]) for p in system.condition_on(*roles))))
        given = [torch.view_as_real(system.stft(clip)) for clip in clips[: len(shown)]]
        given += [torch.tensor(shown)] if system.knows_roles else []
        conditioning = onnx_graph.PromptGraph(system)(*given)
        target = onnx_graph.SegmentGraph(system)(torch.view_as_real(system.stft(mixture)), *conditioning)
        found = system.stft.inverse(torch.view_as_complex(target.contiguous()), mixture.shape[-1])
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_a_system_without_a_mask_has_no_such_form() -> None:
    pytest.importorskip("onnx")
    with pytest.raises(FewshotSepError, match="no mask"):
        onnx_graph.graphs(build("tiny-image"))


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["tiny", "tiny-informed", "tiny-prompted"])
def test_the_graphs_give_what_the_system_gives_whatever_the_lengths(preset: str) -> None:
    pytest.importorskip("onnx")
    system = made(preset)
    found = onnx_graph.graphs(system)
    for segments, samples in ((1, None), (3, 12_345)):
        assert onnx_graph.greatest_difference(found, system, segments, samples) < onnx_graph.TOLERANCE
    other = made(preset)
    other.query_encoder.head[2].bias.data += 1  # type: ignore[index,union-attr,operator]
    assert onnx_graph.greatest_difference(found, other) > onnx_graph.TOLERANCE, "another network is told apart"


@pytest.mark.slow
def test_the_example_separates_as_the_system_does_without_torch(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    system = made("tiny-informed")
    weights.save(system, tmp_path / "weights.safetensors", {})
    assert onnx_graph.write(tmp_path / "weights.safetensors", tmp_path / "model.onnx") < onnx_graph.TOLERANCE
    sounds = {}
    for name, samples in (("song", 5 * system.preset.segment), ("clip", 20_000)):
        wide = np.random.default_rng(samples).integers(-8000, 8000, (samples, 2)).astype(np.int16)
        sounds[name] = torch.from_numpy(wide.T / 32768).float()
        with wave.open(str(tmp_path / f"{name}.wav"), "wb") as file:
            file.setparams((2, 2, 44100, 0, "NONE", ""))
            file.writeframes(wide.tobytes())
    script = "import sys; sys.modules['torch'] = None; exec(open(sys.argv.pop(1)).read())"
    names = [str(tmp_path / name) for name in ("model.onnx", "song.wav", "clip.wav", "target.wav")]
    subprocess.run([sys.executable, "-c", script, ROOT / "docs/onnx_example.py", *names], check=True)
    with wave.open(names[-1]) as file:
        found = np.frombuffer(file.readframes(file.getnframes()), np.int16).reshape(-1, 2).T / 32768
    separator = Separator.from_pretrained(tmp_path / "weights.safetensors", device="cpu")
    song, clip = sounds["song"].numpy(), sounds["clip"].numpy()
    expected = separator.separate(song, [clip], 44100, residual_pass=False).target
    assert 10 * np.log10(np.mean(expected**2) / np.mean((expected - found) ** 2)) > 40
