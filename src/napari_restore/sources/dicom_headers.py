"""What the header of a DICOM file says about each of its frames."""

from __future__ import annotations

import io
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_restore.core.errors import ImageError
from napari_restore.sources.described import MIB, explaining, most_from, one_line
from napari_restore.sources.dicom_tiles import Tiling, tiling_of

_GRAY = ("MONOCHROME1", "MONOCHROME2")
_COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
_MOST_FRAMES = 1_000_000
_FEW_FRAMES = 10_000
_BYTES_A_FRAME = 256
"""More frames than a few need so many bytes each, which is what 16 x 16 pixels take. Each is looked at on opening."""

_FEW_READS = 50_000
_BYTES_A_READ = 100
"""pydicom reads an element in two or three pieces and takes 20 µs for each, also for items of nothing in a sequence of
no said length: 8 MB of them take a minute. A frame of a real file takes about 60 pieces, and its pixels 8 kB."""

_FEW_ITEMS = 20_000
_BYTES_AN_ITEM = 64
"""The same for the items of a sequence with a said length, which pydicom takes apart when it is asked for."""

HEADER = 16 * MIB
"""Of a deflated file, so much is inflated to find its header."""

_ITEM = b"\xfe\xff\x00\xe0"

_LEAST_FRAME = 8
"""Bytes of a packed frame: the mark and the length of its item."""

_META = 132 + 12
"""Bytes before the meta information whose length it tells: preamble, mark, and the element with the length."""

DEFLATED = "1.2.840.10008.1.2.1.99"
PLAIN = "1.2.840.10008.1.2.1"

JPEG_PLUGIN = "imagecodecs"
SYNTAXES = {
    "1.2.840.10008.1.2": "",
    "1.2.840.10008.1.2.1": "",
    "1.2.840.10008.1.2.1.99": "",  # deflated
    "1.2.840.10008.1.2.2": "",  # big endian
    "1.2.840.10008.1.2.4.50": JPEG_PLUGIN,  # JPEG baseline
    "1.2.840.10008.1.2.4.51": JPEG_PLUGIN,  # JPEG extended, 12 bits
    "1.2.840.10008.1.2.4.57": JPEG_PLUGIN,  # JPEG lossless
    "1.2.840.10008.1.2.4.70": JPEG_PLUGIN,  # JPEG lossless, first-order prediction
    "1.2.840.10008.1.2.4.80": "pyjpegls",
    "1.2.840.10008.1.2.4.81": "pyjpegls",
    "1.2.840.10008.1.2.4.90": "pylibjpeg",  # JPEG 2000 by pylibjpeg-openjpeg
    "1.2.840.10008.1.2.4.91": "pylibjpeg",
    "1.2.840.10008.1.2.4.201": "pylibjpeg",  # high-throughput JPEG 2000
    "1.2.840.10008.1.2.4.202": "pylibjpeg",
    "1.2.840.10008.1.2.4.203": "pylibjpeg",
    "1.2.840.10008.1.2.5": "pydicom",  # RLE
}
"""Transfer syntaxes that are read, and which of pydicom's plugins decodes them."""


@dataclass(frozen=True)
class Plane:
    """One frame of a DICOM file.

    Attributes
    ----------
    stored
        Pixel type before the rescale; ``bits`` of it are used.
    slope, intercept
        Of the rescale to the values that the image stands for (Hounsfield units in CT).
    spacing, spaced_by
        Millimeters between rows and between columns, and the element that says so where it is not the usual one.
    thickness
        Of the slice, in millimeters, where it is said.
    height, corner
        Position of the first pixel along the normal of the slice, and along its columns and rows, in millimeters.
    location
        What the header calls the position of the slice, in millimeters along no axis that is said.
    tiling
        How the frames lie in larger planes, where they are tiles of them.
    series
        Equal for the planes that belong together.
    padding
        Stored values, from and to, that fill up what was not measured.
    """

    path: Path
    frame: int
    syntax: str
    shape: tuple[int, ...]
    samples: int
    photometric: str
    stored: np.dtype[Any]
    bits: int
    slope: float
    intercept: float
    spacing: tuple[float, float] | None
    spaced_by: str
    slice_distance: float | None
    thickness: float | None
    height: float | None
    location: float | None
    corner: tuple[float, float] | None
    instance: int
    frame_time: float | None
    series: tuple[Any, ...]
    title: str
    tiling: Tiling | None = field(default=None, repr=False)
    padding: tuple[int, int] | None = None

    @property
    def value_range(self) -> tuple[int, int]:
        """The smallest and largest stored value."""
        if self.stored.kind == "i":
            return -(2 ** (self.bits - 1)), 2 ** (self.bits - 1) - 1
        return 0, 2**self.bits - 1


