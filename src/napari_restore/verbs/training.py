"""Train: learn from images once, and keep the model for others of their kind."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_restore.core.checked import check
from napari_restore.core.errors import RestoreError
from napari_restore.core.job import Events
from napari_restore.core.watch import Watch
from napari_restore.verbs.request import Request

if TYPE_CHECKING:
    from napari_restore.store.model import Model


@dataclass(frozen=True, kw_only=True)
class Train:
    """Train a method on one image or several, and give back the model.

    Attributes
    ----------
    method
        A name from ``list_methods``; ``auto`` chooses by what is given and by the noise, and says why.
    validation
        Images to measure the held-out loss on. Without them, a hundredth of the pixels is held out.
    run
        A folder for events and checkpoints; with ``resume`` training goes on from the newest of them.
    """

    method: str = "auto"
    validation: Any = None
    run: str | Path | None = None

    def __post_init__(self) -> None:
        check(self)

    def lesson(self) -> tuple[str, dict[str, Any]]:
        """The method, and what this verb asks of it."""
        return self.method, {}


def trained(request: Request, watch: Watch) -> Events[Model]:
    """Train on the images, and keep the model where that is wanted."""
    from napari_restore.core.events import Saved
    from napari_restore.training.ranks import find_ranks
    from napari_restore.verbs.ahead import check_model_space, check_places, keep, place_of
    from napari_restore.verbs.learning import counted, first_picture, learn, opened, prepare, several

    if request.writing.resume and request.own.run is None:
        raise RestoreError("`resume` needs `run`, the folder with the checkpoints.")
    images = [opened(each, request) for each in several(request.image)]
    check_places(request, images)
    images = [counted(image, request) for image in images]
    run, save = place_of(request.own.run), place_of(request.writing.save_model)
    prepared = yield from prepare(request, images)
    if save is not None:
        check_model_space([save], prepared.lesson.method)
    yield from first_picture(prepared, request, watch)
    model = yield from learn(prepared, request, watch, run=run, resume=request.writing.resume)
    if save is not None and find_ranks().first:
        beside = [run / "model.safetensors"] if run is not None else []
        yield Saved(str(keep(model, save, instead=beside)), "model")
    return model
