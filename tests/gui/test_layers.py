from __future__ import annotations

import subprocess
import sys

import dask.array as da
import numpy as np
import pytest
import zarr
from napari.components import ViewerModel
from napari.layers import Image as ImageLayer

from napari_restore.core.events import RestorationStarted
from napari_restore.core.region import Region
from napari_restore.gui.parts.layers import ResultLayer, arrange, insert_above
from napari_restore.gui.restore.widget import RestoreWidget
from napari_restore.sources import open_image


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


def place(**more):
    return {"name": "raw", "scale": (3.0, 0.1, 0.2), "translate": (5, 6, 7), "units": ("um",) * 3, **more}


def test_a_layer_that_is_added_is_not_selected_in_between(viewer):
    """Napari's controls would be made anew twice, and the layer to restore follow."""
    raw, told = viewer.add_image(np.zeros((8, 9)), name="raw"), []
    for events in (viewer.layers.selection.events.changed, viewer.layers.selection.events.active):
        events.connect(told.append)
    insert_above(viewer, ImageLayer(np.ones((8, 9)), name="result"), raw)
    assert [layer.name for layer in viewer.layers] == ["raw", "result"] and not told
    viewer.layers.selection.clear()
    insert_above(viewer, ImageLayer(np.ones((8, 9)), name="newer"), raw)
    assert viewer.layers.selection.active.name == "newer", "where nothing was selected, it is"
    assert viewer.add_image(np.ones((8, 9))) in viewer.layers.selection, "as napari does with others"


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


def test_a_tile_written_just_before_the_run_was_stopped_is_seen(viewer, stack, tmp_path):
    raw = viewer.add_image(stack, **place())
    array = zarr.create_array(tmp_path / "x" / "0", shape=stack.shape, dtype="uint16", chunks=(1, 40, 50))
    result = ResultLayer(viewer, raw, open_image(raw))
    result.begin(tmp_path / "x", "0")
    at = viewer.dims.current_step[0]
    assert not result.layer._slice.image.view.any()
    array[at] = stack[at]
    assert not result.give_way()
    np.testing.assert_array_equal(result.layer._slice.image.view, stack[at])


def started(**more):
    return RestorationStarted("p", "0", 1, 0, (1, 40, 50), (0, 0, 0), 1, "uint16", "cpu", "float32", **more)


@pytest.mark.filterwarnings("ignore:Non-orthogonal slicing")  # where pixels lie is asked for, not how it looks
@pytest.mark.parametrize(
    "turned",
    [
        {},
        {"scale": (3.0, 0.1, -0.2)},
        {"rotate": (20, -30, 40), "shear": (0.2, 0.1, -0.3)},
        {"affine": [[1, 0, 0, 4], [0, 2, 0.5, 0], [0, 0, 1, -9], [0, 0, 0, 1]]},
    ],
)
def test_a_finer_result_lies_over_the_raw_layer(viewer, stack, tmp_path, turned):
    raw = viewer.add_image(stack, **place(**turned))
    array = zarr.create_array(tmp_path / "0", shape=(6, 80, 200), dtype="uint16", chunks=(1, 80, 200))
    result = ResultLayer(viewer, raw, open_image(stack, axes="ZYX"))
    result.begin(tmp_path, "0", started=started(rate=(1, 2, 4), centred=(True,) * 3, suffix="superresolved"))
    layer = viewer.layers["raw_superresolved"]
    for corner in ((-0.5, -0.5, -0.5), (2.5, 19.5, 12.5), (5.5, 39.5, 49.5)):
        finer = (np.array(corner) + 0.5) * (1, 2, 4) - 0.5
        np.testing.assert_allclose(layer.data_to_world(finer), raw.data_to_world(corner), atol=1e-10)
    result.finish([array])
    np.testing.assert_allclose(layer.data_to_world((0, 0.5, 1.5)), raw.data_to_world((0, 0, 0)), atol=1e-10)


