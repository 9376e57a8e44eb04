"""Where methods run, with how many bits, and the allocator settings that make a CPU run at its speed."""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from napari_restore.core.errors import RestoreError
from napari_restore.methods.apply import Precision

# mallopt(3): parameters of glibc, and what they are when nobody sets them.
_M_MMAP_MAX, _M_TRIM_THRESHOLD, _M_TOP_PAD = -4, -1, -2
_DEFAULTS = {_M_MMAP_MAX: 65536, _M_TRIM_THRESHOLD: 128 * 2**10, _M_TOP_PAD: 128 * 2**10}
_KEEPING = {_M_MMAP_MAX: 0, _M_TRIM_THRESHOLD: 2**31 - 1, _M_TOP_PAD: 64 * 2**20}


def find_device(name: str = "auto") -> torch.device:
    """The device for ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.

    Raises
    ------
    RestoreError
        If there is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if _has_mps() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise RestoreError(f"device {name!r} is unknown: use auto, cpu, cuda, cuda:0 or mps.") from None
    there = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(_has_mps())}.get(device.type, 0)
    if (device.index or 0) >= there:
        raise RestoreError(f"device {name!r} is not there: this machine has {there} of kind {device.type}. Use auto.")
    return device


def find_precision(device: torch.device) -> Precision:
    """``bfloat16`` where the processor computes in it, else ``float32``."""
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    return "bfloat16" if device.type == "cpu" and _cpu_has_bfloat16() else "float32"


def describe(device: torch.device) -> str:
    """A device's name as its owner knows it."""
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)} ({device})"
    threads = torch.get_num_threads()
    return f"CPU, {threads} thread{'s' if threads > 1 else ''}" if device.type == "cpu" else str(device)


@contextmanager
def kept_buffers() -> Iterator[None]:
    """While inside, freed memory stays with the process.

    A convolution's buffers of over 32 MiB otherwise go to and come from the kernel at every layer, and half the
    time goes to page faults. Only glibc; elsewhere this does nothing.
    """
    glibc = ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None
    try:
        _mallopt(glibc, _KEEPING)
        yield
    finally:
        _mallopt(glibc, _DEFAULTS)
        if glibc is not None:
            glibc.malloc_trim(0)


def _mallopt(glibc: ctypes.CDLL | None, settings: dict[int, int]) -> None:
    for parameter, value in settings.items() if glibc is not None else ():
        glibc.mallopt(parameter, value)  # type: ignore[union-attr]


def _has_mps() -> bool:
    return bool(torch.backends.mps.is_available())


def _cpu_has_bfloat16() -> bool:
    # Older releases of torch cannot say; then float32 is right, if slower.
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") or capabilities.get("bf16"))
