"""Two copies of LLVM in one process: the one that draws the viewer, and the one in torch's compiler."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from importlib.util import find_spec
from pathlib import Path


def keep_llvms_apart() -> None:
    """Open Triton's library so that it keeps to its own LLVM, where the process shows another one.

    On Linux, torch's builds for CUDA bring Triton, which torch loads with its compiler: for an optimizer, for an
    export. Where OpenGL is Mesa's in software (no graphics card, a remote desktop), a first canvas loads Mesa's LLVM
    into the names that all libraries see. Triton's library (3.7.1) then takes functions of that LLVM (15) for its
    own, and its import ends the process with a segmentation fault, in any thread. A library opened once stays as it
    is: opened with ``RTLD_DEEPBIND`` it looks for names in itself first, and a later import finds it open. Nothing is
    imported here, no flag of the process changes, and without another LLVM in sight nothing is done at all (a
    preloaded allocator would mind the flag). It took 0.1 to 0.2 s, once.
    """
    if not hasattr(os, "RTLD_DEEPBIND") or "triton" in sys.modules or not _llvm_in_sight():
        return
    triton = find_spec("triton")
    if triton is None or triton.origin is None:
        return
    with contextlib.suppress(OSError):  # no such library, or none for this machine: torch then does without it
        ctypes.CDLL(str(Path(triton.origin).parent / "_C" / "libtriton.so"), mode=os.RTLD_NOW | os.RTLD_DEEPBIND)


def _llvm_in_sight() -> bool:
    return hasattr(ctypes.CDLL(None), "LLVMContextCreate")
