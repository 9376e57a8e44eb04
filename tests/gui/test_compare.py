from __future__ import annotations

from itertools import pairwise

import dask.array as da
import napari
import numpy as np
import pytest
from napari.layers import Image as ImageLayer
from napari.utils.key_bindings import coerce_keybinding
from qtpy.QtWidgets import QApplication

from napari_restore.gui.compare.borrowed import Borrowed
from napari_restore.gui.compare.curtain import grid_of, visuals_of
from napari_restore.gui.compare.letters import EDGE, SIDE, corners
from napari_restore.gui.compare.pair import likely_pair
from napari_restore.gui.compare.widget import CompareWidget
from napari_restore.gui.parts.canvas import canvas_of
from napari_restore.gui.restore.choices import LayerChoice
from napari_restore.gui.restore.session import camera_of

GREY = {"contrast_limits": (0, 1), "colormap": "gray", "interpolation2d": "nearest"}
PLACE = {"scale": (3.0, 0.5, 0.2), "translate": (5, 6, 7), "units": ("um",) * 3, "axis_labels": ("z", "y", "x")}

BELOW = EDGE + SIDE + 10
"""The row below the letters on the canvas, and the column beside them."""


@pytest.fixture(scope="module")
def window(qapp):
    """One viewer for all tests, which leave no trace in it. Shown: a canvas that nobody sees draws nothing."""
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1000, 700)
    yield viewer
    viewer.close()


@pytest.fixture
def viewer(window, qapp):
    canvas = window.window._qt_viewer.canvas
    before = (len(canvas.view.children), len(canvas._scene_canvas.events.draw.callbacks), dict(window.keymap))
    window.theme = "dark"
    yield window
    window.window.remove_dock_widget("all")
    window.layers.clear()
    grid_of(window).enabled = False
    window.dims.ndisplay = 2
    window.keymap.clear()
    QApplication.processEvents()
    assert before == (len(canvas.view.children), len(canvas._scene_canvas.events.draw.callbacks), dict(window.keymap))


@pytest.fixture
def widget(viewer, qtbot):
    """The tab in a viewer with a black stack, A, and a white one of twice as many pixels over it, B."""
    first = viewer.add_image(np.zeros((3, 40, 60), np.float32), name="raw", **GREY, **PLACE)
    finer = {**PLACE, "scale": (3.0, 0.25, 0.1), "translate": (5, 5.875, 6.95)}
    second = viewer.add_image(np.ones((3, 80, 120), np.float32), name="raw_superresolved", **GREY, **finer)
    np.testing.assert_allclose(first.extent.world, second.extent.world, atol=0.2)
    return made(viewer, qtbot)


def made(viewer, qtbot) -> CompareWidget:
    widget = CompareWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Compare")
    viewer.reset_view()
    qtbot.wait(20)
    return widget


def picture(viewer) -> np.ndarray:
    """What the canvas shows, (H, W) from 0 to 255."""
    for _ in range(3):
        QApplication.processEvents()
    return np.asarray(viewer.screenshot(flash=False))[..., 0]


def sides(viewer, *, near=0.02, upright=True) -> tuple[float, float, float, float]:
    """Grey at the left end and just before the divider in the middle, just after it, and at the right end.

    Measured in the part of the canvas that the layers cover, beside the divider's own handle.
    """
    pixels = picture(viewer)
    pixels = pixels if upright else pixels.T
    line = pixels[int(0.4 * len(pixels))].astype(float)
    n = len(line)
    return tuple(line[round(n * f)] for f in (0.5 - 0.15, 0.5 - near, 0.5 + near, 0.5 + 0.15))


def state(viewer) -> list:
    names = ("visible", "opacity", "blending", "contrast_limits", "contrast_limits_range", "gamma", "name")
    layers = [[getattr(layer, name) for name in names] for layer in viewer.layers if isinstance(layer, ImageLayer)]
    return [layers, dict(viewer.keymap), list(viewer.mouse_drag_callbacks), camera_of(viewer).mouse_pan, hooks(viewer)]


def hooks(viewer) -> list[int]:
    """How many filters are on each layer's visuals, and how many things lie over the canvas."""
    drawn = canvas_of(viewer)
    images = [layer for layer in viewer.layers if isinstance(layer, ImageLayer)]
    found = [len(v._vshare.filters) for layer in images for v in visuals_of(drawn, layer)]
    return [*found, len(drawn.view.children), len(drawn._scene_canvas.events.draw.callbacks)]


