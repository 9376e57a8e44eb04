"""Clean pictures that formulas make, of every kind that microscopes and other instruments show: nobody's data.

Dead leaves nearly suffice to learn denoising from (Achddou, Gousseau, Ladjal 2021, doi:10.1007/978-3-030-75549-2_27).
Beside them: filaments, blobs on little background, random fields, gratings, and the package's own samples.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_restore.sources import samples

Picture = NDArray[np.float32]


def picture(rng: np.random.Generator, side: int) -> Picture:
    """One picture ``(side, side)``, from 0 to 1: some kind, seen through some optics, with some contrast."""
    drawn = KINDS[rng.choice(len(KINDS), p=SHARES)](rng, side)
    if rng.random() < 0.25:  # two kinds in one picture
        other = KINDS[rng.choice(len(KINDS), p=SHARES)](rng, side)
        drawn = drawn * (0.3 + other) if rng.random() < 0.5 else drawn + rng.uniform(0.2, 1.5) * other
    drawn = optics(drawn, rng)
    low, high = np.quantile(drawn, (0.0, rng.choice([1.0, 0.999])))
    unit = np.clip((drawn - low) / max(high - low, 1e-9), 0, 1.5)
    return (unit ** rng.choice([1.0, rng.uniform(0.5, 2.5)])).astype(np.float32)


def optics(clean: Picture, rng: np.random.Generator) -> Picture:
    """Blurred by the optics, half of the time with what is out of focus behind it."""
    seen = ndimage.gaussian_filter(clean, np.exp(rng.uniform(np.log(0.35), np.log(2.8))))
    if rng.random() < 0.4:
        seen = seen + rng.uniform(0.1, 0.8) * ndimage.gaussian_filter(clean, rng.uniform(4, 12))
    return seen.astype(np.float32)


def dead_leaves(rng: np.random.Generator, side: int) -> Picture:
    """Discs, ellipses and rectangles of all sizes that hide each other, drawn twice as fine and averaged."""
    fine = 2 * side
    canvas = np.full((fine, fine), rng.random(), np.float32)
    least, most = rng.uniform(1.5, 8), rng.uniform(0.15, 0.6) * fine
    count = int(np.clip(3 * fine**2 / (np.pi * 4 * least**2), 150, 2500))
    radii = 1 / np.sqrt(rng.uniform(most**-2, least**-2, count))  # as many of each size as scale invariance asks for
    kind, textured = rng.choice(["disc", "ellipse", "rectangle", "all"]), rng.random() < 0.5
    grays = rng.beta(*rng.choice([(1, 1), (0.5, 0.5), (1, 3)]), count)
    field = random_field(rng, fine) - 0.5
    for radius, gray in zip(radii, grays, strict=True):
        box, inside = _leaf(rng, fine, radius, kind)
        if inside.size:
            shade = gray + rng.uniform(0, 0.4) * field[box] if textured else gray
            canvas[box] = np.where(inside, shade, canvas[box])
    return canvas.reshape(side, 2, side, 2).mean((1, 3))


def _leaf(
    rng: np.random.Generator, fine: int, radius: float, kind: str
) -> tuple[tuple[slice, slice], NDArray[np.bool_]]:
    """A box of the picture, and which of its pixels one leaf covers."""
    cy, cx = rng.uniform(-0.1 * fine, 1.1 * fine, 2)
    reach = int(np.ceil(radius * 1.5)) + 1
    top, left = max(0, int(cy) - reach), max(0, int(cx) - reach)
    bottom, right = min(fine, int(cy) + reach + 1), min(fine, int(cx) + reach + 1)
    box = slice(top, max(top, bottom)), slice(left, max(left, right))
    y, x = np.arange(top, box[0].stop)[:, None] - cy, np.arange(left, box[1].stop)[None] - cx
    shape = rng.choice(["disc", "ellipse", "rectangle"]) if kind == "all" else kind
    angle, flat = rng.uniform(0, np.pi), 1.0 if shape == "disc" else rng.uniform(0.25, 1)
    u, v = y * np.cos(angle) + x * np.sin(angle), (x * np.cos(angle) - y * np.sin(angle)) / flat
    if shape == "rectangle":
        return box, (np.abs(u) < radius) & (np.abs(v) < radius)
    return box, u * u + v * v < radius * radius


def filaments(rng: np.random.Generator, side: int) -> Picture:
    """Threads that wander, of different brightness and stiffness; some pictures have bundles of them."""
    count, steps = int(np.exp(rng.uniform(np.log(4), np.log(120)))), 3 * side
    heading = rng.uniform(0, 2 * np.pi, count)
    if rng.random() < 0.3:
        heading = rng.uniform(0, np.pi) + rng.normal(0, 0.15, count)
    turned = heading[:, None] + np.cumsum(rng.normal(0, rng.uniform(0.005, 0.12), (count, steps)), 1)
    places = rng.uniform(0, side, (count, 1, 2)) + 0.5 * np.cumsum(np.stack([np.sin(turned), np.cos(turned)], -1), 1)
    bright = rng.gamma(2.0, 0.5, count)[:, None] * np.ones(steps)
    return np.minimum(_splat(places.reshape(-1, 2), bright.ravel(), side), rng.uniform(2, 12))


def blobs(rng: np.random.Generator, side: int) -> Picture:
    """Nuclei and vesicles before nothing: most of the picture is dark."""
    drawn = np.zeros((side, side), np.float32)
    y, x = np.ogrid[:side, :side]
    inner = 0.3 + random_field(rng, side)
    radius = np.exp(rng.uniform(np.log(3), np.log(30)))
    for _ in range(int(rng.integers(2, 4 + 0.6 * (side / radius) ** 2 / 3))):
        cy, cx, angle = *rng.uniform(0, side, 2), rng.uniform(0, np.pi)
        ry, rx = radius * rng.uniform(0.6, 1.5, 2)
        u, v = (y - cy) * np.cos(angle) + (x - cx) * np.sin(angle), (x - cx) * np.cos(angle) - (y - cy) * np.sin(angle)
        edge = np.clip(rng.uniform(2, 10) * (1 - (u / ry) ** 2 - (v / rx) ** 2), 0, 1)
        drawn = np.maximum(drawn, (edge * rng.uniform(0.3, 1)).astype(np.float32))
    drawn *= inner if rng.random() < 0.7 else 1
    points = int(np.exp(rng.uniform(0, np.log(side * side / 60))))
    return drawn + rng.uniform(0, 3) * _splat(rng.uniform(0, side, (points, 2)), rng.gamma(1.6, 1.0, points), side)


def random_field(rng: np.random.Generator, side: int) -> Picture:
    """A Gaussian field of a power spectrum 1/f^a, in some pictures finer along one direction; from 0 to 1."""
    fy, fx = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None]
    angle, stretch = rng.uniform(0, np.pi), rng.choice([1.0, rng.uniform(1, 6)])
    u, v = fy * np.cos(angle) + fx * np.sin(angle), stretch * (fx * np.cos(angle) - fy * np.sin(angle))
    amplitude = (u * u + v * v + (rng.uniform(0.3, 6) / side) ** 2) ** (-rng.uniform(0.5, 1.6))
    field = np.fft.irfft2(amplitude * np.fft.rfft2(rng.standard_normal((side, side))), (side, side))
    return ((field - field.min()) / max(np.ptp(field), 1e-9)).astype(np.float32)


def texture(rng: np.random.Generator, side: int) -> Picture:
    """A random field as it is, cut at a level, folded into veins, or a grating that it bends."""
    field = random_field(rng, side)
    match rng.integers(4):
        case 0:
            return field
        case 1:
            return ndimage.gaussian_filter((field > np.quantile(field, rng.uniform(0.2, 0.9))).astype(np.float32), 0.4)
        case 2:
            return np.exp(-np.abs(field - np.median(field)) / rng.uniform(0.01, 0.08)).astype(np.float32)
        case _:
            y, x = np.mgrid[:side, :side]
            angle, period = rng.uniform(0, np.pi), np.exp(rng.uniform(np.log(3), np.log(24)))
            phase = (y * np.cos(angle) + x * np.sin(angle)) / period + rng.uniform(0, 4) * field
            return (0.5 + 0.5 * np.sin(2 * np.pi * phase)).astype(np.float32)


def sample(rng: np.random.Generator, side: int) -> Picture:
    """A plane of one of the package's samples, made with another seed than the one that is shown to people."""
    make: Callable[..., Any] = (
        samples.microscopy_stack,
        samples.tissue_stack,
        samples.particle_movie,
        samples.ct_slices,
    )[rng.integers(4)]
    clean = make(shape=(4, side, side), seed=int(rng.integers(1000, 2**31)))[0]
    return np.asarray(clean[rng.integers(len(clean))], np.float32)


def _splat(places: NDArray[Any], weights: NDArray[Any], side: int) -> Picture:
    index = np.floor(places).astype(int)
    inside = ((index >= 0) & (index < side)).all(1)
    flat = index[inside, 0] * side + index[inside, 1]
    return np.bincount(flat, weights[inside], minlength=side * side).reshape(side, side).astype(np.float32)


KINDS = (dead_leaves, filaments, blobs, texture, sample)
SHARES = (0.4, 0.17, 0.2, 0.15, 0.08)