@pytest.mark.filterwarnings("ignore:Non-orthogonal slicing")
def test_a_finer_part_of_a_turned_layer_lies_over_that_part(viewer, stack, tmp_path):
    raw = viewer.add_image(stack, **place(rotate=(20, -30, 40), scale=(3.0, -0.1, 0.2)))
    image = open_image(raw)
    zarr.create_array(tmp_path / "0", shape=(2, 60, 40), dtype="uint16", chunks=(1, 60, 40))
    result = ResultLayer(viewer, raw, image, part=Region((1, 7, 9), (3, 37, 29)))
    result.begin(tmp_path, "0", started=started(rate=(1, 2, 2), centred=(True,) * 3, suffix="superresolved"))
    layer = viewer.layers["raw_superresolved_part"]
    np.testing.assert_allclose(layer.data_to_world((1, 0.5, 2.5)), raw.data_to_world((2, 7, 10)), atol=1e-10)


def test_point_samples_lie_on_the_first_of_their_finer_pixels(viewer, stack, tmp_path):
    raw = viewer.add_image(stack, **place())
    zarr.create_array(tmp_path / "0", shape=(24, 40, 50), dtype="uint16")
    result = ResultLayer(viewer, raw, open_image(stack, axes="ZYX"))
    result.begin(tmp_path, "0", started=started(rate=(4, 1, 1), centred=(False, True, True)))
    layer = viewer.layers["raw_denoised"]
    assert layer.scale.tolist() == [0.75, 0.1, 0.2]
    np.testing.assert_allclose(layer.data_to_world((8, 5, 7)), raw.data_to_world((2, 5, 7)))


def test_finer_colour_is_shown_in_colour(viewer, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8)
    raw = viewer.add_image(pixels, rgb=True, name="photo", scale=(2, 3))
    array = zarr.create_array(tmp_path / "0", shape=(3, 40, 60), dtype="uint8")
    result = ResultLayer(viewer, raw, open_image(raw))
    result.finish([array])
    layer = result.layer
    assert layer.rgb and layer.data.shape == (40, 60, 3)
    assert (layer.scale.tolist(), layer.translate.tolist()) == ([1.0, 1.5], [-0.5, -0.75])


