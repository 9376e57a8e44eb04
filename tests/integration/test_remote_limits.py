"""Servers that give more than there can be: each answer ends, in memory and in time, with one line."""

from __future__ import annotations

import gzip
import http.server
import json
import logging
import resource
import threading
import time
import zlib
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import numcodecs
import numpy as np
import pytest
import zarr

pytest.importorskip("aiohttp")

from napari_restore import open_image
from napari_restore.core.errors import ImageError
from napari_restore.core.region import Region
from napari_restore.sources import answers, remote
from napari_restore.sources.remote import RemoteStore
from napari_restore.sources.zarr_bounds import MOST_METADATA, BoundedStore

MIB = 2**20
ZEROS = bytes(16 * MIB)
ARRAY: dict[str, Any] = {
    "zarr_format": 3,
    "node_type": "array",
    "shape": [64, 64],
    "data_type": "uint16",
    "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [64, 64]}},
    "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
    "fill_value": 0,
    "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
    "attributes": {},
}
SECONDS, MEGABYTES = 10.0, 100
"""What a test here may take on a busy machine, and add to what the process holds."""


class Server(http.server.ThreadingHTTPServer):
    """Gives ``answers`` by path: bytes, or what to do with the handler."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: dict[str, Any] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/a.zarr"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        answer = self.server.answers.get(urlsplit(self.path).path.removeprefix("/a.zarr"))
        if answer is None:
            self.send_error(404)
        elif isinstance(answer, bytes):
            self.answer(answer)
        else:
            try:
                answer(self)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

    def answer(self, content: bytes, **headers: str) -> None:
        self.send_response(200)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content)

    def endless(self, status: int = 200) -> None:
        self.send_response(status)
        self.end_headers()
        while True:
            self.wfile.write(ZEROS)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(remote, "REMOTE_WAITS", (0.0,))
    with Server() as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


@pytest.fixture(autouse=True)
def within_limits(server: Server) -> Iterator[None]:
    """Every test here ends in time, and adds no more than a few megabytes to the process."""
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert time.monotonic() - began < SECONDS
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024 < MEGABYTES


def serve(server: Server, chunk: Any, *codecs: dict[str, Any]) -> None:
    server.answers["/zarr.json"] = json.dumps({**ARRAY, "codecs": [*ARRAY["codecs"], *codecs]}).encode()
    server.answers["/c/0/0"] = chunk


def gigabytes() -> bytes:
    """A gzip of 4 GB in 4 MB: members follow each other."""
    return gzip.compress(ZEROS, 6) * 256


@pytest.mark.parametrize(
    "answer",
    [
        Handler.endless,
        lambda handler: handler.answer(gigabytes(), Content_Encoding="gzip"),
        lambda handler: handler.answer(zlib.compress(bytes(64 * MIB)), Content_Encoding="deflate"),
        lambda handler: handler.answer(bytes(MOST_METADATA + 1)),
    ],
    ids=["endless", "gzip", "deflate", "one byte too long"],
)
def test_metadata_without_an_end_are_refused(server: Server, answer: Any) -> None:
    server.answers["/zarr.json"] = answer
    with pytest.raises(ImageError, match=rf"zarr\.json.* more than the {MOST_METADATA} bytes") as caught:
        open_image(server.url)
    assert "\n" not in str(caught.value)


def test_a_packing_that_nobody_asked_for_is_refused_by_name(server: Server) -> None:
    server.answers["/zarr.json"] = lambda handler: handler.answer(b"{}", Content_Encoding="br")
    with pytest.raises(ImageError, match=r"packed by 'br', which nobody asked for"):
        open_image(server.url)


def test_metadata_that_a_server_packed_are_read(server: Server) -> None:
    pixels = np.arange(64 * 64, dtype="<u2").reshape(64, 64)
    plain = json.dumps(ARRAY).encode()
    server.answers["/zarr.json"] = lambda handler: handler.answer(gzip.compress(plain), Content_Encoding="gzip")
    server.answers["/c/0/0"] = lambda handler: handler.answer(gzip.compress(pixels.tobytes()), Content_Encoding="gzip")
    np.testing.assert_array_equal(open_image(server.url).read(), pixels)


def test_an_error_with_an_endless_text_is_its_number(server: Server) -> None:
    serve(server, lambda handler: handler.endless(403))
    with pytest.raises(ImageError, match=r"c/0/0 cannot be fetched: 403 Forbidden"):
        open_image(server.url).read()
    serve(server, lambda handler: handler.endless(404))
    assert not open_image(server.url).read().any(), "a chunk that is not there is the fill value"


def test_a_chunk_without_an_end_is_refused(server: Server) -> None:
    serve(server, Handler.endless)
    image = open_image(server.url)
    with pytest.raises(ImageError, match=r"c/0/0.* more than the \d{7} bytes"):
        image.read(Region((0, 0), (8, 8)))


@pytest.mark.parametrize(
    ("codec", "packed"),
    [
        ({"name": "gzip", "configuration": {"level": 5}}, lambda: gzip.compress(ZEROS, 6) * 64),
        (
            {"name": "zstd", "configuration": {"level": 1, "checksum": False}},
            lambda: bytes(numcodecs.Zstd(1).encode(ZEROS)) * 128,
        ),
    ],
    ids=["gzip", "zstd"],
)
def test_a_chunk_that_unpacks_to_gigabytes_is_refused(server: Server, codec: dict[str, Any], packed: Any) -> None:
    serve(server, packed(), codec)
    image = open_image(server.url)
    with pytest.raises(ImageError, match=r"cannot be read: .*unpack"):
        image.read(Region((0, 0), (8, 8)))


def test_a_server_that_sends_a_byte_now_and_then_is_left(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "_PATIENCE", 0.5)

    def drip(handler: Handler) -> None:
        handler.send_response(200)
        handler.end_headers()
        while True:
            handler.wfile.write(b" ")
            time.sleep(0.05)

    server.answers["/zarr.json"] = drip
    with pytest.raises(ImageError, match="too few to ever end"):
        open_image(server.url)


@pytest.mark.parametrize(
    ("target", "said"),
    [("/a.zarr/zarr.json", "zarr.json cannot be fetched"), ("file:///etc/passwd", "zarr.json cannot be fetched")],
    ids=["in a circle", "into the machine"],
)
def test_a_redirect_leads_nowhere(server: Server, target: str, said: str) -> None:
    def sent_on(handler: Handler) -> None:
        handler.send_response(302)
        handler.send_header("Location", target)
        handler.end_headers()

    server.answers["/zarr.json"] = sent_on
    with pytest.raises(ImageError, match=said) as caught:
        open_image(server.url)
    assert "\n" not in str(caught.value) and "root:" not in str(caught.value)


def test_no_library_complains_on_the_way(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    server.answers["/zarr.json"] = Handler.endless
    with caplog.at_level(logging.WARNING), pytest.raises(ImageError):
        open_image(server.url)
    assert not caplog.records


def test_a_store_of_objects_is_asked_for_no_more_than_it_may_give() -> None:
    """s3 and its like read whole, whatever is there; they know of ranges."""
    pytest.importorskip("fsspec")
    from fsspec.implementations.asyn_wrapper import AsyncFileSystemWrapper
    from fsspec.implementations.memory import MemoryFileSystem
    from zarr.core.buffer import default_buffer_prototype
    from zarr.core.sync import sync
    from zarr.storage import FsspecStore

    files = MemoryFileSystem(skip_instance_cache=True)
    files.pipe("/a.zarr/zarr.json", bytes(MOST_METADATA + 5))
    files.pipe("/a.zarr/c/0", b"1234")
    inner = FsspecStore(AsyncFileSystemWrapper(files, asynchronous=True), read_only=True, path="/a.zarr")
    asked: list[Any] = []
    fetch = inner.get

    async def get(key: str, prototype: Any, byte_range: Any = None) -> Any:
        asked.append(byte_range)
        return await fetch(key, prototype, byte_range)

    inner.get = get  # type: ignore[method-assign]
    store = BoundedStore(RemoteStore(inner, "s3://bucket/a.zarr", ()), lambda key: None, most=100)
    with pytest.raises(ImageError, match=r"s3://bucket/a\.zarr/zarr\.json holds more than"):
        sync(store.get("zarr.json", default_buffer_prototype()))
    value = sync(store.get("c/0", default_buffer_prototype()))
    assert value is not None and value.to_bytes() == b"1234"
    assert [part.end for part in asked] == [MOST_METADATA + 1, 101]


def test_a_shard_is_read_part_by_part_through_a_server(server: Server, tmp_path: Any) -> None:
    pixels = np.random.default_rng(0).integers(0, 99, (64, 64)).astype(np.uint16)
    zarr.create_array(tmp_path / "a.zarr", data=pixels, chunks=(16, 16), shards=(64, 64))
    server.answers["/zarr.json"] = (tmp_path / "a.zarr/zarr.json").read_bytes()
    whole = (tmp_path / "a.zarr/c/0/0").read_bytes()

    def part(handler: Handler) -> None:
        wanted = handler.headers.get("Range", "")
        if not wanted:
            handler.answer(whole, Accept_Ranges="bytes")
            return
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        content = whole[-int(last) :] if not first else whole[int(first) : int(last) + 1]
        handler.send_response(206)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    server.answers["/c/0/0"] = part
    image = open_image(server.url)
    np.testing.assert_array_equal(image.read(Region((3, 5), (20, 21))), pixels[3:20, 5:21])
    np.testing.assert_array_equal(image.read(), pixels)
