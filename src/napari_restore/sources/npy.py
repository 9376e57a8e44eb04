"""NumPy's own files, mapped into memory."""

from __future__ import annotations

from pathlib import Path
from tokenize import TokenError

import numpy as np

from napari_restore.sources.arrays import describe_array
from napari_restore.sources.described import Described, explaining, only_level


def open_npy(path: Path, level: int) -> Described:
    """A ``.npy`` file; arrays of Python objects are refused."""
    only_level(level, 1, path.name)
    with explaining(f"{path.name} is not a whole NPY file"):
        try:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        except (SyntaxError, TokenError) as error:  # NumPy reads the header as Python
            raise ValueError(f"its header is damaged: {error.args[0]}") from None
    return describe_array(array, 0, name=path.stem, location=str(path))
