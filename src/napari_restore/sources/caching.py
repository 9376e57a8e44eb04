"""The blocks decoded last, shared by threads."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Any

from numpy.typing import NDArray

Block = NDArray[Any]


class RecentBlocks:
    """Decoded blocks up to so many bytes; threads that want the same block decode it once.

    The newest block is kept even if it alone is larger. Blocks must not be changed by those who get them.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._blocks: OrderedDict[Hashable, Future[Block]] = OrderedDict()
        self._lock = threading.Lock()
        self._bytes = 0

    def get(self, key: Hashable, decode: Callable[[], Block]) -> Block:
        """The block of this key, from the cache or from ``decode``."""
        with self._lock:
            future = self._blocks.get(key)
            mine = future is None
            if future is None:
                future = self._blocks[key] = Future()
            self._blocks.move_to_end(key)
        if mine:
            self._fill(key, future, decode)
        return future.result()

    def _fill(self, key: Hashable, future: Future[Block], decode: Callable[[], Block]) -> None:
        try:
            block = decode()
        except BaseException as error:
            with self._lock:
                self._blocks.pop(key, None)
            future.set_exception(error)
            raise
        future.set_result(block)
        with self._lock:
            self._bytes += block.nbytes
            self._forget()

    def _forget(self) -> None:
        """Drop the blocks that were used longest ago; those still being decoded stay."""
        for key in list(self._blocks)[:-1]:
            if self._bytes <= self.max_bytes:
                return
            if self._blocks[key].done():
                self._bytes -= self._blocks.pop(key).result().nbytes
