"""Which planes estimates are made from."""

import numpy as np
import pytest

from napari_restore.core.region import Region
from napari_restore.sources import open_image
from napari_restore.sources.planes import middle


@pytest.mark.parametrize(
    ("part", "channel", "wanted"),
    [
        (0.5, None, Region((2, 0, 5, 4, 0), (3, 1, 6, 13, 7))),
        (0.0, 1, Region((0, 1, 0, 4, 0), (1, 2, 1, 13, 7))),
        (0.9, None, Region((3, 0, 9, 4, 0), (4, 1, 10, 13, 7))),
    ],
)
def test_the_middle_of_a_plane_lies_where_it_was_asked_for(part, channel, wanted):
    image = open_image(np.zeros((5, 2, 11, 17, 7), np.uint8), axes="TCZYX")
    assert middle(image, part=part, size=9, channel=channel) == wanted
