"""Stores of objects through fsspec: a file system of the test stands in for S3."""

import errno
from collections import Counter
from importlib import import_module
from importlib.util import find_spec

import numpy as np
import pytest
import zarr

pytest.importorskip("fsspec")
from fsspec.implementations.asyn_wrapper import AsyncFileSystemWrapper
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.registry import _registry

from napari_restore.core.errors import ImageError
from napari_restore.sources import open_image, remote

PIXELS = np.arange(2 * 20 * 30, dtype=np.uint16).reshape(2, 20, 30)


class Bucket(MemoryFileSystem):
    """S3 in memory. ``fails(key, n)`` gives the error of the n-th request for a key, or None."""

    protocol = ("s3",)
    store = {}  # noqa: RUF012
    pseudo_dirs = [""]  # noqa: RUF012
    asked = Counter()  # noqa: RUF012
    fails = staticmethod(lambda key, times: None)

    @classmethod
    def _strip_protocol(cls, path):
        return "/" + path.removeprefix("s3://").strip("/")

    def cat_file(self, path, start=None, end=None, **kwargs):
        key = self._strip_protocol(path)
        Bucket.asked[key] += 1
        error = Bucket.fails(key, Bucket.asked[key])
        if error is not None:
            raise error
        return super().cat_file(path, start, end, **kwargs)


class NoCredentialsError(Exception):
    """As botocore's, a child of Exception only."""


class EndpointConnectionError(type("ConnectionError", (Exception,), {})):
    """As botocore's, whose parent is not Python's ConnectionError."""


@pytest.fixture
def bucket(tmp_path, monkeypatch):
    monkeypatch.setattr(remote, "REMOTE_WAITS", (0.0, 0.0, 0.0))
    Bucket.store.clear()
    Bucket.asked.clear()
    monkeypatch.setattr(Bucket, "fails", staticmethod(lambda key, times: None))
    monkeypatch.setitem(_registry, "s3", Bucket)
    zarr.create_array(tmp_path / "x.zarr", data=PIXELS, chunks=(1, 10, 10), shards=(1, 20, 30))
    files = [file for file in (tmp_path / "x.zarr").rglob("*") if file.is_file()]
    Bucket().pipe({f"s3://lab/{file.relative_to(tmp_path).as_posix()}": file.read_bytes() for file in files})
    return Bucket


PASSING = [
    OSError(errno.EBUSY, "SlowDown"), OSError(errno.EREMOTEIO, "InternalError"), TimeoutError(), ConnectionResetError(),
    EndpointConnectionError("no"),
]  # fmt: skip
LASTING = [PermissionError("AccessDenied"), OSError(errno.EINVAL, "InvalidBucketName"), NoCredentialsError("no")]


@pytest.mark.parametrize("error", PASSING, ids=repr)
def test_what_may_pass_is_asked_for_again_shards_too(bucket, monkeypatch, error):
    monkeypatch.setattr(bucket, "fails", staticmethod(lambda key, times: error if times <= 3 else None))
    image = open_image("s3://lab/x.zarr", axes="ZYX")
    assert (image.name, image.location, image.notes) == ("x", "s3://lab/x.zarr", ())
    np.testing.assert_array_equal(image.read(), PIXELS)
    monkeypatch.setattr(bucket, "fails", staticmethod(lambda key, times: error))
    with pytest.raises(ImageError, match=r"s3://lab/x\.zarr/c/.* after 4 attempts: .* Look whether") as caught:
        image.read()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("error", LASTING, ids=repr)
def test_what_stays_fails_at_once(bucket, monkeypatch, error):
    image = open_image("s3://lab/x.zarr", axes="ZYX")
    bucket.asked.clear()
    monkeypatch.setattr(bucket, "fails", staticmethod(lambda key, times: error))
    with pytest.raises(ImageError, match=r"s3://lab/x\.zarr/c/.* cannot be fetched: .* Check (its|the)"):
        image.read()
    assert set(bucket.asked.values()) == {1}
    with pytest.raises(ImageError, match="cannot be fetched"):
        open_image("s3://lab/x.zarr")


def test_a_file_system_that_asks_again_itself_is_left_to_it(bucket, monkeypatch):
    monkeypatch.setattr(AsyncFileSystemWrapper, "retries", 5, raising=False)
    image = open_image("s3://lab/x.zarr", axes="ZYX")
    bucket.asked.clear()
    monkeypatch.setattr(bucket, "fails", staticmethod(lambda key, times: TimeoutError()))
    with pytest.raises(ImageError, match=r"cannot be fetched: .* Look whether"):
        image.read()
    assert set(bucket.asked.values()) == {1}


def test_s3fs_and_gcsfs_ask_again_themselves():
    for name, kind in (("s3fs", "S3FileSystem"), ("gcsfs", "GCSFileSystem")):
        if find_spec(name):
            assert getattr(import_module(name), kind).retries > 1


def test_it_cannot_be_written(bucket):
    with pytest.raises(ValueError, match="read-only"):
        zarr.open(remote.open_remote("s3://lab/x.zarr"), mode="r")[0] = 1
