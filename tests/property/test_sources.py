"""Sources, for any shape and layout: a region is that of the whole; damage becomes an ``ImageError``, always."""

import math
import warnings

import dask.array as da
import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_restore.core.errors import ImageError
from napari_restore.core.region import Region
from napari_restore.sources import open_image, recognises

DTYPES = st.sampled_from(["u1", "u2", ">u2", "i2", "f4", ">f4", "f8"])
SHAPES = st.lists(st.integers(1, 23), min_size=2, max_size=4).map(tuple)
FEW = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def pixels(shape, dtype):
    return (np.arange(math.prod(shape)).reshape(shape) % 251).astype(dtype)


@st.composite
def region_of(draw, shape):
    ends = [sorted(draw(st.tuples(st.integers(0, n), st.integers(0, n)))) for n in shape]
    return Region(tuple(a for a, _ in ends), tuple(b for _, b in ends))


@FEW
@given(data=st.data(), shape=SHAPES, dtype=DTYPES, kind=st.sampled_from(["numpy", "dask", "zarr2", "zarr3"]))
def test_a_region_of_an_array(data, shape, dtype, kind):
    full = pixels(shape, dtype)
    chunks = tuple(data.draw(st.integers(1, n)) for n in shape)
    array = {
        "numpy": lambda: full,
        "dask": lambda: da.from_array(full, chunks=chunks),
        "zarr2": lambda: zarr.create_array({}, data=full, chunks=chunks, zarr_format=2),
        "zarr3": lambda: zarr.create_array({}, data=full, chunks=chunks),
    }[kind]()
    image = open_image(array, axes="TZYX"[-len(shape) :])
    region = data.draw(region_of(shape))
    part = image.read(region)
    assert part.dtype == full.dtype.newbyteorder("=")
    assert np.array_equal(part, full[region.slices])
    assert all(1 <= c <= n for c, n in zip(image.chunks, shape, strict=True))


@FEW
@given(
    data=st.data(),
    shape=SHAPES,
    dtype=DTYPES,
    compression=st.sampled_from([None, "zlib", "lzw", "zstd"]),
    layout=st.sampled_from([{}, {"tile": (16, 16)}, {"tile": (16, 32)}, {"rowsperstrip": 3}]),
    container=st.sampled_from([{}, {"bigtiff": True}, {"byteorder": ">"}, {"ome": True}]),
)
def test_a_region_of_a_tiff(tmp_path, data, shape, dtype, compression, layout, container):
    full = pixels(shape, dtype)
    axes = "TZYX"[-len(shape) :]
    path = tmp_path / "a.tif"
    options = {"compression": compression, "photometric": "minisblack", "metadata": {"axes": axes}}
    tifffile.imwrite(path, full, **options, **layout, **container)
    image = open_image(path, axes=axes if full.ndim == open_image(path).ndim else None)
    squeezed = full.reshape(image.shape)
    region = data.draw(region_of(image.shape))
    assert np.array_equal(image.read(region), squeezed[region.slices])
    assert image.dtype == full.dtype.newbyteorder("=")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """One small file of each kind."""
    folder = tmp_path_factory.mktemp("files")
    full = pixels((3, 17, 23), "u2")
    tifffile.imwrite(folder / "plain.tif", full, photometric="minisblack")
    tifffile.imwrite(folder / "zlib.tif", full, photometric="minisblack", compression="zlib", tile=(16, 16))
    tifffile.imwrite(folder / "imagej.tif", full, imagej=True, metadata={"axes": "ZYX", "unit": "um"})
    tifffile.imwrite(folder / "ome.tif", full, ome=True, photometric="minisblack", compression="lzw")
    np.save(folder / "a.npy", full)
    import imagecodecs

    (folder / "a.png").write_bytes(imagecodecs.png_encode(full[0]))
    (folder / "a.jpg").write_bytes(imagecodecs.jpeg_encode(full[0].astype("u1")))
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@settings(FEW, max_examples=150)
@given(data=st.data())
def test_damaged_files_open_or_are_refused_in_words(tmp_path, files, data):
    name = data.draw(st.sampled_from(sorted(files)))
    content = bytearray(files[name])
    # Headers and tables stand at both ends; damage there is the dangerous kind.
    near = st.integers(0, min(400, len(content) - 1))
    for _ in range(data.draw(st.integers(0, 4))):
        at = data.draw(near) if data.draw(st.booleans()) else len(content) - 1 - data.draw(near)
        content[at] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content
    path = tmp_path / name
    path.write_bytes(content)
    recognises(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            image = open_image(path)
            if image.nbytes < 2**24:
                image.read()
        except ImageError as error:
            assert "\n" not in str(error)


@settings(FEW, max_examples=60)
@given(content=st.binary(max_size=300))
def test_recognises_never_raises(tmp_path, content):
    path = tmp_path / "x"
    path.write_bytes(content)
    assert recognises(path) is None or isinstance(recognises(path), str)
