"""A pyramid level is what NumPy's block means say, for any size, however it is cut into chunks."""

import tempfile
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_restore.core.errors import OutputError
from napari_restore.core.geometry import Geometry
from napari_restore.core.region import split
from napari_restore.store import ome_zarr, pyramid
from napari_restore.store.pyramid import halved, levels, mean_pool


def block_means(pixels, factors):
    """Straight from the definition: the mean of the pixels each block really has."""
    shape = [-(-n // f) for n, f in zip(pixels.shape, factors, strict=True)]
    means = np.empty(shape)
    for index in product(*map(range, shape)):
        block = tuple(slice(i * f, i * f + f) for i, f in zip(index, factors, strict=True))
        means[index] = pixels[block].astype("f8").mean()
    return means


@given(
    shape=st.lists(st.integers(1, 7), min_size=2, max_size=4),
    bits=st.integers(0, 15),
    dtype=st.sampled_from(["uint8", "int8", "uint16", "int32", "float32", "float16"]),
)
@settings(max_examples=60, deadline=None)
def test_mean_pool(shape, bits, dtype):
    pixels = np.random.default_rng(bits).integers(-99 if dtype[0] != "u" else 0, 100, shape).astype(dtype)
    factors = [1 + (bits >> axis) % 2 for axis in range(len(shape))]
    expected = block_means(pixels, factors)
    pooled = mean_pool(pixels, factors)
    assert pooled.dtype == pixels.dtype
    if pixels.dtype.kind in "iu":
        np.testing.assert_array_equal(pooled, np.rint(expected))
    else:
        np.testing.assert_allclose(pooled, expected, rtol=2e-3 if dtype == "float16" else 1e-6, atol=1e-5)


@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 60), st.integers(1, 60)),
    block=st.integers(11, 30),
    most=st.sampled_from([7, 512]),
    order=st.randoms(use_true_random=False),
)
@settings(max_examples=16, deadline=None)
def test_block_by_block_in_any_order_is_level_by_level(shape, block, most, order):
    geometry = Geometry.of("ZYX", shape)
    pixels = np.random.default_rng(block).random(shape, dtype="f4")
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr(pyramid, "COARSEST", 16)
        patch.setattr(ome_zarr, "_CHUNK", dict.fromkeys("TCZYX", most))
        patch.setattr("os.fsync", lambda _: None)
        folder, blocks = Path(name), tuple(map(min, (2, block, block + 1), shape))
        array = ome_zarr.create_level(folder, 0, geometry, dtype=pixels.dtype, blocks=blocks, version="0.5")
        for region in split(shape, ome_zarr.block_of(array)):
            ome_zarr.write_blocks(array, folder / "0", region, pixels[region.slices])
        for level in pyramid.smaller_levels(geometry, blocks):
            factors = [1 if n == m else 2 for n, m in zip(level.above.shape, level.geometry.shape, strict=True)]
            pixels = mean_pool(pixels, factors)
            pyramid.begin(folder, level, dtype=pixels.dtype, version="0.5")
            numbers = order.sample(range(len(level)), len(level))
            assert [index for index, _ in pyramid.make(folder, level, numbers)] == numbers
            stored = ome_zarr.open_level(folder, level.number, mode="r")
            np.testing.assert_array_equal(stored[:], pixels)
            regions = [level.region(index) for index in range(len(level))]
            assert regions == list(split(level.geometry.shape, ome_zarr.block_of(stored)))


def test_no_level_is_made_from_a_block_that_is_not_there(tmp_path):
    """Zarr would read zeros for it."""
    geometry = Geometry.of("YX", (400, 300))
    array = ome_zarr.create_level(tmp_path, 0, geometry, dtype=np.dtype("f4"), blocks=(200, 200), version="0.5")
    array[:200] = 1
    [level, *_] = pyramid.smaller_levels(geometry, (200, 200))
    pyramid.begin(tmp_path, level, dtype=np.dtype("f4"), version="0.5")
    with pytest.raises(OutputError, match=r"0.c.1.0 is not there"):
        list(pyramid.make(tmp_path, level, [0]))


@given(block=st.tuples(st.integers(1, 200), st.integers(1, 5000), st.integers(1, 5000)))
def test_a_block_is_cut_into_equal_chunks_neither_large_nor_many(block):
    chunks = ome_zarr.chunks_of(block, "ZYX")
    for whole, part, most in zip(block, chunks, (8, 512, 512), strict=True):
        assert whole % part == 0
        assert part <= most or part == whole
        assert whole // part <= 2 * -(-whole // most)


@given(
    shape=st.tuples(st.integers(1, 40), st.integers(1, 3000), st.integers(1, 3000)),
    depth=st.floats(0.1, 10),
    unit=st.sampled_from(["micrometer", "pixel"]),
)
def test_levels_cover_the_same_ground(shape, depth, unit):
    geometry = Geometry.of(
        "ZYX", shape, pixel_size={"Z": depth}, units={"Z": unit, "Y": "micrometer", "X": "micrometer"}
    )
    whole = levels(geometry)
    assert max(whole[-1].shape[1:]) <= pyramid.COARSEST
    assert all(max(level.shape[1:]) > pyramid.COARSEST for level in whole[:-1])
    for level in whole:
        for n, first, size, n0, size0 in zip(
            level.shape, level.origin, level.pixel_size, shape, geometry.pixel_size, strict=True
        ):
            assert first - size / 2 == pytest.approx(-size0 / 2)  # the same lower edge
            assert 0 <= n * size - n0 * size0 < size + 1e-9  # the upper one within one pixel


def test_z_is_halved_where_its_pixels_are_as_small():
    geometry = Geometry.of("ZYX", (64, 1024, 1024), pixel_size={"Z": 3.0})
    assert [level.shape for level in levels(geometry)] == [(64, 1024, 1024), (64, 512, 512), (32, 256, 256)]
    assert halved(Geometry.of("TCZYX", (9, 2, 1, 301, 1))).shape == (9, 2, 1, 151, 1)
