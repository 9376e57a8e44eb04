"""TIFF: only what is needed is read, metadata arrive with their units, and damaged files are refused in words."""

import io
import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_restore.core.channel import Channel
from napari_restore.core.errors import ImageError
from napari_restore.core.region import Region
from napari_restore.sources import open_image

STACK = np.random.default_rng(0).integers(0, 60_000, (5, 37, 53)).astype(np.uint16)


def written(path, array=STACK, **options):
    tifffile.imwrite(path, array, **({"metadata": {"axes": "TZCYXS"[-array.ndim - 1 : -1]}} | options))
    return path


class CountingFile(io.FileIO):
    read_bytes = 0

    def read(self, size=-1):
        data = super().read(size)
        CountingFile.read_bytes += len(data)
        return data


@pytest.fixture
def counting(monkeypatch):
    """Counts the bytes that the room reads from files for pixels."""
    original = Path.open

    def opened(self, mode="r", **options):
        return CountingFile(self, "r") if options.get("buffering") == 0 else original(self, mode, **options)

    monkeypatch.setattr(Path, "open", opened)
    CountingFile.read_bytes = 0
    return CountingFile


@pytest.mark.parametrize(
    ("options", "limit"),
    [
        ({}, 5 * 53 * 2),
        ({"compression": "zlib", "tile": (16, 16)}, 2 * 16 * 16 * 2),
        ({"tile": (16, 16)}, 2 * 16 * 16 * 2),
        ({"compression": "zlib", "rowsperstrip": 8}, 2 * 8 * 53 * 2),
        ({"compression": "zlib"}, 37 * 53 * 2),
    ],
    ids=["plain", "compressed tiles", "tiles", "compressed strips", "one strip a page"],
)
def test_a_region_reads_only_the_rows_strips_or_tiles_it_needs(tmp_path, counting, options, limit):
    image = open_image(written(tmp_path / "a.tif", **options))
    counting.read_bytes = 0
    region = Region((3, 4, 5), (4, 9, 20))
    assert np.array_equal(image.read(region), STACK[region.slices])
    assert 0 < counting.read_bytes <= limit + 64


def test_a_compressed_page_is_decoded_once_for_many_reads(tmp_path, counting):
    image = open_image(written(tmp_path / "a.tif", compression="zlib"))
    counting.read_bytes = 0
    for row in range(0, 37, 4):
        image.read(Region((2, row, 0), (3, row + 1, 53)))
    assert counting.read_bytes <= 37 * 53 * 2 + 64


@pytest.mark.parametrize(
    "options", [{}, {"compression": "lzw", "tile": (16, 32)}, {"compression": "zstd", "predictor": True}]
)
def test_many_threads_read_what_one_reads(tmp_path, options):
    image = open_image(written(tmp_path / "a.tif", **options))
    rng = np.random.default_rng(3)
    corners = [np.sort(rng.integers(0, np.array(STACK.shape) + 1, (2, 3)), axis=0) for _ in range(80)]
    regions = [Region(tuple(map(int, a)), tuple(map(int, b))) for a, b in corners]
    with ThreadPoolExecutor(8) as pool:
        for region, part in zip(regions, pool.map(image.read, regions), strict=True):
            assert np.array_equal(part, STACK[region.slices]), region


def test_chunks_follow_the_layout(tmp_path):
    assert open_image(written(tmp_path / "a.tif")).chunks == (1, 37, 53)
    big = np.zeros((2, 600, 700), np.uint8)
    assert open_image(written(tmp_path / "b.tif", big, compression="zlib", tile=(128, 64))).chunks == (1, 256, 256)
    assert open_image(written(tmp_path / "c.tif", big, compression="zlib", tile=(512, 512))).chunks == (1, 512, 512)


@pytest.mark.parametrize(
    ("unit", "name"),
    [
        ("um", "micrometer"),
        ("micron", "micrometer"),
        ("\\u00B5m", "micrometer"),
        ("nm", "nanometer"),
        ("mm", "millimeter"),
        ("cm", "centimeter"),
        ("inch", "inch"),
    ],
)
def test_imagej_units(tmp_path, unit, name):
    metadata = {"axes": "ZYX", "spacing": 0.3, "unit": unit}
    path = written(tmp_path / "a.tif", imagej=True, resolution=(10, 20), metadata=metadata)
    geometry = open_image(path).geometry
    assert geometry.axes == "ZYX"
    assert geometry.pixel_size == pytest.approx((0.3, 0.05, 0.1))
    assert geometry.units == (name,) * 3


def test_imagej_time(tmp_path):
    path = written(tmp_path / "a.tif", imagej=True, metadata={"axes": "TYX", "finterval": 2.5})
    geometry = open_image(path).geometry
    assert (geometry.axes, geometry.size_of("T"), geometry.units[0]) == ("TYX", 2.5, "second")


