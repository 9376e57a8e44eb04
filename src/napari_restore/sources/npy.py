"""NumPy's own files."""

from __future__ import annotations

import io
from pathlib import Path
from tokenize import TokenError
from typing import BinaryIO

import numpy as np
from numpy.lib import format as npy

from napari_restore.sources.arrays import plain_block
from napari_restore.sources.described import Described, Wanted, explaining
from napari_restore.sources.mapped import Numbers

_HEAD = 2**16
"""Bytes in which a header lies; NumPy refuses one of over 10 000 letters."""


def open_npy(path: Path, wanted: Wanted) -> Described:
    """A ``.npy`` file; arrays of Python objects are refused."""
    wanted.only_one(path.name)
    with explaining(f"{path.name} is not a whole NPY file"):
        with path.open("rb") as file:
            head = io.BytesIO(file.read(_HEAD))
        try:
            numbers = _numbers(path, head)
        except (SyntaxError, TokenError) as error:  # NumPy reads the header as Python
            raise ValueError(f"its header is damaged: {error.args[0]}") from None
        size = path.stat().st_size
        if numbers.end > size:
            raise ValueError(f"it should have {numbers.end} bytes and has {size}")
    block = plain_block(numbers.shape, numbers.dtype.itemsize)
    if numbers.strides and numbers.strides[0] < numbers.strides[-1]:
        block = plain_block(numbers.shape[::-1], numbers.dtype.itemsize)[::-1]
    return Described(
        name=path.stem,
        axes=None,
        shape=numbers.shape,
        dtype=numbers.dtype,
        chunks=block,
        reader=numbers.read,
        location=str(path),
    )


def _numbers(path: Path, head: BinaryIO) -> Numbers:
    """Where the pixels of a file are, from its header."""
    version = npy.read_magic(head)
    read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
    if read is None:
        raise ValueError(f"its version is {version}; 1.0 and 2.0 are read")
    shape, fortran, dtype = read(head)
    if dtype.hasobject or dtype.subdtype is not None:
        raise ValueError(f"its pixels are of type {dtype}, which are no numbers")
    if not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError(f"its shape is {shape}")
    steps = np.cumprod([dtype.itemsize, *(shape if fortran else shape[::-1])], dtype=object)[:-1]
    strides = tuple(int(n) for n in (steps if fortran else steps[::-1]))
    return Numbers(path, dtype, shape, head.tell(), strides)
