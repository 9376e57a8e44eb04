"""What one attaches to a paper's supplement: what was done to an image, and how far it may be believed, on one page."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtri

from napari_restore.core.errors import ImageError
from napari_restore.core.version import __version__
from napari_restore.judging import guards, page
from napari_restore.judging.guarded import Guarded, guarded
from napari_restore.methods.device import find_device
from napari_restore.methods.measuring import noise_levels
from napari_restore.metrics.resolution import Curve, single_image_frc
from napari_restore.sources import Image
from napari_restore.store.model import Model, begun_with

_SHARES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
_PLUGIN = "napari-restore {version}, MIT licence; and the method's paper: {citation}."


@dataclass(frozen=True, eq=False)
class Told:
    """What a page is made from, besides image and model.

    Attributes
    ----------
    command
        That does the same again.
    report
        Of the restoration, plain values.
    measured, restored
        A plane of the middle, ``(Y, X)``; they differ in size where pixels became finer.
    deviation
        Of the restored plane, where that was asked for and can be told.
    """

    command: str
    report: Mapping[str, Any]
    measured: NDArray[Any]
    restored: NDArray[Any]
    deviation: NDArray[Any] | None = None


def report_page(image: Image, model: Model, told: Told, *, seed: int = 0, device: str = "auto") -> str:
    """The page, as HTML.

    The guards restore a part of the image some twenty times; what is no denoiser has none.

    Parameters
    ----------
    seed
        Of the noise that the guards draw.
    """
    try:
        found: Guarded | None = guarded(image, model, seed=seed, device=device)
    except ImageError:
        found = None
    parts = [
        *_done(image, model, told),
        *_pictures(told),
        *_noise(image),
        *_judged(told, found),
        *_bars(model, told, device),
        *([] if found is None else _guards(found)),
        *_detail(told),
        *_settings(model, told),
    ]
    return page.page(f"{image.name}: restored by {model.method.label}", parts)


def _done(image: Image, model: Model, told: Told) -> Iterator[str]:
    past = model.provenance
    trained = [each["name"] for each in past.get("images", [])]
    yield page.heading("What was done")
    yield page.facts(
        {
            "image": f"{image.name}, axes {image.axes}, {' x '.join(map(str, image.shape))}, {image.dtype}",
            "method": f"{model.method.label} ({model.name})",
            "paper": model.method.listed.citation,
            "trained on": trained or "nothing: it does not learn",
            **({"begun with": begun_with(past)} if "start" in past else {}),
            **{name: past[name] for name in ("date", "steps", "seconds", "seed") if name in past},
            "weights": sum(p.numel() for p in model.method.parameters()),
            "result": told.report.get("output_dtype", "as the source"),
        }
    )
    yield page.verbatim(told.command)


def _pictures(told: Told) -> Iterator[str]:
    known = told.restored[np.isfinite(told.restored)]
    limits = (float(np.percentile(known, 0.2)), float(np.percentile(known, 99.8))) if known.size else None
    yield page.heading("Before and after")
    yield page.picture(told.measured, "measured, the middle", limits=limits)
    yield page.picture(told.restored, "restored, in the same greys", limits=limits)
    if told.measured.shape == told.restored.shape:
        yield page.picture(told.measured.astype(np.float64) - told.restored, "what was taken away")
    if told.deviation is not None:
        yield page.picture(told.deviation, "standard deviation of the restored pixels: bright is unsure")


def _noise(image: Image) -> Iterator[str]:
    yield page.heading("Noise that was found")
    try:
        levels = noise_levels([image])
    except ImageError as error:
        yield page.paragraph(f"None could be measured: {error}")
        return
    names = ("channel", "deviation", "its spread", "growth with the signal", "without signal", "correlation")
    rows = [(c, n.sigma, n.spread, n.gain, n.read, n.correlation) for c, n in enumerate(levels)]
    yield page.table(names, rows)
    if not all(level.reliable for level in levels if not level.constant):
        yield page.paragraph("The flat parts of the image are too few to be sure of this.", kind="flag")


def _judged(told: Told, found: Guarded | None) -> Iterator[str]:
    checked = told.report.get("checked") or {}
    yield page.heading("How near to the truth, told without it")
    if "compared" in told.report:
        yield page.facts(told.report["compared"])
    elif not checked:
        yield page.paragraph("Nothing can be told of this image and method.")
    else:
        yield page.paragraph(checked["verdict"], kind="good" if checked["trusted"] else "flag")
        numbers = {
            "PSNR before, dB": checked["psnr_before"],
            "PSNR, estimated (SURE), dB": checked["psnr"],
            "PSNR at least (two standard errors), dB": checked["psnr_at_least"],
            "share of pixels around which detail was taken away": checked["structure"],
            "whiteness of what was taken away (0: white)": checked["whiteness"],
        }
        yield page.facts(numbers)
    flags = () if found is None else found.flags
    for flag in flags:
        if flag != checked.get("verdict"):
            yield page.paragraph(flag, kind="flag")


def _bars(model: Model, told: Told, device: str) -> Iterator[str]:
    yield page.heading("Error bars")
    if told.deviation is None:
        yield page.paragraph("None were asked for, or the method cannot tell them.")
        return
    curve = _foretold(model, told.measured, device)
    yield page.paragraph(
        f"The standard deviation of a restored pixel is {float(np.nanmedian(told.deviation)):.4g} in the median. "
        "Measured pixels are foretold from the others alone, with the noise: so many of them lie in the interval that "
        "is to hold so many. This tests noise and prediction together; it needs no truth."
    )
    if curve:
        yield page.chart(
            {"": curve}, "On the dashed line intervals hold what they say.", along="asked", up="held", diagonal=True
        )


def _foretold(model: Model, measured: NDArray[Any], device: str) -> list[tuple[float, float]]:
    """Shares of the measured pixels that intervals hold which were foretold without them."""
    if len(model.method.spatial) != 2 or model.method.channels != 1:
        return []
    grid = model.method.grid
    side = [n // g * g for n, g in zip(measured.shape, grid, strict=True)]
    pixels = model.normalisation.apply(np.nan_to_num(measured)[None, None, : side[0], : side[1]])
    place = find_device(device)
    with torch.inference_mode():
        told = model.method.to(place).foretold(torch.from_numpy(pixels).to(place))
    if told is None:
        return []
    mean, deviation = (each.cpu().numpy() for each in told)
    far = np.abs(pixels - mean) / deviation
    return [(share, float(np.mean(far <= ndtri((1 + share) / 2)))) for share in _SHARES]


def _guards(found: Guarded) -> Iterator[str]:
    yield page.heading("Guards against invented structure")
    yield page.paragraph(
        f"Noise alone was restored: {100 * guards.LIMIT:.0f} % of its deviation or less counts as flat. Structures "
        "were planted in the image: their brightness is to come back in proportion, and from a contrast on all do. "
        f"The image does not surely bear out {100 * found.unsupported:.1f} % of the places with structure in the "
        f"result. A restored pixel is {100 * found.own:.0f} % its own, and owes the rest to its surroundings."
    )
    rows = [(row.name, row.signal, row.kept, row.flat) for row in found.null]
    yield page.table(("noise on a signal that is", "signal", "deviation left", "flat"), rows)
    names = ("planted", "contrast over noise", "restored over true brightness", "share that comes back")
    yield page.table(names, [(row.size, row.contrast, row.recovered, row.found) for row in found.planted])
    curves = {s: [(r.contrast, r.found) for r in found.planted if r.size == s] for s in guards.SIZES}
    yield page.chart(curves, "What is detectable.", along="contrast over noise", up="share that comes back", log=True)
    curves = {s: [(r.contrast, r.recovered) for r in found.planted if r.size == s] for s in guards.SIZES}
    yield page.chart(
        curves, "Linearity: 1 is in proportion.", along="contrast over noise", up="restored / true", log=True
    )
    yield page.facts({f"{size} structures detectable from, times the noise": c for size, c in found.detectable.items()})
    own, borne_out = (_plane(found.maps[name]) for name in ("own", "borne_out"))
    most = max(0.1, float(own.max()))
    shares = f"share of a pixel that is its own, 0 to {most:.2g}: what is black owes all to its surroundings"
    yield page.picture(own, shares, limits=(0, most))
    asked = np.isfinite(borne_out)
    doubtful = np.where(asked, np.where(borne_out < guards.SURE, 1.0, 0.35), 0.0)
    yield page.picture(doubtful, "white: structure that the image does not surely bear out; black: none", limits=(0, 1))


def _detail(told: Told) -> Iterator[str]:
    yield page.heading("Resolution")
    try:
        before, after = (single_image_frc(np.nan_to_num(each)) for each in (told.measured, told.restored))
    except ImageError as error:
        yield page.paragraph(f"It cannot be told: {error}")
        return
    yield page.paragraph(
        f"Single-image Fourier ring correlation, threshold 1/7: {page.worded(float(before.resolution))} pixels before "
        f"and {page.worded(float(after.resolution))} pixels after; 4 are the finest that it tells. What a model makes "
        "up counts as detail."
    )
    curves = {"measured": _points(before), "restored": _points(after)}
    yield page.chart(curves, "How alike rings are.", along="cycles per pixel", up="correlation")


def _settings(model: Model, told: Told) -> Iterator[str]:
    card = model.card()
    yield page.heading("Settings and versions")
    yield page.facts({name: value for name, value in card["config"].items() if name != "errors"})
    versions = {"napari-restore": __version__, "torch": torch.__version__, "numpy": np.__version__}
    yield page.facts({**versions, "python": platform.python_version()})
    yield page.facts({k: v for k, v in told.report.items() if not isinstance(v, Mapping)})
    yield page.heading("How to cite")
    yield page.paragraph(_PLUGIN.format(version=__version__, citation=model.method.listed.citation))


def _plane(pixels: NDArray[Any]) -> NDArray[Any]:
    """The middle one of ``(..., Y, X)``."""
    flat = pixels.reshape(-1, *pixels.shape[-2:])
    middle: NDArray[Any] = flat[len(flat) // 2]
    return middle


def _points(curve: Curve) -> list[tuple[float, float]]:
    return [(float(f), float(c)) for f, c in zip(curve.frequency, curve.correlation, strict=True)]
