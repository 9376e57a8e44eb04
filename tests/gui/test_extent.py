"""A part that is restored lies exactly over the raw layer, and is what it would be within the whole."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from napari.layers import Image as ImageLayer
from napari.layers import Shapes

import napari_restore
from napari_restore.core.errors import RestoreError
from napari_restore.core.region import Region
from napari_restore.gui.restore.extent import DRAWN, drawn_region, plane_in_view
from napari_restore.gui.tabs import MainWidget, Preferences
from napari_restore.sources import open_image

PLACE = {"scale": (3.0, 0.1, 0.2), "translate": (5, 6, 7), "units": ("um",) * 3, "axis_labels": ("z", "y", "x")}
TURNED = {**PLACE, "rotate": (0, 0, 30), "shear": (0.1, 0.2, 0.3)}


@pytest.fixture
def viewer(make_napari_viewer_proxy):
    return make_napari_viewer_proxy()


@pytest.fixture
def widget(viewer, engine):
    tabs = MainWidget(viewer, engine=engine, preferences=Preferences())
    viewer.window.add_dock_widget(tabs, name="Restore")
    yield tabs.restore
    tabs.leave()


def wait(qtbot, widget):
    qtbot.waitUntil(lambda: not widget.session.runner.running, timeout=10_000)


def rectangle(region: Region, at: tuple[float, ...] = ()) -> np.ndarray:
    """The corners of a rectangle around pixels, which reach half a pixel to each side; a hair smaller."""
    (y, x), (end_y, end_x) = region.start[-2:], region.stop[-2:]
    top, bottom, left, right = y - 0.49, end_y - 0.51, x - 0.49, end_x - 0.51
    return np.array([(*at, a, b) for a, b in ((top, left), (top, right), (bottom, right), (bottom, left))])


@pytest.mark.parametrize(
    ("shape", "displayed", "point", "start", "stop"),
    [
        ((6, 17, 23), (1, 2), (9.4, 0, 0), (3, 0, 0), (4, 17, 23)),
        ((6, 17, 23), (0, 2), (0, 0.51, 0), (0, 5, 0), (6, 6, 23)),
        ((6, 17, 23), (0, 1, 2), (0, 0, 0), (0, 0, 0), (6, 17, 23)),
        ((6, 17, 23), (1, 2), (900, 0, 0), (5, 0, 0), (6, 17, 23)),
        ((1, 17, 23), (1, 2), (-50, 0, 0), (0, 0, 0), (1, 17, 23)),
    ],
)
def test_the_plane_in_view_is_where_the_sliders_stand(shape, displayed, point, start, stop):
    layer = ImageLayer(np.zeros(shape), scale=(3.0, 0.1, 0.2), axis_labels=("z", "y", "x"))
    found = plane_in_view(open_image(layer), layer, point, displayed)
    assert found == Region(start, stop)


def test_the_plane_of_a_layer_with_fewer_axes_than_the_viewer():
    layer = ImageLayer(np.zeros((17, 23)))
    assert plane_in_view(open_image(layer), layer, (4, 5, 0, 0), (2, 3)) == Region((0, 0), (17, 23))


# A layer that is turned in space has no rectangles of its own in a layer of two axes.
@pytest.mark.parametrize(("place", "ndim"), [(PLACE, 2), (PLACE, 3), (TURNED, 3)])
def test_the_box_around_a_rectangle_holds_the_pixels_it_touches(place, ndim):
    layer = ImageLayer(np.zeros((6, 40, 50)), **place)
    wanted = Region((2, 7, 11), (3, 19, 40))
    corners = rectangle(wanted, at=(2.0,) * (ndim - 2))
    looks = {k: v[-2:] if ndim == 2 else v for k, v in place.items()}
    shapes = Shapes([corners], ndim=ndim, **looks)
    found = drawn_region(open_image(layer), layer, shapes)
    assert found == (wanted if ndim == 3 else Region((0, 7, 11), (6, 19, 40)))


def test_selected_shapes_count_alone_and_all_count_otherwise():
    layer = ImageLayer(np.zeros((40, 50)))
    one, two = Region((1, 2), (5, 9)), Region((20, 30), (90, 90))
    shapes = Shapes([rectangle(one), rectangle(two)])
    shapes.selected_data = set()
    assert drawn_region(open_image(layer), layer, shapes) == Region((1, 2), (40, 50)), "what is outside is cut off"
    shapes.selected_data = {0}
    assert drawn_region(open_image(layer), layer, shapes) == one


@pytest.mark.parametrize("shapes", [None, Shapes(ndim=2), Shapes([rectangle(Region((60, 0), (70, 9)))])])
def test_nothing_drawn_over_the_image_is_said(shapes):
    layer = ImageLayer(np.zeros((40, 50)), name="raw")
    with pytest.raises(RestoreError, match="draw"):
        drawn_region(open_image(layer), layer, shapes)


@pytest.mark.parametrize("place", [PLACE, TURNED], ids=["straight", "turned"])
def test_the_plane_in_view_alone_is_restored_over_its_place(qtbot, viewer, widget, stack, engine, place):
    raw = viewer.add_image(stack, name="raw", **place)
    viewer.dims.set_current_step(0, 4)
    widget.form.extent.choose("plane")
    widget.buttons.run_button.click()
    wait(qtbot, widget)
    layer = viewer.layers["raw_denoised_part"]
    z = round(float(raw.world_to_data(viewer.dims.point)[0]))
    assert layer.data.shape == (1, *stack.shape[1:])
    np.testing.assert_array_equal(np.asarray(layer.data), stack[z : z + 1] + 1)
    np.testing.assert_allclose(layer.data_to_world((0, 0, 0)), raw.data_to_world((z, 0, 0)))
    np.testing.assert_allclose(layer.data_to_world((0, 9, 11)), raw.data_to_world((z, 9, 11)))


@pytest.mark.parametrize(("labels", "axis"), [("tyx", "T"), ("zyx", "Z")])
def test_some_time_points_or_planes_alone_are_restored_over_their_place(qtbot, viewer, widget, stack, labels, axis):
    raw = viewer.add_image(stack, name="raw", **{**PLACE, "axis_labels": tuple(labels)})
    extent = widget.form.extent
    assert not extent.span.isVisibleTo(widget)
    extent.choose("span")
    assert extent.span.isVisibleTo(widget) and extent.span.axis.currentData() == axis
    assert extent.region(raw, open_image(raw)) is None, "at first all of them"
    extent.span.first.setValue(4)
    extent.span.last.setValue(2)
    assert extent.span.first.value() == 2, "the first is never after the last"
    extent.span.last.setValue(3)
    widget.buttons.run_button.click()
    wait(qtbot, widget)
    layer = viewer.layers["raw_denoised_part"]
    np.testing.assert_array_equal(np.asarray(layer.data), stack[2:4] + 1)
    np.testing.assert_allclose(layer.data_to_world((0, 9, 11)), raw.data_to_world((2, 9, 11)))


def test_planes_that_another_image_has_not_are_said(viewer, widget, stack):
    viewer.add_image(np.zeros((3, 4, 40, 50)), name="film", axis_labels=tuple("tzyx"))
    span = widget.form.extent.span
    assert [span.axis.itemData(i) for i in range(span.axis.count())] == ["T", "Z"]
    span.axis.setCurrentIndex(1)
    span.first.setValue(3)
    film = open_image(viewer.layers["film"])
    assert span.region(film) == Region((0, 3, 0, 0), (3, 4, 40, 50))
    with pytest.raises(RestoreError, match=r"planes 0 to 1: 3 is none"):
        span.region(open_image(np.zeros((2, 40, 50)), axes="ZYX"))
    with pytest.raises(RestoreError, match="one plane at one time"):
        span.region(open_image(np.zeros((40, 50))))
    viewer.add_image(np.zeros((40, 50)), name="plane")
    assert span.axis.count() == 0


@pytest.mark.parametrize("verb", ["denoise", "super_resolve"])
def test_a_drawn_region_alone_is_restored_over_its_place(qtbot, viewer, widget, stack, engine, verb):
    raw = viewer.add_image(stack, name="raw", **PLACE)
    part = Region((0, 12, 20), (6, 26, 33))
    viewer.add_shapes([rectangle(part)], scale=PLACE["scale"][1:], translate=PLACE["translate"][1:], units=("um",) * 2)
    viewer.layers.selection.active = raw
    widget.form.verb.choose(verb)
    widget.form.editors["psf"].allow_none(True)
    widget.form.extent.choose("drawn")
    if verb == "super_resolve":
        engine.rate = 2
    widget.run()
    wait(qtbot, widget)
    names = [layer.name for layer in viewer.layers]
    (name,) = [name for name in names if name.endswith("_part")]
    layer = viewer.layers[name]
    fine = 2 if verb == "super_resolve" else 1
    pixels = stack[part.slices] + 1
    np.testing.assert_array_equal(np.asarray(layer.data), pixels.repeat(fine, 1).repeat(fine, 2))
    first = np.array([0, (1 / fine - 1) / 2, (1 / fine - 1) / 2]) + part.start
    np.testing.assert_allclose(layer.data_to_world((0, 0, 0)), raw.data_to_world(first))
    assert widget.session.model is not None, "the model is kept, whatever the part"
    said = widget.outcome.messages.toPlainText()
    assert "Restoring 6 × 14 × 13 pixels." in said
    assert engine.calls == [(verb, {"region": part})], "what surrounds it is the engine's business"


def test_restoring_with_a_model_takes_the_part_too(qtbot, viewer, widget, stack, engine, tmp_path):
    viewer.add_image(stack, name="raw", **PLACE)
    widget.form.extent.choose("plane")
    widget.restore_with(str(tmp_path / "other.safetensors"))
    wait(qtbot, widget)
    assert viewer.layers["raw_denoised_part"].data.shape[0] == 1


def test_a_part_of_colour_keeps_its_colour(qtbot, viewer, widget):
    photo = np.random.default_rng(0).integers(0, 250, (40, 50, 3), dtype=np.uint8)
    viewer.add_image(photo, name="photo", rgb=True)
    viewer.add_shapes([rectangle(Region((3, 5), (20, 40)))])
    viewer.layers.selection.active = viewer.layers["photo"]
    widget.form.extent.choose("drawn")
    widget.run()
    wait(qtbot, widget)
    layer = viewer.layers["photo_denoised_part"]
    assert layer.rgb and tuple(layer.translate) == (3, 5)
    np.testing.assert_array_equal(np.asarray(layer.data), photo[3:20, 5:40] + 1)


def test_choosing_a_drawn_region_offers_a_layer_to_draw_in(qtbot, viewer, widget, stack, engine):
    viewer.add_image(stack, name="raw", **PLACE)
    widget.form.extent.choose("drawn")
    shapes = viewer.layers[DRAWN]
    assert shapes.units == viewer.layers["raw"].units[1:], "one layer without units would cost all of them theirs"
    assert tuple(shapes.scale) == PLACE["scale"][1:]
    assert shapes.mode == "add_rectangle" and viewer.layers.selection.active.name == DRAWN
    assert (
        "Draw a rectangle" in widget.outcome.messages.toPlainText() and widget.form.subject.layers.layer.name == "raw"
    )
    widget.run()
    assert "nothing is drawn" in widget.outcome.messages.toPlainText() and not engine.calls
    widget.form.extent.choose("drawn")
    assert len(viewer.layers) == 2, "one is enough"
    viewer.layers.remove(DRAWN)
    assert widget.form.extent.extent == "everything", "no dead end"


def test_restored_alone_a_part_is_that_part_of_the_whole(tmp_path):
    """With the real engine: a few steps, then every way to cut."""
    pixels = np.random.default_rng(1).poisson(80, (5, 131, 157)).astype(np.float32)
    image = open_image(pixels, axes="ZYX")
    model = napari_restore.train(image, "noise2void", steps=3, device="cpu")
    restore = partial(napari_restore.restore, model=model, device="cpu", precision="float32")
    whole = np.asarray(restore(image, output=tmp_path / "whole.zarr"))
    for number, part in enumerate([Region((2, 0, 0), (3, 131, 157)), Region((1, 33, 41), (5, 40, 77))]):
        found = np.asarray(restore(image, region=part, output=tmp_path / f"{number}.zarr"))
        np.testing.assert_allclose(found, whole[part.slices], rtol=1e-4, atol=1e-3)
