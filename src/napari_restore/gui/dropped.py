"""A model file dropped onto the viewer: the widget takes it. Only the manifest names this module."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from napari_restore.gui.restore.models import card_of


def get_model_reader(path: str | Sequence[str]) -> Callable[[str], list[tuple[None]]] | None:
    """A reader for a model file dropped onto the viewer, or None. It adds no layer: the widget takes the model."""
    if not isinstance(path, str) and len(path) != 1:
        return None
    single = path if isinstance(path, str) else path[0]
    return take_model if card_of(single) is not None else None


def take_model(path: str | Sequence[str]) -> list[tuple[None]]:
    """Open the widget of the current viewer, and choose the model there. ``[(None,)]`` says "no layer" to napari."""
    # Here, so that somebody else's file is turned down without loading the widget.
    import napari

    from napari_restore.gui.commands import open_restore

    viewer = napari.current_viewer()
    if viewer is not None:
        open_restore(viewer).use_model(path if isinstance(path, str) else path[0])
    return [(None,)]
