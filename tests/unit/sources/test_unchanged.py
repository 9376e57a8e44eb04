"""An image that changes while it is worked on is noticed."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_restore.core.errors import ImageError
from napari_restore.sources import open_image
from napari_restore.sources.unchanged import refuse_changed, state_of

PIXELS = np.random.default_rng(0).integers(0, 999, (4, 90, 90)).astype(np.uint16)


def write(path: Path, pixels: np.ndarray) -> None:
    tifffile.imwrite(path, pixels, photometric="minisblack") if path.suffix == ".tif" else np.save(path, pixels)


@pytest.mark.parametrize("name", ["a.tif", "a.npy"])
def test_a_file_that_is_written_again_is_another_image(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    write(path, PIXELS)
    image = open_image(path, axes="ZYX")
    before = state_of(image)
    refuse_changed(image, before, done="trained on")
    time.sleep(0.02)
    write(path, PIXELS[::-1].copy())
    with pytest.raises(ImageError, match=r"a has changed while it was trained on: .*start again"):
        refuse_changed(image, before, done="trained on")


def test_a_file_that_is_touched_is_noticed_though_its_pixels_are_the_same(tmp_path: Path) -> None:
    write(tmp_path / "a.tif", PIXELS)
    image = open_image(tmp_path / "a.tif")
    before = state_of(image)
    os.utime(tmp_path / "a.tif", (1, 1))
    with pytest.raises(ImageError, match="has changed"):
        refuse_changed(image, before, done="trained on")


def test_an_array_in_memory_is_known_by_its_pixels() -> None:
    array = PIXELS.copy()
    image = open_image(array)
    before = state_of(image)
    refuse_changed(image, before, done="trained on")
    array[:] = 0
    with pytest.raises(ImageError, match="has changed"):
        refuse_changed(image, before, done="trained on")
