"""The verbs. Each opens images, settles what was left open, and composes the rooms below; no algorithm lives here."""

from __future__ import annotations

import copy
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from math import ceil
from pathlib import Path
from typing import Any, Literal, get_args

from napari_restore import methods, metrics
from napari_restore.core.cost import Cost
from napari_restore.core.errors import ImageError, InterruptedWorkError, RestoreError
from napari_restore.core.events import FileState, Note, Saved, Stopped
from napari_restore.core.job import Events, Job, PreviewRequest, drain
from napari_restore.core.normalisation import Normalisation
from napari_restore.core.options import Computing, Training
from napari_restore.core.options import Effort as EffortName
from napari_restore.core.watch import Watch
from napari_restore.methods.allocated import HEAP
from napari_restore.methods.choosing import choose
from napari_restore.methods.measuring import constants, noise_levels
from napari_restore.methods.method import Effort
from napari_restore.metrics.noise import image_noise
from napari_restore.metrics.noise_level import NoiseLevel, estimate
from napari_restore.restoration import engine, memory
from napari_restore.restoration.batch import restore_folder_events
from napari_restore.restoration.checking import check, check_events
from napari_restore.restoration.judging import judge_events
from napari_restore.restoration.prepare import name_suffix
from napari_restore.restoration.result import Restored
from napari_restore.sources import Image, open_image
from napari_restore.sources.planes import planes_of_all, planes_of_channels, without_filling
from napari_restore.store import output as outputs
from napari_restore.store.model import Model, build_method
from napari_restore.store.model import load_model as _load_model
from napari_restore.store.ome_zarr import Version
from napari_restore.training import loop
from napari_restore.training.cost import pool_bytes, step_bytes
from napari_restore.training.lesson import Lesson
from napari_restore.training.ranks import find_ranks
from napari_restore.training.settings import TrainingSettings

__all__ = [
    "Model",
    "Restored",
    "deblur",
    "deblur_events",
    "denoise",
    "denoise_events",
    "estimate_cost",
    "estimate_noise",
    "evaluate",
    "list_methods",
    "load_model",
    "restore",
    "restore_events",
    "restore_folder",
    "restore_folder_events",
    "submit",
    "super_resolve",
    "super_resolve_events",
    "train",
    "train_events",
]


def denoise(image: Any, **options: Any) -> Restored:
    """Train on an image and restore it.

    Takes what ``denoise_events`` takes, and waits for the result.
    """
    return _waited_for(denoise_events(image, **options))


def super_resolve(image: Any, *, factor: int | Mapping[str, int] = 2, **options: Any) -> Restored:
    """Train on an image and make its pixels finer.

    Takes what ``super_resolve_events`` takes, and waits for the result.
    """
    return _waited_for(super_resolve_events(image, factor=factor, **options))


def deblur(image: Any, *, psf: Any, **options: Any) -> Restored:
    """Train on an image and undo its blur.

    Takes what ``deblur_events`` takes, and waits for the result.
    """
    return _waited_for(deblur_events(image, psf=psf, **options))


