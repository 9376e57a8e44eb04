"""Make the pictures of docs/super-resolution.md and docs/deblurring.md: ``python docs/imaging_pictures.py``.

Known pictures measured by a known instrument, so that the truth stands beside the result. A minute on two cores.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from skimage.data import camera

from napari_restore import deblur, super_resolve
from napari_restore.judging import baselines
from napari_restore.operators import psf as psfs
from napari_restore.operators.blur import Blur
from napari_restore.operators.downsample import Downsample
from napari_restore.operators.operator import Operator
from napari_restore.sources.samples import ct_slices

HERE = Path(__file__).parent / "images"
SIGMA = 5.0


def main() -> None:
    """Both pictures, or those asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30, help="of training for each")
    seconds = parser.parse_args().seconds
    deblurring(seconds)
    finer(seconds)


def deblurring(seconds: float) -> None:
    """A photograph out of focus."""
    clean = camera().astype(np.float32)
    kernel = psfs.gaussian(2.0)
    operator = Blur(kernel)
    y = measured(operator, clean, SIGMA)
    result = np.asarray(deblur(y, psf="gaussian:2", noise=SIGMA, seconds=seconds))
    columns = {
        "measured": y,
        "Wiener": baselines.wiener(y, operator, sigma=SIGMA, psf=kernel),
        "total variation": baselines.total_variation(y, operator, sigma=SIGMA),
        "napari-restore": result,
        "truth": clean,
    }
    draw("deblurring.png", columns, clean, slice(90, 218), slice(180, 308), 255.0)


def finer(seconds: float) -> None:
    """A slice of the CT sample with a quarter of its pixels."""
    clean = ct_slices()[0][4]
    operator, span = Downsample((2, 2)), float(np.ptp(clean))
    y = measured(operator, clean, 0.01 * span)
    result = np.asarray(super_resolve(y, factor=2, noise=0.01 * span, seconds=seconds))
    columns = {
        "measured": y.repeat(2, 0).repeat(2, 1),
        "bicubic": baselines.interpolated(y, operator),
        "total variation": baselines.total_variation(y, operator, sigma=0.01 * span),
        "napari-restore": result,
        "truth": clean,
    }
    n = clean.shape[0]
    draw("super_resolution.png", columns, clean, slice(n // 2 - 64, n // 2 + 64), slice(n // 2, n // 2 + 128), span)


def measured(operator: Operator, clean: np.ndarray, sigma: float) -> np.ndarray:
    """What an instrument makes of it."""
    with torch.inference_mode():
        y = operator(torch.from_numpy(clean)[None, None])[0, 0].numpy()
    return (y + sigma * np.random.default_rng(0).standard_normal(y.shape)).astype(np.float32)


def draw(name: str, columns: dict, clean: np.ndarray, rows: slice, across: slice, span: float) -> None:
    """A row of the same part, with the PSNR of the whole."""
    low, high = np.percentile(clean[rows, across], (0.5, 99.5))
    side, gap, head = 256, 8, 40
    sheet = Image.new("RGB", (len(columns) * (side + gap) - gap, side + head), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=15)
    for column, (title, image) in enumerate(columns.items()):
        grey = (255 * ((image[rows, across] - low) / (high - low)).clip(0, 1)).astype(np.uint8)
        left = column * (side + gap)
        sheet.paste(Image.fromarray(grey).resize((side, side), Image.Resampling.NEAREST), (left, head))
        error = np.mean(np.square((image - clean)[8:-8, 8:-8], dtype=np.float64))
        said = "" if error == 0 else f"{10 * np.log10(span**2 / error):.1f} dB"
        pen.text((left, 2), title, "black", font)
        pen.text((left, 20), said, "black", font)
    sheet.save(HERE / name, optimize=True)


if __name__ == "__main__":
    main()
