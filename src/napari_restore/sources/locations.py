"""URLs and what in them is secret: user, password and query open an image, and are shown and written nowhere."""

from __future__ import annotations

import re
from base64 import b64encode
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from napari_restore.core.errors import ImageError

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.:-]*://\S+")

_CONTAINERS = frozenset({"abfs", "abfss", "az"})
"""Of Azure: what stands before the @ is a container."""


def without_secrets(location: str) -> str:
    """A URL without user, password, query and fragment; a path as it is.

    Where a password was pasted as it is, with a ``/`` in it, host and path cannot be told apart: ``***`` stands for
    all of it.
    """
    scheme, mark, rest = location.partition("://")
    if not mark:
        return location
    host, slash, path = re.split(r"[?#]", rest, maxsplit=1)[0].partition("/")
    user, _, host = host.rpartition("@")
    torn = re.search(r":(?!\d*$)", host.rpartition("]")[2]) or (":" in host and "@" in path and not _is_http(scheme))
    if torn:
        return f"{scheme}://***"
    container = f"{user}@" if scheme.lower() in _CONTAINERS and user and ":" not in user else ""
    return f"{scheme}://{container}{host}{slash}{path}"


def text_without_secrets(text: str) -> str:
    """A text of a library with all URLs in it ``without_secrets``."""
    return _URL.sub(lambda found: without_secrets(found[0]), text)


def has_secrets(location: str) -> bool:
    """Whether a URL says more than it shows."""
    return without_secrets(location) != location


def access_of(url: str) -> dict[str, Any]:
    """How fsspec is told what is secret in a URL, apart from the URL: in each request of an http or https server.

    So no path, error or debug log of the libraries has it, and a token in the query stays behind the name of each
    chunk. aiohttp sends it to no other host that the server may name.

    Raises
    ------
    ImageError
        If the URL of a store of objects has credentials in it, which their libraries do not read.
    """
    if not _is_http(url.partition("://")[0]):
        if has_secrets(url):
            raise ImageError(
                f"{without_secrets(url)}: a user, password or query in such a URL is not read. Leave it out, and give "
                "the credentials as the library behind it wants them: for s3 in the variables AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY or in ~/.aws/credentials."
            )
        return {}
    if "***" in without_secrets(url):
        raise ImageError(
            f"{without_secrets(url)}: the URL cannot be taken apart. In a user or password write each / : ? # @ as "
            "%2F %3A %3F %23 %40."
        )
    parts = urlsplit(url)
    access: dict[str, Any] = {}
    if parts.username or parts.password:
        pair = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
        access["headers"] = {"Authorization": f"Basic {b64encode(pair.encode()).decode()}"}
    if parts.query:
        access["params"] = parse_qsl(parts.query, keep_blank_values=True)
    return access


def _is_http(scheme: str) -> bool:
    return scheme.lower() in ("http", "https")