def denoise_events(
    image: Any,
    *,
    second: Any = None,
    target: Any = None,
    method: str = "auto",
    model: Model | str | Path | None = None,
    effort: EffortName = "normal",
    steps: int | None = None,
    seconds: float | None = None,
    output: str | Path | None = None,
    save_model: str | Path | None = None,
    device: str = "auto",
    precision: str = "auto",
    seed: int = 0,
    axes: str | None = None,
    pixel_size: Mapping[str, float] | None = None,
    channel: int | str | None = None,
    tile: Sequence[int] | None = None,
    resume: bool = True,
    overwrite: bool = False,
    version: Version = "0.5",
    memory_share: float = 0.8,
    stop: threading.Event | None = None,
    preview: PreviewRequest | None = None,
    suffix: str = "denoised",
    **config: Any,
) -> Events[Restored | None]:
    """Train on an image and restore it, as a generator of events.

    Parameters
    ----------
    image
        A napari layer, a NumPy, dask or zarr array, a path, a URL or an ``Image``; 2-D to 5-D.
    second, target
        Another acquisition, or the clean image, for methods that want one.
    method
        A name from ``list_methods``; ``"auto"`` chooses by what is given and by the noise, and says why in a ``Note``.
    model
        A trained model to restore with, instead of training.
    effort
        ``"quick"``, ``"normal"`` or ``"thorough"``: budget and size of the network.
    steps, seconds
        Budget of training, instead of the effort's.
    output
        Where to, a name ending in .zarr, .tif or .tiff; a temporary folder where not given.
    save_model
        Also keep the trained model, in this ``.safetensors`` file.
    device, precision
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"mps"``; ``"auto"``, ``"float32"``, ``"bfloat16"``.
    seed
        The same seed, budget in steps and machine give the same result.
    axes, pixel_size, channel
        As for ``open_image``.
    tile
        Pixels restored at a time along each spatial axis of the method.
    resume, overwrite
        What to do where ``output`` is there already: go on with an unfinished one (its training too), replace it.
    version
        Of OME-Zarr, ``"0.5"`` or ``"0.4"``.
    memory_share
        Of the memory that is free, of this machine and of its graphics card, that restoring may use: over 0, at most
        1. Where whole tiles do not fit, they go through the network in pieces, with the same result.
    stop
        Set it to stop. The result is then None while it trains, or not ``complete``; with ``resume`` the same call
        goes on from there.
    preview
        Which part of the image to show while it trains.
    suffix
        What the result is called after the image, where no output is given.
    **config
        Settings of the method.

    Yields
    ------
    Event
        Those of training, then those of restoring.

    Raises
    ------
    RestoreError
        If something given cannot be used; the message says what and what to do.
    """
    opened = open_image(image, axes=axes, pixel_size=pixel_size, channel=channel)
    destination = _destination(output, opened, suffix)
    again = resume and not overwrite
    kept = outputs.model_path(destination)
    if model is None and again and kept.exists():
        yield Note(f"going on with {destination.name}, with the model trained for it before")
        model = load_model(kept)
        _check_request(destination, model, method=method, effort=effort, seed=seed, config=config)
    elif model is None:
        if not find_ranks().alone:
            raise RestoreError(
                "under torchrun, several processes train one model: use train there, and restore with it afterwards."
            )
        outputs.check_destination(destination, overwrite=overwrite, resume=False)
        run = outputs.training_path(destination) if output is not None else None
        events = train_events(
            opened, method, second=second, target=target, effort=effort, steps=steps, seconds=seconds, device=device,
            precision=precision, seed=seed, stop=stop, preview=preview, run=run, resume=again, **config,
        )  # fmt: skip
        model = yield from _unless_stopped(events)
        if model is None:
            return None
        model.save(kept)
        outputs.forget_training(destination)
        opened = replace(opened, notes=())  # they have been said
        if save_model is not None:
            yield Saved(str(model.save(save_model)), "model")
    restored = yield from restore_events(
        opened, model, output=destination, tile=tile, device=device, resume=resume, overwrite=overwrite,
        version=version, memory_share=memory_share, stop=stop,
    )  # fmt: skip
    if restored.complete:
        kept.unlink(missing_ok=True)
    return restored


def super_resolve_events(
    image: Any,
    *,
    factor: int | Mapping[str, int] = 2,
    psf: Any = None,
    noise: float | str = "auto",
    method: str = "auto",
    **options: Any,
) -> Events[Restored | None]:
    """Train on an image and make its pixels finer, as a generator of events.

    Parameters
    ----------
    factor
        Fine pixels to one of the image along Y and X, or by axis: ``{"Z": 4}`` makes planes finer.
    psf
        What blurs the image before it is sampled, on the fine grid, as for ``deblur_events``; None for plain sampling.
    noise
        Standard deviation in units of the image, or ``"auto"`` to estimate it.
    method
        ``"scale_equivariant"``, or one it is compared with: ``"sure"``, ``"equivariant_shift"``,
        ``"equivariant_rotation"``, ``"css"``, ``"supervised"``. ``"auto"`` is the first, and ``"finer_planes"`` where
        Z alone becomes finer.
    **options
        As for ``denoise_events``.

    Yields
    ------
    Event
        Those of training and of restoring, then ``Compared``.
    """
    by_axis = {"Y": factor, "X": factor} if isinstance(factor, int) else dict(factor)
    return (
        yield from _undo(
            image, psf=psf, noise=noise, method=method, factor=by_axis, **{"suffix": "superresolved", **options}
        )
    )


