"""A separator whose answer is known, and the command that uses it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fewshot_sep import Separator, cli, presets
from fewshot_sep.audio import Source
from fewshot_sep.overlap_add import Span
from fewshot_sep.prompt import ByRole, as_prompt
from fewshot_sep.songs import cli as songs_cli

BLOCK = 10_000


class FakeSeparator:
    """A `Separator` that finds `find(mixture, sample_rate)`, all of it by default, and notes what it is given.

    Attributes:
        encoded: names and samples of clips. conditionings: of each piece of the song.
        seconds: length of each piece, as the network sees it.
    """

    sample_rate = 44100

    def __init__(
        self,
        find: Callable[[np.ndarray, int], np.ndarray] = lambda mixture, sample_rate: mixture.copy(),
        preset: str = presets.DEFAULT,
    ) -> None:
        self.find, self.preset = find, presets.get(preset)
        self.encoded: list[tuple[str, np.ndarray]] = []
        self.conditionings: list[list[str]] = []
        self.seconds: list[float] = []

    def encode(self, query: np.ndarray, sample_rate: int, name: str = "query") -> str:
        self.encoded.append((name, query))
        return f"{query.shape[1] / sample_rate:g} s"

    def polyphony_logit(self, encoding: str) -> float:
        return 9.0 if float(encoding.split()[0]) > 3 else -9.0

    def combine(self, prompt: ByRole[str]) -> list[str]:
        return [*prompt.alone, *(f"among {e}" for e in prompt.among), *(f"not {e}" for e in prompt.absent)]

    def condition(self, prompt: Any, sample_rate: int, unlike: Any = ()) -> list[str]:
        clips = as_prompt(prompt, unlike)
        by_role = (clips.alone, clips.among, clips.absent)
        return self.combine(ByRole(*([self.encode(clip, sample_rate) for clip in role] for role in by_role)))

    def add_residual(self, conditioning: list[str], mixture: Source, targets_of: Any = None) -> list[str]:
        return [*conditioning, "residual"]

    def estimate(
        self, mixture: np.ndarray, conditioning: list[str], sample_rate: int, time_scale: float = 1.0
    ) -> np.ndarray:
        self.conditionings.append(conditioning)
        self.seconds.append(mixture.shape[1] / sample_rate * time_scale)
        return self.find(mixture, sample_rate)

    def spans(self, frames: int, sample_rate: int) -> tuple[list[Span], int]:
        edges = [(at, min(at + BLOCK, frames)) for at in range(0, frames, BLOCK)]
        return [Span(*edge, *edge) for edge in edges], 0

    def stream(self, source: Source, conditioning: Any, progress: Any = None) -> Iterator[np.ndarray]:
        for at in range(0, source.frames, BLOCK):
            block = source.read(at, at + BLOCK)
            yield self.estimate(block, conditioning, source.sample_rate) if block.any() else block

    def describe(self) -> dict[str, str]:
        return {"name": "fake", "sha256": "0"}


@pytest.fixture(scope="session")
def fake() -> type[FakeSeparator]:
    return FakeSeparator


@pytest.fixture
def half(fake: type[FakeSeparator], monkeypatch: pytest.MonkeyPatch) -> Any:
    """A separator that finds half of everything; `loaded`: with which weights, on which device."""
    separator: Any = fake(lambda mixture, sample_rate: mixture / 2)

    def load(weights: Path | None, device: str) -> Any:
        separator.loaded = (weights, device)
        return separator

    monkeypatch.setattr(Separator, "from_pretrained", load)
    return separator


@pytest.fixture
def run(half: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Exit code of `fewshot-sep separate ARGUMENTS -o out --grid none`, run in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: Any, out: str = "out", grid: str = "none") -> int:
        with pytest.raises(SystemExit) as left:
            cli.run(songs_cli.separate, "separate", [*map(str, arguments), "-o", out, "--grid", grid])
        return int(left.value.code or 0)

    return call
