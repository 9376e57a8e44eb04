from __future__ import annotations

from dataclasses import replace

import npe2
import numpy as np
import pytest
import tifffile
import zarr
from napari.components import ViewerModel

from napari_restore.core.channel import Channel
from napari_restore.core.geometry import Geometry
from napari_restore.core.region import Region
from napari_restore.gui.readers import (
    as_dask,
    display_chunks,
    get_reader,
    is_colour,
    layer_of,
    layers_of,
    sample_limits,
)
from napari_restore.sources import open_image
from napari_restore.sources.image import Image


def image_of(pixels: np.ndarray, axes: str, *, chunks=None, reads: list | None = None) -> Image:
    def read(region: Region) -> np.ndarray:
        if reads is not None:
            reads.append(region)
        return pixels[region.slices]

    return Image("made", Geometry.of(axes, pixels.shape), pixels.dtype, chunks or pixels.shape, read)


@pytest.fixture
def path(tmp_path, stack):
    path = tmp_path / "stack.tif"
    meta = {"axes": "ZYX", "spacing": 0.5, "unit": "um"}
    tifffile.imwrite(path, stack, imagej=True, resolution=(4, 4), metadata=meta)
    return path


def test_a_tiff_opens_where_it_lies(path, stack):
    viewer = ViewerModel()
    for data, kwargs, kind in get_reader(str(path))(str(path)):
        assert kind == "image"
        layer = viewer.add_image(data, **kwargs)
    assert layer.name == "stack"
    np.testing.assert_allclose(layer.scale, (0.5, 0.25, 0.25))
    assert [str(unit) for unit in layer.units] == ["micrometer"] * 3
    assert layer.axis_labels == ("z", "y", "x")
    np.testing.assert_array_equal(np.asarray(layer.data), stack)
    low, high = layer.contrast_limits
    assert stack.min() <= low < high <= stack.max()


def test_napari_finds_the_reader(path, stack):
    npe2.PluginManager.instance().discover()
    [(data, _, _)] = npe2.read([str(path)], stack=False, plugin_name="napari-restore")
    np.testing.assert_array_equal(np.asarray(data), stack)


def test_a_folder_of_slices_is_one_stack(tmp_path, stack):
    for i, plane in enumerate(stack):
        tifffile.imwrite(tmp_path / f"z{i}.tif", plane)
    [(data, _, _)] = get_reader(str(tmp_path))(str(tmp_path))
    np.testing.assert_array_equal(np.asarray(data), stack)


def test_a_zarr_array_opens(tmp_path, stack):
    zarr.save_array(tmp_path / "a.zarr", stack)
    [(data, kwargs, _)] = get_reader(str(tmp_path / "a.zarr"))(str(tmp_path / "a.zarr"))
    np.testing.assert_array_equal(np.asarray(data), stack)
    assert kwargs["name"] == "a"


@pytest.mark.parametrize("content", [b"", b"hello", b"II*"])
def test_what_is_no_image_is_left_to_others(tmp_path, content):
    path = tmp_path / "no.tif"
    path.write_bytes(content)
    assert get_reader(str(path)) is None
    assert get_reader(str(tmp_path / "missing.tif")) is None
    assert get_reader([str(path), str(path)]) is None
    assert get_reader([]) is None


def test_looking_at_a_plane_reads_a_plane():
    reads: list[Region] = []
    pixels = np.arange(8 * 20 * 30).reshape(8, 20, 30)
    data = as_dask(image_of(pixels, "ZYX", reads=reads))
    np.testing.assert_array_equal(np.asarray(data[3, 5:10, ::2]), pixels[3, 5:10, ::2])
    assert reads == [Region((3, 5, 0), (4, 10, 29))]


@pytest.mark.parametrize(
    "index",
    [
        np.s_[2],
        np.s_[..., -1],
        np.s_[::-1],
        np.s_[1:7:3, ::-4, 5],
        np.s_[0:0],
        np.s_[:, [3, 1], :],
        np.s_[-2, 3:, :1],
        np.s_[2, [7, 1, 19], 4],
    ],
)
def test_lazy_indexing_is_numpy_indexing(index):
    pixels = np.random.default_rng(0).integers(0, 99, (8, 20, 31))
    data = as_dask(image_of(pixels, "ZYX", chunks=(3, 7, 31)))
    np.testing.assert_array_equal(np.asarray(data[index]), pixels[index])


def test_photographs_are_colour_and_channels_are_not():
    assert is_colour(image_of(np.zeros((40, 50, 3), np.uint8), "YXC"))
    assert not is_colour(image_of(np.zeros((3, 40, 50), np.uint8), "CYX"))
    assert not is_colour(image_of(np.zeros((40, 50, 3), np.float32), "YXC"))


def test_a_photograph_opens_in_colour():
    pixels = np.random.default_rng(0).integers(0, 255, (40, 50, 3), dtype=np.uint8)
    data, kwargs, _ = layer_of(image_of(pixels, "YXC"))
    layer = ViewerModel().add_image(data, **kwargs)
    assert layer.rgb and layer.ndim == 2


NAMED = (Channel("DAPI", "0000FF"), Channel("", "FFFFFF"))


def test_named_channels_open_as_layers_in_their_colours():
    pixels = np.random.default_rng(0).integers(0, 255, (3, 2, 40, 50), dtype=np.uint8)
    image = replace(image_of(pixels, "ZCYX"), channels=NAMED)
    viewer = ViewerModel()
    for data, kwargs, _ in layers_of(image):
        viewer.add_image(data, **kwargs)
    assert [layer.name for layer in viewer.layers] == ["made DAPI", "made 1"]
    for number, layer in enumerate(viewer.layers):
        np.testing.assert_array_equal(np.asarray(layer.data), pixels[:, number])
        assert layer.axis_labels == ("z", "y", "x")
    np.testing.assert_allclose(viewer.layers[0].colormap.colors[-1], (0, 0, 1, 1))
    assert viewer.layers[1].colormap.name == "gray"
    assert open_image(viewer.layers[0]).channels == NAMED[:1]


def test_channels_of_which_nothing_is_known_and_a_spectrum_stay_one_layer():
    assert len(layers_of(image_of(np.zeros((3, 40, 50), np.uint8), "CYX"))) == 1
    many = replace(image_of(np.zeros((17, 40, 50), np.uint8), "CYX"), channels=(Channel("500 nm"),) * 17)
    [(data, kwargs, _)] = layers_of(many)
    assert data.shape == (17, 40, 50) and "colormap" not in kwargs
    [(_, kwargs, _)] = layers_of(replace(image_of(np.zeros((40, 50), np.uint8), "YX"), channels=NAMED[:1]))
    assert (kwargs["name"], kwargs["colormap"]) == ("made", "#0000ff")


def test_limits_ignore_what_is_not_finite():
    pixels = np.random.default_rng(0).normal(10, 1, (4, 30, 30)).astype(np.float32)
    pixels[1, 2] = np.nan
    pixels[3, 3] = np.inf
    low, high = sample_limits(image_of(pixels, "ZYX"))
    assert 5 < low < high < 15
    assert sample_limits(image_of(np.full((5, 5), 7.0), "YX")) == (7.0, 8.0)
    assert sample_limits(image_of(np.full((5, 5), np.nan), "YX")) == (0.0, 1.0)


def test_many_small_blocks_are_joined():
    shape, chunks = (1000, 40_000, 30_000), (1, 256, 256)
    joined = display_chunks(shape, chunks)
    assert np.prod([-(-n // c) for n, c in zip(shape, joined, strict=True)]) <= 20_000
    assert display_chunks((5, 5), (2, 2)) == (2, 2)
