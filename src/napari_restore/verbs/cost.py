"""What a request will take, in seconds and in memory, before anything is done."""

from __future__ import annotations

import copy
from math import ceil

from napari_restore import methods
from napari_restore.core.cost import Cost
from napari_restore.core.job import drain
from napari_restore.methods.allocated import HEAP
from napari_restore.methods.measuring import constants
from napari_restore.restoration import engine, memory
from napari_restore.sources.planes import planes_of_channels
from napari_restore.store.model import Model
from napari_restore.training.cost import pool_bytes, step_bytes
from napari_restore.verbs.learning import counted, settle, subject_of
from napari_restore.verbs.request import Request


def estimate(request: Request) -> Cost:
    """Estimate what a request takes: builds the network, takes one step and restores a small tile. A second or two.

    Raises
    ------
    RestoreError
        If something given cannot be used, or the memory does not suffice.
    """
    image = counted(subject_of(request), request)
    course = drain(settle(request, [image]))
    fit = course.fit()
    built = course.method(fit, seed=request.computing.seed)
    normalisation = fit.normalisation or constants(planes_of_channels([image]), image.name)
    model = Model(course.name, built.eval(), normalisation)
    row = methods.listed(course.name)
    learning = 0
    if row.learns:
        learning = ceil(HEAP * step_bytes(copy.deepcopy(built), [image]))
        learning += pool_bytes([image], images_apiece=1 + bool(row.needs))
    restoring, plan = engine.foresee(image, model, restoring=request.restoring, computing=request.computing)
    seconds = _training_seconds(request, course.seconds) if row.learns else row.seconds.get("instant", 0.0)
    if plan.device:
        device = max(plan.device, learning)
        return Cost(course.name, seconds, restoring, plan.host, plan.host_limit, device, plan.device_limit)
    return Cost(course.name, seconds, restoring, max(plan.host, memory.held() + learning), plan.host_limit)


def _training_seconds(request: Request, usual: float) -> float | None:
    """Of the budget; None where it is in steps."""
    asked = request.training
    if asked.seconds is not None:
        return asked.seconds
    return usual if asked.steps is None else None
