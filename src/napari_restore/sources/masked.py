"""Masked arrays: a masked pixel is one that is not finite, and so neither learned from nor restored."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def is_masked(array: Any) -> bool:
    """Whether pixels of an array are, or of a lazy one may be, masked."""
    if isinstance(array, np.ma.MaskedArray):
        return bool(np.ma.is_masked(array))
    return isinstance(getattr(array, "_meta", None), np.ma.MaskedArray)


def with_nan(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The smallest floating-point type that has NaN and all values of a type; what is no number stays."""
    return np.result_type(dtype, np.float32) if dtype.kind in "biu" else dtype


def filled(pixels: Any) -> NDArray[Any]:
    """An array with NaN in the place of its masked pixels."""
    if not isinstance(pixels, np.ma.MaskedArray):
        return np.asarray(pixels)
    plain = np.ma.getdata(pixels).astype(with_nan(pixels.dtype))
    plain[np.ma.getmaskarray(pixels)] = np.nan
    return plain


def note_of(array: Any) -> str:
    """What was done, in words for the user."""
    if not isinstance(array, np.ma.MaskedArray):
        return "its masked pixels are not learned from, and stay as they are, NaN"
    count = int(np.ma.getmaskarray(array).sum())
    return f"{count} of its {array.size} pixels are masked: they are not learned from, and stay as they are, NaN"
