"""A layer saved from napari's menu comes back as it was, with its pixel size and units."""

from importlib import import_module
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
from napari.layers import Image as ImageLayer
from npe2 import PluginManifest

import napari_restore
from napari_restore.core.errors import OutputError
from napari_restore.gui.writers import write_tiff, write_zarr
from napari_restore.sources import open_image
from napari_restore.store import output


def layer(shape=(3, 600, 70), *, lazy=False, **more):
    pixels = np.random.default_rng(0).integers(0, 4000, shape).astype(np.uint16)
    place = {"scale": (0.5, 0.2, 0.1), "units": ("um",) * 3, "axis_labels": ("z", "y", "x"), **more}
    return pixels, ImageLayer(da.from_array(pixels, chunks=64) if lazy else pixels, name="raw", **place)


@pytest.mark.parametrize("name", ["a.ome.zarr", "a.zarr", "a.ome.tif", "a.tiff"])
@pytest.mark.parametrize("lazy", [False, True])
def test_it_comes_back_with_its_place(tmp_path, name, lazy):
    pixels, made = layer(lazy=lazy)
    data, attributes, _ = made.as_layer_data_tuple()
    write = write_zarr if name.endswith("zarr") else write_tiff
    assert write(str(tmp_path / name), data, attributes) == [str(tmp_path / name)]
    again = open_image(tmp_path / name)
    assert again.axes == "ZYX"
    assert again.geometry.pixel_size == pytest.approx((0.5, 0.2, 0.1))
    assert np.array_equal(again.read(), pixels)
    assert [p.name for p in tmp_path.iterdir()] == [name], "and nothing beside it"


def test_axes_in_another_order_are_written_in_that_of_the_format(tmp_path):
    pixels, made = layer((40, 3, 50), axis_labels=("y", "t", "x"), units=("um", "s", "um"))
    write_zarr(str(tmp_path / "a.zarr"), *made.as_layer_data_tuple()[:2])
    again = open_image(tmp_path / "a.zarr")
    assert again.axes == "TYX"
    assert np.array_equal(again.read(), pixels.transpose(1, 0, 2))


def test_what_is_there_is_replaced_when_the_new_one_is_complete(tmp_path, monkeypatch):
    first, made = layer()
    target = str(tmp_path / "a.zarr")
    write_zarr(target, *made.as_layer_data_tuple()[:2])

    def fail(*_):
        raise OSError("gone")

    with monkeypatch.context() as broken, pytest.raises(OSError, match="gone"):
        broken.setattr(output.OutputWriter, "write", fail)
        write_zarr(target, first + 1, made.as_layer_data_tuple()[1])
    assert np.array_equal(open_image(target).read(), first)
    write_zarr(target, first + 1, made.as_layer_data_tuple()[1])
    assert np.array_equal(open_image(target).read(), first + 1)


@pytest.mark.parametrize(("kind", "known"), [("OME-Zarr", ".ome.zarr"), ("OME-TIFF", ".ome.tif")])
def test_a_name_without_an_ending_gets_that_of_the_chosen_filter(tmp_path, kind, known):
    manifest = PluginManifest.from_file(Path(napari_restore.__file__).with_name("napari.yaml"))
    command = next(w.command for w in manifest.contributions.writers if w.display_name == kind)
    where = next(c.python_name for c in manifest.contributions.commands if c.id == command)
    module, _, name = where.partition(":")
    write = getattr(import_module(module), name)
    pixels, made = layer((3, 60, 70))
    for asked in ("cells", "cells.v2", "Übung 1."):
        assert write(str(tmp_path / asked), *made.as_layer_data_tuple()[:2]) == [str(tmp_path / f"{asked}{known}")]
        assert np.array_equal(open_image(tmp_path / f"{asked}{known}").read(), pixels)
    with pytest.raises(OutputError, match="exists"):
        write(str(tmp_path / "cells"), *made.as_layer_data_tuple()[:2])


def test_napari_offers_it_for_image_layers():
    manifest = PluginManifest.from_file(Path(napari_restore.__file__).with_name("napari.yaml"))
    endings = {e for writer in manifest.contributions.writers for e in writer.filename_extensions}
    assert endings >= {".ome.zarr", ".ome.tif"}
