"""Reads that fail for a moment are tried again: a network disk, a server or a line may be away."""

from __future__ import annotations

import errno
import time
from typing import Any

from numpy.typing import NDArray

from napari_restore.core.errors import ImageError
from napari_restore.core.region import Region
from napari_restore.sources.image import Image

WAITS = (0.1, 1.0)
"""Seconds before a block of a local file is read again."""

REMOTE_WAITS = (0.2, 1.0, 4.0)
"""Seconds before a server is asked again."""


class UnreachableError(ImageError):
    """What a server does not give, though it was asked as often as makes sense: asking at once again is no use."""


def read_again(image: Image, region: Region, *, waits: tuple[float, ...] = WAITS) -> NDArray[Any]:
    """The pixels of a region; a read that fails is done again after each of the ``waits``, in seconds.

    Raises
    ------
    ImageError
        Of the last attempt; at once where a server was asked again already.
    """
    for wait in waits:
        try:
            return image.read(region)
        except UnreachableError:
            raise
        except ImageError:
            time.sleep(wait)
    return image.read(region)


_BUSY = frozenset({408, 425, 429})

_PASSING = frozenset(
    getattr(errno, name)
    for name in (
        "EAGAIN", "EBUSY", "EINTR", "EIO", "EPIPE", "EREMOTEIO", "ETIMEDOUT", "ECONNABORTED", "ECONNREFUSED",
        "ECONNRESET", "EHOSTDOWN", "EHOSTUNREACH", "ENETDOWN", "ENETRESET", "ENETUNREACH",
    )
    if hasattr(errno, name)
)  # fmt: skip

_LASTING_KINDS = frozenset({"ClientSSLError", "ClientConnectorCertificateError", "SSLError"})

_PASSING_KINDS = frozenset(
    {
        "ClientConnectionError", "ClientPayloadError",  # aiohttp
        "ConnectionError", "HTTPClientError", "IncompleteRead",  # botocore, and Python's own
        "FSTimeoutError", "TimeoutError",  # fsspec, asyncio
    }
)  # fmt: skip


def may_pass(error: Exception) -> bool:
    """Whether asking again may help: a line that breaks, a timeout, a server that is busy or ill (408, 425, 429, 5xx).

    What is not there, not allowed or not signed as it should be stays so. The libraries behind fsspec are known by the
    names of their errors, since any of them may be missing.
    """
    status = status_of(error)
    if status is not None:
        return status in _BUSY or status >= 500
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if kinds & _LASTING_KINDS:
        return False
    return bool(kinds & _PASSING_KINDS) or (isinstance(error, OSError) and error.errno in _PASSING)


def status_of(error: Exception) -> int | None:
    """The HTTP status that an error of aiohttp or gcsfs carries."""
    value = getattr(error, "status" if hasattr(error, "status") else "code", None)
    return value if isinstance(value, int) and 100 <= value < 600 else None
