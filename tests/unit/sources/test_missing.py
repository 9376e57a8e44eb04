"""What is missing: by a mask of any kind, and by how it looks; sound images miss nothing."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile

from napari_restore.core.errors import ImageError
from napari_restore.core.region import Region
from napari_restore.sources import open_image
from napari_restore.sources.missing import RULES, checksum_of, rules_of, with_gaps


def sound(shape: tuple[int, ...] = (40, 50), dtype: str = "uint16") -> np.ndarray:
    return np.random.default_rng(1).normal(1000, 30, shape).astype(dtype)


def missing(array: np.ndarray, *, axes: str | None = None, mask: object = None, rules: str = "auto") -> np.ndarray:
    return np.isnan(np.asarray(with_gaps(open_image(array, axes=axes), mask=mask, rules=rules_of(rules))))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "float32", "float64"])
def test_a_sound_image_misses_nothing_and_keeps_its_values(dtype: str) -> None:
    image = np.random.default_rng(1).normal(100, 9, (3, 40, 50)).astype(dtype)
    seen = with_gaps(open_image(image, axes="ZYX"), rules=rules_of("auto"))
    assert np.array_equal(np.asarray(seen), image)
    assert seen.stored == image.dtype


@pytest.mark.parametrize("axis", [0, 1])
def test_lines_dead_pixels_and_planes_are_found(axis: int) -> None:
    image = sound((4, 40, 50))
    wanted = np.zeros(image.shape, bool)
    np.moveaxis(wanted[0], axis, 0)[7] = True
    wanted[1, 3, 4] = True
    wanted[2] = True
    image[wanted] = 0
    assert np.array_equal(missing(image, axes="ZYX"), wanted)


def test_photons_in_the_dark_and_wide_borders_are_not_taken_for_missing() -> None:
    counts = np.random.default_rng(0).poisson(2.0, (60, 60)).astype("uint16")
    assert not missing(counts).any()
    framed = sound()
    framed[:12] = framed[:, -10:] = 0
    assert not missing(framed, rules="lines").any()


def test_saturated_and_zeros_only_when_asked() -> None:
    image = sound()
    image[5, 5:8], image[20, 30] = 65535, 0
    assert missing(image, rules="saturated").sum() == 3
    assert missing(image, rules="zeros+saturated").sum() == 4
    assert not missing(image, rules="nan").any()
    with pytest.raises(ImageError, match="no largest value"):
        missing(image.astype("float32"), rules="saturated")


@pytest.mark.parametrize("word", ["", "auto+", "dust"])
def test_an_unknown_look_is_refused_with_those_there_are(word: str) -> None:
    with pytest.raises(ImageError, match=RULES[0]):
        rules_of(word)


def test_masks_of_every_kind_say_the_same(tmp_path: Path) -> None:
    image, mask = sound((3, 40, 50)), np.zeros((40, 50), "uint8")
    mask[4:9, 20:22] = 7
    tifffile.imwrite(tmp_path / "mask.tif", mask)
    layer = {"scale": (1, 1), "translate": (0, 0), "name": "marks", "ndim": 2}
    labels = SimpleNamespace(data=mask, **layer)
    shapes = SimpleNamespace(data=[np.zeros((4, 2))], to_labels=lambda shape: mask.reshape(shape), **layer)
    whole = np.broadcast_to(mask, image.shape)
    for given in (mask, mask > 0, whole, tmp_path / "mask.tif", str(tmp_path / "mask.tif"), labels, shapes):
        assert np.array_equal(missing(image, axes="ZYX", mask=given, rules="nan"), whole > 0)


def test_channels_miss_the_same_pixels_and_a_region_is_a_crop() -> None:
    image, mask = sound((2, 3, 40, 50)), np.random.default_rng(0).random((3, 40, 50)) < 0.2
    seen = with_gaps(open_image(image, axes="CZYX"), mask=mask)
    whole = np.isnan(np.asarray(seen))
    assert np.array_equal(whole, np.stack([mask, mask]))
    box = Region((1, 0, 3, 7), (2, 2, 30, 50))
    assert np.array_equal(np.isnan(seen.read(box)), whole[box.slices])


def test_a_mask_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ImageError, match=r"shape \(9, 9\)"):
        missing(sound(), mask=np.zeros((9, 9)))


def test_another_mask_has_another_checksum() -> None:
    one = np.zeros((8, 8), bool)
    other = one.copy()
    other[2, 3] = True
    assert checksum_of(one) == checksum_of(one.astype("uint8"))
    assert checksum_of(one) != checksum_of(other)
