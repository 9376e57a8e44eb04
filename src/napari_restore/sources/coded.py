"""How large a packed picture says that it is: a decoder takes that much memory, whatever the file around it says.

A tile of 64 x 64 pixels in a TIFF, or a frame in a DICOM file, may hold a JPEG of 65 000 x 65 000.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple

from napari_restore.sources.described import most_from

_SLACK = 4
"""A decoder may give more channels than are kept, and 16 bits for 12."""

_EDGE = 1024
"""Pixels added along each side: some codecs fill their last blocks, and small tiles need no strictness."""

_MOST_SCANS = 200
"""Of a progressive JPEG, which is gone over whole for each; its own program writes 10."""

Size = tuple[int, int]


def check_coded(data: bytes, shape: tuple[int, ...], itemsize: int) -> None:
    """Refuse a picture that is much larger than the place it is for.

    Parameters
    ----------
    data
        The packed picture; of what is no kind of picture that is known here, nothing is refused.
    shape
        Rows, columns and further axes of the place.
    itemsize
        Bytes of one of its numbers.

    Raises
    ------
    ValueError
        With what it claims and what fits.
    """
    size = coded_size(data)
    if size is None:
        return
    rows, columns = shape[0] + _EDGE, shape[1] + _EDGE
    if size[0] * size[1] > most_from(len(data), _SLACK * rows * columns * itemsize) // itemsize:
        raise ValueError(f"it is a picture of {size[0]} x {size[1]} pixels where {shape[0]} x {shape[1]} belong")
    if data.startswith(b"\xff\xd8") and data.count(b"\xff\xda") > _MOST_SCANS:
        raise ValueError(f"it is a JPEG of more than {_MOST_SCANS} scans")


def coded_size(data: bytes) -> Size | None:
    """Rows and columns that a packed picture claims, or None if this is no picture, or it claims nothing."""
    try:
        return next((read(data) for mark, read in _READERS.items() if data.startswith(mark)), None)
    except (struct.error, IndexError):
        return None


class JpegFrame(NamedTuple):
    """What the frame header of a JPEG says, and where it ends."""

    rows: int
    columns: int
    channels: int
    bits: int
    end: int


def jpeg_frame(data: bytes) -> JpegFrame | None:
    """The frame header of a JPEG or JPEG-LS, if it has one."""
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker in _FRAMES:
            bits, rows, columns, channels = struct.unpack_from(">BHHB", data, at + 4)
            return JpegFrame(rows, columns, channels, bits, at + 10)
        if marker == 0xFF:  # padding
            at += 1
        elif marker in _BARE:
            at += 2
        elif marker in (0xDA, 0xD9):
            return None
        else:
            at += 2 + struct.unpack_from(">H", data, at + 2)[0]
    return None


_FRAMES = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})
_BARE = frozenset({0x01, *range(0xD0, 0xD9)})


def _jpeg(data: bytes) -> Size | None:
    frame = jpeg_frame(data)
    return None if frame is None else frame[:2]


def _jpeg2000(data: bytes) -> Size | None:
    at = data.find(b"\xff\x4f\xff\x51")
    if at < 0:
        return None
    width, height, left, top = struct.unpack_from(">4I", data, at + 8)
    return height - top, width - left


def _png(data: bytes) -> Size | None:
    width, height = struct.unpack_from(">II", data, 16)
    return height, width


def _webp(data: bytes) -> Size | None:
    kind = data[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[27:30], "little"), 1 + int.from_bytes(data[24:27], "little")
    if kind == b"VP8L":
        packed = int.from_bytes(data[21:25], "little")
        return 1 + (packed >> 14 & 0x3FFF), 1 + (packed & 0x3FFF)
    width, height = struct.unpack_from("<HH", data, 26)
    return height & 0x3FFF, width & 0x3FFF


def _jpegxr(data: bytes) -> Size | None:
    (at,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, at)
    found: dict[int, int] = {}
    for i in range(min(count, 100)):
        code, kind, _, value = struct.unpack_from("<HHII", data, at + 2 + 12 * i)
        found[code] = value & 0xFFFF if kind == 3 else value
    return (found[0xBC81], found[0xBC80]) if found.keys() >= {0xBC80, 0xBC81} else None


def _lerc(data: bytes) -> Size | None:
    (version,) = struct.unpack_from("<i", data, 6)
    rows, columns = struct.unpack_from("<ii", data, 14 if version >= 3 else 10)
    return rows, columns


def _jpegxl_boxes(data: bytes) -> Size | None:
    at = data.find(b"\xff\x0a", 12, 4096)
    return _jpegxl(data[at:]) if at > 0 else None


def _jpegxl(data: bytes) -> Size | None:
    """The size header: eighths in 5 bits, or a number of 9, 13, 18 or 30; the width may be told as a ratio."""
    bits, at = int.from_bytes(data[2:16], "little"), 0

    def take(count: int) -> int:
        nonlocal at
        at += count
        return bits >> (at - count) & (1 << count) - 1

    small = take(1)

    def side() -> int:
        return 8 * (1 + take(5)) if small else 1 + take((9, 13, 18, 30)[take(2)])

    height = side()
    ratio = take(3)
    if ratio == 0:
        return height, side()
    over, under = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))[ratio - 1]
    return height, height * over // under


_READERS: dict[bytes, Callable[[bytes], Size | None]] = {
    b"\xff\xd8": _jpeg,
    b"\xff\x4f\xff\x51": _jpeg2000,
    b"\0\0\0\x0cjP": _jpeg2000,
    b"\x89PNG": _png,
    b"RIFF": _webp,
    b"II\xbc": _jpegxr,
    b"Lerc2 ": _lerc,
    b"\xff\x0a": _jpegxl,
    b"\0\0\0\x0cJXL ": _jpegxl_boxes,
}
"""By the first bytes, as for whole files."""
