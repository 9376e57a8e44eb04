"""Sums in float64 on every device: Apple's graphics processors have no such numbers."""

from __future__ import annotations

from torch import Tensor


def in_double(x: Tensor) -> Tensor:
    """In float64, on its own device or, where that has none, on the processor."""
    return (x.cpu() if x.device.type == "mps" else x).double()
