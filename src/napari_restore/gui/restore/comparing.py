"""Is it better than what needs no learning? Numbers after a run, and the simpler results as layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from napari.layers import Image as ImageLayer
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Qt, Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QMenu,
    QPushButton,
    QSizePolicy,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_restore.core.events import Compared
from napari_restore.core.geometry import finer_grid
from napari_restore.core.region import Region
from napari_restore.gui.parts.describe import Status
from napari_restore.gui.parts.layers import insert_above, looks_of, mixes, part_of_layer
from napari_restore.gui.parts.runner import Ended, Runner
from napari_restore.gui.restore.in_view import region_in_view
from napari_restore.gui.restore.session import Session, world_in_view
from napari_restore.gui.restore.work import Engine, Made, comparing
from napari_restore.sources.image import Image

_IN_VIEW = {2: 512, 3: 128}
"""Pixels along Y and X of the part in view that baselines are made of, where the method looks along so many axes."""

_MOST = 2**26
"""Pixels of an image that baselines are made of whole: they are in memory, all at once."""

_COLUMNS = {
    "": "",
    "error": "Estimated error in grey values (SURE): how far the result, as the instrument would see it, is from the\n"
    "image before its noise. Details that the instrument removed do not count.\n"
    "A dash: the estimate came out below 0, so that the error is too small to be told, or less noise is there than was "
    "given.",
    "details lost": "What is left of the image's structure in the residual: 0 where it is noise alone.",
    "noise taken": "What was taken away, over the noise: near 1; less where noise was kept, more where structure went.",
}


class ComparePane(QWidget):  # type: ignore[misc]
    """A table of the learned result and simpler ones, and a button that adds these as layers.

    Attributes
    ----------
    wanted
        Signal: add the baselines as layers; True for the whole image, False for the part in view.
    """

    wanted = Signal(bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.table = QTableWidget(0, len(_COLUMNS))
        self.button = QPushButton("Compare with…")
        menu = QMenu(self.button)
        self.in_view = menu.addAction("baselines, of the part in view")
        self.in_view.triggered.connect(lambda _: self.wanted.emit(False))
        self.whole = menu.addAction("baselines, of the whole image")
        self.whole.triggered.connect(lambda _: self.wanted.emit(True))
        self.button.setMenu(menu)
        self._lay_out()
        self.clear()

    def show_rows(self, judged: Compared) -> None:
        """Show numbers, the best row in bold."""
        self.table.setRowCount(len(judged.rows))
        for row, (name, *numbers) in enumerate(judged.rows):
            error, *others = numbers
            texts = [name.replace("_", " "), f"{error:.3g}" if error else "–", *(f"{number:.3g}" for number in others)]
            for column, text in enumerate(texts):
                item = QTableWidgetItem(text)
                font = item.font()
                font.setBold(name == judged.best)
                item.setFont(font)
                if column:
                    item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                self.table.setItem(row, column, item)
        height = self.table.horizontalHeader().sizeHint().height() + 2
        self.table.setFixedHeight(height + sum(self.table.rowHeight(i) for i in range(len(judged.rows))))
        self.table.show()
        self.show()

    def offer(self, *, whole: bool) -> None:
        """There is a result to compare with baselines; ``whole`` where all of the image is not too much."""
        self.whole.setEnabled(whole)
        self.button.setEnabled(True)
        self.show()

    def clear(self) -> None:
        """Forget the last run."""
        self.table.hide()
        self.hide()

    def _lay_out(self) -> None:
        self.table.setHorizontalHeaderLabels(list(_COLUMNS))
        for column, tip in enumerate(_COLUMNS.values()):
            self.table.horizontalHeaderItem(column).setToolTip(tip)
        header = self.table.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.table.verticalHeader().hide()
        self.table.verticalHeader().setDefaultSectionSize(20)
        self.table.setShowGrid(False)
        self.table.setAccessibleName("Judged without the truth")
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.table.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.table.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.table.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.button.setToolTip("Add what simpler ways make of this image as layers, under the result.")
        row = QHBoxLayout()
        row.addWidget(QLabel("Judged without the truth"), 1)
        row.addWidget(self.button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addLayout(row)
        column.addWidget(self.table)


class Baselines(QObject):  # type: ignore[misc]
    """Makes the baselines of a session's last run in a thread, and adds them to the viewer.

    Attributes
    ----------
    said
        Signal: words for the user and their level.
    changed
        Signal: work has begun or ended.
    status
        Signal: how far it is.
    """

    said = Signal(str, str)
    changed = Signal()
    status = Signal(object)

    def __init__(self, viewer: Any, engine: Engine, session: Session, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._engine = engine
        self._session = session
        self._of: tuple[Any, Image, Region, Mapping[str, bool]] | None = None
        self.runner = Runner(self)
        self.runner.received.connect(self._tell)
        self.runner.ended.connect(self._show)

    def can_be_whole(self) -> bool:
        """Whether all of the last run's image is not too much."""
        run = self._session.run
        return run is not None and int(np.prod(run.image.shape)) <= _MOST

    def make(self, whole: bool) -> None:
        """Begin with the last run's image, all of it or the part in view."""
        run, model = self._session.run, self._session.model
        if run is None or model is None or self.runner.running:
            return
        spatial, centred = centring(model)
        position = run.raw.world_to_data(world_in_view(self._viewer))
        side = _IN_VIEW[max(2, len(spatial))]
        region = region_in_view(run.image, position, rgb=bool(run.raw.rgb), side=side)
        region = Region.of_shape(run.image.shape) if whole else deepened(region, run.image, spatial)
        self._of = (run.raw, run.image, region, centred)
        self.runner.start(comparing(self._engine, run.image, model, region))
        self.status.emit(Status(None, "Making the baselines"))
        self.changed.emit()

    def stop(self) -> None:
        """Give up the one that is being made; those that are whole become layers."""
        self.runner.stop()
        self.changed.emit()

    def abandon(self) -> None:
        """The viewer is going away."""
        self.runner.abandon()

    def _tell(self, made: list[Made]) -> None:
        """Which one is there already; how long the next one takes is not known."""
        self.status.emit(Status(None, f"Making the baselines: {made[-1].label} done"))

    def _show(self, ended: Ended) -> None:
        stopped = self.runner.flag.is_set()
        self.status.emit(None)
        if ended.failure is not None:
            self.said.emit(ended.failure.message, "error")
        elif not ended.result and stopped:
            self.said.emit("Stopped: no baseline was whole yet.", "warning")
        elif not ended.result:
            self.said.emit("This model undoes no operator: there are no baselines for it.", "info")
        elif self._of is not None:
            for layer in baseline_layers(*self._of, ended.result):
                insert_above(self._viewer, layer, self._of[0])
            self.said.emit(f"Added as layers: {', '.join(ended.result)}.", "info")
        self.changed.emit()  # now alone: the box of layers, enabled again, follows what is selected


