"""PNG, JPEG and BMP."""

import struct
import zlib

import imagecodecs
import numpy as np
import pytest

from napari_restore.core.errors import ImageError
from napari_restore.sources import open_image

GRAY = (np.arange(17 * 23) % 251).astype(np.uint8).reshape(17, 23)
RGB = np.stack([GRAY, GRAY[::-1], GRAY[:, ::-1]], -1)


@pytest.mark.parametrize("pixels", [GRAY, RGB, GRAY.astype(np.uint16) * 257, RGB.astype(np.uint16) * 200])
def test_png_of_8_and_16_bits_is_exact(tmp_path, pixels):
    path = tmp_path / "a.png"
    path.write_bytes(imagecodecs.png_encode(pixels))
    image = open_image(path)
    assert (image.axes, image.dtype) == ("YXC"[: pixels.ndim], pixels.dtype)
    assert np.array_equal(image.read(), pixels)


def test_bmp_and_jpeg(tmp_path):
    (tmp_path / "a.bmp").write_bytes(imagecodecs.bmp_encode(RGB))
    assert np.array_equal(open_image(tmp_path / "a.bmp").read(), RGB)
    smooth = np.tile(np.arange(0, 230, 10, dtype=np.uint8), (17, 1))
    (tmp_path / "a.jpg").write_bytes(imagecodecs.jpeg_encode(smooth, level=95))
    image = open_image(tmp_path / "a.jpg")
    assert image.axes == "YX"
    assert np.abs(image.read().astype(int) - smooth).max() < 6


def test_a_png_that_claims_to_be_huge_is_refused_before_it_is_decoded(tmp_path):
    header = b"IHDR" + struct.pack(">IIBBBBB", 10**6, 10**6, 8, 0, 0, 0, 0)
    path = tmp_path / "a.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header)))
    with pytest.raises(ImageError, match="1000000 x 1000000"):
        open_image(path)


@pytest.mark.parametrize("encode", [imagecodecs.png_encode, imagecodecs.bmp_encode, imagecodecs.jpeg_encode])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_pictures_cut_short_are_refused(tmp_path, encode, share):
    path = tmp_path / "a.img"
    noise = np.random.default_rng(0).integers(0, 256, (33, 47, 3), np.uint8)
    content = encode(noise)
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ImageError, match=r"a\.img"):
        open_image(path)
