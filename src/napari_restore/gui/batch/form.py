"""What a batch is of: a folder, a model, and where the results go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QGridLayout,
    QLineEdit,
    QWidget,
)

from napari_restore.gui.parts.named import label_of
from napari_restore.gui.parts.paths import PathLine
from napari_restore.gui.parts.question import Question
from napari_restore.gui.parts.remembered import Remembered
from napari_restore.gui.restore.choices import let_shrink
from napari_restore.gui.restore.session import Session

_MODEL_FILES = "Models (*.safetensors *.zip)"
_RESULTS = "restored"
"""What the folder of the results is called inside that of the images, unless the user chooses another."""

_LAST = "the model trained last"


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
        if self._session is not None and self._session.model is not None and self.findText(_LAST) < 0:
            self.insertItem(0, _LAST)
            if self.currentIndex() < 0:
                self.setCurrentIndex(0)
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
    """

    changed = Signal()
    listed = Signal()

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
        self.results = PathLine(
            "Where the results go, as NAME_denoised: OME-TIFF for TIFF, OME-Zarr for all else. It is made where it is\n"
            "missing. An image is never written over.",
            title="A folder for the results",
            mode="d",
        )
        self.suffix = QLineEdit(self._remembered.text("suffix"))
        self.overwrite = QCheckBox("&Overwrite")
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
            "overwrite": self.overwrite.isChecked(),
        }

    @property
    def missing(self) -> str:
        """What has to be chosen before it can run."""
        if self.folder.path is None:
            return "Choose a folder with images."
        if self.model.model is None:
            return "Choose a model: train one in the tab Restore, and save it."
        return "Choose a folder for the results." if self.results.path is None else ""

    def remember(self) -> None:
        """A run begins: offer its folder and its words again next time."""
        given = self.options
        self._remembered.keep(folder=self.folder.path, pattern=given["pattern"], suffix=given["suffix"])

    def allow(self, allowed: bool) -> None:
        """Let it be changed."""
        for widget in (self.folder, self.pattern, self.model, self.results, self.suffix, self.overwrite):
            widget.setEnabled(allowed)

    def _take_folder(self) -> None:
        """Another folder: the results go into one inside it, unless the user has chosen another."""
        if self.results.line.text() == self._suggested:
            self._suggested = str(self.folder.path / _RESULTS) if self.folder.path is not None else ""
            self.results.line.setText(self._suggested)
        self.listed.emit()

    def _lay_out(self) -> None:
        self.pattern.setToolTip("Which files of the folder, as in *.tif or cell?_*. Empty or *: all images.")
        self.suffix.setToolTip("What results are called after their images. Empty: the model's word for what it does.")
        self.suffix.setPlaceholderText("as the model says: denoised, …")
        self.overwrite.setToolTip(
            "Replace what is there already, made with another model or from another state of the image, or not by\n"
            "this plugin. A result of this model and this image is kept either way, and an image is never replaced."
        )
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(6)
        grid.setColumnStretch(1, 1)
        named = {
            "&Images": self.folder, "Fil&es": self.pattern, "Mo&del": self.model, "Resul&ts": self.results,
            "S&uffix": self.suffix,
        }  # fmt: skip
        for number, (name, widget) in enumerate(named.items()):
            grid.addWidget(label_of(name, widget), number, 0)
            grid.addWidget(widget, number, 1)
            page = {self.model: "model", self.results: "results", self.suffix: "results"}.get(widget, "folder")
            grid.addWidget(Question(page, name), number, 2)
        grid.addWidget(self.overwrite, len(named), 1)
