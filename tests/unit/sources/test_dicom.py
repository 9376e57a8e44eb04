"""DICOM: slices in order along their normal, in millimeters, in the values that they stand for."""

import imagecodecs
import numpy as np
import pytest
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

from napari_restore.core.errors import ImageError
from napari_restore.core.region import Region
from napari_restore.sources import open_image, recognises

ROWS, COLUMNS = 17, 24
SERIES = generate_uid()


def plane(seed, high=4096):
    return np.random.default_rng(seed).integers(0, high, (ROWS, COLUMNS)).astype(np.uint16)


def written(path, pixels, *, syntax=ExplicitVRLittleEndian, encoded=None, **elements):
    """A DICOM file; ``None`` for an element leaves it out."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = UID(syntax)
    meta.MediaStorageSOPClassUID = UID("1.2.840.10008.5.1.4.1.1.2")
    meta.MediaStorageSOPInstanceUID = generate_uid()
    data = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    plain = {
        "Rows": pixels.shape[-2] if pixels.shape[-1] != 3 else pixels.shape[-3],
        "Columns": pixels.shape[-1] if pixels.shape[-1] != 3 else pixels.shape[-2],
        "BitsAllocated": 8 * pixels.itemsize,
        "BitsStored": 8 * pixels.itemsize if pixels.itemsize == 1 else 12,
        "HighBit": 8 * pixels.itemsize - 1 if pixels.itemsize == 1 else 11,
        "PixelRepresentation": int(pixels.dtype.kind == "i"),
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Modality": "CT",
        "SeriesInstanceUID": SERIES,
        "PixelSpacing": [0.5, 0.7],
        "SliceThickness": 5,
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "RescaleSlope": 1,
        "RescaleIntercept": -1024,
    }
    for word, value in (plain | elements).items():
        if value is not None:
            setattr(data, word, value)
    data.PixelData = encapsulate([encoded]) if encoded is not None else pixels.tobytes()
    data["PixelData"].VR = "OB" if encoded is not None or pixels.itemsize == 1 else "OW"
    data.save_as(path, enforce_file_format=True)
    return path


def series(folder, heights, **elements):
    """Slices in files whose names and instance numbers run against their positions."""
    folder.mkdir(exist_ok=True)
    for i, height in enumerate(heights):
        written(folder / f"{i}", plane(i), ImagePositionPatient=[-10, 20, height], InstanceNumber=99 - i, **elements)
    return folder


def test_a_series_is_sorted_by_position_and_spaced_by_real_distance(tmp_path):
    folder = series(tmp_path / "s", [4.0, 0.0, 2.0])
    image = open_image(folder)
    assert recognises(folder) == "DICOM series"
    assert (image.name, image.axes, image.shape, image.chunks) == ("s", "ZYX", (3, ROWS, COLUMNS), (1, ROWS, COLUMNS))
    assert image.geometry.pixel_size == (2.0, 0.5, 0.7) and image.thickness == open_image(image).thickness == 5
    assert image.geometry.units == ("millimeter",) * 3
    assert image.geometry.origin == (0.0, 20.0, -10.0)
    assert image.dtype == np.int16
    expected = np.stack([plane(1), plane(2), plane(0)]).astype(np.int16) - 1024
    assert np.array_equal(image.read(), expected)
    region = Region((1, 3, 4), (3, 9, 20))
    assert np.array_equal(image.read(region), expected[region.slices])


def test_oblique_slices_are_measured_along_their_normal(tmp_path):
    (tmp_path / "s").mkdir()
    c, s = np.cos(0.4), np.sin(0.4)
    for i in range(3):
        position = [0, round(-3.0 * i * s, 9), round(3.0 * i * c, 9)]
        orientation = [1, 0, 0, 0, round(c, 12), round(s, 12)]
        path = tmp_path / "s" / str(i)
        written(path, plane(i), ImageOrientationPatient=orientation, ImagePositionPatient=position)
    assert open_image(tmp_path / "s").geometry.size_of("Z") == pytest.approx(3.0)


def test_a_missing_slice_is_said(tmp_path):
    image = open_image(series(tmp_path / "s", [0, 2, 4, 8, 10]))
    assert image.geometry.size_of("Z") == 2.0
    assert any("may be missing" in note for note in image.notes)


def test_the_largest_of_several_series_is_read_and_said(tmp_path):
    folder = series(tmp_path / "s", [0, 2, 4])
    written(folder / "other", plane(9), SeriesInstanceUID=generate_uid(), ImagePositionPatient=[0, 0, 0])
    (folder / "notes.txt").write_text("not a slice")
    image = open_image(folder)
    assert image.shape[0] == 3
    assert any("2 series" in note for note in image.notes)


def test_several_slices_at_each_position_are_times_or_refused(tmp_path):
    folder = series(tmp_path / "s", [0, 2, 4, 0, 2, 4])
    image = open_image(folder)
    assert (image.axes, image.shape) == ("TZYX", (2, 3, ROWS, COLUMNS))
    assert image.read()[0, 0, 0, 0] == int(plane(3)[0, 0]) - 1024
    (folder / "5").unlink()
    with pytest.raises(ImageError, match="5 slices lie at 3 positions"):
        open_image(folder)


def test_slices_that_differ_are_refused(tmp_path):
    folder = series(tmp_path / "s", [0, 2])
    written(folder / "z", plane(7).astype(np.int16), ImagePositionPatient=[0, 0, 4])
    with pytest.raises(ImageError, match="must agree"):
        open_image(folder)


@pytest.mark.parametrize(
    ("elements", "dtype"),
    [
        ({"RescaleIntercept": 0}, "u2"),
        ({"RescaleIntercept": -1024}, "i2"),
        ({"RescaleSlope": 100}, "i4"),
        ({"RescaleSlope": 0.5}, "f4"),
        ({"RescaleIntercept": None, "RescaleSlope": None}, "u2"),
        ({"BitsStored": 16, "HighBit": 15}, "i4"),
    ],
)
def test_rescaled_values_keep_whole_numbers_where_they_fit(tmp_path, elements, dtype):
    image = open_image(written(tmp_path / "a.dcm", plane(0), **elements))
    expected = plane(0) * float(elements.get("RescaleSlope", 1) or 1) + (elements.get("RescaleIntercept", -1024) or 0)
    assert image.dtype == np.dtype(dtype)
    assert np.array_equal(image.read(), expected.astype(dtype))


def test_signed_pixels_and_bits_above_those_stored(tmp_path):
    signed = plane(0).astype(np.int16) - 2048
    assert np.array_equal(open_image(written(tmp_path / "a", signed, RescaleIntercept=0)).read(), signed)
    overlay = plane(0) | np.uint16(0xF000)
    assert np.array_equal(open_image(written(tmp_path / "b", overlay, RescaleIntercept=0)).read(), plane(0))


@pytest.mark.parametrize(
    ("syntax", "encode"),
    [
        ("1.2.840.10008.1.2.4.90", lambda a: imagecodecs.jpeg2k_encode(a, codecformat="J2K", reversible=True)),
        ("1.2.840.10008.1.2.4.80", imagecodecs.jpegls_encode),
        ("1.2.840.10008.1.2.4.70", lambda a: imagecodecs.ljpeg_encode(a, bitspersample=12)),
        ("1.2.840.10008.1.2.4.57", lambda a: imagecodecs.ljpeg_encode(a, bitspersample=12)),
    ],
    ids=["JPEG 2000", "JPEG-LS", "JPEG lossless SV1", "JPEG lossless"],
)
def test_lossless_compression_is_exact(tmp_path, syntax, encode):
    path = written(tmp_path / "a.dcm", plane(0), syntax=syntax, encoded=encode(plane(0)))
    assert np.array_equal(open_image(path).read(), plane(0).astype(np.int16) - 1024)


def test_baseline_jpeg_in_colour_is_rgb(tmp_path):
    smooth = np.zeros((16, 24, 3), np.uint8)
    smooth[..., 0], smooth[..., 1] = 200, np.arange(0, 240, 10)
    elements = {"SamplesPerPixel": 3, "PhotometricInterpretation": "YBR_FULL_422", "PlanarConfiguration": 0}
    path = written(
        tmp_path / "a", smooth, syntax="1.2.840.10008.1.2.4.50", encoded=imagecodecs.jpeg_encode(smooth, level=98),
        RescaleIntercept=0, **elements,
    )  # fmt: skip
    image = open_image(path)
    assert (image.axes, image.shape) == ("YXC", (16, 24, 3))
    assert np.abs(image.read().astype(int) - smooth).max() < 25


def test_frames_of_one_file_are_slices(tmp_path):
    frames = np.stack([plane(i) for i in range(4)])
    path = written(tmp_path / "a", frames, NumberOfFrames=4, SpacingBetweenSlices=1.5)
    image = open_image(path)
    assert (image.axes, image.shape) == ("ZYX", (4, ROWS, COLUMNS))
    assert image.geometry.size_of("Z") == 1.5
    assert np.array_equal(image.read(), frames.astype(np.int16) - 1024)


def test_frames_with_a_frame_time_are_times(tmp_path):
    frames = np.stack([plane(i) for i in range(4)])
    image = open_image(written(tmp_path / "a", frames, NumberOfFrames=4, FrameTime=40))
    assert (image.axes, image.geometry.size_of("T"), image.geometry.units[0]) == ("TYX", 0.04, "second")


def test_enhanced_files_say_it_for_each_frame(tmp_path):
    def item(**elements):
        data = Dataset()
        for word, value in elements.items():
            setattr(data, word, value)
        return data

    frames = np.stack([plane(i) for i in range(3)])
    measures = item(PixelMeasuresSequence=Sequence([item(PixelSpacing=[0.3, 0.4], SliceThickness=9)]))
    places = [item(PlanePositionSequence=Sequence([item(ImagePositionPatient=[0, 0, z])])) for z in (4, 2, 0)]
    image = open_image(
        written(
            tmp_path / "a", frames, NumberOfFrames=3, PixelSpacing=None, SliceThickness=None, RescaleIntercept=0,
            SharedFunctionalGroupsSequence=Sequence([measures]), PerFrameFunctionalGroupsSequence=Sequence(places),
        )
    )  # fmt: skip
    assert image.geometry.pixel_size == (2.0, 0.3, 0.4)
    assert np.array_equal(image.read(), frames[::-1])


@pytest.mark.parametrize(
    ("elements", "words"),
    [
        ({"Rows": None}, "lacks Rows"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "PALETTE COLOR"),
        ({"Rows": 60_000, "Columns": 60_000}, "more than its length can hold"),
        ({"BitsAllocated": 24}, "24 bits"),
        ({"NumberOfFrames": 2_000_000_000}, "2000000000 frames"),
    ],
)
def test_what_cannot_be_read_is_refused_in_words(tmp_path, elements, words):
    with pytest.raises(ImageError, match=words) as caught:
        open_image(written(tmp_path / "a.dcm", plane(0), **elements))
    assert "\n" not in str(caught.value)


def test_compression_without_a_decoder_is_refused_on_opening(tmp_path):
    with pytest.raises(ImageError, match=r"1\.2\.840\.10008\.1\.2\.4\.100"):
        open_image(written(tmp_path / "a", plane(0), syntax="1.2.840.10008.1.2.4.100", encoded=b"\0\0\1\xb3"))


@pytest.mark.parametrize("share", [0.4, 0.7, 0.95])
def test_a_file_cut_short_is_refused(tmp_path, share):
    path = written(tmp_path / "a.dcm", plane(0))
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ImageError, match=r"a\.dcm"):
        open_image(path).read()


def test_a_file_without_preamble_opens(tmp_path):
    path = written(tmp_path / "a", plane(0))
    start = path.read_bytes().index(b"\x08\x00\x60\x00CS")
    path.write_bytes(path.read_bytes()[start:])
    assert recognises(path) == "DICOM"
    assert np.array_equal(open_image(path).read(), plane(0).astype(np.int16) - 1024)


def test_inverted_gray_is_said(tmp_path):
    image = open_image(written(tmp_path / "a", plane(0), PhotometricInterpretation="MONOCHROME1"))
    assert any("MONOCHROME1" in note for note in image.notes)


def test_a_dicom_whose_preamble_is_that_of_a_tiff_is_a_dicom(tmp_path):
    path = written(tmp_path / "a", plane(0))
    path.write_bytes(b"II*\0" + path.read_bytes()[4:])
    assert recognises(path) == "DICOM"
    open_image(path).read()


SLIDE = {"Modality": "SM", "RescaleIntercept": 0, "BitsStored": 16, "HighBit": 15, "SliceThickness": 0.001}


def slide(path, whole, tile, *, positions=None, **elements):
    """Planes ``(paths, focal planes, Y, X)`` or, in colour, ``(Y, X, 3)`` as tiles; given positions, in that order."""
    colour = whole.shape[-1] == 3
    planes = whole[None, None] if colour else whole
    rows, columns = (-(-n // t) for n, t in zip(planes.shape[2:4], tile, strict=True))
    padding = [(0, 0), (0, 0), (0, rows * tile[0] - planes.shape[2]), (0, columns * tile[1] - planes.shape[3])]
    padded = np.pad(planes, padding + [(0, 0)] * colour, constant_values=7)
    places = list(np.ndindex(*planes.shape[:2], rows, columns)) if positions is None else positions
    frames = [padded[p][f][r * tile[0] : (r + 1) * tile[0], c * tile[1] : (c + 1) * tile[1]] for p, f, r, c in places]
    said = {
        **SLIDE, "NumberOfFrames": len(frames), "Rows": tile[0], "Columns": tile[1],
        "TotalPixelMatrixRows": planes.shape[2], "TotalPixelMatrixColumns": planes.shape[3],
        "NumberOfOpticalPaths": planes.shape[0], "TotalPixelMatrixFocalPlanes": planes.shape[1],
        "DimensionOrganizationType": "TILED_FULL" if positions is None else "TILED_SPARSE",
    }  # fmt: skip
    if colour:
        said |= {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}
        said |= {"BitsStored": 8, "HighBit": 7}
    if positions is not None:
        said["PerFrameFunctionalGroupsSequence"] = Sequence([placed(place, tile) for place in places])
    return written(path, np.stack(frames), **said | elements)


def placed(place, tile):
    path, focal, row, column = place
    at, light, group = Dataset(), Dataset(), Dataset()
    at.RowPositionInTotalImagePixelMatrix, at.ColumnPositionInTotalImagePixelMatrix = (
        row * tile[0] + 1,
        column * tile[1] + 1,
    )
    at.ZOffsetInSlideCoordinateSystem, light.OpticalPathIdentifier = 0.002 * focal, f"light {path}"
    group.PlanePositionSlideSequence, group.OpticalPathIdentificationSequence = Sequence([at]), Sequence([light])
    return group


@pytest.mark.parametrize("shape", [(1, 1, 61, 83), (3, 1, 61, 83), (1, 2, 61, 83), (2, 3, 16, 99)])
def test_tiles_of_a_slide_are_put_together(tmp_path, shape):
    whole = np.random.default_rng(0).integers(0, 60_000, shape).astype(np.uint16)
    image = open_image(slide(tmp_path / "a.dcm", whole, (16, 24)))
    kept = tuple(n for n in shape[:2] if n > 1)
    assert (image.axes, image.shape) == ("C" * (shape[0] > 1) + "Z" * (shape[1] > 1) + "YX", kept + shape[2:])
    expected = whole.reshape(image.shape)
    assert np.array_equal(image.read(), expected)
    part = Region((0,) * len(kept) + (11, 20), (*kept, 16, 50))
    assert np.array_equal(image.read(part), expected[part.slices])
    assert image.geometry.size_of("Y") == 0.5


def test_a_slide_in_colour_is_one_plane_and_a_region_reads_its_tiles_alone(tmp_path, monkeypatch):
    from napari_restore.sources import dicom

    whole = np.random.default_rng(0).integers(0, 255, (61, 83, 3)).astype(np.uint8)
    image = open_image(slide(tmp_path / "a.dcm", whole, (16, 24)))
    read = []
    monkeypatch.setattr(
        dicom, "decode_frame", lambda plane, real=dicom.decode_frame: (read.append(plane.frame), real(plane))[1]
    )
    region = Region((15, 25, 1), (17, 40, 3))
    assert np.array_equal(image.read(region), whole[region.slices])
    assert read == [1, 5]
    assert (image.axes, image.shape) == ("YXC", whole.shape)
    assert np.array_equal(image.read(), whole)


def test_sparse_tiles_lie_where_they_say_and_the_glass_is_white(tmp_path):
    whole = np.random.default_rng(0).integers(0, 255, (32, 72, 3)).astype(np.uint8)
    places = [(0, 0, 1, 2), (0, 0, 0, 1), (0, 0, 1, 0)]
    image = open_image(slide(tmp_path / "a.dcm", whole, (16, 24), positions=places))
    expected = np.full_like(whole, 255)
    for _, _, row, column in places:
        box = slice(16 * row, 16 * row + 16), slice(24 * column, 24 * column + 24)
        expected[box] = whole[box]
    assert np.array_equal(image.read(), expected)
    assert "3 tiles were not taken; their pixels read as 255" in image.notes


@pytest.mark.parametrize(
    ("elements", "words"),
    [
        ({"TotalPixelMatrixRows": 200}, "take 52 tiles of 16 x 24, and it has 16 frames"),
        ({"NumberOfOpticalPaths": 10**6}, "take 16000000 tiles"),
        ({"ConcatenationUID": "1.2.3"}, "one part of a slide"),
        ({"NumberOfOpticalPaths": 2, "NumberOfFrames": 16, "TotalPixelMatrixRows": 32}, "2 optical paths in colour"),
    ],
)
def test_tiles_that_do_not_fit_are_refused_in_one_line(tmp_path, elements, words):
    whole = np.zeros((61, 83, 3), np.uint8)
    with pytest.raises(ImageError, match=words) as caught:
        open_image(slide(tmp_path / "a.dcm", whole, (16, 24), **elements))
    assert "\n" not in str(caught.value)


def test_sparse_tiles_that_overlap_or_lie_outside_are_refused(tmp_path):
    whole = np.zeros((1, 1, 32, 72), np.uint16)
    with pytest.raises(ImageError, match="in a place of its own"):
        open_image(slide(tmp_path / "a.dcm", whole, (16, 24), positions=[(0, 0, 0, 0)] * 2))
    file = slide(tmp_path / "b.dcm", whole, (16, 24), positions=[(0, 0, 0, 0), (0, 0, 1, 1)], TotalPixelMatrixRows=16)
    with pytest.raises(ImageError, match="in a place of its own"):
        open_image(file)


def test_each_level_of_a_slide_in_a_folder_is_an_image_of_its_own(tmp_path):
    slide(tmp_path / "large.dcm", np.full((1, 1, 61, 83), 2, np.uint16), (16, 24), SeriesDescription="x4")
    slide(tmp_path / "small.dcm", np.full((1, 1, 30, 40), 1, np.uint16), (16, 24), SeriesDescription="x2")
    assert open_image(tmp_path).shape == (61, 83)
    assert open_image(tmp_path, series="x2").shape == (30, 40)


def test_a_location_is_used_where_no_position_tells_slices_apart(tmp_path):
    for i, location in enumerate([4.0, 0.0, 2.0]):
        written(tmp_path / f"{i}", plane(i), ImagePositionPatient=[0, 0, 0], SliceLocation=location, InstanceNumber=i)
    image = open_image(tmp_path)
    assert (image.axes, image.geometry.size_of("Z")) == ("ZYX", 2.0)
    assert np.array_equal(image.read()[:, 3, 4], [int(plane(i)[3, 4]) - 1024 for i in (1, 2, 0)])
    assert any("SliceLocation" in note for note in image.notes)


def test_the_spacing_at_the_detector_is_used_where_there_is_no_other_and_said(tmp_path):
    path = written(tmp_path / "a.dcm", plane(0), PixelSpacing=None, ImagerPixelSpacing=[0.139, 0.14])
    image = open_image(path)
    assert image.geometry.pixel_size == (0.139, 0.14)
    assert any("ImagerPixelSpacing" in note for note in image.notes)
    other = open_image(written(tmp_path / "b.dcm", plane(0), ImagerPixelSpacing=[0.139, 0.14]))
    assert other.geometry.pixel_size == (0.5, 0.7)
