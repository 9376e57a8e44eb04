"""Make the pictures of docs/gallery.md from the package's samples: python docs/gallery_pictures.py [NAME ...]

Each is a part of an image as it was measured, as it was restored, and as it is in truth. Trainings are short.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from skimage import io

from napari_restore import deblur, denoise, inpaint, super_resolve
from napari_restore.sources import samples

IMAGES = Path(__file__).parent / "images"
SIDE = 128
STEPS = 300
Three = tuple[NDArray[np.floating], NDArray[np.floating], NDArray[np.floating]]


def microscopy() -> Three:
    clean, noisy = (each[8:16] for each in samples.microscopy_stack())
    return noisy[4], np.asarray(denoise(noisy, method="posterior", axes="ZYX", steps=STEPS))[4], clean[4]


def tissue() -> Three:
    clean, noisy = (each[:8] for each in samples.tissue_stack())
    return noisy[4], np.asarray(denoise(noisy, method="posterior", axes="ZYX", steps=STEPS))[4], clean[4]


def side() -> Three:
    """The same stack from its side, four times as high as its planes are apart in pixels."""
    clean, noisy = samples.tissue_stack()
    restored = np.asarray(denoise(noisy, method="posterior", axes="ZYX", steps=STEPS))
    row = clean.shape[1] // 2
    noisy, restored, clean = (each[:, row].repeat(4, 0) for each in (noisy, restored, clean))
    return noisy, restored, clean


def movie() -> Three:
    clean, noisy = (each[:8] for each in samples.particle_movie())
    return noisy[4], np.asarray(denoise(noisy, method="posterior", axes="TYX", steps=STEPS))[4], clean[4]


def ct() -> Three:
    clean, noisy = samples.ct_slices()
    return noisy[4], np.asarray(denoise(noisy, method="noise2void2", axes="ZYX", steps=2 * STEPS))[4], clean[4]


def finer() -> Three:
    clean = samples.ct_slices()[0][4]
    coarse = clean.reshape(128, 2, 128, 2).mean((1, 3)) + np.random.default_rng(0).normal(0, 10, (128, 128))
    fine = super_resolve(coarse.astype(np.float32), axes="YX", factor=2, steps=STEPS)
    return coarse.repeat(2, 0).repeat(2, 1), np.asarray(fine), clean


def blurred() -> Three:
    sharp, image = samples.blurred_cells()
    return image, np.asarray(deblur(image, axes="YX", psf=f"gaussian:{samples.BLUR:g}", effort="instant")), sharp


def scratched() -> Three:
    clean = samples.microscopy_stack()[0][12]
    missing = np.random.default_rng(3).random(clean.shape) < 0.3
    missing[:, ::31] = missing[90:96] = True
    return np.where(missing, 0, clean), np.asarray(inpaint(clean, mask=missing, axes="YX", effort="instant")), clean


PICTURES: dict[str, Callable[[], Three]] = {
    each.__name__: each for each in (microscopy, tissue, side, movie, ct, finer, blurred, scratched)
}


def main() -> None:
    for name in sys.argv[1:] or PICTURES:
        save(IMAGES / f"gallery_{name}.png", *PICTURES[name]())
        print(name, (IMAGES / f"gallery_{name}.png").stat().st_size)


def save(path: Path, *columns: NDArray[np.floating]) -> None:
    """The middle of each beside each other, in the greys of the truth, each pixel twice as large."""
    parts = [
        each[tuple(slice((n - min(n, SIDE)) // 2, (n + min(n, SIDE)) // 2) for n in each.shape)] for each in columns
    ]
    low, high = np.percentile(parts[-1], (0.5, 99.7))
    greys = [np.clip((part - low) / (high - low) * 255, 0, 255).astype(np.uint8) for part in parts]
    greys = [grey.repeat(2, 0).repeat(2, 1) for grey in greys]
    gap = np.full((len(greys[0]), 6), 255, np.uint8)
    io.imsave(path, np.hstack([greys[0], gap, greys[1], gap, greys[2]]), check_contrast=False)


if __name__ == "__main__":
    main()
