"""Images behind a server that fails for a moment, and credentials in their URLs, which nothing shows or writes."""

from __future__ import annotations

import base64
import functools
import http.server
import json
import logging
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
import torch
import zarr

pytest.importorskip("aiohttp")

from napari_restore import open_image, restore_events, train, train_events
from napari_restore.core.errors import ImageError
from napari_restore.core.job import Events
from napari_restore.core.normalisation import Normalisation
from napari_restore.core.options import Opening
from napari_restore.core.region import Region
from napari_restore.restoration.reading import Filled, steady
from napari_restore.sources import remote
from napari_restore.sources.retrying import UnreachableError
from napari_restore.store.model import Model, build_method
from napari_restore.store.saving import save_image

SHAPE, CHUNKS = (2, 48, 64), (1, 32, 32)
PIXELS = np.random.default_rng(0).integers(900, 1100, SHAPE).astype(np.uint16)
USER, PASSWORD, TOKEN = "ada@lab", "pass:w/rd?", "tok+en=="
QUICK: dict[str, Any] = {"steps": 2, "seed": 0, "device": "cpu", "precision": "float32", "width": 4, "depth": 1}

Fails = Callable[[str, int], int | None]
"""What becomes of a path that is asked for the n-th time, from 1: a status, 0 for a closed line, None for the file."""


