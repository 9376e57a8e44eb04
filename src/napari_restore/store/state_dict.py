"""Weights in PyTorch's own files, read without running what they say.

Such a file is a ZIP of plain numbers, and of a pickle that tells their names and shapes: a program. Here its
instructions are listed and followed one by one; those that a table of tensors takes are known, none calls anything, and
any other ends the reading. Format: https://docs.pytorch.org/docs/stable/notes/serialization.html and the table of
instructions in Python's ``pickletools``.
"""

from __future__ import annotations

import math
import pickletools
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

import torch
from torch import Tensor

from napari_restore.core.errors import ModelError

_TYPES = {
    "torch FloatStorage": torch.float32,
    "torch DoubleStorage": torch.float64,
    "torch HalfStorage": torch.float16,
    "torch BFloat16Storage": torch.bfloat16,
    "torch LongStorage": torch.int64,
    "torch IntStorage": torch.int32,
}
_MOST_WORDS = 2**24
"""Bytes of names and shapes: those of a network of ten thousand tensors have a tenth of it."""


class _Global(str):
    """A name that would be called: here it is a word."""


class _Stored(NamedTuple):
    key: str
    dtype: torch.dtype


class _Refused(Exception):  # noqa: N818  never seen outside
    """What is no table of tensors."""


def read_state_dict(file: IO[bytes], *, path: Path) -> dict[str, Tensor]:
    """The tensors of a ``torch.save`` of a state dict, by name.

    Parameters
    ----------
    file
        What ``torch.save`` wrote, since PyTorch 1.6.
    path
        What to call it in messages.

    Raises
    ------
    ModelError
        If it is anything else: a whole model, a checkpoint, an older file; or damaged.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            [table] = [name for name in archive.namelist() if name.rpartition("/")[2] == "data.pkl"]
            if archive.getinfo(table).file_size > _MOST_WORDS:
                raise _Refused("its list of tensors is far too long")
            found = _Reader(archive, table.removesuffix("data.pkl")).read(archive.read(table))
    except (_Refused, zipfile.BadZipFile, LookupError, ValueError, TypeError, RuntimeError, OSError) as error:
        raise ModelError(
            f"{path} holds no plain list of weights ({str(error) or type(error).__name__}): it may be a whole model or "
            "a checkpoint, which is a program. Export the weights alone, as a state dict."
        ) from None
    if not isinstance(found, Mapping) or not all(isinstance(each, Tensor) for each in found.values()):
        raise ModelError(f"{path} holds more than weights. Export the weights alone, as a state dict.")
    return {str(name): tensor for name, tensor in found.items()}


@dataclass(frozen=True, eq=False)
class _Reader:
    """Follows the instructions of a table of tensors."""

    archive: zipfile.ZipFile
    folder: str

    def read(self, program: bytes) -> Any:
        stack: list[Any] = []
        marks: list[int] = []
        kept: dict[int, Any] = {}
        for instruction, argument, _ in pickletools.genops(program):
            match instruction.name:
                case "PROTO" | "FRAME":
                    pass
                case "STOP":
                    return stack.pop()
                case "MARK":
                    marks.append(len(stack))
                case "BINPUT" | "LONG_BINPUT" | "MEMOIZE":
                    kept[len(kept) if argument is None else argument] = stack[-1]
                case "BINGET" | "LONG_BINGET":
                    stack.append(kept[int(argument or 0)])
                case "BUILD":  # what the table says of itself, besides its tensors
                    stack.pop()
                case "SETITEM" | "SETITEMS":
                    at = marks.pop() if instruction.name == "SETITEMS" else len(stack) - 2
                    stack[at - 1].update(zip(stack[at::2], stack[at + 1 :: 2], strict=True))
                    del stack[at:]
                case "TUPLE" | "TUPLE1" | "TUPLE2" | "TUPLE3":
                    at = marks.pop() if instruction.name == "TUPLE" else len(stack) - int(instruction.name[-1])
                    stack[at:] = [tuple(stack[at:])]
                case "REDUCE":
                    arguments, name = stack.pop(), stack.pop()
                    stack.append(self._made(name, arguments))
                case "BINPERSID":
                    stack.append(_stored(stack.pop()))
                case other:
                    stack.append(_value(other, argument))
        raise _Refused("it ends too soon")

    def _made(self, name: Any, arguments: tuple[Any, ...]) -> Any:
        """What a call of this name would make."""
        if name == _Global("collections OrderedDict") and isinstance(name, _Global) and not arguments:
            return {}
        if name == _Global("torch._utils _rebuild_tensor_v2") and isinstance(name, _Global):
            return self._tensor(*arguments[:4])
        raise _Refused(f"it would call {str(name)[:60]!r}")

    def _tensor(self, stored: Any, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> Tensor:
        if not isinstance(stored, _Stored):
            raise _Refused("a tensor has no numbers")
        if any(type(n) is not int or n < 0 for n in (offset, *shape, *strides)) or len(shape) != len(strides):
            raise _Refused("a tensor has no shape")
        if 0 in shape:
            return torch.zeros(shape, dtype=stored.dtype)
        numbers = torch.frombuffer(bytearray(self.archive.read(f"{self.folder}data/{stored.key}")), dtype=stored.dtype)
        last = offset + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
        if max(last, math.prod(shape) - 1) >= len(numbers):
            raise _Refused("a tensor has fewer numbers than its shape")
        return numbers.as_strided(shape, strides, offset).clone(memory_format=torch.contiguous_format)


def _stored(told: Any) -> _Stored:
    """Where the numbers of a tensor are, as ``("storage", type, key, place, count)`` tells."""
    _, kind, key, *_ = told
    if kind not in _TYPES or not isinstance(kind, _Global):
        raise _Refused(f"numbers of type {str(kind)[:60]!r}")
    return _Stored(str(key), _TYPES[kind])


def _value(instruction: str, argument: Any) -> Any:
    """What an instruction that takes nothing puts down."""
    match instruction:
        case "BINUNICODE" | "SHORT_BINUNICODE" | "BININT" | "BININT1" | "BININT2" | "LONG1":
            return argument
        case "GLOBAL":
            return _Global(argument)
        case "EMPTY_DICT":
            return {}
        case "EMPTY_TUPLE":
            return ()
        case "NEWTRUE" | "NEWFALSE":
            return instruction == "NEWTRUE"
    raise _Refused(f"its list has the instruction {instruction}")
