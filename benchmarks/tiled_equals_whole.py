"""Tiles against the whole image: the greatest difference over the output's standard deviation, in float32.

*Whole* is computed here, without the package's tile plan: the image mirrored at its borders by NumPy, put through the
network in one piece, and cropped. *Tiled* is `restore`, from array to OME-Zarr and back.

The images have mean 0 and deviation 15 or so. With `--offset` they lie far from 0, and what float32 cannot hold there
(its spacing is 6e-5 at 1000) adds to the difference.
"""

from __future__ import annotations

import shutil
from typing import Any

import numpy as np
import reporting
from scipy import ndimage

IMAGES = {"2": [(203, 171), (97, 350)], "3": [(19, 67, 59), (9, 83, 45)]}
TILES = {"2": [(32, 48), (64, 64)], "3": [(8, 24, 32), (16, 40, 24)]}


def main() -> None:
    parser = reporting.parser(__doc__)
    parser.add_argument("--depths", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--dimensions", nargs="+", choices=("2", "3"), default=["2", "3"])
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--steps", type=int, default=30, help="of training, so that the weights are no accident")
    parser.add_argument("--offset", type=float, default=0.0, help="added to every pixel of the images")
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    machine = reporting.begin(given.threads)
    machine["device"] = reporting.device_name(given.device)
    rows = [row for d in given.dimensions for depth in given.depths for row in compare(d, depth, given)]
    results = {"worst": max(row["difference_over_std"] for row in rows), "table": rows}
    settings = {"width": given.width, "steps": given.steps, "offset": given.offset, "precision": "float32"}
    reporting.finish(machine, results=results, settings=settings, out=given.out)


def compare(dimensions: str, depth: int, given: Any) -> list[dict[str, Any]]:
    """Every image in tiles of every size, with one model."""
    from napari_restore import train

    images = [noisy(shape) + np.float32(given.offset) for shape in IMAGES[dimensions]]
    model = train(
        images[0], "noise2void", steps=given.steps, device=given.device, precision="float32",
        dimensions=dimensions, depth=depth, width=given.width,
    )  # fmt: skip
    rows = []
    for image in images:
        expected = whole(model, image, given.device)
        for tile in TILES[dimensions]:
            result, facts = tiled(model, image, tile, given.device)
            difference = float(np.abs(result - expected).max() / expected.std())
            rows.append(
                {"dimensions": int(dimensions), "depth": depth, "shape": image.shape, **facts,
                 "difference_over_std": difference}
            )  # fmt: skip
            reporting.progress(f"{dimensions}-D, depth {depth}, {image.shape} in {facts['tile']}: {difference:.1e}")
    return rows


def noisy(shape: tuple[int, ...]) -> np.ndarray:
    rng = np.random.default_rng(0)
    return (100 * ndimage.gaussian_filter(rng.standard_normal(shape), 2) + rng.normal(0, 5, shape)).astype(np.float32)


def whole(model: Any, image: np.ndarray, device: str) -> np.ndarray:
    """The image in one piece, with a mirrored border as wide as the network looks."""
    import torch

    from napari_restore.methods.device import find_device

    method = model.method.for_restoring().to(find_device(device))
    border = [
        (-(-r // g) * g, -(-(n + r) // g) * g - n)
        for n, r, g in zip(image.shape, method.radius, method.grid, strict=True)
    ]
    mirrored = model.normalisation.apply(np.pad(image, border, mode="reflect")[None, None])
    with torch.inference_mode():
        restored = method.restore(torch.from_numpy(mirrored).to(find_device(device))).cpu().numpy()
    inside = tuple(slice(low, low + n) for (low, _), n in zip(border, image.shape, strict=True))
    return model.normalisation.invert(restored)[0, 0][inside]


def tiled(model: Any, image: np.ndarray, tile: tuple[int, ...], device: str) -> tuple[np.ndarray, dict[str, Any]]:
    from napari_restore import restore_events
    from napari_restore.core.events import RestorationStarted
    from napari_restore.core.job import drain

    seen: list[Any] = []
    result = drain(restore_events(image, model, tile=tile, device=device, precision="float32"), seen.append)
    started = next(event for event in seen if isinstance(event, RestorationStarted))
    pixels = np.asarray(result)
    shutil.rmtree(result.path.parent)
    return pixels, {"tile": started.tile, "halo": started.halo, "tiles": started.tiles}


if __name__ == "__main__":
    main()
