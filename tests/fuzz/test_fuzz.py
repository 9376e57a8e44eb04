"""Eight doors for what others have written: each input is a value within bounds or a project error on one line.

The suite gives each door some dozens of changed inputs, always the same. Run as a script, this file gives one of them
to atheris, which looks for new ones as long as it is told to; see the README beside it:

    python tests/fuzz/test_fuzz.py psf --seconds 600
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import hashlib
import json
import logging
import math
import os
import random
import shutil
import struct
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import ExplicitVRLittleEndian, RLELossless

WITH_ATHERIS = __name__ == "__main__"
if WITH_ATHERIS:
    import atheris

    instrumented: Any = atheris.instrument_imports(include=["napari_restore"], enable_loader_override=False)
else:
    instrumented = contextlib.nullcontext()

with instrumented:
    import napari_restore.cli.verbs as cli_verbs
    from napari_restore import methods
    from napari_restore.core.errors import RestoreError
    from napari_restore.core.events import FileState
    from napari_restore.core.geometry import Geometry
    from napari_restore.core.normalisation import Normalisation
    from napari_restore.core.options import Opening, Restoring, Training
    from napari_restore.core.region import Region
    from napari_restore.operators import psf
    from napari_restore.restoration.part import part_of
    from napari_restore.sources import open_image
    from napari_restore.store import output
    from napari_restore.store.finished import NAME as NOTES
    from napari_restore.store.header import card_digest
    from napari_restore.store.model import Model, build_method, load_model
    from napari_restore.verbs.flags import FLAGS, read_word
    from napari_restore.verbs.request import ask
    from napari_restore.verbs.run import run as run_request

Feed = Callable[[bytes], None]
"""Takes an input to where it is used; asserts what comes of it, and lets project errors through."""

PIXELS = np.random.default_rng(0).poisson(50, (2, 16, 16)).astype("<u2")
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 3, 255, 2**31, 2**63, -(2**63), 10**30, 10**400, 0.5, -0.0, 1e-300, 1e300),
    *(float("nan"), float("inf"), "", "a", "0", "é", "\0", "\ud800", "²", "a" * 5000, "1e999", "../x", "/etc/passwd"),
    *([], {}, [None], [[]], [1, 2], [1] * 1000, {"": {}}, {"a": 1}, "auto", "YX", "ZYX", "float32"),
)
"""What stands where something else should, in JSON."""


@dataclass(frozen=True)
class Target:
    """A door, as a row.

    Attributes
    ----------
    made
        Makes a folder ready, once, and gives the feed and inputs that are as they should be.
    tokens
        What is put into an input, besides any bytes.
    form
        ``json`` for JSON, ``lines`` for a line of it each, else bytes.
    """

    made: Callable[[Path], tuple[Feed, list[bytes]]]
    tokens: tuple[bytes, ...]
    form: str = "bytes"


# What is said of models, results and batches --------------------------------------------------------------------------


def tiny_model() -> Model:
    method = build_method("noise2void", {"dimensions": "2", "width": 2, "depth": 1}, spatial="YX", channels=1)
    return Model("noise2void", method.eval(), Normalisation((1000.0,), (30.0,)))


def card(folder: Path) -> tuple[Feed, list[bytes]]:
    """The card of a model with its checksums put right; what is no JSON is the whole file."""
    path = tiny_model().save(folder / "m.safetensors")
    content = path.read_bytes()
    length = struct.unpack("<Q", content[:8])[0]
    header, body = json.loads(content[8 : 8 + length]), content[8 + length :]
    said = json.loads(header["__metadata__"]["napari_restore"])

    def feed(data: bytes) -> None:
        written = data
        if data[:1] == b"{":
            with contextlib.suppress(ValueError, RecursionError):
                changed = json.loads(data)
                changed["card_sha256"] = card_digest(changed)
                text = json.dumps({**header, "__metadata__": {"napari_restore": json.dumps(changed)}}).encode()
                written = struct.pack("<Q", len(text)) + text + body
        path.write_bytes(written)
        model = load_model(path)
        assert sum(p.numel() for p in model.method.parameters()) * 4 <= len(written)
        assert len(model.normalisation.mean) == model.method.channels
        assert np.isfinite(model.normalisation.mean).all() and np.isfinite(model.normalisation.std).all()
        json.dumps(model.card(), allow_nan=False)

    other = {**said, "method": "posterior", "config": {"sigma": [1.0], "gain": [0.0], "mean": [0.0], "std": [1.0]}}
    blur = {**said, "method": "scale_equivariant", "config": {"psf": "gaussian:1.5", "factor": {"Y": 2, "X": 2}}}
    return feed, [*(json.dumps(each).encode() for each in (said, other, blur)), content]


def journal(folder: Path) -> tuple[Feed, list[bytes]]:
    """Of an unfinished output, which is gone on with."""
    path = folder / "x.zarr"
    writer = output.create(
        path,
        geometry=Geometry.of("YX", (16, 16)),
        dtype="uint16",
        chunks=(8, 8),
        fingerprint={"image": {"shape": [16, 16]}, "tile": [8, 8]},
        name="x",
        provenance={},
    )
    with writer:
        for index, corner in enumerate(((0, 0), (0, 8), (8, 0))):
            region = Region(corner, (corner[0] + 8, corner[1] + 8))
            writer.write(index, region, PIXELS[0][region.slices])
    file = output.journal_path(path)
    content = file.read_bytes()

    def feed(data: bytes) -> None:
        file.write_bytes(data)
        output.check_destination(path, overwrite=False, resume=True)
        if not output.resumable(path):
            return
        with output.reopen(path, fingerprint={"image": {"shape": [16, 16]}, "tile": [8, 8]}) as writer:
            assert all(n >= 0 for n in writer.done)
            if sum(writer._journal.tiles[n].region.size for n in writer.done) < 256:
                with contextlib.suppress(RestoreError):
                    writer.finish()
                    raise AssertionError("finished without all its pixels")

    return feed, [content, content + b'{"forget": [1]}\n', content[:-20]]


def notes(folder: Path) -> tuple[Feed, list[bytes]]:
    """Of a batch, which is begun again."""
    images, results = folder / "in", folder / "out"
    images.mkdir()
    for name in "ab":
        tifffile.imwrite(images / f"{name}.tif", PIXELS[0])
    model = tiny_model()
    request = ask("restore_folder", images, model=model, output=results, axes="YX")
    for _ in run_request(request):
        pass
    content = (results / NOTES).read_bytes()

    def feed(data: bytes) -> None:
        (results / NOTES).write_bytes(data)
        events = run_request(request)
        for event in events:
            assert not (isinstance(event, FileState) and event.state == "failed"), event.reason
            if isinstance(event, FileState) and event.state == "running":
                break  # it would be restored
        events.close()

    return feed, [content, content[:-30], b""]


# Words ----------------------------------------------------------------------------------------------------------------


def point_spread(_: Path) -> tuple[Feed, list[bytes]]:
    def feed(data: bytes) -> None:
        text = data[1:].decode(errors="surrogateescape")
        ndim = 2 + data[0] % 2 if data else 2
        texts = psf.sweep(text)
        assert 1 <= len(texts) <= 3 and psf.axes_of(text) in (2, 3)
        for each in texts:
            kernel = psf.parse(each, ndim=ndim)
            assert kernel.ndim == ndim and all(n % 2 and n <= 511 for n in kernel.shape) and kernel.size <= 2**22
            assert np.isfinite(kernel).all() and kernel.min() >= 0 and math.isclose(kernel.sum(), 1, rel_tol=1e-6)
            again = psf.parse(psf.inline(kernel), ndim=ndim)
            assert np.allclose(again, kernel, atol=1e-6)

    inline = psf.inline(psf.gaussian(0.7))
    seeds = ["gaussian:1.5", "gaussian:1,2", "gaussian:2,1,1", "gaussian:1..2", "box:1", "box:1..3", "motion:5,30"]
    seeds += ["motion:3..6,0", "theory:NA=0.8,wavelength=0.5,pixel=0.2", inline]
    seeds += ["theory:na=0.4,wavelength=0.5,pixel=0.3,mode=confocal,z=1,n=1,emission=0.6"]
    return feed, [b"%d" % (len(text) % 2) + text.encode() for text in seeds]


IMAGE = np.zeros((2, 3, 16, 17), np.uint16)
_CONFIGURED = ("noise2void", "posterior", "scale_equivariant", "struct_noise2void")


def _set(text: str) -> None:
    settings = cli_verbs._settings("denoise", [text])
    for name in _CONFIGURED:
        with contextlib.suppress(RestoreError):
            methods.configure(name, settings)
    methods.configure("zero_shot", settings)


def _opened(**options: Any) -> None:
    opening = Opening(**options)
    image = open_image(IMAGE, axes=opening.axes or "ZCYX", pixel_size=opening.pixel_size, channel=opening.channel)
    assert math.prod(image.shape) <= IMAGE.size and all(0 < n < math.inf for n in image.geometry.pixel_size)


def _factor(text: str) -> None:
    request = ask("super_resolve", IMAGE, factor=read_word("factor", text), axes="ZCYX")
    name, config = request.own.lesson()
    factor = methods.configure(name, config).factor
    assert all(1 <= n <= 64 for n in (factor.values() if isinstance(factor, dict) else [factor]))


def _region(text: str) -> None:
    part = part_of(text, open_image(IMAGE, axes="ZCYX"))
    assert part is None or (part.inside(IMAGE.shape) and part.size > 0)


WORDS: tuple[Callable[[str], Any], ...] = (
    lambda text: _opened(axes=text),
    lambda text: _opened(channel=read_word("channel", text)),
    lambda text: _opened(channel=text),
    lambda text: _opened(pixel_size=read_word("pixel_size", text)),
    _set,
    _factor,
    _region,
    lambda text: Training(patch=read_word("patch", text)),
    lambda text: Restoring(tile=read_word("tile", text)),
)


def words(_: Path) -> tuple[Feed, list[bytes]]:
    def feed(data: bytes) -> None:
        if data:
            WORDS[data[0] % len(WORDS)](data[1:].decode(errors="surrogateescape"))

    seeds = ["ZCYX", "1", "green", "Z=0.3,Y=0.1,X=0.1", "width=8", "2", "Y=0:8,X=3", "64,64", "256,256"]
    more = [(4, "factors=[0.5,0.75]"), (4, "psf=gaussian:1"), (4, "noise=auto"), (5, "Z=4,Y=2"), (4, "mask=[[1,0]]")]
    assert len(seeds) == len(WORDS) and {"factor", "patch", "tile", "channel", "pixel_size"} <= FLAGS.keys()
    return feed, [bytes([i]) + text.encode() for i, text in [*enumerate(seeds), *more]]


# Images ---------------------------------------------------------------------------------------------------------------


def _look(path: Path) -> None:
    """What a viewer does first."""
    image = open_image(path)
    assert 0 < math.prod(image.shape) <= 2**60 and all(0 < n < math.inf for n in image.geometry.pixel_size)
    assert all(map(math.isfinite, image.geometry.origin)) and all("\n" not in note for note in image.notes)
    corner = image.read(Region((0,) * image.ndim, tuple(min(n, 16) for n in image.shape)))
    assert corner.dtype == image.dtype


def ome(folder: Path) -> tuple[Feed, list[bytes]]:
    """The text in a TIFF of two pages."""
    path = folder / "a.ome.tif"

    def feed(data: bytes) -> None:
        tifffile.imwrite(path, PIXELS, description=data.replace(b"\0", b" "), metadata=None, photometric="minisblack")
        _look(path)

    head = '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
    sizes = 'Type="uint16" SizeX="16" SizeY="16" SizeC="1" PhysicalSizeX="0.1" PhysicalSizeXUnit="nm"'
    seeds = [
        f'{head}<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" {sizes} SizeZ="2" SizeT="1">'
        '<Channel ID="Channel:0:0" SamplesPerPixel="1" Name="a"/><TiffData IFD="0" PlaneCount="2"/>'
        '<Plane TheZ="0" TheT="0" TheC="0" PositionX="1" PositionXUnit="mm"/></Pixels></Image></OME>',
        f'{head}<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYTZC" {sizes} SizeZ="1" SizeT="2">'
        '<TiffData FirstT="0" IFD="0"><UUID FileName="a.ome.tif">urn:uuid:1</UUID></TiffData>'
        '<TiffData FirstT="1" IFD="1"/></Pixels></Image><StructuredAnnotations><XMLAnnotation ID="A:0" '
        'Namespace="openmicroscopy.org/omero/dimension/modulo"><Value><Modulo><ModuloAlongT Type="lifetime" Start="0" '
        'End="1"/></Modulo></Value></XMLAnnotation></StructuredAnnotations></OME>',
        "ImageJ=1.53\nimages=2\nslices=2\nspacing=0.3\nunit=\\u00B5m\nfinterval=2\n",
        '{"shape": [2, 16, 16], "axes": "ZYX"}',
    ]
    return feed, [text.encode() for text in seeds]


def zarr_json(folder: Path) -> tuple[Feed, list[bytes]]:
    """The metadata of a Zarr, of a group or of an array; chunks are there for both."""
    path = folder / "a.zarr"
    array = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": [16, 16],
        "data_type": "uint16",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [16, 16]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": 0,
        "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
        "attributes": {},
    }
    for place in (path, path / "0"):
        (place / "c/0").mkdir(parents=True)
        (place / "c/0/0").write_bytes(PIXELS[0].tobytes())
    (path / "0/zarr.json").write_text(json.dumps(array))
    datasets = [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [0.1, 0.2]}]}]
    axes = [{"name": "y", "type": "space", "unit": "micrometer"}, {"name": "x", "type": "space"}]
    image = {"axes": axes, "datasets": datasets, "name": "a"}
    attributes = {"ome": {"version": "0.5", "multiscales": [image], "omero": {"channels": [{"label": "a"}]}}}
    group = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
    packed = {**array, "codecs": [*array["codecs"], {"name": "blosc", "configuration": {"cname": "zstd"}}]}

    def feed(data: bytes) -> None:
        (path / "zarr.json").write_bytes(data)
        _look(path)

    return feed, [json.dumps(each).encode() for each in (group, array, packed)]


def _dicom(path: Path, pixels: bytes, syntax: str = ExplicitVRLittleEndian, **more: Any) -> bytes:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = syntax
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", "1.2.3"
    file = FileDataset(str(path), {}, file_meta=meta, preamble=bytes(128))
    said = {"Rows": 16, "Columns": 16, "BitsAllocated": 16, "BitsStored": 12, "HighBit": 11, "PixelRepresentation": 0}
    said |= {"SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2", "PixelSpacing": ["0.5", "0.7"]}
    for word, value in {**said, "RescaleSlope": "2", "RescaleIntercept": "-1024", **more}.items():
        setattr(file, word, value)
    file.PixelData = pixels
    file["PixelData"].is_undefined_length = syntax == RLELossless
    file.save_as(path, enforce_file_format=True)
    return path.read_bytes()


def dicom(folder: Path) -> tuple[Feed, list[bytes]]:
    from pydicom.encaps import encapsulate

    path = folder / "a.dcm"
    places = []
    for z in range(2):
        place, measures, frame = Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = ["0", "0", str(z)]
        measures.PixelSpacing, measures.SliceThickness = ["0.5", "0.5"], "1"
        frame.PlanePositionSequence, frame.PixelMeasuresSequence = Items([place]), Items([measures])
        places.append(frame)
    run = struct.pack("<16I", 2, 64, 70, *[0] * 13) + b"\x81\0" * 6
    seeds = [
        _dicom(path, PIXELS[0].tobytes()),
        _dicom(path, PIXELS.tobytes(), NumberOfFrames=2, PerFrameFunctionalGroupsSequence=Items(places)),
        _dicom(path, encapsulate([run]), RLELossless, ImagePositionPatient=["0", "0", "1"], InstanceNumber="3"),
    ]

    def feed(data: bytes) -> None:
        path.write_bytes(data)
        _look(path)

    return feed, seeds


_JSON = (b"NaN", b"null", b"true", b'""', b"1e999", b"-1", b"[" * 2000, b'{"a":' * 2000, b"\\ud800", b"[]", b"{}")
TARGETS: dict[str, Target] = {
    "card": Target(card, (*_JSON, b"inline:3x3:", b"gaussian:1e9"), "json"),
    "journal": Target(journal, (*_JSON, b'{"forget": [0]}\n', b"\n", b"\0\0\0\0"), "lines"),
    "notes": Target(notes, (*_JSON, b"begun", b"done", b"\n"), "lines"),
    "psf": Target(
        point_spread,
        (b"..", b",", b":", b"=", b"nan", b"1e99", b"-", b"inline:3x3:", b"theory:", b"z=", b"mode=confocal", b"n="),
    ),
    "words": Target(
        words, (b"=", b",", b":", b"[", b"{", b"nan", b"1e999", b"9" * 5000, b"Y", b"\xc2\xb2", b"[" * 9999)
    ),
    "ome": Target(
        ome,
        (b'"', b"<", b"/>", b'SizeZ="', b"999999999999", b"-1", b"nan", b"1e999", b'FileName=".."', b"&x;", b"<Plane "),
    ),
    "zarr": Target(zarr_json, (*_JSON, b'"path": ""', b"..", b"vlen-utf8", b"float16", b"sharding_indexed"), "json"),
    "dicom": Target(
        dicom,
        (
            b"\xff\xff\xff\xff",
            b"\0\0\0\0",
            b"SQ\0\0",
            b"\xfe\xff\0\xe0",
            b"IS\x02\0",
            b"DS\x04\0nan ",
            b"UN\0\0",
            b"\\",
        ),
    ),
}


def fed(feed: Feed, data: bytes) -> str:
    """What was said of an input; nothing where it was taken."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            feed(data)
    except RestoreError as error:
        said = str(error)
        assert said and "\n" not in said, repr(said)
        assert len(said) < 2000 + 8 * len(data), "longer than what it is about"
        return said
    return ""


