"""Deconvolution of stacks whose truth is known, beside other programs: quality, speed, memory.

Four scenes of 24 x 160 x 160 (the sample's cells, filaments, textured nuclei, beads of 3 px radius), blurred by a water
immersion objective's PSF from theory, on a camera with an offset of 100 and read noise of 2. ``own`` is what
``deblur(effort="instant")`` makes of it, settings chosen without the truth; ``best_by_truth`` the best of a grid of the
same method's settings; ``learned`` (with ``--steps``) what ``learned_richardson_lucy`` makes of it, trained on that one
stack, with as much of what it learned as it trusts, ``all_db`` with all and ``base_db`` with none of it;
``denoised_first`` (with ``--denoise-steps``) what ``richardson_lucy`` makes of the stack once ``denoise`` has learned
from it and restored it, with settings that were the best of six weights and three numbers of iterations by the truth
on the cells at 200 photons, seed 0; ``skimage``
and ``RedLionfish`` (if it is installed) Richardson-Lucy as they have it, told the offset, with as many iterations as
the truth asks for. PSNR after the best gain and offset, without 4 px along Y and X.
"""

from __future__ import annotations

import gc
import resource
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import reporting

PSF = "theory:NA=1.2,wavelength=520,pixel=108,z=300,n=1.33"
SHAPE = (24, 160, 160)
OFFSET, READ = 100.0, 2.0
ITERATIONS = (10, 20, 30, 40)
SIDE_BY_SIDE = 10
ONCE_DENOISED = {"iterations": 30, "weight": 0.0005, "prior": "hessian"}
GRID = {
    "total_variation": (0.0, 0.001, 0.003, 0.006, 0.015, 0.03),
    "hessian": (0.0002, 0.0005, 0.001, 0.003, 0.006, 0.015),
}


def main() -> None:
    parser = reporting.parser(__doc__)
    parser.add_argument("--scenes", nargs="+", default=list(SCENES), choices=list(SCENES))
    parser.add_argument("--light", type=int, nargs="+", default=[20, 200, 2000], help="photons in bright pixels")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--others-at", type=int, nargs="*", default=[200], help="photons where others are run, too")
    parser.add_argument("--no-own", action="store_true", help="leave out its own choice")
    parser.add_argument("--no-grid", action="store_true", help="leave out what is tuned by the truth")
    parser.add_argument("--priors", nargs="+", default=list(GRID), choices=list(GRID), help="that are in the grid")
    parser.add_argument("--methods", nargs="*", default=[], help="others of this package, by name, with --method-steps")
    parser.add_argument("--method-steps", type=int, default=40, help="of those that learn")
    parser.add_argument("--steps", type=int, default=0, help="of the network, 0 for none")
    parser.add_argument("--denoise-steps", type=int, default=0, help="of what denoises first, 0 for none")
    parser.add_argument("--learned-at", type=int, nargs="*", default=[20, 200, 2000], help="photons, of a network")
    given = parser.parse_args()
    machine = reporting.begin(given.threads)
    rows: list[dict[str, Any]] = []
    settings = {"psf": PSF, "shape": list(SHAPE), "offset": OFFSET, "read_noise": READ, "light": given.light}
    if given.steps:
        settings["steps"] = given.steps
    for scene in given.scenes:
        clean = SCENES[scene]()
        for light in given.light:
            for seed in range(given.seeds):
                rows.append({"scene": scene, "photons": light, "seed": seed, **one_row(clean, light, seed, given)})
                reporting.progress(str(rows[-1]))
                reporting.finish(machine, results=rows, settings=settings, out=given.out)  # hours go by in between


