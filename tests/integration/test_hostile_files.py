"""Files made to do harm: each is read, or refused on one line, in 2 s and 500 MB; none runs code or reaches outside.

Every row of the tables is a small file. Those of a group are opened, and a corner of each is read, one after the other
in one process, which may take no more than 4 GB of addresses, and is ended when a file takes too long.
"""

from __future__ import annotations

import base64
import bz2
import gzip
import hashlib
import json
import lzma
import os
import pickle
import re
import select
import struct
import subprocess
import sys
import time
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from subprocess import PIPE
from typing import Any

import numcodecs
import numpy as np
import pytest
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)

imagecodecs = pytest.importorskip("imagecodecs")
pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="pipes, links and limits of processes as POSIX has them"
)

SECONDS, MEGABYTES = 2.0, 500
"""Of the processor, for a file; and of memory, libraries included."""

PATIENCE = 30
"""Seconds on the clock for a file: only one that hangs takes as long, also on a busy machine."""

ADDRESSES = 4 * 2**30
PIXELS = np.random.default_rng(0).poisson(50, (64, 64)).astype("<u2")
RAW = PIXELS.tobytes()
ZEROS = bytes(2**24)
Make = Callable[[Path], Path | None]
"""Makes a file in a folder of its own; gives its path where that is not the name of the row."""


