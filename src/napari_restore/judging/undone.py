"""Is the learned result better than a classical one? A part of the image restored both ways, and judged without truth.

What can be told from the measured image alone is how far ``A x`` is from what there was before the noise (SURE), and
whether ``y - A x`` looks like noise. Neither sees what the operator removed: a restoration that makes up what the
instrument could not see is not found out here, and one that smooths too little looks good (Wiener's filter with the
least SURE is 2 dB worse than the best one). So a warning needs a clear difference, and no praise follows from none.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import convolve

from napari_restore.core.events import Compared, Note
from napari_restore.core.job import Events
from napari_restore.core.layout import from_samples, to_samples
from napari_restore.core.normalisation import Normalisation
from napari_restore.core.region import Region
from napari_restore.judging.baselines import Baseline, Pixels, baselines_for, forward
from napari_restore.methods.apply import per_axis, restore_samples
from napari_restore.methods.device import find_device
from napari_restore.methods.imaging import Imaging, ImagingConfig
from napari_restore.metrics.whiteness import whiteness
from napari_restore.operators import psf as psfs
from napari_restore.operators.operator import Operator
from napari_restore.sources import Image
from napari_restore.sources.padded import read_reflected
from napari_restore.store.model import Model

LEARNED = "learned"

_DEPTH = 16
_LEAST_PIXELS = 4096
_CONTEXT = 3

_CLEARLY = 2.0
_CLEARLY_WORSE = 1.02
_PARTS = 8
_RINGS = 12
_FREQUENCIES = 1000
_STRUCTURE = 1.3
_NOISE_TOO_LOW = 1.5
_NOISE_TOO_HIGH = 0.2


@dataclass(frozen=True)
class Judged:
    """One restoration of the part looked at.

    Attributes
    ----------
    name, label
        ``"learned"`` or a name of ``baselines.BASELINES``; for people.
    sure
        Estimated error of ``A x``, root mean square in units of the image; 0 where the estimate is below 0.
    whiteness
        Of the residual ``y - A x``: 0 for noise, see ``metrics.whiteness``.
    residual
        Its root mean square over that of the noise: near 1, less where the noise was fitted too.
    """

    name: str
    label: str
    sure: float
    whiteness: float
    residual: float


@dataclass(frozen=True)
class Judgement:
    """All restorations of the part looked at, the learned one first.

    Attributes
    ----------
    best
        Name of the row with the least ``sure``.
    learned_is_better
        False where the learned result is clearly worse than a baseline, or does not fit the image.
    warning
        What is wrong, in words for the user; empty where nothing is.
    """

    rows: tuple[Judged, ...]
    best: str
    learned_is_better: bool
    warning: str = ""

    def report(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {**asdict(self), "rows": [asdict(row) for row in self.rows]}


@dataclass(frozen=True, eq=False)
class _Part:
    """What is looked at, one channel of it, with the surroundings that restoring it needs. Arrays ``(*S)``.

    Attributes
    ----------
    pixels
        In units of the image; the mean of the others where they are not finite.
    finite
        Where they are.
    variance
        Of their noise.
    probe
        -1 or 1, for the SURE estimates.
    counted
        Slices of the part without surroundings, and without what sees past the border of the image.
    """

    pixels: Pixels
    finite: NDArray[np.bool_]
    variance: NDArray[np.float64]
    probe: Pixels
    counted: tuple[slice, ...]

    def narrowed(self, context: Sequence[int]) -> _Part:
        """The same with at most so many pixels of surroundings along each axis."""
        first = [max(0, c.start - k) for c, k in zip(self.counted, context, strict=True)]
        box = tuple(slice(a, c.stop + k) for a, c, k in zip(first, self.counted, context, strict=True))
        counted = tuple(slice(c.start - a, c.stop - a) for a, c in zip(first, self.counted, strict=True))
        return _Part(self.pixels[box], self.finite[box], self.variance[box], self.probe[box], counted)


@dataclass(frozen=True, eq=False)
class _Seen:
    """What a restoration looks like on the measured grid: ``risk`` and ``residual`` of the counted pixels."""

    risk: NDArray[np.float64]
    residual: Pixels


def judge_events(image: Image, model: Model, **options: Any) -> Events[Judgement | None]:
    """``judge``, as a generator of events: ``Compared``, and a warning where the learned result is not better."""
    judgement = judge(image, model, **options)
    if judgement is not None:
        yield Compared(tuple((r.name, r.sure, r.whiteness, r.residual) for r in judgement.rows), judgement.best)
        if judgement.warning:
            yield Note(judgement.warning, "warning")
    return judgement


def judge(image: Image, model: Model, *, size: int = 256, seed: int = 0, device: str = "auto") -> Judgement | None:
    """Restore the middle of the image by the model and by every baseline there is for its operator, and compare them.

    Parameters
    ----------
    size
        Pixels along Y and X of the middle plane, at most; of volumes, a box of about as many pixels. First channel.
    seed
        Of the random probe that all SURE estimates share.

    Returns
    -------
    Judgement or None
        None where there is nothing to judge by: the method undoes no operator, the noise is 0, or less than 4096
        pixels see nothing past the border of the image.
    """
    method = model.method
    if not isinstance(method, Imaging):
        return None
    part = _part(image, method, size=size, seed=seed)
    counted = part.variance[part.counted]
    if counted.size < _LEAST_PIXELS or float(counted.max()) == 0:
        return None
    operator = _on_cpu(method.operator)
    near = part.narrowed(_context(operator))
    seen = {LEARNED: _see(_learned(model, device), part, operator, method)}
    classical = baselines_for(method.config.psf)
    for name, baseline in classical.items():
        seen[name] = _see(_settled(baseline, near.pixels, near.variance, method, operator), near, operator, method)
    labels = {LEARNED: method.label, **{name: b.label for name, b in classical.items()}}
    sigma = math.sqrt(counted.mean())
    rows = tuple(_judged(name, labels[name], each, sigma) for name, each in seen.items())
    return _verdict(rows, seen, variance=counted, white=not method.config.covariance)


def baselines_of(image: Image, model: Model, region: Region | None = None) -> dict[str, NDArray[np.float32]]:
    """Every baseline of a region, by its label: to be laid beside the learned result.

    Parameters
    ----------
    region
        In pixels of the image, in the order of its axes; all of it where not given.

    Returns
    -------
    dict
        Arrays of the region's shape, ``rate`` times as long along each spatial axis, in units of the image. Empty
        where the method undoes no operator.
    """
    method = model.method
    if not isinstance(method, Imaging):
        return {}
    region = region if region is not None else Region.of_shape(image.shape)
    operator = _on_cpu(method.operator)
    context = per_axis(image.axes, method.spatial, _context(operator), default=0)
    read = region.grow(context)
    samples = _filled(to_samples(read_reflected(image, read).astype(np.float32), image.axes, method.spatial))
    rate = per_axis(image.axes, method.spatial, method.rate, default=1)
    inner = tuple(slice(c * r, (c + n) * r) for c, n, r in zip(context, region.shape, rate, strict=True))
    shape = tuple(n * r for n, r in zip(read.shape, rate, strict=True))
    return {
        b.label: from_samples(_of_samples(b, samples, method, operator), shape, image.axes, method.spatial)[inner]
        for b in baselines_for(method.config.psf).values()
    }


def _of_samples(
    baseline: Baseline, samples: NDArray[np.float32], method: Imaging, operator: Operator
) -> NDArray[np.float32]:
    """Samples ``(N, C, *S)`` restored one by one."""
    restored = [
        [_settled(baseline, y, _variance(y, method, channel), method, operator)(y) for channel, y in enumerate(sample)]
        for sample in samples
    ]
    return np.asarray(restored, np.float32)


def _part(image: Image, method: Imaging, *, size: int, seed: int) -> _Part:
    region = _middle(image, method.spatial, size)
    grid = per_axis(image.axes, method.spatial, method.grid, default=1)
    context = tuple(max(r, m) for r, m in zip(method.radius, method.operator.margin, strict=True))
    grown = region.grow(per_axis(image.axes, method.spatial, context, default=0))
    start = tuple(a // g * g for a, g in zip(grown.start, grid, strict=True))
    stop = tuple(a - (a - b) // g * g for a, b, g in zip(start, grown.stop, grid, strict=True))
    pixels = read_reflected(image, Region(start, stop)).astype(np.float32)
    sample = to_samples(pixels, image.axes, method.spatial)[0, 0]
    margin = per_axis(image.axes, method.spatial, method.operator.margin, default=0)
    whole = Region(margin, tuple(max(m, n - m) for m, n in zip(margin, image.shape, strict=True)))
    counted = dict(zip(image.axes, _overlap(region, whole).relative_to(start).slices, strict=True))
    filled = _filled(sample)
    probe = np.random.default_rng(seed).choice(np.asarray([-1, 1], np.float32), sample.shape)
    variance = _variance(filled, method)
    return _Part(filled, np.isfinite(sample), variance, probe, tuple(counted[a] for a in method.spatial))


def _middle(image: Image, spatial: str, size: int) -> Region:
    """A box in the middle of the image with at most about ``size ** 2`` pixels; one along T and C."""
    depth = min(_DEPTH, image.geometry.length("Z")) if "Z" in spatial else 1
    most = {"Z": depth, "Y": round(size / math.sqrt(depth)), "X": round(size / math.sqrt(depth))}
    lengths = [min(n, most.get(a, 1)) for a, n in zip(image.axes, image.shape, strict=True)]
    start = [0 if a == "C" else (n - k) // 2 for a, n, k in zip(image.axes, image.shape, lengths, strict=True)]
    return Region(tuple(start), tuple(a + k for a, k in zip(start, lengths, strict=True)))


def _overlap(one: Region, other: Region) -> Region:
    start = tuple(max(a, b) for a, b in zip(one.start, other.start, strict=True))
    return Region(start, tuple(max(a, min(b, c)) for a, b, c in zip(start, one.stop, other.stop, strict=True)))


def _filled(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    finite = np.isfinite(samples)
    return samples if finite.all() else np.where(finite, samples, samples[finite].mean() if finite.any() else 0)


def _variance(y: Pixels, method: Imaging, channel: int = 0) -> NDArray[np.float64]:
    """Of the noise of each pixel, in squared units of the image."""
    config = method.config
    read = config.sigma[channel] ** 2 if config.sigma else 0.0
    if method.unsure is not None:  # it has found the level itself
        read = float(method.unsure.variance) * (config.std[channel] or 1.0) ** 2
    return read + config.gain * np.maximum(0, y.astype(np.float64) - config.offset)


def _context(operator: Operator) -> tuple[int, ...]:
    """As far around a region as a classical restoration of it is worth to see."""
    return tuple(_CONTEXT * m + 8 if m else 0 for m in operator.margin)


def _on_cpu(operator: Operator) -> Operator:
    return copy.deepcopy(operator).cpu()


def _learned(model: Model, device: str) -> Callable[[Pixels], Pixels]:
    place = find_device(device)
    method = model.method.for_restoring().to(place)
    constants = Normalisation(model.normalisation.mean[:1], model.normalisation.std[:1])

    def restore(y: Pixels) -> Pixels:
        restored: Pixels = restore_samples(method, y[None, None], normalisation=constants, device=place)[0, 0]
        return restored

    return restore


def _settled(
    baseline: Baseline, y: Pixels, variance: NDArray[np.float64], method: Imaging, operator: Operator
) -> Callable[[Pixels], Pixels]:
    """A baseline with the settings it chooses for ``y``."""
    config = method.config
    psf = psfs.parse(config.psf, ndim=len(method.spatial)) if config.psf else None
    given: dict[str, Any] = {"operator": operator, "sigma": math.sqrt(variance.mean()), "centred": method.centred}
    return partial(baseline.restore, **given, psf=psf, **baseline.settle(y, **given))


def _see(restore: Callable[[Pixels], Pixels], part: _Part, operator: Operator, method: Imaging) -> _Seen:
    """SURE of each pixel (Ramani et al. 2008, doi:10.1109/TIP.2008.2001404); its mean is ``losses.sure``'s.

    ``(y - A x)^2 - v + 2 (C b) (A f(y + step b) - A f(y)) / step`` with noise of variance v and covariance C, its
    diagonal where it is white; b is -1 or 1, whose squares add no noise to the estimate.
    """
    y, config = part.pixels, method.config
    step = np.float32(config.tau * (config.std[0] if config.std and config.std[0] else 1.0))
    x = forward(operator, restore(y))
    moved = forward(operator, restore(y + step * part.probe))
    residual = np.where(part.finite, y - x, np.float32(0))
    risk = residual.astype(np.float64) ** 2 - part.variance + 2 * _correlated(part, config) * (moved - x) / step
    return _Seen(np.where(part.finite, risk, 0)[part.counted], residual[part.counted])


def _correlated(part: _Part, config: ImagingConfig) -> NDArray[np.float64]:
    """The noise's covariance times the probe."""
    if not config.covariance:
        return part.variance * part.probe
    covariance = np.asarray(config.covariance, np.float64)
    covariance = covariance.reshape((1,) * (part.probe.ndim - 2) + covariance.shape)
    spread: NDArray[np.float64] = convolve(part.probe.astype(np.float64), covariance)
    return spread


