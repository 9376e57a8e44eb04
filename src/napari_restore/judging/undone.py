"""Is the learned result better than a classical one? A part of the image restored both ways, and judged without truth.

What can be told from the measured image alone is how far ``A x`` is from what there was before the noise (SURE), and
whether ``y - A x`` looks like noise. Neither sees what the operator removed: a restoration that makes up what the
instrument could not see is not found out here, and one that smooths too little looks good (Wiener's filter with the
least SURE is 2 dB worse than the best one). So a warning needs a clear difference, and no praise follows from none.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
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
from napari_restore.judging import words
from napari_restore.judging.baselines import Baseline, Pixels, baselines_for, forward
from napari_restore.judging.part import LEAST_PIXELS, Part, filled, part_of
from napari_restore.methods.apply import per_axis, restore_samples
from napari_restore.methods.device import find_device
from napari_restore.methods.method import Interrupted, Undone
from napari_restore.metrics.spectrum import RINGS, ring_period, ring_power, standard_error
from napari_restore.metrics.whiteness import whiteness
from napari_restore.operators.operator import Operator
from napari_restore.sources import Image
from napari_restore.sources.padded import seen_reflected
from napari_restore.store.model import Model

LEARNED = "learned"

_CONTEXT, _SIZE = {2: (3, 8), 3: (2, 8)}, {2: 1.0, 3: 0.75}
"""Times what the operator sees around a pixel, and pixels more: a classical inverse sees farther than what it undoes;
and the side of the part, by the number of axes.

Of volumes less, as what lies around a box is most of it. With the PSF's margin alone around it, Richardson-Lucy and
total variation came out three and four times as far off as they are.
"""
_CLEARLY = 2.0  # standard errors
_CLEARLY_WORSE = 1.02  # of the error
_STRUCTURE = 1.3  # times the noise's power in a ring of frequencies, whose mean is known within 6 %
_NOISE_TOO_LOW = 1.5  # times the variance given, in the finest details
_NOISE_TOO_HIGH = 0.2  # of the variance given: an estimated error so far below 0


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


def judge(
    image: Image,
    model: Model,
    *,
    size: int = 256,
    seed: int = 0,
    device: str = "auto",
    stopping: Callable[[], bool] | None = None,
) -> Judgement | None:
    """Restore the middle of the image by the model and by every baseline there is for its operator, and compare them.

    Parameters
    ----------
    size
        Pixels along Y and X of the middle plane, at most; of volumes, a box of about half as many. First channel.
    seed
        Of the random probe that all SURE estimates share.
    stopping
        Asked whenever the operator is applied; once True, the judgement is given up.

    Returns
    -------
    Judgement or None
        None where there is nothing to judge by: the method undoes no operator, the noise is 0, or less than 4096
        pixels see nothing past the border of the image.

    Raises
    ------
    Interrupted
        If it was stopped.
    """
    method, undone = model.method, _on_cpu(model.method.undoes, stopping)
    if undone is None:
        return None
    part = part_of(image, method, undone, size=round(_SIZE[len(method.spatial)] * size), seed=seed)
    counted = part.variance[part.counted]
    if counted.size < LEAST_PIXELS or float(counted.max()) == 0:
        return None
    near = part.narrowed(_context(undone.operator))
    seen = {LEARNED: _see(_learned(model, device), part, undone)}
    classical = baselines_for(undone.psf)
    for name, baseline in classical.items():
        seen[name] = _see(_settled(baseline, near.pixels, near.variance, undone), near, undone)
    labels = {LEARNED: method.label, **{name: b.label for name, b in classical.items()}}
    sigma = math.sqrt(counted.mean())
    rows = tuple(_judged(name, labels[name], each, sigma) for name, each in seen.items())
    return _verdict(rows, seen, variance=counted, white=undone.covariance is None)


def baselines_of(image: Image, model: Model, region: Region | None = None) -> dict[str, NDArray[np.float32]]:
    """Every baseline of a region, by its label: to be laid beside the learned result; see ``each_baseline``."""
    return dict(each_baseline(image, model, region))


def each_baseline(
    image: Image, model: Model, region: Region | None = None, *, stopping: Callable[[], bool] | None = None
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """One baseline of a region after the other, as it is made.

    Parameters
    ----------
    region
        In pixels of the image, in the order of its axes; all of it where not given.
    stopping
        Asked whenever the operator is applied; once True, the one that is being made is given up.

    Yields
    ------
    tuple
        Its label, and an array of the region's shape, ``rate`` times as long along each spatial axis, in units of the
        image. None where the method undoes no operator.

    Raises
    ------
    Interrupted
        If it was stopped.
    """
    method, undone = model.method, _on_cpu(model.method.undoes, stopping)
    if undone is None:
        return
    region = region if region is not None else Region.of_shape(image.shape)
    context = per_axis(image.axes, method.spatial, _context(undone.operator), default=0)
    read = region.grow(context)
    samples = filled(to_samples(seen_reflected(image, read).values.astype(np.float32), image.axes, method.spatial))
    rate = per_axis(image.axes, method.spatial, method.rate, default=1)
    inner = tuple(slice(c * r, (c + n) * r) for c, n, r in zip(context, region.shape, rate, strict=True))
    shape = tuple(n * r for n, r in zip(read.shape, rate, strict=True))
    for b in baselines_for(undone.psf).values():
        yield b.label, from_samples(_of_samples(b, samples, undone), shape, image.axes, method.spatial)[inner]


def _of_samples(baseline: Baseline, samples: NDArray[np.float32], undone: Undone) -> NDArray[np.float32]:
    """Samples ``(N, C, *S)`` restored one by one."""
    restored = [
        [_settled(baseline, y, noise.at(y), undone)(y) for y, noise in zip(sample, undone.noise, strict=True)]
        for sample in samples
    ]
    return np.asarray(restored, np.float32)


def _context(operator: Operator) -> tuple[int, ...]:
    """As far around a region as a classical restoration of it is worth to see."""
    times, more = _CONTEXT[len(operator.margin)]
    return tuple(times * m + more if m else 0 for m in operator.margin)


def _on_cpu(undone: Undone | None, stopping: Callable[[], bool] | None = None) -> Undone | None:
    """With an operator of its own there: the baselines are NumPy's, and the method stays where it is."""
    if undone is None:
        return None
    operator = copy.deepcopy(undone.operator).cpu()
    if stopping is not None:
        operator.register_forward_pre_hook(partial(_give_up, stopping))
    return replace(undone, operator=operator)


