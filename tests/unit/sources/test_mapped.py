"""Numbers in files: any region of any layout, and a file that gets shorter is one line, not the end of the process."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_restore.core.errors import ImageError
from napari_restore.core.region import Region
from napari_restore.sources import mapped, open_image
from napari_restore.sources.mapped import unmapped

FEW = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
SHAPES = st.lists(st.integers(1, 8), min_size=1, max_size=4).map(tuple)
DTYPES = st.sampled_from(["u1", "<u2", ">u2", "<f4", ">f8"])
SPANS = st.sampled_from([1, 40, 2**22])


def pixels(shape: tuple[int, ...], dtype: str, order: str) -> Any:
    return np.asarray((np.arange(math.prod(shape)).reshape(shape) % 251).astype(dtype), order=order)  # type: ignore[call-overload]


@st.composite
def region_of(draw: st.DrawFn, shape: tuple[int, ...]) -> Region:
    ends = [sorted(draw(st.tuples(st.integers(0, n), st.integers(0, n)))) for n in shape]
    return Region(tuple(a for a, _ in ends), tuple(b for _, b in ends))


@FEW
@given(data=st.data(), shape=SHAPES.filter(lambda s: len(s) > 1), dtype=DTYPES, order=st.sampled_from("CF"), span=SPANS)
def test_a_region_of_an_npy_file(tmp_path, data, shape, dtype, order, span):
    full = pixels(shape, dtype, order)
    np.save(tmp_path / "a.npy", full)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mapped, "_SPAN", span)
        image = open_image(tmp_path / "a.npy", axes="TZYX"[-len(shape) :])
        region = data.draw(region_of(shape))
        np.testing.assert_array_equal(image.read(region), full[region.slices])
        np.testing.assert_array_equal(image.read(), full)


@FEW
@given(data=st.data(), shape=SHAPES, dtype=DTYPES, order=st.sampled_from("CF"), mode=st.sampled_from(["r", "r+", "c"]))
def test_a_region_of_a_view_of_a_mapped_array(tmp_path, data, shape, dtype, order, mode):
    np.save(tmp_path / "a.npy", pixels(shape, dtype, order))
    view = np.load(tmp_path / "a.npy", mmap_mode=mode).transpose(data.draw(st.permutations(range(len(shape)))))
    step = st.builds(slice, st.integers(0, 1), st.none(), st.sampled_from([1, 2, -1]))
    view = view[data.draw(st.tuples(*[step] * len(shape)))]
    read = unmapped(np.asarray(view))
    assert read is not None
    region = data.draw(region_of(view.shape))
    np.testing.assert_array_equal(read(region), view[region.slices])


def test_an_array_in_memory_is_not_read_from_a_file(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((9, 9)))
    assert unmapped(np.zeros((9, 9))) is None
    assert unmapped(np.array(np.load(tmp_path / "a.npy", mmap_mode="r"))) is None


def test_what_is_changed_in_a_private_mapping_is_seen(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((9, 9)))
    array = np.load(tmp_path / "a.npy", mmap_mode="c")
    array[3, 4] = 7
    assert open_image(array).read()[3, 4] == 7


SHORTER = """
import os, sys
import numpy as np
from napari_restore.core.errors import ImageError
from napari_restore.sources import open_image
how, path = sys.argv[1:]
np.save(path, np.zeros((1500, 1500), np.uint16))
image = open_image({
    "file": lambda: path,
    "mapped": lambda: np.load(path, mmap_mode="r"),
    "private": lambda: np.load(path, mmap_mode="c"),
    "backwards": lambda: np.load(path, mmap_mode="r")[::-1],
}[how]())
image.read()
os.truncate(path, 5000)
try:
    image.read()
except ImageError as error:
    print(error)
"""


@pytest.mark.skipif(os.name == "nt", reason="a mapped file cannot get shorter there")
@pytest.mark.parametrize("how", ["file", "mapped", "private", "backwards"])
def test_a_file_that_gets_shorter_is_one_line_and_not_the_end_of_the_process(tmp_path: Path, how: str) -> None:
    command = [sys.executable, "-c", SHORTER, how, str(tmp_path / "a.npy")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.count("\n"), "cut short" in done.stdout) == (0, 1, True), done


def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((9, 9)))
    image = open_image(tmp_path / "a.npy")
    (tmp_path / "a.npy").unlink()
    with pytest.raises(ImageError, match=r"a\.npy: pixels .* cannot be read"):
        image.read()
