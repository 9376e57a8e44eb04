import numpy as np
import pytest

from napari_restore.core.errors import ImageError
from napari_restore.core.region import Region
from napari_restore.sources import open_image
from napari_restore.sources.shifted import neighbouring_frames


def lapse(shape, axes):
    return open_image(np.arange(np.prod(shape), dtype=np.uint16).reshape(shape), axes=axes)


@pytest.mark.parametrize(("shape", "axes"), [((5, 3, 4), "TYX"), ((2, 3, 4), "TYX"), ((2, 5, 3, 4), "CTYX")])
def test_a_frame_is_the_next_one_and_the_last_is_the_one_before_it(shape, axes):
    image = lapse(shape, axes)
    axis = axes.index("T")
    later = neighbouring_frames(image)
    order = [*range(1, shape[axis]), shape[axis] - 2]
    assert np.array_equal(later.read(), image.read().take(order, axis))
    assert (later.axes, later.shape, later.dtype, later.chunks) == (image.axes, shape, image.dtype, image.chunks)


@pytest.mark.parametrize("first", range(4))
@pytest.mark.parametrize("length", [1, 2, 4])
def test_a_region_is_that_of_the_whole(first, length):
    later = neighbouring_frames(lapse((4, 5, 6), "TYX"))
    region = Region((first, 1, 2), (min(4, first + length), 4, 6))
    assert np.array_equal(later.read(region), later.read()[region.slices])


def test_no_frame_goes_with_itself():
    image = lapse((3, 2, 2), "TYX")
    assert (neighbouring_frames(image).read() != image.read()).all()


@pytest.mark.parametrize(("shape", "axes"), [((4, 5), "YX"), ((1, 4, 5), "TYX"), ((3, 4, 5), "ZYX")])
def test_a_single_frame_has_no_neighbour(shape, axes):
    with pytest.raises(ImageError, match=f"has axes {axes} and 1 frame.*`axes`"):
        neighbouring_frames(lapse(shape, axes))
