"""Is what hardly has any noise left as it is? `auto` after few steps, where an image is sharp and nowhere flat.

    python benchmarks/hardly_any_noise.py --ct recon_clean.tif --pictures set12 --out hardly_any_noise.json

White noise of 0.3, 1 and 3 % of the range on walls of foams, made (sharp or as an instrument blurs them, with a fine
texture) and of the given slices; 1 % on pictures of 256 x 256 of the folder. And the other way round, noise that grows
with the light on thin bright filaments in the dark, which must not be taken for sharp structure: 20, 100 and 500
photons at the brightest, read noise of 0.5 and 3. Told are PSNRs in dB over the range of the clean image, medians of
the seeds, and the gain that the program says there is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import reporting
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

SIDE = 192
OFFSET = 100.0

Pixels = NDArray[np.float64]


def main() -> None:
    parser = reporting.parser(__doc__)
    parser.add_argument("--ct", nargs="*", type=Path, default=[], help="slices without noise")
    parser.add_argument("--pictures", type=Path, help="folder")
    parser.add_argument("--limit", type=int, default=4, help="pictures, at most")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    given = parser.parse_args()
    machine = reporting.begin(given.threads)
    rows: dict[str, list[dict[str, Any]]] = {}
    for seed in given.seeds:
        for name, noisy, clean in cases(given, np.random.default_rng(seed)):
            rows.setdefault(name, []).append(row(noisy, clean, steps=given.steps, seed=seed))
            reporting.progress(f"{name}: {rows[name][-1]}")
    results = {name: medians(each) for name, each in rows.items()}
    reporting.finish(machine, results=results, settings={"steps": given.steps, "seeds": given.seeds}, out=given.out)


def cases(given: Any, rng: np.random.Generator) -> Iterator[tuple[str, Pixels, Pixels]]:
    """Name, noisy and clean."""
    from skimage.io import imread

    foams = {"sharp walls": walls(rng, blur=0.0), "walls": walls(rng, blur=0.5)}
    foams |= {path.stem: imread(path).astype(np.float64) for path in given.ct}
    for name, clean in foams.items():
        for share in (0.003, 0.01, 0.03):
            yield f"{name}, {100 * share:g} %", noisy(clean, share, rng), clean
    files = sorted(given.pictures.iterdir()) if given.pictures else []
    pictures = {path.stem: imread(path).astype(np.float64) for path in files}
    small = [(name, p) for name, p in pictures.items() if p.shape == (256, 256)][: given.limit]
    for name, clean in small:
        yield f"picture {name}, 1 %", noisy(clean, 0.01, rng), clean
    light = filaments(rng)
    for photons in (20, 100, 500):
        for read in (0.5, 3.0):
            clean = OFFSET + photons * light
            counted = OFFSET + rng.poisson(photons * light) + read * rng.normal(size=light.shape)
            yield f"filaments, {photons} photons, read noise {read:g}", np.round(counted), clean


def walls(rng: np.random.Generator, *, blur: float) -> Pixels:
    y, x = np.mgrid[:SIDE, :SIDE]
    solid = np.ones((SIDE, SIDE))
    for cy, cx, r in zip(*rng.uniform(0, SIDE, (2, 160)), rng.uniform(4, 11, 160), strict=True):
        solid[np.hypot(y - cy, x - cx) < r] = 0
    return gaussian_filter(solid, blur) * (1 + 0.1 * gaussian_filter(rng.normal(size=solid.shape), 0.7))


def filaments(rng: np.random.Generator) -> Pixels:
    drawn = np.zeros((SIDE, SIDE))
    for _ in range(14):
        place, angle = rng.uniform(0, SIDE, 2), rng.uniform(0, 2 * np.pi)
        for turn in rng.normal(0, 0.08, 400):
            angle += turn
            place = place + 0.5 * np.array([np.sin(angle), np.cos(angle)])
            if not np.all((place >= 0) & (place < SIDE)):
                break
            drawn[tuple(place.astype(int))] = 1
    blurred = gaussian_filter(drawn, 1.0)
    return blurred / blurred.max()


def noisy(clean: Pixels, share: float, rng: np.random.Generator) -> Pixels:
    return clean + share * np.ptp(clean) * rng.normal(size=clean.shape)


def row(noisy: Pixels, clean: Pixels, *, steps: int, seed: int) -> dict[str, Any]:
    from napari_restore import denoise

    result = denoise(noisy.astype(np.float32), axes="YX", steps=steps, seed=seed, device="cpu")
    checked = result.report["checked"]
    said = checked and checked["psnr"] is not None and checked["psnr"] - checked["psnr_before"]
    return {
        "method": result.model.name,
        "noisy": psnr(noisy, clean),
        "restored": psnr(np.asarray(result, np.float64), clean),
        "said": round(said, 2) if said else None,
    }


def psnr(image: Pixels, clean: Pixels) -> float:
    return round(float(10 * np.log10(np.ptp(clean) ** 2 / np.square(image - clean).mean())), 2)


def medians(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    said = [each["said"] for each in rows if each["said"] is not None]
    return {
        "method": sorted({each["method"] for each in rows}),
        **{name: round(float(np.median([each[name] for each in rows])), 2) for name in ("noisy", "restored")},
        "least_gain": round(min(each["restored"] - each["noisy"] for each in rows), 2),
        "said": round(float(np.median(said)), 2) if said else None,
    }


if __name__ == "__main__":
    main()
