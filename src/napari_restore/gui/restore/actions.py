"""The buttons and the progress bar, always in sight below the scroll area."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable
from functools import partial
from html import escape

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QIcon, QImage, QPixmap
from qtpy.QtWidgets import QHBoxLayout, QLabel, QMenu, QPushButton, QVBoxLayout, QWidget

from napari_restore.gui.parts.bar import Bar
from napari_restore.gui.parts.colours import main_button, progress_bar
from napari_restore.gui.parts.describe import Status, breakable, shortened, unbroken
from napari_restore.gui.parts.focus import State
from napari_restore.gui.parts.named import with_key
from napari_restore.gui.restore.models import Known
from napari_restore.verbs import VERBS

MORE = 10
"""Seconds that a model is trained longer at a click."""

_RUN = "Alt+Return"

_ICON_SIDE = 48
"""Pixels of a model's picture in the menu: enough to see the noise of one half and the other without."""

_TIP_SIDE = 192
_PICTURED = f"QMenu {{ icon-size: {_ICON_SIDE}px; }} QMenu::item {{ min-height: {_ICON_SIDE}px; margin: 2px; }}"
"""napari's own style sheet makes menu entries as high as a line of text, whatever their icon."""


class Actions(QWidget):  # type: ignore[misc]
    """The main button, Cancel, Train, Restore, what is saved; and how far it is."""

    run = Signal()
    more = Signal()
    train = Signal()
    restore = Signal()
    restore_with_file = Signal()
    distill = Signal()
    restore_with_recent = Signal(str)
    recent_wanted = Signal()
    stop = Signal()
    save = Signal()
    save_result = Signal()
    write_elsewhere = Signal()
    copy = Signal(str)
    report = Signal()
    check = Signal()
    export = Signal()
    show_lost = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.words = QLabel()
        self.said = QLabel()
        self.show_button = _button(
            "Show where",
            "Where detail may be lost, in orange on the measured image: in the tab Compare.",
            self.show_lost,
        )
        self.bar = Bar()
        self._tip = self._wrong = self._whose = ""
        self._status = Status(0.0, "")
        self.run_button = _button("", "", self.run)
        self.stop_button = _button("Cancel", "Stop at the next step or tile. What is there is kept.", self.stop)
        self.more_button = _button(
            f"{MORE} s more",
            f"Train the model {MORE} s longer on the image of the last run, also after Cancel, and restore that anew.",
            self.more,
        )
        self.train_button = _button("Tra&in only", "Learn from this image, and keep the model.", self.train)
        self.restore_button = QPushButton("Restore with…")
        self.restore_button.setShortcut("Alt+6")  # no letter of its words is free
        self.restore_button.setToolTip("Restore this image with a model that exists already (Alt+6).")
        self.save_button = _button("Save mo&del…", "Write the model to a file, for other images or scripts.", self.save)
        self.save_result_button = _button("Save result…", "Write the last result to a file.", self.save_result)
        self.elsewhere_button = _button(
            "Write elsewhere…",
            "Make the result in another folder, with the model as it is trained.",
            self.write_elsewhere,
        )
        self.copy_button = QPushButton("⋯")
        self.copy_button.setToolTip(
            "What the main button would do, to paste into a script or a terminal; a report of the last result;\n"
            "a check of the model, and the model for other programs."
        )
        self._fill_menu()
        self._fill_copy_menu()
        for key, button in (("Alt+0", self.more_button), ("Alt+7", self.copy_button), ("Alt+8", self.show_button)):
            with_key(button, key)
        self._lay_out()
        self.show_state("idle", has_layer=False, has_model=False, has_result=False, can_go_on=False)
        self.show_unwritten(False)
        self.show_doubt(False)
        self.show_status(Status(0.0, "Ready"))

    def show_verb(self, verb: str, *, layers: int = 1) -> None:
        """Say what the main button does, and to how many layers."""
        self.run_button.setText(f"{VERBS[verb].label} {layers} layers" if layers > 1 else VERBS[verb].label)
        self._tip = VERBS[verb].tip
        with_key(self.run_button, _RUN, tip=self._wrong or self._tip)

    def show_state(
        self,
        state: State,
        *,
        has_layer: bool,
        has_model: bool,
        has_result: bool,
        can_go_on: bool,
        wrong: str = "",
    ) -> None:
        """Enable what can be done now; ``wrong`` says which setting keeps it from training."""
        idle = state == "idle"
        self.restore_button.setEnabled(idle and has_layer)
        for button in (self.run_button, self.train_button):
            button.setEnabled(idle and has_layer and not wrong)
        self._wrong = wrong
        with_key(self.run_button, _RUN, tip=wrong or self._tip)
        self.copy_button.setEnabled(has_layer and not wrong)
        self.more_button.setEnabled(idle and can_go_on)
        self.save_button.setEnabled(idle and has_model)
        self.save_result_button.setEnabled(idle and has_result)
        self._with_last.setEnabled(has_model)
        self._distill.setEnabled(has_model)
        self.stop_button.setEnabled(state == "running")
        self.stop_button.setText("Cancelling…" if state == "stopping" else "Cancel")

    def show_unwritten(self, unwritten: bool) -> None:
        """Offer to make a result elsewhere, in place of saving one that there is not."""
        self.save_result_button.setVisible(not unwritten)
        self.elsewhere_button.setVisible(unwritten)
        for button in (self.save_result_button, self.elsewhere_button):  # one of them is in sight
            with_key(button, "Alt+9")

    def show_doubt(self, doubt: bool) -> None:
        """Offer to show where detail may be lost."""
        self.show_button.setVisible(doubt)

    def show_status(self, status: Status) -> None:
        """Move the bar; a fraction of None makes it busy."""
        self.bar.setRange(0, 0 if status.fraction is None else 1000)
        if status.fraction is not None:
            self.bar.setValue(round(1000 * min(max(status.fraction, 0.0), 1.0)))
        self._status = status
        named = not self._whose or f"{self._whose}: " in status.text  # a failure may name its layer itself
        self.words.setText(unbroken(status.text if named else f"{self._whose}: {status.text}"))

    def show_words(self, text: str) -> None:
        """Say what is of no run."""
        self._whose = ""
        self.show_status(Status(0.0, text))

    def show_said(self, text: str) -> None:
        """What came of a button that begins no run: saved, copied, checked; nothing where that is of the past."""
        self.said.setText(unbroken(breakable(text)))
        self.said.setVisible(bool(text))

    def show_whose(self, name: str) -> None:
        """Name the layer that the words are of; nothing where it is the one that is chosen."""
        self._whose = shortened(name)
        self.show_status(self._status)

    def set_colours(self, *, accent: str, text: str, trough: str) -> None:
        """Make the main button and the progress the first things seen."""
        self.run_button.setStyleSheet(main_button(accent=accent, text=text))
        self.bar.setStyleSheet(progress_bar(accent=accent, trough=trough))

    def _fill_menu(self) -> None:
        menu = QMenu(self.restore_button)
        self._with_last = menu.addAction("the model trained last")
        self._with_last.triggered.connect(self.restore)
        self._with_file = menu.addAction("a model file…")
        self._with_file.triggered.connect(self.restore_with_file)
        self.recent_menu = menu.addMenu("Recent models")
        self.recent_menu.setToolTipsVisible(True)
        self.recent_menu.aboutToShow.connect(self.recent_wanted)
        menu.addSeparator()
        self._distill = menu.addAction("Make a faster copy of the model")
        self._distill.setToolTip(VERBS["distill"].tip)
        self._distill.triggered.connect(self.distill)
        self.restore_button.setMenu(menu)

    def show_recent(self, models: Iterable[Known]) -> None:
        """List the models used last, with what each was trained on, in words and as a picture."""
        self.recent_menu.clear()
        for known in models:
            action = self.recent_menu.addAction(known.label.replace("&", "&&"))
            picture = _pixmap(known.picture)
            if picture is not None:
                action.setIcon(QIcon(picture))
            action.setToolTip(_tip(known, pictured=picture is not None))
            action.triggered.connect(partial(self._with_recent, str(known.path)))
        pictured = any(not action.icon().isNull() for action in self.recent_menu.actions())
        self.recent_menu.setStyleSheet(_PICTURED if pictured else "")
        if self.recent_menu.isEmpty():
            self.recent_menu.addAction("None yet: a model that is saved or opened is listed here").setEnabled(False)

    def show_model(self, name: str = "") -> None:
        """Say which model the first entry of the menu restores with: one taken from a file, or the last one trained."""
        self._with_last.setText(f"the model {name}" if name else "the model trained last")

    def _with_recent(self, path: str, _checked: bool = False) -> None:
        self.restore_with_recent.emit(path)

    def _fill_copy_menu(self) -> None:
        menu = QMenu(self.copy_button)
        for words in ("script", "command"):
            menu.addAction(f"Copy as {words}").triggered.connect(partial(self._copy, words))
        menu.addSeparator()
        self.report_action = menu.addAction("Save a report…")
        self.report_action.setToolTip("A page about the last result, for a supplement: noise, error bars, guards.")
        self.report_action.triggered.connect(lambda _checked: self.report.emit())
        self.check_action = menu.addAction("Check for made-up structure")
        self.check_action.setToolTip(
            "Guards: noise alone is to come back flat, planted structures in proportion, and the image is to bear out\n"
            "what the model makes of it."
        )
        self.check_action.triggered.connect(lambda _checked: self.check.emit())
        self.export_action = menu.addAction("")
        self.show_exporting(False)
        self.export_action.triggered.connect(lambda _checked: self.export.emit())
        self.copy_button.setMenu(menu)
        self.copy_button.setFixedWidth(36)
        self.copy_button.setAccessibleName("Copy as script or command, save a report, check or export the model")

    def show_exporting(self, exporting: bool) -> None:
        """Offer to export the model, or to cancel that."""
        self.export_action.setText("Cancel the export" if exporting else "Export for other programs…")
        package = "The model trained last as a package of the BioImage Model Zoo, for Fiji, ilastik and others."
        self.export_action.setToolTip("What is written of it is removed." if exporting else package)

    def _copy(self, words: str, _checked: bool = False) -> None:
        self.copy.emit(words)

    def _lay_out(self) -> None:
        for label in (self.words, self.said):
            label.setWordWrap(True)  # a long line must not make the dock wide
            label.setTextFormat(Qt.TextFormat.PlainText)
        self.said.hide()
        above = (self.run_button, self.stop_button, self.more_button, self.save_result_button, self.elsewhere_button)
        for button in above:
            button.setMinimumHeight(32)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 4, 8, 8)
        layout.setSpacing(6)
        said = QHBoxLayout()
        said.addWidget(self.words, 1)
        said.addWidget(self.show_button)
        layout.addLayout(said)
        layout.addWidget(self.bar)
        layout.addWidget(self.said)
        for buttons in (above, (self.train_button, self.restore_button, self.save_button, self.copy_button)):
            row = QHBoxLayout()
            row.setSpacing(6)
            for button in buttons:
                row.addWidget(button, 0 if button in (self.copy_button, self.more_button) else 1)
            layout.addLayout(row)


def _button(text: str, tip: str, signal: Signal) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tip)
    button.clicked.connect(lambda _checked: signal.emit())
    return button


def _pixmap(png: bytes | None) -> QPixmap | None:
    """A model's picture as large as the menu shows it; None where Qt finds it broken."""
    image = QImage.fromData(png, "PNG") if png is not None else QImage()
    if image.isNull():
        return None
    return QPixmap.fromImage(image).scaled(_ICON_SIDE, _ICON_SIDE, Qt.AspectRatioMode.KeepAspectRatio)


def _tip(known: Known, *, pictured: bool) -> str:
    """What a model was trained on, its picture enlarged, and where it lies."""
    data = b64encode(known.picture).decode() if known.picture is not None and pictured else ""
    picture = f'<p><img src="data:image/png;base64,{data}" width="{_TIP_SIDE}"></p>' if data else ""
    before = "<p>Left of the line as it was measured, right of it as the model restores it.</p>" if data else ""
    return f"{picture}<p>{escape(known.words)}</p>{before}<p>{escape(str(known.path))}</p>"
