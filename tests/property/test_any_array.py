"""Whatever array is given, of whatever type, shape, chunks and name: a result, or one line that says why not."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from napari.layers import Image as ImageLayer

from napari_restore import restore
from napari_restore.core.errors import RestoreError
from napari_restore.core.normalisation import Normalisation
from napari_restore.sources import open_image
from napari_restore.store.model import Model, build_method

DTYPES = [
    "?", "i1", "u1", "<i2", ">u2", "<i4", "u4", "i8", "u8", "f2", "<f4", ">f8", "g", "c8", "M8[s]", "m8[ms]", "O", "U3",
    "S2", "V4", [("a", "u1"), ("b", "f4")],
]  # fmt: skip
NAMES = st.one_of(
    st.text(max_size=20),
    st.text(alphabet="実験ゼブラ胚é/\\\0.~ \n", min_size=60, max_size=300),
    st.sampled_from(["", ".", "..", "/", "a" * 290, "\ud800", "CON", "x.zarr", "-o", "~", "a\nb", "%s {0}"]),
)
SHAPES = st.lists(st.sampled_from([0, 1, 2, 3, 4, 5, 17, 23, 40]), min_size=0, max_size=6).filter(
    lambda shape: np.prod([max(1, n) for n in shape]) < 40_000
)


@pytest.fixture(scope="module")
def model():
    config = {"dimensions": "2", "width": 2, "depth": 1}
    method = build_method("noise2void", config, spatial="YX", channels=1, seed=0)
    return Model("noise2void", method.eval(), Normalisation((10.0,), (3.0,)))


@st.composite
def pixels(draw):
    shape, dtype = tuple(draw(SHAPES)), np.dtype(draw(st.sampled_from(DTYPES)))
    rng = np.random.default_rng(draw(st.integers(0, 3)))
    values = rng.normal(10, 3, shape) * draw(st.sampled_from([0.0, 1e-30, 1.0, 1e4, 1e30]))
    with np.errstate(all="ignore"):
        array = np.zeros(shape, dtype) if dtype.kind in "VMmUSO" else np.asarray(values).astype(dtype)
    if array.dtype.kind == "f" and draw(st.booleans()) and array.size:
        array.flat[0] = draw(st.sampled_from([np.nan, np.inf, -np.inf]))
    order = draw(st.sampled_from(["C", "F", "backwards", "frozen"]))
    if order == "backwards":
        return array[tuple(slice(None, None, -1) for _ in shape)] if shape else array  # indexed it would be no array
    array = np.asarray(array, order="F" if order == "F" else "C")
    array.flags.writeable = order != "frozen"
    return array


@st.composite
def lazy(draw, array):
    """The same as dask has it: chunks of all sizes, whole ones, and of a length that it does not know."""
    if not array.ndim or not array.size:
        return da.from_array(array, chunks=-1)
    chunks = tuple(draw(st.integers(1, n)) for n in array.shape)
    found = da.from_array(array, chunks=chunks)
    return found[da.from_array(np.arange(len(array)) % 2 == 0, chunks=chunks[0])] if draw(st.booleans()) else found


@st.composite
def things(draw):
    array = draw(pixels())
    kind = draw(st.sampled_from(["numpy", "list", "masked", "dask", "layer", "lazy layer"]))
    if kind == "masked" and array.dtype.kind in "iuf":
        return np.ma.masked_array(array, mask=np.arange(array.size).reshape(array.shape) % 3 == 0)
    if kind == "dask":
        return draw(lazy(array))
    if "layer" in kind and array.ndim >= 2 and array.dtype.kind in "iuf" and array.itemsize in (1, 4, 8) and array.size:
        data = da.from_array(array, chunks=-1) if kind == "lazy layer" else np.array(array)
        return ImageLayer(data, name=draw(NAMES), rgb=False, contrast_limits=(0, 1))
    return array.tolist() if kind == "list" and array.dtype.kind in "iuf" else array


def result_of(work):
    """What comes of it; None where it was refused, in one line."""
    try:
        return work()
    except RestoreError as error:
        said = str(error)
        assert said.strip() and "\n" not in said and "Error(" not in said, said
        return None


@settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(thing=things())
def test_it_opens_or_is_refused_in_one_line(thing):
    image = result_of(lambda: open_image(thing))
    if image is not None:
        assert image.read().shape == image.shape


@settings(max_examples=10, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(thing=things())
def test_it_is_restored_or_refused_in_one_line(model, thing):
    restored = result_of(lambda: restore(thing, model, device="cpu"))
    if restored is not None:
        assert np.asarray(restored).shape == open_image(thing).shape


@pytest.mark.parametrize("name", ["a" * 290, "実験ゼブラフィッシュ胚" * 8, "../\\x\0\n.zarr", "\ud800", ""])
def test_a_layer_of_any_name_gets_a_result_in_a_temporary_folder(model, name):
    layer = ImageLayer(np.random.default_rng(0).normal(10, 3, (48, 53)).astype(np.float32), name=name)
    assert restore(layer, model, device="cpu").shape == (48, 53)
