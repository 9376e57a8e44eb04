"""Who watches work: may stop it, and may look at what it makes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from napari_restore.core.job import PreviewRequest


@dataclass(frozen=True, eq=False)
class Watch:
    """What long work is asked while it goes on.

    Attributes
    ----------
    stop
        Looked at between steps, batches and files. Once set, the work keeps what it has and ends.
    preview
        Which part of the image to show while a network learns.
    trained
        Called with each model once it is trained, before what is done with it can fail.
    """

    stop: threading.Event | None = None
    preview: PreviewRequest | None = None
    trained: Callable[[Any], None] | None = None

    @property
    def stopping(self) -> bool:
        """Whether a stop was asked for."""
        return self.stop is not None and self.stop.is_set()
