"""Zarr stores behind a URL: read only, asked again where that may help, their errors on one line without secrets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, TypeVar

from zarr.abc.store import RangeByteRequest
from zarr.storage import FsspecStore, WrapperStore

from napari_restore.core.errors import ImageError
from napari_restore.sources.locations import access_of, text_without_secrets, without_secrets
from napari_restore.sources.retrying import REMOTE_WAITS, UnreachableError, may_pass, status_of
from napari_restore.sources.zarr_bounds import MOST, too_long

if TYPE_CHECKING:
    from zarr.abc.store import ByteRequest
    from zarr.core.buffer import Buffer, BufferPrototype

_CONNECT, _SILENCE = 30.0, 60.0
"""Seconds to wait for a connection, and for the next bytes. A large chunk on a slow line may take longer than both."""

_T = TypeVar("_T")


def open_remote(url: str) -> RemoteStore:
    """The store behind a URL.

    s3fs and gcsfs (those with ``retries``) ask five or six times themselves, with waits that grow, which for s3 takes
    8 s: they are left to it. fsspec's http asks once.
    """
    options, shown = access_of(url), without_secrets(url)
    if shown.lower().startswith(("http://", "https://")):
        from aiohttp import ClientTimeout

        from napari_restore.sources.answers import BoundedResponse

        options["client_kwargs"] = {
            "timeout": ClientTimeout(total=None, sock_connect=_CONNECT, sock_read=_SILENCE),
            "response_class": BoundedResponse,
            # Packed answers are unpacked by BoundedResponse, which knows when to stop.
            "auto_decompress": False,
            "headers": {"Accept-Encoding": "identity"},
        }
    store = FsspecStore.from_url(shown, storage_options=options, read_only=True)
    return RemoteStore(store, shown, () if getattr(store.fs, "retries", 0) > 1 else REMOTE_WAITS)


class RemoteStore(WrapperStore[FsspecStore]):
    """A store whose requests are made again after each of the ``waits``, in seconds, where that may help.

    One chunk is asked for again, not all chunks of a region. A chunk that is not there (404) is not asked for again:
    it reads as the fill value, as Zarr wants.
    """

    def __init__(self, store: FsspecStore, shown: str, waits: tuple[float, ...]) -> None:
        super().__init__(store)
        self._shown, self._waits = shown, waits

    def _with_store(self, store: FsspecStore) -> RemoteStore:
        return RemoteStore(store, self._shown, self._waits)

    def __str__(self) -> str:
        return self._shown

    def __repr__(self) -> str:
        return f"RemoteStore({self._shown!r})"

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        """The bytes of a key, or None where it is not there.

        Raises
        ------
        ImageError
            If there are more than ``MOST`` of them. A store of objects is asked for that many and one; servers of http
            need not know of ranges, so the answer is stopped.
        """
        most = MOST.get()
        if byte_range is None and not self._shown.lower().startswith(("http://", "https://")):
            byte_range = RangeByteRequest(0, most + 1)
        value = await self._again(key, lambda: self._store.get(key, prototype, byte_range))
        if value is not None and len(value) > most:
            raise ImageError(too_long(f"{self._shown.rstrip('/')}/{key}", most))
        return value

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """Parts of keys."""
        wanted = list(key_ranges)
        key = wanted[0][0] if wanted else ""
        return await self._again(key, lambda: self._store.get_partial_values(prototype, wanted))

    async def exists(self, key: str) -> bool:
        """Whether a key is there."""
        return await self._again(key, lambda: self._store.exists(key))

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """What lies directly under a prefix."""

        async def names() -> tuple[str, ...]:
            return tuple([name async for name in self._store.list_dir(prefix)])

        for name in await self._again(prefix, names):
            yield name

    async def _again(self, key: str, request: Callable[[], Awaitable[_T]]) -> _T:
        """What a request gives.

        Raises
        ------
        UnreachableError
            If it fails in a way that lasts, or after the last wait. The error behind it is not kept: it may hold the
            request, with its credentials.
        """
        for wait in (*self._waits, None):
            try:
                return await request()
            except ImageError as error:  # an answer that was stopped is told here where it came from
                raise ImageError(f"{self._shown.rstrip('/')}/{key}: {error}") from None
            except Exception as error:  # noqa: BLE001  each file system has errors of its own
                if wait is None or not may_pass(error):
                    tries = len(self._waits) + 1 if may_pass(error) else 1
                    raise UnreachableError(_explain(f"{self._shown.rstrip('/')}/{key}", error, tries)) from None
                await asyncio.sleep(wait)
        raise AssertionError("the last attempt returns or raises")


def _explain(what: str, error: Exception, tries: int) -> str:
    """One line: what was asked for, how often, what came of it, and what to do."""
    status = status_of(error)
    if status is not None:
        known = status in HTTPStatus.__members__.values()
        reason = f"{status} {HTTPStatus(status).phrase}" if known else f"status {status}"
    else:
        text = text_without_secrets(" ".join(str(error).split()))[:200]
        reason = f"{text or 'no reason given'} ({type(error).__name__})"
    after = f" after {tries} attempts" if tries > 1 else ""
    return f"{what} cannot be fetched{after}: {reason}. {_advice(error, status)}"


def _advice(error: Exception, status: int | None) -> str:
    if status in (401, 403) or isinstance(error, PermissionError) or "Credentials" in type(error).__name__:
        return (
            "Check its credentials: a user and password or a token in the URL for http, the AWS variables for s3 "
            "(FSSPEC_S3_ANON=true where it is public)."
        )
    return "Look whether server and network are there, and start again." if may_pass(error) else "Check the URL."
