"""Regions are measured from the tab "Compare": a table in a dock, a click goes to the region, and it can be saved."""

import csv

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_restore.gui.compare.widget import CompareWidget

PLACE = {"scale": (3.0, 0.5, 0.5), "translate": (5, 6, 7), "axis_labels": ("z", "y", "x")}


@pytest.fixture
def window(make_napari_viewer_proxy):
    return make_napari_viewer_proxy()


@pytest.fixture
def tab(window, qtbot):
    """A stack and its result, brighter in a square of the second plane."""
    restored = np.full((3, 96, 112), 100, np.float32)
    raw = restored + np.random.default_rng(0).normal(0, 5, restored.shape).astype(np.float32)
    restored[1, 8:24, 8:24] += 10
    window.add_image(raw, name="raw", **PLACE)
    window.add_image(restored, name="raw_denoised", **PLACE)
    widget = CompareWidget(window)
    window.window.add_dock_widget(widget, name="Compare")
    yield widget
    widget.leave()


def labels():
    found = np.zeros((96, 112), np.uint8)
    found[8:24, 8:24], found[28:38, 30:44] = 3, 7
    return found


def measured(tab, qtbot):
    tab.controls.regions_button.click()
    assert not tab.controls.regions_button.isEnabled(), "one at a time"
    qtbot.waitUntil(tab.controls.regions_button.isEnabled, timeout=20_000)
    return tab.regions.table


def test_labels_become_a_table_and_a_click_goes_to_the_region(window, tab, qtbot, tmp_path):
    layer = window.add_labels(labels(), name="cells", scale=(0.5, 0.5), translate=(6, 7))
    tab.controls.regions.setCurrentText("cells")
    table = measured(tab, qtbot)
    assert "1 of 6 regions differ" in tab.controls.message.text() == table.summary.text()
    first = [table.model.index(0, n).data() for n in range(table.model.columnCount())]
    assert first[:3] == ["3", "z1", "256"] and first[-1].endswith("!")
    assert table.model.index(0, 0).data(Qt.ItemDataRole.ForegroundRole) is not None
    assert table.model.index(1, 0).data(Qt.ItemDataRole.ForegroundRole) is None
    window.dims.set_current_step(0, 2)
    table.view.selectRow(0)
    assert (window.dims.current_step[0], layer.selected_label) == (1, 3)
    table.save(str(tmp_path / "cells"))
    with (tmp_path / "cells.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["flagged"] for row in rows] == ["True", *["False"] * 5]
    table.save(str(tmp_path / "nowhere" / "cells.csv"))
    assert "could not be written" in table.summary.text()
    window.layers.remove(layer)
    assert tab.controls.regions.layer is None
    table.view.selectRow(2)


def test_squares_and_shapes_of_another_scale(window, tab, qtbot):
    table = measured(tab, qtbot)
    assert len(table.model.rows) == 126 and table.model.rows[0].flagged
    corners = [[1, 8, 8], [1, 8, 23], [1, 23, 23], [1, 23, 8]]
    window.add_shapes([np.add(np.multiply(corners, (3, 0.5, 0.5)), (5, 6, 7))], shape_type="polygon", name="drawn")
    tab.controls.regions.setCurrentText("drawn")
    assert measured(tab, qtbot) is table, "the same dock"
    (row,) = table.model.rows
    assert row.area == pytest.approx(256, abs=40) and row.flagged


def test_what_cannot_be_measured_is_said(window, tab, qtbot):
    window.add_labels(np.ones((7, 7), np.uint8), name="small")
    window.add_shapes(name="none")
    tab.controls.regions.setCurrentText("small")
    tab.measure_regions()
    qtbot.waitUntil(lambda: "labels of shape (7, 7)" in tab.controls.message.text(), timeout=20_000)
    tab.controls.regions.setCurrentText("none")
    tab.measure_regions()
    assert "holds no shape" in tab.controls.message.text()
    tab.controls.regions.setCurrentIndex(0)
    tab.measure_regions()
    tab.leave()
    qtbot.wait(300)
    assert tab.regions.table is None
