"""Named axes to samples and back: no axis order is special."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_restore.core.layout import from_samples, to_samples

MANY = settings(max_examples=60, deadline=None)

ORDERS = ["".join(p) for letters in ("YX", "CYX", "ZYX", "TYX") for p in permutations(letters)]


@st.composite
def images(draw):
    letters = "YX" + "".join(draw(st.sets(st.sampled_from("TCZ"))))
    axes = "".join(draw(st.permutations(letters)))
    shape = draw(st.tuples(*[st.integers(1, 4)] * len(axes)))
    spatial = draw(st.sampled_from(["YX", "ZYX"] if "Z" in axes else ["YX"]))
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape), axes, spatial


@MANY
@given(images())
def test_from_samples_undoes_to_samples(image):
    pixels, axes, spatial = image
    samples = to_samples(pixels, axes, spatial)
    back = from_samples(samples, pixels.shape, axes, spatial)
    assert back.shape == pixels.shape
    assert np.array_equal(back, pixels)


@MANY
@given(images())
def test_samples_are_n_c_and_the_spatial_axes_in_their_order(image):
    pixels, axes, spatial = image
    samples = to_samples(pixels, axes, spatial)
    length = dict(zip(axes, pixels.shape, strict=True))
    assert samples.shape[1:] == (length.get("C", 1), *[length[a] for a in spatial])
    assert samples.size == pixels.size


@pytest.mark.parametrize("axes", ORDERS)
def test_one_pixel_lands_where_its_axes_say(axes):
    size = {"T": 2, "C": 3, "Z": 4, "Y": 5, "X": 6}
    at = {"T": 1, "C": 2, "Z": 3, "Y": 4, "X": 1}
    pixels = np.zeros([size[a] for a in axes])
    pixels[tuple(at[a] for a in axes)] = 1
    n, c, y, x = np.argwhere(to_samples(pixels, axes, "YX"))[0]
    rest = [a for a in axes if a in "TZ"]
    assert (n, c, y, x) == (at[rest[0]] if rest else 0, at["C"] if "C" in axes else 0, at["Y"], at["X"])
