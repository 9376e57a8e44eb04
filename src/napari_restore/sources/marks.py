"""What tells a folder, or the place of one in a zip file, as Zarr: the names of its metadata files."""

from __future__ import annotations

ZARR_MARKS = ("zarr.json", ".zarray", ".zgroup", ".zattrs")
"""Of versions 3 and 2; nothing else in a Zarr has such a name."""
