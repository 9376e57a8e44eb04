"""Which pixels of an image count, settled from the image before anything is learned from it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter, uniform_filter

from napari_restore.core.errors import ImageError
from napari_restore.core.options import Fill
from napari_restore.core.region import Region
from napari_restore.sources.image import Image
from napari_restore.sources.pixels import PixelRule, Span, Spikes, flat_areas

Planes = list[NDArray[Any]]

_PARTS = (0.5, 0.0, 1.0, 0.25, 0.75, 0.1, 0.9)
"""Where along T and Z the planes lie that are looked at first."""
_MOST = 2**22
"""Pixels of a channel that are looked at, in whole planes."""
_BOX, _GRID = 512, 3
"""Sides of the boxes, and how many along Y and X, that stand for a plane that is larger."""

_LEAST_AREA = 100
"""Pixels of one value that are worth a word."""
_KINDS = 3
"""Values that may fill an image; more are levels of one without noise."""
_LEAST_LEFT = 0.01
"""Of the pixels, that have to be left."""
_WINDOW, _LONE = 7, 5
"""A pixel is alone that has no more than so many others about it, in a window of that side, that are no filling."""
_LONE_AT_MOST, _LONE_SHARE = 2, 2e-5
"""So many of them, or so many to a pixel of filling, are dirt: more are photons."""
_NEXT = 3
"""Values next to that of the filling which photons have beside the dark."""
_NEXT_SHARE = 0.5
_RING, _RING_SHARE = 7, 0.2
"""Around filling its value is seldom measured: a dark that noise is cut off at has it in every second pixel there."""
_BY_CHANCE = 1e-3
"""Of the pixels that are measured: where the values next to it are rarer among them, filling is so wherever it is."""

_QUANTILE, _BEYOND = 0.02, 1.5
"""Between this quantile and that from above lies most; an outlier lies so many times that range beyond it."""
_HIGH = 15.0
"""Deviations of the noise, or values of whole numbers, that an outlier has over its surroundings."""
_FEW = 0.005
"""Of the pixels: what is more is no outlier, but what is there."""
_NORMAL_MAD = 0.6744897501960817


@dataclass(frozen=True)
class _Area:
    """Where an image has one exact value in large areas: its pixels, and those of the commonest value next to it."""

    value: float
    count: int
    next_to: int


def settled(image: Image, *, fill: Fill = "auto") -> Image:
    """The image with a rule that says which of its pixels count, and with notes on what was found.

    Looked at are whole planes, up to four million pixels a channel; of planes that are larger, their corners, the
    middles of their sides and their middle.

    Parameters
    ----------
    image
        Any; a rule that it has is settled anew.
    fill
        ``"auto"``: values that the file names, and large areas of one exact value, as filling and saturation are, but
        not the dark of an image of few photons. A number: this value and nothing else. ``"none"``: no value is filling.
    """
    image = replace(image, rule=PixelRule())
    channels = [_planes(image, channel) for channel in range(image.geometry.length("C"))]
    rule, notes = _filling(image, channels, fill)
    spikes, counts = [], []
    for channel, planes in enumerate(channels):
        seen = [rule.apply(plane[None], "CYX", channel=channel).values[0] for plane in planes]
        found, count = _spikes(seen, whole=image.dtype.kind in "iu")
        spikes.append(found)
        counts.append((channel, count, sum(p.size for p in planes)))
    return replace(
        image,
        rule=replace(rule, spikes=tuple(spikes) if any(spikes) else ()),
        notes=(*image.notes, *notes, *_told(counts, image)),
    )


def _told(counts: Sequence[tuple[int, int, int]], image: Image) -> Iterator[str]:
    for channel, count, of in counts:
        if count:
            many = f"{count} pixels lie" if count > 1 else "1 pixel lies"
            where = f" of channel {channel}" if len(counts) > 1 else ""
            part = "" if of * len(counts) == math.prod(image.shape) else f" (of {of} looked at)"
            yield f"{many}{where} far from all others{part}: not learned from, and handed on as `outliers` says"


def _planes(image: Image, channel: int) -> Planes:
    """Planes of a channel, as they are stored."""
    fixed = {"C": channel} if "C" in image.axes else {}
    outer = [a for a in image.axes if a not in "CYX"]
    height, width = image.geometry.length("Y"), image.geometry.length("X")
    total = math.prod(image.geometry.length(a) for a in outer)
    most = max(1, min(total, _MOST // min(height * width, _MOST)))
    if total > most:
        most = max(most, min(total, 3))
    spread = np.linspace(0, total - 1, most).round() if most > len(_PARTS) else [round(p * (total - 1)) for p in _PARTS]
    numbers = list(dict.fromkeys(int(n) for n in spread))[:most]
    found = []
    for number in numbers:
        at = np.unravel_index(number, [image.geometry.length(a) for a in outer]) if outer else ()
        place = {**fixed, **{a: int(i) for a, i in zip(outer, at, strict=True)}}
        for box in _boxes(height, width):
            spans = [box[a] if a in box else (place[a], place[a] + 1) for a in image.axes]
            pixels = _read(image, Region(tuple(s[0] for s in spans), tuple(s[1] for s in spans)))
            if pixels is not None:
                rest = [i for i, a in enumerate(image.axes) if a not in "YX"]
                order = [*rest, image.axes.index("Y"), image.axes.index("X")]
                found.append(pixels.transpose(order).reshape([pixels.shape[i] for i in order[-2:]]))
    return found


def _read(image: Image, region: Region) -> NDArray[Any] | None:
    """Pixels, or None where a chunk cannot be read: who needs it will say so."""
    try:
        return image.read(region)
    except ImageError:
        return None


def _boxes(height: int, width: int) -> Iterator[dict[str, tuple[int, int]]]:
    """The whole plane, or boxes spread over it from border to border."""
    if height * width <= _MOST:
        yield {"Y": (0, height), "X": (0, width)}
        return
    along = [np.linspace(0, max(0, n - _BOX), _GRID if n > _BOX else 1).astype(int) for n in (height, width)]
    for y in along[0]:
        for x in along[1]:
            yield {"Y": (int(y), int(min(y + _BOX, height))), "X": (int(x), int(min(x + _BOX, width)))}


def _filling(image: Image, channels: Sequence[Planes], fill: Fill) -> tuple[PixelRule, list[str]]:
    """What fills the image up, and that in words."""
    if fill == "none":
        return PixelRule(), []
    said: tuple[Span, ...] = image.filling if fill == "auto" else ((float(fill), float(fill)),)
    rule = PixelRule(fill=said)
    shares = [_share([rule.apply(p, "YX").values for p in planes]) for planes in channels]
    if said and min(shares) == 1:
        if fill != "auto":
            raise ImageError(f"{image.name}: every pixel looked at is {fill:g}, which `fill` says is no pixel.")
        return PixelRule(), [f"every pixel looked at is {_words(said)}, which the file calls filling: not taken so"]
    filled = said and max(shares) > 0
    notes = [f"{_percent(max(shares))} of the pixels are {_words(said)}: filling, {_KEPT}"] if filled else []
    if fill != "auto":
        return rule, notes
    constant = tuple(i for i, planes in enumerate(channels) if _is_constant(planes)) if len(channels) > 1 else ()
    channels = [planes for i, planes in enumerate(channels) if i not in constant]
    areas = _areas([rule.apply(p, "YX").values for planes in channels for p in planes])
    if areas is None:
        return rule, notes
    filling, live, flat = areas
    total = sum(p.size for planes in channels for p in planes)
    for area in filling:
        share = _percent(area.count / total)
        notes.append(f"{share} of the pixels are exactly {area.value:g}, as filling or saturation is: {_KEPT} (`fill`)")
    rare = tuple(a.value for a in filling if a.next_to < _BY_CHANCE * (total - a.count))
    return PixelRule(said, rare, flat, tuple(live), constant), notes


def _is_constant(planes: Planes) -> bool:
    values = {float(value) for p in planes if p.size for value in (p.min(), p.max())}
    return len(values) < 2


_KEPT = "neither learned from nor changed"


def _words(spans: Sequence[Span]) -> str:
    return " or ".join(f"{low:g}" if low == high else f"{low:g} to {high:g}" for low, high in spans)


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %"


def _share(planes: Sequence[NDArray[Any]]) -> float:
    """Of pixels that are not finite."""
    count = sum(p.size for p in planes)
    return 1 - sum(int(np.isfinite(p).sum()) for p in planes) / count if count else 0.0


def _areas(planes: Sequence[NDArray[Any]]) -> tuple[list[_Area], list[float], bool] | None:
    """What fills planes up in large areas, values whose areas are measurements, and whether others would be filling.

    None where the areas are the image: levels of one without noise, or all of it.
    """
    if not planes:
        return None
    masks = [flat_areas(plane) for plane in planes]
    values, counts = np.unique(np.concatenate([p[m] for p, m in zip(planes, masks, strict=True)]), return_counts=True)
    large = [float(v) for v, n in zip(values, counts, strict=True) if n >= _LEAST_AREA]
    finite = sum(int(np.isfinite(p).sum()) for p in planes)
    if len(large) > _KINDS or finite - int(counts.sum()) < _LEAST_LEFT * finite:
        return None
    filling, live = [], [float(v) for v in values if float(v) not in large]
    for value in large:
        around = [_Around.of(p, m, value) for p, m in zip(planes, masks, strict=True)]
        if _is_live(around, _next_to(planes, value)):
            live.append(value)
        else:
            beside = [sum(int((p == other).sum()) for p in planes) for other in _next_to(planes, value)]
            filling.append(_Area(value, sum(a.area for a in around), max(beside, default=0)))
    return filling, live, True


@dataclass(frozen=True)
class _Around:
    """An area of one value in a plane: its pixels, the values at its border, which of them are of pixels alone.

    ``ring`` and ``same`` count the pixels around it, and those that have its value.
    """

    area: int
    border: NDArray[Any]
    lone: NDArray[np.bool_]
    ring: int = 0
    same: int = 0

    @classmethod
    def of(cls, plane: NDArray[Any], flat: NDArray[np.bool_], value: float) -> _Around:
        area = flat & (plane == value)
        if not area.any():
            return cls(0, plane[:0, 0], np.zeros(0, np.bool_))
        other = np.isfinite(plane) & (plane != value)
        border = other & maximum_filter(area, 3)
        others = uniform_filter(other.astype(np.float64), _WINDOW)[border] * _WINDOW**2
        ring = plane[maximum_filter(area, _RING) & ~area & np.isfinite(plane)]
        return cls(int(area.sum()), plane[border], np.rint(others) <= _LONE, ring.size, int((ring == value).sum()))


def _is_live(around: Sequence[_Around], beside: NDArray[Any]) -> bool:
    """Whether areas of a value are measured, as the dark is where photons are counted.

    Then the value is frequent around them, too, or what borders on them are the next values, one photon, two, three;
    and single pixels of these lie in them.
    """
    if sum(a.same for a in around) > _RING_SHARE * sum(a.ring for a in around):
        return True
    border = np.concatenate([a.border for a in around])
    lone = np.concatenate([a.lone for a in around])
    next_to = np.isin(border, beside)
    area = sum(a.area for a in around)
    if int((lone & next_to).sum()) > max(_LONE_AT_MOST, _LONE_SHARE * area):
        return True
    return len(border) > 0 and float(next_to.mean()) > _NEXT_SHARE


def _next_to(planes: Sequence[NDArray[Any]], value: float) -> NDArray[Any]:
    """The values next above and below one that occur in planes."""
    values = np.unique(np.concatenate([np.unique(p[np.isfinite(p)]) for p in planes]))
    place = int(np.searchsorted(values, value))
    return np.concatenate([values[max(0, place - _NEXT) : place], values[place + 1 : place + 1 + _NEXT]])


def _spikes(planes: Sequence[NDArray[Any]], *, whole: bool) -> tuple[Spikes | None, int]:
    """What outliers of a channel are, and how many there are in its planes; None where they are no few."""
    finite = np.concatenate([p[np.isfinite(p)] for p in planes]) if planes else np.empty(0)
    size = finite.size
    if size < _LEAST_AREA:
        return None, 0
    quantum = _quantum(finite, whole=whole)
    quantiles = np.quantile(finite, (_QUANTILE, 0.5, 1 - _QUANTILE), overwrite_input=True)
    low, middle, high = (float(v) for v in quantiles)
    del finite  # as large as all that is looked at, as what comes next
    step = _HIGH * max(_noise(planes), quantum)
    if step == 0:
        return None, 0
    beyond = _BEYOND * (high - low)
    spikes = Spikes(low - beyond, high + beyond, middle, step, dark=low)
    count = sum(len(spikes.find(p)[0]) for p in planes)
    return (spikes, count) if count <= _FEW * size else (None, 0)


def _noise(planes: Sequence[NDArray[Any]]) -> float:
    """Deviation of the noise by the median of second differences along X, whatever a few pixels are."""
    bends = (np.abs(p[:, :-2] - 2 * p[:, 1:-1] + p[:, 2:]) for p in planes if p.shape[1] > 2)
    finite = np.concatenate([b[np.isfinite(b)] for b in bends] or [np.empty(0)])
    return float(np.median(finite, overwrite_input=True)) / _NORMAL_MAD / math.sqrt(6) if finite.size else 0.0


def _quantum(values: NDArray[Any], *, whole: bool) -> float:
    """The least distance of two values: one photon, or one count."""
    distinct = np.unique(values[:: max(1, values.size // 100_000)])
    least = float(np.diff(distinct).min()) if len(distinct) > 1 else 0.0
    return max(least, 1.0) if whole else least
