import pytest

from napari_restore.core.plan import TilePlan, plan_tiles, reflected, round_up
from napari_restore.core.region import Region


def test_the_worked_example():
    plan = plan_tiles((3, 1000, 700), largest=(1, 512, 512), radius=(0, 23, 23), grid=(1, 4, 4))
    assert plan == TilePlan((3, 1000, 700), (1, 500, 352), (0, 24, 24))
    assert plan.grid == (3, 2, 2)
    assert len(plan) == 12
    assert plan.write(3) == Region((0, 500, 352), (1, 1000, 700))
    assert plan.read(3) == Region((0, 476, 328), (1, 1024, 728))
    assert plan.crop(3) == (slice(0, 1), slice(24, 524), slice(24, 372))


def test_the_worked_example_twice_as_fine():
    """What is owned and read lies on the image grid, what is written and cropped on the output grid."""
    plan = plan_tiles((3, 1000, 700), largest=(1, 512, 512), radius=(0, 23, 23), grid=(1, 4, 4), rate=(1, 2, 3))
    assert plan == TilePlan((3, 1000, 700), (1, 500, 352), (0, 24, 24), (1, 2, 3))
    assert plan.grid == (3, 2, 2)
    assert plan.own(3) == Region((0, 500, 352), (1, 1000, 700))
    assert plan.read(3) == Region((0, 476, 328), (1, 1024, 728))
    assert plan.write(3) == Region((0, 1000, 1056), (1, 2000, 2100))
    assert plan.crop(3) == (slice(0, 1), slice(48, 1048), slice(72, 1116))
    assert (plan.output_shape, plan.output_tile) == ((3, 2000, 2100), (1, 1000, 1056))
    assert (plan.read_shape, plan.restored_shape) == ((1, 548, 400), (1, 1096, 1200))


def test_the_worked_example_of_a_box():
    """Row 105 lies 1 beyond a step of the grid: reads begin there, and are one step longer. Column 352 is one."""
    plan = plan_tiles(
        (1, 400, 300), largest=(1, 256, 512), radius=(0, 23, 23), grid=(1, 4, 4), rate=(1, 2, 3), start=(2, 105, 352)
    )
    assert plan == TilePlan((1, 400, 300), (1, 200, 300), (0, 24, 24), (1, 2, 3), (2, 105, 352), (0, 4, 0))
    assert plan.box == Region((2, 105, 352), (3, 505, 652))
    assert plan.own(1) == Region((2, 305, 352), (3, 505, 652))
    assert plan.read(1) == Region((2, 280, 328), (3, 532, 676))
    assert plan.write(1) == Region((0, 400, 0), (1, 800, 900))
    assert plan.crop(1) == (slice(0, 1), slice(50, 450), slice(72, 972))
    assert (plan.output_shape, plan.output_tile) == ((1, 800, 900), (1, 400, 900))
    assert (plan.read_shape, plan.restored_shape) == ((1, 252, 348), (1, 504, 1044))


def test_without_a_rate_both_grids_are_one():
    plan = TilePlan((17, 23), (8, 8), (2, 2))
    assert plan.rate == (1, 1)
    assert plan == TilePlan((17, 23), (8, 8), (2, 2), (1, 1))
    assert plan.write(8) == plan.own(8) == Region((16, 16), (17, 23))
    assert plan.output_shape == (17, 23)


@pytest.mark.parametrize("rate", [(2,), (0, 1), (2, 2, 2)])
def test_a_rate_that_fits_no_image_is_our_mistake(rate):
    with pytest.raises(AssertionError, match="a rate of 1 or more an axis"):
        TilePlan((17, 23), (8, 8), (2, 2), rate)


def test_tiles_are_numbered_in_c_order():
    plan = TilePlan((2, 5, 7), (1, 4, 4), (0, 0, 0))
    assert [plan.corner(i) for i in range(5)] == [(0, 0, 0), (0, 0, 4), (0, 4, 0), (0, 4, 4), (1, 0, 0)]


@pytest.mark.parametrize("index", [-1, 4, 1000])
def test_there_is_no_tile_of_another_number(index):
    with pytest.raises(IndexError, match=f"tile {index} of 4"):
        TilePlan((8, 8), (4, 4), (0, 0)).write(index)


def test_an_image_smaller_than_a_tile_is_one_tile_on_the_grid():
    plan = plan_tiles((17, 1), largest=(512, 512), radius=(9, 9), grid=(2, 2))
    assert len(plan) == 1
    assert plan.tile == (18, 2)
    assert plan.write(0) == Region((0, 0), (17, 1))


@pytest.mark.parametrize(("n", "multiple", "wanted"), [(0, 4, 0), (1, 4, 4), (4, 4, 4), (5, 4, 8), (7, 1, 7)])
def test_round_up(n, multiple, wanted):
    assert round_up(n, multiple) == wanted


def test_pixel_minus_one_is_pixel_one():
    assert reflected(-3, 9, 5).tolist() == [3, 2, 1, 0, 1, 2, 3, 4, 3, 2, 1, 0]


def test_a_single_pixel_is_repeated():
    assert reflected(-4, 3, 1).tolist() == [0] * 7