def _judged(name: str, label: str, seen: _Seen, sigma: float) -> Judged:
    return Judged(
        name,
        label,
        sure=math.sqrt(max(0.0, float(seen.risk.mean()))),
        whiteness=float(whiteness(seen.residual)),
        residual=float(np.sqrt(np.mean(np.square(seen.residual, dtype=np.float64)))) / sigma,
    )


def _verdict(
    rows: tuple[Judged, ...], seen: Mapping[str, _Seen], *, variance: NDArray[np.float64], white: bool
) -> Judgement:
    risks = {row.name: seen[row.name].risk for row in rows}
    best = min(rows, key=lambda row: risks[row.name].mean())
    rival = min(rows[1:], key=lambda row: risks[row.name].mean())
    worse = _clearly_worse(risks[LEARNED], risks[rival.name])
    spectrum = _spectrum(seen[LEARNED].residual / np.sqrt(variance)) if white else np.ones(_RINGS)
    left_out = bool(spectrum[1:].max() > _STRUCTURE)
    sigma = math.sqrt(variance.mean())
    warning = (
        _noise_in_words(risks[LEARNED], spectrum, sigma)
        or (_worse_in_words(rows[0], rival) if worse else "")
        or (_structure_in_words(spectrum) if left_out else "")
    )
    return Judgement(rows, best.name, not (worse or left_out), warning)


