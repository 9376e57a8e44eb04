import errno
import os

import pytest

from napari_restore.core.errors import OutputError
from napari_restore.store import journal
from napari_restore.store.journal import Entry, Journal


def entry(tile):
    return Entry(tile, (tile, 0), (tile + 1, 10), checksum=77 + tile)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "x.journal"
    log = Journal.create(path, {"name": "x"})
    for tile in range(3):
        log.record(entry(tile))
    log.close()
    return path


@pytest.mark.parametrize(
    "torn", [b'{"tile": 3, "sta', b'{"tile": 3}\n', b'{"forget": [1]}', b"\0\0\0\0\n", b"\n", b'"tile"\n']
)
def test_a_torn_line_is_ignored_and_cut_off(path, torn):
    with path.open("ab") as file:
        file.write(torn)
    log = Journal.reopen(path)
    assert log.tiles == {tile: entry(tile) for tile in range(3)}
    log.record(entry(7))
    log.close()
    assert journal.read(path)[1] == {tile: entry(tile) for tile in (0, 1, 2, 7)}


def test_what_is_forgotten_can_be_noted_again(path):
    log = Journal.reopen(path)
    log.forget([0, 2])
    assert list(log.tiles) == list(journal.read(path)[1]) == [1]
    log.record(entry(2))
    log.close()
    assert list(journal.read(path)[1]) == [1, 2]


def test_every_cut_gives_a_prefix(path):
    whole = path.read_bytes()
    header = whole.index(b"\n") + 1
    for length in range(header, len(whole)):
        path.write_bytes(whole[:length])
        assert list(journal.read(path)[1]) == list(range(whole[header:length].count(b"\n")))


@pytest.mark.parametrize("content", [b"", b"hello\n", b"[1]\n", b'{"name": "x"}\n', b'{"journal": 1'])
def test_not_a_journal(path, content):
    path.write_bytes(content)
    with pytest.raises(OutputError, match="not a journal"):
        Journal.reopen(path)


def test_a_newer_journal(path):
    path.write_bytes(b'{"journal": 3}\n')
    with pytest.raises(OutputError, match="journal format 3, this version reads 2"):
        Journal.reopen(path)


def test_a_line_cut_by_a_full_disk_is_taken_back(path, monkeypatch):
    log = Journal.reopen(path)
    real = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda handle, data: real(handle, data[:5]))
        with pytest.raises(OSError) as error:
            log.record(entry(3))
    assert error.value.errno == errno.ENOSPC
    log.record(entry(4))
    log.close()
    assert list(journal.read(path)[1]) == [0, 1, 2, 4]
