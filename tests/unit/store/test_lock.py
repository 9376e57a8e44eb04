import errno
import json
import os
import socket
import subprocess
import sys

import pytest

from napari_restore.core.errors import OutputError
from napari_restore.store import lock
from napari_restore.store.lock import Lock

HOLD = """
import pathlib, sys
from napari_restore.store.lock import Lock
Lock.acquire(pathlib.Path(sys.argv[1]))
print(1, flush=True)
input()
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "out.zarr.lock"


def dead_pid():
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def test_held_then_released(path):
    held = Lock.acquire(path)
    assert json.loads(path.read_text()) == {"host": socket.gethostname(), "pid": os.getpid()}
    with pytest.raises(OutputError, match=rf"out\.zarr is being written by process {os.getpid()}"):
        Lock.acquire(path)
    held.release()
    held.release()
    assert not path.exists()
    Lock.acquire(path).release()


def test_another_process_holds_it_until_it_is_killed(path):
    child = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout.readline() == b"1\n"
    with pytest.raises(OutputError, match=f"process {child.pid}"):
        Lock.acquire(path)
    child.kill()
    child.communicate()
    assert path.exists()
    Lock.acquire(path).release()


@pytest.mark.parametrize("content", ["", "{", "[]"])
def test_a_lock_without_a_name_is_taken_over(path, content):
    path.write_text(content)
    Lock.acquire(path).release()


def test_another_machine_is_believed(path):
    path.write_text(json.dumps({"host": "node07", "pid": 1}))
    with pytest.raises(OutputError, match=r"process 1 on node07.*remove .*out\.zarr\.lock"):
        Lock.acquire(path)
    assert path.exists()


def test_a_file_system_without_locks_asks_for_the_process(path, monkeypatch):
    def unsupported(_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(lock, "_lock_file", unsupported)
    path.write_text(json.dumps({"host": socket.gethostname(), "pid": os.getppid()}))
    with pytest.raises(OutputError, match="is being written"):
        Lock.acquire(path)
    path.write_text(json.dumps({"host": socket.gethostname(), "pid": dead_pid()}))
    Lock.acquire(path).release()


@pytest.mark.parametrize("content", ["my only copy of the thesis", '{"host": "me"', ""])
def test_a_link_in_place_of_a_lock_is_not_followed(path, content):
    thesis = path.with_name("thesis.txt")
    thesis.write_text(content)
    path.symlink_to(thesis)
    with pytest.raises(OutputError, match="is not a lock of ours: move it away"):
        Lock.acquire(path)
    assert thesis.read_text() == content and path.is_symlink()


def test_a_link_to_nothing_makes_no_file(path):
    path.symlink_to(path.with_name("elsewhere"))
    with pytest.raises(OutputError, match="is not a lock of ours"):
        Lock.acquire(path)
    assert not path.with_name("elsewhere").exists()


@pytest.mark.parametrize("content", [b"my notes", b"[1, 2, 3]", b'{"name": "x"}', b"\0" * 5000, b"      notes"])
def test_a_file_that_is_no_lock_is_left_as_it_is(path, content):
    path.write_bytes(content)
    with pytest.raises(OutputError, match="is not a lock of ours"):
        Lock.acquire(path)
    assert path.read_bytes() == content


def test_another_name_of_a_file_is_no_lock(path):
    other = path.with_name("empty")
    other.touch()
    os.link(other, path)
    with pytest.raises(OutputError, match="is not a lock of ours"):
        Lock.acquire(path)
    assert other.stat().st_size == 0


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs FIFOs")
def test_what_is_no_file_is_no_lock_and_nobody_waits_for_it(path):
    os.mkfifo(path)
    with pytest.raises(OutputError, match="is not a lock of ours"):
        Lock.acquire(path)


def test_held_again_it_is_free_when_the_last_one_lets_go(path):
    outer = Lock.acquire(path)
    inner = outer.again()
    inner.release()
    inner.release()
    with pytest.raises(OutputError, match="is being written"):
        Lock.acquire(path)
    inner = outer.again()
    outer.release()
    assert path.exists()
    inner.release()
    assert not path.exists()
