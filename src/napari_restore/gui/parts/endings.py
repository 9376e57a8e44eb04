"""Names of files as people type them: without an ending, they get the one of what is saved."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

MODEL = (".safetensors",)
PAGE = (".html", ".htm")
TABLE = (".csv",)
TIFF = (".ome.tif", ".ome.tiff", ".tif", ".tiff")
ZARR = (".ome.zarr", ".zarr")


def ending(path: str | Path, *known: str) -> Path:
    """The path, with the first of the known endings where it has none of them."""
    path = Path(path)
    return path if path.name.lower().endswith(known) else path.with_name(path.name + known[0])


def filters(kinds: Sequence[tuple[str, Sequence[str]]]) -> str:
    """What a file dialogue offers, from the words and the endings of each kind."""
    return ";;".join(f"{words} ({' '.join(f'*{each}' for each in known)})" for words, known in kinds)


def taken(path: Path, asked: str | Path) -> str:
    """Why a file is not replaced: it is there, and nobody was asked about the name with its ending; else nothing."""
    if path == Path(asked) or not path.exists():
        return ""
    return f"{path} exists already: to replace it, give its whole name; else give another one."
