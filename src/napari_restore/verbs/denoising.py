"""Denoise: learn the noise of an image from itself, and take it away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from napari_restore.core.checked import check


@dataclass(frozen=True, kw_only=True)
class Denoise:
    """Train on an image and restore it.

    Attributes
    ----------
    method
        A name from ``list_methods``; ``auto`` chooses by what is given and by the noise, and says why.
    """

    method: str = "auto"

    def __post_init__(self) -> None:
        check(self)

    @property
    def settled_method(self) -> str:
        """The method, or ``auto`` where the image decides."""
        return self.method

    def lesson(self) -> tuple[str, dict[str, Any]]:
        """The method, and what this verb asks of it."""
        return self.method, {}