# Changed inputs -------------------------------------------------------------------------------------------------------


def edited(content: bytes, place: int, token: bytes, cut: int) -> bytes:
    """With a token in the place of so many bytes."""
    at = place % (len(content) + 1)
    return content[:at] + token + content[at + cut :]


def edited_json(content: bytes, place: int, value: Any, *, lines: bool) -> bytes:
    """With another value at a place of the tree; for lines of JSON, in one of them. As it is where that is none."""
    before, after = b"", b""
    if lines:
        every = content.splitlines(keepends=True) or [b""]
        n = place % len(every)
        before, content, after, place = (
            b"".join(every[:n]),
            every[n],
            b"\n" + b"".join(every[n + 1 :]),
            place // len(every),
        )
    try:
        tree = json.loads(content)
    except (ValueError, RecursionError):
        return before + content + after
    holders = list(_holders(tree))
    if holders:
        holder, key = holders[place % len(holders)]
        if value is Ellipsis:
            del holder[key]
        else:
            holder[key] = value
    try:
        return before + json.dumps(tree).encode() + after
    except (ValueError, RecursionError):  # as deep as it could be read
        return before + content + after


def _holders(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Every entry of every object and list, each object before those in it."""
    waiting = [tree]
    while waiting:
        holder = waiting.pop()
        if isinstance(holder, dict | list):
            for key, value in holder.items() if isinstance(holder, dict) else enumerate(holder):
                yield holder, key
                waiting.append(value)


if not WITH_ATHERIS:
    import pytest
    from hypothesis import HealthCheck, given, settings
    from hypothesis import strategies as st

    PLACES = st.integers(0, 2**30)

    @st.composite
    def changed(draw: Any, target: Target, seeds: list[bytes]) -> bytes:
        """One that is as it should be, with a few changes."""
        content: bytes = draw(st.sampled_from(seeds))
        for _ in range(draw(st.integers(1, 3))):
            if target.form != "bytes" and draw(st.booleans()):
                value = draw(st.sampled_from((..., *VALUES)))
                content = edited_json(content, draw(PLACES), value, lines=target.form == "lines")
            else:
                token = draw(st.one_of(st.sampled_from(target.tokens), st.binary(max_size=4), st.text().map(_encoded)))
                content = edited(content, draw(PLACES), token, draw(st.integers(0, 40)))
        return content

    def _encoded(text: str) -> bytes:
        return text.encode(errors="surrogatepass")

    @pytest.fixture
    def door(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
        monkeypatch.setattr("os.fsync", lambda _: None)
        logging.disable(logging.CRITICAL)
        yield TARGETS[request.param], *TARGETS[request.param].made(tmp_path)
        logging.disable(logging.NOTSET)

    @pytest.mark.parametrize("door", TARGETS, indirect=True)
    def test_whatever_comes_is_a_value_or_a_project_error(door: tuple[Target, Feed, list[bytes]]) -> None:
        target, feed, seeds = door
        assert fed(feed, seeds[0]) == "", "one that is as it should be"

        @settings(max_examples=60, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
        @given(changed(target, seeds))
        def given_to_it(content: bytes) -> None:
            fed(feed, content)

        given_to_it()

    def _stored_bits(number: int) -> bytes:
        """The element (0028,0101), BitsStored, of a DICOM file."""
        return b"\x28\x00\x01\x01US\x02\x00" + struct.pack("<H", number)

    @pytest.mark.parametrize(
        ("door", "content", "said"),
        [
            ("psf", b"1theory:na=0.4,wavelength=0.51e99,pixel=0.3,z=1", "wavelength 5.1e+98: give a number above 0"),
            ("psf", b"1theory:na=1e-11,wavelength=1e11,pixel=1,z=1e-9", "511 along an axis"),
            ("psf", b"0gaussian:1e308", "511 along an axis"),
            ("psf", b"0box:1e308..1.7e308", "511 along an axis"),
            ("psf", b"1Gaussian: 2,1,1", ""),
            ("psf", b"1inline:7x7x7x7:eNr", "it needs 2 or 3 odd numbers"),
            ("words", b"\x04factors=" + b"[" * 100_000, "write several values as in"),
            ("words", b"\x04width=8\n\x1b[2J", "8\\n\\x1b[2J"),
            ("words", b"\x05Y=1e999", "write it as in 2, or Z=4"),
            ("words", b"\x05Z=4\n,Y=x", "Z=4\\n,Y=x"),
            ("words", b"\x06Y=2:" + b"9" * 5000, "give ranges of pixels"),
            ("words", b"\x01" + b"9" * 5000, "no channel is called"),
            ("words", b"\x01\xed\xa0\x80", "no channel is called"),
            (
                "zarr",
                b'{"zarr_format": 3, "node_type": "array", "shape": [1%s, 16], "data_type": "uint16", "chunk_grid": '
                b'{"name": "regular", "configuration": {"chunk_shape": [16, 16]}}, "chunk_key_encoding": {"name": '
                b'"default"}, "fill_value": 0, "codecs": [{"name": "bytes"}], "attributes": {}}' % (b"0" * 400),
                "claims more than",
            ),
            ("dicom", (_stored_bits(12), _stored_bits(17)), "17 bits are stored in pixels of 16"),
            ("dicom", (_stored_bits(12), _stored_bits(65535)), "65535 bits are stored in pixels of 16"),
            ("journal", (b'"placement": null', b'"placement": [[1, 0], [0]]'), "x.zarr"),
            ("journal", (b'"shape": [16, 16], "pixel', b'"shape": [16, [16]], "pixel'), "x.zarr"),
            ("journal", (b'"chunks": [8, 8]', b'"chunks": [8]'), "x.zarr"),
        ],
        indirect=["door"],
    )
    def test_what_was_found_is_said(
        door: tuple[Target, Feed, list[bytes]], content: bytes | tuple[bytes, bytes], said: str
    ) -> None:
        """`content`: an input, or what is in the first one that is as it should be, and what stands there instead."""
        _, feed, seeds = door
        if isinstance(content, tuple):
            assert seeds[0].count(content[0]) == 1
            content = seeds[0].replace(*content)
        found = fed(feed, content)
        assert said in found if said else found == ""


# The run that looks for new ones --------------------------------------------------------------------------------------


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("target", choices=TARGETS)
    words.add_argument("--seconds", type=int, default=60)
    words.add_argument("--out", type=Path, default=Path("build/fuzz"), help="Where inputs that are not right go.")
    words.add_argument("--slow", type=float, default=2.0, help="Seconds of the processor that an input may take.")
    asked = words.parse_args()
    import torch

    torch.set_num_threads(1)
    target, folder = TARGETS[asked.target], asked.out / asked.target
    folder.mkdir(parents=True, exist_ok=True)
    logging.disable(logging.CRITICAL)
    os.fsync = lambda _: None  # type: ignore[assignment]
    scratch = Path(tempfile.mkdtemp(prefix="fuzz-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    atexit.register(shutil.rmtree, scratch, ignore_errors=True)
    feed, seeds = target.made(scratch)
    corpus = folder / "corpus"
    corpus.mkdir(exist_ok=True)
    for seed in seeds:
        (corpus / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)
    found: dict[str, int] = {}

    def one(data: bytes) -> None:
        began = time.process_time()
        try:
            fed(feed, data)
        except Exception as error:  # noqa: BLE001  that is what is looked for
            where = traceback.extract_tb(error.__traceback__)
            ours = [f"{Path(f.filename).name}:{f.lineno}" for f in where if "napari_restore" in f.filename]
            _keep(folder, found, f"{type(error).__name__} in {ours[-1] if ours else 'the target'}", data, error)
        seconds = time.process_time() - began
        if seconds > asked.slow:
            _keep(folder, found, f"slower than {asked.slow} s", data, f"{seconds:.1f} s")

    def change(data: bytes, most: int, seed: int) -> bytes:
        rng = random.Random(seed)
        for _ in range(rng.choice((1, 1, 1, 2, 4))):
            if target.form != "bytes" and rng.random() < 0.6:
                value = ... if rng.random() < 0.1 else rng.choice(VALUES)
                data = edited_json(data, rng.getrandbits(30), value, lines=target.form == "lines")
            elif rng.random() < 0.3:
                data = edited(data, rng.getrandbits(30), rng.choice(target.tokens), rng.choice((0, 0, 1, 4, 40)))
            else:
                data = atheris.Mutate(data, most)
        return data[:most]

    options = [f"-max_total_time={asked.seconds}", "-max_len=20000", "-timeout=1200", "-rss_limit_mb=3000"]
    options += ["-print_final_stats=1", f"-artifact_prefix={folder}/"]
    atheris.Setup([sys.argv[0], str(corpus), *options], one, custom_mutator=change)
    atheris.Fuzz()


def _keep(folder: Path, found: dict[str, int], kind: str, data: bytes, what: object) -> None:
    """The first three inputs of a kind, and what was said."""
    found[kind] = found.get(kind, 0) + 1
    if found[kind] > 3:
        return
    name = f"{hashlib.sha256(kind.encode()).hexdigest()[:8]}-{found[kind]}"
    (folder / f"{name}.input").write_bytes(data)
    said = "".join(traceback.format_exception(what)) if isinstance(what, BaseException) else str(what)
    (folder / f"{name}.txt").write_text(f"{kind}\n{said[-3000:]}\n{data[:300]!r}\n", errors="backslashreplace")
    print(f"FOUND {kind}: {folder / name}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
