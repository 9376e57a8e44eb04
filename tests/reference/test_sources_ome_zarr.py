"""OME-Zarr written by ome-zarr-py, the reference implementation, arrives with its axes and pixel sizes."""

import numpy as np
import pytest
import zarr
from ome_zarr.format import FormatV04, FormatV05
from ome_zarr.writer import write_multiscale

from napari_restore.sources import open_image

PIXELS = np.random.default_rng(0).integers(0, 60_000, (2, 4, 34, 46)).astype(np.uint16)


@pytest.mark.filterwarnings("ignore:The 'coordinate_transformations' argument")  # all that older versions of it know
@pytest.mark.parametrize("version", [FormatV04(), FormatV05()], ids=["0.4", "0.5"])
def test_levels_axes_and_scales(tmp_path, version):
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=version.zarr_format)
    axes = [
        {"name": "t", "type": "time", "unit": "second"},
        *({"name": name, "type": "space", "unit": "micrometer"} for name in "zyx"),
    ]
    scales = [[{"type": "scale", "scale": [2.0, 0.5, 0.1 * f, 0.1 * f]}] for f in (1, 2)]
    write_multiscale(
        [PIXELS, PIXELS[..., ::2, ::2]], group, fmt=version, axes=axes, coordinate_transformations=scales
    )  # fmt: skip
    for level, factor in enumerate((1, 2)):
        image = open_image(tmp_path / "a.zarr", level=level)
        assert image.axes == "TZYX"
        assert image.geometry.pixel_size == pytest.approx((2.0, 0.5, 0.1 * factor, 0.1 * factor))
        assert image.geometry.units == ("second", "micrometer", "micrometer", "micrometer")
        assert np.array_equal(image.read(), PIXELS[..., ::factor, ::factor])
