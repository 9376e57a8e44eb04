"""From a request to a trained model: what is learned from, by which method with which settings, and the training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from napari_restore import methods
from napari_restore.core.errors import ImageError, OtherRunError, RestoreError
from napari_restore.core.events import Note
from napari_restore.core.job import Events
from napari_restore.core.watch import Watch
from napari_restore.methods.choosing import choose
from napari_restore.methods.measuring import noise_levels
from napari_restore.methods.method import Fit, Method
from napari_restore.sources import Image, open_image
from napari_restore.sources.settled import settled
from napari_restore.sources.unchanged import files_state
from napari_restore.store.model import Model, build_method, load_model
from napari_restore.training.lesson import Lesson
from napari_restore.training.loop import train_events
from napari_restore.training.settings import TrainingSettings
from napari_restore.verbs.request import Request


@dataclass(frozen=True, eq=False)
class Course:
    """What is learned and how, settled for the images.

    Attributes
    ----------
    name, kind
        Of the method, and its class.
    images
        To learn from, opened.
    begun
        The model that training goes on from, or None.
    seconds
        Of training where the user gives no budget.
    config
        The method's settings, some of which ``fit`` settles.
    """

    name: str
    kind: type[Method]
    images: Sequence[Image]
    begun: Model | None
    seconds: float
    config: Any

    def fit(self) -> Fit:
        """The config for these images, without anything left open."""
        return self.kind.fit_to(self.config, self.images)

    def method(self, fit: Fit, *, seed: int) -> Method:
        """The network: with fresh weights, or with those of the model that training goes on from."""
        channels = self.images[0].geometry.length("C")
        built = build_method(self.name, fit.config, spatial=fit.spatial, channels=channels, seed=seed)
        if self.begun is not None:
            _take_weights(built, self.begun)
        return built


@dataclass(frozen=True, eq=False)
class Prepared:
    """A network with all that it is to learn from: what is left is to train it."""

    course: Course
    lesson: Lesson


def prepare(request: Request, images: Sequence[Image]) -> Events[Prepared]:
    """Settle what a request trains, on images that are open, and build the network.

    Raises
    ------
    RestoreError
        If the images, what goes with them, or the settings are not what the method can use.
    """
    training = request.training
    judges = _opened(getattr(request.own, "validation", None), request)
    check_alike([*images, *judges])
    yield from notes_of(images)
    course = yield from settle(request, images)
    row = methods.listed(course.name)
    _check_needs(row, second=training.second, target=training.target)
    if judges and row.needs:
        raise RestoreError(
            f"{row.label} is judged on held-out pixels of the images it learns from: leave validation out."
        )
    given = _opened(training.second, request) or _opened(training.target, request)
    partners = course.kind.partners(course.config, images, given)
    if row.needs and not partners:
        raise RestoreError(f"{row.label} needs {row.needs[0]}: give one.")
    fit = course.fit()
    method = course.method(fit, seed=request.computing.seed)
    yield from fit.notes
    lesson = Lesson(
        name=course.name,
        method=method,
        images=images,
        partners=partners or None,
        validation=judges,
        normalisation=fit.normalisation,
        noise=_known_noise(images) if course.kind.noisy_targets else None,
    )
    return Prepared(course, lesson)


def learn(prepared: Prepared, request: Request, watch: Watch, *, run: Path | None, resume: bool) -> Events[Model]:
    """Train what was prepared.

    Parameters
    ----------
    run, resume
        A folder for events and checkpoints, and whether to go on from its newest checkpoint.
    """
    course = prepared.course
    settings = TrainingSettings.settled(
        request.training, request.computing, usual_seconds=course.seconds, run=run, resume=resume
    )
    learned_from = [*prepared.lesson.images, *(prepared.lesson.partners or ())]
    before = [files_state(image) for image in learned_from]
    model = yield from train_events(prepared.lesson, settings, watch)
    for image, state in zip(learned_from, before, strict=True):
        if files_state(image) != state:
            yield Note(
                f"{image.name} has changed while it was trained on: the model has learned from two states of it. Wait "
                "until nothing writes to it, and train again.",
                "warning",
            )
    begun = course.begun
    return model if begun is None else replace(model, provenance={**model.provenance, "start": dict(begun.provenance)})


def settle(request: Request, images: Sequence[Image]) -> Events[Course]:
    """Choose the method and its settings for images, and say which was chosen."""
    training = request.training
    method, asked = request.own.lesson()
    config = {**asked, **request.config}
    start = getattr(request.own, "start", None)
    begun = model_of(start, option="start") if start is not None else None
    if begun is not None:
        method, config = _continuing(begun, method, config)
    elif method == "auto":
        choice = choose(images, second=bool(several(training.second)), target=bool(several(training.target)))
        method, config = choice.method, {**choice.config, **config}
        yield Note(f"method {method} was chosen: {choice.reason}")
    kind = methods.find(method)
    by_effort = {} if begun is not None else kind.efforts[training.effort]
    return Course(
        name=method,
        kind=kind,
        images=images,
        begun=begun,
        seconds=methods.listed(method).seconds[training.effort],
        config=methods.configure(method, {**by_effort, **config}),
    )


def check_begun(path: Path, model: Model, request: Request) -> None:
    """Refuse to go on with a model that was trained for an unfinished output with other settings than those asked now.

    Raises
    ------
    OtherRunError
        With the setting that differs.
    """
    method, asked = request.own.lesson()
    method = model.name if method == "auto" else method  # what it chose then, it would choose now
    by_effort = methods.find(method).efforts[request.training.effort]
    wanted = {"method": method, "seed": request.computing.seed, **by_effort, **asked, **request.config}
    had = {"method": model.name, "seed": model.provenance.get("seed"), **asdict(model.method.config)}
    for name, value in wanted.items():
        left_open = value == "auto" or (name == "psf" and ".." in value)
        if str(had.get(name)) != str(value) and not left_open:
            raise OtherRunError(
                f"the unfinished {path.name} was begun with {name} {had.get(name)}, this run has {value}: use the same "
                "again, or `overwrite` it."
            )


def notes_of(images: Sequence[Image]) -> Iterator[Note]:
    """What was guessed on opening, once."""
    for text in dict.fromkeys(note for image in images for note in image.notes):
        yield Note(text)


def model_of(given: Any, *, option: str = "model") -> Model:
    """A trained model, or that of a file.

    Raises
    ------
    RestoreError
        If it is neither.
    """
    if isinstance(given, Model):
        return given
    if not isinstance(given, str | Path):
        raise RestoreError(f"`{option}` = {given!r}: give a trained model, or its .safetensors file.")
    return load_model(given)


def several(images: Any) -> list[Any]:
    """One image, several or none, as a list."""
    if images is None:
        return []
    return list(images) if isinstance(images, list | tuple) else [images]


def check_alike(images: Sequence[Image]) -> None:
    """Refuse images that cannot be learned from together.

    Raises
    ------
    RestoreError
        If there is none, or they differ in axes or channels.
    """
    if not images:
        raise RestoreError("there is no image to train on: give at least one.")
    first = images[0]
    for other in images[1:]:
        if other.geometry.length("C") != first.geometry.length("C") or set(other.axes) != set(first.axes):
            raise ImageError(
                f"{other.name} has axes {other.axes} of {other.shape} and {first.name} {first.axes} of {first.shape}: "
                "images to train on together need the same axes and channels."
            )


def opened(image: Any, request: Request) -> Image:
    """An image as the request says that it is to be opened."""
    opening = request.opening
    return open_image(image, axes=opening.axes, pixel_size=opening.pixel_size, channel=opening.channel)


def counted(image: Image, request: Request) -> Image:
    """An image of which it is settled, as the request says, which of its pixels were measured."""
    return settled(image, fill=request.opening.fill)


def _opened(images: Any, request: Request) -> list[Image]:
    return [counted(opened(each, request), request) for each in several(images)]


def _continuing(begun: Model, method: str, config: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The method of a model that training goes on from, and its settings with what is asked for now."""
    if method not in ("auto", begun.name):
        raise RestoreError(f"the model to start from is one of {begun.name}, not of {method}: leave the method out.")
    return begun.name, {**asdict(begun.method.config), **config}


