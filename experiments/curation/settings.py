"""What is measured, and by which names."""

from __future__ import annotations

from pathlib import Path

REPORT = Path(__file__).with_name("report")
NEAR = 0.04
"""Relative error up to which a tempo is right."""

MODES = {"tempo in the names": False, "tempo hidden": True}
"""Two runs, and whether names and acid chunks are silent about the tempo."""

SHARES = {
    "tempo_in_name": f"tempo within {NEAR:.0%} or its octave, of loops with a tempo in their name",
    "tempo_of_kept_loops": "the same, of loops that were kept and whose tempo is known",
    "instrument": "instrument right (or rightly none)",
    "kept_or_rejected": "rightly rejected, rightly not rejected",
}
