"""Where detail may be lost is shown on the measured image, of all planes; what is said of a run means something."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from qtpy.QtWidgets import QAbstractButton, QLabel, QMenu, QWidget

from napari_restore.core.events import Compared, Measured, Preview
from napari_restore.core.region import Region
from napari_restore.gui.compare.whole import Difference, Structure, alike, whole_structure
from napari_restore.gui.parts.describe import loses_detail
from napari_restore.gui.restore.in_view import change
from napari_restore.gui.restore.work import Pair
from napari_restore.gui.tabs import MainWidget, Preferences
from napari_restore.metrics.structure import structure_map
from napari_restore.sources.lazy import LazyArray

LOST = {"checked": {"psnr": 30.0, "psnr_at_least": 29.0, "psnr_before": 21.5, "structure": 0.031, "trusted": False}}
SHELL = (
    r"--\w|`|\bshell\b|command[- ]line|\bCLI\b|stdout|stderr|\bNone\b(?!:)|\bTrue\b|\bFalse\b|Warning\b|[a-z]+_[a-z]+\("
)


@pytest.fixture
def viewer(make_napari_viewer_proxy):
    return make_napari_viewer_proxy()


@pytest.fixture
def main(viewer, engine):
    main = MainWidget(viewer, engine=engine, preferences=Preferences())
    viewer.window.add_dock_widget(main, name="Restore")
    return main


def test_where_detail_may_be_lost_is_shown_on_the_measured_stack(
    qtbot: Any, viewer: Any, main: Any, engine: Any
) -> None:
    rng, page = np.random.default_rng(0), main.restore
    stack = rng.normal(100, 5, (3, 80, 80)).astype(np.float32)
    stack[1, 30:50, 30:50] += np.tile([20.0, 0.0], (20, 10))  # detail that the result, the same plus 1, keeps
    raw = viewer.add_image(stack, name="raw", scale=(3, 1, 1), axis_labels=("z", "y", "x"))
    other = viewer.add_image(stack, name="other")
    page.form.subject.layers.choose(raw)
    page.run()
    qtbot.waitUntil(lambda: not page.session.runner.running, timeout=20_000)
    show = page.buttons.show_button
    assert not show.isVisibleTo(page), "nothing is doubted"
    page.session.result.report = LOST
    page._show_state()
    assert show.isVisibleTo(page) and loses_detail(LOST)
    result = page.session.run.result.layer
    result.data = np.full_like(stack, 100)  # a result that lost it
    show.click()
    name = "structure removed from raw"
    qtbot.waitUntil(lambda: name in viewer.layers, timeout=20_000)
    found = viewer.layers[name]
    assert isinstance(found.data, LazyArray) and found.data.shape == stack.shape, "of all planes, none made yet"
    assert main.currentWidget() is main.compare and raw.visible and not result.visible and not other.visible
    planes = [np.asarray(found.data[z]) for z in range(3)]
    assert planes[1][35:45, 35:45].min() > 0.5 > planes[0].max()
    np.testing.assert_array_equal(planes[1], structure_map(stack[1] - 100, np.full((80, 80), 100)))
    np.testing.assert_allclose(found.extent.world, raw.extent.world)
    assert found.colormap.colors[0][3] == 0, "the image is seen through it"
    main.compare.controls.difference_button.click()
    assert page.form.subject.layer.name == "raw", "what compares two layers is not the next one to be restored"
    whole = viewer.layers["raw - raw_denoised"]
    np.testing.assert_allclose(np.asarray(whole.data), stack - 100, atol=1e-4)
    np.testing.assert_allclose(whole.data[:, 40], stack[:, 40] - 100, atol=1e-4)
    cut = structure_map(stack[:, 40] - 100, np.full((3, 80), 100))
    np.testing.assert_array_equal(found.data[:, 40], cut, "a cut is a plane, which is looked at as it is seen")
    viewer.layers.remove(raw)
    page.show_lost()
    assert "gone" in page.buttons.words.text()


def test_of_lazy_stacks_the_plane_in_view_alone_is_read() -> None:
    read: list[int] = []

    class Counting:
        shape, dtype, ndim = (5, 300, 200), np.dtype(np.uint16), 3

        def __getitem__(self, index: Any) -> Any:
            pixels = np.zeros(self.shape, self.dtype)[index]
            read.append(pixels.size)
            return pixels

    for kind in (Difference, Structure):
        assert LazyArray(kind(Counting(), Counting()))[:, 7].shape == (5, 200)
    assert max(read) == 5 * 200


def test_a_map_in_blocks_is_the_map_of_the_plane() -> None:
    rng = np.random.default_rng(0)
    first, second = (rng.normal(0, 1, (1, 1100, 40)).astype(np.float32) for _ in range(2))
    layers = [_layer(one) for one in (first, second)]
    assert alike(*layers)
    found = np.asarray(whole_structure(*layers).data)[0]
    np.testing.assert_allclose(found, structure_map(first[0] - second[0], second[0]), atol=1e-5)
    assert not alike(layers[0], _layer(second[:, :-1])), "other pixels"
    assert not alike(layers[0], _layer(second, scale=(1, 2, 1))), "in another place"
    assert not alike(*(_layer(one[0]) for one in (first, second))), "one plane: the part in view is enough"


def _layer(pixels: Any, **given: Any) -> Any:
    from napari.layers import Image

    return Image(pixels, **given)


def test_what_is_told_of_a_run_means_something(main: Any) -> None:
    table, plot = main.restore.outcome.comparison.table, main.restore.outcome.plot
    main.restore.outcome.comparison.show_rows(
        Compared((("learned", 0.0, 0.01, 1.0), ("wiener", 2.5, 0.2, 0.9)), "learned")
    )
    assert [table.item(row, 1).text() for row in range(2)] == ["–", "2.5"], "cut off at 0: that is no error of 0"
    details = main.restore.outcome.details
    assert not details.isExpanded(), "what was found is folded"
    main.restore.outcome.say("written")
    assert not details.isExpanded()
    main.restore.outcome.say("too large", "warning")
    assert details.isExpanded(), "but not what is wrong"
    plot.clear_traces("change")
    plot.add([Measured(step, 0.1, 0.1 * step, 0.1 * step, 1e-3, 0.5, 1.0) for step in range(1, 4)])
    assert plot._curves["held out"].getData()[0] is None, "a loss that rises as the image gets better is not drawn"
    part, other = Region((0, 0), (2, 2)), Region((0, 2), (2, 4))
    shots = [Preview(step, part, np.array([[0, 2], [0, 2]]) * np.float32(size)) for step, size in ((1, 1.0), (2, 1.1))]
    assert change(*shots) == pytest.approx(100 * np.sqrt(0.02) / 1.1)
    assert change(shots[0], Preview(2, other, shots[1].pixels)) is None, "the user looks elsewhere"
    assert change(shots[0], Preview(2, part, np.zeros((2, 2), np.float32))) is None
    outcome = main.restore.outcome
    for shot in shots:
        outcome._compare(Pair(shot, np.zeros((2, 2))))
    assert plot.traces["change"].steps == [2] and plot._curves["change"].getData()[1] == pytest.approx(
        [12.856], abs=0.01
    )
    assert "still changes" in plot.plotItem.titleLabel.text and plot.getAxis("left").labelText == "change, %"


def texts(page: QWidget) -> list[str]:
    """Everything that a window says: on controls, in tooltips, in menus and lists."""
    found = [page.toolTip()]
    for each in page.findChildren(QWidget):
        found += [each.toolTip(), each.accessibleName()]
        if isinstance(each, QAbstractButton | QLabel):
            found.append(each.text())
        if isinstance(each, QMenu):
            found += [word for action in each.actions() for word in (action.text(), action.toolTip())]
        if hasattr(each, "itemText"):
            found += [each.itemText(index) for index in range(each.count())]
    return [text for text in found if text]


def test_the_window_speaks_no_shell(qtbot: Any, viewer: Any, main: Any, stack: Any) -> None:
    viewer.add_image(stack, name="one")
    page = main.restore
    page.form.advanced.fold.setChecked(True)
    page.form.editors["method"].choose("noise2void2")
    qtbot.waitUntil(lambda: not page.form.advanced._reader.running, timeout=20_000)
    said: set[str] = set()
    for verb in page.form.verb.buttons:
        page.form.verb.choose(verb)
        said |= set(texts(main))
    wrong = sorted(text for text in said if re.search(SHELL, text) and "napari_restore" not in text)
    assert wrong == []
    assert len(said) > 150
    assert not any(re.search(r"\b[Rr]aw\b", text) for text in said), "the measured image has one name"
    assert re.search(SHELL, "give --seed") and re.search(SHELL, "see `seed`")
