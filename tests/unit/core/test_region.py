import numpy as np
import pytest

from napari_restore.core.region import Region, split


def test_growing_and_shrinking_again_changes_nothing():
    region = Region((3, 0, -2), (17, 1, 5))
    assert region.grow((2, 1, 7)).grow((-2, -1, -7)) == region


def test_relative_to_puts_the_origin_at_zero():
    region = Region((5, 10), (9, 23))
    moved = region.relative_to(region.start)
    assert moved == Region((0, 0), (4, 13))
    assert moved.shift(region.start) == region


def test_scaling_keeps_the_pixels_inside_each_pixel():
    region = Region((-1, 2, 3), (1, 2, 5))
    assert region.scale((1, 2, 3)) == Region((-1, 4, 9), (1, 4, 15))
    assert region.scale((1, 2, 3)).relative_to((0, 4, 6)) == region.relative_to((0, 2, 2)).scale((1, 2, 3))


def test_clip_keeps_exactly_the_pixels_that_exist():
    shape = (17, 23)
    exists = {(y, x) for y in range(17) for x in range(23)}
    for region in (Region((-4, 20), (3, 40)), Region((16, 0), (17, 1)), Region((-9, -9), (50, 50))):
        wanted = {(y, x) for y in range(*_ends(region, 0)) for x in range(*_ends(region, 1))} & exists
        clipped = region.clip(shape)
        assert {(y, x) for y in range(*_ends(clipped, 0)) for x in range(*_ends(clipped, 1))} == wanted
        assert clipped.inside(shape)


@pytest.mark.parametrize("region", [Region((-5, 0), (-2, 3)), Region((30, 0), (40, 3)), Region((4, 4), (4, 9))])
def test_clip_of_nothing_is_empty_and_can_be_read(region):
    clipped = region.clip((17, 23))
    assert clipped.size == 0
    assert np.zeros((17, 23))[clipped.slices].shape == clipped.shape


def test_inside_is_about_every_axis():
    assert Region((0, 0), (17, 23)).inside((17, 23))
    assert not Region((0, 0), (17, 24)).inside((17, 23))
    assert not Region((-1, 0), (17, 23)).inside((17, 23))


def test_the_middle_is_as_large_as_there_is_and_no_larger_than_asked():
    assert Region.middle_of((17, 24, 1, 5), (4, 5, 3, 99)) == Region((6, 9, 0, 0), (10, 14, 1, 5))
    assert Region.middle_of((17, 23), (0, 23)).size == 0


def test_a_region_that_ends_before_it_starts_is_refused():
    with pytest.raises(ValueError, match=r"start <= stop.*\(3, 0\) to \(2, 5\)"):
        Region((3, 0), (2, 5))
    with pytest.raises(ValueError, match="start <= stop"):
        Region((3,), (5, 5))


@pytest.mark.parametrize(
    ("shape", "block"), [((17, 23), (5, 7)), ((1, 40), (3, 40)), ((3, 17, 23), (1, 16, 8)), ((4, 4), (9, 9))]
)
def test_split_is_a_partition(shape, block):
    count = np.zeros(shape, int)
    for region in split(shape, block):
        assert all(0 < n <= b for n, b in zip(region.shape, block, strict=True))
        count[region.slices] += 1
    assert (count == 1).all()


def _ends(region, axis):
    return region.start[axis], region.stop[axis]
