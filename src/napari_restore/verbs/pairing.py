"""Whether the image that goes with another fits it: looked at before training, and matched where that is sound."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from napari_restore.core.errors import ImageError
from napari_restore.core.events import Note
from napari_restore.core.job import Events
from napari_restore.core.region import Region
from napari_restore.metrics.matching import Line, Move, Plane, line_between, move_between, moved_by_planes
from napari_restore.sources import Image
from napari_restore.sources.matched import in_brightness_of, part_of
from napari_restore.sources.planes import middle, middle_planes
from napari_restore.training.lesson import Lesson

Partner = Literal["second", "target"]

_STILL = 0.3
"""Pixels that a partner may lie off: what is learned from it then is hardly blurred."""
_LEAST_LIKE = 0.5
_SURE = 3.0  # standard errors
_SAME_GAIN = 0.02
_SAME_STEP = 0.01  # of the deviation of the image's pixels
_TOLD = 0.01  # of the image


@dataclass(frozen=True)
class _Pair:
    """An image and its partner, which lies on the same pixels."""

    image: Image
    partner: Image
    role: Partner

    @property
    def said(self) -> str:
        """The partner in words."""
        called = "the second image" if self.role == "second" else "the clean image"
        return called if self.partner.name == self.image.name else f"{called}, {self.partner.name},"

    @property
    def channels(self) -> list[int | None]:
        count = self.image.geometry.length("C")
        return list(range(count)) if count > 1 else [None]

    def planes(self, channel: int | None) -> list[tuple[Plane, Plane]]:
        """Middles of the same planes of both, NaN where nothing was measured."""
        both = [middle_planes(each, channel=channel) for each in (self.image, self.partner)]
        return [(a.astype(np.float64), b.astype(np.float64)) for a, b in zip(*both, strict=True)]


def paired(lesson: Lesson, role: Partner) -> Events[Lesson]:
    """A lesson whose partners fit their images: matched where that is sound, and said.

    A second acquisition is brought to its image's brightness, and pairs are cut to what both show where they have
    moved by whole pixels. A clean image's brightness stays, as it is what is wanted.

    Raises
    ------
    ImageError
        If a partner shows another scene, or has moved by what cannot be put right without interpolating.
    """
    lesson.check()
    pairs = []
    for image, partner in zip(lesson.images, lesson.partners or (), strict=True):
        pairs.append((yield from _matched(_Pair(image, partner, role))))
    return replace(lesson, images=[pair.image for pair in pairs], partners=[pair.partner for pair in pairs])


def _matched(pair: _Pair) -> Events[_Pair]:
    seen = [pair.planes(channel) for channel in pair.channels]
    every = [planes for channel in seen for planes in channel]
    _check_shows(pair, every)
    _check_depth(pair)
    by = _move(pair, every)
    if any(by):
        seen = [[_overlap(a, b, by) for a, b in channel] for channel in seen]
        pair = _cut(pair, by)
        yield Note(f"{pair.said} has moved by {_pixels(by)} from {pair.image.name}: what both show is learned from")
    lines = [line_between([a for a, _ in channel], [b for _, b in channel]) for channel in seen]
    for line in lines:
        if line is not None:
            _check_alike(pair, line)
    yield from _told_apart(pair, lines)
    return (yield from _in_brightness(pair, lines, seen))


def _check_shows(pair: _Pair, planes: Sequence[tuple[Plane, Plane]]) -> None:
    """Refuse a partner that is one value all over, as a file of another kind or a closed shutter is."""
    first, second = (np.concatenate([p[k][np.isfinite(p[k])] for p in planes]) for k in (0, 1))
    if second.size and first.size and np.ptp(second) == 0 and np.ptp(first) > 0:
        raise ImageError(
            f"every pixel looked at of {pair.said} is {second[0]:g}: there is nothing to learn from it. Is this the "
            f"right file? Else leave `{pair.role}` out."
        )


def _check_depth(pair: _Pair) -> None:
    """Refuse stacks that have moved along Z."""
    if pair.image.geometry.length("Z") < 2:
        return
    box = middle(pair.image)
    z = pair.image.axes.index("Z")
    up = 1 if box.stop[z] < pair.image.shape[z] else -1
    deeper = box.shift([up if k == z else 0 for k in range(pair.image.ndim)])
    boxes = (box, deeper) if up > 0 else (deeper, box)
    first, second = (tuple(_flat(each, b) for b in boxes) for each in (pair.image, pair.partner))
    way = moved_by_planes((first[0], first[1]), (second[0], second[1]))
    if way:
        raise _moved(pair, f"at least one plane {'deeper' if way > 0 else 'less deep'} along Z")


def _flat(image: Image, box: Region) -> Plane:
    """A plane ``(Y, X)`` of a region, of the first channel of several, NaN where nothing was measured."""
    pixels = image.seen(box).measured
    y, x = image.axes.index("Y"), image.axes.index("X")
    rest = [k for k in range(pixels.ndim) if k not in (y, x)]
    plane: Plane = pixels.transpose(*rest, y, x).reshape(-1, pixels.shape[y], pixels.shape[x])[0].astype(np.float64)
    return plane


def _move(pair: _Pair, planes: Sequence[tuple[Plane, Plane]]) -> tuple[int, int]:
    """Whole pixels along Y and X that the partner has moved by.

    Raises
    ------
    ImageError
        If it has moved by another part of a pixel, by too little that is certain, or not by the same everywhere.
    """
    moves = [move for a, b in planes if (move := move_between(a, b)) is not None]
    if not moves:
        return 0, 0
    mean = _mean(moves)
    for move in moves:
        if any(_surely(m - w, e, _STILL) for m, w, e in zip(move.by, mean.by, move.error, strict=True)):
            lowest, highest = (_pixels(tuple(f(m.by[k] for m in moves) for k in (0, 1))) for f in (min, max))
            raise _moved(pair, f"by what differs from plane to plane, {lowest} to {highest},")
    if not any(_surely(m, e, _STILL) for m, e in zip(mean.by, mean.error, strict=True)):
        return 0, 0
    y, x = (round(m) for m in mean.by)
    part = max(abs(m - w) for m, w in zip(mean.by, (y, x), strict=True))
    left = min(1 - abs(w) / n for w, n in zip((y, x), planes[0][0].shape, strict=True))
    if part > _STILL or max(mean.error) > _STILL or left < 0.5:
        raise _moved(pair, f"by {_pixels(mean.by)}")
    return y, x


def _mean(moves: Sequence[Move]) -> Move:
    """Weighted by how well each is known."""
    by, error = (np.array([getattr(move, name) for move in moves]) for name in ("by", "error"))
    weight = 1 / np.maximum(error, 1e-3) ** 2
    y, x = ((by * weight).sum(0) / weight.sum(0)).tolist()
    y_error, x_error = (1 / np.sqrt(weight.sum(0))).tolist()
    return Move((y, x), (y_error, x_error))


def _surely(value: float, error: float, limit: float) -> bool:
    return abs(value) - _SURE * error > limit


def _pixels(by: Sequence[float]) -> str:
    return ", ".join(f"{round(value, 1) + 0:+g}" for value in by) + " px along Y and X"


def _moved(pair: _Pair, how: str) -> ImageError:
    return ImageError(
        f"{pair.said} has moved {how} from {pair.image.name}: what is learned from such a pair is moved or "
        f"blurred. Register the two first, or leave `{pair.role}` out."
    )


def _overlap(first: Plane, second: Plane, by: tuple[int, int]) -> tuple[Plane, Plane]:
    ours, theirs = _both(first.shape, by)
    return first[ours.slices], second[theirs.slices]


def _both(shape: Sequence[int], by: Sequence[int]) -> tuple[Region, Region]:
    """What both show, in pixels of the image and in those of the partner, which lie ``by`` further."""
    ours = Region.of_shape(shape).shift([-d for d in by]).clip(shape)
    return ours, ours.shift(by)


def _cut(pair: _Pair, by: tuple[int, int]) -> _Pair:
    along = dict(zip("YX", by, strict=True))
    ours, theirs = _both(pair.image.shape, [along.get(axis, 0) for axis in pair.image.axes])
    return replace(pair, image=part_of(pair.image, ours), partner=part_of(pair.partner, theirs))


def _check_alike(pair: _Pair, line: Line) -> None:
    if line.likeness < _LEAST_LIKE:
        raise ImageError(
            f"{pair.said} shows another scene than {pair.image.name}: what is no noise in them correlates by "
            f"{line.likeness:.2f}, where the same scene has 1. Give the same part of the sample, or leave "
            f"`{pair.role}` out."
        )


def _told_apart(pair: _Pair, lines: Sequence[Line | None]) -> Iterator[Note]:
    known = [line for line in lines if line is not None]
    share = max((line.differing for line in known), default=0.0)
    if not all(line.seen for line in known):
        yield Note(
            f"of {pair.image.name} and {pair.said} one shows something and the other noise alone: if they are not of "
            f"the same scene, leave `{pair.role}` out.",
            "warning",
        )
    elif share > _TOLD:
        yield Note(
            f"in {math.ceil(100 * share)} % of {pair.image.name}, {pair.said} differs by more than noise: something "
            "has moved or changed there, and is blurred or taken for what it is not. Set those pixels to NaN in "
            "either, and nothing is learned from them.",
            "warning",
        )


def _in_brightness(
    pair: _Pair, lines: Sequence[Line | None], seen: Sequence[Sequence[tuple[Plane, Plane]]]
) -> Events[_Pair]:
    """A second acquisition in its image's brightness; of a clean image, what becomes of the result's."""
    settled = [_settled(line, [a for a, _ in planes]) for line, planes in zip(lines, seen, strict=True)]
    if all(each == (1.0, 0.0) for each in settled):
        return pair
    apiece = ", channel by channel" if len(settled) > 1 else ""
    said = f"{pair.said} is {pair.image.name} " + "; ".join(_in_words(*each) for each in settled) + apiece
    if pair.role == "target":
        yield Note(f"{said}: the result has its brightness")
        return pair
    yield Note(f"{said}: it was brought to the brightness of {pair.image.name}, which is that of the result")
    gain, offset = zip(*settled, strict=True)
    return replace(pair, partner=in_brightness_of(pair.partner, gain=gain, offset=offset))


def _settled(line: Line | None, planes: Sequence[Plane]) -> tuple[float, float]:
    """Gain and offset that are sure, and large enough to matter."""
    if line is None:
        return 1.0, 0.0
    if _surely(line.gain - 1, line.gain_error, 0) and abs(line.gain - 1) > _SAME_GAIN:
        return line.gain, line.offset
    deviation = float(np.nanstd(np.concatenate([plane.ravel() for plane in planes])))
    if _surely(line.step, line.step_error, _SAME_STEP * deviation):
        return 1.0, line.step
    return 1.0, 0.0


def _in_words(gain: float, offset: float) -> str:
    return f"times {gain:.3g} {'plus' if offset >= 0 else 'minus'} {abs(offset):.3g}"
