"""Evaluate: numbers for an image, by itself, against a reference, or for what a model makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from napari_restore import metrics
from napari_restore.core.errors import ImageError, RestoreError
from napari_restore.core.options import Fill
from napari_restore.judging.denoised import check
from napari_restore.metrics.noise import image_noise
from napari_restore.sources import Image, open_image
from napari_restore.sources.planes import planes_of_all
from napari_restore.sources.settled import settled
from napari_restore.store.model import Model
from napari_restore.verbs.learning import model_of


def evaluate(
    image: Any,
    reference: Any = None,
    *,
    model: Model | str | Path | None = None,
    measures: Sequence[str] | None = None,
    axes: str | None = None,
    channel: int | str | None = None,
    series: int | str | None = None,
    fill: Fill = "auto",
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
    axes, channel
        Of the image and of the reference, as wherever an image is opened.
    series, fill
        Of the image: which of several in its file, by number or name; and which value is no pixel.

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
    opened = settled(open_image(image, axes=axes, channel=channel, series=series), fill=fill)
    if model is not None:
        return _estimated(opened, model_of(model))
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
