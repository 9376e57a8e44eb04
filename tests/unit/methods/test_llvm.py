import ctypes
import os
import sys
from pathlib import Path

import pytest
import torch

from napari_restore.methods import llvm
from napari_restore.methods.device import find_device

linux = pytest.mark.skipif(sys.platform != "linux", reason="only there do libraries take names from each other")


@pytest.fixture
def triton(monkeypatch, tmp_path):
    """A package of that name, never to be imported, with a library; torch itself brings it only in builds for CUDA."""
    package = tmp_path / "triton"
    (package / "_C").mkdir(parents=True)
    (package / "__init__.py").write_text("raise AssertionError('imported')")
    (package / "_C" / "libtriton.so").write_bytes(Path(torch._C.__file__).read_bytes())
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "triton", raising=False)
    return package / "_C" / "libtriton.so"


@pytest.fixture
def opened(monkeypatch):
    """Which libraries are opened, and how."""
    seen, really = [], ctypes.CDLL

    def opening(name, mode=ctypes.DEFAULT_MODE):
        if name is not None and "nvidia" not in name:  # torch's CUDA build looks for a driver
            seen.append((name, mode))
        return really(name, mode)

    monkeypatch.setattr(ctypes, "CDLL", opening)
    return seen


@linux
def test_tritons_library_keeps_to_itself_where_another_llvm_is_in_sight(monkeypatch, triton, opened):
    monkeypatch.setattr(llvm, "_llvm_in_sight", lambda: True)
    flags = sys.getdlopenflags()
    find_device("cpu")
    assert opened == [(str(triton), os.RTLD_NOW | os.RTLD_DEEPBIND)]
    assert str(triton) in Path("/proc/self/maps").read_text()
    assert sys.getdlopenflags() == flags
    assert "triton" not in sys.modules


@linux
def test_nothing_is_opened_without_another_llvm_in_sight(monkeypatch, triton, opened):
    monkeypatch.setattr(llvm, "_llvm_in_sight", lambda: False)
    find_device("cpu")
    assert opened == []


@linux
def test_a_library_that_does_not_open_is_left_to_torch(monkeypatch, triton, opened):
    monkeypatch.setattr(llvm, "_llvm_in_sight", lambda: True)
    triton.write_text("for another machine")
    assert find_device("cpu") == torch.device("cpu")
    assert len(opened) == 1


def test_without_triton_nothing_is_opened(monkeypatch, opened):
    monkeypatch.setattr(llvm, "_llvm_in_sight", lambda: True)
    monkeypatch.setattr(llvm, "find_spec", lambda name: None)
    find_device("cpu")
    assert opened == []