def test_the_result_and_its_raw_layer_are_proposed(widget):
    assert (widget.controls.first.layer.name, widget.controls.second.layer.name) == ("raw", "raw_superresolved")


@pytest.mark.parametrize(("theme", "blending"), [("dark", "translucent"), ("light", "additive"), ("light", "minimum")])
def test_the_curtain_shows_one_layer_on_each_side(viewer, widget, theme, blending):
    viewer.theme = theme
    viewer.layers[1].blending = blending
    viewer.layers[1].opacity = 0.7
    before = state(viewer)
    widget.choose("curtain")
    assert sides(viewer) == (0, 0, 255, 255)
    widget.choose("off")
    assert state(viewer) == before


@pytest.mark.parametrize("order", [(1, 0, 2), (2, 0, 1), (2, 1, 0)])
def test_the_curtain_hangs_before_any_plane_of_a_stack(viewer, widget, qtbot, order):
    """As the viewer is rolled (Ctrl+E) and transposed (Ctrl+T), also while it hangs."""
    for layer in viewer.layers:
        layer.scale = (4, *layer.scale[1:])
    widget.choose("curtain")
    viewer.dims.order = order
    viewer.reset_view()
    qtbot.wait(20)
    assert sides(viewer) == (0, 0, 255, 255)
    widget.controls.difference_button.click()
    assert widget.controls.message.text().startswith("Pink") and (viewer.layers[-1].data == -1).all()
    assert viewer.layers[-1].data.shape[order[0]] == 1, "of the plane in view"
    viewer.dims.order = (0, 1, 2)
    viewer.reset_view()


def test_the_divider_is_where_the_slider_says(viewer, widget):
    camera_of(viewer).zoom *= 3  # the layers cover the whole canvas
    widget.choose("curtain")
    for fraction in (0.25, 0.5, 0.7):
        widget.controls.divider.setValue(round(1000 * fraction))
        line = picture(viewer)[BELOW].astype(int)
        at = round(fraction * len(line))
        assert (line[: at - 4] == 0).all() and (line[at + 4 :] == 255).all()
        assert line[at - 4 : at + 4].min() == 0 and line[at - 4 : at + 4].max() == 255
    widget.controls.divider.setValue(0)
    assert (picture(viewer)[BELOW:] == 255).all()
    widget.controls.divider.setValue(1000)
    assert (picture(viewer)[BELOW:] == 0).all()


def test_the_divider_can_lie_flat(viewer, widget):
    camera_of(viewer).zoom *= 3
    widget.controls.way.setCurrentIndex(widget.controls.way.findData("top | bottom"))
    widget.choose("curtain")
    widget.controls.divider.setValue(300)
    column = picture(viewer)[:, BELOW].astype(int)
    at = round(0.3 * len(column))
    assert (column[: at - 4] == 0).all() and (column[at + 4 :] == 255).all()


def test_it_needs_no_plane_again_and_the_sliders_go_on(viewer, qtbot):
    read = []

    def block(block_info=None):
        location = block_info[None]["chunk-location"]
        read.append(location[0])
        return np.full((1, 32, 32), location[0] % 2, np.float32)

    lazy = da.map_blocks(block, chunks=((1,) * 4, (32,), (32,)), dtype=np.float32)
    viewer.add_image(lazy, name="a", cache=False, **GREY)
    viewer.add_image(1 - lazy, name="b", cache=False, **GREY)
    viewer.dims.set_point(0, 0)
    widget = made(viewer, qtbot)
    widget.choose("curtain")
    picture(viewer)
    read.clear()
    for value in range(0, 1001, 100):
        widget.controls.divider.setValue(value)
        picture(viewer)
    widget.controls.divider.setValue(500)
    widget.choose("blink")
    for _ in range(4):
        widget._blink()
        picture(viewer)
    widget.choose("curtain")
    assert read == []
    assert sides(viewer) == (0, 0, 255, 255)
    viewer.dims.set_point(0, 1)
    assert set(read) == {1}
    assert sides(viewer) == (255, 255, 0, 0)


