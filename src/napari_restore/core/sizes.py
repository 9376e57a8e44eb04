"""Sizes in memory and on disks, in words."""

from __future__ import annotations


def describe_bytes(size: float) -> str:
    """A number of bytes as people say it: ``480 MiB``, ``1.2 GiB``, ``18 GiB``."""
    if size < 2**30:
        return f"{max(1, round(size / 2**20))} MiB"
    return f"{size / 2**30:.1f} GiB" if size < 10 * 2**30 else f"{size / 2**30:.0f} GiB"
