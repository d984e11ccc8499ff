"""The measure of suggested passages, on a song whose target plays alone in its first 10 s and not in its last."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fewshot_sep import Prompt, Separator, audio
from fewshot_sep.experiments.whole_songs import suggested as module
from fewshot_sep.prompt import ByRole
from fewshot_sep.songs.suggest import Passage
from tests.sounds import noise

RATE = 8000


def test_counts_what_is_right_and_measures_what_it_gains(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    target, rest = noise(1, 30 * RATE, 1), noise(1, 30 * RATE, 2)
    target[:, 20 * RATE :], rest[:, : 10 * RATE] = 0, 0
    for name, sound in {"guitar": target, "drums": rest}.items():
        audio.write(tmp_path / "songs" / "one" / f"{name}.wav", sound, RATE)

    def separate(mixture: np.ndarray, prompt: Prompt, rate: int) -> Any:
        """Better by 6 dB for each clip."""
        error = 0.5 ** (len(prompt.alone) + len(prompt.among) + len(prompt.absent))
        return SimpleNamespace(target=target + error * rest)

    knowing = SimpleNamespace(separate=separate, condition=lambda clips, rate: clips)
    at = {"alone": [(1, 5), (12, 16)], "among": [(11, 15)], "absent": [(21, 25)]}
    found = ByRole(*([Passage(role, *span, 1.0) for span in spans] for role, spans in at.items()))  # type: ignore[arg-type]
    monkeypatch.setattr(Separator, "from_pretrained", lambda: knowing)
    monkeypatch.setattr(module, "with_instrument", lambda *given: (found, "it may have failed"))
    monkeypatch.setattr(module, "distinct", lambda *given: [Passage("alone", 15, 19, 1.0)])
    module.suggested(tmp_path / "songs", "guitar", 120, 1)
    row = capsys.readouterr().out.splitlines()[-1]
    assert row == "| one | 1 of 2 | 1 of 1 | 1 of 1 | yes | 0 of 1 | 6.0 | 24.1 | 30.1 |"