def test_blinking_takes_turns(viewer, widget, qtbot):
    before = state(viewer)
    widget.controls.rate.setValue(0)  # a busy machine may take longer for a screenshot than the first turn lasts
    seen = []
    widget.shown.connect(seen.append)
    widget.choose("blink")
    assert sides(viewer) == (0, 0, 0, 0) and widget.controls.seen.text() == "A: raw"
    widget.controls.rate.setValue(6)
    qtbot.waitUntil(lambda: len(seen) > 4, timeout=5000)
    assert all(a != b for a, b in pairwise(seen[1:])) and set(seen[1:]) <= {"A", "B"}
    widget.controls.rate.setValue(0)
    widget.hold(True)
    assert sides(viewer) == (255,) * 4 and widget.controls.seen.text() == "B: raw_superresolved"
    widget.hold(False)
    assert sides(viewer) == (0,) * 4 and not widget._timer.isActive()
    widget.choose("off")
    assert state(viewer) == before and seen[-1] == ""


def test_letters_say_whose_picture_is_where(viewer, widget):
    def seen() -> list[bool]:
        """A letter in the upper left corner, and in the upper right and the lower left one."""
        pixels, last = picture(viewer), EDGE + SIDE
        places = (np.s_[EDGE:last, EDGE:last], np.s_[EDGE:last, -last:-EDGE], np.s_[-last:-EDGE, EDGE:last])
        return [bool(pixels[place].max() > 200 > np.median(pixels[place])) for place in places]

    assert seen() == [False] * 3
    widget.choose("curtain")
    assert seen() == [True, True, False]
    widget.controls.way.setCurrentIndex(1)
    assert seen() == [True, False, True]
    widget.controls.divider.setValue(0)
    assert seen() == [True, False, False], "B alone"
    widget.choose("off")
    assert seen() == [False] * 3


def test_letters_have_corners_of_their_own_and_none_on_a_side_that_is_too_narrow():
    size, far = (400, 300), (400 - EDGE - SIDE, EDGE)
    near = (EDGE, EDGE)
    assert corners(0.5, upright=True, size=size) == {"A": near, "B": far}
    assert corners(0.05, upright=True, size=size) == {"B": far}
    assert corners(0.95, upright=True, size=size) == {"A": near}
    assert corners(1, upright=True, size=size) == {"A": near} and corners(0, upright=True, size=size) == {"B": near}
    assert corners(0.5, upright=False, size=size) == {"A": near, "B": (EDGE, 300 - EDGE - SIDE)}


def test_no_more_than_three_flashes_a_second(widget):
    widget.controls.rate.setValue(10_000)
    widget.choose("blink")
    assert 2 * widget._timer.interval() >= 333
    widget.choose("off")
    assert not widget._timer.isActive()


def test_the_key_is_lent(viewer, widget, qtbot):
    key = coerce_keybinding("B")

    def mine(viewer):
        """The user's own."""

    viewer.bind_key("B", mine)
    widget.choose("curtain")
    assert viewer.keymap[key] is not mine
    press = viewer.keymap[key](viewer)
    next(press)
    assert sides(viewer) == (255,) * 4
    with pytest.raises(StopIteration):
        next(press)
    assert sides(viewer) == (0, 0, 255, 255)
    widget.choose("off")
    assert viewer.keymap[key] is mine


def test_the_key_works_in_the_widget_and_in_the_canvas(viewer, widget, qtbot):
    from qtpy.QtCore import Qt

    widget.choose("curtain")
    for target in (widget, canvas_of(viewer).native):
        qtbot.keyPress(target, Qt.Key.Key_B)
        assert widget.controls.seen.text().startswith("B:")
        qtbot.keyRelease(target, Qt.Key.Key_B)
        assert widget.controls.seen.text() == ""


def drag(viewer, start, *places):
    """With the left button, through places in the canvas's pixels."""
    from vispy.app.canvas import MouseEvent

    events = canvas_of(viewer)._scene_canvas.events
    press = MouseEvent(type="mouse_press", pos=start, button=1, buttons=[1], modifiers=())
    events.mouse_press(press)
    last = press
    for place in places:
        last = MouseEvent(
            type="mouse_move", pos=place, button=1, buttons=[1], modifiers=(), last_event=last, press_event=press
        )
        canvas_of(viewer)._on_mouse_move(last)
    events.mouse_release(
        MouseEvent(
            type="mouse_release", pos=place, button=1, buttons=[1], modifiers=(), last_event=last, press_event=press
        )
    )


