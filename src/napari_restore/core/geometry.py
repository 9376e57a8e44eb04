"""What an array's axes mean and how large a pixel is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from napari_restore.core.errors import ImageError
from napari_restore.core.placement import Placement

AXES = "TCZYX"
"""Every axis there is, in the order that files are written in: time, channel, depth, row, column."""

SPATIAL = "ZYX"

# Letters that other formats use for the same things.
_SYNONYMS = {"S": "C", "I": "Z", "Q": "Z", "A": "C", "P": "T", "R": "T"}

MICROMETER = "micrometer"

_MICROMETRES = {
    MICROMETER: 1.0,
    "nanometer": 1e-3,
    "angstrom": 1e-4,
    "picometer": 1e-6,
    "millimeter": 1e3,
    "centimeter": 1e4,
    "meter": 1e6,
    "inch": 25_400.0,
}


@dataclass(frozen=True)
class Geometry:
    """Where the pixels of an image lie in the world. All tuples have one entry an axis.

    Attributes
    ----------
    axes
        One letter of ``TCZYX`` an axis, in the order of the array.
    shape
        Pixels along each axis.
    pixel_size
        Distance between neighbouring pixel centres, in ``units``; 1.0 where nothing is known.
    units
        Names such as ``"micrometer"``, ``"second"``, or ``"pixel"`` where nothing is known.
    origin
        World position of the centre of the first pixel, in ``units``.
    placement
        Of the viewer's layer that these pixels are of, or lie over; None where there is none. Files do not hold it.
    """

    axes: str
    shape: tuple[int, ...]
    pixel_size: tuple[float, ...]
    units: tuple[str, ...]
    origin: tuple[float, ...]
    placement: Placement | None = None

    def __post_init__(self) -> None:
        if not valid_axes(self.axes, len(self.shape)):
            raise ImageError(
                f"axes {self.axes!r} do not describe an array of shape {self.shape}: give one different letter of "
                f"{AXES} for each of its {len(self.shape)} axes, Y and X among them."
            )
        lengths = {len(self.pixel_size), len(self.units), len(self.origin), len(self.shape)}
        assert len(lengths) == 1, f"one entry an axis, got {self}"
        for letter, size in zip(self.axes, self.pixel_size, strict=True):
            if not 0 < size < float("inf"):
                raise ImageError(f"axis {letter}: a pixel size of {size} is not a positive length.")

    @classmethod
    def of(
        cls,
        axes: str,
        shape: Sequence[int],
        *,
        pixel_size: Mapping[str, float] | None = None,
        units: Mapping[str, str] | None = None,
        origin: Mapping[str, float] | None = None,
        placement: Placement | None = None,
    ) -> Geometry:
        """A geometry from what is known an axis; the rest is 1 pixel."""
        sizes, names, zero = pixel_size or {}, units or {}, origin or {}
        return cls(
            axes=axes,
            shape=tuple(int(n) for n in shape),
            pixel_size=tuple(float(sizes.get(a, 1.0)) for a in axes),
            units=tuple(names.get(a, "pixel") for a in axes),
            origin=tuple(float(zero.get(a, 0.0)) for a in axes),
            placement=placement,
        )

    @property
    def spatial(self) -> str:
        """The axes along which the image is a picture or a volume, of more than one pixel."""
        return "".join(a for a in SPATIAL if a in self.axes and (a != "Z" or self.length("Z") > 1))

    def index(self, axis: str) -> int:
        """Position of an axis in the array."""
        return self.axes.index(axis)

    def length(self, axis: str) -> int:
        """Pixels along an axis; 1 for an axis the array does not have."""
        return self.shape[self.index(axis)] if axis in self.axes else 1

    def size_of(self, axis: str) -> float:
        """Pixel size along an axis."""
        return self.pixel_size[self.index(axis)]

    def micrometres(self, axis: str) -> float | None:
        """Pixel size along an axis in micrometres, where it is known."""
        scale = in_micrometres(self.units[self.index(axis)]) if axis in self.axes else None
        return self.size_of(axis) * scale if scale is not None else None

    def with_pixel_size(self, pixel_size: Mapping[str, float], unit: str | None = None) -> Geometry:
        """The same image with other pixel sizes on the axes named; a unit is given to those that have none."""
        unknown = set(pixel_size) - set(self.axes)
        if unknown:
            raise ImageError(f"a pixel size for axis {', '.join(sorted(unknown))}: the image has axes {self.axes}.")
        sizes = tuple(float(pixel_size.get(a, s)) for a, s in zip(self.axes, self.pixel_size, strict=True))
        units = tuple(
            (unit or (MICROMETER if u == "pixel" else u)) if a in pixel_size else u
            for a, u in zip(self.axes, self.units, strict=True)
        )
        return replace(self, pixel_size=sizes, units=units)

    def refined(self, rate: Mapping[str, int], *, centred: Mapping[str, bool] | None = None) -> Geometry:
        """The same part of the world on a finer grid.

        Parameters
        ----------
        rate
            Finer pixels to one pixel of this image, by axis; 1 for axes not named.
        centred
            By axis: True, as for axes not named, where a pixel covers its finer ones and the first of them therefore
            lies before its centre; False where a pixel is a point sample, which its first finer pixel lies on.
        """
        unknown = set(rate) - set(self.axes)
        assert not unknown and all(r >= 1 for r in rate.values()), f"{dict(rate)} for axes {self.axes}"
        first, step = finer_grid(self.axes, rate, centred or {})
        shape = tuple(n * rate.get(a, 1) for a, n in zip(self.axes, self.shape, strict=True))
        return self.on_grid(first, step, shape=shape)

    def on_grid(self, first: Sequence[float], step: Sequence[float], *, shape: Sequence[int]) -> Geometry:
        """The same world with pixels of which q lies at ``first + step * q`` in the pixels of this image.

        All that makes an image of another goes this way: parts, finer output, smaller levels of a pyramid.
        """
        moves = zip(self.origin, first, self.pixel_size, strict=True)
        laid = self.placement
        return replace(
            self,
            shape=tuple(shape),
            pixel_size=tuple(s * f for s, f in zip(self.pixel_size, step, strict=True)),
            origin=tuple(o + f * s for o, f, s in moves),
            placement=None if laid is None else laid.on_grid(first[: laid.ndim], step[: laid.ndim]),
        )

    def placed(self, count: int) -> Placement:
        """Where a viewer's layer lies that shows the first ``count`` axes of this image, or all and the colour."""
        plain = Placement.of(self.pixel_size, self.origin, self.units)
        return (self.placement if self.placement is not None else plain).with_axes(count)


