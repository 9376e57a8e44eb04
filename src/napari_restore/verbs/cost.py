"""What a request will take, in seconds and in memory, before anything is done."""

from __future__ import annotations

from collections.abc import Callable

from napari_restore import methods
from napari_restore.core.cost import Cost
from napari_restore.core.job import drain
from napari_restore.methods.allocated import HEAP
from napari_restore.methods.device import find_device, find_precision
from napari_restore.methods.measuring import constants
from napari_restore.methods.method import Interrupted, Method, never
from napari_restore.restoration import engine
from napari_restore.sources import Image
from napari_restore.sources.planes import planes_of_channels
from napari_restore.store.model import Model
from napari_restore.training.cost import plan_step
from napari_restore.training.settings import TrainingSettings
from napari_restore.verbs.learning import counted, settle, several, subject_of
from napari_restore.verbs.request import Request


def estimate(request: Request, *, stopping: Callable[[], bool] = never) -> Cost:
    """Estimate what a request takes: builds the network, takes one step and restores a small tile. A second or two.

    Parameters
    ----------
    stopping
        Looked at between one and the next.

    Raises
    ------
    RestoreError
        If something given cannot be used, or the memory does not suffice.
    Interrupted
        If ``stopping`` says so.
    """
    image = counted(subject_of(request), request)
    course = drain(settle(request, [image]))
    fit = course.fit()
    built = course.method(fit, seed=request.computing.seed)
    built.stopping = lambda: stopping()  # in copies, too: what an event holds cannot be copied
    normalisation = fit.normalisation or constants(planes_of_channels([image]), image.name)
    model = Model(course.name, built.eval(), normalisation)
    row = methods.listed(course.name)
    learning = _learning(request, image, built, partners=bool(row.needs)) if row.learns else 0
    if stopping():
        raise Interrupted
    choosing = int(HEAP * built.choosing_bytes([image])) if built.chooses else 0
    if stopping():
        raise Interrupted
    restoring, plan = engine.foresee(image, model, restoring=request.restoring, computing=request.computing)
    seconds = _training_seconds(request, course.seconds) if row.learns else row.seconds.get("instant", 0.0)
    if plan.device:
        device = max(plan.device, learning)
        host = max(plan.host, plan.held + choosing)
        return Cost(course.name, seconds, restoring, host, plan.host_limit, device, plan.device_limit)
    host = max(plan.host, plan.held + max(choosing, learning))
    return Cost(course.name, seconds, restoring, host, plan.host_limit)


def _learning(request: Request, image: Image, method: Method, *, partners: bool) -> int:
    """Bytes of training, with patches that fit."""
    computing, training = request.computing, request.training
    device = find_device(computing.device)
    settings = TrainingSettings.settled(
        training, computing, usual_seconds=1.0, memory_share=request.restoring.memory_share
    )
    precision = find_precision(device) if settings.precision == "auto" else settings.precision
    given = bool(several(training.second) or several(training.target))
    _, plan = plan_step(
        method, [image], settings, device=device, precision=precision, partners=partners or given, exact=True
    )
    return plan.total


def _training_seconds(request: Request, usual: float) -> float | None:
    """Of the budget; None where it is in steps."""
    asked = request.training
    if asked.seconds is not None:
        return asked.seconds
    return usual if asked.steps is None else None