def deblur_events(
    image: Any, *, psf: Any, noise: float | str = "auto", method: str = "auto", **options: Any
) -> Events[Restored | None]:
    """Train on an image and undo its blur, as a generator of events.

    Parameters
    ----------
    psf
        ``gaussian:STD``, ``box:RADIUS``, ``motion:LENGTH,ANGLE``, ``theory:NA=..,wavelength=..,pixel=..``, an image
        file, or an array. One number may be a range such as ``gaussian:1.5..2.5``: three are tried, and the one that
        leaves the whitest residual is taken, the narrower in doubt.
    noise, method, **options
        As for ``super_resolve_events``.

    Yields
    ------
    Event
        Those of training and of restoring, then ``Compared``.
    """
    return (yield from _undo(image, psf=psf, noise=noise, method=method, **{"suffix": "deblurred", **options}))


def train(images: Any, method: str = "auto", **options: Any) -> Model:
    """Train a method on one image or several, and give back the model.

    Takes what ``train_events`` takes.
    """
    return drain(train_events(images, method, **options))


def train_events(
    images: Any,
    method: str = "auto",
    *,
    second: Any = None,
    target: Any = None,
    validation: Any = None,
    start: Model | str | Path | None = None,
    effort: EffortName = "normal",
    steps: int | None = None,
    seconds: float | None = None,
    patch: Sequence[int] | None = None,
    batch: int | None = None,
    learning_rate: float | None = None,
    device: str = "auto",
    precision: str = "auto",
    run: str | Path | None = None,
    resume: bool = False,
    seed: int = 0,
    axes: str | None = None,
    pixel_size: Mapping[str, float] | None = None,
    channel: int | str | None = None,
    stop: threading.Event | None = None,
    preview: PreviewRequest | None = None,
    **config: Any,
) -> Events[Model]:
    """Train a method, as a generator of events.

    Parameters
    ----------
    images
        One image or a list of them (paths, arrays, layers), with the same channels.
    method
        A name from ``list_methods``; ``"auto"`` chooses.
    validation
        Images to measure the held-out loss on. Without them, a hundredth of the pixels is held out.
    start
        A trained model to go on from, with its method and its settings, instead of from fresh weights: a budget of
        seconds brings it to new images of the same kind. Noise and constants are measured on these.
    patch, batch
        Pixels of a patch along each spatial axis, and patches a step.
    learning_rate
        At its peak; the method's where not given.
    run, resume
        A folder for events and checkpoints, and whether to go on from its newest checkpoint.
    second, target, effort, steps, seconds, device, precision, seed, axes, pixel_size, channel, stop, preview, **config
        As for ``denoise_events``.
    """
    opened = [open_image(i, axes=axes, pixel_size=pixel_size, channel=channel) for i in _several(images)]
    judges = [open_image(i, axes=axes, pixel_size=pixel_size, channel=channel) for i in _several(validation)]
    _check_alike([*opened, *judges])
    yield from _notes(opened)
    begun = start if start is None or isinstance(start, Model) else load_model(start)
    if begun is not None:
        method, config = _continuing(begun, method, config)
    elif method == "auto":
        choice = choose(opened, second=bool(_several(second)), target=bool(_several(target)))
        method, config = choice.method, {**choice.config, **config}
        yield Note(f"method {method} was chosen: {choice.reason}")
    kind = methods.find(method)
    _check_needs(kind, second=second, target=target)
    if judges and kind.needs:
        raise RestoreError(
            f"{kind.label} is judged on held-out pixels of the images it learns from: leave validation out."
        )
    level = _level(kind, effort)
    settled = methods.configure(method, {**level.config, **config} if begun is None else config)
    partners = kind.partners(
        settled,
        opened,
        [
            open_image(i, axes=axes, pixel_size=pixel_size, channel=channel)
            for i in _several(second) or _several(target)
        ],
    )
    if kind.needs and not partners:
        raise RestoreError(f"{kind.label} needs {kind.needs[0]}: give one.")
    fit = kind.fit_to(settled, opened)
    training = Training(steps=steps, seconds=seconds, patch=patch, batch=batch, learning_rate=learning_rate)
    computing = Computing(device=device, precision=precision, seed=seed)  # type: ignore[arg-type]  # checked there
    channels = opened[0].geometry.length("C")
    built = build_method(method, fit.config, spatial=fit.spatial, channels=channels, seed=seed)
    if begun is not None:
        _take_weights(built, begun)
    yield from fit.notes
    lesson = Lesson(
        name=method,
        method=built,
        images=opened,
        partners=partners or None,
        validation=judges,
        normalisation=fit.normalisation,
        noise=_known_noise(opened) if kind.noisy_targets else None,
    )
    settings = TrainingSettings.settled(training, computing, usual_seconds=level.seconds, run=run, resume=resume)
    model = yield from loop.train_events(lesson, settings, Watch(stop, preview))
    return model if begun is None else replace(model, provenance={**model.provenance, "start": dict(begun.provenance)})


