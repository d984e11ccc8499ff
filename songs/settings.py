"""The choices that a separation of a song leaves open, by name; imports nothing heavy, for the command's help."""

from __future__ import annotations

from typing import Literal

Grid = Literal["auto", "downbeat", "beat", "none"]
Tempo = Literal["hop", "mask", "audio", "none"]
Clipping = Literal["rescale", "clamp"]
Format = Literal["wav", "flac", "ogg", "mp3"]

METERS = (3, 4)
MIN_METER, MAX_METER = 2, 8

SUBTYPES: dict[tuple[Format, int], str] = {
    ("wav", 16): "PCM_16",
    ("wav", 24): "PCM_24",
    ("wav", 32): "FLOAT",
    ("flac", 16): "PCM_16",
    ("flac", 24): "PCM_24",
}
"""By format and bits per sample: what libsndfile calls the samples."""
