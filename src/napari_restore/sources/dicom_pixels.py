"""Pixels of one DICOM frame, with decoders whose licences go with ours."""

from __future__ import annotations

import io
import math
import threading
from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_restore.sources.coded import check_coded
from napari_restore.sources.described import MIB
from napari_restore.sources.dicom_headers import DEFLATED, HEADER, JPEG_PLUGIN, PLAIN, SYNTAXES, Plane, inflated

_PACKED_LONGER, _SPARE = 2, MIB
"""What does not compress becomes longer by packing. A frame that is longer than that unpacks to more than a frame."""

_PLUGIN = "bounded"

_DECODERS = {
    "pyjpegls": "pydicom.pixels.decoders.pyjpegls",
    "pylibjpeg": "pydicom.pixels.decoders.pylibjpeg",
    "pydicom": "pydicom.pixels.decoders.rle",
}
"""Where pydicom has its own plugins, each with a function ``_decode_frame``."""

DECODER_DEPENDENCIES = {uid: (plugin,) for uid, plugin in SYNTAXES.items() if plugin}
"""pydicom asks its plugins for this."""

_registering = threading.Lock()


def decode_frame(plane: Plane) -> NDArray[Any]:
    """The stored values of a frame, ``(rows, columns)`` or ``(rows, columns, 3)``; colour as RGB.

    Only this frame is read, save from a deflated file, which can only be read whole.
    """
    from pydicom.pixels import pixel_array

    with _registering:
        _add_plugin()
    source: Any = plane.path
    options = {"transfer_syntax_uid": plane.syntax, "decoding_plugin": _PLUGIN if SYNTAXES[plane.syntax] else ""}
    if plane.syntax == DEFLATED:
        nbytes = math.prod(plane.shape) * plane.stored.itemsize
        source = io.BytesIO(inflated(plane.path, HEADER + (plane.frame + 1) * nbytes))
        options["transfer_syntax_uid"] = PLAIN
    return _used_bits(np.asarray(pixel_array(source, index=plane.frame, **options)), plane)


def _used_bits(pixels: NDArray[Any], plane: Plane) -> NDArray[Any]:
    """Without the bits above those stored, which are not part of the pixel (DICOM PS3.5, 8.1.1)."""
    pixels = pixels.astype(plane.stored, copy=False)
    spare = 8 * plane.stored.itemsize - plane.bits
    if plane.stored.kind == "f" or spare <= 0:
        return pixels
    return (pixels << spare) >> spare


@lru_cache(maxsize=1)
def _add_plugin() -> None:
    """Tell pydicom of decoders that look at a frame first; its own plugin for old JPEG is under the GPL."""
    from pydicom.pixels import get_decoder

    for uid in DECODER_DEPENDENCIES:
        get_decoder(uid).add_plugin(_PLUGIN, (__name__, "decode_bounded"))


def is_available(uid: str) -> bool:
    """Whether this module can decode a transfer syntax; pydicom asks."""
    return uid in DECODER_DEPENDENCIES


def decode_bounded(source: bytes, runner: Any) -> bytes | bytearray:
    """Decode one frame for pydicom, if it is a picture of the size that the header tells.

    Raises
    ------
    ValueError
        If it is larger, or too long for its size.
    """
    itemsize = max(1, runner.bits_allocated // 8)
    most = _PACKED_LONGER * runner.rows * runner.columns * runner.samples_per_pixel * itemsize + _SPARE
    if len(source) > most:
        raise ValueError(f"{len(source)} bytes of a frame that has {most} at most")
    check_coded(source, (runner.rows, runner.columns), runner.samples_per_pixel * itemsize)
    plugin = SYNTAXES[str(runner.transfer_syntax)]
    if plugin == JPEG_PLUGIN:
        return decode_jpeg(source, runner)
    decode: Callable[[bytes, Any], bytes | bytearray] = import_module(_DECODERS[plugin])._decode_frame
    return decode(source, runner)


def decode_jpeg(source: bytes, runner: Any) -> bytearray:
    """Decode one frame for pydicom, as little-endian bytes in the size that ``runner`` expects."""
    import imagecodecs

    pixels = imagecodecs.jpeg_decode(source)
    runner.set_option("bits_allocated", 8 * pixels.itemsize)
    if pixels.ndim == 3:
        runner.set_option("photometric_interpretation", "RGB")
        runner.set_option("planar_configuration", 0)
    return bytearray(pixels.astype(pixels.dtype.newbyteorder("<"), copy=False).tobytes())
