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
    assert journal.read(path).tiles == {tile: entry(tile) for tile in (0, 1, 2, 7)}


def test_the_tiles_of_a_task_are_noted_together_with_one_wait_for_the_disk(path, monkeypatch):
    waits = []
    monkeypatch.setattr("os.fsync", waits.append)
    log = Journal.reopen(path)
    log.record(*map(entry, range(3, 30)))
    log.close()
    assert len(waits) == 1 and list(journal.read(path).tiles) == list(range(30))


def test_what_is_forgotten_can_be_noted_again(path):
    log = Journal.reopen(path)
    log.forget([0, 2])
    assert list(log.tiles) == list(journal.read(path).tiles) == [1]
    log.record(entry(2))
    log.close()
    assert list(journal.read(path).tiles) == [1, 2]


def test_blocks_of_smaller_levels_stand_behind_the_tiles_and_go_with_them(path):
    log = Journal.reopen(path)
    log.record_smaller(1, {4: 44, 2: 22})
    log.record_smaller(2, {0: 7})
    log.record_smaller(1, {3: 33})
    log.close()
    log = Journal.reopen(path)
    assert log.smaller == {1: {4: 44, 2: 22, 3: 33}, 2: {0: 7}} and len(log.tiles) == 3
    log.forget([1])
    assert log.smaller == journal.read(path).smaller == {} and list(log.tiles) == [0, 2]
    log.close()


def test_every_cut_gives_a_prefix(path):
    whole = path.read_bytes()
    header = whole.index(b"\n") + 1
    for length in range(header, len(whole)):
        path.write_bytes(whole[:length])
        assert list(journal.read(path).tiles) == list(range(whole[header:length].count(b"\n")))


@pytest.mark.parametrize("content", [b"", b"hello\n", b"[1]\n", b'{"name": "x"}\n', b'{"journal": 1'])
def test_not_a_journal(path, content):
    path.write_bytes(content)
    with pytest.raises(OutputError, match="not a journal"):
        Journal.reopen(path)


def test_a_newer_journal(path):
    path.write_bytes(b'{"journal": 4}\n')
    with pytest.raises(OutputError, match="journal format 4, this version reads 3"):
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
    assert list(journal.read(path).tiles) == [0, 1, 2, 4]


@pytest.mark.parametrize(
    "line",
    [
        '{"forget": 5}',
        '{"forget": ["a"]}',
        '{"forget": [-1]}',
        '{"tile": [1], "start": [0, 0], "stop": [1, 10], "checksum": 1}',
        '{"tile": 1, "start": [0], "stop": [1, 10], "checksum": 1}',
        '{"tile": 1, "start": 0, "stop": [1, 10], "checksum": 1}',
        '{"tile": 1, "start": [0, "a"], "stop": [1, 10], "checksum": 1}',
        '{"tile": 1, "start": [5, 0], "stop": [5, 10], "checksum": 1}',
        '{"tile": 1, "start": [-1, 0], "stop": [5, 10], "checksum": 1}',
        '{"level": 1, "blocks": [[1]]}',
        '{"level": 1, "blocks": [[1, -1]]}',
        '{"level": -1, "blocks": [[1, 1]]}',
        '{"level": 1, "blocks": {"1": 1}}',
        '{"tile": true, "start": [0, 0], "stop": [5, 10], "checksum": 1}',
        '{"tile": 1, "start": [], "stop": [], "checksum": 1}',
        '{"tile": 1, "start": [0, 0], "stop": [1, 10], "checksum": null}',
        "[" * 100_000,
        '{"a":' * 100_000,
    ],
)
def test_a_line_that_is_no_tile_is_called_damage(path, line):
    with path.open("a") as file:
        file.write(line + "\n")
    before = path.read_bytes()
    with pytest.raises(OutputError, match=r"x\.journal is damaged \(line 5 .*give `overwrite`") as error:
        Journal.reopen(path)
    assert "\n" not in str(error.value) and len(str(error.value)) < 300
    assert path.read_bytes() == before


@pytest.mark.parametrize("line", [b"\0\0\0\n", b'{"tile": 3}\n', b'{"ti\n', b"\n"])
def test_a_torn_line_before_others_is_called_damage(path, line):
    """What comes after it may take back a tile from before."""
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines, line, b'{"forget": [0]}\n']))
    with pytest.raises(OutputError, match="is damaged"):
        Journal.reopen(path)


def test_a_link_in_place_of_a_journal_is_not_written_through(path):
    real = path.with_name("real")
    path.rename(real)
    path.symlink_to(real)
    before = real.read_bytes()
    with pytest.raises(OSError):
        Journal.reopen(path)
    assert real.read_bytes() == before
