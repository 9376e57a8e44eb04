from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Image as ImageLayer

from napari_restore.core.events import Measured, Preview
from napari_restore.core.region import Region
from napari_restore.gui.parts.messages import Messages
from napari_restore.gui.restore.in_view import evenly_fine, height_of, plane_of, region_in_view, to_plane
from napari_restore.gui.restore.plot import LossPlot, Trace, sensible_range
from napari_restore.gui.restore.preview import Look, PreviewPane
from napari_restore.gui.restore.work import Pair
from napari_restore.sources import open_image


@pytest.mark.parametrize(
    ("shape", "axes", "position", "expected"),
    [
        ((9, 600, 700), "ZYX", (4.4, 300, 350), Region((4, 172, 222), (5, 428, 478))),
        ((9, 600, 700), "ZYX", (-5, 0, 9999), Region((0, 0, 444), (1, 256, 700))),
        ((9, 17, 23), "ZYX", (8, 5, 5), Region((8, 0, 0), (9, 17, 23))),
        ((2, 3, 300, 300), "TCYX", (1, 2, 150, 150), Region((1, 0, 22, 22), (2, 3, 278, 278))),
        ((400, 300, 5), "XYZ", (200, 150, 2), Region((72, 22, 2), (328, 278, 3))),
        ((1, 50), "YX", (float("nan"), 3), Region((0, 0), (1, 50))),
    ],
)
def test_the_region_previewed_lies_inside_and_follows(shape, axes, position, expected):
    region = region_in_view(open_image(np.zeros(shape, np.uint8), axes=axes), position)
    assert region == expected and region.inside(shape)


