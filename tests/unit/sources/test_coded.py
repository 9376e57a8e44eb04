"""How large a packed picture is, told by its header as its own encoder wrote it."""

from __future__ import annotations

from typing import Any

import imagecodecs
import numpy as np
import pytest

from napari_restore.sources.coded import check_coded, coded_size

ENCODERS: dict[str, Any] = {
    "JPEG": imagecodecs.jpeg_encode,
    "JPEG-LS": imagecodecs.jpegls_encode,
    "JPEG 2000": lambda pixels: imagecodecs.jpeg2k_encode(pixels, codecformat="j2k"),
    "JP2": lambda pixels: imagecodecs.jpeg2k_encode(pixels, codecformat="jp2"),
    "PNG": imagecodecs.png_encode,
    "WebP": lambda pixels: imagecodecs.webp_encode(np.stack([pixels] * 3, -1), level=80),
    "WebP without loss": lambda pixels: imagecodecs.webp_encode(np.stack([pixels] * 3, -1), lossless=True),
    "JPEG XR": imagecodecs.jpegxr_encode,
    "LERC": imagecodecs.lerc_encode,
    "JPEG XL": imagecodecs.jpegxl_encode,
    "JPEG XL in boxes": lambda pixels: imagecodecs.jpegxl_encode(pixels, usecontainer=True),
}


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("shape", [(8, 8), (64, 48), (100, 100), (720, 1280), (1000, 600), (5000, 3000)])
def test_the_size_is_that_of_the_picture(name: str, shape: tuple[int, int]) -> None:
    data = bytes(ENCODERS[name](np.zeros(shape, np.uint8)))
    assert coded_size(data) == shape
    check_coded(data, shape, 1)


@pytest.mark.parametrize("name", ENCODERS)
def test_one_much_larger_than_its_place_is_refused(name: str) -> None:
    data = bytes(ENCODERS[name](np.zeros((5000, 3000), np.uint8)))
    with pytest.raises(ValueError, match="5000 x 3000 pixels where 64 x 64 belong"):
        check_coded(data, (64, 64), 1)


@pytest.mark.parametrize(
    "data", [b"", b"\xff\xd8", b"\xff\xd8\xff", b"RIFF", b"II\xbc\1\xff\xff\xff\xff", b"hello", b"\xff\x0a"]
)
def test_what_tells_nothing_is_let_through(data: bytes) -> None:
    assert coded_size(data) is None or data == b"\xff\x0a"
    check_coded(data, (64, 64), 1)
