"""The runs of this window as a table, folded: to go back to one, or to discard it."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QHeaderView,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_restore.gui.parts.describe import describe_time
from napari_restore.gui.parts.folded import Folded
from napari_restore.gui.restore.history import Past
from napari_restore.gui.restore.session import Session

_COLUMNS: dict[str, tuple[str, Callable[[Past], str]]] = {
    "Run": ("The result's layer; of a run without one, the layer that the model has learned from.", lambda p: p.name),
    "Method": ("What made it.", lambda p: p.method),
    "Trained": (
        "How long was to be trained, and what was asked for afterwards; then how long its model was trained, in all.",
        lambda p: ", ".join(part for part in (p.effort, describe_time(p.seconds) if p.seconds else "") if part) or "–",
    ),
    "Gain": (
        "Estimated without the truth: how much nearer to it the result is than the measured image;\n"
        "or, where blur was undone, the error that is left.",
        lambda p: p.gain or ("–" if p.result is not None else "no image"),
    ),
}


class RunsPane(Folded):
    """What the runs of a session left, the newest on top; hidden until there is one."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__("Runs", parent)
        self._session = session
        self.table = QTableWidget(0, len(_COLUMNS))
        self.back = QPushButton("Go back to it")
        self.back.setToolTip("Show its result again; its model is then the one trained last. So does a double click.")
        self.drop = QPushButton("Discard")
        self.drop.setToolTip("Forget this run and take its layer away. Files in a folder of yours stay.")
        self.fold.setToolTip("What was tried here, with its estimated gain: to go back to, or to discard.")
        self._lay_out()
        session.kept.connect(self._show)
        session.changed.connect(self._allow)
        self.table.itemSelectionChanged.connect(self._allow)
        self.table.cellDoubleClicked.connect(lambda *_: self._go_back())
        self.back.clicked.connect(lambda _checked: self._go_back())
        self.drop.clicked.connect(lambda _checked: self._discard())
        self._show()

    @property
    def chosen(self) -> Past | None:
        """The run of the row that is selected."""
        rows = self.table.selectionModel().selectedRows()
        return self._session.past[-1 - rows[0].row()] if rows else None

    def _go_back(self) -> None:
        if self.chosen is not None:
            self._session.go_back(self.chosen)

    def _discard(self) -> None:
        if self.chosen is not None:
            self._session.discard(self.chosen)

    def _show(self) -> None:
        """A row a run; the one whose model is the one trained last is bold, and selected."""
        past = self._session.past
        self.setText(f"Runs · {len(past)}")
        self.setVisible(bool(past))
        self.table.setRowCount(len(past))
        for row, one in enumerate(reversed(past)):
            for column, (_, text) in enumerate(_COLUMNS.values()):
                item = QTableWidgetItem(text(one))
                item.setToolTip(one.name if column == 0 else item.text())
                font = item.font()
                font.setBold(one.model is self._session.model and one.run is self._session.run)
                item.setFont(font)
                self.table.setItem(row, column, item)
            if one.run is self._session.run:
                self.table.selectRow(row)
        rows = min(len(past), 5)
        self.table.setFixedHeight(self.table.horizontalHeader().sizeHint().height() + 2 + 20 * rows)
        self._allow()

    def _allow(self) -> None:
        idle = not self._session.runner.running and self.chosen is not None
        self.back.setEnabled(idle)
        self.drop.setEnabled(idle)

    def _lay_out(self) -> None:
        table, header = self.table, self.table.horizontalHeader()
        table.setHorizontalHeaderLabels(list(_COLUMNS))
        for column, (tip, _) in enumerate(_COLUMNS.values()):
            table.horizontalHeaderItem(column).setToolTip(tip)
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        table.verticalHeader().hide()
        table.verticalHeader().setDefaultSectionSize(20)
        table.setShowGrid(False)
        table.setAccessibleName("Runs")
        table.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        table.setWordWrap(False)
        table.setTabKeyNavigation(False)
        table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        buttons = QHBoxLayout()
        buttons.addWidget(self.back)
        buttons.addWidget(self.drop)
        buttons.addStretch(1)
        column = QVBoxLayout(self.inside)
        column.setContentsMargins(0, 0, 0, 4)
        column.setSpacing(4)
        column.addWidget(table)
        column.addLayout(buttons)
