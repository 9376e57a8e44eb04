"""What OME-XML says about the microscope arrives, in micrometres, by whichever door the image comes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from napari.layers import Image as ImageLayer

from napari_restore.sources import open_image
from napari_restore.sources.optics import ChannelOptics, Optics, from_ome_xml

DAPI = (
    'Name="DAPI" ExcitationWavelength="405" EmissionWavelength="461" AcquisitionMode="LaserScanningConfocalMicroscopy"'
)
GFP = (
    'Name="GFP" ExcitationWavelength="4880" ExcitationWavelengthUnit="Å" EmissionWavelength="0.509" '
    'EmissionWavelengthUnit="µm"'
)
KNOWN = Optics(
    na=1.4,
    immersion="oil",
    refractive_index=1.518,
    magnification=63.0,
    channels=(
        ChannelOptics(name="DAPI", excitation=0.405, emission=0.461, pinhole=50.0, mode="confocal"),
        ChannelOptics(name="GFP", excitation=0.488, emission=0.509),
    ),
)


def ome_xml(
    shape: tuple[int, int, int, int] = (2, 3, 17, 23),
    *,
    channels: tuple[str, ...] = (DAPI + ' PinholeSize="50"', GFP),
    objective: str = 'LensNA="1.4" Immersion="Oil" NominalMagnification="63"',
    settings: str | None = 'ID="Objective:0:0" RefractiveIndex="1.518"',
    before: str = "",
) -> str:
    """Of a CZYX image."""
    c, z, y, x = shape
    lines = "".join(f'<Channel ID="Channel:0:{i}" SamplesPerPixel="1" {words}/>' for i, words in enumerate(channels))
    return (
        '<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        f'<Instrument ID="Instrument:0"><Objective ID="Objective:0:0" {objective}/></Instrument>{before}'
        '<Image ID="Image:0"><InstrumentRef ID="Instrument:0"/>'
        f"{f'<ObjectiveSettings {settings}/>' if settings else ''}"
        f'<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="{x}" SizeY="{y}" SizeZ="{z}" SizeC="{c}" '
        'SizeT="1" PhysicalSizeX="0.1" PhysicalSizeY="0.1" PhysicalSizeZ="0.3">'
        f"{lines}<TiffData/></Pixels></Image></OME>"
    )


def write(path: Path, xml: str, shape: tuple[int, ...] = (2, 3, 17, 23)) -> Path:
    pixels = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)
    tifffile.imwrite(path, pixels, description=xml.encode(), metadata=None, photometric="minisblack")
    return path


def test_an_ome_tiff_tells_its_objective_and_the_light_of_its_channels(tmp_path: Path) -> None:
    path = write(tmp_path / "two.ome.tif", ome_xml())
    assert open_image(path).optics == KNOWN
    assert open_image(open_image(path)).optics == KNOWN
    assert open_image(path, channel="GFP").optics == Optics(**{**vars(KNOWN), "channels": KNOWN.channels[1:]})
    assert KNOWN.said.startswith(
        "NA 1.4, oil, n 1.518, 63x; DAPI: excitation 405 nm, emission 461 nm, confocal, pinhole"
    )


def test_an_image_that_says_nothing_has_none(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "plain.tif", np.zeros((9, 9), np.uint8))
    assert open_image(tmp_path / "plain.tif").optics is None
    assert open_image(np.zeros((9, 9))).optics is None
    bare = write(tmp_path / "bare.ome.tif", ome_xml(channels=("", 'Name="b"'), objective="", settings=None))
    assert open_image(bare).optics is None


@pytest.mark.parametrize(
    ("given", "attribute", "expected"),
    [
        ({"objective": 'LensNA="nan"'}, "na", None),
        ({"objective": 'LensNA="-1.4"'}, "na", None),
        ({"objective": 'LensNA="63"'}, "na", None),
        ({"objective": 'LensNA="1,4"'}, "na", None),
        ({"objective": 'LensNA="1.1" Immersion="WaterDipping"'}, "immersion", "water"),
        ({"objective": 'Immersion="Multi"'}, "immersion", None),
        (
            {"settings": 'ID="Objective:0:0" Medium="Glycerol"', "objective": 'Immersion="Other"'},
            "immersion",
            "glycerol",
        ),
        ({"settings": 'ID="Objective:0:0" RefractiveIndex="0"'}, "refractive_index", None),
        ({"settings": None}, "na", 1.4),
        ({"settings": 'ID="Objective:9:9"'}, "na", None),
        ({"channels": ('EmissionWavelength="0"', "")}, "channels", (ChannelOptics(), ChannelOptics())),
        ({"channels": ('EmissionWavelength="inf"',)}, "channels", (ChannelOptics(),)),
        (
            {"channels": ('EmissionWavelength="5" EmissionWavelengthUnit="lightyear" AcquisitionMode="STED"',)},
            "channels",
            (ChannelOptics(),),
        ),
        ({"channels": ('AcquisitionMode="SPIM"',)}, "channels", (ChannelOptics(mode="lightsheet"),)),
    ],
)
def test_what_cannot_be_is_not_known(given: dict[str, Any], attribute: str, expected: Any) -> None:
    found = from_ome_xml(ome_xml(**given))
    assert found is not None and getattr(found, attribute) == expected


def test_of_several_images_each_has_its_own(tmp_path: Path) -> None:
    size = 'SizeX="5" SizeY="4" SizeZ="1" SizeC="1" SizeT="1"'
    channel = '<Channel EmissionWavelength="600"/>'
    first = f'<Image ID="Image:9"><Pixels ID="Pixels:9" {size}>{channel}</Pixels></Image>'
    xml = ome_xml(before=first)
    assert from_ome_xml(xml, image=1) == KNOWN
    other = from_ome_xml(xml)
    assert other is not None and other.channels == (ChannelOptics(emission=0.6),)
    assert from_ome_xml(xml, image=2) is None and from_ome_xml("<OME") is None


def test_a_zarr_of_bioformats2raw_has_them_beside_it(tmp_path: Path) -> None:
    root = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    root.attrs["bioformats2raw.layout"] = 3
    axes = [{"name": name} for name in "czyx"]
    for number in "01":
        image = root.create_group(number)
        image.create_array("0", data=np.zeros((2, 3, 17, 23), np.uint16))
        image.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": [{"path": "0"}]}]
    assert open_image(tmp_path / "a.zarr").optics is None
    (tmp_path / "a.zarr/OME").mkdir()
    xml = ome_xml()
    second = xml[xml.index("<Image ") : xml.index("</OME>")].replace("4880", "5140")
    (tmp_path / "a.zarr/OME/METADATA.ome.xml").write_text(xml.replace("</OME>", second + "</OME>"), encoding="utf-8")
    assert open_image(tmp_path / "a.zarr").optics == open_image(tmp_path / "a.zarr/0").optics == KNOWN
    for other in (open_image(tmp_path / "a.zarr", series=1), open_image(tmp_path / "a.zarr/1")):
        assert other.optics is not None and other.optics.channels[1].excitation == 0.514


def test_a_layer_has_those_of_its_metadata_or_of_its_file_where_the_shapes_agree(tmp_path: Path) -> None:
    path = write(tmp_path / "two.ome.tif", ome_xml())
    ours = {"napari_restore": {"location": str(path)}}
    stack = np.zeros((2, 3, 17, 23), np.uint16)
    assert open_image(ImageLayer(stack, metadata=ours)).optics == KNOWN
    assert open_image(ImageLayer(stack.transpose(1, 0, 2, 3), metadata=ours)).optics == KNOWN
    assert open_image(ImageLayer(stack[0], name="two GFP", metadata=ours)).optics == KNOWN.of_channel(1)
    assert open_image(ImageLayer(stack[0], name="two", metadata=ours)).optics == KNOWN
    assert open_image(ImageLayer(stack[..., 1:], metadata=ours)).optics is None, "cropped: who knows of what"
    assert open_image(ImageLayer(stack, metadata={"xml": ome_xml()})).optics == KNOWN
    gone = {"napari_restore": {"location": str(tmp_path / "gone.tif")}}
    assert open_image(ImageLayer(stack, metadata=gone)).optics is None
    assert open_image(ImageLayer(stack)).optics is None