def _take_weights(built: Method, begun: Model) -> None:
    try:
        built.load_state_dict(begun.method.state_dict())
    except RuntimeError:
        raise RestoreError(
            f"the model to start from looks along {begun.method.spatial} at {begun.method.channels} channels, with "
            f"{begun.method.config}; these images need {built.spatial}, {built.channels} and {built.config}: give "
            "images of the same kind, or train a new model."
        ) from None


def _known_noise(images: Sequence[Image]) -> list[float] | None:
    """Variance of each channel's noise, or None where it cannot be measured well."""
    try:
        levels = noise_levels(images)
    except ImageError:  # too small
        return None
    return [level.sigma**2 for level in levels] if all(level.reliable for level in levels) else None


def _check_needs(row: Any, *, second: Any, target: Any) -> None:
    """Refuse what the method has no use for, and two images to go with one."""
    given = [name for name, images in (("second", second), ("target", target)) if several(images)]
    usable = (*row.needs, *row.takes)
    for name in given:
        if name not in usable:
            known = f"the noisy image and a {' or '.join(usable)}" if usable else "the noisy image alone"
            raise RestoreError(f"{row.label} learns from {known}: leave {name} out.")
    if len(given) > 1:
        raise RestoreError("second and target are both given: an image has one to go with it. Leave one of them out.")
