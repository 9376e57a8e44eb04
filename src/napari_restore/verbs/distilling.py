"""Distill: a small copy of a trained model, made on the user's own images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Interval

from napari_restore.core.checked import check
from napari_restore.core.errors import RestoreError
from napari_restore.core.job import Events
from napari_restore.core.watch import Watch
from napari_restore.verbs.request import Request

if TYPE_CHECKING:
    from napari_restore.sources import Image
    from napari_restore.store.model import Model
    from napari_restore.verbs.learning import Prepared


@dataclass(frozen=True, kw_only=True)
class Distill:
    """Make a small, fast copy of a trained model: a network that learns, on your images, to give what the model gives.

    Attributes
    ----------
    model
        The trained model to copy, or its file.
    ratio
        Width of the copy's network over the width of the model's: a quarter has a sixteenth of the weights. ``auto``
        is 1 for the posterior mean, whose copy makes one pass instead of four and counts from 24 features on, half for
        other denoisers, and a quarter for all else.
    run
        A folder for events and checkpoints; with ``resume`` training goes on from the newest of them.
    """

    model: Any
    ratio: Literal["auto"] | Annotated[float, Interval(gt=0, le=1)] = "auto"
    run: str | Path | None = None

    def __post_init__(self) -> None:
        check(self)

    def lesson(self) -> tuple[str, dict[str, Any]]:
        """The method that copies."""
        return "distilled", {}


def distilled(request: Request, watch: Watch) -> Events[Model]:
    """Train a copy on what the model makes of the images, compare them, and keep it where that is wanted."""
    from napari_restore.core.events import Saved
    from napari_restore.judging.copied import compare
    from napari_restore.training.ranks import find_ranks
    from napari_restore.verbs.ahead import check_model_space, check_places, keep, place_of
    from napari_restore.verbs.learning import check_alike, counted, learn, model_of, notes_of, opened, several

    if request.writing.resume and request.own.run is None:
        raise RestoreError("`resume` needs `run`, the folder with the checkpoints.")
    images = [opened(each, request) for each in several(request.image)]
    check_alike(images)
    check_places(request, images)
    images = [counted(image, request) for image in images]
    yield from notes_of(images)
    teacher = model_of(request.own.model)
    run, save = place_of(request.own.run), place_of(request.writing.save_model)
    prepared = prepared_copy(request, images, teacher)
    if save is not None:
        check_model_space([save], prepared.lesson.method)
    copy = yield from learn(prepared, request, watch, run=run, resume=request.writing.resume)
    copy = replace(copy, provenance={**copy.provenance, "teacher": _told(teacher)})
    if find_ranks().first:
        if save is not None:
            beside = [run / "model.safetensors"] if run is not None else []
            yield Saved(str(keep(copy, save, instead=beside)), "model")
        if not watch.stopping:
            device, seed = request.computing.device, request.computing.seed
            yield compare(images[0], teacher, copy, device=device, seed=seed).note
    return copy


def prepared_copy(request: Request, images: Sequence[Image], teacher: Model) -> Prepared:
    """The student, and the images with what the teacher makes of them, worked out where it is looked at.

    Raises
    ------
    RestoreError
        If the images are none for this model, or it has no student.
    """
    from napari_restore import methods
    from napari_restore.methods.device import find_device
    from napari_restore.methods.distilled import Distilled
    from napari_restore.restoration.on_demand import restored_on_demand
    from napari_restore.store.model import build_method
    from napari_restore.training.lesson import Lesson
    from napari_restore.verbs.features import features_for
    from napari_restore.verbs.learning import Course, Prepared

    method, device = teacher.method, find_device(request.computing.device)
    partners = [restored_on_demand(image, teacher, device=device) for image in images]
    ratio = method.narrower if request.own.ratio == "auto" else request.own.ratio
    name, settled = method.student(ratio)
    config = methods.configure("distilled", request.config)
    config = replace(config, student=(name,), settled=tuple(settled.items()), teacher=_first_of(teacher))
    student = build_method(
        "distilled", config, spatial=method.spatial, channels=method.channels, seed=request.computing.seed
    )
    assert isinstance(student, Distilled)
    student.split_from(method)
    if config.contrast > 0:
        student.features = features_for(config.features, partners, teacher.normalisation)
    course = Course(
        name="distilled",
        kind=type(student),
        images=images,
        begun=None,
        seconds=methods.listed("distilled").seconds.get(request.training.effort, 0.0),
        config=config,
    )
    lesson = Lesson(
        name="distilled", method=student, images=images, partners=partners, normalisation=teacher.normalisation
    )
    return Prepared(course, lesson)


def _first_of(teacher: Model) -> tuple[str, ...]:
    """The name of its method; of a copy, that of the method it goes back to."""
    return getattr(teacher.method.config, "teacher", ()) or (teacher.name,)


def _told(teacher: Model) -> dict[str, Any]:
    """What a copy remembers of its teacher."""
    card = teacher.card()
    return {
        "method": teacher.name,
        "parameters": card["parameters"],
        "sha256": teacher.sha256,
        **{name: teacher.provenance[name] for name in ("images", "date", "steps") if name in teacher.provenance},
    }
