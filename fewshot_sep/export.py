"""The command `fewshot-sep export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fewshot_sep import cli


def export(
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="The graph, such as model.onnx.")],
    weights: Annotated[Path | None, typer.Option(metavar="FILE", help="Other weights than the bundled ones.")] = None,
) -> None:
    """Write a trained network as ONNX, for runtimes without PyTorch, once it agrees with PyTorch to 1e-4.

    FILE separates one segment, STFT to STFT; FILE's neighbour, .prompt.onnx, encodes the clips that show the
    instrument. Their metadata has sample rate and STFT. Needs the extra onnx.

    Example:
      fewshot-sep export -o model.onnx
      python docs/onnx_example.py model.onnx song.wav clip.wav target.wav
    """
    from fewshot_sep import onnx_graph
    from fewshot_sep import weights as stored

    difference = onnx_graph.write(weights or stored.bundled(), out)
    cli.say(f"{out}\n{onnx_graph.prompt_path(out)}")
    cli.say(f"differs from PyTorch by {difference:.1e} of the mixture's RMS", err=True)
