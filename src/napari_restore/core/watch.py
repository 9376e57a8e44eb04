"""Who watches work: may stop it, and may look at what it makes."""

from __future__ import annotations

import threading
from dataclasses import dataclass

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
    """

    stop: threading.Event | None = None
    preview: PreviewRequest | None = None

    @property
    def stopping(self) -> bool:
        """Whether a stop was asked for."""
        return self.stop is not None and self.stop.is_set()
