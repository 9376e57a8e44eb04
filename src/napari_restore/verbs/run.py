"""The one way from a request to a result, for the shell, a script, the console and the window."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from napari_restore.core.errors import RestoreError
from napari_restore.core.events import Note, Saved, Stopped
from napari_restore.core.job import Events
from napari_restore.core.watch import Watch
from napari_restore.judging.judged import judged_events
from napari_restore.restoration.engine import restore_events
from napari_restore.restoration.result import Restored
from napari_restore.restoration.runners import runner_for
from napari_restore.sources import Image
from napari_restore.store import output as outputs
from napari_restore.store.model import Model, load_model
from napari_restore.training.ranks import find_ranks
from napari_restore.verbs.learning import check_begun, learn, notes_of, opened
from napari_restore.verbs.request import Request, load


def run(request: Request, watch: Watch | None = None) -> Events[Any]:
    """Do what is asked for, as a generator of events.

    Returns
    -------
    Events
        Its result is a ``Restored``, for ``train`` a ``Model``, for a folder a list of ``FileState``; and the
        ``Model`` as it is then where a stop came while it was trained for an image.
    """
    events: Events[Any] = load(request.row.flow)(request, watch if watch is not None else Watch())
    return events


def trained_and_restored(request: Request, watch: Watch) -> Events[Restored | Model]:
    """Train on the image, unless there is a model, and restore it."""
    image = opened(request.image, request)
    output = destination(request, image, request.row.suffix)
    again = request.writing.resume and not request.writing.overwrite
    kept = outputs.model_path(output)
    if request.restoring.model is not None:
        model = _loaded(request.restoring.model)
    elif again and kept.exists():
        yield Note(f"going on with {output.name}, with the model trained for it before")
        model = load_model(kept)
        check_begun(output, model, request)
    else:
        model, stopped = yield from _trained_for(request, image, output, watch)
        if stopped:
            return model
        image = replace(image, notes=())  # they have been said
    yield from notes_of([image])
    restored = yield from restore_events(
        image,
        model,
        output=output,
        restoring=request.restoring,
        computing=request.computing,
        writing=request.writing,
        watch=watch,
        runner=runner_for(image, request.restoring, request.opening),
    )
    if restored.complete:
        kept.unlink(missing_ok=True)
    return (yield from judged(request, image, restored))


def destination(request: Request, image: Image, suffix: str) -> Path:
    """Where the result goes: where it was asked for, or into a folder of its own among the temporary ones."""
    if request.writing.output is not None:
        return Path(request.writing.output)
    folder = Path(tempfile.mkdtemp(prefix="napari-restore-"))
    return folder / f"{_file_name(image.name)}_{suffix}.ome.zarr"


def judged(request: Request, image: Image, restored: Restored) -> Events[Restored]:
    """A whole result with what can be told of it without the truth in its report."""
    if not restored.complete:
        return restored
    found: Mapping[str, Any] = yield from judged_events(
        image,
        restored.model,
        compare=request.row.does == "undo",
        device=request.computing.device,
        seed=request.computing.seed,
    )
    return replace(restored, report={**restored.report, **found})


def _trained_for(request: Request, image: Image, output: Path, watch: Watch) -> Events[tuple[Model, bool]]:
    """A model trained on the image and kept beside the output until that is whole; and whether a stop came first."""
    if not find_ranks().alone:
        raise RestoreError(
            "under torchrun, several processes train one model: use train there, and restore with it afterwards."
        )
    writing = request.writing
    outputs.check_destination(output, overwrite=writing.overwrite, resume=False)
    folder = outputs.training_path(output) if writing.output is not None else None
    events = learn(request, [image], watch, run=folder, resume=writing.resume and not writing.overwrite)
    model, stopped = yield from _whether_stopped(events)
    if not stopped:
        model.save(outputs.model_path(output))
        outputs.forget_training(output)
        if writing.save_model is not None:
            yield Saved(str(model.save(writing.save_model)), "model")
    return model, stopped


def _whether_stopped(events: Events[Model]) -> Events[tuple[Model, bool]]:
    """The model of a training, and whether it says that it was stopped before its budget was spent.

    The stop flag alone does not tell: set after the last step, it belongs to what comes next.
    """
    stopped = False
    while True:
        try:
            event = next(events)
        except StopIteration as end:
            return end.value, stopped
        stopped = stopped or isinstance(event, Stopped)
        yield event


def _loaded(model: Model | str | Path) -> Model:
    return model if isinstance(model, Model) else load_model(model)


def _file_name(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_ " else "_" for c in name).strip() or "image"
