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
