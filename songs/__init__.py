"""Whole songs: bars, tempo, boundaries, and the report of what happened."""