def test_ome_sizes_units_and_channel_names(tmp_path):
    array = np.arange(2 * 3 * 17 * 23, dtype=np.uint16).reshape(2, 3, 17, 23)
    metadata = {
        "axes": "CZYX",
        "PhysicalSizeX": 100.0,
        "PhysicalSizeXUnit": "nm",
        "PhysicalSizeY": 0.2,
        "PhysicalSizeZ": 0.5,
        "PhysicalSizeZUnit": "µm",
        "Channel": {"Name": ["DAPI", "GFP"]},
    }
    path = written(tmp_path / "a.ome.tif", array, metadata=metadata)
    image = open_image(path)
    assert (image.name, image.axes) == ("a", "CZYX")
    assert image.geometry.pixel_size == (1.0, 0.5, 0.2, 100.0)
    assert image.geometry.units == ("pixel", "micrometer", "micrometer", "nanometer")
    green = open_image(path, channel="gfp")
    assert green.axes == "ZYX"
    assert np.array_equal(green.read(), array[1])


def staged(path, planes, channel=None, **said):
    """An OME-TIFF with pixels of 0.5, 0.2 and 0.1 µm, and what its planes say."""
    sizes = {"PhysicalSizeX": 100.0, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 0.2, "PhysicalSizeZ": 0.5}
    each = {key: value if isinstance(value, list) else [value] * len(STACK) for key, value in planes.items()}
    metadata = {"axes": "ZYX", **sizes, "Plane": each, **({"Channel": channel} if channel else {}), **said}
    return open_image(written(path / "stage.ome.tif", metadata=metadata))


def test_the_place_on_the_stage_is_read_in_the_units_of_the_pixels(tmp_path):
    words = {"PositionX": 5.12, "PositionXUnit": "mm", "PositionY": -300.0, "PositionYUnit": "µm"}
    image = staged(tmp_path, {**words, "PositionZ": [10.0 + z / 2 for z in range(len(STACK))], "PositionZUnit": "µm"})
    assert image.geometry.origin == (10.0, -300.0, 5.12e6)
    assert image.geometry.units == ("micrometer", "micrometer", "nanometer")


def test_a_frame_of_reference_is_in_micrometers_and_a_pixel_is_as_long_as_it_is(tmp_path):
    words = {"PositionX": 2.0, "PositionY": 50.0, "PositionYUnit": "pixel"}
    assert staged(tmp_path, words).geometry.origin == pytest.approx((0, 10.0, 2000.0))
    odd = {"PositionX": 7.0, "PositionXUnit": "furlong", "PositionZ": float("nan"), "PositionY": "3,5"}
    assert staged(tmp_path, odd).geometry.origin == (0, 0, pytest.approx(700))


def test_the_place_is_that_of_the_first_plane(tmp_path):
    array = np.zeros((2, 3, 17, 23), np.uint16)
    times, depths = [30.0] * 3 + [31.5] * 3, [4.0, 5.0, 6.0] * 2
    planes = {"DeltaT": times, "DeltaTUnit": ["ms"] * 6, "PositionZ": depths, "PositionZUnit": ["µm"] * 6}
    sizes = {"TimeIncrement": 1.5, "TimeIncrementUnit": "s", "PhysicalSizeZ": 1.0}
    image = open_image(written(tmp_path / "a.ome.tif", array, metadata={"axes": "TZYX", **sizes, "Plane": planes}))
    assert image.geometry.origin[:2] == pytest.approx((0.03, 4.0))
    assert (image.geometry.units[0], image.geometry.size_of("T")) == ("second", 1.5)


@pytest.mark.parametrize(("number", "colour"), [(16711935, "00FF00"), (-1, "FFFFFF"), (-16776961, "FF0000"), (255, "")])
def test_colours_of_ome_channels(tmp_path, number, colour):
    image = staged(tmp_path, {"PositionX": 0.0}, {"Name": ["GFP"], "Color": [number]})
    assert image.channels == (Channel("GFP", colour),)


def test_capitals_count_in_units(tmp_path):
    sizes = {"PhysicalSizeX": 2.0, "PhysicalSizeXUnit": "Mm", "PhysicalSizeY": 2.0, "PhysicalSizeYUnit": "mm"}
    image = open_image(written(tmp_path / "a.ome.tif", metadata={"axes": "ZYX", **sizes}))
    assert image.geometry.units == ("pixel", "millimeter", "megameter")


