"""What a batch is of: a folder, a model, and where the results go."""

from __future__ import annotations

from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QGridLayout,
    QHBoxLayout,
    QLineEdit,
    QMenu,
    QPushButton,
    QWidget,
)

from napari_restore.gui.parts.describe import describe_time
from napari_restore.gui.parts.named import label_of
from napari_restore.gui.parts.paths import PathLine
from napari_restore.gui.parts.question import Question
from napari_restore.gui.parts.remembered import Remembered
from napari_restore.gui.restore.choices import let_shrink
from napari_restore.gui.restore.session import Session
from napari_restore.gui.restore.verbs import seconds_of
from napari_restore.store.names import fitting

_MODEL_FILES = "Models (*.safetensors *.zip)"
_RESULTS = "restored"
"""What the folder of the results is called inside that of the images, unless the user chooses another."""

_LAST = "the model trained last"

_BESIDE = 76
"""Pixels of the button that trains: its word, and the arrow that says that it has a menu."""

_TYPES = {"auto": "As each image is", "tiff": "OME-TIFF", "zarr": "OME-Zarr"}
"""What results can be, as ``restore_folder`` calls it."""


class ModelChoice(QComboBox):  # type: ignore[misc]
    """A model file, or the model that was trained last.

    Attributes
    ----------
    changed
        Signal: it is another one.
    """

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session: Session | None = None
        self.addItem("A model file…")
        self.setPlaceholderText("choose a model")
        self.setCurrentIndex(-1)
        let_shrink(self)
        self.setToolTip("What to restore with: a file saved by the tab Restore, or elsewhere by this program.")
        self.activated.connect(self._choose)

    def share(self, session: Session) -> None:
        """Offer the model that was trained last in another tab."""
        self._session = session
        session.changed.connect(self._offer)
        self._offer()

    def use(self, path: str | Path) -> None:
        """Choose a file; those chosen before stay in the list."""
        index = self.findData(str(path))
        if index < 0:
            index = self.count() - 1
            self.insertItem(index, Path(path).name, str(path))
            self.setItemData(index, str(path), Qt.ItemDataRole.ToolTipRole)
        self.setCurrentIndex(index)
        self.changed.emit()

    @property
    def model(self) -> Any:
        """A path, a model, or None where none is chosen."""
        if self.currentText() == _LAST and self.currentData() is None:
            return self._session.model if self._session is not None else None
        return self.currentData()

    def _offer(self) -> None:
        """The model trained last is in the list while there is one: its run may be discarded."""
        there = self._session is not None and self._session.model is not None
        index = self.findText(_LAST)
        if there == (index >= 0):
            return
        if there:
            self.insertItem(0, _LAST)
            if self.currentIndex() < 0:
                self.setCurrentIndex(0)
        else:
            chosen = self.currentIndex()
            self.removeItem(index)
            self.setCurrentIndex(-1 if chosen == index else chosen - 1)
        self.changed.emit()

    def _choose(self, index: int) -> None:
        if index < self.count() - 1:
            self.changed.emit()
            return
        path, _ = QFileDialog.getOpenFileName(self, "Restore with a model", "", _MODEL_FILES)
        if path:
            self.use(path)
        else:
            self.setCurrentIndex(-1)
            self.changed.emit()


