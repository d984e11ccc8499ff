"""Vocabulary and numbers of the seed systems; nothing heavy is imported."""

from __future__ import annotations

SAMPLE_RATE = 16000
"""Of the waveform systems, in Hz."""
SEGMENT = 2**17
"""Samples (8.2 s) that they separate at once; all networks take any length."""
CONTEXT = SEGMENT // 6
"""Samples on each side of a segment that are not kept."""

MIN_ROWS = 16
"""Rows of the training split that make an instrument a label of its own."""
STEPS = 500
"""Of a training: about ten minutes of a busy core, whatever the system."""
VALIDATION_BATCHES = 4