def test_the_divider_is_dragged_in_the_canvas(viewer, widget):
    widget.choose("curtain")
    width, height = canvas_of(viewer)._scene_canvas.size
    centre = tuple(camera_of(viewer).center)
    drag(viewer, (width / 2 + 2, height / 3), (width * 0.6, height / 3), (width * 0.7, height / 2))
    assert widget.controls.divider.value() == pytest.approx(700, abs=2)
    assert tuple(camera_of(viewer).center) == centre and camera_of(viewer).mouse_pan
    drag(viewer, (width * 0.7, 5), (5 * width, 5))
    assert widget.controls.divider.value() == 990, "it stays within reach"
    drag(viewer, (width * 0.2, height / 3), (width * 0.3, height / 3))
    assert widget.controls.divider.value() == 990, "elsewhere the mouse is the camera's"


def test_what_the_user_changes_meanwhile_stays(viewer, widget):
    viewer.layers[1].opacity = 0.5
    widget.choose("curtain")
    viewer.layers[0].visible = False
    viewer.layers[1].opacity = 0.8
    widget.choose("off")
    assert not viewer.layers[0].visible and viewer.layers[1].opacity == 0.8


def test_other_images_are_hidden_meanwhile(viewer, widget):
    other = viewer.add_image(np.full((3, 40, 60), 0.5, np.float32), name="other", **GREY, **PLACE)
    points = viewer.add_points(np.zeros((1, 3)))
    before = state(viewer)
    widget._take_pair(viewer.layers["raw"], viewer.layers["raw_superresolved"])
    widget.choose("curtain")
    assert not other.visible and points.visible and sides(viewer) == (0, 0, 255, 255)
    widget.controls.alone_box.setChecked(False)
    assert other.visible
    widget.choose("off")
    assert state(viewer) == before


def test_a_layer_that_is_removed_ends_it(viewer, widget):
    raw, fine = viewer.layers
    fine.blending, blending = "additive", raw.blending
    key = dict(viewer.keymap)
    widget.choose("blink")
    viewer.layers.remove(raw)
    assert widget.mode == "off" and "raw was removed" in widget.controls.message.text()
    assert fine.blending == "additive" and raw.blending == blending
    assert dict(viewer.keymap) == key and not widget._timer.isActive()
    assert not widget.controls.buttons["curtain"].isEnabled()
    viewer.layers.clear()
    viewer.add_image(np.zeros((9, 9)))
    assert not widget.controls.difference_button.isEnabled()


def test_a_layer_that_is_renamed_stays(viewer, widget):
    widget.choose("blink")
    widget.controls.rate.setValue(0)
    viewer.layers["raw"].name = "before"
    assert (
        widget.mode == "blink"
        and widget.controls.seen.text() == "A: before"
        and widget.controls.first.currentText() == "before"
    )


def test_3d_and_back(viewer, widget):
    before = state(viewer)
    widget.choose("curtain")
    viewer.dims.ndisplay = 3
    pixels = sides(viewer)
    assert pixels[1] < 30 and pixels[2] > 225
    viewer.dims.ndisplay = 2
    assert sides(viewer) == (0, 0, 255, 255)
    viewer.dims.ndisplay = 3
    picture(viewer)
    widget.choose("off")
    viewer.dims.ndisplay = 2
    picture(viewer)
    assert state(viewer) == before