def restore(image: Any, model: Model | str | Path, **options: Any) -> Restored:
    """Restore an image with a trained model.

    Takes what ``restore_events`` takes.
    """
    return drain(restore_events(image, model, **options))


def restore_events(
    image: Any,
    model: Model | str | Path,
    *,
    output: str | Path | None = None,
    tile: Sequence[int] | None = None,
    batch: int | None = None,
    device: str = "auto",
    precision: str = "auto",
    resume: bool = True,
    overwrite: bool = False,
    version: Version = "0.5",
    axes: str | None = None,
    pixel_size: Mapping[str, float] | None = None,
    channel: int | str | None = None,
    match_intensity: bool = False,
    client: Any = None,
    unreadable: Literal["fail", "fill"] = "fail",
    memory_share: float = 0.8,
    stop: threading.Event | None = None,
) -> Events[Restored]:
    """Restore an image with a trained model, as a generator of events.

    Parameters
    ----------
    model
        A ``Model`` or the path of one.
    version
        Of OME-Zarr, ``"0.5"`` or ``"0.4"``.
    match_intensity
        Bring the image to the mean and deviation of what the model was trained on, instead of taking its values as they
        are: for images taken with another gain, exposure or offset.
    client
        A ``distributed.Client``: its workers restore the tiles, from and to files that all of them see. Needs the extra
        ``cluster``.
    unreadable
        What becomes of a chunk of the image that cannot be read, after it was tried again: ``"fail"`` ends the run,
        which can be resumed; ``"fill"`` takes 0 for its pixels and says so.
    image, output, tile, batch, device, precision, resume, overwrite, memory_share, axes, pixel_size, channel, stop
        As for ``denoise_events``.
    """
    opened = open_image(image, axes=axes, pixel_size=pixel_size, channel=channel)
    yield from _notes([opened])
    loaded = model if isinstance(model, Model) else load_model(model)
    if match_intensity:
        loaded, said = _matched(loaded, opened)
        yield said
    runner: engine.Runner | None = None
    if client is not None:
        from napari_restore.restoration import cluster  # loads distributed, which who has a client has

        runner = cluster.Workers(client, cluster.find_source(opened, axes=axes, channel=channel))
    restored = yield from engine.restore_events(
        opened,
        loaded,
        output=_destination(output, opened, name_suffix(loaded.method)),
        tile=tile,
        batch=batch,
        device=device,
        precision=precision,
        resume=resume,
        overwrite=overwrite,
        version=version,
        stop=stop,
        runner=runner,
        unreadable=unreadable,
        memory_share=memory_share,
    )
    checked = (yield from check_events(opened, loaded, device=device)) if restored.complete else None
    return restored if checked is None else replace(restored, report={**restored.report, "checked": asdict(checked)})


def estimate_cost(
    image: Any,
    method: str = "auto",
    *,
    effort: EffortName = "normal",
    device: str = "auto",
    axes: str | None = None,
    channel: int | str | None = None,
    memory_share: float = 0.8,
    **config: Any,
) -> Cost:
    """Estimate what training on an image and restoring it will take, in seconds and in memory, without doing it.

    Builds the network, takes one step with it and restores a small tile: a second or two.

    Parameters
    ----------
    image, method, effort, device, axes, channel, memory_share, **config
        As for ``denoise_events``. ``seconds`` and ``steps`` are taken as its budget.

    Raises
    ------
    RestoreError
        If something given cannot be used, or the memory does not suffice.
    """
    opened = open_image(image, axes=axes, channel=channel)
    steps, seconds = config.pop("steps", None), config.pop("seconds", None)
    if method == "auto":
        choice = choose([opened])
        method, config = choice.method, {**choice.config, **config}
    kind = methods.find(method)
    level = _level(kind, effort)
    fit = kind.fit_to(methods.configure(method, {**level.config, **config}), [opened])
    built = build_method(method, fit.config, spatial=fit.spatial, channels=opened.geometry.length("C"))
    model = Model(method, built.eval(), fit.normalisation or constants(planes_of_channels([opened]), opened.name))
    learning = ceil(HEAP * step_bytes(copy.deepcopy(built), [opened]))
    learning += pool_bytes([opened], images_apiece=1 + bool(kind.needs))
    restoring, plan = engine.foresee(opened, model, device=device, memory_share=memory_share)
    budget = None if steps is not None and seconds is None else seconds if seconds is not None else level.seconds
    if plan.device:
        return Cost(
            method, budget, restoring, plan.host, plan.host_limit, max(plan.device, learning), plan.device_limit
        )
    return Cost(method, budget, restoring, max(plan.host, memory.held() + learning), plan.host_limit)


