"""Acquisitions that were stopped: what is said of them, and how much of them is whole."""

from __future__ import annotations

_WORDS = {"T": "time points", "Z": "planes of Z", "C": "channels"}


def uses(whole: int, planned: int, axis: str) -> str:
    """What the option ``incomplete`` would take; nothing where nothing is whole."""
    what = _WORDS.get(axis, "planes")
    return f"`incomplete` use takes the {whole} of {planned} {what} that are whole. " if whole else ""
