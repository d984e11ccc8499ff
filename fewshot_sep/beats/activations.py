"""What a beat tracker takes and gives."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 44100
FRAMES_PER_SECOND = 100
ACTIVATION_FLOOR = 0.01  # a tracker is never quite sure that there is no beat: the decoder takes 0 as proof

Tracker = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Shape: mono samples (n,) at `SAMPLE_RATE` -> (frames, 2) at `FRAMES_PER_SECOND`: probability of beat, downbeat.

Where nothing sounds, it is 0.
"""
