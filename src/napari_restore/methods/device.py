"""Where methods run, with how many bits, and what makes a CPU run at its speed: allocator settings, threads."""

from __future__ import annotations

import ctypes
import platform
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

import torch
from torch.utils._python_dispatch import _get_current_dispatch_mode

from napari_restore.core.errors import RestoreError
from napari_restore.methods.apply import Precision
from napari_restore.methods.llvm import keep_llvms_apart

Part = TypeVar("Part")
Answer = TypeVar("Answer")

# mallopt(3): parameters of glibc, and what they are when nobody sets them.
_M_MMAP_MAX, _M_TRIM_THRESHOLD, _M_TOP_PAD = -4, -1, -2
_DEFAULTS = {_M_MMAP_MAX: 65536, _M_TRIM_THRESHOLD: 128 * 2**10, _M_TOP_PAD: 128 * 2**10}
_KEEPING = {_M_MMAP_MAX: 0, _M_TRIM_THRESHOLD: 2**31 - 1, _M_TOP_PAD: 8 * 2**20}


def find_device(name: str = "auto") -> torch.device:
    """The device for ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.

    Raises
    ------
    RestoreError
        If there is no such device here.
    """
    keep_llvms_apart()  # all work asks for its device first, and much of it loads torch's compiler later
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


class _Keeping:
    """Who keeps buffers: the first turns it on for the process, the last turns it off."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0

    def begin(self, glibc: ctypes.CDLL) -> None:
        with self._lock:
            self._count += 1
            if self._count == 1:
                _mallopt(glibc, _KEEPING)

    def end(self, glibc: ctypes.CDLL) -> None:
        with self._lock:
            self._count -= 1
            if self._count == 0:
                _mallopt(glibc, _DEFAULTS)
                glibc.malloc_trim(0)


_keeping = _Keeping()


@contextmanager
def kept_buffers() -> Iterator[None]:
    """While anybody is inside, freed memory stays with the process.

    A convolution's buffers of over 32 MiB otherwise go to and come from the kernel at every layer, and half the
    time goes to page faults. Only glibc; elsewhere this does nothing.
    """
    if platform.libc_ver()[0] != "glibc":
        yield
        return
    glibc = ctypes.CDLL(None)
    _keeping.begin(glibc)
    try:
        yield
    finally:
        _keeping.end(glibc)


def release_buffers() -> None:
    """Give freed memory that is kept with the process back to the system, once. Only glibc."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


def settle_threads() -> None:
    """Take for this thread the number that torch begins new ones with, before it computes anything.

    A thread takes it at its first computation otherwise, perhaps while another one is inside ``use_threads``.
    """
    with _SWITCHING:
        torch.get_num_threads()


def use_threads(count: int) -> None:
    """Compute with so many threads where this thread of Python computes, and nowhere else.

    ``torch.set_num_threads`` alone also sets what every thread of Python begins with that has not computed yet, and
    another number adds in another order: what is computed beside a tuned training would have other last bits.
    """
    with _SWITCHING:
        torch.get_num_threads()  # a thread that has not computed yet takes the usual number when it does
        usual = _in_a_new_thread(torch.get_num_threads)
        torch.set_num_threads(count)
        _in_a_new_thread(lambda: torch.set_num_threads(usual))


@contextmanager
def one_thread(device: torch.device) -> Iterator[int]:
    """Compute on a processor with one of torch's threads; gives how many of Python's may do so ``side_by_side``.

    Torch's own share each short operation, and wait for the one whose core another program has. Beside two busy
    programs a stack restored by patches that look alike took 3 to 14 times as long with two of them as with one, and
    with nothing beside it as long (2 cores). Where gradients are asked for, or operators are watched, a thread is on
    its own. To go in and out takes 0.8 ms, a sixth of what a plane of 48 pixels takes: it is for all planes at once.
    """
    count = torch.get_num_threads()
    if count < 2 or device.type != "cpu" or torch.compiler.is_compiling():
        yield 1
        return
    use_threads(1)
    try:
        yield count if torch.is_inference_mode_enabled() and _get_current_dispatch_mode() is None else 1
    finally:
        use_threads(count)


def side_by_side(work: Callable[[Part], Answer], parts: Sequence[Part], *, threads: int) -> Iterator[Answer]:
    """What ``work`` makes of each part, in their order: the same bits however many threads do it.

    Of few parts this thread does it alone: to begin others takes as long as a part. With more, each has one of torch's
    threads, and its own state of them: they are for inference.
    """
    threads = min(threads, len(parts) // 2)
    if threads < 2:
        yield from map(work, parts)
        return

    @torch.inference_mode()
    def alone(part: Part) -> Answer:
        return work(part)

    begin = partial(use_threads, 1)
    with ThreadPoolExecutor(threads, "napari-restore compute", initializer=begin) as pool:
        coming: deque[Future[Answer]] = deque()
        for part in parts:
            coming.append(pool.submit(alone, part))
            if len(coming) > threads:
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()


_SWITCHING = threading.Lock()


def _in_a_new_thread(ask: Callable[[], Answer]) -> Answer:
    answers: list[Answer] = []
    thread = threading.Thread(target=lambda: answers.append(ask()), name="napari-restore threads")
    thread.start()
    thread.join()
    return answers[0]


def _mallopt(glibc: ctypes.CDLL, settings: dict[int, int]) -> None:
    for parameter, value in settings.items():
        glibc.mallopt(parameter, value)


def _has_mps() -> bool:
    return bool(torch.backends.mps.is_available())


def _cpu_has_bfloat16() -> bool:
    # Older releases of torch cannot say; then float32 is right, if slower.
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") or capabilities.get("bf16"))