@pytest.mark.parametrize("unit", [None, "pixel", "pixels", "", "cubits"])
@pytest.mark.parametrize(("resolution", "sizes"), [((1, 1), (4, 1, 1)), ((2, 4), (4, 0.25, 0.5)), (None, (4, 1, 1))])
def test_imagej_slices_keep_their_distance_in_pixels(tmp_path, unit, resolution, sizes):
    metadata = {"axes": "ZYX", "spacing": 4.0} | ({"unit": unit} if unit is not None else {})
    told = {"resolution": resolution} if resolution else {}
    geometry = open_image(written(tmp_path / "a.tif", imagej=True, metadata=metadata, **told)).geometry
    assert (geometry.pixel_size, geometry.units) == (sizes, ("pixel",) * 3)


def test_imagej_slices_of_a_picture_for_print_keep_their_distance_and_those_of_centimeters_have_none(tmp_path):
    for dots, unit, sizes in ((72, "INCH", (4, 1, 1)), (5000, "CENTIMETER", (1, 2, 2))):
        told = {"resolution": (dots, dots), "resolutionunit": unit}
        image = open_image(written(tmp_path / "a.tif", imagej=True, metadata={"axes": "ZYX", "spacing": 4.0}, **told))
        assert image.geometry.pixel_size == pytest.approx(sizes)


def test_imagej_tables_and_labels_are_colours_and_names(tmp_path):
    array = np.zeros((3, 2, 17, 23), np.uint16)
    ramp = np.arange(256)
    tables = [np.stack([ramp * part for part in parts]).astype(np.uint8) for parts in ((0, 1, 0), (1, 0, 1))]
    labels = ["GFP", "mCherry"] * 3
    metadata = {"axes": "ZCYX", "LUTs": tables, "Labels": labels, "mode": "composite"}
    image = open_image(written(tmp_path / "a.tif", array, imagej=True, metadata=metadata))
    assert image.axes == "ZCYX"
    assert image.channels == (Channel("GFP", "00FF00"), Channel("mCherry", "FF00FF"))
    assert open_image(tmp_path / "a.tif", channel="mcherry").channels == image.channels[1:]
    tables[0][1, 40] = 200  # no even ramp
    metadata |= {"Labels": [f"{label} {i}" for i, label in enumerate(labels)]}
    other = open_image(written(tmp_path / "b.tif", array, imagej=True, metadata=metadata))
    assert other.channels == (Channel(), Channel("", "FF00FF"))


@pytest.mark.parametrize("dpi", [72, 96, 150, 300])
def test_dots_an_inch_of_photographs_are_no_pixel_size(tmp_path, dpi):
    path = written(tmp_path / "a.tif", STACK[0], resolution=(dpi, dpi), resolutionunit="INCH")
    assert open_image(path).geometry.units == ("pixel", "pixel")


def test_pixels_a_centimeter_are_a_pixel_size(tmp_path):
    path = written(tmp_path / "a.tif", STACK[0], resolution=(5000, 4000), resolutionunit="CENTIMETER")
    geometry = open_image(path).geometry
    assert geometry.pixel_size == pytest.approx((2.5, 2.0))
    assert geometry.units == ("micrometer", "micrometer")


def test_a_lower_level_lies_over_the_full_one(tmp_path):
    full = np.random.default_rng(1).integers(0, 255, (96, 64), np.uint8)
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as tif:
        options = {"resolutionunit": "CENTIMETER", "tile": (16, 16)}
        tif.write(full, subifds=1, resolution=(10_000, 10_000), **options)
        tif.write(full[::2, ::2], subfiletype=1, **options)
    image = open_image(path, level=1)
    assert np.array_equal(image.read(), full[::2, ::2])
    assert image.geometry.pixel_size == pytest.approx((2.0, 2.0))
    assert image.geometry.origin == pytest.approx((0.5, 0.5))
    with pytest.raises(ImageError, match="levels 0 to 1"):
        open_image(path, level=2)


def test_the_largest_of_several_images_is_read_and_said(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as tif:
        tif.write(STACK[0, :9, :9], metadata=None)
        tif.write(STACK[1], metadata=None)
    image = open_image(tmp_path / "a.tif")
    assert np.array_equal(image.read(), STACK[1])
    assert "2 images; number 1" in image.notes[0]


def test_pages_without_names_are_guessed_and_single_axes_dropped(tmp_path):
    image = open_image(written(tmp_path / "a.tif", metadata=None))
    assert image.axes == "ZYX"
    assert "guessed" in image.notes[0]
    assert open_image(written(tmp_path / "b.tif", STACK[:1], metadata=None)).axes == "YX"


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.8, 0.99])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression": "zlib"},
        {"imagej": True},
        {"metadata": None, "compression": "zlib"},
        {"tile": (16, 16)},
        {"bigtiff": True, "compression": "lzw"},
    ],
)
def test_a_file_cut_short_is_refused_and_never_read_as_zeros(tmp_path, options, share):
    path = written(tmp_path / "a.tif", np.maximum(STACK, 1), **options)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ImageError, match=r"^a\.tif") as caught:
        open_image(path).read()
    assert "\n" not in str(caught.value)


