"""Beats, downbeats and meter of a recording."""

from fewshot_sep.beats.tracking import TRACKERS, Beats, available_trackers, resolve, track

__all__ = ["TRACKERS", "Beats", "available_trackers", "resolve", "track"]
