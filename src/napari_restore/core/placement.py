"""Where a viewer's layer lies in the world: flipped, turned and sheared as it may be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Matrix = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Placement:
    """Place p of a layer's pixels lies at A(R S (s p) + t), as in napari. One entry an axis of the layer (n of them).

    Attributes
    ----------
    scale, translate
        s and t; a negative scale flips the axis.
    rotate, shear
        R and S, matrices (n, n).
    affine
        A, a matrix (n + 1, n + 1) on homogeneous coordinates.
    units
        Of the world, a name an axis.
    labels
        Names of the axes; none where nobody gave them any.
    """

    scale: tuple[float, ...]
    translate: tuple[float, ...]
    rotate: Matrix
    shear: Matrix
    affine: Matrix
    units: tuple[str, ...]
    labels: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        scale: Sequence[float],
        translate: Sequence[float],
        units: Sequence[str],
        *,
        rotate: Any = None,
        shear: Any = None,
        affine: Any = None,
        labels: Sequence[str] = (),
    ) -> Placement:
        """From arrays; a shear may be its n (n - 1) / 2 values above the diagonal; what is not given does nothing."""
        n = len(scale)
        return cls(
            scale=tuple(float(s) for s in scale),
            translate=tuple(float(t) for t in translate),
            rotate=_frozen(np.eye(n) if rotate is None else rotate),
            shear=_frozen(np.eye(n) if shear is None else _sheared(shear, n)),
            affine=_frozen(np.eye(n + 1) if affine is None else affine),
            units=tuple(units),
            labels=tuple(labels),
        )

    @property
    def ndim(self) -> int:
        """Axes of the layer."""
        return len(self.scale)

    @property
    def kwargs(self) -> dict[str, Any]:
        """For a napari layer that lies there: what differs from a layer that is only scaled and moved, too."""
        said: dict[str, Any] = {"scale": self.scale, "translate": self.translate, "units": self.units}
        for name, matrix in (("rotate", self.rotate), ("shear", self.shear), ("affine", self.affine)):
            if matrix != _identity(len(matrix)):
                said[name] = np.array(matrix)
        return said | ({"axis_labels": self.labels} if self.labels else {})

    def on_grid(self, first: Sequence[float] | NDArray[Any], step: Sequence[float] | NDArray[Any]) -> Placement:
        """The place of a layer whose pixel q is at ``first + step * q`` in the pixels of this one."""
        scale, here = np.array(self.scale), np.array(first, float)
        there = np.array(self.translate) + np.array(self.rotate) @ np.array(self.shear) @ (scale * here)
        return replace(
            self,
            scale=tuple(float(s * f) for s, f in zip(self.scale, step, strict=True)),
            translate=tuple(there.tolist()) if here.any() else self.translate,
        )

    def without(self, fixed: Mapping[int, int]) -> Placement:
        """The place of the part of the layer at one index of some axes, in the world of the other axes."""
        gone = [axis for axis in fixed if axis < self.ndim]
        kept = [axis for axis in range(self.ndim) if axis not in gone]
        if not gone:
            return self
        scale, translate = (tuple(row[i] for i in kept) for row in (self.scale, self.translate))
        units = tuple(self.units[i] for i in kept)
        labels = tuple(self.labels[i] for i in kept) if self.labels else ()
        rotate, shear, affine = (np.array(each) for each in (self.rotate, self.shear, self.affine))
        if not any(_coupled(matrix, gone) for matrix in (rotate, shear, affine[:-1, :-1])):
            inner, outer = np.ix_(kept, kept), np.ix_([*kept, -1], [*kept, -1])
            turned = {"rotate": rotate[inner], "shear": shear[inner], "affine": affine[outer]}
            return Placement.of(scale, translate, units, **turned, labels=labels)
        # The part lies askew: its own axes lead out of their world, and where they lead to within it is an affine.
        first = [float(fixed.get(axis, 0)) for axis in range(self.ndim)]
        corner = affine @ np.array([*self.on_grid(first, self.scale).translate, 1.0])
        leading = affine[:-1, :-1] @ rotate @ shear
        flat = np.eye(len(kept) + 1)
        flat[:-1, :-1], flat[:-1, -1] = leading[np.ix_(kept, kept)], corner[kept]
        return Placement.of(scale, (0.0,) * len(kept), units, affine=flat, labels=labels)

    def with_axes(self, count: int) -> Placement:
        """The place of a layer with ``count`` axes: these, and straight ones at the end, or the first of these."""
        more = count - self.ndim
        if more <= 0:
            return self.without(dict.fromkeys(range(count, self.ndim), 0))
        affine = np.eye(count + 1)
        inner = [*range(self.ndim), count]
        affine[np.ix_(inner, inner)] = self.affine
        return Placement.of(
            (*self.scale, *(1.0,) * more),
            (*self.translate, *(0.0,) * more),
            (*self.units, *("pixel",) * more),
            rotate=_larger(self.rotate, count),
            shear=_larger(self.shear, count),
            affine=affine,
        )


def _frozen(matrix: Any) -> Matrix:
    return tuple(tuple(float(x) for x in row) for row in np.asarray(matrix))


def _identity(n: int) -> Matrix:
    return _frozen(np.eye(n))


def _sheared(shear: Any, n: int) -> NDArray[Any]:
    values = np.asarray(shear, float)
    if values.ndim == 2:
        return values
    matrix = np.eye(n)
    matrix[np.triu_indices(n, 1)] = values
    return matrix


def _larger(matrix: Matrix, n: int) -> NDArray[Any]:
    larger = np.eye(n)
    larger[: len(matrix), : len(matrix)] = matrix
    return larger


def _coupled(matrix: NDArray[Any], axes: Sequence[int]) -> bool:
    """Whether one of these axes leads to another axis, or another to it."""
    rest = matrix - np.diag(np.diag(matrix))
    return bool(rest[axes].any() or rest[:, axes].any())
