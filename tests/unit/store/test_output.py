"""An output is begun, filled, resumed and finished; only a complete one gets its name."""

import errno
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import zarr

from napari_restore.core.errors import OutputError
from napari_restore.core.geometry import Geometry, canonical
from napari_restore.core.options import Writing
from napari_restore.core.region import split
from napari_restore.store import ome_zarr, output, pyramid

GEOMETRY = Geometry.of("ZYX", (3, 70, 50))
CHUNKS = (1, 32, 32)
PIXELS = np.random.default_rng(0).integers(0, 60000, GEOMETRY.shape).astype("u2")
TILES = list(enumerate(split(GEOMETRY.shape, CHUNKS)))
FINGERPRINT = {"model": "abc", "tile": {"shape": (1, 32, 32), "halo": 8}}


def begin(path, **changes):
    words = {
        "geometry": GEOMETRY,
        "dtype": "uint16",
        "chunks": CHUNKS,
        "fingerprint": FINGERPRINT,
        "name": "raw restored",
        "provenance": {"method": "noise2void"},
    }
    writing = Writing(**{name: changes.pop(name) for name in ("version", "overwrite") if name in changes})
    return output.create(path, **(words | changes), writing=writing)


def fill(writer, tiles=TILES, pixels=PIXELS):
    for index, region in tiles:
        if index not in writer.done:
            writer.write(index, region, pixels[region.slices])


def kill_at(patch, path, moment):
    """End the process at a moment after the result got its name, as far as an exception can."""
    remove, rename = output.remove, type(path).rename
    published, seen = False, 0

    def step():
        nonlocal seen
        if published and seen == moment:
            raise KeyboardInterrupt
        seen += published

    def publish(self, finished):
        nonlocal published
        real_publish(self, finished)
        published = True

    def removed(gone):
        if not os.path.lexists(gone):
            return
        step()
        if gone.is_dir() and published and seen == moment:
            for file in sorted(p for p in gone.rglob("*") if p.is_file())[::2]:
                file.unlink()
        step()
        remove(gone)

    def renamed(self, target):
        step()
        return rename(self, target)

    real_publish = output.OutputWriter._publish
    patch.setattr(output.OutputWriter, "_publish", publish)
    patch.setattr(output, "remove", removed)
    patch.setattr(type(path), "rename", renamed)


def one_line(error):
    return "\n" not in str(error.value)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "out.zarr"


class TestLife:
    @pytest.mark.parametrize("name", ["out.zarr", "out.ome.zarr", "OUT.ZARR", "out.tif", "out.ome.tiff"])
    def test_only_the_result_is_left(self, tmp_path, name):
        writer = begin(tmp_path / name)
        fill(writer)
        assert not (tmp_path / name).exists()
        assert writer.finish() == tmp_path / name
        assert [p.name for p in tmp_path.iterdir()] == [name]

    @pytest.mark.parametrize("version", ["0.5", "0.4"])
    def test_pixels_come_back_from_the_unfinished_and_the_finished(self, path, version):
        with begin(path, version=version) as writer:
            fill(writer)
            np.testing.assert_array_equal(zarr.open_array(writer.array_path, mode="r")[:], PIXELS)
            writer.finish()
        np.testing.assert_array_equal(zarr.open_array(path / "0", mode="r")[:], PIXELS)

    def test_the_unfinished_does_not_look_finished(self, path):
        with begin(path) as writer:
            fill(writer)
            assert "ome" not in zarr.open_group(output.partial_path(path), mode="r").attrs

    def test_missing_tiles_are_not_finished(self, path):
        with begin(path) as writer:
            fill(writer, TILES[:-1])
            with pytest.raises(OutputError, match=r"has only \d+ of 10500 pixels.*`resume`"):
                writer.finish()
        assert not path.exists()
        assert output.resumable(path)

    def test_an_empty_chunk_exists(self, path):
        with begin(path) as writer:
            fill(writer, TILES[:1], np.zeros_like(PIXELS))
            assert (writer.array_path / "c/0/0/0").is_file()

    def test_axes_are_written_in_canonical_order(self, path):
        geometry = Geometry.of("YXC", (70, 50, 3), pixel_size={"Y": 2.0, "X": 3.0})
        assert canonical(geometry) == Geometry.of("CYX", (3, 70, 50), pixel_size={"Y": 2.0, "X": 3.0})
        with begin(path, geometry=geometry) as writer:
            assert writer.geometry == canonical(geometry)

    @pytest.mark.parametrize("spoil", ["another tile", "half"])
    def test_a_tile_that_the_disk_lost_is_done_again(self, path, spoil):
        with begin(path) as writer:
            for index, region in TILES[:3]:
                writer.write(index, region, PIXELS[region.slices])
            files = sorted(f for f in (writer.array_path / "c").rglob("*") if f.is_file())
        content = files[0].read_bytes() if spoil == "another tile" else files[1].read_bytes()[:40]
        files[1].write_bytes(content)
        for _ in range(2):  # it is noted, and stays so
            with output.reopen(path, fingerprint=FINGERPRINT) as writer:
                assert writer.done == {TILES[0][0], TILES[2][0]}

    def test_half_a_chunk_is_refused(self, path):
        with begin(path) as writer:
            region = TILES[0][1].shift((0, 1, 0))
            with pytest.raises(ValueError, match="not a box of whole blocks"):
                writer.write(0, region, PIXELS[region.slices])
            with pytest.raises(ValueError, match=r"needs \(1, 32, 32\) uint16"):
                writer.write(0, TILES[0][1], np.zeros((1, 32, 32), "f4"))

    def test_a_large_page_is_written_as_tiles(self, tmp_path, monkeypatch):
        import tifffile

        from napari_restore.store import tiff

        monkeypatch.setattr(tiff, "_LARGEST_PAGE", 1000)
        monkeypatch.setattr(tiff, "_TILE", 32)
        with begin(tmp_path / "x.tif") as writer:
            fill(writer)
            writer.finish()
        with tifffile.TiffFile(tmp_path / "x.tif") as file:
            assert file.pages[0].is_tiled
            np.testing.assert_array_equal(file.asarray(), PIXELS)