class BatchForm(QWidget):  # type: ignore[misc]
    """Asks for what ``restore_folder`` takes; begins with what was chosen last.

    Attributes
    ----------
    changed
        Signal: something else is asked for.
    listed
        Signal: other images, or other files among them.
    train_wanted
        Signal: train a model on these images, with an effort.
    """

    changed = Signal()
    listed = Signal()
    train_wanted = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._remembered = Remembered("batch")
        self._suggested = ""
        self.folder = PathLine(
            "The images: each file and each Zarr in this folder is restored by itself.",
            title="A folder with images",
            mode="d",
        )
        self.pattern = QLineEdit(self._remembered.text("pattern", "*"))
        self.model = ModelChoice()
        self.train = QPushButton("Trai&n")
        self.results = PathLine(
            "Where the results go, as NAME_denoised: OME-TIFF for TIFF, OME-Zarr for all else. It is made where it is\n"
            "missing. An image is never written over.",
            title="A folder for the results",
            mode="d",
        )
        self.suffix = QLineEdit(self._remembered.text("suffix"))
        self.type = QComboBox()
        self.overwrite = QCheckBox("&Overwrite")
        self.uncertainty = QCheckBox("Uncertainty of each pi&xel")
        self._lay_out()
        self.folder.changed.connect(self._take_folder)
        for changed in (self.folder.changed, self.model.changed, self.results.changed):
            changed.connect(self.changed)
        self.pattern.textChanged.connect(lambda _: self.listed.emit())

    def begin(self) -> None:
        """Offer the folder of last time, if it is still there."""
        if (folder := self._remembered.folder()) is not None:
            self.folder.line.setText(str(folder))

    @property
    def options(self) -> dict[str, Any]:
        """As ``restore_folder`` takes them."""
        return {
            "model": self.model.model,
            "output": self.results.path,
            "pattern": self.pattern.text().strip() or "*",
            "suffix": self.suffix.text().strip() or None,
            "format": self.type.currentData(),
            "overwrite": self.overwrite.isChecked(),
            "uncertainty": self.uncertainty.isChecked(),
        }

    @property
    def missing(self) -> str:
        """What has to be chosen before it can run."""
        if self.folder.path is None:
            return "Choose a folder with images."
        if self.model.model is None:
            return "Choose a model, or train one on these images."
        return "Choose a folder for the results." if self.results.path is None else ""

    @property
    def model_place(self) -> Path | None:
        """Where a model that is trained on these images is kept: beside their results, over no other."""
        if self.folder.path is None or self.results.path is None:
            return None
        names = (f"_model{f'_{number}' if number > 1 else ''}.safetensors" for number in count(1))
        places = (self.results.path / fitting(self.folder.path.name or "images", name) for name in names)
        return next(place for place in places if not place.exists())

    def remember(self) -> None:
        """A run begins: offer its folder and its words again next time."""
        given = self.options
        kept = {name: given[name] for name in ("pattern", "suffix", "format")}
        self._remembered.keep(folder=self.folder.path, **kept)

    def allow(self, allowed: bool) -> None:
        """Let it be changed."""
        for widget in (
            self.folder, self.pattern, self.model, self.train, self.results, self.suffix, self.type, self.overwrite,
            self.uncertainty,
        ):  # fmt: skip
            widget.setEnabled(allowed)

    def allow_training(self, allowed: bool) -> None:
        """Whether there are images to train on, and a place for the model."""
        self.train.setEnabled(allowed)

    def _take_folder(self) -> None:
        """Another folder: the results go into one inside it, unless the user has chosen another."""
        if self.results.line.text() == self._suggested:
            self._suggested = str(self.folder.path / _RESULTS) if self.folder.path is not None else ""
            self.results.line.setText(self._suggested)
        self.listed.emit()

    def _offer_training(self) -> None:
        """A menu of how long: what the images need is not known before one of them is opened."""
        menu = QMenu(self.train)
        menu.setToolTipsVisible(True)
        for effort, seconds in seconds_of("auto").items():
            entry = menu.addAction(f"{effort.capitalize()}: up to {describe_time(seconds)}")
            entry.triggered.connect(partial(self._train, effort))
        self.train.setMenu(menu)
        self.train.setMinimumWidth(_BESIDE)
        self.train.setToolTip(
            "Train one model on all images of the list, and take it. It is kept among the results.\n"
            "They need the same axes and channels; those that cannot be opened are left out."
        )

    def _train(self, effort: str, _checked: bool = False) -> None:
        self.train_wanted.emit(effort)

    def _offer_types(self) -> None:
        for name, words in _TYPES.items():
            self.type.addItem(words, name)
        self.type.setCurrentIndex(max(0, self.type.findData(self._remembered.text("format"))))
        self.type.setToolTip(
            "What the results are. As each image is: OME-TIFF for TIFF, OME-Zarr for all else.\n"
            "Most programs read OME-TIFF; OME-Zarr is for large images."
        )
        let_shrink(self.type)

    def _lay_out(self) -> None:
        self._offer_training()
        self._offer_types()
        self.pattern.setToolTip("Which files of the folder, as in *.tif or cell?_*. Empty or *: all images.")
        self.suffix.setToolTip("What results are called after their images. Empty: the model's word for what it does.")
        self.suffix.setPlaceholderText("as the model says: denoised, …")
        self.overwrite.setToolTip(
            "Replace what is there already, made with another model or from another state of the image, or not by\n"
            "this plugin. A result of this model and this image is kept either way, and an image is never replaced."
        )
        self.uncertainty.setToolTip(
            "Also write how sure each restored pixel is, its standard deviation: NAME_std beside an OME-TIFF, in an\n"
            "OME-Zarr a second image. Models of the posterior mean can tell it; others say that they cannot."
        )
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(6)
        grid.setColumnStretch(1, 1)
        named = {
            "&Images": self.folder, "Fil&es": self.pattern, "Mo&del": self.model, "Resul&ts": self.results,
            "S&uffix": self.suffix, "T&ype": self.type,
        }  # fmt: skip
        for number, (name, widget) in enumerate(named.items()):
            grid.addWidget(label_of(name, widget), number, 0)
            if widget is self.model:
                grid.addLayout(beside(widget, self.train), number, 1)
            else:
                grid.addWidget(widget, number, 1)
            results = dict.fromkeys((self.results, self.suffix, self.type), "results")
            page = {self.model: "model", **results}.get(widget, "folder")
            grid.addWidget(Question(page, name), number, 2)
        grid.addWidget(self.overwrite, len(named), 1)
        grid.addWidget(self.uncertainty, len(named) + 1, 1)


def beside(wide: QWidget, narrow: QWidget) -> QHBoxLayout:
    """Two controls in a row, of which the first takes the room."""
    row = QHBoxLayout()
    row.setSpacing(4)
    row.addWidget(wide, 1)
    row.addWidget(narrow)
    return row
