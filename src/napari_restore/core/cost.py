"""What a run will take, before it starts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cost:
    """An estimate of what training on an image and restoring it takes.

    Attributes
    ----------
    method
        That was estimated: the one ``"auto"`` chooses, where that was asked for.
    training_seconds
        The budget; None where it is in steps. Of a method that learns nothing, what choosing its settings takes.
    restoring_seconds
        From a small part of the image, of computing alone.
    memory
        Bytes of memory of this process at its highest, with what it holds already.
    memory_limit
        Bytes it may grow to.
    device_memory, device_limit
        The same on a graphics card, of this run alone; 0 without one.
    """

    method: str
    training_seconds: float | None
    restoring_seconds: float
    memory: int
    memory_limit: int
    device_memory: int = 0
    device_limit: int = 0

    @property
    def fits(self) -> bool:
        """Whether memory suffices."""
        return self.memory <= self.memory_limit and self.device_memory <= self.device_limit
