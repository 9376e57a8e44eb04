"""What a report says of a result without its truth: by what its method undoes, or by what it removed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from napari_restore.core.job import Events
from napari_restore.judging.denoised import check_events
from napari_restore.judging.undone import judge_events
from napari_restore.methods.method import Interrupted
from napari_restore.sources import Image
from napari_restore.store.model import Model


def judged_events(
    image: Image,
    model: Model,
    *,
    compare: bool,
    device: str = "auto",
    seed: int = 0,
    stopping: Callable[[], bool] | None = None,
) -> Events[dict[str, Any]]:
    """Judge what a model makes of an image that it has restored wholly, as a generator of events.

    Parameters
    ----------
    compare
        Whether what a method undoes is compared with what undoes it classically, which takes some seconds more: for
        verbs that are asked to undo it.
    seed
        Of the random probe of SURE.
    stopping
        Asked while classical methods are at work, which take their time on volumes; once True, nothing is told.

    Yields
    ------
    Event
        ``Compared``, or a ``Note``.

    Returns
    -------
    dict
        What is to be added to the report, plain JSON values: ``"checked"`` of a denoiser (see ``denoised.check``),
        ``"compared"`` of what undoes an operator (see ``undone.judge``). Empty where there is nothing to judge by.
    """
    if model.method.undoes is None:
        checked = yield from check_events(image, model, device=device, seed=seed)
        return {} if checked is None else {"checked": asdict(checked)}
    if not compare:
        return {}
    try:
        judgement = yield from judge_events(image, model, device=device, seed=seed, stopping=stopping)
    except Interrupted:
        return {}
    return {} if judgement is None else {"compared": judgement.report()}