def one_row(clean: np.ndarray, light: int, seed: int, given: Any) -> dict[str, Any]:
    y, truth = measured(clean, light=light, seed=seed)
    row: dict[str, Any] = {"measured_db": score(y, truth)}
    if not given.no_own:
        row["own"] = own(y, truth)
    if not given.no_grid:
        row["best_by_truth"] = best_by_truth(y, truth, {prior: GRID[prior] for prior in given.priors})
    if given.steps and light in given.learned_at:
        row["learned"] = learned(y, truth, steps=given.steps, seed=seed)
    if given.denoise_steps:
        row["denoised_first"] = denoised_first(y, truth, steps=given.denoise_steps, seed=seed)
    for name in given.methods:
        row[name] = by_name(name, y, truth, steps=given.method_steps, seed=seed)
    if light in given.others_at:
        row["skimage"] = of_skimage(y, truth)
        row["RedLionfish"] = of_redlionfish(y, truth)
    return row


def own(y: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
    """The verb, from an array to a file on the disk and back."""
    from napari_restore import deblur

    began, processor = time.perf_counter(), time.process_time()
    result = deblur(y, psf=PSF, effort="instant", axes="ZYX", device="cpu")
    seconds, processor = time.perf_counter() - began, time.process_time() - processor
    config = result.model.method.config
    return {
        "db": score(np.asarray(result), truth),
        "seconds": round(seconds, 2),
        "processor_seconds": round(processor, 2),
        "peak_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9, 3),
        "iterations": config.updates[0],
        "weight": config.price[0],
        "prior": config.priced[0],
        "photon": round(config.photon[0], 3),
        "dark": round(config.dark[0], 2),
    }


def learned(y: np.ndarray, truth: np.ndarray, *, steps: int, seed: int) -> dict[str, Any]:
    """Trained on the stack and restored, without the table that compares it with classical ways."""
    from dataclasses import replace

    from napari_restore import restore, train

    processor = time.process_time()
    options = {"axes": "ZYX", "device": "cpu"}
    began = time.perf_counter()
    model = train(y, "learned_richardson_lucy", psf=PSF, steps=steps, seed=seed, **options)
    training, config = time.process_time() - processor, model.method.config
    shares = []
    for share in (0.0, 1.0):
        model.method.config = replace(config, trust=(share,))
        shares.append(np.asarray(restore(y, model, **options)))
    restoring = (time.process_time() - processor - training) / 2
    base, corrected = shares
    return {
        "db": score(base + config.trust[0] * (corrected - base), truth),
        "base_db": score(base, truth),
        "all_db": score(corrected, truth),
        "trust": config.trust[0],
        "iterations": config.updates[0],
        "weight": config.price[0],
        "prior": config.priced[0],
        "processor_seconds": round(training + restoring, 1),
        "seconds": round(time.perf_counter() - began, 1),
        "peak_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9, 3),
    }


def denoised_first(y: np.ndarray, truth: np.ndarray, *, steps: int, seed: int) -> dict[str, Any]:
    """Denoised by what ``denoise`` chooses, then deconvolved as if it had the noise that it had before."""
    from napari_restore import deblur, denoise, estimate_noise

    processor = time.process_time()
    options = {"axes": "ZYX", "device": "cpu", "seed": seed}
    quiet = np.asarray(denoise(y, steps=steps, **options))
    noise = estimate_noise(y, axes="ZYX").sigma
    result = deblur(quiet, psf=PSF, method="richardson_lucy", noise=noise, **ONCE_DENOISED, **options)
    return {
        "db": score(np.asarray(result), truth),
        "steps": steps,
        "noise": round(noise, 3),
        "processor_seconds": round(time.process_time() - processor, 1),
        "peak_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9, 3),
    }


def by_name(name: str, y: np.ndarray, truth: np.ndarray, *, steps: int, seed: int) -> dict[str, Any]:
    """Another method of this package, ``NAME`` or ``NAME,SETTING=VALUE``; learning ones trained on the stack."""
    from napari_restore import restore, train
    from napari_restore.methods import listed

    method, *pairs = name.split(",")
    processor = time.process_time()
    asked: dict[str, Any] = dict(reporting.settings_of(pairs))
    if listed(method).learns:
        asked["steps"] = steps
    model = train(y, method, psf=PSF, seed=seed, axes="ZYX", device="cpu", **asked)
    result = np.asarray(restore(y, model, axes="ZYX", device="cpu"))
    return {
        "db": score(result, truth),
        "processor_seconds": round(time.process_time() - processor, 1),
        "peak_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9, 3),
        **({"steps": steps} if "steps" in asked else {}),
    }


def best_by_truth(y: np.ndarray, truth: np.ndarray, weights: dict[str, tuple[float, ...]]) -> dict[str, Any]:
    """The best of many settings of the same method, told offset, gain and read noise."""
    from itertools import islice

    import torch

    from napari_restore.methods.richardson_lucy import Endless
    from napari_restore.operators import psf as psfs
    from napari_restore.operators.deconvolve import richardson_lucy

    operator = Endless(psfs.parse(PSF, ndim=3))
    photons = torch.from_numpy(y - OFFSET + READ**2).clamp_(min=0)[None, None]
    best: dict[str, Any] = {"db": 0.0}
    with torch.inference_mode():
        for prior, weight in ((p, w) for p in weights for w in weights[p]):
            start = torch.full_like(photons, float(photons.mean()))
            options = {"start": start, "weight": weight, "background": READ**2, "accelerated": True}
            if prior != "total_variation":  # the only one there was
                options["prior"] = prior
            for done, x in enumerate(islice(richardson_lucy(photons, operator, **options), 48), 1):
                db = score(x[0, 0].numpy(), truth) if done > 5 else 0.0
                if db > best["db"]:
                    best = {"db": db, "iterations": done, "weight": weight, "prior": prior}
        began = time.process_time()
        start = torch.full_like(photons, float(photons.mean()))
        options = {"start": start, "weight": 0.002, "background": READ**2, "accelerated": True}
        for _ in islice(richardson_lucy(photons, operator, **options), SIDE_BY_SIDE):
            pass
        best["processor_seconds_per_iteration"] = round((time.process_time() - began) / SIDE_BY_SIDE, 4)
    return best


def of_skimage(y: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
    from skimage.restoration import richardson_lucy

    def restore(light: np.ndarray, kernel: np.ndarray, iterations: int) -> np.ndarray:
        return richardson_lucy(light, kernel, num_iter=iterations, clip=False)

    return of_another(restore, y, truth)


def of_redlionfish(y: np.ndarray, truth: np.ndarray) -> dict[str, Any] | str:
    try:
        import RedLionfishDeconv
    except ImportError:
        return "not installed"

    def restore(light: np.ndarray, kernel: np.ndarray, iterations: int) -> np.ndarray:
        return RedLionfishDeconv.doRLDeconvolutionFromNpArrays(light, kernel, niter=iterations, method="cpu")

    return of_another(restore, y, truth)


def of_another(restore: Callable[..., np.ndarray], y: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
    """Another program's Richardson-Lucy, its iterations by the truth; mirrored far around, as it is dark past a border.

    Its speed is that of the stack itself, without what is mirrored.
    """
    from napari_restore.operators import psf as psfs

    kernel = psfs.parse(PSF, ndim=3).astype(np.float32)
    margin = [3 * (n // 2) for n in kernel.shape]
    light = np.clip(y - OFFSET, 1e-3, None).astype(np.float32)
    wide = np.pad(light, [(m, m) for m in margin], mode="reflect")
    inner = tuple(slice(m, -m) for m in margin)
    found = {}
    for iterations in ITERATIONS:
        found[iterations] = score(np.asarray(restore(wide, kernel, iterations))[inner], truth)
    best = max(found, key=lambda n: found[n])
    gc.collect()
    began = time.process_time()
    restore(light, kernel, SIDE_BY_SIDE)
    return {
        "db": found[best],
        "iterations": best,
        "processor_seconds_per_iteration": round((time.process_time() - began) / SIDE_BY_SIDE, 4),
    }


def measured(clean: np.ndarray, *, light: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """What the camera gives, and the scene in its units."""
    from scipy.signal import fftconvolve

    from napari_restore.operators import psf as psfs

    kernel = psfs.parse(PSF, ndim=3)
    wide = np.pad(clean, [(n // 2, n // 2) for n in kernel.shape], mode="reflect")
    blurred = fftconvolve(wide, kernel, mode="valid")
    blurred = np.clip(blurred - blurred.min(), 0, None)
    scale = light / np.percentile(blurred, 99.9)
    rng = np.random.default_rng(seed)
    noisy = rng.poisson(blurred * scale) + rng.normal(0, READ, blurred.shape) + OFFSET
    return noisy.astype(np.float32), (clean * scale + OFFSET).astype(np.float32)


def score(x: np.ndarray, truth: np.ndarray) -> float:
    """PSNR once gain and offset fit best."""
    a, t = (np.asarray(v, np.float64)[..., 4:-4, 4:-4].ravel() for v in (x, truth))
    gain = np.cov(a, t)[0, 1] / a.var(ddof=1)
    error = np.mean((gain * (a - a.mean()) + t.mean() - t) ** 2)
    return round(float(10 * np.log10(np.ptp(t) ** 2 / error)), 2)


def cells() -> np.ndarray:
    from napari_restore.sources import samples

    clean, _ = samples.microscopy_stack()
    return np.asarray(clean, np.float32)[:, :160, :160]


def filaments() -> np.ndarray:
    """Bent lines, thinner than the PSF."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(1)
    found = np.zeros(SHAPE, np.float32)
    for _ in range(60):
        place, way, bright = rng.uniform(0, SHAPE), rng.normal(size=3) * (0.3, 1, 1), rng.uniform(0.4, 1)
        for _ in range(260):
            way = way + rng.normal(size=3) * (0.03, 0.08, 0.08)
            way /= np.linalg.norm(way)
            place = place + 0.5 * way
            pixel = tuple(np.rint(place).astype(int))
            if min(pixel) < 0 or any(p >= n for p, n in zip(pixel, SHAPE, strict=True)):
                break
            found[pixel] = max(found[pixel], bright)
    return gaussian_filter(found, (0.5, 0.8, 0.8)) * 10 + 0.02


def nuclei() -> np.ndarray:
    """Ellipsoids with a fine texture."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(2)
    z, y, x = np.ogrid[tuple(slice(n) for n in SHAPE)]
    texture = gaussian_filter(rng.normal(size=SHAPE), (0.7, 1.5, 1.5))
    texture = np.clip(1 + 0.4 * texture / texture.std(), 0.1, None)
    found = np.full(SHAPE, 0.03)
    for _ in range(14):
        (a, b, c), radius = rng.uniform(0.1, 0.9, 3) * SHAPE, rng.uniform(12, 20)
        wide = radius * rng.uniform(0.7, 1.2)
        inside = ((z - a) * 2.8 / radius) ** 2 + ((y - b) / radius) ** 2 + ((x - c) / wide) ** 2 < 1
        found = np.where(inside, rng.uniform(0.4, 0.8) * texture, found)
    return gaussian_filter(found, (0.3, 0.5, 0.5)).astype(np.float32)


def beads(radius: float = 3.0) -> np.ndarray:
    rng = np.random.default_rng(3)
    z, y, x = np.ogrid[tuple(slice(n) for n in SHAPE)]
    found = np.full(SHAPE, 0.01, np.float32)
    for _ in range(70):
        a, b, c = rng.uniform(0, SHAPE)
        distance = np.sqrt(((z - a) * 300 / 108) ** 2 + (y - b) ** 2 + (x - c) ** 2)
        found += np.clip(radius + 0.5 - distance, 0, 1) * rng.uniform(0.4, 1)
    return found


SCENES = {"cells": cells, "filaments": filaments, "nuclei": nuclei, "beads": beads}


if __name__ == "__main__":
    main()