def test_pyramids_transforms_types_and_planes_larger_than_a_texture(viewer, qtbot):
    turned = {"rotate": 20, "shear": [0.1], "scale": (1, 2)}
    levels = [np.zeros((n, n), np.uint16) for n in (512, 256, 128)]
    viewer.add_image(levels, name="a", multiscale=True, **GREY, **turned)
    second = viewer.add_image(np.ones((512, 512), np.float32), name="b", **GREY, **turned)
    widget = made(viewer, qtbot)
    widget.choose("curtain")
    camera_of(viewer).zoom *= 4
    assert sides(viewer) == (0, 0, 255, 255)
    # Another visual for another type, and several for what does not fit into one texture.
    second.data = np.full((512, 512), 1, np.uint8)
    assert sides(viewer) == (0, 0, 255, 255)
    drawn = canvas_of(viewer).layer_to_visual[second]
    drawn._layer_node._tiledimage_node.tile_size = 100
    drawn._layer_node.MAX_TEXTURE_SIZE_2D = 100
    second.data = np.full((250, 8), 1, np.uint8)
    assert len(visuals_of(canvas_of(viewer), second)) > 1
    second.scale = (512 / 250, 128)
    assert sides(viewer) == (0, 0, 255, 255)
    widget.choose("off")
    assert all(not [f for f in v._vshare.filters if type(f).__name__ == "Clipper" and f.bounds.width > 1e5]
               for v in visuals_of(canvas_of(viewer), second))  # fmt: skip


def test_the_same_contrast(viewer, widget):
    raw, fine = viewer.layers
    raw.contrast_limits, fine.contrast_limits_range, fine.contrast_limits = (-5, 5), (0, 2), (0, 2)
    before = state(viewer)
    widget.controls.same_box.setChecked(True)
    assert state(viewer) == before, "only while there is a comparison"
    widget.choose("curtain")
    assert tuple(fine.contrast_limits) == (-5, 5) == tuple(raw.contrast_limits)
    widget.choose("off")
    assert state(viewer) == before
    widget.choose("curtain")
    fine.contrast_limits, raw.gamma = (-1, 3), 0.5
    assert tuple(raw.contrast_limits) == (-1, 3) and fine.gamma == 0.5
    widget.controls.same_box.setChecked(False)
    raw.contrast_limits = (0, 1)
    assert tuple(fine.contrast_limits) != (0, 1)


def test_a_grid_cannot_be_compared(viewer, widget):
    widget.choose("curtain")
    grid_of(viewer).enabled = True
    assert widget.mode == "off" and "grid" in widget.controls.message.text()
    widget.choose("blink")
    assert widget.mode == "off"


def test_a_new_result_is_proposed_unless_something_is_compared(viewer, widget):
    viewer.add_image(np.zeros((9, 9)), name="cells")
    viewer.add_image(np.zeros((9, 9)), name="cells_denoised")
    assert (widget.controls.first.layer.name, widget.controls.second.layer.name) == ("cells", "cells_denoised")
    widget.choose("curtain")
    viewer.add_image(np.zeros((9, 9)), name="raw_denoised")
    assert widget.controls.second.layer.name == "cells_denoised"


@pytest.mark.parametrize(
    ("names", "new", "expected"),
    [
        (["raw", "raw_denoised"], None, ("raw", "raw_denoised")),
        (["raw_denoised", "raw"], None, ("raw", "raw_denoised")),
        (["a", "a_b", "a_b_denoised"], None, ("a_b", "a_b_denoised")),
        (["a", "a_denoised", "b", "b_denoised"], "a_denoised", ("a", "a_denoised")),
        (["a", "b", "c"], None, ("b", "c")),
        (["a"], None, None),
        ([], None, None),
    ],
)
def test_likely_pairs(names, new, expected):
    layers = {name: ImageLayer(np.zeros((2, 2)), name=name) for name in names}
    pair = likely_pair(list(layers.values()), layers.get(new))
    assert (pair and tuple(layer.name for layer in pair)) == expected


def test_swap(viewer, widget):
    widget.choose("curtain")
    widget.controls.swap_button.click()
    assert widget.mode == "curtain" and widget.controls.first.layer.name == "raw_superresolved"
    assert sides(viewer) == (255, 255, 0, 0)


def test_borrowed_attributes_come_back_in_reverse():
    layer = ImageLayer(np.zeros((4, 4)), contrast_limits=(0, 1))
    borrowed = Borrowed()
    borrowed.set(layer, "contrast_limits_range", (-9, 9))
    borrowed.set(layer, "contrast_limits", (-5, 5))
    borrowed.set(layer, "opacity", 0.1)
    layer.opacity = 0.2
    borrowed.give_back()
    borrowed.give_back()
    assert (tuple(layer.contrast_limits), tuple(layer.contrast_limits_range)) == ((0, 1), (0, 1))
    assert layer.opacity == 0.2


