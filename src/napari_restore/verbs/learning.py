"""From a request to a trained model: what is learned from, by which method with which settings, and the training."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_restore import methods
from napari_restore.core.errors import ImageError, OtherRunError, RestoreError
from napari_restore.core.events import Note, Preview, Stopped
from napari_restore.core.job import Events, drain
from napari_restore.core.watch import Watch
from napari_restore.methods.apply import restore_region
from napari_restore.methods.choosing import choose
from napari_restore.methods.device import find_device, release_buffers
from napari_restore.methods.measuring import noise_levels
from napari_restore.methods.method import Fit, Interrupted, Method
from napari_restore.sources import Image, open_as
from napari_restore.sources.alternating import alternation
from napari_restore.sources.settled import settled
from napari_restore.sources.unchanged import files_state
from napari_restore.store import output as outputs
from napari_restore.store.model import Model, begun_with, build_method, load_model, provenance
from napari_restore.store.packaged import open_model
from napari_restore.training.lesson import Lesson
from napari_restore.training.loop import train_events
from napari_restore.training.settings import TrainingSettings
from napari_restore.verbs.blurring import with_psf
from napari_restore.verbs.features import features_for
from napari_restore.verbs.pairing import paired
from napari_restore.verbs.request import Request
from napari_restore.verbs.super_resolving import with_thickness

_WEIGHTS = Path(methods.__file__).parent

_LOOKED_AT = 8
"""Of many images, so many are looked at for planes that alternate: they are of one kind."""

_CHOOSING_SEED = 0
"""Of the chance by which a method chooses its settings, whatever the seed of the training: they are the image's, and so
learned Richardson-Lucy of any seed begins with what ``instant`` gives, and two seeds differ by what was learned alone.
"""


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
    start
        The weights that it may begin with, of pictures made by formulas, or None.
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
    start: Model | None = None

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

    def begun_anew(self, fit: Fit, *, seed: int) -> tuple[Method, Method | None]:
        """The network, and its rival if there is one."""
        return self.method(fit, seed=seed), None if fit.rival is None else self.method(fit.rival, seed=seed)

    def begun_with_weights(self, lesson: Lesson, fit: Fit, *, seed: int) -> Lesson:
        """A lesson whose network begins with weights made before, if they fit; with itself as what else there is."""
        if self.start is None:
            return lesson
        known = self.kind.beginning(fit, self.start.method.config)
        if known is None:
            return lesson
        method, rival = self.begun_anew(known, seed=seed)
        for each in filter(None, (method, rival)):
            each.begin_with(self.start.method.state_dict())
        told = {**self.start.provenance, "pictures": "made by formulas", "sha256": self.start.sha256}
        return replace(lesson, method=method, rival=rival, start=told, fresh=lesson)


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
    fit, seed = course.fit(), request.computing.seed
    method, rival = course.begun_anew(fit, seed=seed)
    if method.wants_features:
        assert fit.normalisation is not None
        method.features = features_for(method.config.features, images, fit.normalisation)
    yield from fit.notes
    lesson = Lesson(
        name=course.name,
        method=method,
        images=images,
        rival=rival,
        partners=partners or None,
        validation=judges,
        normalisation=fit.normalisation,
        noise=_known_noise(images) if course.kind.noisy_targets else None,
    )
    if given and partners == given and set(lesson.rate(partners)) == {1} and course.kind.same_blur:
        lesson = yield from paired(lesson, "second" if several(training.second) else "target")
    return Prepared(course, course.begun_with_weights(lesson, fit, seed=seed))


def first_picture(prepared: Prepared, request: Request, watch: Watch) -> Iterator[Preview]:
    """What somebody looks at, within seconds: of a method that chooses its settings, with typical ones."""
    if prepared.lesson.method.chooses:
        yield from _in_view(prepared.lesson.method, prepared.lesson, request, watch)


def learn(prepared: Prepared, request: Request, watch: Watch, *, run: Path | None, resume: bool) -> Events[Model]:
    """Train what was prepared.

    Parameters
    ----------
    run, resume
        A folder for events and checkpoints, and whether to go on from its newest checkpoint.
    """
    course = prepared.course
    if not methods.listed(course.name).learns:
        return (yield from _settled(prepared, request, watch))
    method = yield from _chosen(prepared.lesson, request, watch)
    lesson = replace(prepared.lesson, method=method or prepared.lesson.method)  # who asks to stop is heard in training
    settings = TrainingSettings.settled(
        request.training,
        request.computing,
        usual_seconds=course.seconds,
        memory_share=request.restoring.memory_share,
        run=run,
        resume=resume,
    )
    learned_from = [*lesson.images, *(lesson.partners or ())]
    before = [files_state(image) for image in learned_from]
    model = yield from train_events(lesson, settings, watch)
    for image, state in zip(learned_from, before, strict=True):
        if files_state(image) != state:
            yield Note(
                f"{image.name} has changed while it was trained on: the model has learned from two states of it. Wait "
                "until nothing writes to it, and train again.",
                "warning",
            )
    begun = course.begun
    return model if begun is None else replace(model, provenance={**model.provenance, "start": dict(begun.provenance)})


def _settled(prepared: Prepared, request: Request, watch: Watch) -> Events[Model]:
    """The model of a method that does not learn: its settings, chosen for the images."""
    course, lesson, seed = prepared.course, prepared.lesson, request.computing.seed
    assert lesson.normalisation is not None
    began = time.perf_counter()
    method = yield from _chosen(lesson, request, watch)
    if method is None:
        method = lesson.method
        yield Stopped("training", 0, None)
    facts = {"seconds": round(time.perf_counter() - began, 1), "seed": seed}
    return Model(course.name, method.eval(), lesson.normalisation, "float32", provenance(list(lesson.images), **facts))


def _chosen(lesson: Lesson, request: Request, watch: Watch) -> Events[Method | None]:
    """The method with the settings that it chooses for the images itself; None if somebody asks to stop meanwhile."""
    if not lesson.method.chooses:
        return lesson.method
    rng = np.random.default_rng(_CHOOSING_SEED)
    try:
        method, notes = lesson.method.chosen(lesson.images, rng=rng, stopping=lambda: watch.stopping)
    except Interrupted:
        return None
    release_buffers()  # of the sizes of what was chosen on: they would stay beside all that comes
    yield from notes
    yield from _in_view(method, lesson, request, watch)
    return method


def _in_view(method: Method, lesson: Lesson, request: Request, watch: Watch) -> Iterator[Preview]:
    """What a method that has not learned makes of the part that somebody looks at; nothing where nobody does."""
    if watch.preview is None or (region := watch.preview.region) is None or watch.stopping:
        return
    assert lesson.normalisation is not None
    device = find_device(request.computing.device)
    shown = method.untaught().to(device).eval()
    shown.stopping = lambda: watch.stopping
    try:
        pixels = restore_region(shown, lesson.images[0], region, normalisation=lesson.normalisation, device=device)
    except Interrupted:
        return
    yield Preview(0, region, pixels)


def lesson_for(request: Request, image: Image) -> Events[tuple[str, dict[str, Any]]]:
    """The method that is trained, or taken as it is, and what the verb asks of it, settled for an image."""
    own = yield from with_psf(request.own, image)
    return replace(request, own=with_thickness(own, image)).lesson()


def settle(request: Request, images: Sequence[Image]) -> Events[Course]:
    """Choose the method and its settings for images, and say which was chosen."""
    training = request.training
    method, asked = yield from lesson_for(request, images[0])
    config = {**asked, **request.config}
    begun = begun_of(request)
    if begun is not None:
        method, config = _continuing(begun, method, config)
    elif method == "auto":
        choice = choose(images, second=bool(several(training.second)), target=bool(several(training.target)))
        method, config = choice.method, {**choice.config, **config}
        yield Note(f"method {method} was chosen: {choice.reason}")
    elif request.named == "auto" and (reason := getattr(request.own, "reasons", {}).get(method)):
        yield Note(f"method {method} was chosen: {reason}")
    kind = methods.find(method)
    by_effort = {} if begun is not None else kind.efforts.get(training.effort, {})
    return Course(
        name=method,
        kind=kind,
        images=images,
        begun=begun,
        seconds=methods.listed(method).seconds.get(training.effort, 0.0),
        config=methods.configure(method, {**by_effort, **config}),
        start=load_model(_WEIGHTS / kind.begins_with) if kind.begins_with and training.start == "auto" else None,
    )


def begun_of(request: Request) -> Model | None:
    """The model that training is to go on from; None where it begins anew, or with weights made for that."""
    start = request.training.start
    return None if isinstance(start, str) and start in ("auto", "none") else model_of(start, option="start")


def check_begun(path: Path, model: Model, request: Request, image: Image) -> None:
    """Refuse to go on with a model that was trained for an unfinished output with other settings than those asked now.

    Raises
    ------
    OtherRunError
        With the setting that differs.
    """
    for name, had, value in _differing(model.card(), request, image):
        raise OtherRunError(
            f"the unfinished {path.name} was begun with {name} {had}, this run has {value}: use the same again, or "
            "`overwrite` it."
        )


def check_trained_alike(path: Path, card: Mapping[str, Any], request: Request, image: Image) -> None:
    """Refuse to take a whole result for that of a request which asks for another training.

    Parameters
    ----------
    card
        Of the model that the result says it was made with.

    Raises
    ------
    OtherRunError
        With the setting that differs.
    """
    for name, had, value in _differing(card, request, image):
        outputs.check_made(path, {name: had}, {name: value})
    _check_budget(path, card, request)


def _check_budget(path: Path, card: Mapping[str, Any], request: Request) -> None:
    """Steps are the same or not; seconds are the budget's but for the last step, which may be a long one."""
    if not methods.listed(card["method"]).learns:
        return
    steps, seconds = request.training.steps, request.training.seconds
    if steps is None and seconds is None:
        seconds = methods.listed(card["method"]).seconds.get(request.training.effort)
    had_steps, had_seconds = (card["provenance"].get(name) for name in ("steps", "seconds"))
    if steps is not None and had_steps == steps:
        return
    if seconds is not None and isinstance(had_seconds, int | float):
        if 0.9 * seconds <= had_seconds <= 1.5 * seconds + 10:
            return
        outputs.check_made(path, {"seconds": had_seconds}, {"seconds": seconds})
    outputs.check_made(path, {"steps": had_steps}, {"steps": steps})


