"""Inputs that fail or change: a chunk is tried again, named, filled on request; a change is noticed."""

import os
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
import zarr

from napari_restore.core.errors import ImageError
from napari_restore.core.events import Note, TileDone
from napari_restore.core.normalisation import Normalisation
from napari_restore.core.options import Computing, Restoring, Writing
from napari_restore.core.region import Region
from napari_restore.core.watch import Watch
from napari_restore.restoration.engine import restore_events
from napari_restore.restoration.reading import Filled, steady
from napari_restore.sources import open_image
from napari_restore.sources.unchanged import files_state
from napari_restore.store import output as outputs
from napari_restore.store.model import Model, build_method

SHAPE, CHUNKS = (3, 150, 170), (1, 64, 64)
PIXELS = np.random.default_rng(0).integers(900, 1100, SHAPE).astype(np.uint16)


@pytest.fixture
def source(tmp_path):
    zarr.create_array(tmp_path / "raw.zarr", data=PIXELS, chunks=CHUNKS)
    return tmp_path / "raw.zarr"


@pytest.fixture
def image(source):
    return open_image(source, axes="ZYX")


@pytest.fixture
def model():
    torch.manual_seed(0)
    method = build_method("noise2void", {"width": 4, "depth": 1}, spatial="YX", channels=1)
    return Model("noise2void", method.eval(), Normalisation((1000.0,), (50.0,)))


def break_chunk(source, *place):
    """A flipped byte in the middle of a compressed chunk, which still has its length."""
    path = source.joinpath("c", *map(str, place))
    data = bytearray(path.read_bytes())
    data[: len(data) // 2] = bytes(len(data) // 2)
    path.write_bytes(data)


def begun(image, model, output, **words):
    return restore_events(
        image,
        model,
        output=output,
        restoring=Restoring(tile=(32, 32), **words),
        computing=Computing(device="cpu", precision="float32"),
        writing=Writing(),
        watch=Watch(),
    )


def run(image, model, output, **words):
    events = begun(image, model, output, **words)
    seen = []
    while True:
        try:
            seen.append(next(events))
        except StopIteration as end:
            return end.value, seen


class TestChunks:
    def test_the_chunk_that_fails_is_named_and_no_other(self, source, image):
        break_chunk(source, 1, 2, 0)
        calm = steady(image, Filled(), unreadable="fail", waits=(0.0,))
        with pytest.raises(ImageError, match=r"raw: chunk \[1, 2, 0\], pixels .* after 2 attempts") as error:
            calm.read()
        assert "\n" not in str(error.value)
        np.testing.assert_array_equal(calm.read(Region((2, 0, 0), SHAPE)), PIXELS[2:])

    def test_filled_with_0_and_all_others_are_as_they_were(self, source, image):
        break_chunk(source, 1, 2, 0)
        filled = Filled()
        found = steady(image, filled, unreadable="fill", waits=(0.0,)).read(Region((0, 5, 7), SHAPE))
        expected = PIXELS.copy()
        expected[1, 128:, :64] = 0
        np.testing.assert_array_equal(found, expected[:, 5:, 7:])
        assert filled.chunks == {(1, 2, 0)}

    def test_a_disk_that_was_away_for_a_moment_is_no_error(self, image):
        calls = []

        def sometimes(region):
            calls.append(region)
            if len(calls) <= 2:
                raise ImageError("away")
            return image.reader(region)

        calm = steady(replace(image, reader=sometimes), Filled(), unreadable="fail", waits=(0.0,))
        np.testing.assert_array_equal(calm.read(), PIXELS)

    def test_a_run_fails_and_goes_on_once_the_chunk_is_repaired(self, source, image, model, tmp_path, monkeypatch):
        monkeypatch.setattr("napari_restore.sources.retrying.time.sleep", lambda _: None)
        whole, _ = run(image, model, tmp_path / "whole.zarr")
        chunk = source / "c/1/2/0"
        data, facts = chunk.read_bytes(), chunk.stat()
        break_chunk(source, 1, 2, 0)
        os.utime(chunk, ns=(facts.st_atime_ns, facts.st_mtime_ns))
        with pytest.raises(ImageError, match=r"chunk \[1, 2, 0\]"):
            run(image, model, tmp_path / "out.zarr")
        chunk.write_bytes(data)
        os.utime(chunk, ns=(facts.st_atime_ns, facts.st_mtime_ns))
        result, _ = run(image, model, tmp_path / "out.zarr")
        np.testing.assert_array_equal(np.asarray(result), np.asarray(whole))

    def test_a_run_that_fills_says_so(self, source, image, model, tmp_path, monkeypatch):
        monkeypatch.setattr("napari_restore.sources.retrying.time.sleep", lambda _: None)
        break_chunk(source, 1, 2, 0)
        result, seen = run(image, model, tmp_path / "out.zarr", unreadable="fill")
        assert result.report["filled_chunks"] == 1
        said = [event.text for event in seen if isinstance(event, Note) and event.level == "warning"]
        assert said == ["1 chunks could not be read and were taken as 0: [1, 2, 0]"]


class TestChange:
    def change(self, source):
        time.sleep(0.01)
        zarr.open_array(source)[1, :8, :8] = 7

    def test_the_state_of_files_changes_with_them_and_reads_nothing(self, source, image):
        before = files_state(image)
        image.read()
        assert files_state(image) == before
        self.change(source)
        assert files_state(image) != before

    def test_an_array_has_no_files(self):
        assert files_state(open_image(PIXELS, axes="ZYX")) is None

    def test_what_lies_beside_the_slices_of_a_series_does_not_count(self, tmp_path, image):
        for number in range(3):
            (tmp_path / f"{number}.dcm").touch()
        series = replace(image, location=str(tmp_path))
        before = files_state(series)
        (tmp_path / "out.zarr.journal").touch()
        (tmp_path / "out.zarr.partial").mkdir()
        assert files_state(series) == before

    def test_a_change_while_it_runs_is_refused_at_the_end(self, source, image, model, tmp_path):
        output = tmp_path / "out.zarr"
        events = begun(image, model, output)
        while not isinstance(next(events), TileDone):
            continue
        self.change(source)
        with pytest.raises(ImageError, match=r"raw has changed while it was restored.*`overwrite`") as error:
            list(events)
        assert "\n" not in str(error.value)
        assert not output.exists()
        assert outputs.resumable(output)

    def test_a_change_between_two_runs_is_refused_at_the_start(self, source, image, model, tmp_path):
        events = begun(image, model, tmp_path / "out.zarr")
        while not isinstance(next(events), TileDone):
            continue
        events.close()
        self.change(source)
        with pytest.raises(ValueError, match=r"begun with image\.state"):
            run(image, model, tmp_path / "out.zarr")
