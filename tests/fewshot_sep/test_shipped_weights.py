"""The shipped weights separate the demo song as they did when they were published."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from fewshot_sep import Separator, audio
from fewshot_sep.experiments import demo

DATA = Path(demo.__file__).parent / "data"


def test_output_on_the_demo_is_that_of_the_revision_in_the_file() -> None:
    """The file was written by that revision: RMS of each half second, and 20 samples of each channel."""
    known = json.loads(Path(__file__).with_name("shipped_weights.json").read_text())
    (guitar, rate), (backing, _), query = (audio.read(DATA / f"{name}.ogg") for name in ("guitar", "backing", "query"))
    start, stop = (second * rate for second in known["excerpt_s"])
    target = Separator.from_pretrained(device="cpu").separate((guitar + backing)[:, start:stop], [query], rate).target
    halves = target.astype(np.float64).reshape(2, 6, -1)
    np.testing.assert_allclose(np.sqrt(np.mean(halves**2, axis=2)), known["rms"], rtol=0, atol=1e-5)
    np.testing.assert_allclose(target[:, known["at"]], known["samples"], rtol=0, atol=1e-5)