def read_planes(path: Path) -> list[Plane]:
    """All frames of a file, without their pixels."""
    from pydicom.errors import BytesLengthException, InvalidDicomError

    with explaining(f"{path.name} cannot be read as DICOM", BytesLengthException, InvalidDicomError):
        header = _read_header(path)
        _refuse_unreadable(header, path)
        frames = int(header.get("NumberOfFrames") or 1)
        if not 1 <= frames <= _MOST_FRAMES:
            raise ImageError(f"{path.name} claims {frames} frames; 1 to {_MOST_FRAMES} are possible.")
        _refuse_items(header, path)
        first = _plane(header, path, 0, frames)
        _refuse_frames(first, frames)
        tiling = tiling_of(header, path, frames)
        if tiling is not None:  # each of them is a plane by itself, whatever else has its series
            tiled = replace(first, tiling=tiling, series=(*first.series, str(path)))
            return [replace(tiled, frame=frame) for frame in range(frames)]
        own = len(header.get("PerFrameFunctionalGroupsSequence") or ())
        return [
            first if frame == 0 else _plane(header, path, frame, frames) if frame < own else replace(first, frame=frame)
            for frame in range(frames)
        ]


def _read_header(path: Path) -> Any:
    """The elements before the pixels."""
    import pydicom

    meta = _meta_of(path)
    if meta is None or meta.get("TransferSyntaxUID") != DEFLATED:
        with _CountedFile(path) as file:
            return pydicom.dcmread(file, stop_before_pixels=True, force=True)
    header = pydicom.dcmread(io.BytesIO(inflated(path, HEADER)), stop_before_pixels=True, force=True)
    header.file_meta = meta
    return header


def inflated(path: Path, most: int) -> bytes:
    """What comes after the meta information of a deflated file, up to so many bytes; pydicom would inflate it all."""
    length = _meta_of(path).FileMetaInformationGroupLength
    with path.open("rb") as file:
        file.seek(_META + int(length))
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(file.read(), most)


def _meta_of(path: Path) -> Any:
    """The meta information, or None in very old files, which have none and are never deflated."""
    from pydicom.errors import InvalidDicomError
    from pydicom.filereader import read_file_meta_info

    try:
        return read_file_meta_info(path)
    except InvalidDicomError:
        return None


