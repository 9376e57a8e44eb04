from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import zarr
from napari.components import ViewerModel

from napari_restore.gui.layers import ResultLayer, arrange
from napari_restore.sources import open_image


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


def place(**more):
    return {"name": "raw", "scale": (3.0, 0.1, 0.2), "translate": (5, 6, 7), "units": ("um",) * 3, **more}


def test_the_result_lies_over_the_raw_layer(viewer, stack, tmp_path):
    raw = viewer.add_image(stack, contrast_limits=(80, 120), colormap="green", gamma=0.7, **place())
    viewer.add_image(stack, **place(name="other"))
    viewer.layers.selection.active = raw
    array = zarr.create_array(tmp_path / "x" / "0", shape=stack.shape, dtype="uint16", chunks=(1, 40, 50))
    result = ResultLayer(viewer, raw, open_image(raw))
    result.begin(tmp_path / "x", "0")
    layer = viewer.layers["raw_denoised"]
    assert [one.name for one in viewer.layers] == ["raw", "raw_denoised", "other"]
    assert viewer.layers.selection.active is raw
    np.testing.assert_allclose(layer.extent.world, raw.extent.world)
    assert layer.units == raw.units and layer.axis_labels == raw.axis_labels and layer.ndim == raw.ndim
    assert tuple(layer.contrast_limits) == (80, 120)
    assert layer.colormap.name == "green" and layer.gamma == 0.7
    array[:] = stack + 1
    result.refresh()
    np.testing.assert_array_equal(layer._slice.image.view, stack[viewer.dims.current_step[0]] + 1)
    result.finish([array])
    np.testing.assert_array_equal(np.asarray(layer.data), stack + 1)


def test_a_result_that_the_user_deletes_stays_deleted(viewer, stack, tmp_path):
    raw = viewer.add_image(stack, **place())
    array = zarr.create_array(tmp_path / "0", shape=stack.shape, dtype="uint16")
    result = ResultLayer(viewer, raw, open_image(raw))
    result.begin(tmp_path, "0")
    viewer.layers.remove("raw_denoised")
    result.refresh()
    result.finish([array])
    assert [layer.name for layer in viewer.layers] == ["raw"]


def test_a_result_appears_although_the_raw_layer_is_gone(viewer, stack, tmp_path):
    raw = viewer.add_image(stack, **place())
    result = ResultLayer(viewer, raw, open_image(raw))
    viewer.layers.clear()
    result.finish([zarr.create_array(tmp_path / "0", shape=stack.shape, dtype="uint16")])
    assert viewer.layers["raw_denoised"].scale.tolist() == [3.0, 0.1, 0.2]


@pytest.mark.parametrize("axes", ["ZYX", "XYZ", "YXC", "CZYX", "ZCYX"])
def test_the_file_is_shown_in_the_order_of_the_layer(axes):
    pixels = np.random.default_rng(0).integers(0, 255, (3, 4, 5, 6)[: len(axes)], dtype=np.uint8)
    image = open_image(pixels, axes=axes)
    file_order = [axes.index(a) for a in "TCZYX" if a in axes]
    on_disk = zarr.array(pixels.transpose(file_order))
    np.testing.assert_array_equal(np.asarray(arrange(on_disk, image)), pixels)


def test_an_array_in_the_right_order_is_shown_as_it_is(stack):
    on_disk = zarr.array(stack)
    assert arrange(on_disk, open_image(stack, axes="ZYX")) is on_disk


def test_colour_is_shown_in_colour(viewer, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8)
    raw = viewer.add_image(pixels, rgb=True, name="photo")
    on_disk = zarr.create_array(tmp_path / "0", shape=(3, 20, 30), dtype="float32", chunks=(3, 10, 30))
    result = ResultLayer(viewer, raw, open_image(raw))
    result.begin(tmp_path, "0")
    on_disk[:] = pixels.transpose(2, 0, 1) + 0.4
    result.refresh()
    layer = viewer.layers["photo_denoised"]
    assert layer.rgb and layer.dtype == np.uint8
    np.testing.assert_array_equal(layer._slice.image.view[..., :3], pixels)


def test_a_large_plane_ends_as_a_pyramid(viewer):
    levels = [da.zeros((5000 // f, 4000 // f), dtype="uint8", chunks=1000) for f in (1, 2, 4)]
    raw = viewer.add_image(levels, name="big", multiscale=True, contrast_limits=(0, 9))
    result = ResultLayer(viewer, raw, open_image(raw))
    result.finish(levels)
    layer = viewer.layers["big_denoised"]
    assert layer.multiscale and layer.name == "big_denoised"
    assert [one.name for one in viewer.layers] == ["big", "big_denoised"]
    assert tuple(layer.contrast_limits) == (0, 9)
