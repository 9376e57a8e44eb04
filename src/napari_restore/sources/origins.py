"""Which local files the pixels of an array come from, as far as it tells: so that nothing is written over them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np


def files_of(array: Any) -> tuple[str, ...]:
    """Files and folders behind a memory map, an array of Zarr, a dask array made from one, or a lazy array of ours."""
    return tuple(dict.fromkeys(str(Path(file).absolute()) for file in _files(array)))


def _files(array: Any) -> Iterator[str]:
    image = getattr(array, "_image", None)
    if image is not None:  # a LazyArray, as our readers give it to napari
        location = getattr(image, "location", None)
        yield from [location] if location is not None and "://" not in location else []
        yield from getattr(image, "files", ())
    elif isinstance(array, np.ndarray):
        yield from _mapped(array)
    elif hasattr(array, "store_path"):
        yield from _stored(array.store_path)
    elif hasattr(getattr(array, "dask", None), "layers"):
        yield from _in_graph(array.dask.layers)


def _mapped(array: Any) -> Iterator[str]:
    while isinstance(array, np.ndarray):
        if isinstance(array, np.memmap) and isinstance(array.filename, str | os.PathLike):
            yield os.fspath(array.filename)
        array = array.base


def _stored(store_path: Any) -> Iterator[str]:
    store = store_path.store
    while hasattr(store, "_store"):  # one that wraps another
        store = store._store
    root, place = getattr(store, "root", None), getattr(store, "path", None)
    if isinstance(root, Path):
        yield str(root / store_path.path)
    elif isinstance(place, str | os.PathLike) and _is_local(store):  # a zip, or a folder through fsspec
        yield str(Path(place, store_path.path) if Path(place).is_dir() else Path(place))


def _is_local(store: Any) -> bool:
    protocol = getattr(getattr(store, "fs", None), "protocol", "file")
    return "file" in ([protocol] if isinstance(protocol, str) else protocol)


def _in_graph(layers: Mapping[str, Any]) -> Iterator[str]:
    """What dask arrays were made from is a layer of one entry."""
    for name, layer in layers.items():
        if name.startswith("original-"):
            for value in dict(layer).values():
                yield from _files(getattr(value, "value", value))