def _differing(card: Mapping[str, Any], request: Request, image: Image) -> Iterator[tuple[str, Any, Any]]:
    """Settings of which a model has others than a request asks for: name, what it has, what is asked."""
    method, asked = drain(lesson_for(request, image))
    method = card["method"] if method == "auto" else method  # what it chose then, it would choose now
    begun = begun_of(request)
    by_effort = {} if begun is not None else methods.find(method).efforts.get(request.training.effort, {})
    given = {**by_effort, **asked, **request.config}
    typed = asdict(methods.configure(method, given))
    wanted = {"method": method, "seed": request.computing.seed, **{name: typed[name] for name in given}}
    had = {"method": card["method"], "seed": card["provenance"].get("seed"), **card["config"]}
    for name, value in wanted.items():
        left_open = value == "auto" or (name == "psf" and ".." in value)
        if not left_open and json.dumps(had.get(name), sort_keys=True) != json.dumps(value, sort_keys=True):
            yield name, had.get(name), value
    if not _begun_alike(card["provenance"].get("start", {}), request, begun):
        asked_for = request.training.start if begun is None else "another model"
        yield "start", begun_with(card["provenance"]) or "none", asked_for


def _begun_alike(start: Mapping[str, Any], request: Request, begun: Model | None) -> bool:
    """Whether training began with what a request asks for, by what the model says; ``auto`` may have found nothing."""
    if begun is not None:
        return json.dumps(start, sort_keys=True) == json.dumps(dict(begun.provenance), sort_keys=True)
    return not start or (request.training.start == "auto" and "pictures" in start)


def notes_of(images: Sequence[Image]) -> Iterator[Note]:
    """What was guessed on opening, once; and a warning where planes look like channels in disguise."""
    for text in dict.fromkeys(note for image in images for note in image.notes):
        yield Note(text)
    for image in images[:_LOOKED_AT]:
        if (warning := alternation(image)) is not None:
            yield Note(f"{image.name}: {warning}", "warning")


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
        words = "auto, none, " if option == "start" else ""
        raise RestoreError(f"`{option}` = {given!r}: give {words}a trained model, or its file.")
    return open_model(given)


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
    return open_as(image, request.opening)


def subject_of(request: Request) -> Image:
    """The image that is asked about, opened; with what its verb finds missing of it as NaN.

    It comes before ``counted``: lost planes and zeros would be taken for filling there, and be handed on.
    """
    image = opened(request.image, request)
    seen: Callable[[Image], Image] | None = getattr(request.own, "subject", None)
    return image if seen is None else seen(image)


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