def restore_folder(
    images: str | Path | Sequence[str | Path], model: Model | str | Path, **options: Any
) -> list[FileState]:
    """Restore each image of a folder with a trained model, and give back how each of them ended.

    Takes what ``restore_folder_events`` takes.
    """
    return drain(restore_folder_events(images, model, **options))


def evaluate(
    image: Any,
    reference: Any = None,
    *,
    model: Model | str | Path | None = None,
    measures: Sequence[str] | None = None,
    axes: str | None = None,
    channel: int | str | None = None,
) -> dict[str, float]:
    """Measure an image, against a reference where there is one, or what a model would make of it, without any.

    Parameters
    ----------
    image
        A restored one; with ``model``, a noisy one.
    reference
        The truth, of the same shape.
    model
        A trained denoiser: what it makes of the middle of the image is judged without the truth (``checking.check``).
    measures
        Names of what is wanted, of those below.

    Returns
    -------
    dict
        ``noise_sigma`` in the image's units and ``resolution`` (pixels, of single-image Fourier ring correlation), both
        of planes spread over it; with a reference also ``psnr`` (dB, over the reference's range), ``psnr_fitted``
        (after a fitted gain and offset), ``ssim``, ``frc`` (resolution in pixels that image and reference share) and
        ``whiteness`` (of their difference; 0 for white noise); or those of them named in ``measures``. What an image is
        too small for is left out unless it was named. With a model ``estimated_psnr`` and ``estimated_psnr_at_least``
        (dB, SURE), ``psnr_before``, ``structure`` (share of the image with structure in what was removed) and
        ``removed_whiteness``.
    """
    opened = open_image(image, axes=axes, channel=channel)
    if model is not None:
        return _estimated(opened, model if isinstance(model, Model) else load_model(model))
    alone = ["noise_sigma", *metrics.ALONE]
    known = [*alone, *metrics.WITH_REFERENCE]
    wanted = list(measures) if measures is not None else (known if reference is not None else alone)
    for name in wanted:
        if name not in known:
            raise RestoreError(f"measure {name!r} is unknown: there are {', '.join(known)}.")

    def measured(names: Sequence[str], *pixels: Any) -> dict[str, float]:
        found = {}
        for name in names:
            try:
                found[name] = metrics.find(name)(*pixels)
            except ImageError:
                if measures is not None:
                    raise
        return found

    values = {"noise_sigma": image_noise(opened)} if "noise_sigma" in wanted else {}
    by_itself = [name for name in wanted if name in metrics.ALONE]
    if by_itself:
        values |= measured(by_itself, planes_of_all([opened]))
    against = [name for name in wanted if name in metrics.WITH_REFERENCE]
    if not against:
        return values
    if reference is None:
        raise RestoreError(f"measure {against[0]!r} needs a reference image.")
    truth = open_image(reference, axes=axes, channel=channel)
    if truth.shape != opened.shape:
        raise ImageError(
            f"{opened.name} has shape {opened.shape} and the reference {truth.name} {truth.shape}: give a reference "
            "of the same shape."
        )
    order = [opened.axes.index(a) for a in sorted(opened.axes, key=lambda a: "YX".find(a))]
    return values | measured(against, *(each.read().transpose(order) for each in (opened, truth)))


def _estimated(image: Image, model: Model) -> dict[str, float]:
    checked = check(image, model)
    if checked is None:
        raise RestoreError(
            f"{image.name} is too small to judge {model.name} by, or it undoes an operator: deblur and super_resolve "
            "judge their results themselves."
        )
    known = {
        "estimated_psnr": checked.psnr,
        "estimated_psnr_at_least": checked.psnr_at_least,
        "psnr_before": checked.psnr_before,
        "structure": checked.structure,
        "removed_whiteness": checked.whiteness,
    }
    return {name: value for name, value in known.items() if value is not None}