class TestResume:
    def test_goes_on_where_it_stopped(self, path):
        with begin(path) as writer:
            fill(writer, TILES[:5])
        with output.reopen(path, fingerprint=FINGERPRINT) as writer:
            assert writer.done == {0, 1, 2, 3, 4}
            fill(writer)
            writer.finish()
        np.testing.assert_array_equal(zarr.open_array(path / "0", mode="r")[:], PIXELS)

    def test_killed_while_writing_gives_the_same_bytes(self, path):
        script = textwrap.dedent(f"""
            import os, signal, sys
            sys.path.insert(0, {str(Path(__file__).parent)!r})
            from pathlib import Path
            from test_output import TILES, begin, fill
            writer = begin(Path({str(path)!r}))
            fill(writer, TILES[:4])
            os.kill(os.getpid(), signal.SIGKILL)
        """)
        assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -signal.SIGKILL
        assert output.lock_path(path).exists()
        torn = output.partial_path(path) / "0/c/0/0/1.0123abcd.partial"
        torn.write_bytes(b"half a chu")
        with output.reopen(path, fingerprint=FINGERPRINT) as writer:
            assert writer.done == {0, 1, 2, 3}
            fill(writer)
            writer.finish()
        whole = path.with_name("whole.zarr")
        with begin(whole) as writer:
            fill(writer)
            writer.finish()
        files = sorted(p.relative_to(whole) for p in whole.rglob("*") if p.is_file())
        assert files == sorted(p.relative_to(path) for p in path.rglob("*") if p.is_file())
        assert all((path / f).read_bytes() == (whole / f).read_bytes() for f in files)

    def test_killed_while_finishing(self, path, monkeypatch):
        def killed(*_, **__):
            raise KeyboardInterrupt

        with begin(path) as writer, monkeypatch.context() as patch:
            fill(writer)
            patch.setattr(ome_zarr, "write_metadata", killed)
            with pytest.raises(KeyboardInterrupt):
                writer.finish()
        with output.reopen(path, fingerprint=FINGERPRINT) as writer:
            assert len(writer.done) == len(TILES)
            writer.finish()
        assert "ome" in zarr.open_group(path, mode="r").attrs

    def test_a_smaller_level_goes_on_where_it_was_killed(self, tmp_path, path, monkeypatch):
        monkeypatch.setattr(pyramid, "COARSEST", 16)
        monkeypatch.setattr(output, "_NOTED_TOGETHER", 2)
        with begin(tmp_path / "whole.zarr") as writer:
            fill(writer)
            blocks = sum(map(len, writer.smaller))
            writer.finish()
        whole = {p.relative_to(writer.path): p.read_bytes() for p in writer.path.rglob("*") if p.is_file()}
        write, made, spoilt = ome_zarr.write_blocks, [], 0

        def killed(array, folder, region, pixels):
            if len(made) == 3 + spoilt:
                raise KeyboardInterrupt
            made.append(folder.name)
            return write(array, folder, region, pixels)

        with begin(path) as writer:
            fill(writer)
            monkeypatch.setattr(ome_zarr, "write_blocks", killed)
            with pytest.raises(KeyboardInterrupt):
                writer.finish()
        with output.reopen(path, fingerprint=FINGERPRINT) as writer:
            left = [len(writer.left_of(level)) for level in writer.smaller]
            assert left[0] == len(writer.smaller[0]) - 2 and sum(left) == blocks - 2  # the third was not noted
            file = output.partial_path(path) / "1" / "c" / "0" / "0" / "0"
            file.write_bytes(file.read_bytes()[::-1])
        spoilt = blocks
        with output.reopen(path, fingerprint=FINGERPRINT) as writer:
            assert sum(len(writer.left_of(level)) for level in writer.smaller) == blocks  # a lost one, so all
            writer.finish()
        assert {p.relative_to(path): p.read_bytes() for p in path.rglob("*") if p.is_file()} == whole

    @pytest.mark.parametrize(("level", "block"), [(9, 0), (0, 0), (1, 99)])
    def test_a_block_outside_of_the_smaller_levels_is_damage(self, path, monkeypatch, level, block):
        monkeypatch.setattr(pyramid, "COARSEST", 16)
        begin(path).close()
        with output.journal_path(path).open("a") as file:
            file.write(f'{{"level": {level}, "blocks": [[{block}, 5]]}}\n')
        with pytest.raises(OutputError, match=f"damaged .a block of level {level} is not in an image of this shape"):
            output.reopen(path, fingerprint=FINGERPRINT)

    @pytest.mark.parametrize("overwrite", [False, True])
    @pytest.mark.parametrize("name", ["out.zarr", "out.tif"])
    def test_killed_at_any_moment_after_it_got_its_name(self, tmp_path, monkeypatch, name, overwrite):
        path = tmp_path / name
        if overwrite:
            with begin(path) as writer:
                fill(writer, pixels=PIXELS + 1)
                writer.finish()
        moments = 0
        while True:  # before each call that removes or lays aside something, and within each that removes a folder
            with begin(path, overwrite=overwrite) as writer, monkeypatch.context() as patch:
                fill(writer)
                kill_at(patch, path, moments)
                try:
                    writer.finish()
                except KeyboardInterrupt:
                    moments += 1
                else:
                    break
            whole = path.read_bytes() if path.is_file() else None
            with pytest.raises(OutputError, match=r"is whole, but .* `resume`"):
                output.check_destination(path, overwrite=False, resume=False)
            assert not output.resumable(path), "nothing is left to do"
            output.check_destination(path, overwrite=False, resume=True)
            with pytest.raises(OutputError, match="begun with model"):
                output.is_done(path, fingerprint={**FINGERPRINT, "model": "xyz"})
            assert output.is_done(path, fingerprint=FINGERPRINT)
            assert [p.name for p in tmp_path.iterdir()] == [name]
            assert not output.is_done(path, fingerprint=FINGERPRINT), "it is a result like any other from now on"
            if whole is not None:
                assert path.read_bytes() == whole
            if not overwrite:
                output.remove(path)
        assert moments == (2 if name.endswith("zarr") else 5)

    @pytest.mark.parametrize("name", ["out.zarr", "out.tif"])
    def test_a_folder_that_appears_meanwhile_is_not_replaced(self, tmp_path, name):
        """Not with `overwrite` either: it was not there when that was asked for."""
        path = tmp_path / name
        with begin(path, overwrite=True) as writer:
            fill(writer)
            path.mkdir()
            (path / "mine").write_text("mine")
            with pytest.raises(OutputError, match="holds no OME-Zarr image"):
                writer.finish()
        assert (path / "mine").read_text() == "mine" and output.resumable(path)

    def test_what_a_crash_left_of_a_file_in_writing_goes_with_the_next_run(self, path):
        torn = [path.with_name(f".{path.name}{end}.0a1b2c3d.tmp") for end in (".journal", ".model.safetensors")]
        others = [path.with_name(f".{path.name}{end}.tmp") for end in (".journal", ".journal.0a1b2c3d4", ".txt")]
        for file in (*torn, *others):
            file.write_text("{")
        begin(path).close()
        assert not any(file.exists() for file in torn) and all(file.exists() for file in others)

    def test_another_file_of_that_name_is_not_taken_for_the_result(self, tmp_path, monkeypatch):
        path = tmp_path / "out.tif"
        with begin(path) as writer, monkeypatch.context() as patch:
            fill(writer)
            kill_at(patch, path, 0)
            with pytest.raises(KeyboardInterrupt):
                writer.finish()
        path.write_bytes(path.read_bytes()[:-1] + b"x")
        os.utime(path, ns=(0, 0))
        assert not output.is_done(path, fingerprint=FINGERPRINT)
        with pytest.raises(OutputError, match="exists already"):
            output.check_destination(path, overwrite=False, resume=True)
        path.unlink()
        with output.reopen(path, fingerprint=FINGERPRINT) as writer:
            assert len(writer.done) == len(TILES), "the pixels are still there"
            writer.finish()
        assert [p.name for p in tmp_path.iterdir()] == ["out.tif"]

    def test_the_plan_survives_json(self, path):
        with begin(path, version="0.4") as writer:
            plan = writer.plan
        with output.reopen(path, fingerprint=FINGERPRINT) as writer:
            assert writer.plan == plan

    @pytest.mark.parametrize(
        ("changed", "words"),
        [
            ({**FINGERPRINT, "model": "xyz"}, 'model "abc", this run has "xyz"'),
            ({**FINGERPRINT, "tile": {"shape": (1, 32, 32), "halo": 16}}, "tile.halo 8, this run has 16"),
            ({"tile": FINGERPRINT["tile"]}, 'model "abc", this run has nothing'),
        ],
    )
    def test_something_else_is_named(self, path, changed, words):
        begin(path).close()
        with pytest.raises(OutputError, match=words) as error:
            output.reopen(path, fingerprint=changed)
        assert "`overwrite`" in str(error.value)
        assert one_line(error)
        output.reopen(path, fingerprint=FINGERPRINT).close()  # and the lock was given back

    def test_nothing_to_resume(self, path):
        with pytest.raises(OutputError, match=r"no unfinished out\.zarr"):
            output.reopen(path, fingerprint={})


