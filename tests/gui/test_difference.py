from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_restore.gui.compare.difference import DifferenceError, difference

PLACE = {"scale": (3.0, 0.5, 0.2), "translate": (5, 6, 7), "units": ("um",) * 3}
FINER = {**PLACE, "scale": (3.0, 0.25, 0.1), "translate": (5, 5.875, 6.95)}


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


def look(viewer, *, side=8192, level=None) -> None:
    """Let every layer be in view as a canvas would: as much of the middle as ``side`` pixels of the chosen level."""
    for layer in viewer.layers:
        if layer.multiscale:
            layer.data_level = level
        shape = np.array((layer.data[layer.data_level] if layer.multiscale else layer.data).shape[: layer.ndim])
        size = np.minimum(shape, side)
        layer.corner_pixels = np.stack([(shape - size) // 2, (shape - size) // 2 + size - 1])


def test_the_difference_lies_over_the_plane_in_view(viewer):
    coarse = np.random.default_rng(0).random((3, 17, 23)).astype(np.float32)
    raw = viewer.add_image(coarse, name="raw", **PLACE)
    fine = viewer.add_image(coarse.repeat(2, 1).repeat(2, 2), name="fine", **FINER)
    viewer.dims.set_current_step(0, 2)
    look(viewer)
    layer = difference(viewer, raw, fine).layer()
    viewer.add_layer(layer)
    assert layer.name == "raw - fine" and layer.data.shape == (1, 34, 46) and layer.data.dtype == np.float32
    np.testing.assert_allclose(layer.extent.world[:, 1:], fine.extent.world[:, 1:])
    assert layer.world_to_data(viewer.dims.point)[0] == pytest.approx(0)
    plane = coarse[2].astype(float)
    i, j = 7, 11  # the finer pixel (2 i, 2 j) lies a quarter of a pixel before the middle of the coarse one
    rows = 0.75 * plane[i] + 0.25 * plane[i - 1]
    expected = 0.75 * rows[j] + 0.25 * rows[j - 1] - plane[i, j]
    assert layer.data[0, 2 * i, 2 * j] == pytest.approx(expected, abs=1e-5)
    assert np.isfinite(layer.data).all(), "to the very border"


@pytest.mark.parametrize("order", [(1, 0, 2), (2, 1, 0), (0, 2, 1)])
def test_the_plane_may_lie_along_any_axes(viewer, order):
    data = np.random.default_rng(0).random((5, 17, 23)).astype(np.float32)
    first, second = viewer.add_image(2 * data, name="a", **PLACE), viewer.add_image(data, name="b", **PLACE)
    viewer.dims.order = order
    viewer.dims.set_current_step(order[0], 3)
    look(viewer)
    found = difference(viewer, first, second).layer()
    expected = data.take([3], axis=order[0])
    assert found.data.shape == expected.shape
    np.testing.assert_allclose(found.data, expected, atol=1e-5)


def test_layers_with_fewer_axes_than_the_viewer(viewer):
    plane = np.arange(12.0).reshape(3, 4)
    viewer.add_image(np.zeros((2, 5, 3, 4)))
    stack, flat = viewer.add_image(np.stack([plane, 2 * plane])), viewer.add_image(plane)
    viewer.dims.set_point(1, 1)
    look(viewer)
    np.testing.assert_allclose(difference(viewer, stack, flat).pixels, plane, atol=1e-5)
    np.testing.assert_allclose(difference(viewer, flat, stack).pixels, -plane[None], atol=1e-5)


def test_the_difference_of_layers_that_are_turned_and_moved(viewer):
    y, x = np.mgrid[:64, :80].astype(np.float32)
    place = {"rotate": 30, "scale": (2, 1), "shear": [0.2], "translate": (9, 4)}
    first = viewer.add_image(3 * y + 5 * x, name="a", **place)
    second = viewer.add_image(3 * y + 5 * x, name="b", **place)
    look(viewer)
    np.testing.assert_allclose(difference(viewer, first, second).pixels, 0, atol=1e-3)
    # The same world, in other pixels: half as many of them, and turned back.
    second.data = (3 * (2 * y + 0.5) + 5 * (2 * x + 0.5))[:32, :40]
    second.scale, second.translate = (4, 2), tuple(first.data_to_world((0.5, 0.5)))
    look(viewer)
    np.testing.assert_allclose(difference(viewer, first, second).pixels, 0, atol=1e-2)
    second.translate = tuple(first.data_to_world((-1.5, 0.5)))
    look(viewer)
    found = difference(viewer, first, second).pixels
    assert np.isnan(found[0]).all() and np.allclose(found[1:], -6, atol=1e-2)


@pytest.mark.parametrize("level", [0, 2])
def test_the_difference_of_pyramids_is_of_what_is_in_view(viewer, level):
    full = np.arange(4096, dtype=np.float32) * np.ones((4096, 1), np.float32)
    levels = [full, full[::2, ::2] + 0.5, full[::4, ::4] + 1.5]
    first = viewer.add_image(levels, name="a", multiscale=True, contrast_limits=(0, 4096), scale=(3, 2))
    flat = viewer.add_image(full + 1, name="b", scale=(3, 2))
    second = viewer.add_image(levels, name="c", multiscale=True, contrast_limits=(0, 4096), scale=(3, 2))
    look(viewer, side=300, level=level)
    for other, expected in ((first, 0), (flat, 1)):
        found = difference(viewer, other, second).layer()
        assert found.data.shape == (300, 300)
        np.testing.assert_allclose(found.data, expected, atol=1e-3)
        corner = second.data_to_world(second.corner_pixels[0] * 2**level - 0.5)
        np.testing.assert_allclose(found.data_to_world((-0.5, -0.5)), corner)
    look(viewer, level=0)
    assert max(difference(viewer, first, second).pixels.shape) == 2048


def test_colour_counts_as_its_mean(viewer):
    first = viewer.add_image(np.full((9, 8, 3), (30, 60, 90), np.uint8), rgb=True)
    second = viewer.add_image(np.full((9, 8), 50, np.uint8))
    look(viewer)
    assert (difference(viewer, first, second).pixels == 10).all()


def test_what_has_no_difference_says_why(viewer):
    raw = viewer.add_image(np.zeros((3, 9, 9)), name="raw", **PLACE)
    fine = viewer.add_image(np.zeros((3, 18, 18)), name="fine", **FINER)
    look(viewer)
    viewer.dims.ndisplay = 3
    with pytest.raises(DifferenceError, match="2-D"):
        difference(viewer, raw, fine)
    viewer.dims.ndisplay = 2
    fine.translate = (500, 6, 7)
    with pytest.raises(DifferenceError, match="layer fine has no plane"):
        difference(viewer, raw, fine)
    fine.translate, fine.units = raw.translate, ("nm",) * 3
    with pytest.raises(DifferenceError, match="same units"):
        difference(viewer, raw, fine)