def finer_grid(
    axes: str, rate: Mapping[str, int], centred: Mapping[str, bool]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Where the first of finer pixels lies in the pixels of an image, and how far they are apart; see ``refined``."""
    step = tuple(1 / rate.get(a, 1) for a in axes)
    return tuple((s - 1) / 2 if centred.get(a, True) else 0.0 for a, s in zip(axes, step, strict=True)), step


def in_micrometres(unit: str) -> float | None:
    """How long a unit is, or None where it is no length."""
    return _MICROMETRES.get(unit)


def valid_axes(axes: str, ndim: int) -> bool:
    """Whether these letters can name the axes of an array with ``ndim`` dimensions."""
    return len(axes) == ndim == len(set(axes)) and set(axes) <= set(AXES) and {"Y", "X"} <= set(axes)


def canonical_axes(axes: str) -> str:
    """Axes as we name them: capitals, and S (samples), I, Q, A, P, R as the axis they stand for."""
    letters = [_SYNONYMS.get(a, a) if _SYNONYMS.get(a, a) not in axes.upper() else a for a in axes.upper()]
    return "".join(letters)


def canonical_order(axes: str) -> tuple[int, ...]:
    """How to transpose an array with ``axes`` into the order that files are written in."""
    return tuple(axes.index(a) for a in AXES if a in axes)


def canonical(geometry: Geometry) -> Geometry:
    """The same image as files hold it: its axes in the order of TCZYX, and no layer."""
    order = canonical_order(geometry.axes)
    return Geometry(
        axes="".join(geometry.axes[i] for i in order),
        shape=tuple(geometry.shape[i] for i in order),
        pixel_size=tuple(geometry.pixel_size[i] for i in order),
        units=tuple(geometry.units[i] for i in order),
        origin=tuple(geometry.origin[i] for i in order),
    )


def guess_axes(shape: Sequence[int]) -> tuple[str, str]:
    """Axes for an array that says nothing about them, and the guess in words.

    The last two are rows and columns, unless a last axis of 3 or 4 after two larger ones says colour; the one
    before them is depth, then channel (up to 8 of them) or time, so that a plain stack is a volume.
    """
    shape = tuple(int(n) for n in shape)
    colour = len(shape) >= 3 and shape[-1] in (3, 4) and min(shape[-3:-1]) > 16
    body = shape[:-1] if colour else shape
    if len(body) < 2 or len(body) > (4 if colour else 5):
        raise ImageError(f"an array of shape {shape} is not an image: 2 to 5 axes are needed, Y and X among them.")
    letters = {2: "YX", 3: "ZYX", 4: "CZYX" if body[0] <= 8 and not colour else "TZYX", 5: "TCZYX"}[len(body)]
    axes = letters + ("C" if colour else "")
    return axes, f"axes {axes} guessed from the shape {'x'.join(map(str, shape))}; `axes` overrides"
