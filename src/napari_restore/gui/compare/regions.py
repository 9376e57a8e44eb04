"""Regions of two layers compared: a table in a dock, linked to the layer that the regions are of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from napari.layers import Labels, Shapes
from napari.qt.threading import create_worker
from qtpy.QtCore import QAbstractTableModel, QModelIndex, QObject, Qt, Signal
from qtpy.QtGui import QBrush, QColor
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QFileDialog,
    QLabel,
    QPushButton,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from napari_restore.core.errors import RestoreError
from napari_restore.gui.parts.colours import Colours
from napari_restore.gui.parts.endings import TABLE, ending, taken
from napari_restore.gui.restore.choices import let_shrink
from napari_restore.verbs.measuring import Measured, write_table

GRID = 16
_COLUMNS = (
    ("Region", "The number of the label, or of the square."),
    ("Plane", "Where it is, where labels are of one plane."),
    ("Pixels", "That were measured."),
    ("Mean of A", "Measured, in units of the image."),
    ("Mean of B", "Restored."),
    ("B - A", "The difference of the means."),
    ("Noise", "What the noise alone makes the mean of A differ from the truth: one standard error."),
    ("z", "The difference in standard errors; from 3 on more than the noise was changed."),
)
_Z = len(_COLUMNS) - 1


class RegionChoice(QComboBox):  # type: ignore[misc]
    """Squares, or the labels and shapes in the viewer."""

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self._viewer = viewer
        self.setAccessibleName("Regions")
        self.setToolTip("What is measured: squares all over the image, or the regions of a labels or shapes layer.")
        let_shrink(self)
        self.refill()

    @property
    def layer(self) -> Any:
        """The chosen layer; None for squares."""
        return self.currentData()

    def refill(self, *_: Any) -> None:
        """List what there is now; what was chosen stays, if it is still there."""
        chosen = self.layer
        self.clear()
        self.addItem(f"Squares of {GRID} pixels", None)
        for layer in self._viewer.layers:
            if isinstance(layer, Labels | Shapes):
                self.addItem(layer.name, layer)
                if layer is chosen:
                    self.setCurrentIndex(self.count() - 1)


class Regions(QObject):  # type: ignore[misc]
    """Measures regions in a thread, and shows what comes of it.

    Attributes
    ----------
    said
        Signal: words about it.
    ended
        Signal: the next ones can be measured.
    """

    said = Signal(str)
    ended = Signal()

    def __init__(self, viewer: Any, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._asked: Any = None
        self.table: RegionTable | None = None

    def measure(self, first: Any, second: Any, regions: Any) -> bool:
        """Compare the means of the regions of A and B. False, and it is said, if it cannot be."""
        try:
            drawn = None if regions is None else _drawn(regions, first)
        except (ValueError, IndexError) as error:
            self.said.emit(f"{regions.name} does not fit {first.name}: {error}")
            return False
        self._asked = (regions,)
        self.said.emit("Measuring…")
        worker = create_worker(_measured, first, second, drawn)
        worker.returned.connect(self._take)
        worker.errored.connect(self._fail)
        worker.start()
        return True

    def abandon(self) -> None:
        """The viewer is going away: what is still being measured is dropped."""
        self._asked = None

    def _take(self, rows: list[Measured] | str) -> None:
        if self._asked is None:
            return
        if isinstance(rows, str):
            self.said.emit(rows)
            self.ended.emit()
            return
        if self.table is None:
            self.table = RegionTable(self._viewer)
            self.table.destroyed.connect(self._forget)
            self._viewer.window.add_dock_widget(self.table, name="Regions", area="bottom")
        self.table.show_rows(rows, *self._asked)
        self.said.emit(self.table.summary.text())
        self.ended.emit()

    def _fail(self, error: Exception) -> None:
        if self._asked is not None:
            self.said.emit(f"They could not be measured: {error}")
            self.ended.emit()

    def _forget(self, *_: Any) -> None:
        self.table = None


def _measured(first: Any, second: Any, drawn: Any) -> list[Measured] | str:
    """The regions, or why they cannot be measured."""
    from napari_restore import measure

    try:
        return measure(first, second, drawn, grid=GRID if drawn is None else None)
    except RestoreError as error:  # what a worker raises is raised once more, in napari's own way
        return str(error)


def _drawn(regions: Any, image: Any) -> Any:
    """Labels in the pixels of the image: shapes may lie in a layer with another scale."""
    if isinstance(regions, Labels):
        return regions.data
    level = image.data[0] if image.multiscale else image.data
    shape = level.shape[: image.ndim]
    places = [[image.world_to_data(regions.data_to_world(corner)) for corner in each] for each in regions.data]
    if not places:
        raise ValueError("it holds no shape")
    return Shapes(places, shape_type=list(regions.shape_type)).to_labels(labels_shape=shape)


class RegionTable(QWidget):  # type: ignore[misc]
    """The regions, those that differ most first; a click goes there, and the table can be saved."""

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self._viewer = viewer
        self._layer: Any = None
        self.model = _Rows(self)
        self.view = QTableView()
        self.summary = QLabel()
        self.save_button = QPushButton("&Save as CSV…")
        self.view.setModel(self.model)
        self.view.setAccessibleName("Regions, measured and restored")
        self.view.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.view.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.view.verticalHeader().hide()
        self.summary.setWordWrap(True)
        self.summary.setTextFormat(Qt.TextFormat.PlainText)
        column = QVBoxLayout(self)
        for widget in (self.summary, self.view, self.save_button):
            column.addWidget(widget)
        self.save_button.clicked.connect(lambda _: self.save())
        self.view.selectionModel().currentRowChanged.connect(lambda now, _: self.go_to(now.row()))

    def show_rows(self, rows: Sequence[Measured], layer: Any) -> None:
        """Other regions, of a layer or, where that is None, squares."""
        self._layer = layer
        self.model.flagged = QColor(Colours.of(self._viewer).error)
        self.model.take(rows)
        flagged = sum(row.flagged for row in rows)
        self.summary.setText(
            f"{flagged} of {len(rows)} regions differ by 3 standard errors or more: measure those in A."
            if flagged
            else f"{len(rows)} regions: none differs by more than the noise explains."
        )
        self.view.resizeColumnsToContents()

    def go_to(self, number: int) -> None:
        """Show the plane of a row, and choose its label."""
        if not 0 <= number < len(self.model.rows):
            return
        row = self.model.rows[number]
        if isinstance(self._layer, Labels) and self._layer in self._viewer.layers:
            self._layer.selected_label = row.label
        names = [str(name).lower() for name in self._viewer.dims.axis_labels]
        for name, place in (("t", row.t), ("z", row.z_plane)):
            if place is not None and name in names and names.index(name) in self._viewer.dims.not_displayed:
                self._viewer.dims.set_current_step(names.index(name), place)

    def save(self, path: str | None = None) -> None:
        """Write all rows to a file that is asked for."""
        name = path or QFileDialog.getSaveFileName(self, "Save the table", "regions.csv", "Table (*.csv)")[0]
        if not name:
            return
        file = ending(name, *TABLE)
        if refused := taken(file, name):
            self.summary.setText(refused)
            return
        try:
            write_table(self.model.rows, file)
        except OSError as error:
            self.summary.setText(f"{file} could not be written: {error.strerror or error}.")
        else:
            self.summary.setText(f"Saved as {file}.")


class _Rows(QAbstractTableModel):  # type: ignore[misc]
    """A model, and not a table of items: there may be ten thousand squares."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.rows: list[Measured] = []
        self.flagged = QColor()

    def take(self, rows: Sequence[Measured]) -> None:
        self.beginResetModel()
        self.rows = sorted(rows, key=lambda row: -abs(row.z) if np.isfinite(row.z) else np.inf)
        self.endResetModel()

    def rowCount(self, parent: QModelIndex | None = None) -> int:  # noqa: N802
        return 0 if parent is not None and parent.isValid() else len(self.rows)

    def columnCount(self, parent: QModelIndex | None = None) -> int:  # noqa: N802
        return len(_COLUMNS)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = 0) -> Any:  # noqa: N802
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole:
            return _COLUMNS[section][0]
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.ToolTipRole:
            return _COLUMNS[section][1]
        return None

    def data(self, index: QModelIndex, role: int = 0) -> Any:
        row = self.rows[index.row()]
        if role == Qt.ItemDataRole.DisplayRole:
            return _cells(row)[index.column()]
        if role == Qt.ItemDataRole.ForegroundRole and row.flagged and self.flagged.isValid():
            return QBrush(self.flagged)
        return None


def _cells(row: Measured) -> tuple[str, ...]:
    places = {"c": row.channel, "t": row.t, "z": row.z_plane}
    numbers = (f"{v:.5g}" for v in (row.raw, row.restored))
    return (
        str(row.label),
        " ".join(f"{name}{number}" for name, number in places.items() if number is not None),
        str(row.area),
        *numbers,
        f"{row.difference:+.3g}",
        f"± {row.standard_error:.2g}",
        f"{row.z:+.1f}{' !' if row.flagged else ''}",
    )