class Server(http.server.ThreadingHTTPServer):
    """Files of a folder, unless ``fails`` or the wanted credentials say otherwise."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
        self.asked: Counter[str] = Counter()
        self.fails: Fails = lambda path, times: None
        self.authorization: str | None = None
        self.query: dict[str, list[str]] = {}
        self.lock = threading.Lock()

    def url(self, name: str, user: str = "", query: str = "") -> str:
        return f"http://{user}127.0.0.1:{self.server_port}/{name}{query}"


class Handler(http.server.SimpleHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        with self.server.lock:
            self.server.asked[parts.path] += 1
            outcome = self.server.fails(parts.path, self.server.asked[parts.path])
        if self.headers.get("Authorization") != self.server.authorization or parse_qs(parts.query) != self.server.query:
            outcome = 403
        if outcome is None:
            super().do_GET()
        elif outcome == 0:
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"half")
            self.close_connection = True
        else:
            self.send_error(outcome)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(remote, "REMOTE_WAITS", (0.0, 0.0, 0.0))
    (tmp_path / "served").mkdir()
    zarr.create_array(tmp_path / "served/raw.zarr", data=PIXELS, chunks=CHUNKS, fill_value=7)
    with Server(tmp_path / "served") as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


@pytest.fixture
def model() -> Model:
    torch.manual_seed(0)
    method = build_method("noise2void", {"width": 4, "depth": 1}, spatial="YX", channels=1)
    return Model("noise2void", method.eval(), Normalisation((1000.0,), (50.0,)))


def drained(events: Events[Any]) -> tuple[Any, list[Any]]:
    seen = []
    while True:
        try:
            seen.append(next(events))
        except StopIteration as end:
            return end.value, seen


@pytest.mark.parametrize("status", [500, 502, 503, 504, 429, 0])
def test_each_request_may_fail_up_to_three_times(server: Server, status: int) -> None:
    server.fails = lambda path, times: status if times <= 3 else None
    image = open_image(server.url("raw.zarr"), axes="ZYX")
    np.testing.assert_array_equal(image.read(), PIXELS)
    assert set(server.asked.values()) <= {1, 4}


def test_only_the_chunk_that_failed_is_asked_for_again(server: Server) -> None:
    image = open_image(server.url("raw.zarr"), axes="ZYX")
    server.asked.clear()
    server.fails = lambda path, times: 503 if path.endswith("c/1/1/0") and times == 1 else None
    np.testing.assert_array_equal(image.read(), PIXELS)
    assert server.asked.pop("/raw.zarr/c/1/1/0") == 2
    assert set(server.asked.values()) == {1}


def test_a_chunk_that_is_not_there_is_the_fill_value_and_not_asked_for_again(server: Server, tmp_path: Path) -> None:
    (tmp_path / "served/raw.zarr/c/1/1/0").unlink()
    expected = PIXELS.copy()
    expected[1, 32:, :32] = 7
    np.testing.assert_array_equal(open_image(server.url("raw.zarr"), axes="ZYX").read(), expected)
    assert server.asked["/raw.zarr/c/1/1/0"] == 1


@pytest.mark.parametrize(
    ("status", "times", "said"),
    [
        (403, 1, r"c/1/1/0 cannot be fetched: 403 Forbidden\. Check its credentials"),
        (410, 1, r"c/1/1/0 cannot be fetched: 410 Gone\. Check the URL"),
        (503, 4, r"c/1/1/0 cannot be fetched after 4 attempts: 503 Service Unavailable\. Look whether"),
        (599, 4, r"c/1/1/0 cannot be fetched after 4 attempts: status 599\."),
        (0, 4, r"c/1/1/0 cannot be fetched after 4 attempts: .*Error"),
    ],
)
def test_what_stays_is_one_line_and_is_not_tried_by_each_reader_again(
    server: Server, model: Model, tmp_path: Path, status: int, times: int, said: str
) -> None:
    server.fails = lambda path, _: status if path.endswith("c/1/1/0") else None
    image = open_image(server.url("raw.zarr"), axes="ZYX")
    part = Region((1, 30, 0), (2, 40, 10))
    for read in (image.read, steady(image, Filled(), unreadable="fail", waits=(0.0, 0.0)).read):
        server.asked.clear()
        with pytest.raises(UnreachableError, match=said) as caught:
            read(part)
        assert "\n" not in str(caught.value)
        assert server.asked["/raw.zarr/c/1/1/0"] == times
    with pytest.raises(UnreachableError, match=said):
        drained(restore_events(image, model, output=tmp_path / "o.zarr", device="cpu"))
    with pytest.raises(UnreachableError, match=said):
        train(image, "noise2void", **QUICK)
    filled = Filled()
    calm = steady(image, filled, unreadable="fill", waits=(0.0, 0.0))
    np.testing.assert_array_equal(calm.read(Region((0, 0, 0), (1, 48, 64))), PIXELS[:1])
    assert not calm.read(part)[:, 2:].any()
    assert filled.chunks == {(1, 1, 0)}


def test_training_and_restoring_from_a_server_that_stumbles_give_the_same_bytes(server: Server, tmp_path: Path) -> None:
    server.fails = lambda path, times: (503, 0, 429)[times - 1] if times <= 3 else None
    far = open_image(server.url("raw.zarr"), axes="ZYX")
    near = open_image(tmp_path / "served/raw.zarr", axes="ZYX")
    results = []
    for image, name in ((near, "near"), (far, "far")):
        model = train(image, "noise2void", **QUICK)
        trained, server.asked = server.asked, Counter()
        words: dict[str, Any] = {"tile": (32, 32), "device": "cpu", "precision": "float32"}
        results.append(np.asarray(drained(restore_events(image, model, output=tmp_path / f"{name}.zarr", **words))[0]))
    np.testing.assert_array_equal(results[0], results[1])
    for asked in (trained, server.asked):
        assert min(count for path, count in asked.items() if "/c/" in path) >= 4


HIDDEN = [
    USER, PASSWORD, TOKEN, "ada%40lab", "pass%3A", "w%2Frd", "tok%2Ben", "X-Amz",
    base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode(),
]  # fmt: skip


def guard(server: Server) -> str:
    """Let nobody in without the credentials of a URL, which is given back."""
    server.authorization = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    server.query = {"X-Amz-Signature": [TOKEN], "part": ["1"]}
    return server.url("raw.zarr", "ada%40lab:pass%3Aw%2Frd%3F@", "?X-Amz-Signature=tok%2Ben%3D%3D&part=1")


def assert_hidden(text: str) -> None:
    assert not [secret for secret in HIDDEN if secret in text]


def test_credentials_open_an_image_and_are_in_nothing_that_is_shown_or_written(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    url = guard(server)
    with caplog.at_level(logging.DEBUG):
        image = open_image(url, axes="ZYX")
        np.testing.assert_array_equal(image.read(), PIXELS)
        assert (image.name, image.location) == ("raw", server.url("raw.zarr"))
        assert any("its URL" in note for note in image.notes)
        model, events = drained(train_events(image, "noise2void", run=tmp_path / "run", **QUICK))
        words = {"output": tmp_path / "o.zarr", "tile": (32, 32), "device": "cpu"}
        result, more = drained(restore_events(image, model, **words))
        drained(restore_events(image, model, **{**words, "output": tmp_path / "o.tif"}))
        stopped = restore_events(image, model, **{**words, "output": tmp_path / "unfinished.zarr"})
        while type(next(stopped)).__name__ != "TileDone":
            continue
        stopped.close()
        model.save(tmp_path / "m.safetensors")
        save_image(image, tmp_path / "copy.zarr")
    assert server.url("raw.zarr") in json.dumps(model.card())
    assert_hidden(json.dumps(model.card()) + repr([image, image.notes, events, more, result]) + caplog.text)
    written = [f for f in tmp_path.rglob("*") if f.is_file() and "served" not in f.parts]
    assert {"run.json", "events.jsonl", "zarr.json", "m.safetensors", "o.tif"} <= {f.name for f in written}
    assert any("journal" in str(f) for f in written)
    for file in written:
        assert_hidden(file.read_bytes().decode("latin1"))


@pytest.mark.parametrize("status", [403, 503, 0])
def test_no_error_and_no_traceback_has_credentials(
    server: Server, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    url = guard(server)
    image = open_image(url, axes="ZYX")
    server.fails = lambda path, times: status
    with caplog.at_level(logging.DEBUG):
        for fail in (image.read, lambda: open_image(url), lambda: open_image(Path(url))):
            with pytest.raises(ImageError, match=r"raw\.zarr/.* cannot be fetched") as caught:
                fail()
            assert "\n" not in str(caught.value)
            assert_hidden("".join(traceback.format_exception(caught.value)))
    assert_hidden(caplog.text)


def test_without_credentials_a_guarded_image_is_refused_in_words(server: Server) -> None:
    guard(server)
    with pytest.raises(ImageError, match=r"raw\.zarr/.* cannot be fetched: 403 Forbidden\. Check its credentials"):
        open_image(server.url("raw.zarr"))


def test_workers_get_the_whole_url_and_their_logs_do_not(server: Server) -> None:
    sources = pytest.importorskip("napari_restore.restoration.cluster.source", reason="needs distributed")
    url = guard(server)
    source = sources.find_source(open_image(url, axes="ZYX"))
    np.testing.assert_array_equal(source.open().read(), PIXELS)
    assert_hidden(repr(source))
    other = sources.Source(url, Opening(axes="ZYX"))
    with pytest.raises(ImageError, match="opens as another image") as caught:
        sources.open_same(other, "ZYX", (1, 2, 3), "<u2", "")
    assert_hidden(str(caught.value))