def centring(model: Any) -> tuple[str, dict[str, bool]]:
    """The axes a model looks along, and for each whether a pixel lies in the middle of its finer ones."""
    spatial = str(model.method.spatial)
    return spatial, dict(zip(spatial, model.method.centred, strict=True))


def deepened(region: Region, image: Image, spatial: str) -> Region:
    """The region through the whole stack, where the model looks along Z."""
    if "Z" not in spatial or "Z" not in image.axes:
        return region
    at = image.axes.index("Z")
    start, stop = list(region.start), list(region.stop)
    start[at], stop[at] = 0, image.shape[at]
    return Region(tuple(start), tuple(stop))


def baseline_layers(
    raw: Any, image: Image, region: Region, centred: Mapping[str, bool], found: Mapping[str, NDArray[Any]]
) -> list[ImageLayer]:
    """A layer for each, over that part of the raw layer that it was made of, and looking like it."""
    place = part_of_layer(raw, region)
    axes = image.axes[: place.ndim]
    layers = []
    for label, pixels in found.items():
        finer = zip(image.axes, pixels.shape, region.shape, strict=True)
        rate = {axis: fine // coarse for axis, fine, coarse in finer}
        here = place.on_grid(*finer_grid(axes, rate, centred))
        looks = {**looks_of(raw), **here.kwargs, "name": f"{raw.name} {label}"}
        looks["visible"] = not mixes(raw)  # else it would be added to the result
        shown = np.round(pixels).clip(0, 255).astype(np.uint8) if looks["rgb"] else pixels
        layers.append(ImageLayer(shown, multiscale=False, **looks))
    return layers
