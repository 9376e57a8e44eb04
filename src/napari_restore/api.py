"""The verbs as functions, made from their rows: ``denoise(image)`` waits, ``denoise_events`` tells what happens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_restore.core.errors import InterruptedWorkError, RestoreError
from napari_restore.core.job import Events, Job, drain
from napari_restore.core.watch import Watch
from napari_restore.verbs import VERBS
from napari_restore.verbs.help import signature_of, text_of
from napari_restore.verbs.request import Request, ask, watched

if TYPE_CHECKING:
    from napari_restore.core.cost import Cost
    from napari_restore.core.options import Effort
    from napari_restore.metrics.noise_level import NoiseLevel
    from napari_restore.store.model import Model

__all__ = ["estimate_cost", "estimate_noise", "load_model", "submit"]


def estimate_cost(
    image: Any,
    method: str = "auto",
    *,
    effort: Effort = "normal",
    device: str = "auto",
    axes: str | None = None,
    channel: int | str | None = None,
    memory_share: float = 0.8,
    **options: Any,
) -> Cost:
    """Estimate what training on an image and restoring it will take, in seconds and in memory, without doing it.

    Builds the network, takes one step with it and restores a small tile: a second or two.

    Parameters
    ----------
    image, method, effort, device, axes, channel, memory_share, **options
        As for ``denoise``. ``seconds`` and ``steps`` are taken as its budget.

    Raises
    ------
    RestoreError
        If something given cannot be used, or the memory does not suffice.
    """
    common = {"effort": effort, "device": device, "axes": axes, "channel": channel, "memory_share": memory_share}
    request = ask("denoise", image, method=method, **common, **options)
    from napari_restore.verbs.cost import estimate

    return estimate(request)


def estimate_noise(image: Any, *, axes: str | None = None, channel: int | str | None = None) -> NoiseLevel:
    """How much noise an image has where its flattest parts tell, in its units, and how sure that is."""
    from napari_restore.metrics.noise_level import estimate
    from napari_restore.sources import open_image
    from napari_restore.sources.planes import planes_of_all
    from napari_restore.sources.settled import settled

    return estimate(planes_of_all([settled(open_image(image, axes=axes, channel=channel))]))


def load_model(path: str | Path) -> Model:
    """Read a model: a ``.safetensors`` file, or a package that ``export`` or CAREamics wrote. No code in it is run."""
    from napari_restore.store.packaged import open_model

    return open_model(path)


def submit(verb: str | Callable[..., Any], *args: Any, **options: Any) -> Job[Any]:
    """Do it in the background: ``submit("denoise", layer)`` gives a future with ``stop()``.

    Raises
    ------
    RestoreError
        If there is no such verb, or something given is not what it takes.
    """
    name = verb if isinstance(verb, str) else getattr(verb, "__name__", repr(verb))
    if name not in VERBS:
        raise RestoreError(f"submit {name!r}: the verbs are {', '.join(VERBS)}.")
    watch, options = watched(options)
    if watch.stop is not None:
        raise RestoreError("submit gives a job, which stops by job.stop(): leave `stop` out.")
    request = _asked(name, args, options)
    return Job(name, lambda stop: _events(request, replace(watch, stop=stop)))


def _waiting(verb: str) -> Callable[..., Any]:
    """``denoise`` and the like: waits for the result."""

    def function(*args: Any, **options: Any) -> Any:
        watch, options = watched(options)
        request = _asked(verb, args, options)
        from napari_restore.verbs.run import run

        return _whole(request, drain(run(request, watch)))

    return _dressed(function, verb, verb)


def _telling(verb: str) -> Callable[..., Any]:
    """``denoise_events`` and the like: a generator of events."""

    def function(*args: Any, **options: Any) -> Events[Any]:
        watch, options = watched(options)
        return _events(_asked(verb, args, options), watch)

    return _dressed(function, verb, f"{verb}_events")


def _asked(verb: str, args: tuple[Any, ...], options: Mapping[str, Any]) -> Request:
    """The request that a call stands for: one or two arguments by their place, all else by name."""
    row = VERBS[verb]
    places = [place for place in (row.first, row.second) if place]
    named = {**dict(zip(places, args, strict=False)), **options}
    if len(args) > len(places) or len(named) < len(args) + len(options):
        raise RestoreError(f"{verb} takes {' and '.join(places)} by place, once, and all else by name.")
    if row.first not in named:
        raise RestoreError(f"{verb} needs `{row.first}`: an array, a layer, a path or a URL.")
    return ask(verb, named.pop(row.first), **named)


def _events(request: Request, watch: Watch) -> Events[Any]:
    """The events of a request; the result is None where a stop came before there was an image."""
    from napari_restore.verbs.run import run

    result = yield from run(request, watch)
    return result if not _stopped(request, result) else None


def _whole(request: Request, result: Any) -> Any:
    if _stopped(request, result):
        raise InterruptedWorkError(
            "stopped while training, before there was a result: give more time, or do not stop it."
        )
    return result


def _stopped(request: Request, result: Any) -> bool:
    """Whether there is a model where an image was wanted."""
    return request.row.gives == "image" and not hasattr(result, "complete")


def _dressed(function: Callable[..., Any], verb: str, name: str) -> Callable[..., Any]:
    """A function that ``help`` and editors show with every option of its verb."""
    function.__name__ = function.__qualname__ = name
    function.__doc__ = text_of(verb, events=name != verb)
    function.__signature__ = signature_of(verb)  # type: ignore[attr-defined]
    return function


for _verb in VERBS:
    globals()[_verb] = _waiting(_verb)
    globals()[f"{_verb}_events"] = _telling(_verb)
    __all__ += [_verb, f"{_verb}_events"]
