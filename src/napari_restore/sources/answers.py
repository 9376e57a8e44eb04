"""Answers of http servers that are stopped where nothing honest is as long, or as slow."""

from __future__ import annotations

import gzip
import io
import time
import zlib

from aiohttp import ClientResponse

from napari_restore.core.errors import ImageError
from napari_restore.sources.zarr_bounds import MOST

_PATIENCE, _SLOWEST = 60.0, 1000.0
"""After so many seconds an answer must have come at so many bytes a second, less than what a telephone line carried. A
server that sends a byte now and then would hold a run for ever, as each byte ends the silence."""

_ERROR = 400
"""Of statuses of errors the text is not read: their number says it."""


class BoundedResponse(ClientResponse):
    """An answer of at most ``MOST`` bytes, also once it is unpacked."""

    async def read(self) -> bytes:
        """All of the answer.

        Raises
        ------
        ImageError
            If it is longer, or comes too slowly to end.
        """
        if self._body is None:
            try:
                self._body = b"" if self.status >= _ERROR else self._unpacked(await self._received(MOST.get()))
            finally:
                if self._body is None or self.status >= _ERROR:
                    self.close()
        return self._body

    async def _received(self, most: int) -> bytes:
        """The bytes as they were sent."""
        parts, length, began = [], 0, time.monotonic()
        async for part in self.content.iter_any():
            parts.append(part)
            length += len(part)
            if length > most:
                raise ImageError(f"it answers with more than the {most} bytes that this may have. Check the URL.")
            waited = time.monotonic() - began
            if waited > _PATIENCE and length < _SLOWEST * waited:
                raise ImageError(f"it sent {length} bytes in {waited:.0f} s, too few to ever end. Try again later.")
        return b"".join(parts)

    def _unpacked(self, sent: bytes) -> bytes:
        """Without what a server did to it for the way, such as gzip."""
        most, packing = MOST.get(), self.headers.get("Content-Encoding", "identity").strip().lower()
        if packing in ("", "identity"):
            return sent
        if packing in ("gzip", "x-gzip"):
            unpacked = gzip.GzipFile(fileobj=io.BytesIO(sent)).read(most + 1)
        elif packing == "deflate":
            unpacked = zlib.decompressobj().decompress(sent, most + 1)
        else:
            raise ImageError(f"its answer is packed by {packing[:40]!r}, which nobody asked for. Check the URL.")
        if len(unpacked) > most:
            raise ImageError(f"its answer unpacks to more than the {most} bytes that this may have. Check the URL.")
        return unpacked
