"""Tile plans: the integers behind *tiled = whole*."""

from math import ceil

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_restore.core.plan import plan_tiles, reflected
from napari_restore.core.region import Region, split

MANY = settings(max_examples=60, deadline=None)


@st.composite
def plans(draw):
    """Boxes of 1 to 3 axes with lengths down to 1, tiles that do not divide them, anisotropic grids and radii.

    A box is a whole image, or lies anywhere in one: on its border or off it, on the grid or between two steps of it.
    """
    ndim = draw(st.integers(1, 3))

    def each(low, high):
        return draw(st.tuples(*[st.integers(low, high)] * ndim))

    shape, largest, radius = each(1, 30), each(1, 40), each(0, 30)
    grid = tuple(2**d for d in each(0, 3))
    rate = each(1, 4 if ndim < 3 else 2)
    start = draw(st.one_of(st.just(()), st.tuples(*[st.integers(0, 40)] * ndim)))
    return plan_tiles(shape, largest=largest, radius=radius, grid=grid, rate=rate, start=start), largest, radius, grid


@MANY
@given(plans())
def test_every_pixel_is_written_by_exactly_one_tile(case):
    plan, *_ = case
    count = np.zeros(plan.output_shape, np.int8)
    for index in range(len(plan)):
        write = plan.write(index)
        assert write.size > 0
        assert write.inside(plan.output_shape)
        count[write.slices] += 1
    assert (count == 1).all()


@MANY
@given(plans())
def test_a_tile_writes_the_output_pixels_of_what_it_owns_and_they_are_whole_chunks(case):
    plan, *_ = case
    for index in (0, len(plan) // 2, len(plan) - 1):
        own, write = plan.own(index), plan.write(index)
        assert own.relative_to(plan.start).inside(plan.shape)
        assert write.shape == tuple(n * r for n, r in zip(own.shape, plan.rate, strict=True))
        for a, first, b, r in zip(own.start, plan.start, write.start, plan.rate, strict=True):
            assert b == (a - first) * r
        for a, b, n, chunk in zip(write.start, write.stop, plan.output_shape, plan.output_tile, strict=True):
            assert a % chunk == 0
            assert b % chunk == 0 or b == n


@MANY
@given(plans())
def test_every_read_has_one_shape_starts_on_the_grid_and_sees_all_it_needs(case):
    plan, _, radius, grid = case
    for index in range(len(plan)):
        read, own = plan.read(index), plan.own(index)
        assert read.shape == plan.read_shape
        assert all(
            start % g == 0 and length % g == 0 for start, length, g in zip(read.start, read.shape, grid, strict=True)
        )
        needed = own.grow(radius)
        assert all(a <= b for a, b in zip(read.start, needed.start, strict=True))
        assert all(a >= b for a, b in zip(read.stop, needed.stop, strict=True))


@MANY
@given(plans())
def test_the_crop_cuts_the_written_pixels_out_of_the_restored_ones(case):
    plan, *_ = case
    for index in (0, len(plan) // 2, len(plan) - 1):
        read = plan.read(index).relative_to(plan.start).scale(plan.rate)
        write = plan.write(index)
        assert read.shape == plan.restored_shape
        along = [range(a, b)[cut] for a, b, cut in zip(read.start, read.stop, plan.crop(index), strict=True)]
        assert [(r.start, r.stop) for r in along] == list(zip(write.start, write.stop, strict=True))


@MANY
@given(plans(), st.data())
def test_a_box_is_cut_as_an_image_of_its_shape_and_reads_at_most_one_step_of_the_grid_more(case, data):
    plan, largest, radius, grid = case
    start = data.draw(st.tuples(*[st.integers(0, 40)] * len(grid)))
    alone = plan_tiles(plan.shape, largest=largest, radius=radius, grid=grid, rate=plan.rate)
    box = plan_tiles(plan.shape, largest=largest, radius=radius, grid=grid, rate=plan.rate, start=start)
    assert (box.tile, box.halo, box.output_shape) == (alone.tile, alone.halo, alone.output_shape)
    for index in range(len(box)):
        assert box.write(index) == alone.write(index)
        assert box.own(index) == alone.own(index).shift(start)
        if all(s % g == 0 for s, g in zip(start, grid, strict=True)):
            assert box.read(index) == alone.read(index).shift(start)
    for longer, length, s, g in zip(box.read_shape, alone.read_shape, start, grid, strict=True):
        assert longer == length + (g if s % g else 0)


@MANY
@given(plans())
def test_tiles_are_as_few_as_allowed_and_no_larger_than_that_needs(case):
    """Without thin remainders: a step of the grid less, and there would be one tile more."""
    plan, largest, _, grid = case
    for n, tile, most, g, pieces in zip(plan.shape, plan.tile, largest, grid, plan.grid, strict=True):
        assert tile % g == 0
        assert tile <= ceil(most / g) * g
        assert pieces == ceil(n / (ceil(most / g) * g))
        assert tile == g or ceil(n / (tile - g)) > pieces


@MANY
@given(st.integers(1, 12), st.integers(0, 60), st.integers(0, 60))
def test_reflected_is_numpy_pad(length, before, after):
    axis = np.arange(length)
    wanted = np.pad(axis, (before, after), mode="reflect") if length > 1 else np.zeros(1 + before + after)
    assert np.array_equal(reflected(-before, length + after, length), wanted)


@MANY
@given(st.integers(1, 4), st.integers(1, 9))
def test_mirrored_apart_no_pixel_finds_itself_so_far_away(apart, more):
    length = apart + more
    index = reflected(-apart, length + apart, length, apart=apart)
    assert np.array_equal(index[apart:-apart], np.arange(length))
    for own in range(length):
        assert np.count_nonzero(index[own : own + 2 * apart + 1] == own) == 1


@MANY
@given(st.integers(1, 9), st.integers(-40, 40), st.integers(0, 20), st.integers(0, 20))
def test_the_mirror_belongs_to_the_image_and_not_to_who_reads(length, start, first, second):
    whole = reflected(start, start + first + second, length)
    parts = [reflected(start, start + first, length), reflected(start + first, start + first + second, length)]
    assert np.array_equal(whole, np.concatenate(parts))


boxes = st.lists(st.tuples(st.integers(-30, 30), st.integers(0, 30)), min_size=1, max_size=4).map(
    lambda pairs: Region(tuple(a for a, _ in pairs), tuple(a + n for a, n in pairs))
)


@MANY
@given(boxes, st.data())
def test_clipping_a_region_keeps_what_exists_and_nothing_else(region, data):
    shape = data.draw(st.tuples(*[st.integers(1, 20)] * len(region.start)))
    clipped = region.clip(shape)
    assert clipped.inside(shape)
    assert clipped.clip(shape) == clipped
    for a, b, n, c, d in zip(region.start, region.stop, shape, clipped.start, clipped.stop, strict=True):
        assert set(range(c, d)) == set(range(a, b)) & set(range(n))


@MANY
@given(st.lists(st.tuples(st.integers(1, 11), st.integers(1, 13)), min_size=1, max_size=3))
def test_split_is_a_partition(pairs):
    shape, block = [n for n, _ in pairs], [b for _, b in pairs]
    count = np.zeros(shape, int)
    for region in split(shape, block):
        count[region.slices] += 1
    assert (count == 1).all()