def estimate_noise(image: Any, *, axes: str | None = None, channel: int | str | None = None) -> NoiseLevel:
    """How much noise an image has where its flattest parts tell, in its units, and how sure that is."""
    opened = open_image(image, axes=axes, channel=channel)
    return estimate([without_filling(p) for p in planes_of_all([opened])])


def load_model(path: str | Path) -> Model:
    """Read a model file; it holds numbers only, so reading one never runs anybody's code."""
    return _load_model(path)


def list_methods() -> list[dict[str, str]]:
    """What there is to restore with: name, label, needs and citation."""
    found = {name: methods.find(name) for name in sorted(methods.names())}
    return [
        {"name": name, "label": kind.label, "needs": ", ".join(kind.needs) or "-", "citation": kind.citation}
        for name, kind in found.items()
    ]


_VERBS: dict[str, Callable[..., Events[Any]]] = {
    "denoise": denoise_events,
    "super_resolve": super_resolve_events,
    "deblur": deblur_events,
    "train": train_events,
    "restore": restore_events,
    "restore_folder": restore_folder_events,
}


def submit(verb: str | Callable[..., Any], *args: Any, **options: Any) -> Job[Any]:
    """Do it in the background: ``submit("denoise", layer)`` gives a future with ``stop()``.

    Raises
    ------
    RestoreError
        If there is no such verb.
    """
    name = verb if isinstance(verb, str) else getattr(verb, "__name__", repr(verb))
    if name not in _VERBS:
        raise RestoreError(f"submit {name!r}: the verbs are {', '.join(_VERBS)}.")
    return Job(name, lambda stop: _VERBS[name](*args, stop=stop, **options))


def _undo(image: Any, *, psf: Any, noise: float | str, method: str, **options: Any) -> Events[Restored | None]:
    """Train on an image through its operator, restore it, and compare with what needs no training."""
    opened = open_image(
        image, axes=options.get("axes"), pixel_size=options.get("pixel_size"), channel=options.get("channel")
    )
    options = {k: v for k, v in options.items() if k not in ("axes", "pixel_size", "channel")}
    level = noise if noise == "auto" else _number("noise", noise)
    finer = {axis for axis, n in options.get("factor", {}).items() if n > 1}
    chosen = method if method != "auto" else "finer_planes" if finer == {"Z"} and psf is None else "scale_equivariant"
    if psf is not None:
        options["psf"] = _psf_text(psf)
    restored: Restored | None = yield from denoise_events(opened, method=chosen, noise=level, **options)
    if restored is None or not restored.complete:
        return restored
    judgement = yield from judge_events(opened, restored.model, device=options.get("device", "auto"))
    report = {} if judgement is None else {"compared": judgement.report()}
    return replace(restored, report={**restored.report, **report})


def _psf_text(psf: Any) -> str:
    """A PSF as a text that a model's file can hold: pixels from a file or an array go into it."""
    from napari_restore.operators import psf as psfs

    if isinstance(psf, str) and (psf.startswith("inline:") or not Path(psf).exists()):
        narrowest = psfs.sweep(psf)[0]
        psfs.parse(narrowest, ndim=psfs.axes_of(narrowest))
        return psf
    pixels = open_image(psf).read().squeeze()
    return psfs.inline(psfs.from_pixels(pixels))