class Evil:
    """What runs when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (f"touch {self.mark}",)


def pickled(folder: Path) -> bytes:
    return pickle.dumps(Evil(folder.parent / "MARK"))


# NPY ------------------------------------------------------------------------------------------------------------------


def npy(header: str | bytes, data: bytes = RAW, version: tuple[int, int] = (1, 0), length: int = 0) -> Make:
    text = header if isinstance(header, bytes) else header.encode()

    def make(folder: Path) -> None:
        size = struct.pack("<H" if version[0] == 1 else "<I", length or len(text))
        (folder / "a.npy").write_bytes(b"\x93NUMPY" + bytes(version) + size + text + data)

    return make


def shaped(shape: str, descr: str = "'<u2'") -> Make:
    return npy(f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}\n")


def object_array(folder: Path) -> None:
    array = np.array([[Evil(folder.parent / "MARK"), 1]] * 64, dtype=object)
    np.save(folder / "a.npy", array, allow_pickle=True)


def cut_npy(folder: Path) -> None:
    np.save(folder / "a.npy", PIXELS)
    os.truncate(folder / "a.npy", 4000)


NPY: dict[str, tuple[Make, str | None]] = {
    "objects": (object_array, "not a whole NPY"),
    "a shape of 2e6 x 2e6": (shaped("(2000000, 2000000)"), "should have"),
    "a shape of 2^64": (shaped("(18446744073709551616, 64)"), "should have"),
    "a negative shape": (shaped("(-64, 64)"), "shape"),
    "a shape of True": (shaped("(True, 64)"), "shape"),
    "code in the header": (shaped("(64, 64)", "__import__('os').system('touch MARK')"), "not a whole NPY"),
    "a header of 4 GB": (npy(b"{" * 100, b"", (2, 0), 2**32 - 1), "not a whole NPY"),
    "a deep header": (npy("(" * 5000 + ")" * 5000, version=(2, 0)), "not a whole NPY"),
    "fields": (shaped("(64, 64)", "[('a', '<u2')]"), "cannot be restored"),
    "pixels of nothing": (shaped("(1000000000, 1000000000)", "'|V0'"), ""),
    "rows for pixels": (shaped("(64,)", "('<u2', (64,))"), "no numbers"),
    "version 9": (npy("{}", version=(9, 9)), "9"),
    "cut short": (cut_npy, "should have 8320 bytes and has 4000"),
    "a pickle": (lambda folder: void((folder / "a.npy").write_bytes(pickled(folder))), "unknown format"),
}


def void(_: Any) -> None:
    """For makers that are one expression."""


# TIFF -----------------------------------------------------------------------------------------------------------------

Tag = tuple[int, int, int, Any]


def tiff_bytes(tags: list[Tag], data: bytes = b"", following: int = 0) -> bytes:
    """A TIFF of one page; an offset of None is where the data begin."""
    pool, entries, start = b"", b"", 8 + 2 + 12 * len(tags) + 4
    long = sum(len(value) for *_, value in tags if isinstance(value, bytes) and len(value) > 4)
    for code, kind, count, value in sorted(tags, key=lambda tag: tag[0]):
        if value is None:
            packed = struct.pack("<I", start + long)
        elif isinstance(value, bytes):
            packed = value.ljust(4, b"\0") if len(value) <= 4 else struct.pack("<I", start + len(pool))
            pool += value if len(value) > 4 else b""
        else:
            packed = struct.pack("<HH", value, 0) if kind == 3 else struct.pack("<I", value)
        entries += struct.pack("<HHI", code, kind, count) + packed
    return struct.pack("<2sHIH", b"II", 42, 8, len(tags)) + entries + struct.pack("<I", following) + pool + data


def page(width: int = 64, height: int = 64, **over: Any) -> list[Tag]:
    said = {256: width, 257: height, 258: 16, 259: 1, 262: 1, 273: None, 277: 1, 278: height, 279: 8192}
    said |= {int(code[1:]): value for code, value in over.items()}
    return [(code, 4 if code in (256, 257, 273, 278, 279) else 3, 1, value) for code, value in said.items()]


def tif(tags: list[Tag], data: bytes = RAW, following: int = 0, name: str = "a.tif") -> Make:
    return lambda folder: void((folder / name).write_bytes(tiff_bytes(tags, data, following)))


def described(text: str | bytes, name: str = "a.tif") -> Make:
    content = (text.encode() if isinstance(text, str) else text) + b"\0"
    return tif([*page(), (270, 2, len(content), content)], name=name)


def bomb(nbytes: int) -> bytes:
    """A zlib stream of so many zeros, whose blocks are copies of one."""
    packer = zlib.compressobj(9)
    begin = packer.compress(ZEROS) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(ZEROS) + packer.flush(zlib.Z_FULL_FLUSH)
    return begin + block * (nbytes // len(ZEROS)) + packer.flush()


def packed_page(width: int, height: int, compression: int, data: bytes, bits: int = 16) -> Make:
    return tif(page(width, height, t258=bits, t259=compression, t279=len(data)), data)


def many_pages(folder: Path) -> None:
    one = page(1, 1, t273=0, t279=2)
    length = 2 + 12 * len(one) + 4
    body = tiff_bytes(one)[10 : 10 + 12 * len(one)]
    pages = [struct.pack("<H", len(one)) + body + struct.pack("<I", 8 + (i + 1) * length) for i in range(100_000)]
    (folder / "a.tif").write_bytes(b"II*\0" + struct.pack("<I", 8) + b"".join(pages)[:-4] + bytes(4))


def many_levels(folder: Path) -> None:
    offsets = struct.pack("<20000I", *[8] * 20_000)
    (folder / "a.tif").write_bytes(tiff_bytes([*page(), (330, 4, 20_000, offsets)], RAW))


def picture_of(side: int, encode: Callable[..., Any], **how: Any) -> bytes:
    return bytes(encode(np.zeros((side, side), np.uint8), **how))


TIFF: dict[str, tuple[Make, str | None]] = {
    "whole": (tif(page()), None),
    "2e6 x 2e6 pixels": (tif(page(2_000_000, 2_000_000)), "claims to be an image"),
    "2^32 x 2^32 pixels": (tif(page(2**32 - 1, 2**32 - 1)), "claims to be an image"),
    "a strip outside": (tif(page(t273=10**9)), "should reach to byte"),
    "no pixels": (tif(page(0, 0)), "without pixels"),
    "no rows in a strip": (tif(page(t278=0)), "cannot be read as TIFF"),
    "pixels of 0 bits": (tif(page(t258=0)), "not supported"),
    "pixels of 65535 bits": (tif(page(t258=65535)), "not supported"),
    "65535 samples": (tif(page(t277=65535)), "claims to be an image"),
    "pages in a circle": (tif(page(), following=8), "earlier page again"),
    "a page outside": (tif(page(), following=0x7FFFFFFF), "should be at byte"),
    "a strip of 1 GB for 8 kB": (packed_page(64, 64, 8, bomb(2**30)), "cannot be decoded"),
    "a strip of 700 MB": (packed_page(18_000, 20_000, 8, bomb(720_000_000)), "MiB each in a file"),
    "a JPEG of 1e8 pixels in a tile": (
        packed_page(64, 64, 7, picture_of(10_000, imagecodecs.jpeg_encode), 8),
        "10000 x 10000 pixels where 64 x 64 belong",
    ),
    "a JPEG 2000 of 1e8 pixels in a tile": (
        packed_page(64, 64, 34712, picture_of(10_000, imagecodecs.jpeg2k_encode, codecformat="j2k"), 8),
        "10000 x 10000 pixels where 64 x 64 belong",
    ),
    "a PNG of 1e8 pixels in a tile": (
        packed_page(64, 64, 34933, picture_of(10_000, imagecodecs.png_encode), 8),
        "10000 x 10000 pixels where 64 x 64 belong",
    ),
    "100 000 pages of a pixel": (many_pages, "cannot hold images"),
    "20 000 smaller copies": (many_levels, "smaller copies"),
    "a description of 200 MB that is not there": (tif([*page(), (270, 2, 200_000_000, 8)]), "tag 270 has 200000000"),
    "1e9 images of ImageJ": (described("ImageJ=1.53\nimages=1000000000\nslices=1000000000\n"), "promise 1000000000"),
    "texts for numbers of ImageJ": (described("ImageJ=1.53\nimages=abc\nspacing=xyz\n"), ""),
    "1e9 planes in JSON": (described('{"shape": [1000000000, 64, 64]}'), "claims to be an image"),
    "deep JSON": (described('{"shape": ' + "[" * 100_000 + "]" * 100_000 + "}"), "cannot be read as TIFF"),
    "long JSON": (described('{"shape": [64, 64], "x": [' + "[]," * 3_000_000 + "0]}"), "bytes of JSON"),
    "1e9 places of a Leica slide": (
        described(
            '<scn xmlns="x"><collection><image><pixels><dimension c="99999" z="99999" ifd="0"/></pixels></image>'
            "</collection></scn>"
        ),
        "promise 1e\\+10 planes",
    ),
    "a pickle": (lambda folder: void((folder / "a.tif").write_bytes(pickled(folder))), "is not a TIFF"),
}


# OME-TIFF -------------------------------------------------------------------------------------------------------------


def ome(
    inside: str = "<TiffData/>", *, dtd: str = "", size: str = "", beside: str = "", name: str = "a.ome.tif"
) -> Make:
    sizes = {"X": 64, "Y": 64, "Z": 1, "C": 1, "T": 1} | dict(part.split("=") for part in size.split())
    said = " ".join(f'Size{axis}="{n}"' for axis, n in sizes.items())
    return described(
        f'<?xml version="1.0"?>{dtd}<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">'
        f'<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" {said}>'
        f'<Channel ID="Channel:0:0" SamplesPerPixel="1"/>{inside}</Pixels></Image>{beside}</OME>',
        name,
    )


def named(name: str) -> Make:
    return ome(f'<TiffData IFD="0" PlaneCount="1"><UUID FileName="{name}">urn:uuid:1</UUID></TiffData>')


def beside_a_pipe(folder: Path) -> None:
    os.mkfifo(folder / "fifo.tif")
    named("fifo.tif")(folder)


def beside_a_device(folder: Path) -> None:
    (folder / "zero.tif").symlink_to("/dev/zero")
    named("zero.tif")(folder)


_LAUGHS = "".join(f'<!ENTITY {chr(98 + i)} "{f"&{chr(97 + i)};" * 10}">' for i in range(9))
_MODULO = (
    '<StructuredAnnotations><XMLAnnotation ID="A:0" Namespace="openmicroscopy.org/omero/dimension/modulo"><Value>'
    '<Modulo><ModuloAlongZ Type="angle" Start="0" End="1e12"/></Modulo></Value></XMLAnnotation></StructuredAnnotations>'
)
_UUIDS = "".join(f'<TiffData IFD="0"><UUID FileName="b.tif">u{i}</UUID></TiffData>' for i in range(5000))

OME: dict[str, tuple[Make, str | None]] = {
    "whole": (ome(), None),
    "an entity outside": (
        ome("<TiffData/><D>&x;</D>", dtd='<!DOCTYPE OME [<!ENTITY x SYSTEM "file:///etc/passwd">]>'),
        "undefined entity",
    ),
    "a billion laughs": (ome("<D>&j;</D>", dtd=f'<!DOCTYPE OME [<!ENTITY a "lol">{_LAUGHS}]>'), "cannot be read"),
    "quadratic entities": (
        ome("<D>" + "&a;" * 20_000 + "</D>", dtd=f'<!DOCTYPE OME [<!ENTITY a "{"x" * 50_000}">]>'),
        "cannot be read",
    ),
    **{
        f"a file called {name!r}": (named(name), "not a file beside it")
        for name in ("../../etc/passwd", "/etc/passwd", "..\\x.tif", ".", "..", "http://127.0.0.1:9/x.tif")
    },
    "a file that is a pipe": (beside_a_pipe, "which is no file"),
    "a file that is a device": (beside_a_device, "which is no file"),
    "5000 UUIDs for a file": (ome(_UUIDS), "UUIDs"),
    "1e9 planes": (ome(size="Z=1000000000"), "promise 1e\\+09 planes"),
    "1e9 rows": (ome(size="Y=64000000000"), "promise 1e\\+09 planes"),
    "a digit 5000 times": (ome(size=f"Z={'9' * 5000}"), "cannot be read as TIFF"),
    "a text for a size": (ome(size="Z=abc"), "cannot be read as TIFF"),
    "half a plane": (ome(size="Z=1.5"), "cannot be read as TIFF"),
    "fewer than no planes": (ome(size="Z=-5"), ""),
    "4e9 planes of a block": (ome('<TiffData IFD="0" PlaneCount="4000000000"/>'), "promise 4e\\+09 planes"),
    "4e9 planes of an old block": (ome('<TiffData IFD="0" NumPlanes="4000000000"/>'), "promise 4e\\+09 planes"),
    "a million planes of each of 300 blocks": (ome('<TiffData IFD="0" PlaneCount="99999"/>' * 300), "promise 3e\\+07"),
    "300 000 blocks": (ome('<TiffData IFD="0" FirstZ="0"/>' * 300_000), "marks"),
    "a modulo axis of 1e12": (ome(beside=_MODULO), "promise 1e\\+12 planes"),
    "200 000 elements in each other": (ome("<a>" * 200_000 + "</a>" * 200_000), "marks"),
    "no XML": (ome("<<<"), "cannot be read as TIFF"),
}


# Zarr -----------------------------------------------------------------------------------------------------------------

BYTES = {"name": "bytes", "configuration": {"endian": "little"}}


def codec(name: str, **configuration: Any) -> dict[str, Any]:
    return {"name": name, "configuration": configuration}


GZIP, ZSTD = codec("gzip", level=5), codec("zstd", level=1, checksum=False)
BLOSC = codec("blosc", cname="zstd", clevel=5, shuffle="noshuffle", typesize=2, blocksize=0)


def array(shape: Any = (64, 64), chunks: Any = (64, 64), codecs: Any = (BYTES,), **more: Any) -> dict[str, Any]:
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": shape,
        "data_type": "uint16",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunks}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": 0,
        "codecs": codecs,
        "attributes": {},
        **more,
    }


def zarr(metadata: dict[str, Any] | str | bytes, chunk: bytes | Callable[[Path], Any] = RAW) -> Make:
    """A Zarr of one array; a chunk may be something that is made at its place."""

    def make(folder: Path) -> Path:
        place = folder / "a.zarr"
        (place / "c/0").mkdir(parents=True)
        text = json.dumps(metadata) if isinstance(metadata, dict) else metadata
        (place / "zarr.json").write_bytes(text.encode() if isinstance(text, str) else text)
        if isinstance(chunk, bytes):
            (place / "c/0/0").write_bytes(chunk)
        else:
            chunk(place / "c/0/0")
        return place

    return make


def zarr2(data: bytes, **over: Any) -> Make:
    def make(folder: Path) -> Path:
        said = {"zarr_format": 2, "shape": [64, 64], "chunks": [64, 64], "dtype": "<u2", "compressor": None}
        said |= {"filters": None, "fill_value": 0, "order": "C", **over}
        (folder / "a.zarr").mkdir()
        (folder / "a.zarr/.zarray").write_text(json.dumps(said))
        (folder / "a.zarr/0.0").write_bytes(data)
        return folder / "a.zarr"

    return make


def image(path: Any = "0", **over: Any) -> Make:
    """An OME-Zarr whose image is said to be at a path."""

    def make(folder: Path) -> Path:
        place = folder / "a.ome.zarr"
        axes = [{"name": name, "type": "space"} for name in "yx"]
        level = {"path": path, "coordinateTransformations": [{"type": "scale", "scale": [1, 1]}]}
        scales = {"axes": axes, "datasets": [level], **over}
        for name in ("a.ome.zarr/0", "outside"):
            (folder / name / "c/0").mkdir(parents=True)
            (folder / name / "zarr.json").write_text(json.dumps(array()))
            (folder / name / "c/0/0").write_bytes(RAW)
        said = {"ome": {"version": "0.5", "multiscales": [scales]}}
        text = json.dumps({"zarr_format": 3, "node_type": "group", "attributes": said})
        (place / "zarr.json").write_text(text.replace("FOLDER", str(folder)))
        return place

    return make


def in_a_circle(folder: Path) -> Path:
    place = folder / "a.zarr"
    place.mkdir()
    said = {"ome": {"version": "0.5", "bioformats2raw.layout": 3}}
    (place / "zarr.json").write_text(json.dumps({"zarr_format": 3, "node_type": "group", "attributes": said}))
    (place / "0").symlink_to(".")
    return place


def zipped(*entries: tuple[str, bytes | str], name: str = "a.zarr.zip") -> Make:
    def make(folder: Path) -> Path:
        with warnings.catch_warnings(), zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED) as archive:
            warnings.simplefilter("ignore")  # a name twice is what some of them are about
            for key, content in entries:
                archive.writestr(key, content.replace("FOLDER", str(folder)) if isinstance(content, str) else content)
        return folder / name

    return make


def encrypted(folder: Path) -> Path:
    path = zipped(("zarr.json", json.dumps(array())), ("c/0/0", RAW))(folder)
    assert path is not None
    content = bytearray(path.read_bytes())
    content[6] |= 1
    content[content.find(b"PK\1\2") + 8] |= 1
    path.write_bytes(content)
    return path


def of_zeros(path: Path) -> None:
    path.symlink_to("/dev/zero")


def longer_blosc() -> bytes:
    """A chunk behind whose end a decoder would read."""
    data = bytearray(numcodecs.Blosc("zstd", 5).encode(PIXELS))
    data[12:16] = struct.pack("<I", 2**30)
    return bytes(data)


SHARD = codec("sharding_indexed", chunk_shape=[64, 64], codecs=[BYTES, GZIP], index_codecs=[BYTES])
TINY = codec("sharding_indexed", chunk_shape=[1, 1], codecs=[BYTES], index_codecs=[BYTES])
GIGABYTE = 2**30


def sharded(folder: Path) -> Path:
    data = gzip.compress(ZEROS, 9) * 64
    path = zarr(array(codecs=[SHARD]), data + struct.pack("<QQ", 0, len(data)))(folder)
    assert path is not None
    return path


ZARR: dict[str, tuple[Make, str | None]] = {
    "whole": (zarr(array()), None),
    "an image in it": (image(), None),
    **{
        f"an image at {path!r}": (image(path), said)
        for path, said in {
            "../outside": "not a path inside",
            "0/../../outside": "not a path inside",
            "FOLDER/outside": "not a path inside",
            "file://FOLDER/outside": "not a path inside",
            "http://127.0.0.1:9/x": "not a path inside",
            "..\\outside": "not a path inside",
            "C:/x": "not a path inside",
            "%2e%2e/outside": "",
            "0\x00": "",
            "a/" * 3000: "",
        }.items()
    },
    "a pickle for a codec": (zarr(array(codecs=[BYTES, codec("numcodecs.pickle")])), ""),
    "a codec that nobody knows": (zarr(array(codecs=[BYTES, codec("evil")])), "evil"),
    "a pickle for a filter": (zarr2(b"", filters=[{"id": "pickle"}]), "pickle"),
    "a pickle for a compressor": (zarr2(b"", compressor={"id": "pickle"}), "pickle"),
    "objects": (zarr2(b"", dtype="|O", filters=[{"id": "pickle"}]), "pickle"),
    "a chunk of gigabytes in gzip": (zarr(array(codecs=[BYTES, GZIP]), gzip.compress(ZEROS, 9) * 60), "unpack"),
    "a long chunk in gzip": (zarr(array(codecs=[BYTES, GZIP]), gzip.compress(ZEROS, 9) * 120), "holds more than"),
    "a chunk of gigabytes in gzip in gzip": (
        zarr(array(codecs=[BYTES, GZIP, GZIP]), gzip.compress(gzip.compress(ZEROS, 9) * 256, 9)),
        "unpack",
    ),
    "a chunk of gigabytes in zstd": (
        zarr(array(codecs=[BYTES, ZSTD]), bytes(numcodecs.Zstd(1).encode(ZEROS)) * 128),
        "unpack",
    ),
    "a chunk of 500 MB in blosc": (
        zarr(array(codecs=[BYTES, BLOSC]), bytes(numcodecs.Blosc("zstd", 5).encode(np.zeros(500_000_000, "u1")))),
        "unpack",
    ),
    "a chunk in blosc that says it is longer": (
        zarr(array(codecs=[BYTES, BLOSC]), longer_blosc()),
        "does not tell its own length",
    ),
    "a chunk of gigabytes in a shard": (sharded, "unpack"),
    "4e8 chunks in a shard": (zarr(array((20_000, 20_000), (20_000, 20_000), [TINY])), "chunks in a shard"),
    **{
        f"a chunk of gigabytes in {kind} of Zarr 2": (zarr2(data, compressor={"id": kind}), "unpack|holds more than")
        for kind, data in {
            "zlib": bomb(GIGABYTE),
            "lzma": lzma.compress(ZEROS) * 64,
            "bz2": bz2.compress(ZEROS) * 64,
            "lz4": struct.pack("<i", 2**31 - 1) + bytes(99),
        }.items()
    },
    "a chunk of 1.9 GB, said to be": (
        zarr(array((31_000, 31_000), (31_000, 31_000), [BYTES, ZSTD]), bytes(numcodecs.Zstd(1).encode(ZEROS)) * 115),
        "unpack",
    ),
    "a chunk of 2^80": (zarr(array((2**40, 2**40), (2**40, 2**40))), "over the limit"),
    "a shape of 2^80": (zarr(array((2**40, 2**40))), "pixels. It is damaged"),
    "chunks of nothing": (zarr(array(chunks=(0, 64))), "cannot be read as Zarr"),
    "a negative shape": (zarr(array((-64, 64))), "cannot be read as Zarr"),
    "no pixels": (zarr(array((0, 64))), "no pixels"),
    "a shape of half pixels": (zarr(array((64.5, 64))), ""),
    "a chunk that is a pipe": (zarr(array(), os.mkfifo), "neither a file nor a folder"),
    "a chunk that is a device": (zarr(array(), of_zeros), "neither a file nor a folder"),
    "a chunk that is too long": (zarr(array(), bytes(2**21)), "holds more than"),
    "a chunk that is too short": (zarr(array(), bytes(100)), "cannot be read"),
    "deep metadata": (zarr('{"a":' * 100_000 + "1" + "}" * 100_000), "cannot be read as Zarr"),
    "metadata of 9 MB": (zarr({**array(), "attributes": {"x": "y" * 9_000_000}}), "holds more than"),
    "metadata of 2 million lists": (zarr({**array(), "attributes": {"x": [[]] * 2_000_000}}), None),
    "metadata that are a list": (zarr("[1, 2]"), "cannot be read as Zarr"),
    "metadata cut short": (zarr('{"zarr_format":3,'), "cannot be read as Zarr"),
    "metadata of noise": (zarr(bytes(range(256))), "cannot be read as Zarr"),
    "a group in itself": (in_a_circle, "cannot be read as Zarr"),
    "axes that are a number": (image(axes=5), ""),
    "a size of NaN": (
        image(datasets=[{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [float("nan"), 1]}]}]),
        "not a positive length",
    ),
    "levels that are numbers": (image(datasets=[0]), ""),
    "a zip": (zipped(("zarr.json", json.dumps(array())), ("c/0/0", RAW)), None),
    "a zip that leads out of itself": (zipped(("../zarr.json", json.dumps(array()))), "not a path inside"),
    "a zip with a path of the machine": (zipped(("/etc/zarr.json", json.dumps(array()))), "not a path inside"),
    "a zip with a chunk of gigabytes": (
        zipped(("zarr.json", json.dumps(array())), ("c/0/0", ZEROS * 4)),
        "holds more than",
    ),
    "a zip with metadata of 100 MB": (
        zipped(("zarr.json", b" " * 100_000_000 + json.dumps(array()).encode())),
        "more than",
    ),
    "a zip with a password": (encrypted, "encrypted"),
    "a zip with metadata twice": (zipped(("zarr.json", json.dumps(array())), ("zarr.json", "{")), ""),
}


# Pictures -------------------------------------------------------------------------------------------------------------


def png(width: int, height: int, data: bytes, bits: int = 8, colour: int = 0, more: bytes = b"") -> Make:
    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    content = b"\x89PNG\r\n\x1a\n" + head + more + png_chunk(b"IDAT", data) + png_chunk(b"IEND", b"")
    return lambda folder: void((folder / "a.png").write_bytes(content))


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bmp(width: int, height: int, data: bytes) -> Make:
    head = struct.pack("<2sIHHIIiiHHIIiiII", b"BM", 100, 0, 0, 54, 40, width, height, 1, 24, 0, 0, 1, 1, 0, 0)
    return lambda folder: void((folder / "a.bmp").write_bytes(head + data))


def jpg(data: bytes) -> Make:
    return lambda folder: void((folder / "a.jpg").write_bytes(data))


SMALL_JPEG = picture_of(64, imagecodecs.jpeg_encode)

PICTURES: dict[str, tuple[Make, str | None]] = {
    "a PNG of 2^31 x 2^31": (png(2**31 - 1, 2**31 - 1, zlib.compress(bytes(1000))), "a picture may have"),
    "a PNG of 256 MB": (png(16384, 16384, zlib.compress(bytes(16385 * 16384), 1)), "in a file of"),
    "a PNG of 2 GB": (png(16384, 16384, zlib.compress(bytes(1000)), 16, 6), "in a file of"),
    "a PNG of 60 MB": (png(7700, 7700, zlib.compress(bytes(7701 * 7700), 1)), None),
    "a PNG of nothing": (png(0, 0, b""), "a picture may have"),
    "a PNG cut short": (png(64, 64, zlib.compress(bytes(650))), "cannot be decoded"),
    "a PNG of no known colour": (png(64, 64, zlib.compress(bytes(65 * 64)), 8, 9), "cannot be decoded"),
    "a PNG with a text of 500 MB": (
        png(64, 64, zlib.compress(bytes(65 * 64)), more=png_chunk(b"zTXt", b"a\0\0" + bomb(2**29))),
        None,
    ),
    "a BMP of 2^31 x 2^31": (bmp(2**31 - 1, -(2**31), b""), "a picture may have"),
    "a BMP of 800 MB": (bmp(16384, 16383, bytes(100)), "in a file of"),
    "a BMP of a negative width": (bmp(-64, 64, bytes(64 * 64 * 3)), ""),
    "a BMP of two bytes": (lambda folder: void((folder / "a.bmp").write_bytes(b"BM")), "cannot be read"),
    "a JPEG of 65535 x 65535": (jpg(b"\xff\xd8\xff\xc0\0\x0b\x08\xff\xff\xff\xff\x01\x01\x11\0\xff\xd9"), "may have"),
    "a JPEG of 200 MB": (jpg(SMALL_JPEG.replace(b"\x08\0\x40\0\x40", b"\x08\x38\x00\x38\x00")), "in a file of"),
    "a JPEG without a frame": (jpg(b"\xff\xd8\xff\xe0\0\x02"), "no frame header"),
    "a JPEG whose parts are empty": (jpg(b"\xff\xd8" + b"\xff\xe0\0\0" * 10), "no frame header"),
    "a JPEG of 10 000 scans": (jpg(SMALL_JPEG[:-2] + b"\xff\xda" * 10_000 + b"\xff\xd9"), "scans"),
}


# DICOM ----------------------------------------------------------------------------------------------------------------


def dicom(
    rows: int = 64, columns: int = 64, data: bytes = RAW, syntax: Any = ExplicitVRLittleEndian, **more: Any
) -> Make:
    def make(folder: Path) -> Path:
        path = folder / "a.dcm"
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = syntax
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", generate_uid()
        file = FileDataset(str(path), {}, file_meta=meta, preamble=bytes(128))
        said = {"Rows": rows, "Columns": columns, "BitsAllocated": 16, "BitsStored": 16, "HighBit": 15}
        said |= {"PixelRepresentation": 0, "SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2", **more}
        for word, value in said.items():
            setattr(file, word, value)
        file.PixelData = data
        file["PixelData"].is_undefined_length = syntax.is_encapsulated
        file.save_as(path, enforce_file_format=True)
        return path

    return make


def packed_frame(data: bytes, syntax: Any) -> Make:
    return dicom(data=encapsulate([data]), syntax=syntax, BitsAllocated=8, BitsStored=8, HighBit=7)


def deflated(rows: int, columns: int, nbytes: int) -> Make:
    def make(folder: Path) -> Path:
        path = dicom(rows, columns)(folder)
        assert path is not None
        content = path.read_bytes()
        plain = str(ExplicitVRLittleEndian).encode() + b"\0"
        length = struct.unpack_from("<I", content, 140)[0]
        meta, body = content[: 144 + length], content[144 + length :]
        other = b"1.2.840.10008.1.2.1.99"
        meta = meta.replace(struct.pack("<H", len(plain)) + plain, struct.pack("<H", len(other)) + other)
        meta = meta[:140] + struct.pack("<I", length + len(other) - len(plain)) + meta[144:]
        header = body[: body.find(b"\xe0\x7f\x10\x00")] + b"\xe0\x7f\x10\x00OW\0\0" + struct.pack("<I", nbytes)
        packer = zlib.compressobj(9, wbits=-15)
        begin = packer.compress(header) + packer.flush(zlib.Z_FULL_FLUSH)
        block = packer.compress(ZEROS) + packer.flush(zlib.Z_FULL_FLUSH)
        path.write_bytes(meta + begin + block * (nbytes // len(ZEROS)) + packer.flush())
        return path

    return make


def with_items(tag: tuple[int, int], items: bytes, *, told: bool, before: bytes) -> Make:
    """A file with a sequence of items of nothing, before an element."""

    def make(folder: Path) -> Path:
        path = dicom()(folder)
        assert path is not None
        content = path.read_bytes()
        length = len(items) if told else 0xFFFFFFFF
        end = b"" if told else struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
        at = content.find(before, 200)
        path.write_bytes(content[:at] + struct.pack("<HH2sHI", *tag, b"SQ", 0, length) + items + end + content[at:])
        return path

    return make


ITEM = struct.pack("<HHI", 0xFFFE, 0xE000, 0)
RLE = struct.pack("<16I", 1, 64, *[0] * 14)

DICOM: dict[str, tuple[Make, str | None]] = {
    "whole": (dicom(), None),
    "999 999 frames": (dicom(NumberOfFrames=999_999), "cannot hold them"),
    "2e9 frames": (dicom(NumberOfFrames=2_000_000_000), "are possible"),
    "fewer than no frames": (dicom(NumberOfFrames=-3), "are possible"),
    "100 000 frames of a pixel": (
        dicom(1, 1, bytes(100_000), NumberOfFrames=100_000, BitsAllocated=8, BitsStored=8, HighBit=7),
        "cannot hold them",
    ),
    "65535 x 65535 pixels": (dicom(65535, 65535), "more than its length"),
    "no pixels": (dicom(0, 0), "is not an image"),
    "a slope of 1e400": (dicom(RescaleSlope="1e400", RescaleIntercept="0"), None),
    "a slope of 1e300": (dicom(RescaleSlope="1e300", RescaleIntercept="-1e300"), None),
    "pixels of 99 bits": (dicom(BitsStored=99), ""),
    "9 samples": (dicom(SamplesPerPixel=9), ""),
    "2 GB of deflated zeros": (deflated(64, 64, 2 * 2**30), None),
    "a deflated plane of 1.8 GB": (deflated(30_000, 30_000, 1_800_000_000), "more than its length"),
    "a run of 460 MB for 4 kB": (packed_frame(RLE + b"\x81\0" * 3_600_000, RLELossless), "cannot be decoded"),
    "a run of 1.8 GB": (
        dicom(30_000, 30_000, encapsulate([RLE + b"\x81\0" * 7_000_000]), RLELossless),
        "more than its length",
    ),
    "a JPEG of 1e8 pixels for 4096": (
        packed_frame(picture_of(10_000, imagecodecs.jpeg_encode), JPEGBaseline8Bit),
        "where 64 x 64 belong|of a frame",
    ),
    "a JPEG-LS of 1e8 pixels for 4096": (
        packed_frame(picture_of(10_000, imagecodecs.jpegls_encode), JPEGLSLossless),
        "10000 x 10000 pixels where 64 x 64 belong",
    ),
    "a JPEG 2000 of 1e8 pixels for 4096": (
        packed_frame(picture_of(10_000, imagecodecs.jpeg2k_encode, codecformat="j2k"), JPEG2000Lossless),
        "10000 x 10000 pixels where 64 x 64 belong",
    ),
    "a million items without an end": (
        with_items((0x8, 0x1115), ITEM * 1_000_000, told=False, before=b"\x28\0\x02\0"),
        "more elements",
    ),
    "a million frames that say nothing": (
        with_items((0x5200, 0x9230), ITEM * 1_000_000, told=True, before=b"\xe0\x7f\x10\0"),
        "more items",
    ),
    "an element of 4 GB": (
        lambda folder: void(
            (folder / "a.dcm").write_bytes(
                bytes(128)
                + b"DICM"
                + struct.pack("<HH2sHI", 2, 0, b"UL", 4, 4)
                + struct.pack("<HH2sHI", 8, 5, b"OB", 0, 0xFFFFFFF0)
            )
        ),
        "",
    ),
    "a pickle": (lambda folder: void((folder / "a.dcm").write_bytes(pickled(folder))), "unknown format"),
}


# Folders and what is no file ------------------------------------------------------------------------------------------


def slices_with(odd: Callable[[Path], Any]) -> Make:
    def make(folder: Path) -> Path:
        (folder / "slices").mkdir()
        for i in range(3):
            (folder / f"slices/s{i}.tif").write_bytes(tiff_bytes(page(), RAW))
        odd(folder / "slices/s3.tif")
        return folder / "slices"

    return make


def pipe(folder: Path) -> Path:
    os.mkfifo(folder / "a.npy")
    return folder / "a.npy"


def device_link(folder: Path) -> Path:
    (folder / "a.tif").symlink_to("/dev/urandom")
    return folder / "a.tif"


def metadata_pipe(folder: Path) -> Path:
    (folder / "a.zarr").mkdir()
    os.mkfifo(folder / "a.zarr/zarr.json")
    return folder / "a.zarr"


def inner_pipe(folder: Path) -> Path:
    path = image()(folder)
    assert path is not None
    (path / "0/zarr.json").unlink()
    os.mkfifo(path / "0/zarr.json")
    return path


PLACES: dict[str, tuple[Make, str | None]] = {
    "a pipe": (pipe, "neither a file nor a folder"),
    "a device": (lambda folder: Path("/dev/zero"), "neither a file nor a folder"),
    "a link to a device": (device_link, "neither a file nor a folder"),
    "slices and a pipe": (slices_with(os.mkfifo), None),
    "slices and a device": (slices_with(of_zeros), None),
    "metadata that are a pipe": (metadata_pipe, "without images"),
    "metadata inside that are a pipe": (inner_pipe, "neither a file nor a folder"),
}


# Models ---------------------------------------------------------------------------------------------------------------

CARD: dict[str, Any] = {
    "method": "posterior",
    "config": {"sigma": [1.0], "gain": [0.0], "offset": [0.0], "mean": [0.0], "std": [1.0]},
    "spatial": "YX",
    "channels": 1,
    "radius": [25, 25],
    "grid": [4, 4],
    "normalisation": {"mean": [1.0], "std": [2.0]},
    "precision": "float32",
    "provenance": {"images": [{"name": "a", "location": None, "axes": "YX", "shape": [64, 64]}]},
    "format": 1,
}


def model(card: Any = CARD, *, header: dict[str, Any] | None = None, body: bytes = b"", length: int = 0) -> Make:
    """A model file whose checksums are right, whatever it says. Its weights are none, so no card describes it."""

    def make(folder: Path) -> Path:
        said = card
        if isinstance(card, dict):
            told = {**card, "sha256": hashlib.sha256().hexdigest()}
            said = {**told, "card_sha256": hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()}
        text = json.dumps({"__metadata__": {"napari_restore": json.dumps(said)}, **(header or {})}).encode()
        text += b" " * (-len(text) % 8)
        path = folder / "m.safetensors"
        path.write_bytes(struct.pack("<Q", length or len(text)) + text + body)
        return path

    return make


def says(said: str, **over: Any) -> tuple[Make, str]:
    return model({**CARD, **over}), said


def config(said: str, **over: Any) -> tuple[Make, str]:
    return model({**CARD, "config": {**CARD["config"], **over}}), said


def constants(said: str, **over: Any) -> tuple[Make, str]:
    return model({**CARD, "normalisation": {**CARD["normalisation"], **over}}), said


def model_of(content: bytes) -> Make:
    def make(folder: Path) -> Path:
        (folder / "m.safetensors").write_bytes(content)
        return folder / "m.safetensors"

    return make


def pickled_model(folder: Path) -> Path:
    (folder / "m.safetensors").write_bytes(pickled(folder))
    return folder / "m.safetensors"


def model_pipe(folder: Path) -> Path:
    os.mkfifo(folder / "m.safetensors")
    return folder / "m.safetensors"


def long_model(folder: Path) -> Path:
    path = model()(folder)
    assert path is not None
    os.truncate(path, 50 * 2**30)  # sparse: it takes no room
    return path


DEEP = json.dumps({"__metadata__": {"napari_restore": "[" * 100_000}}).encode()
INLINE = "inline:511x511:" + base64.b64encode(zlib.compress(ZEROS)).decode()
BLUR = {"method": "scale_equivariant"}

MODELS: dict[str, tuple[Make, str | None]] = {
    "no weights": (model(), "cannot|can build|Missing"),
    "a pickle": (pickled_model, "looks like a pickled"),
    "a zip": (model_of(b"PK\3\4" + bytes(100)), "looks like a pickled"),
    "a pipe": (model_pipe, "is not a file"),
    "a device": (lambda folder: Path("/dev/zero"), "is not a file"),
    "a folder": (lambda folder: folder, "is not a file"),
    "50 GB of nothing": (long_model, "should have"),
    "a header of 2^60": (model(length=2**60), "over the limit"),
    "a header of 9 MB": says("over the limit", provenance={"x": "y" * 9_000_000}),
    "1.4 million lists in the header": (model(header={"x": [[]] * 1_400_000}), "can build|damaged"),
    "700 000 lists in the card": (model({**CARD, "provenance": {"x": [[]] * 700_000}}), "can build"),
    "a card of 5 MB": says("letters, over the limit", provenance={"x": "y" * 5_000_000}),
    "50 000 tensors of nothing": (
        model(header={f"t{i}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(50_000)}),
        "can build|checksum|damaged",
    ),
    "a card that is a list": (model([1]), "not a JSON object"),
    "a card that is deep": (model_of(struct.pack("<Q", len(DEEP)) + DEEP), "not JSON"),
    "a format of True": says("model format True", format=True),
    "a mean that is a text": constants("mean.0 = 'a'", mean=["a"]),
    "a mean that is nothing": constants("mean.0 = None", mean=[None]),
    "a mean of 10^400": constants("mean.0 = 1", mean=[10**400]),
    "a mean of NaN": constants("mean.0 = nan", mean=[float("nan")]),
    "a mean of 1e39": constants("mean.0 = 1e\\+39", mean=[1e39]),
    "no mean": constants("mean has 0 entries", mean=[]),
    "two means": constants("mean has 2 entries", mean=[1.0, 2.0]),
    "a deviation of 0": constants("std is 0 throughout", std=[0.0]),
    "a negative deviation": constants("std.0 = -3.0", std=[-3.0]),
    "an infinite deviation": constants("std.0 = inf", std=[float("inf")]),
    "constants that are a list": says("normalisation = \\[1\\]", normalisation=[1]),
    "no constants": says("normalisation = None", normalisation=None),
    "channels of True": says("channels = True", channels=True),
    "1e9 channels": says("channels = 1000000000", channels=10**9),
    "4000 channels": says(
        "much larger than the weights",
        channels=4000,
        normalisation={"mean": [0.0] * 4000, "std": [1.0] * 4000},
        config={"width": 256, "depth": 4},
    ),
    "no channels": says("channels = 0", channels=0),
    "a network of gigabytes": config("much larger than the weights", width=256, depth=4, blocks=8),
    "a width of 1e9": config("width", width=10**9),
    "a history that is a list": says("provenance = \\[1\\]", provenance=[1]),
    "a history that is a text": says("provenance = 'x'", provenance="x"),
    "images that are a number": says("provenance.images = 5", provenance={"images": 5}),
    "a negative noise": config("sigma.0 = -1.0", sigma=[-1.0]),
    "a noise of NaN": config("sigma.0 = nan", sigma=[float("nan")]),
    "a setting of NaN": config("mean.0 = nan", mean=[float("nan")]),
    "noise of two channels": config("sigma has 2 entries", sigma=[1.0, 1.0]),
    "noise of no channel": config("std has 0 entries", std=[]),
    "settings that are a list": says("config = \\[1\\]", config=[1]),
    "a setting that nobody knows": config("no setting 'evil'", evil=1),
    "a method that nobody knows": says("no method 'evil'", method="evil"),
    "a method with a long name": says("at most 100", method="a" * 10**6),
    "axes that nobody knows": says("spatial = 'XX'", spatial="XX"),
    "a radius that is a text": says("radius = 'a'", radius="a"),
    "a radius of 10^30": says("radius.0 = 1", radius=[10**30, 1]),
    "a precision that nobody knows": says("precision = 'float16'", precision="float16"),
    "a PSF that is a file": says("there is no such kind", **BLUR, config={"psf": "/etc/passwd"}),
    "a PSF beyond ASCII": says("data are not", **BLUR, config={"psf": "inline:3x3:é"}),
    "a PSF that unpacks to more": says("data are not", **BLUR, config={"psf": INLINE}),
    "a PSF of 1e9 pixels": says("taps", **BLUR, config={"psf": "gaussian:1e9"}),
    "a factor of 1e9": says("factor", **BLUR, config={"factor": 10**9}),
    "a mask of 100 000 pixels": says("side", method="struct_noise2void", config={"mask": f"[[{'1,' * 100_000}1]]"}),
}


GROUPS = {
    "TIFF": TIFF,
    "OME-TIFF": OME,
    "Zarr and zip": ZARR,
    "DICOM": DICOM,
    "NPY, pictures, places": {
        **{f"NPY: {name}": row for name, row in NPY.items()},
        **{f"picture: {name}": row for name, row in PICTURES.items()},
        **{f"place: {name}": row for name, row in PLACES.items()},
    },
    "models": MODELS,
}

CHILD = """
import json, logging, resource, sys, time, warnings
limit, models = int(sys.argv[1]), sys.argv[2] == "models"
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
warnings.simplefilter("ignore")
logging.disable(logging.CRITICAL)
sys.modules["xarray"] = None  # dask loads it, and pandas with it, where a test's library has brought it
from napari_restore.core.errors import RestoreError
from napari_restore.core.region import Region
from napari_restore.sources import open_image
import dask.array, imagecodecs, pydicom, tifffile, zarr
if models:
    import torch
    from napari_restore import methods
    from napari_restore.store.model import load_model
    torch.set_num_threads(1)
    for name in ("posterior", "scale_equivariant", "struct_noise2void"):
        methods.configure(name, {})