class _CountedFile(io.BufferedReader):
    """A file that may be read in as many pieces as its length explains."""

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path))
        self._name, self._left = path.name, max(_FEW_READS, path.stat().st_size // _BYTES_A_READ)

    def read(self, size: int | None = -1, /) -> bytes:
        """The next bytes."""
        self._left -= 1
        if self._left < 0:
            raise ImageError(f"{self._name}: its header has more elements than a file of its length can mean.")
        return super().read(size)


def _refuse_frames(first: Plane, frames: int) -> None:
    """More frames than bytes for them; of a deflated file, than could be inflated."""
    size, least = first.path.stat().st_size, _least_frame(first)
    least = least if frames <= _FEW_FRAMES else max(least, _BYTES_A_FRAME)
    room = most_from(size, frames * least) if first.syntax == DEFLATED else size
    if frames > 1 and frames * least > room:
        raise ImageError(
            f"{first.path.name} claims {frames} frames of at least {least} bytes, and its {size} bytes cannot hold "
            "them: it is cut short or damaged. Copy it again."
        )


def _refuse_items(header: Any, path: Path) -> None:
    for word in ("PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence"):
        value = getattr(header.get_item(word), "value", None) if word in header else None
        if isinstance(value, bytes) and value.count(_ITEM) > max(_FEW_ITEMS, len(value) // _BYTES_AN_ITEM):
            raise ImageError(f"{path.name}: its {word} has more items than its {len(value)} bytes can mean.")


def _least_frame(plane: Plane) -> int:
    """Bytes that a frame takes in the file at the least."""
    if SYNTAXES[plane.syntax]:
        return _LEAST_FRAME
    nbytes = math.prod(plane.shape) * plane.stored.itemsize
    if plane.photometric == "YBR_FULL_422":  # two pixels share their colour
        return nbytes * 2 // 3
    return nbytes // 8 if plane.bits == 1 else nbytes


def _refuse_unreadable(header: Any, path: Path) -> None:
    missing = [w for w in ("Rows", "Columns", "BitsAllocated", "PhotometricInterpretation") if not header.get(w)]
    if missing:
        kind = f" (modality {one_line(header.Modality)})" if header.get("Modality") else ""
        raise ImageError(f"{path.name}{kind} is not an image: its header lacks {', '.join(missing)}.")
    photometric = str(header.PhotometricInterpretation)
    if photometric not in (*_GRAY, *_COLOUR):
        raise ImageError(
            f"{path.name}: pixels of kind {one_line(photometric)} are not supported. Export it as MONOCHROME2 or RGB."
        )
    syntax = _transfer_syntax(header)
    if syntax not in SYNTAXES:
        raise ImageError(
            f"{path.name}: its compression (transfer syntax {one_line(syntax)}) is not supported. "
            "Convert it to JPEG 2000 or to an uncompressed file."
        )
    if "ModalityLUTSequence" in header:
        raise ImageError(f"{path.name}: its values go through a modality look-up table, which is not supported.")


def _padding(header: Any, stored: np.dtype[Any]) -> tuple[int, int] | None:
    """Stored values that fill up what was not measured (PS3.3, C.7.5.1.1.2); their sign is that of the pixels."""
    ends = [header.get("PixelPaddingValue"), header.get("PixelPaddingRangeLimit")]
    numbers = [int(end) for end in ends if isinstance(end, int | float) and math.isfinite(end)]
    if not isinstance(ends[0], int | float) or not numbers:
        return None
    if stored.kind == "i":
        limit = 1 << (8 * stored.itemsize - 1)
        numbers = [n - 2 * limit if limit <= n < 2 * limit else n for n in numbers]
    return min(numbers), max(numbers)


def _plane(header: Any, path: Path, frame: int, frames: int) -> Plane:
    groups = _groups(header, frame)
    samples = int(header.get("SamplesPerPixel") or 1)
    stored = _stored_dtype(header, path)
    position = _numbers(_find("ImagePositionPatient", groups), 3)
    orientation = _numbers(_find("ImageOrientationPatient", groups), 6) or ((1.0, 0.0, 0.0, 0.0, 1.0, 0.0))
    height, corner = _placed(position, orientation)
    spacing, spaced_by = _spacing(groups)
    thick = _numbers([_find("SliceThickness", groups)], 1)
    between = _numbers([_find("SpacingBetweenSlices", groups)], 1) or thick
    time = _numbers([header.get("FrameTime")], 1) if frames > 1 else None
    return Plane(
        path=path,
        frame=frame,
        syntax=_transfer_syntax(header),
        shape=(int(header.Rows), int(header.Columns)) + ((samples,) if samples > 1 else ()),
        samples=samples,
        photometric=str(header.PhotometricInterpretation),
        stored=stored,
        bits=int(header.get("BitsStored") or header.BitsAllocated),
        slope=_number(_find("RescaleSlope", groups), 1.0),
        intercept=_number(_find("RescaleIntercept", groups), 0.0),
        spacing=spacing,
        spaced_by=spaced_by,
        slice_distance=abs(between[0]) if between and between[0] else None,
        thickness=thick[0] if thick and thick[0] > 0 else None,
        height=height,
        location=(_numbers([_find("SliceLocation", groups)], 1) or (None,))[0],
        corner=corner,
        instance=int(_number(header.get("InstanceNumber"), 0.0)),
        frame_time=time[0] / 1000 if time and time[0] > 0 else None,
        series=(
            str(header.get("SeriesInstanceUID")),
            int(header.Rows),
            int(header.Columns),
            samples,
            _rounded(orientation),
        ),
        title=one_line(header.get("SeriesDescription") or header.get("SeriesNumber") or "without a name"),
        padding=_padding(header, stored),
    )


def _spacing(groups: Sequence[Any]) -> tuple[tuple[float, float] | None, str]:
    """Of rows and columns; at the detector of a radiograph or scanner, which is said, where nothing better is there."""
    for word in ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"):
        found = _numbers(_find(word, groups), 2)
        if found and min(found) > 0:
            return (found[0], found[1]), "" if word == "PixelSpacing" else word
    return None, ""


def _transfer_syntax(header: Any) -> str:
    """From the file's meta information; very old files have none and are plain."""
    meta = getattr(header, "file_meta", None)
    if meta is not None and meta.get("TransferSyntaxUID"):
        return str(meta.TransferSyntaxUID)
    implicit, little = header.original_encoding
    return "1.2.840.10008.1.2" if implicit else "1.2.840.10008.1.2.1" if little else "1.2.840.10008.1.2.2"


def _groups(header: Any, frame: int) -> list[Any]:
    """Where a value may stand: in the frame's groups, the groups that all frames share, the header."""
    per_frame = header.get("PerFrameFunctionalGroupsSequence") or ()
    shared = header.get("SharedFunctionalGroupsSequence") or ()
    parts = [*per_frame[frame : frame + 1], *shared[:1]]
    words = (
        "PixelMeasuresSequence",
        "PlanePositionSequence",
        "PlaneOrientationSequence",
        "PixelValueTransformationSequence",
    )
    return [part.get(word)[0] for part in parts for word in words if part.get(word)] + [header]


def _find(word: str, groups: Sequence[Any]) -> Any:
    return next((group.get(word) for group in groups if group.get(word) is not None), None)


def _stored_dtype(header: Any, path: Path) -> np.dtype[Any]:
    bits = int(header.BitsAllocated)
    if "PixelRepresentation" not in header and bits in (32, 64):
        return np.dtype(f"f{bits // 8}")
    if bits not in (1, 8, 16, 32):
        raise ImageError(f"{path.name}: {bits} bits a pixel are not supported; 1, 8, 16 and 32 are.")
    if not 1 <= int(header.get("BitsStored") or bits) <= bits:
        raise ImageError(f"{path.name}: {header.BitsStored} bits are stored in pixels of {bits}. It is damaged.")
    return np.dtype(f"{'i' if header.get('PixelRepresentation') else 'u'}{max(1, bits // 8)}")


def _placed(
    position: tuple[float, ...] | None, orientation: tuple[float, ...]
) -> tuple[float | None, tuple[float, float] | None]:
    """Position along the normal, and along columns and rows of the slice."""
    if position is None:
        return None, None
    row, column = np.asarray(orientation[:3]), np.asarray(orientation[3:])
    at = np.asarray(position)
    return float(at @ np.cross(row, column)), (float(at @ column), float(at @ row))


def _rounded(numbers: Sequence[float]) -> tuple[float, ...]:
    return tuple(round(number, 2) + 0.0 for number in numbers)


def _numbers(values: Any, count: int) -> tuple[float, ...] | None:
    """So many finite numbers, or None."""
    try:
        numbers = tuple(float(value) for value in values)
    except (TypeError, ValueError):
        return None
    return numbers if len(numbers) == count and all(np.isfinite(numbers)) else None


def _number(value: Any, missing: float) -> float:
    found = _numbers([value], 1)
    return found[0] if found else missing
