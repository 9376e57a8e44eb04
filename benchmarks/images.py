"""The eight images of the quality benchmark: bundled with scikit-image, 256 x 256, 0-255, Gaussian noise of 25, seed 0.

    python benchmarks/images.py eight.npz

writes `clean` and `noisy` to a file, for the scripts of other packages that run in environments of their own.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage import data
from skimage.transform import resize

SIDE = 256
SIGMA = 25.0
NAMES = ("camera", "coins", "brick", "gravel", "cell", "moon", "grass", "immunohistochemistry")
HALVED = ("camera", "immunohistochemistry")
"""512 x 512 images that are reduced; of the others the middle is taken."""


def eight_images() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """``clean`` and ``noisy``, both (8, 256, 256)."""
    clean = np.stack([_stretched(_square(name)) for name in NAMES]).astype(np.float32)
    noise = np.random.default_rng(0).normal(0, SIGMA, clean.shape).astype(np.float32)
    return clean, clean + noise


def psnr_255(restored: NDArray[np.floating], clean: NDArray[np.floating]) -> float:
    """PSNR in dB over a range of 255, one value an image, averaged."""
    errors = np.square(restored.astype(np.float64) - clean).mean(axis=(1, 2))
    return float(np.mean(10 * np.log10(255**2 / errors)))


def each_in_the_middle(stack: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """A stack as often as it has planes, each in its turn in the middle, which is what is looked at."""
    for plane in range(len(stack)):
        yield np.roll(stack, (len(stack) - 1) // 2 - plane, 0)


def fingerprint(pixels: NDArray[np.float32]) -> str:
    """So that two reports can be seen to be about the same pixels."""
    return hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()[:16]


def _square(name: str) -> NDArray[np.float64]:
    image = getattr(data, name)()
    gray = (image[..., 1] if image.ndim == 3 else image).astype(np.float64)
    if name in HALVED:
        return resize(gray, (SIDE, SIDE), anti_aliasing=True, preserve_range=True)
    top, left = ((n - SIDE) // 2 for n in gray.shape)
    return gray[top : top + SIDE, left : left + SIDE]


def _stretched(image: NDArray[np.float64]) -> NDArray[np.float64]:
    return (image - image.min()) / (image.max() - image.min()) * 255


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    clean, noisy = eight_images()
    np.savez(sys.argv[1], clean=clean, noisy=noisy)
    print(f"{sys.argv[1]}: noisy images of {psnr_255(noisy, clean):.2f} dB, fingerprint {fingerprint(noisy)}")
