"""Make the pictures of docs/which-method.md from the package's samples: python docs/which_method_pictures.py [NAME ...]

Each is a part of an image as it was measured, left, and as it was restored, right. Trainings are short.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage import io

from napari_restore import deblur, denoise, inpaint, super_resolve
from napari_restore.sources import samples

IMAGES = Path(__file__).parent / "images"
SIDE = 128
STEPS = 300
Pair = tuple[NDArray[np.floating], NDArray[np.floating]]


def clean() -> NDArray[np.float32]:
    """A plane without noise, around 100."""
    plane = samples.microscopy_stack()[0][12].astype(np.float32)
    return 100 * plane / plane.mean()


def grain() -> Pair:
    image = samples.tissue_stack()[1][:8]
    return image[4], np.asarray(denoise(image, method="posterior", axes="ZYX", steps=STEPS))[4]


def noise(size: float | tuple[float, float]) -> NDArray[np.float32]:
    """Of deviation 20, as a blur of this size leaves it."""
    white = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=clean().shape), size)
    return (20 * white / white.std()).astype(np.float32)


def stripes() -> Pair:
    image = clean() + noise((0, 1.5)) + 0.3 * noise(0)
    return image, np.asarray(denoise(image, axes="YX", steps=STEPS))


def blotches() -> Pair:
    image = clean() + noise(0.8)
    return image, np.asarray(denoise(image, method="recorrupted", axes="YX", steps=STEPS))


def pairs() -> Pair:
    rng = np.random.default_rng(1)
    first, second = (rng.poisson(clean() / 12).astype(np.float32) for _ in range(2))
    return first, np.asarray(denoise(first, second=second, axes="YX", steps=STEPS))


def blur() -> Pair:
    image = samples.blurred_cells()[1]
    return image, np.asarray(deblur(image, axes="YX", psf=f"gaussian:{samples.BLUR:g}", effort="instant"))


def coarse() -> Pair:
    image = clean()[::2, ::2] + np.random.default_rng(2).normal(0, 3, [n // 2 for n in clean().shape])
    fine = super_resolve(image.astype(np.float32), axes="YX", factor=2, steps=STEPS)
    return image.repeat(2, 0).repeat(2, 1), np.asarray(fine)


def gaps() -> Pair:
    missing = np.random.default_rng(3).random(clean().shape) < 0.15
    missing[:, ::23] = missing[40:44] = True
    filled = inpaint(clean(), mask=missing, axes="YX", effort="instant")
    return np.where(missing, 0, clean()), np.asarray(filled)


PICTURES: dict[str, Callable[[], Pair]] = {
    each.__name__: each for each in (grain, stripes, blotches, pairs, blur, coarse, gaps)
}


def main() -> None:
    for name in sys.argv[1:] or PICTURES:
        save(IMAGES / f"which_{name}.png", *PICTURES[name]())
        print(name, (IMAGES / f"which_{name}.png").stat().st_size)


def save(path: Path, before: NDArray[np.floating], after: NDArray[np.floating]) -> None:
    """The middle of both beside each other, in the greys of the result, each pixel twice as large."""
    parts = [each[tuple(slice((n - SIDE) // 2, (n + SIDE) // 2) for n in each.shape)] for each in (before, after)]
    low, high = np.percentile(parts[1], (0.5, 99.7))
    greys = [np.clip((part - low) / (high - low) * 255, 0, 255).astype(np.uint8) for part in parts]
    io.imsave(path, np.hstack(greys).repeat(2, 0).repeat(2, 1), check_contrast=False)


if __name__ == "__main__":
    main()
