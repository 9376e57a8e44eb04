"""What can go wrong for a user. Every message tells the value, the limit and the next step."""

from __future__ import annotations


class RestoreError(ValueError):
    """Something the user gave cannot be used; the shell shows it on one line and exits with 2."""


class ImageError(RestoreError):
    """An image cannot be opened, or is not of a kind that can be restored."""


class ModelError(RestoreError):
    """A model file cannot be used, or does not fit the image."""


class OutputError(RestoreError):
    """A result cannot be written where it was asked for."""


class OtherRunError(OutputError, ModelError):
    """What lies there unfinished, an output or a training, was begun from another image, model or settings."""


class InterruptedWorkError(RestoreError):
    """Work was stopped before there was a result to give back."""
