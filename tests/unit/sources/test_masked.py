"""Masked arrays: masked pixels are not finite, so nothing is learned from them."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest

from napari_restore.core.region import Region
from napari_restore.sources import open_image


def masked(dtype: str = "u2") -> np.ma.MaskedArray:
    array = np.ma.MaskedArray(np.arange(40 * 50).reshape(40, 50).astype(dtype))
    array[3, 4:7] = np.ma.masked
    return array


@pytest.mark.parametrize(
    ("dtype", "as_float"),
    [("u1", "f4"), ("u2", "f4"), (">u2", "f4"), ("i4", "f8"), ("f4", "f4"), ("f8", "f8"), ("?", "f4")],
)
@pytest.mark.parametrize("lazy", [False, True])
def test_a_masked_pixel_is_not_finite_and_the_others_are_as_they_were(dtype: str, as_float: str, lazy: bool) -> None:
    array = masked(dtype)
    image = open_image(da.from_array(array, chunks=(16, 16)) if lazy else array)
    assert image.dtype == np.dtype(as_float)
    pixels = image.read()
    np.testing.assert_array_equal(np.isnan(pixels), np.ma.getmaskarray(array))
    np.testing.assert_array_equal(pixels[~np.isnan(pixels)], array.compressed().astype(as_float))
    assert np.isnan(image.read(Region((3, 5), (4, 6)))).all()
    assert any("masked" in note for note in image.notes)


def test_how_many_is_said() -> None:
    assert "3 of its 2000 pixels are masked" in open_image(masked()).notes[0]


def test_an_array_whose_mask_hides_nothing_keeps_its_type() -> None:
    image = open_image(np.ma.MaskedArray(np.zeros((20, 20), np.uint8)))
    assert image.dtype == np.uint8 and not any("masked" in note for note in image.notes)


def test_a_mask_over_a_mapped_file_counts(tmp_path) -> None:
    np.save(tmp_path / "a.npy", np.ones((20, 20), np.uint16))
    array = np.ma.MaskedArray(np.load(tmp_path / "a.npy", mmap_mode="r"), mask=np.eye(20, dtype=bool))
    np.testing.assert_array_equal(np.isnan(open_image(array).read()), np.eye(20, dtype=bool))


def test_a_layer_with_a_mask() -> None:
    class Image:
        name, scale, translate, rgb, data = "a", (1, 1), (0, 0), False, masked()

    assert np.isnan(open_image(Image()).read()).sum() == 3