def _clearly_worse(risk: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    """By two standard errors of the difference and by 2 % of the error.

    On two photographs blurred by 2 px or coarsened twice, noise 5, after 200 steps: all results that were better than
    their rival by the truth had the smaller error. Of seven that were 0.1 dB and more worse, for a PSF too wide or too
    little training, the errors were 0 to 44 % larger; five of them are clear by this rule.
    """
    difference = risk - other
    return bool(
        difference.mean() > _CLEARLY * _standard_error(difference)
        and risk.mean() > _CLEARLY_WORSE**2 * max(0.0, float(other.mean()))
    )


def _standard_error(values: NDArray[np.float64]) -> float:
    """Of the mean, from 8 x 8 parts: neighbouring pixels are restored together and are no independent witnesses."""
    parts = [part.mean() for rows in np.array_split(values, _PARTS, -2) for part in np.array_split(rows, _PARTS, -1)]
    return float(np.std(parts, ddof=1) / _PARTS)


def _spectrum(residual: NDArray[Any]) -> NDArray[np.float64]:
    """Power of ``(..., Y, X)`` in rings of equal width from no frequency to that of every other pixel; 1 for noise.

    0 in rings with too few frequencies for their mean to be known within 6 %.
    """
    window = np.multiply.outer(*(np.hanning(n + 2)[1:-1] for n in residual.shape[-2:]))
    window /= math.sqrt((window**2).mean())
    power = np.abs(np.fft.fft2((residual - residual.mean()) * window)) ** 2 / window.size
    y, x = (np.fft.fftfreq(n) for n in residual.shape[-2:])
    ring = np.minimum(np.hypot(y[:, None], x) * 2 * _RINGS, _RINGS).astype(int).ravel()  # the corners are left out
    mean = power.reshape(-1, window.size).mean(0)
    count = np.bincount(ring, minlength=_RINGS + 1)[:_RINGS]
    sums = np.bincount(ring, mean, minlength=_RINGS + 1)[:_RINGS]
    planes = residual.size // window.size
    # A real image has every frequency twice, and the window ties each to its neighbours.
    return np.where(count * planes > _FREQUENCIES, sums / np.maximum(count, 1), 0.0)


def _noise_in_words(risk: NDArray[np.float64], spectrum: NDArray[np.float64], sigma: float) -> str:
    fine = float(np.median(spectrum[_RINGS // 2 :]))
    if fine > _NOISE_TOO_LOW:
        return (
            f"the image has more noise than the {sigma:.3g} it was taken to have: about {sigma * math.sqrt(fine):.2g} "
            "is left in its finest details. Give that as the noise: too little costs more than too much."
        )
    if -risk.mean() > max(_CLEARLY * _standard_error(risk), _NOISE_TOO_HIGH * sigma**2):
        return (
            f"the image has less noise than the {sigma:.3g} it was taken to have: less than that is left between it "
            "and the result. Give a smaller noise for more detail."
        )
    return ""


def _worse_in_words(learned: Judged, rival: Judged) -> str:
    return (
        f"the learned result is no better than a classical one here: its estimated error is {learned.sure:.3g}, "
        f"that of {rival.label} {rival.sure:.3g}. Train longer, or check the PSF: one too wide does this."
    )


def _structure_in_words(spectrum: NDArray[np.float64]) -> str:
    ring = int(np.argmax(spectrum[1:])) + 1
    return (
        f"the learned result leaves out more than noise: details of about {2 * _RINGS / (ring + 0.5):.2g} px have "
        f"{spectrum[ring]:.1f} times the power of the noise in what it leaves. The PSF may be too wide, or the noise "
        "given too large."
    )
