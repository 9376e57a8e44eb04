"""Events survive JSON, whatever they say."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from napari_restore.core.events import Measured, Note, Preview, from_json, to_json
from napari_restore.core.region import Region

MANY = settings(max_examples=60, deadline=None)

numbers = st.floats(allow_nan=False, allow_infinity=False)


@MANY
@given(st.text())
def test_any_text_survives_json_on_one_line(text):
    line = to_json(Note(text))
    assert len(line.splitlines()) == 1
    assert from_json(line) == Note(text)


@MANY
@given(st.integers(0, 2**53), numbers, numbers, st.none() | numbers)
def test_numbers_survive_json_to_the_last_bit(step, seconds, loss, rest):
    event = Measured(step, seconds, loss, rest, 1e-3, 0.5, rest)
    assert from_json(to_json(event)) == event


@MANY
@given(
    arrays.arrays(np.float32, arrays.array_shapes(min_dims=1, max_dims=4, max_side=5)),
    st.integers(-100, 100),
)
def test_pixels_and_regions_survive_json_to_the_last_bit(pixels, corner):
    region = Region.of_shape(pixels.shape).shift([corner] * pixels.ndim)
    back = from_json(to_json(Preview(1, region, pixels)))
    assert isinstance(back, Preview)
    assert back.region == region
    assert back.pixels.tobytes() == pixels.tobytes()
    assert back.pixels.shape == pixels.shape