@pytest.mark.parametrize(
    ("axes", "shape", "plane", "expected", "form"),
    [
        ("ZYX", (90, 300, 400), "XZ", Region((13, 150, 72), (77, 151, 328)), (64, 256)),
        ("ZYX", (5, 300, 40), "YZ", Region((0, 22, 20), (5, 278, 21)), (5, 256)),
        ("TCXYZ", (2, 3, 40, 30, 7), "XZ", Region((1, 0, 0, 15, 0), (2, 3, 40, 16, 7)), (7, 40)),
        ("TCXYZ", (2, 3, 40, 30, 7), "YZ", Region((1, 0, 20, 0, 0), (2, 3, 21, 30, 7)), (7, 30)),
    ],
)
def test_a_stack_is_cut_where_one_looks(axes, shape, plane, expected, form):
    position = [1 if a == "T" else n // 2 for a, n in zip(axes, shape, strict=True)]
    region = region_in_view(open_image(np.zeros(shape, np.uint8), axes=axes), position, plane=plane)
    assert region == expected and plane_of(region, axes) == plane
    assert to_plane(np.zeros(region.shape), axes, plane=plane).shape == form


def test_a_cut_is_as_high_as_in_the_world_but_never_too_thin_to_see():
    assert height_of("XZ", (20, 100), {"Z": 3.0, "Y": 0.1, "X": 1.0}) == pytest.approx(0.6)
    assert height_of("XZ", (2, 100), {"Z": 1.0, "X": 1.0}) == 0.15
    assert height_of("XY", (50, 100, 3), {}) == 0.5


def test_colour_is_previewed_whole():
    image = open_image(np.zeros((40, 50, 3), np.uint8), axes="YXC")
    assert region_in_view(image, (20, 20), rgb=True) == Region((0, 0, 0), (40, 50, 3))


@pytest.mark.parametrize(
    ("axes", "shape"), [("ZYX", (1, 6, 7)), ("XYZ", (7, 6, 1)), ("TCYX", (1, 3, 6, 7)), ("YX", (6, 7))]
)
def test_a_plane_has_rows_and_columns(axes, shape):
    assert to_plane(np.zeros(shape), axes).shape == (6, 7)


def test_the_channel_at_the_slider_is_shown():
    pixels = np.arange(3)[None, :, None, None] * np.ones((1, 3, 6, 7))
    assert to_plane(pixels, "TCYX", channel=2).max() == 2
    assert to_plane(pixels, "TCYX", channel=9).max() == 2
    assert to_plane(np.zeros((6, 7, 4)), "YXC").shape == (6, 7, 3)


@pytest.mark.parametrize(
    ("fine", "wanted"), [((6, 7), (6, 7)), ((12, 14), (12, 14)), ((12, 7), (12, 14)), ((12, 21), (36, 42))]
)
def test_a_finer_preview_is_as_wide_and_as_high_as_the_raw_one(fine, wanted):
    pixels = np.arange(fine[0] * fine[1]).reshape(fine)
    evened = evenly_fine(pixels, (6, 7))
    assert evened.shape == wanted
    assert (evened[:: wanted[0] // fine[0], :: wanted[1] // fine[1]] == pixels).all()
    assert evenly_fine(np.zeros((12, 7, 3)), (6, 7)).shape == (12, 14, 3)


def test_contrast_limits_become_black_and_white():
    plane = np.array([[0, 10, 20, 30, np.nan]])
    assert Look((10, 20)).paint(plane).tolist() == [[0, 0, 255, 255, 0]]
    assert Look((10, 10)).paint(plane).max() == 255


def test_the_preview_looks_like_the_canvas():
    layer = ImageLayer(np.zeros((9, 9)), contrast_limits=(0, 2), colormap="green", gamma=0.5)
    pixels = Look.of(layer).paint(np.array([[0.0, 0.5, 2.0]]))
    assert pixels.tolist() == [[[0, 0, 0], [0, 127, 0], [0, 255, 0]]]
    assert Look.of(ImageLayer(np.zeros((9, 9, 3), np.uint8), rgb=True)).colours is None


def test_a_trace_stays_short_and_keeps_the_newest():
    trace = Trace(kept=100)
    for step in range(10_000):
        trace.add(step, 1.0)
    trace.add(10_000, float("nan"))
    assert len(trace.steps) <= 100 and trace.steps[-1] == 9999
    assert trace.steps == sorted(trace.steps) and len(trace.values) == len(trace.steps)


def test_a_smoothed_trace_stays_between_its_values():
    trace = Trace(inertia=0.5)
    for step, value in enumerate([0.0, 4.0, 4.0]):
        trace.add(step, value)
    assert trace.values == [0, 2, 3]


def test_the_first_steps_do_not_flatten_the_rest():
    low, high = sensible_range([1000.0, *np.linspace(2, 1, 99)])
    assert low < 1 and 1.5 < high < 3
    assert sensible_range([]) is None
    low, high = sensible_range([3.0])
    assert low < 3 < high


def test_the_legend_names_what_is_drawn(qtbot):
    plot = LossPlot()
    qtbot.addWidget(plot)
    plot.set_colours(background="#000000", text="#ffffff", accent="#ff0000")

    def legend():
        return plot.plotItem.titleLabel.text

    assert "training" in legend() and "held out" in legend() and "noise" not in legend()
    plot.show_floor(0.25)
    assert "training" in legend() and "noise" in legend() and "#ff0000" in legend()
    plot.set_colours(background="#ffffff", text="#000000", accent="#0000ff")
    assert "noise" in legend() and "#0000ff" in legend()
    plot.show_floor(None)
    assert "noise" not in legend()
    plot.show_floor(0.25)
    plot.clear_traces()
    assert "noise" not in legend(), "the next run may have none"


def test_the_axis_says_the_numbers_themselves_whatever_the_theme(qtbot):
    """Pyqtgraph would count in thousandths, and nothing said so."""
    plot = LossPlot()
    qtbot.addWidget(plot)
    plot.show()
    for text in ("#ffffff", "#000000"):
        plot.set_colours(background="#808080", text=text, accent="#ff0000")
        plot.add([Measured(step, 0.1, 0.4 + 0.01 * step, None, 1e-3, 0.1, None) for step in (1, 2)])
        axis = plot.getAxis("left")
        assert axis.tickStrings([0.41], axis.scale * axis.autoSIPrefixScale, 0.01) == ["0.41"]


def test_views_in_a_window(qtbot):
    pane, plot, messages = PreviewPane(), LossPlot(), Messages()
    for widget in (pane, plot, messages):
        qtbot.addWidget(widget)
        widget.show()
    pixels = np.random.default_rng(0).random((1, 33, 47)).astype(np.float32)
    pair = Pair(Preview(12, Region((0, 0, 0), (1, 33, 47)), pixels), pixels)
    pane.show_pair(pair, axes="ZYX", look=Look((0, 1)), size={})
    assert not pane.before.empty and "12" in pane.caption.text()
    pane.show_pair(
        Pair(Preview(13, pair.preview.region, pixels.repeat(2, 1)), pixels), axes="ZYX", look=Look((0, 1)), size={}
    )
    assert pane.grab().toImage().pixelColor(pane.after.geometry().center()).red() > 0
    plot.add([Measured(1, 0.1, 2.0, 1.5, 1e-3, 0.1, None), Measured(2, 0.2, float("nan"), None, 1e-3, 0.2, None)])
    assert plot.traces["training"].steps == [1] and plot.traces["held out"].values == [1.5]
    assert not plot.floor.isVisible()
    plot.show_floor(0.25)
    plot.add([Measured(3, 0.3, 1.0, 1.0, 1e-3, 0.3, None)])
    assert plot.floor.value() == 0.25 and plot.getViewBox().viewRange()[1][0] < 0.25, "the floor is in sight"
    plot.clear_traces()
    assert not plot.floor.isVisible()
    messages.say("a <b> & c", "error")
    assert "a <b> & c" in messages.toPlainText()
    assert pane.turn.isHidden() and pane.after_across.isHidden(), "nothing cuts a plane"
    side = Preview(14, Region((0, 5, 0), (8, 6, 47)), np.ones((8, 1, 47), np.float32), across=True)
    pane.show_pair(Pair(side, np.zeros((8, 1, 47))), axes="ZYX", look=Look((0, 1)), size={"Z": 3, "X": 1})
    assert pane.turn.text() == "XZ" and not pane.after_across.isHidden() and "13" in pane.caption.text()
    qtbot.waitUntil(lambda: pane.after_across.height() == round(pane.after_across.width() * 24 / 47))
    assert pane.grab().toImage().pixelColor(pane.after_across.geometry().center()).red() == 255
    pane.clear()
    assert pane.after.empty and pane.after_across.empty and pane.turn.isHidden()