def _continuing(begun: Model, method: str, config: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The method of a model that training goes on from, and its settings with what is asked for now."""
    if method not in ("auto", begun.name):
        raise RestoreError(f"the model to start from is one of {begun.name}, not of {method}: leave the method out.")
    return begun.name, {**asdict(begun.method.config), **config}


def _take_weights(built: Any, begun: Model) -> None:
    try:
        built.load_state_dict(begun.method.state_dict())
    except RuntimeError:
        raise RestoreError(
            f"the model to start from looks along {begun.method.spatial} at {begun.method.channels} channels, with "
            f"{begun.method.config}; these images need {built.spatial}, {built.channels} and {built.config}: give "
            "images of the same kind, or train a new model."
        ) from None


def _matched(model: Model, image: Image) -> tuple[Model, Note]:
    """A model that takes an image's own mean and deviation for those it was trained on."""
    own, was = constants(planes_of_channels([image]), image.name), model.normalisation

    def listed(normalisation: Normalisation) -> str:
        pairs = zip(normalisation.mean, normalisation.std, strict=True)
        return ", ".join(f"{m:.4g} ± {s:.3g}" for m, s in pairs)

    said = f"intensities of {image.name}, {listed(own)}, are matched to those of the training, {listed(was)}"
    return replace(model, normalisation=own), Note(said)


def _known_noise(images: Sequence[Image]) -> list[float] | None:
    """Variance of each channel's noise, or None where it cannot be measured well."""
    try:
        levels = noise_levels(images)
    except ImageError:  # too small
        return None
    return [level.sigma**2 for level in levels] if all(level.reliable for level in levels) else None


def _number(name: str, given: float | str) -> float:
    try:
        return float(given)
    except ValueError:
        raise RestoreError(f"{name} {given!r}: give a number in units of the image, or auto.") from None


def _waited_for(events: Events[Restored | None]) -> Restored:
    restored = drain(events)
    if restored is None:
        raise InterruptedWorkError(
            "stopped while training, before there was a result: give more time, or do not stop it."
        )
    return restored


def _notes(images: Sequence[Image]) -> Iterator[Note]:
    """What was guessed on opening, once."""
    for text in dict.fromkeys(note for image in images for note in image.notes):
        yield Note(text)


def _unless_stopped(events: Events[Model]) -> Events[Model | None]:
    """The model of a training that reached its budget; None where it says that it was stopped.

    The stop flag alone does not tell: set after the last step, it belongs to what comes next.
    """
    stopped = False
    while True:
        try:
            event = next(events)
        except StopIteration as end:
            return None if stopped else end.value
        stopped = stopped or isinstance(event, Stopped)
        yield event


def _check_request(path: Path, model: Model, *, method: str, effort: str, seed: int, config: Mapping[str, Any]) -> None:
    """Refuse to go on with a model that was trained with other settings than those asked for now."""
    method = model.name if method == "auto" else method  # what it chose then, it would choose now
    asked = {"method": method, "seed": seed, **methods.find(method).efforts[effort].config, **config}
    had = {"method": model.name, "seed": model.provenance.get("seed"), **asdict(model.method.config)}
    for name, value in asked.items():
        left_open = value == "auto" or (name == "psf" and ".." in value)
        if str(had.get(name)) != str(value) and not left_open:
            raise RestoreError(
                f"the unfinished {path.name} was begun with {name} {had.get(name)}, this run has {value}: use the same "
                "again, or overwrite it."
            )


def _level(kind: Any, effort: str) -> Effort:
    """What an effort means for a method."""
    if effort not in get_args(EffortName):
        raise RestoreError(f"effort {effort!r} is unknown: use {', '.join(get_args(EffortName))}.")
    level: Effort = kind.efforts[effort]
    return level


def _check_needs(kind: Any, *, second: Any, target: Any) -> None:
    """Refuse what the method has no use for, and two images to go with one."""
    given = [name for name, images in (("second", second), ("target", target)) if _several(images)]
    usable = (*kind.needs, *kind.takes)
    for name in given:
        if name not in usable:
            known = f"the noisy image and a {' or '.join(usable)}" if usable else "the noisy image alone"
            raise RestoreError(f"{kind.label} learns from {known}: leave {name} out.")
    if len(given) > 1:
        raise RestoreError("second and target are both given: an image has one to go with it. Leave one of them out.")


def _several(images: Any) -> list[Any]:
    if images is None:
        return []
    return list(images) if isinstance(images, list | tuple) else [images]


def _check_alike(images: Sequence[Image]) -> None:
    if not images:
        raise RestoreError("there is no image to train on: give at least one.")
    first = images[0]
    for other in images[1:]:
        if other.geometry.length("C") != first.geometry.length("C") or set(other.axes) != set(first.axes):
            raise ImageError(
                f"{other.name} has axes {other.axes} of {other.shape} and {first.name} {first.axes} of {first.shape}: "
                "images to train on together need the same axes and channels."
            )


def _destination(output: str | Path | None, image: Image, suffix: str) -> Path:
    if output is not None:
        return Path(output)
    folder = Path(tempfile.mkdtemp(prefix="napari-restore-"))
    return folder / f"{_file_name(image.name)}_{suffix}.ome.zarr"


def _file_name(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_ " else "_" for c in name).strip() or "image"