def peak():
    try:
        return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) // 1024
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (2**20 if sys.platform == "darwin" else 2**10)

def attempt(path):
    if models:
        load_model(path)
        return
    image = open_image(path)
    image.read(Region((0,) * image.ndim, tuple(min(n, 16) for n in image.shape)))

for line in sys.stdin:
    path = json.loads(line)
    try:
        open("/proc/self/clear_refs", "w").write("5")
    except OSError:
        pass
    began = time.process_time()
    try:
        attempt(path)
        said = None
    except RestoreError as error:
        said = str(error)
    except BaseException as error:
        said = f"FAULT {type(error).__name__}: {error}"
    print(json.dumps([said, time.process_time() - began, peak()]), flush=True)
"""


def answers(group: str, paths: list[str], folder: Path) -> list[tuple[str | None, float, int] | None]:
    """What became of each file; None of one that took too long, which ends its process, and not those after it."""
    found: list[tuple[str | None, float, int] | None] = []
    while len(found) < len(paths):
        command = [sys.executable, "-c", CHILD, str(ADDRESSES), "models" if group == "models" else "images"]
        with subprocess.Popen(command, stdin=PIPE, stdout=PIPE, text=True, cwd=folder) as child:
            assert child.stdin and child.stdout
            patient = PATIENCE + 60  # the libraries are loaded before the first
            for path in paths[len(found) :]:
                child.stdin.write(json.dumps(path) + "\n")
                child.stdin.flush()
                line = _line(child, patient)
                found.append(tuple(json.loads(line)) if line else None)
                patient = PATIENCE
                if not line:
                    child.kill()
                    break
            child.stdin.close()
    return found


def _line(child: subprocess.Popen[str], seconds: float) -> str:
    """The next line of a process, or nothing if it ends or takes longer."""
    assert child.stdout
    ready, _, _ = select.select([child.stdout], [], [], seconds)
    return child.stdout.readline() if ready else ""


@pytest.mark.parametrize("group", GROUPS)
def test_a_hostile_file_is_read_or_refused_in_words_in_time_and_memory(group: str, tmp_path: Path) -> None:
    rows = GROUPS[group]
    paths = []
    for number, (make, _) in enumerate(rows.values()):
        folder = tmp_path / str(number)
        folder.mkdir()
        made = make(folder)
        paths.append(
            str(made if isinstance(made, Path) else next(p for p in folder.iterdir() if p.name.startswith("a.")))
        )
    began = time.monotonic()
    faults, worst_time, worst_memory = [], 0.0, 0
    for (name, (_, wanted)), answer in zip(rows.items(), answers(group, paths, tmp_path), strict=True):
        if answer is None:
            faults.append(f"{name}: took over {PATIENCE} s, or ended the process")
            continue
        said, seconds, megabytes = answer
        worst_time, worst_memory = max(worst_time, seconds), max(worst_memory, megabytes)
        faults += [f"{name}: {why}" for why in _wrong(said, wanted)]
        if seconds > SECONDS or megabytes > MEGABYTES:
            faults.append(f"{name}: {seconds:.1f} s, {megabytes} MB")
    print(
        f"\n{group}: {len(rows)} files, {len(faults)} faults, worst {worst_time:.2f} s of the processor and "
        f"{worst_memory} MB, {time.monotonic() - began:.0f} s in all"
    )
    assert not faults, "\n".join(faults)
    assert not (tmp_path / "MARK").exists(), "a file ran code"


def _wrong(said: str | None, wanted: str | None) -> list[str]:
    """What is not as the row says: None is read, a text is part of the one line, an empty one any of both."""
    if said is not None and (said.startswith("FAULT") or "\n" in said):
        return [said[:300]]
    if wanted is None:
        return [f"refused: {said}"] if said is not None else []
    if wanted and said is None:
        return ["was read"]
    return [f"said {said!r} and not {wanted!r}"] if wanted and said is not None and not re.search(wanted, said) else []


def test_there_are_many_of_them() -> None:
    counts = {group: len(rows) for group, rows in GROUPS.items()}
    print(f"\n{sum(counts.values())} hostile files: {counts}")
    assert sum(counts.values()) >= 60
