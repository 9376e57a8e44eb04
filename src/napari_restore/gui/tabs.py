"""The dock widget "Restore": one tab for each thing that one does, and the user's preferences where they are used."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QTabWidget, QWidget

from napari_restore.gui.parts.docked import Docked
from napari_restore.gui.parts.runner import Runner
from napari_restore.gui.restore.widget import RestoreWidget
from napari_restore.gui.restore.work import Engine, package_engine

if TYPE_CHECKING:
    from napari_restore.gui.batch.widget import BatchWidget
    from napari_restore.gui.compare.widget import CompareWidget

PageName = Literal["restore", "batch", "compare"]


@dataclass(frozen=True)
class Page:
    """One tab.

    Attributes
    ----------
    name
        What the rest of the plugin calls it.
    label
        On the tab; the letter after ``&`` goes there with Alt.
    tip
        What it is for.
    make
        Makes its widget for a viewer and an engine, knowing the tabs that are there. The widget has a method ``leave``
        that gives the viewer back.
    """

    name: PageName
    label: str
    tip: str
    make: Callable[[Any, Engine, Mapping[PageName, Any]], Any]


def _batch(viewer: Any, engine: Engine, before: Mapping[PageName, Any]) -> BatchWidget:
    from napari_restore.gui.batch.widget import BatchWidget

    return BatchWidget(viewer, engine=engine, session=before["restore"].session)


def _compare(viewer: Any, engine: Engine, before: Mapping[PageName, Any]) -> CompareWidget:
    from napari_restore.gui.compare.widget import CompareWidget

    return CompareWidget(viewer)


PAGES: tuple[Page, ...] = (
    Page(
        "restore",
        "&Restore",
        "Denoise, super-resolve or deblur one image.",
        lambda viewer, engine, before: RestoreWidget(viewer, engine=engine),
    ),
    Page(
        "batch",
        "&Batch",
        "Restore each image of a folder with one model.",
        _batch,
    ),
    Page(
        "compare",
        "Co&mpare",
        "Two layers behind a curtain or by turns, and their difference.",
        _compare,
    ),
)


@dataclass(frozen=True)
class Preferences:
    """What the user has set under File > Preferences > napari-restore.

    Attributes
    ----------
    device
        As ``napari_restore`` takes it.
    folder
        Where results are written; None for a temporary folder.
    preview_interval
        Seconds between two previews, while a network learns.
    memory_share
        Part of the free memory that restoring may use.
    """

    device: str = "auto"
    folder: Path | None = None
    preview_interval: float = 2.0
    memory_share: float = 0.8

    @classmethod
    def read(cls) -> Preferences:
        """As they are now; before napari 0.9, which has no such page, as they come."""
        try:
            from napari.settings import get_plugin_settings
        except ImportError:
            return cls()
        from npe2 import PluginManager
        from npe2.manifest.schema import discovery_blocked

        known = "napari-restore" in PluginManager.instance()
        try:
            with discovery_blocked() if known else nullcontext():  # or it reads every plugin's manifest once more
                given = get_plugin_settings("napari-restore").work
        except KeyError:  # the plugin is disabled, or a test has none
            return cls()
        folder = given.output_folder.strip()
        where = Path(folder).expanduser() if folder else None
        return cls(given.device, where, given.preview_interval, given.memory_share)


_LOAD_MS = 300
"""After the first tab is seen, and before that loads torch."""


def _loading(stop: threading.Event) -> Generator[Any, None, None]:
    """In a thread: load what the other tabs are made of, so that neither the first one nor a click waits for it."""
    import napari_restore.gui.batch.widget
    import napari_restore.gui.compare.widget  # noqa: F401

    yield from ()


class MainWidget(Docked, QTabWidget):  # type: ignore[misc]
    """Everything the plugin does with a viewer, a tab each; all but the first are made when they are first wanted.

    Parameters
    ----------
    napari_viewer
        The viewer to work in.
    engine
        What does the work; the package itself unless a test brings its own.
    preferences
        Those of the user unless a test brings its own.

    Attributes
    ----------
    pages
        Those that are made.
    """

    def __init__(
        self, napari_viewer: Any, *, engine: Engine | None = None, preferences: Preferences | None = None
    ) -> None:
        super().__init__()
        preferences = preferences or Preferences.read()
        self._viewer = napari_viewer
        self._engine = engine or package_engine(device=preferences.device, memory_share=preferences.memory_share)
        self.pages: dict[PageName, Any] = {}
        for index, page in enumerate(PAGES):
            self.addTab(QWidget() if index else self._made(page), page.label)
            self.setTabToolTip(index, page.tip)
        self._loader = Runner(self)
        later = QTimer(self)
        later.setSingleShot(True)
        later.timeout.connect(self._load_pages)
        later.start(_LOAD_MS)
        self.currentChanged.connect(self._show_page)
        self.restore.lost_wanted.connect(self._show_lost)
        self.setDocumentMode(True)
        self.tabBar().setStyleSheet("QTabBar::tab { padding: 5px 14px; }")  # one of all would style each page anew
        self.setAccessibleName("napari-restore")
        if preferences.folder is not None:
            self.restore.form.place.use(preferences.folder)
        self.restore.session.preview_every = preferences.preview_interval

    @property
    def restore(self) -> RestoreWidget:
        """The tab for one image."""
        widget: RestoreWidget = self.page("restore")
        return widget

    @property
    def batch(self) -> BatchWidget:
        """The tab for a folder of images."""
        widget: BatchWidget = self.page("batch")
        return widget

    @property
    def compare(self) -> CompareWidget:
        """The tab for two layers."""
        widget: CompareWidget = self.page("compare")
        return widget

    def page(self, name: PageName) -> Any:
        """The widget of a tab, made where it is not there yet."""
        if name not in self.pages:
            index = [page.name for page in PAGES].index(name)
            current, blocked = self.currentIndex(), self.blockSignals(True)
            stand_in = self.widget(index)
            self.removeTab(index)
            self.insertTab(index, self._made(PAGES[index]), PAGES[index].label)
            self.setTabToolTip(index, PAGES[index].tip)
            self.setCurrentIndex(current)
            self.blockSignals(blocked)
            stand_in.deleteLater()
        return self.pages[name]

    def _made(self, page: Page) -> QWidget:
        made = self.pages[page.name] = page.make(self._viewer, self._engine, self.pages)
        return made

    def _load_pages(self) -> None:
        self._loader.start(_loading)

    def _show_page(self, index: int) -> None:
        self.page(PAGES[index].name)

    def open(self, name: PageName, *, verb: str | None = None) -> QWidget:
        """Bring a tab to the front, and choose what to do there."""
        page: QWidget = self.page(name)
        self.setCurrentWidget(page)
        # While a run goes on, its settings stay in sight.
        if verb is not None and not self.restore.session.runner.running:
            self.restore.form.verb.choose(verb)
        return page

    def _show_lost(self, measured: Any, restored: Any) -> None:
        """Where a restoration may have lost detail: what the tab Compare finds."""
        self.open("compare")
        self.compare.show_lost(measured, restored)

    def going_on(self) -> str:
        """In whichever tab: one image, or a folder."""
        return self.restore.going_on() or (self.batch.going_on() if "batch" in self.pages else "")

    def leave(self) -> None:
        """Stop the work, and give the viewer back as it was."""
        self._loader.abandon()
        for page in self.pages.values():
            page.leave()
