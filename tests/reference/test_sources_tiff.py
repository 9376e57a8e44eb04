"""TIFF pixels equal tifffile's own reading of the whole file, for many layouts."""

import numpy as np
import pytest
import tifffile

from napari_restore.core.region import Region
from napari_restore.sources import open_image

GREY = {"photometric": "minisblack"}
LAYOUTS = {
    "tiled jpeg 2000": ((3, 40, 50), {"compression": "jpeg2000", "tile": (16, 16)}),
    "jpeg rgb": ((40, 48, 3), {"compression": "jpeg", "photometric": "rgb", "tile": (16, 16)}),
    "planar rgb": ((3, 40, 50), {"photometric": "rgb", "planarconfig": "separate", "compression": "zlib"}),
    "planar rgb tiles": ((2, 3, 40, 50), {"photometric": "rgb", "planarconfig": "separate", "tile": (32, 16)}),
    "rgb stack": ((4, 17, 23, 3), {"photometric": "rgb", "rowsperstrip": 5, "compression": "lzw"}),
    "volumetric": ((20, 40, 50), {"volumetric": True, "tile": (4, 16, 16), "compression": "zlib"}),
    "predictor big endian": ((3, 17, 23), GREY | {"compression": "zlib", "predictor": True, "byteorder": ">"}),
    "packbits": ((3, 17, 23), GREY | {"compression": "packbits"}),
    "imagej hyperstack": ((2, 3, 2, 17, 23), {"imagej": True, "metadata": {"axes": "TZCYX"}}),
    "imagej rgb": ((3, 17, 23, 3), {"imagej": True, "metadata": {"axes": "ZYXS"}}),
    "ome hyperstack": ((2, 3, 4, 17, 23), {"ome": True, "metadata": {"axes": "TCZYX"}, "compression": "zstd"}),
    "truncated": ((5, 17, 23), {"truncate": True}),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_pixels_are_those_of_tifffile(tmp_path, layout):
    shape, options = LAYOUTS[layout]
    dtype = np.uint8 if "jpeg" in layout or "rgb" in layout else np.uint16
    pixels = np.random.default_rng(0).integers(0, 200, shape).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", pixels, **options)
    image = open_image(tmp_path / "a.tif")
    expected = tifffile.imread(tmp_path / "a.tif")
    assert image.shape == expected.shape
    assert np.array_equal(image.read(), expected)
    region = Region(tuple(n // 3 for n in shape), tuple(max(n // 3 + 1, 2 * n // 3) for n in shape))
    assert np.array_equal(image.read(region), expected[region.slices])


@pytest.mark.parametrize(
    ("layout", "axes"),
    [
        ("planar rgb", "CYX"),
        ("rgb stack", "ZYXC"),
        ("imagej hyperstack", "TZCYX"),
        ("imagej rgb", "ZYXC"),
        ("ome hyperstack", "TCZYX"),
        ("jpeg rgb", "YXC"),
    ],
)
def test_axes(tmp_path, layout, axes):
    shape, options = LAYOUTS[layout]
    tifffile.imwrite(tmp_path / "a.tif", np.zeros(shape, np.uint8), **options)
    assert open_image(tmp_path / "a.tif").axes == axes


def test_an_ome_tiff_of_several_files_is_one_image(tmp_path):
    planes = np.arange(3 * 17 * 23, dtype=np.uint16).reshape(3, 17, 23)
    for z, plane in enumerate(planes):
        tifffile.imwrite(tmp_path / f"z{z}.tif", plane, metadata=None)
    parts = "".join(
        f'<TiffData FirstZ="{z}" IFD="0" PlaneCount="1"><UUID FileName="z{z}.tif">urn:uuid:{z}</UUID></TiffData>'
        for z in range(3)
    )
    text = (
        '<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
        'UUID="urn:uuid:0"><Image ID="Image:0" Name="all"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" '
        'SizeX="23" SizeY="17" SizeZ="3" SizeC="1" SizeT="1" PhysicalSizeZ="0.7"><Channel ID="Channel:0:0" '
        f'SamplesPerPixel="1"/>{parts}</Pixels></Image></OME>'
    )
    tifffile.imwrite(tmp_path / "z0.tif", planes[0], metadata=None, description=text)
    image = open_image(tmp_path / "z0.tif")
    assert (image.axes, image.shape, image.geometry.size_of("Z")) == ("ZYX", (3, 17, 23), 0.7)
    assert np.array_equal(image.read(), planes)
