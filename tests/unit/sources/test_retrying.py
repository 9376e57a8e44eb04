"""Which errors are worth another attempt, and how often a read is tried."""

import errno
import socket
from dataclasses import replace

import numpy as np
import pytest

from napari_restore.core.errors import ImageError
from napari_restore.core.region import Region
from napari_restore.sources import open_image
from napari_restore.sources.retrying import UnreachableError, may_pass, read_again

PIXELS = np.arange(12).reshape(3, 4)


class AnswerError(Exception):
    def __init__(self, status):
        super().__init__()
        self.status = status


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599])
def test_a_server_that_is_busy_or_ill_may_pass(status):
    assert may_pass(AnswerError(status))


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 405, 410, 416, 451])
def test_a_refusal_stays(status):
    assert not may_pass(AnswerError(status))


@pytest.mark.parametrize(
    "error",
    [TimeoutError(), ConnectionResetError(), BrokenPipeError(), OSError(errno.EIO, "x"), OSError(errno.ENETDOWN, "x")],
    ids=repr,
)
def test_a_line_that_breaks_may_pass(error):
    assert may_pass(error)


@pytest.mark.parametrize(
    "error",
    [FileNotFoundError(), PermissionError(), OSError(errno.EINVAL, "x"), ValueError(), RuntimeError(), KeyError(503)],
    ids=repr,
)
def test_what_is_wrong_stays(error):
    assert not may_pass(error)


def test_errors_of_aiohttp_and_botocore_are_known():
    aiohttp = pytest.importorskip("aiohttp")
    assert may_pass(aiohttp.ServerDisconnectedError())
    assert may_pass(aiohttp.ClientPayloadError())
    assert may_pass(aiohttp.SocketTimeoutError())
    key = aiohttp.client_reqrep.ConnectionKey("host", 443, True, True, None, None, None)
    assert may_pass(aiohttp.ClientConnectorError(key, socket.gaierror(socket.EAI_AGAIN, "x")))
    assert not may_pass(aiohttp.ClientConnectorCertificateError(key, Exception("expired")))
    assert not may_pass(aiohttp.InvalidURL("x"))
    botocore = pytest.importorskip("botocore.exceptions")
    assert may_pass(botocore.EndpointConnectionError(endpoint_url="x"))
    assert may_pass(botocore.ReadTimeoutError(endpoint_url="x"))
    assert not may_pass(botocore.NoCredentialsError())


@pytest.mark.parametrize(
    ("error", "times", "attempts"),
    [(ImageError("x"), 0, 1), (ImageError("x"), 2, 3), (ImageError("x"), 9, 3), (UnreachableError("x"), 9, 1)],
)
def test_a_read_is_tried_as_often_as_there_are_waits_and_once_more(monkeypatch, error, times, attempts):
    waited, asked = [], []
    monkeypatch.setattr("napari_restore.sources.retrying.time.sleep", waited.append)

    def read(region):
        asked.append(region)
        if len(asked) <= times:
            raise error
        return PIXELS[region.slices]

    image = replace(open_image(PIXELS, axes="YX"), reader=read)
    region = Region((1, 1), (3, 3))
    if times < attempts:
        np.testing.assert_array_equal(read_again(image, region, waits=(0.5, 2.0)), PIXELS[1:3, 1:3])
    else:
        with pytest.raises(type(error)):
            read_again(image, region, waits=(0.5, 2.0))
    assert asked == [region] * attempts
    assert waited == [0.5, 2.0][: attempts - 1]
