"""Pixels of one DICOM frame, with decoders whose licences go with ours."""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_restore.sources.dicom_headers import JPEG_PLUGIN, SYNTAXES, Plane

_DEFLATED = "1.2.840.10008.1.2.1.99"

DECODER_DEPENDENCIES = {uid: ("imagecodecs",) for uid, plugin in SYNTAXES.items() if plugin == JPEG_PLUGIN}
"""pydicom asks its plugins for this."""

_registering = threading.Lock()


def decode_frame(plane: Plane) -> NDArray[Any]:
    """The stored values of a frame, ``(rows, columns)`` or ``(rows, columns, 3)``; colour as RGB.

    Only this frame is read, save from a deflated file, which can only be read whole.
    """
    import pydicom
    from pydicom.pixels import pixel_array

    with _registering:
        _add_jpeg_plugin()
    plugin = SYNTAXES[plane.syntax]
    if plane.syntax == _DEFLATED:
        pixels = pixel_array(pydicom.dcmread(plane.path), index=plane.frame)
    else:
        options = {"transfer_syntax_uid": plane.syntax, "decoding_plugin": plugin}
        pixels = pixel_array(plane.path, index=plane.frame, **options)
    return _used_bits(np.asarray(pixels), plane)


def _used_bits(pixels: NDArray[Any], plane: Plane) -> NDArray[Any]:
    """Without the bits above those stored, which are not part of the pixel (DICOM PS3.5, 8.1.1)."""
    pixels = pixels.astype(plane.stored, copy=False)
    spare = 8 * plane.stored.itemsize - plane.bits
    if plane.stored.kind == "f" or spare <= 0:
        return pixels
    return (pixels << spare) >> spare


@lru_cache(maxsize=1)
def _add_jpeg_plugin() -> None:
    """Tell pydicom of a decoder for the old JPEG kinds; its own plugin for them is under the GPL."""
    from pydicom.pixels import get_decoder

    for uid in DECODER_DEPENDENCIES:
        get_decoder(uid).add_plugin(JPEG_PLUGIN, (__name__, "decode_jpeg"))


def is_available(uid: str) -> bool:
    """Whether this module can decode a transfer syntax; pydicom asks."""
    return uid in DECODER_DEPENDENCIES


def decode_jpeg(source: bytes, runner: Any) -> bytearray:
    """Decode one frame for pydicom, as little-endian bytes in the size that ``runner`` expects."""
    import imagecodecs

    pixels = imagecodecs.jpeg_decode(source)
    runner.set_option("bits_allocated", 8 * pixels.itemsize)
    if pixels.ndim == 3:
        runner.set_option("photometric_interpretation", "RGB")
        runner.set_option("planar_configuration", 0)
    return bytearray(pixels.astype(pixels.dtype.newbyteorder("<"), copy=False).tobytes())
