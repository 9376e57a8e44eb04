"""Stacks that are coarse along Z: how much better than cubic interpolation finer planes are, by public names alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from scipy.ndimage import gaussian_filter, gaussian_filter1d, map_coordinates

from napari_restore import super_resolve

FACTOR = 4
SHAPE = (64, 128, 128)


def cells() -> np.ndarray:
    """Bodies with a rim, and points, alike along all axes: 64 x 128 x 128."""
    rng = np.random.default_rng(4)
    bodies = gaussian_filter(rng.normal(size=SHAPE), 5)
    rims = np.exp(-((bodies / bodies.std()) ** 2) * 12)
    points = 40 * gaussian_filter((rng.random(SHAPE) > 0.999).astype(float), 1)
    return (100 + 200 * gaussian_filter(rims, 0.8) + 60 * points).astype(np.float32)


def box(clean: np.ndarray) -> np.ndarray:
    return clean.reshape(-1, FACTOR, *clean.shape[1:]).mean(1)


def focus(clean: np.ndarray) -> np.ndarray:
    """A Gaussian as wide at half its maximum as planes lie apart, at the middle of each."""
    blurred = gaussian_filter1d(clean, FACTOR / 2.355, axis=0, mode="mirror")
    return (blurred[1::FACTOR] + blurred[2::FACTOR]) / 2


def thin(clean: np.ndarray) -> np.ndarray:
    return clean[::FACTOR].copy()


def over_cubic(measure: Callable[[np.ndarray], np.ndarray]) -> str:
    """PSNR beside cubic interpolation, both where their pixels say they lie."""
    clean = cells()
    measured = measure(clean)
    first = 0.0 if measure is thin else (FACTOR - 1) / 2  # of the first plane, in fine planes
    result = super_resolve(
        measured, factor={"Z": FACTOR}, axes="ZYX", pixel_size={"Z": float(FACTOR), "Y": 1.0, "X": 1.0}, steps=60
    )
    shift = result.translate[0] + first
    inner = np.arange(FACTOR, len(clean) - 2 * FACTOR)
    cubic = along(measured, (inner - first) / FACTOR)
    finer = along(np.asarray(result), inner - shift)
    return f"cubic {psnr(cubic, clean[inner]):.2f} dB, finer planes {psnr(finer, clean[inner]):.2f} dB"


def along(planes: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Values between planes, by cubic splines; planes themselves where ``at`` is whole."""
    if np.allclose(at, np.round(at)):
        return planes[np.round(at).astype(int)]
    places = np.broadcast_to(at[:, None, None], (len(at), *planes.shape[1:]))
    rest = np.indices(places.shape)[1:]
    return map_coordinates(planes, [places, *rest], order=3, mode="mirror")


def psnr(found: np.ndarray, clean: np.ndarray) -> float:
    return float(10 * np.log10(np.ptp(clean) ** 2 / np.mean((found - clean)[:, 6:-6, 6:-6] ** 2)))


CASES: dict[str, Callable[[], str]] = {
    "15.5 planes of even thickness, 4 x finer": partial(over_cubic, box),
    "15.5 planes of a focus as wide as their distance, 4 x finer": partial(over_cubic, focus),
    "15.5 thin planes, 4 x finer, thickness not told": partial(over_cubic, thin),
}