def test_a_plane_that_became_large_ends_as_a_pyramid(viewer):
    raw = viewer.add_image(np.zeros((2200, 60), np.uint8), name="tall")
    levels = [da.zeros((4400 // f, 120 // f), dtype="uint8", chunks=1000) for f in (1, 2, 4)]
    result = ResultLayer(viewer, raw, open_image(raw))
    result.finish(levels)
    assert result.layer.multiscale
    assert (result.layer.scale.tolist(), result.layer.translate.tolist()) == ([0.5, 0.5], [-0.25, -0.25])


def shown(viewer):
    return [layer.name for layer in viewer.layers if layer.visible]


@pytest.mark.parametrize("blending", ["additive", "minimum", "multiplicative"])
def test_a_result_takes_the_place_of_a_layer_that_mixes_with_others(viewer, stack, tmp_path, blending):
    raw = viewer.add_image(stack, blending=blending, **place())
    viewer.add_image(stack, blending=blending, name="other")
    zarr.create_array(tmp_path / "0", shape=stack.shape, dtype="uint16")
    first, second = (ResultLayer(viewer, raw, open_image(raw)) for _ in range(2))
    first.begin(tmp_path, "0")
    assert first.layer.blending == blending and shown(viewer) == ["raw_denoised", "other"]
    second.begin(tmp_path, "0", older=[first])
    assert shown(viewer) == ["raw_denoised [1]", "other"], "an older result would be added to it as well"
    second.discard()
    assert shown(viewer) == ["raw_denoised", "other"], "that which was seen before is seen again"
    raw.visible = True
    first.show_again()
    assert shown(viewer) == ["raw_denoised", "other"]
    first.discard()
    assert shown(viewer) == ["raw", "other"]


def test_what_a_deleted_result_hid_is_seen_again(make_napari_viewer_proxy, stack, engine, qtbot):
    viewer = make_napari_viewer_proxy()
    viewer.add_image(stack, name="raw", blending="additive", axis_labels=("z", "y", "x"))
    widget = RestoreWidget(viewer, engine=engine)
    viewer.window.add_dock_widget(widget, name="Restore")
    for _ in range(2):
        widget.run()
        qtbot.waitUntil(lambda: not widget.session.runner.running, timeout=10_000)
    assert shown(viewer) == ["raw_denoised [1]"]
    viewer.layers.remove("raw_denoised [1]")
    assert shown(viewer) == ["raw_denoised"], "the older one"
    viewer.layers.remove("raw_denoised")
    assert shown(viewer) == ["raw"]


def results_over_each_other(viewer, stack, folder):
    raw = viewer.add_image(stack, blending="additive", **place())
    zarr.create_array(folder / "0", shape=stack.shape, dtype="uint16")
    first, second = (ResultLayer(viewer, raw, open_image(raw)) for _ in range(2))
    first.begin(folder, "0")
    second.begin(folder, "0", older=[first])
    return first, second


def test_the_raw_layer_is_seen_again_where_both_results_are_deleted(viewer, stack, tmp_path):
    first, second = results_over_each_other(viewer, stack, tmp_path)
    for result in (first, second):  # that which is hidden goes first
        viewer.layers.remove(result.layer)
        result.gone(result.layer)
    assert shown(viewer) == ["raw"]


def test_a_result_that_is_discarded_unseen_changes_nothing_in_sight(viewer, stack, tmp_path):
    first, _ = results_over_each_other(viewer, stack, tmp_path)
    first.discard()
    assert shown(viewer) == ["raw_denoised [1]"]


@pytest.mark.parametrize(("blending", "part"), [("translucent", None), ("additive", Region((0, 0, 0), (2, 9, 9)))])
def test_a_result_that_covers_the_raw_layer_leaves_it_in_sight(viewer, stack, tmp_path, blending, part):
    """So does a part of an image: around it there is nothing else to be seen."""
    raw = viewer.add_image(stack, blending=blending, **place())
    zarr.create_array(tmp_path / "0", shape=stack.shape if part is None else part.shape, dtype="uint16")
    result = ResultLayer(viewer, raw, open_image(raw), part=part)
    result.begin(tmp_path, "0")
    assert raw.visible and result.layer.visible and str(result.layer.blending).startswith("translucent")


def test_restored_channels_are_seen_together_in_their_colours(make_napari_viewer_proxy, tmp_path):
    viewer = make_napari_viewer_proxy(show=True)
    looks = {"blending": "additive", "contrast_limits": (0, 200)}
    for value, colour in ((20, "red"), (60, "green"), (100, "blue")):
        viewer.add_image(np.full((40, 50), value, np.uint8), name=colour, colormap=colour, **looks)
    for raw in list(viewer.layers):
        result = ResultLayer(viewer, raw, open_image(raw))
        result.finish([zarr.array(np.asarray(raw.data) + 50)])
        result.raise_()
    picture = viewer.screenshot(flash=False)
    red, green, blue, _ = picture[picture.shape[0] // 2, picture.shape[1] // 2]
    for seen, value in ((red, 70), (green, 110), (blue, 150)):
        assert abs(int(seen) - 255 * value / 200) < 3


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


@pytest.mark.parametrize("module", ["dask.array", "zarr", "scipy.stats"])
def test_what_a_result_needs_is_not_loaded_when_the_widget_opens(module):
    code = f"import sys, napari_restore.gui.tabs; sys.exit({module!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_it_is_loaded_after_the_first_picture_and_before_a_result_is_begun():
    code = (
        "import importlib.util, sys, threading\n"
        "extra = ['distributed'] if importlib.util.find_spec('distributed') else []\n"
        "missing = lambda: {'dask.array', 'zarr', *extra} - set(sys.modules)\n"
        "from napari_restore.core.events import Note, RestorationStarted\n"
        "from napari_restore.gui.restore.session import with_readers\n"
        "from napari_restore.gui.restore.work import Pair\n"
        "def picture(stop): yield Pair(None, None); yield Note('next')\n"
        "def result(stop): yield Note('first'); yield RestorationStarted.__new__(RestorationStarted)\n"
        "def nothing(stop): yield from ()\n"
        "events = with_readers({start})(threading.Event())\n"
        "for number, event in enumerate(events):\n"
        "    assert bool(missing()) == (number == 0), number\n"
        "assert not missing()\n"
    )
    for start in ("picture", "result", "nothing"):
        assert subprocess.run([sys.executable, "-c", code.replace("{start}", start)], check=False).returncode == 0