def test_a_page_cut_off_after_opening_is_named(tmp_path):
    path = written(tmp_path / "a.tif", compression="zlib")
    image = open_image(path)
    path.write_bytes(path.read_bytes()[:9000])
    image.read(Region((0, 0, 0), (1, 37, 53)))
    with pytest.raises(ImageError, match=r"a\.tif: page 2 should hold"):
        image.read()


def test_a_strip_that_was_never_written_is_refused(tmp_path):
    path = written(tmp_path / "a.tif", STACK[0], compression="zlib", rowsperstrip=8)
    with tifffile.TiffFile(path, mode="r+") as tif:
        counts = tif.pages[0].tags["StripByteCounts"]
        counts.overwrite([*counts.value[:2], 0, *counts.value[3:]])
    image = open_image(path)
    assert np.array_equal(image.read(Region((0, 0), (16, 53))), STACK[0, :16])
    with pytest.raises(ImageError, match="strip or tile 2 of page 0 was never written"):
        image.read()


def claiming(side):
    """A TIFF of some hundred bytes that claims to be an image of side x side pixels in one compressed strip."""
    tags = [(256, 4, 1, side), (257, 4, 1, side), (258, 3, 1, 16), (259, 3, 1, 8), (262, 3, 1, 1)]
    tags += [(273, 4, 1, 200), (277, 3, 1, 1), (278, 4, 1, side), (279, 4, 1, 100)]
    body = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags) + b"\0" * 4
    return (b"II*\0" + struct.pack("<I", 8) + body).ljust(384, b"\1")


@pytest.mark.parametrize("side", [20_000, 2_000_000])
def test_a_small_file_that_claims_a_huge_image_is_refused_on_opening(tmp_path, side):
    path = tmp_path / "a.tif"
    path.write_bytes(claiming(side))
    with pytest.raises(ImageError, match=f"{side}x{side} pixels"):
        open_image(path)


@pytest.mark.parametrize("back_to", [0, 1])
def test_a_chain_of_pages_that_is_a_loop_is_refused(tmp_path, back_to):
    path = written(tmp_path / "a.tif", metadata=None)
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tif:
        offsets = [page.offset for page in tif.pages]
    (count,) = struct.unpack_from("<H", content, offsets[-1])
    struct.pack_into("<I", content, offsets[-1] + 2 + 12 * count, offsets[back_to])
    path.write_bytes(content)
    with pytest.raises(ImageError, match="earlier page again"):
        open_image(path)


def test_metadata_that_plan_more_planes_are_those_of_a_stopped_acquisition(tmp_path):
    path = written(tmp_path / "a.tif", imagej=True, metadata={"axes": "ZYX"})
    path.write_bytes(path.read_bytes().replace(b"slices=5", b"slices=9").replace(b"images=5", b"images=9"))
    with pytest.raises(ImageError, match=r"was stopped: 5 of 9 planes along Z are there.*use takes the 5"):
        open_image(path)
    assert np.array_equal(open_image(path, incomplete="use").read(), STACK)


def test_an_ome_tiff_must_not_name_files_elsewhere(tmp_path):
    path = written(tmp_path / "a.ome.tif")
    text = tifffile.tiffcomment(path).replace('<UUID FileName="a.ome.tif"', '<UUID FileName="x"')
    evil = text.replace("<TiffData", '<TiffData><UUID FileName="../../x.tif">urn:uuid:1</UUID></TiffData><TiffData', 1)
    tifffile.tiffcomment(path, evil.encode())
    with pytest.raises(ImageError, match="not a file beside it"):
        open_image(path)


def test_a_plane_of_an_ome_tiff_that_is_missing_is_said(tmp_path):
    path = written(tmp_path / "a.ome.tif")
    other = '<TiffData FirstZ="4" IFD="0"><UUID FileName="gone.tif">urn:uuid:1</UUID></TiffData>'
    text = tifffile.tiffcomment(path)
    start = text.index("<TiffData")
    end = text.index("</Pixels>")
    tifffile.tiffcomment(path, (text[:start] + '<TiffData IFD="0" PlaneCount="4"/>' + other + text[end:]).encode())
    with pytest.raises(ImageError, match=r"1 of its 5 planes are not there, those of gone\.tif .* Put all files"):
        open_image(path)
    assert len(open_image(path, incomplete="use").read()) == 4