class TestDestination:
    def check(self, path, words, *, overwrite=False, resume=False):
        with pytest.raises(OutputError, match=words) as error:
            output.check_destination(path, overwrite=overwrite, resume=resume)
        assert one_line(error)

    def test_a_free_name_is_fine(self, path):
        output.check_destination(path, overwrite=False, resume=True)
        assert list(path.parent.iterdir()) == []

    @pytest.mark.parametrize("name", ["out.png", "out", "out.zarr.zip"])
    def test_unknown_extension(self, tmp_path, name):
        self.check(tmp_path / name, r"\.zarr, \.ome\.zarr, \.tif or \.tiff")

    def test_no_folder(self, tmp_path):
        self.check(tmp_path / "no/out.zarr", "folder .*no does not exist")

    def test_a_file_for_a_folder(self, tmp_path):
        (tmp_path / "file").touch()
        self.check(tmp_path / "file/out.zarr", "does not exist")

    @pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs /proc, where nobody can write")
    def test_a_folder_nobody_can_write(self):
        self.check(Path("/proc/self/out.zarr"), "cannot be written")

    @pytest.mark.parametrize("name", ["out.zarr", "out.tif"])
    def test_existing(self, tmp_path, name):
        path = tmp_path / name
        with begin(path) as writer:
            fill(writer)
            writer.finish()
        self.check(path, "exists already.*`overwrite`")
        self.check(path, "exists already.*`overwrite`", resume=True)
        output.check_destination(path, overwrite=True, resume=False)

    def test_unfinished(self, path):
        begin(path).close()
        self.check(path, "`resume` goes on with it, `overwrite` starts again")
        output.check_destination(path, overwrite=False, resume=True)
        output.check_destination(path, overwrite=True, resume=False)

    def test_overwrite_spares_a_folder_of_something_else(self, path):
        path.mkdir()
        (path / "thesis.docx").touch()
        self.check(path, "holds no OME-Zarr", overwrite=True)

    def test_tiff_has_no_half_floats(self, tmp_path):
        with pytest.raises(OutputError, match=r"cannot hold float16.*name the output \.zarr"):
            begin(tmp_path / "x.tif", dtype="float16")

    def test_not_our_partial(self, path):
        output.partial_path(path).mkdir()
        (output.partial_path(path) / "letter.txt").touch()
        with pytest.raises(OutputError, match="is not an unfinished result"):
            begin(path)
        assert not output.lock_path(path).exists()


