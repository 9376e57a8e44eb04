"""What lies in packed blocks is read in parts of few blocks, and is the same."""

from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

from napari_restore.core.region import Region
from napari_restore.sources import blocks, open_image
from napari_restore.sources.blocks import few_at_once, unpacked_at_once

PIXELS = np.arange(13 * 29 * 31, dtype=np.uint16).reshape(13, 29, 31)


def touched(region: Region, block: tuple[int, ...]) -> list[int]:
    return [-(-b // c) - a // c for a, b, c in zip(region.start, region.stop, block, strict=True)]


@given(
    st.tuples(*(st.tuples(st.integers(0, n), st.integers(0, n)).map(sorted) for n in PIXELS.shape)),
    st.tuples(*(st.integers(1, n + 3) for n in PIXELS.shape)),
    st.integers(1, 4000),
)
def test_a_region_is_the_same_in_parts_and_no_part_touches_many_blocks(
    spans: tuple[list[int], ...], block: tuple[int, ...], most: int
) -> None:
    asked: list[Region] = []

    def reader(region: Region) -> np.ndarray:
        asked.append(region)
        return PIXELS[region.slices]

    region = Region(tuple(a for a, _ in spans), tuple(b for _, b in spans))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "AT_ONCE", most * PIXELS.itemsize)
        found = few_at_once(reader, block, PIXELS.dtype)(region)
    np.testing.assert_array_equal(found, PIXELS[region.slices])
    assert found.dtype == PIXELS.dtype
    for part in asked:
        counts = touched(part, block)
        assert np.prod(counts) <= 1 or np.prod(counts) * np.prod(block) <= most
    read = sum(int(np.prod(touched(part, block))) for part in asked)
    assert read == np.prod(touched(region, block)), "no block is unpacked twice"


def test_large_chunks_of_a_zarr_are_unpacked_a_few_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "AT_ONCE", 4096)
    zarr.create_array(tmp_path / "a.zarr", data=PIXELS, chunks=(4, 16, 16))
    image = open_image(tmp_path / "a.zarr", axes="ZYX")
    np.testing.assert_array_equal(image.read(), PIXELS)
    assert unpacked_at_once(image, (1, 1, 1)) == 4 * 16 * 16 * 2
    assert unpacked_at_once(image, (13, 20, 20)) == 4096
    assert unpacked_at_once(open_image(PIXELS, axes="ZYX"), (13, 20, 20)) == 0
