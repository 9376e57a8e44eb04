"""What the scripts of the papers share: pictures, noise, and rows of a table that say what they took."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import reporting
from distillation import interpolated, measured, psnr, restored

__all__ = ["interpolated", "measured", "psnr", "reporting", "restored"]

Pictures = Sequence[np.ndarray]


def pictures(folder: Path, *, most: int, side: int) -> list[np.ndarray]:
    """Middles ``(side, side)`` of the first gray pictures of a folder that are large enough, float32 of 0 to 255."""
    from skimage.io import imread

    found: list[np.ndarray] = []
    for path in sorted(folder.iterdir()):
        picture = imread(path).astype(np.float32)
        if min(picture.shape) >= side and len(found) < most:
            top, left = ((n - side) // 2 for n in picture.shape)
            found.append(picture[top : top + side, left : left + side])
    return found


def noised(clean: Pictures, sigma: float, *, seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [(x + sigma * rng.standard_normal(x.shape)).astype(np.float32) for x in clean]


def trained(images: Pictures, method: str, **options: Any) -> Any:
    """A model that has learned from pictures, as planes of one image; what it took is among its provenance."""
    from napari_restore import train

    began = time.process_time()
    partners = {name: np.stack(options.pop(name)) for name in ("second", "target") if name in options}
    model = train(np.stack(images), method, axes="TYX", device="cpu", **partners, **options)
    reporting.progress(f"{method}: {time.process_time() - began:.0f} s of processor time")
    return model


def scores(restore: Callable[[np.ndarray], np.ndarray], seen: Pictures, clean: Pictures) -> float:
    """Mean PSNR in dB over a range of 255, without a rim of 8 pixels."""
    return float(np.mean([psnr(restore(y), x) for y, x in zip(seen, clean, strict=True)]))


def row(system: str, value: float, *, model: Any = None, paper: Any = None, **more: Any) -> dict[str, Any]:
    """A line of a table: what it reaches here, and in the paper."""
    facts = {}
    if model is not None:
        facts = {name: model.provenance.get(name) for name in ("steps", "seconds")}
        facts["weights"] = model.card()["parameters"]
    found = {"system": system, "paper": paper, "psnr": round(value, 2), **facts, **more}
    reporting.progress(str(found))
    return found