class TestOverwrite:
    @pytest.mark.parametrize("name", ["out.zarr", "out.tif"])
    def test_the_old_stays_until_the_new_is_complete(self, tmp_path, name):
        path = tmp_path / name
        for overwrite, pixels in ((False, PIXELS), (True, PIXELS + 1)):
            with begin(path, overwrite=overwrite) as writer:
                fill(writer, TILES[:3], pixels)
                assert path.exists() == overwrite
            with output.reopen(path, fingerprint=FINGERPRINT) as writer:
                fill(writer, pixels=pixels)
                writer.finish()
        assert [p.name for p in tmp_path.iterdir()] == [name]
        if name.endswith("zarr"):
            np.testing.assert_array_equal(zarr.open_array(path / "0", mode="r")[:], PIXELS + 1)

    def test_an_output_that_appeared_meanwhile_is_spared(self, path):
        with begin(path) as writer:
            fill(writer)
            path.mkdir()
            with pytest.raises(OutputError, match="has appeared meanwhile"):
                writer.finish()
        path.rmdir()
        with output.reopen(path, fingerprint=FINGERPRINT) as writer:
            writer.finish()

    def test_a_failed_rename_puts_the_old_back(self, path, monkeypatch):
        with begin(path) as writer:
            fill(writer)
            writer.finish()
        real = type(path).rename

        def rename(self, target):
            if self.name.endswith(".partial"):
                raise OSError(errno.EIO, "Input/output error")
            return real(self, target)

        with begin(path, overwrite=True) as writer:
            fill(writer, pixels=PIXELS + 1)
            monkeypatch.setattr(type(path), "rename", rename)
            with pytest.raises(OutputError, match="Input/output error"):
                writer.finish()
        np.testing.assert_array_equal(zarr.open_array(path / "0", mode="r")[:], PIXELS)


