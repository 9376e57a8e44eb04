"""What people may say for a part of an image, and what is refused, with the limits and the next step."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_restore.core.errors import RestoreError
from napari_restore.core.region import Region
from napari_restore.restoration.part import by_axis, geometry_of, part_of
from napari_restore.sources import Image, open_image


def image(axes: str = "ZYX", shape: tuple[int, ...] = (5, 70, 83)) -> Image:
    return open_image(np.broadcast_to(np.uint8(0), shape), axes=axes)


@pytest.mark.parametrize(
    "region",
    [
        "Y=10:40,X=7:83,Z=3",
        " z = 3 , y=10 : 40, x=7:",
        {"Y": (10, 40), "X": (7, None), "Z": 3},
        {"y": [10, 40], "x": slice(7, None), "Z": slice(3, 4)},
        (3, (10, 40), (7, 83)),
        [slice(3, 4), slice(10, 40), slice(7, None, 1)],
        (np.int64(3), np.array([10, 40]).tolist(), (np.int32(7), 83)),
        Region((3, 10, 7), (4, 40, 83)),
    ],
)
def test_a_region_may_be_said_in_many_ways(region: Any) -> None:
    assert part_of(region, image()) == Region((3, 10, 7), (4, 40, 83))


@pytest.mark.parametrize("region", [None, {}, "Y=:", "Z=0:5,X=0:83", Region((0, 0, 0), (5, 70, 83)), [(0, None)] * 3])
def test_all_of_the_image_is_no_part(region: Any) -> None:
    assert part_of(region, image()) is None


@given(st.data())
def test_what_was_understood_is_understood_again(data: st.DataObject) -> None:
    start = tuple(data.draw(st.integers(0, n - 1)) for n in (5, 70, 83))
    stop = tuple(data.draw(st.integers(a + 1, n)) for a, n in zip(start, (5, 70, 83), strict=True))
    part = part_of(Region(start, stop), image())
    if part is not None:
        assert part_of(by_axis(part, "ZYX"), image()) == part


@pytest.mark.parametrize(
    ("region", "said"),
    [
        ({"Y": (0, 71)}, r"`region` Y=0:71: .* has 70 pixels along Y\. Give a first one from 0 on.* up to 70"),
        ({"Y": (-3, 20)}, r"Y=-3:20"),
        ("Y=30:30", r"Y=30:30"),
        ("X=60:50", r"X=60:50"),
        ("Z=5", r"Z=5:6: .* has 5 pixels along Z"),
        ("T=1", r"names axis T: .* has the axes ZYX"),
        ({"Y": 1, "y": 2}, r"names an axis twice"),
        ("Y=1,Y=2", r"Y=0:512,X=100:612"),
        ("", r"`region` = '': give ranges of pixels"),
        ("Y=1:2:3", r"give ranges of pixels"),
        ("Y=1.5:2", r"give ranges of pixels"),
        ({"Y": "1:2"}, r"'1:2' is no span of pixels"),
        ({"Y": (1, 2.5)}, r"\(1, 2\.5\) is no span"),
        ({"Y": True}, r"True is no span"),
        ({"Y": slice(0, 10, 2)}, r"slice\(0, 10, 2\) is no span"),
        ([(0, 10), (0, 10)], r"has 2 entries and .* has 3 axes, ZYX"),
        (Region((0, 0), (10, 10)), r"has 2 entries"),
        (7, r"`region` = 7: give ranges"),
    ],
)
def test_what_is_no_part_of_the_image_is_refused_in_words(region: Any, said: str) -> None:
    with pytest.raises(RestoreError, match=said) as error:
        part_of(region, image())
    assert "\n" not in str(error.value)


def test_channels_are_restored_together() -> None:
    colour = image("YXC", (20, 30, 3))
    assert part_of({"C": (0, 3), "Y": 4}, colour) == Region((4, 0, 0), (5, 30, 3))
    with pytest.raises(RestoreError, match=r"the 3 channels of .* are restored together.*`channel`"):
        part_of({"C": 1}, colour)


def test_a_part_lies_where_it_was_cut_from() -> None:
    whole = open_image(np.zeros((5, 70, 83)), axes="ZYX", pixel_size={"Z": 2.0, "Y": 0.5, "X": 0.25}).geometry
    there = geometry_of(Region((1, 10, 8), (3, 40, 83)), whole)
    assert (there.shape, there.origin) == ((2, 30, 75), (2.0, 5.0, 2.0))
    assert (there.axes, there.pixel_size, there.units) == (whole.axes, whole.pixel_size, whole.units)


def test_asking_loads_no_torch() -> None:
    code = "import sys; import napari_restore.restoration.part; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
