"""A limit to what is built from a card."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

_MAKERS = frozenset({torch.empty, torch.zeros, torch.ones})
"""What the layers of torch make their weights with."""

_BESIDES, _SPARE = 2, 2**20
"""Buffers that no file has, such as the weights of a blur, and what the smallest networks have besides."""


class NoLarger(TorchFunctionMode):
    """Inside, tensors are made up to about so many numbers in all: those that a file has.

    A card asks for a network, and what it has of it in its file is known before. Without this, a thousand channels or a
    width of 256 would be built, and then compared.
    """

    def __init__(self, numbers: int) -> None:
        super().__init__()
        self._left = _BESIDES * numbers + _SPARE

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Count what is about to be made.

        Raises
        ------
        ValueError
            If it is too much.
        """
        if func in _MAKERS:
            sizes = (kwargs or {}).get("size", args[0] if len(args) == 1 else args)
            self._left -= math.prod(sizes) if isinstance(sizes, Sequence) else int(sizes)
            if self._left < 0:
                raise ValueError("it asks for a network much larger than the weights in its file")
        return func(*args, **(kwargs or {}))
