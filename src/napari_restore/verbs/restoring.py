"""Restore: what a trained model makes of an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from napari_restore.core.checked import check
from napari_restore.core.job import Events
from napari_restore.core.watch import Watch
from napari_restore.verbs.request import Request

if TYPE_CHECKING:
    from napari_restore.core.events import Note
    from napari_restore.restoration.result import Restored
    from napari_restore.sources import Image
    from napari_restore.store.model import Model


@dataclass(frozen=True, kw_only=True)
class Restore:
    """Restore an image with a trained model.

    Attributes
    ----------
    model
        A trained model, or its file: a ``.safetensors``, or a ``.zip`` that ``export`` or CAREamics wrote.
    match_intensity
        Bring the image to the mean and deviation of what the model was trained on, instead of taking its values as they
        are: for images taken with another gain, exposure or offset.
    """

    model: Any
    match_intensity: bool = False

    def __post_init__(self) -> None:
        check(self)


def restored(request: Request, watch: Watch) -> Events[Restored]:
    """Restore the image with the model that is given."""
    from napari_restore.restoration.engine import restore_events
    from napari_restore.restoration.plan import name_suffix
    from napari_restore.restoration.runners import runner_for
    from napari_restore.verbs.ahead import check_places
    from napari_restore.verbs.destination import Destination
    from napari_restore.verbs.learning import counted, model_of, notes_of, opened
    from napari_restore.verbs.run import finished

    image = opened(request.image, request)
    check_places(request, [image])
    image = counted(image, request)
    yield from notes_of([image])
    model = model_of(request.own.model)
    if request.own.match_intensity:
        model, said = _matched(model, image)
        yield said
    with Destination(request.writing.output) as place:
        runner = runner_for(image, request.restoring, request.opening)
        result = yield from restore_events(
            image,
            model,
            output=place.output(image, name_suffix(model.method)),
            restoring=request.restoring,
            computing=request.computing,
            writing=request.writing,
            watch=watch,
            runner=runner,
        )
        return (yield from finished(request, image, place, result, watch=watch, runner=runner))


def _matched(model: Model, image: Image) -> tuple[Model, Note]:
    """A model that takes an image's own mean and deviation for those it was trained on."""
    from napari_restore.core.events import Note
    from napari_restore.methods.measuring import constants
    from napari_restore.sources.planes import planes_of_channels

    own, was = constants(planes_of_channels([image]), image.name), model.normalisation
    said = (
        f"intensities of {image.name}, {_listed(own.mean, own.std)}, are matched to those of the training, "
        f"{_listed(was.mean, was.std)}"
    )
    return replace(model, normalisation=own), Note(said)


def _listed(means: Sequence[float], deviations: Sequence[float]) -> str:
    return ", ".join(f"{m:.4g} ± {s:.3g}" for m, s in zip(means, deviations, strict=True))
