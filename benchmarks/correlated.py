"""Noise that neighbours share: what `auto` makes of it, beside N2V2 and classical filters that know the truth.

Cases are the eight images with noise of 25 of 255 blurred by a Gaussian of so many pixels (`blurred 1.0`), with white
noise and then saved as JPEG of quality 50 (`jpeg 50`) or zoomed 1.5 times bilinearly (`zoom 1.5`; the truth is zoomed,
too); and `ct`, 16 slices of a phantom reconstructed by filtered backprojection from 180 noisy projections. Each case is
learned as one stack. Median, non-local means and total variation have, for each image, the setting that is best by the
truth, which nobody knows in practice. `supervised_denoising`, among the methods, is the same network taught by the
truth of the very images that it is judged on, with similar patches: about as much as any that learns from noise alone
can hope for in as many steps.
"""

from __future__ import annotations

import io
import shutil
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import reporting
from images import NAMES, SIGMA, eight_images, psnr_255
from numpy.typing import NDArray
from scipy import ndimage

Pair = tuple[NDArray[np.float32], NDArray[np.float32]]

CASES = ("blurred 0.6", "blurred 1.0", "blurred 1.5", "jpeg 50", "zoom 1.5", "ct")
_PHOTONS, _ABSORBED = 2000, 0.02  # of the CT: into a detector pixel, of them in a pixel of tissue


def main() -> None:
    parser = reporting.parser(__doc__)
    parser.add_argument("--cases", nargs="*", default=list(CASES), help=f"of {', '.join(CASES)}, or `white`")
    parser.add_argument("--methods", nargs="*", default=["auto", "noise2void2"])
    parser.add_argument("--steps", type=int, default=1200, help="of training (default 1200, about 60 s of one core)")
    parser.add_argument("--seed", type=int, default=0, help="of the noise and of training")
    parser.add_argument("--images", nargs="*", choices=NAMES, help="each alone, instead of all as one stack")
    given = parser.parse_args()
    machine = reporting.begin(given.threads)
    options = {"steps": given.steps, "seed": given.seed, "device": "cpu"}
    results = {}
    for case in given.cases:
        for name in given.images or [""]:
            results[f"{case} {name}".strip()] = one_case(case, given.methods, options, only=name)
    reporting.finish(machine, results=results, settings=options, out=given.out)


def one_case(case: str, methods: list[str], options: dict[str, Any], *, only: str) -> dict[str, Any]:
    clean, noisy = made(case, seed=options["seed"])
    if only:
        clean, noisy = (s[NAMES.index(only)][None] for s in (clean, noisy))
    row: dict[str, Any] = {"noisy": round(psnr_255(noisy, clean), 2)}
    for name, filters in classical().items():
        best = [max(psnr_255(f(y)[None], x[None]) for f in filters) for y, x in zip(noisy, clean, strict=True)]
        row[name] = round(float(np.mean(best)), 2)
    for method in methods:
        row[method] = learned(clean, noisy, method, options)
    reporting.progress(f"{case} {only}: {row}")
    return row


def learned(clean: NDArray[Any], noisy: NDArray[Any], method: str, options: dict[str, Any]) -> dict[str, Any]:
    from napari_restore import denoise

    began = time.process_time()
    told = {"target": clean, "similar": "auto"} if method == "supervised_denoising" else {}
    result = denoise(noisy, method=method, axes="TYX", **told, **options)
    pixels = np.asarray(result)
    shutil.rmtree(result.path.parent)
    return {
        "took": result.model.name,
        "psnr": round(psnr_255(pixels, clean), 2),
        "each": [round(psnr_255(r[None], x[None]), 2) for r, x in zip(pixels, clean, strict=True)],
        "processor_seconds": round(time.process_time() - began, 1),
    }


def made(case: str, *, seed: int) -> Pair:
    kind, _, number = case.partition(" ")
    if kind == "ct":
        return tomography(seed=seed)
    clean, _ = eight_images()
    white = np.random.default_rng(seed).normal(0, SIGMA, clean.shape)
    if kind == "blurred":
        smooth = np.stack([ndimage.gaussian_filter(n, float(number), mode="wrap") for n in white])
        return clean, (clean + smooth * (SIGMA / smooth.std())).astype(np.float32)
    noisy = (clean + white).astype(np.float32)
    if kind == "jpeg":
        return clean, np.stack([through_jpeg(y, int(number)) for y in noisy])
    if kind == "zoom":
        larger = [np.stack([zoomed(p, float(number)) for p in s]).astype(np.float32) for s in (clean, noisy)]
        return larger[0], larger[1]
    return clean, noisy


def zoomed(plane: NDArray[Any], factor: float) -> NDArray[Any]:
    return np.asarray(ndimage.zoom(plane, factor, order=1, grid_mode=True, mode="nearest"))


def through_jpeg(plane: NDArray[Any], quality: int) -> NDArray[np.float32]:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.clip(np.round(plane), 0, 255).astype(np.uint8)).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file), np.float32)


def tomography(*, seed: int, slices: int = 16, side: int = 192) -> Pair:
    """Slices of the Shepp-Logan phantom, turned a little further each, with discs of their own; 0 to 200."""
    from skimage.data import shepp_logan_phantom
    from skimage.transform import iradon, radon, resize

    rng = np.random.default_rng(seed)
    phantom = resize(shepp_logan_phantom(), (side, side), anti_aliasing=True)
    angles = np.linspace(0, 180, 180, endpoint=False)
    y, x = np.mgrid[:side, :side]
    pairs = []
    for k in range(slices):
        body = ndimage.rotate(phantom, 3 * k, reshape=False, order=1)
        for _ in range(12):
            (row, column), radius = rng.uniform(0.3, 0.7, 2) * side, rng.uniform(2, 8)
            inside = np.hypot(y - row, x - column) < radius
            body = body + 0.1 * rng.uniform(-1, 1) * inside * (body > 0.05)
        body = np.clip(body, 0, 1) * (np.hypot(y - side / 2, x - side / 2) < side / 2 - 1)
        lines = radon(body, angles)
        counts = np.maximum(rng.poisson(_PHOTONS * np.exp(-_ABSORBED * lines)), 1)
        pairs.append([200 * iradon(s, angles) for s in (lines, -np.log(counts / _PHOTONS) / _ABSORBED)])
    clean, noisy = np.moveaxis(np.array(pairs, np.float32), 1, 0)
    return clean, noisy


def classical() -> dict[str, list[Callable[[NDArray[Any]], NDArray[Any]]]]:
    """Filters, each with the settings to try."""
    from skimage.restoration import denoise_nl_means, denoise_tv_chambolle

    patches = {"fast_mode": True, "patch_size": 5, "patch_distance": 6}
    weights = (0.02, 0.03, 0.05, 0.08, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4)
    return {
        "median": [lambda y, n=n: ndimage.median_filter(y, n) for n in (3, 5, 7)],
        "nlm": [lambda y, h=h: 255 * denoise_nl_means(y / 255, h=h, **patches) for h in (0.05, 0.08, 0.1, 0.15, 0.2)],
        "total_variation": [lambda y, w=w: 255 * denoise_tv_chambolle(y / 255, weight=w) for w in weights],
    }


if __name__ == "__main__":
    main()