def test_it_fits_a_small_screen(viewer, widget, qtbot):
    widget.setParent(None)
    fresh = CompareWidget(viewer)
    qtbot.addWidget(fresh)
    fresh.resize(400, 700)
    fresh.show()
    assert fresh.minimumSizeHint().width() <= 400 and fresh.minimumSizeHint().height() <= 700
    for box in fresh.findChildren(LayerChoice):
        assert box.toolTip() and box.accessibleName()
    fresh.leave()


def test_the_difference_takes_the_last_ones_place(viewer, widget):
    picture(viewer)
    widget.choose("curtain")
    for _ in range(2):
        widget.controls.difference_button.click()
    assert widget.mode == "off"
    assert [layer.name for layer in viewer.layers] == ["raw", "raw_superresolved", "raw - raw_superresolved"]
    assert (viewer.layers[-1].data == -1).all() and viewer.layers[-1].data.shape[:2] == (1, 80)
    viewer.dims.ndisplay = 3
    widget.controls.difference_button.click()
    assert "2-D" in widget.controls.message.text()


@pytest.mark.parametrize("asked", ["difference", "structure"])
def test_only_the_plane_in_view_is_read_for_what_is_added(viewer, qtbot, asked):
    read = []

    def block(block_info=None):
        location = block_info[None]["chunk-location"]
        read.append(location[0])
        return np.full((1, 32, 32), location[0], np.float32)

    lazy = da.map_blocks(block, chunks=((1,) * 4, (32,), (32,)), dtype=np.float32)
    viewer.add_image(lazy, name="a", cache=False, **GREY)
    viewer.add_image(0 * lazy, name="b", cache=False, **GREY)
    viewer.dims.set_point(0, 2)
    widget = made(viewer, qtbot)
    read.clear()
    widget.add_difference() if asked == "difference" else widget.find_structure()
    qtbot.waitUntil(lambda: len(viewer.layers) == 3, timeout=20_000)
    added = viewer.layers[-1]
    assert added.visible
    assert set(read) == {2}
    assert asked == "structure" or (np.asarray(added._slice.image.raw) == 2).all()
    viewer.dims.set_point(0, 3)
    assert set(read) == {2, 3}


def test_structure_in_what_was_removed_becomes_a_layer_over_the_place(viewer, qtbot):
    rng = np.random.default_rng(0)
    restored = np.full((2, 120, 160), 50, np.float32)
    raw = restored + rng.normal(0, 5, restored.shape).astype(np.float32)
    raw[:, 40:80, 60:100] += 8 * np.sin(np.arange(40) / 2).astype(np.float32)  # a grating that the result lacks
    place = {"scale": (3.0, 0.5, 0.5), "translate": (5, 6, 7)}
    viewer.add_image(raw, name="raw", **GREY, **place)
    second = viewer.add_image(restored, name="raw_denoised", **GREY, **place)
    widget = made(viewer, qtbot)
    camera_of(viewer).zoom /= 4  # all of it in view
    qtbot.wait(50)
    widget.find_structure()
    assert not widget.controls.structure_button.isEnabled(), "one at a time"
    qtbot.waitUntil(lambda: len(viewer.layers) == 3, timeout=20_000)
    layer = viewer.layers[-1]
    found = np.asarray(layer.data)[0]
    assert found.shape == (120, 160)
    assert np.median(found[45:75, 65:95]) > 0.9
    assert np.mean(found[:20] > 0) < 0.01
    np.testing.assert_allclose(layer.extent.world[:, 1:], second.extent.world[:, 1:])
    assert "structure" in widget.controls.message.text()
    widget.find_structure()
    qtbot.waitUntil(widget.controls.structure_button.isEnabled, timeout=20_000)
    assert [each.name for each in viewer.layers].count(layer.name) == 1, "the last one's place is taken"
    widget.controls.first.choose(viewer.layers[-1])  # the map itself, which goes as the next one comes
    widget.find_structure()
    qtbot.waitUntil(widget.controls.structure_button.isEnabled, timeout=20_000)
    assert len(viewer.layers) == 3 and "structure" in viewer.layers[-1].name


def test_a_tab_that_is_left_takes_no_map_any_more(viewer, qtbot, widget):
    widget.find_structure()
    widget.leave()
    qtbot.wait(1500)
    assert len(viewer.layers) == 2
