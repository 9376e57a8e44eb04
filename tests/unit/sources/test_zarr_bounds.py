"""What is in a Zarr is read as ever, however it is packed; and no more than its chunks can hold comes out."""

from __future__ import annotations

from typing import Any

import numcodecs
import numpy as np
import pytest
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec, GzipCodec, ZstdCodec
from zarr.codecs.numcodecs import BZ2, LZ4, LZMA, Shuffle, Zlib

from napari_restore.core.errors import ImageError
from napari_restore.core.region import Region
from napari_restore.sources import open_image
from napari_restore.sources.described import BELIEVABLE, MIB, SURE, most_from
from napari_restore.sources.zarr_bounds import _unpack

PIXELS = np.random.default_rng(0).integers(0, 2000, (40, 90, 70)).astype(np.uint16)
PART = Region((3, 20, 5), (20, 66, 40))

THREE: dict[str, Any] = {
    "nothing": (),
    "gzip": GzipCodec(level=3),
    "zstd": ZstdCodec(level=3),
    "zstd with a checksum": ZstdCodec(level=1, checksum=True),
    "blosc": BloscCodec(cname="lz4", clevel=5, shuffle="shuffle"),
    "blosc by bits": BloscCodec(cname="zstd", clevel=5, shuffle="bitshuffle"),
    "gzip and a checksum": (GzipCodec(), Crc32cCodec()),
    "gzip in gzip": (GzipCodec(), GzipCodec()),
    "zlib": Zlib(level=3),
    "bz2": BZ2(level=3),
    "lzma": LZMA(preset=1),
    "lz4": LZ4(acceleration=1),
    "shuffled": (Shuffle(), Zlib(level=1)),
}
TWO: dict[str, Any] = {
    "nothing": None,
    "zlib": numcodecs.Zlib(3),
    "gzip": numcodecs.GZip(3),
    "zstd": numcodecs.Zstd(3),
    "blosc": numcodecs.Blosc("lz4", 5, numcodecs.Blosc.SHUFFLE),
    "bz2": numcodecs.BZ2(3),
    "lzma": numcodecs.LZMA(preset=1),
    "lz4": numcodecs.LZ4(),
}
FILTERS = {
    "delta": numcodecs.Delta("<u2"),
    "wider": numcodecs.AsType(encode_dtype="<f8", decode_dtype="<u2"),
    "shuffle": numcodecs.Shuffle(2),
}
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def same(image: Any) -> None:
    np.testing.assert_array_equal(image.read(PART), PIXELS[PART.slices])
    np.testing.assert_array_equal(image.read(), PIXELS)


@pytest.mark.parametrize("name", THREE)
@pytest.mark.parametrize("shards", [None, (16, 64, 64)])
def test_zarr_3_is_read_however_it_is_packed(tmp_path, name, shards):
    zarr.create_array(tmp_path / "a.zarr", data=PIXELS, chunks=(8, 32, 32), shards=shards, compressors=THREE[name])
    same(open_image(tmp_path / "a.zarr"))


@pytest.mark.parametrize("name", TWO)
def test_zarr_2_is_read_however_it_is_packed(tmp_path, name):
    zarr.create_array(tmp_path / "a.zarr", data=PIXELS, chunks=(8, 32, 32), zarr_format=2, compressors=TWO[name])
    same(open_image(tmp_path / "a.zarr"))


@pytest.mark.parametrize("name", FILTERS)
def test_filters_of_zarr_2(tmp_path, name):
    said = {"zarr_format": 2, "compressors": numcodecs.Zlib(1), "filters": [FILTERS[name]]}
    zarr.create_array(tmp_path / "a.zarr", data=PIXELS, chunks=(8, 32, 32), **said)
    same(open_image(tmp_path / "a.zarr"))


def test_noise_that_does_not_shrink_is_read(tmp_path):
    noise = np.random.default_rng(1).integers(0, 2**16, (64, 64)).astype(np.uint16)
    for name, packed in THREE.items():
        zarr.create_array(tmp_path / f"{name}.zarr", data=noise, chunks=(64, 64), compressors=packed)
        np.testing.assert_array_equal(open_image(tmp_path / f"{name}.zarr").read(), noise)


def test_a_shard_packed_as_a_whole_is_read(tmp_path):
    sharding = zarr.codecs.ShardingCodec(chunk_shape=(8, 8, 8), codecs=[zarr.codecs.BytesCodec(), ZstdCodec()])
    array = zarr.create_array(
        tmp_path / "a.zarr",
        shape=PIXELS.shape,
        dtype="u2",
        chunks=(8, 32, 32),
        serializer=sharding,
        compressors=GzipCodec(),
    )
    array[:] = PIXELS
    same(open_image(tmp_path / "a.zarr"))


def test_a_group_that_the_user_opened_is_read(tmp_path):
    group = zarr.create_group(tmp_path / "g.zarr")
    group.create_array("a", data=PIXELS, chunks=(8, 32, 32))
    same(open_image(zarr.open(tmp_path / "g.zarr", mode="r")))


@pytest.mark.parametrize("name", [name for name in TWO if TWO[name]])
def test_what_unpacks_to_more_than_a_chunk_is_refused(name):
    packed = np.frombuffer(bytes(TWO[name].encode(np.zeros(9 * MIB, "u1"))), "u1")
    assert len(_unpack(name, packed, 9 * MIB, TWO[name].get_config())) == 9 * MIB
    with pytest.raises(ValueError, match="unpack"):
        _unpack(name, packed, 3 * MIB, TWO[name].get_config())


def test_a_codec_without_a_limit_is_refused_by_name_and_a_way_is_told(tmp_path):
    array = zarr.create_array(tmp_path / "a.zarr", data=PIXELS, chunks=(8, 32, 32), zarr_format=2)
    text = (tmp_path / "a.zarr/.zarray").read_text()
    assert array.metadata.compressor.codec_id in text
    (tmp_path / "a.zarr/.zarray").write_text(text.replace('"filters": null', '"filters": [{"id": "base64"}]'))
    with pytest.raises(ImageError, match=r"packed by 'base64', for which there is no limit .* open it with zarr"):
        open_image(tmp_path / "a.zarr")


def test_more_than_a_sure_amount_takes_a_file_of_some_length():
    assert most_from(1, SURE) == SURE
    assert most_from(1, 10 * SURE) == SURE
    assert most_from(SURE, 10 * SURE) == 10 * SURE
    assert most_from(SURE, 1000 * SURE) == BELIEVABLE * SURE