def _give_up(stopping: Callable[[], bool], *_: Any) -> None:
    """What takes its time applies the operator again and again: there it can be stopped."""
    if stopping():
        raise Interrupted


def _learned(model: Model, device: str) -> Callable[[Pixels], Pixels]:
    place = find_device(device)
    method = model.method.for_restoring().to(place)
    constants = Normalisation(model.normalisation.mean[:1], model.normalisation.std[:1])

    def restore(y: Pixels) -> Pixels:
        restored: Pixels = restore_samples(method, y[None, None], normalisation=constants, device=place)[0, 0]
        return restored

    return restore


def _settled(
    baseline: Baseline, y: Pixels, variance: NDArray[np.float64], undone: Undone
) -> Callable[[Pixels], Pixels]:
    """A baseline with the settings it chooses for ``y``."""
    given: dict[str, Any] = {
        "operator": undone.operator,
        "sigma": math.sqrt(variance.mean()),
        "centred": undone.centred,
    }
    return partial(baseline.restore, **given, psf=undone.psf, **baseline.settle(y, **given))


def _see(restore: Callable[[Pixels], Pixels], part: Part, undone: Undone) -> _Seen:
    """SURE of each pixel (Ramani et al. 2008, doi:10.1109/TIP.2008.2001404); its mean is ``losses.sure``'s.

    ``(y - A x)^2 - v + 2 (C b) (A f(y + step b) - A f(y)) / step`` with noise of variance v and covariance C, its
    diagonal where it is white; b is -1 or 1, whose squares add no noise to the estimate.
    """
    y, step = part.pixels, np.float32(undone.step)
    x = forward(undone.operator, restore(y))
    moved = forward(undone.operator, restore(y + step * part.probe))
    residual = np.where(part.finite, y - x, np.float32(0))
    correlated = _correlated(part, undone.covariance)
    risk = residual.astype(np.float64) ** 2 - part.variance + 2 * correlated * (moved - x) / step
    return _Seen(np.where(part.finite, risk, 0)[part.counted], residual[part.counted])


def _correlated(part: Part, covariance: NDArray[np.float64] | None) -> NDArray[np.float64]:
    """The noise's covariance times the probe."""
    if covariance is None:
        return part.variance * part.probe
    whole = covariance.reshape((1,) * (part.probe.ndim - covariance.ndim) + covariance.shape)
    spread: NDArray[np.float64] = convolve(part.probe.astype(np.float64), whole)
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
    spectrum = ring_power(seen[LEARNED].residual / np.sqrt(variance)) if white else np.ones(RINGS)
    ring = int(np.argmax(spectrum[1:])) + 1
    left_out = bool(spectrum[ring] > _STRUCTURE)
    warning = (
        _wrong_noise(risks[LEARNED], spectrum, math.sqrt(variance.mean()))
        or (words.no_better(rows[0].sure, rival.label, rival.sure) if worse else "")
        or (words.left_out(ring_period(ring), spectrum[ring]) if left_out else "")
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
        difference.mean() > _CLEARLY * standard_error(difference)
        and risk.mean() > _CLEARLY_WORSE**2 * max(0.0, float(other.mean()))
    )


def _wrong_noise(risk: NDArray[np.float64], spectrum: NDArray[np.float64], sigma: float) -> str:
    """What the residual says of the level it was taken to have; empty where it fits."""
    fine = float(np.median(spectrum[RINGS // 2 :]))
    if fine > _NOISE_TOO_LOW:
        return words.more_noise(sigma, sigma * math.sqrt(fine))
    if -risk.mean() > max(_CLEARLY * standard_error(risk), _NOISE_TOO_HIGH * sigma**2):
        return words.less_noise(sigma)
    return ""