class TestFailures:
    def test_a_full_disk_is_one_line_and_the_tile_is_not_done(self, path, monkeypatch):
        def full(_):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with begin(path) as writer:
            monkeypatch.setattr(ome_zarr, "sync_file", full)
            with pytest.raises(OutputError, match=r"out\.zarr cannot be written: No space left on device") as error:
                fill(writer)
            assert one_line(error)
            assert writer.done == frozenset()

    def test_a_second_writer_is_refused(self, path):
        with begin(path) as writer:
            for again in (
                lambda: begin(path, overwrite=True),
                lambda: output.reopen(path, fingerprint=FINGERPRINT),
                lambda: output.check_destination(path, overwrite=False, resume=True),
            ):
                with pytest.raises(OutputError, match=f"is being written by process {os.getpid()}"):
                    again()
            fill(writer)
            writer.finish()


class TestSpace:
    GEOMETRY = Geometry.of("YX", (3 * 2**10, 2**10))

    @pytest.mark.parametrize(("name", "most"), [("x.zarr", 8), ("x.tif", 12)])
    def test_room_is_looked_for(self, tmp_path, monkeypatch, name, most):
        def looked(free):
            monkeypatch.setattr(output, "free_space", lambda folder: round(free * 2**20))
            return output.check_space(tmp_path / name, geometry=self.GEOMETRY, dtype=np.dtype("u2"))

        assert looked(most) is None
        assert f"up to {most} MiB, and {most - 1} MiB are free" in looked(most - 1)
        assert looked(most / 9) is not None
        with pytest.raises(OutputError, match=f"up to {most} MiB.*choose another folder"):
            looked(most / 11)
