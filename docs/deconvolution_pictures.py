"""Make the picture of stacks in docs/deblurring.md: ``python docs/deconvolution_pictures.py SPOTS``, 20 s on one core.

SPOTS is ``xyz_16bit__spots.tif`` of NEUBIAS training-resources (CC BY 4.0): confocal, its pixel size in the file, NA
and light not, and taken for usual ones. Beside it the sample's cells, blurred by a widefield microscope's PSF.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from napari_restore import deblur, open_image
from napari_restore.operators import psf as psfs
from napari_restore.sources import samples

HERE = Path(__file__).parent / "images"
GAP, HEAD, ACROSS = 8, 24, 264
CONFOCAL = "theory:mode=confocal,NA=1.4,immersion=oil,excitation=0.488,emission=0.52,pinhole=1"
WIDEFIELD = "theory:NA=1.2,wavelength=520,pixel=108,z=300,n=1.33"
STEP = 300 / 108


def main() -> None:
    """Measured beside deconvolved, XY above XZ, first the cells and then the spots."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("spots", type=Path)
    image = open_image(parser.parse_args().spots)
    blurred = cells()
    pairs = [
        ("widefield, simulated", blurred, deblur(blurred, psf=WIDEFIELD, effort="instant", axes="ZYX"), STEP),
        ("confocal", image.read(), deblur(image, psf=CONFOCAL, effort="instant"), 0.4 / 0.0941),
    ]
    columns = [
        (f"{title}{said}", drawn(np.asarray(pixels, np.float32), np.asarray(measured, np.float32), step))
        for title, measured, result, step in pairs
        for said, pixels in ((": measured", measured), (": deconvolved", result))
    ]
    high = max(column.height for _, column in columns)
    sheet = Image.new("RGB", (len(columns) * (ACROSS + GAP) - GAP, HEAD + high), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=13)
    for place, (title, column) in enumerate(columns):
        pen.text((place * (ACROSS + GAP), 4), title, "black", font)
        sheet.paste(column, (place * (ACROSS + GAP), HEAD))
    sheet.save(HERE / "deconvolution.png", optimize=True)


def cells() -> np.ndarray:
    """The sample's stack of cells by a widefield microscope, 100 photons in bright pixels."""
    from scipy.signal import fftconvolve

    kernel = psfs.parse(WIDEFIELD, ndim=3)
    clean = np.asarray(samples.microscopy_stack()[0], np.float32)[:, :96, :96]
    blurred = fftconvolve(np.pad(clean, [(n // 2, n // 2) for n in kernel.shape], mode="reflect"), kernel, mode="valid")
    blurred -= blurred.min()
    rng = np.random.default_rng(0)
    photons = rng.poisson(100 * blurred / np.percentile(blurred, 99.9))
    return (photons + rng.normal(100, 2, photons.shape)).astype(np.float32)


def drawn(pixels: np.ndarray, measured: np.ndarray, step: float) -> Image.Image:
    """XY through the brightest plane, XZ through the brightest row of what was measured; grey values by their own."""
    bright = measured.mean((1, 2)).argmax(), measured.mean((0, 2)).argmax()
    black, white = np.percentile(pixels, (5, 99.9))
    grey = (255 * np.clip((pixels - black) / (white - black), 0, 1) ** 0.7).astype(np.uint8)
    scale = ACROSS / pixels.shape[2]
    planes = [(grey[bright[0]], scale), (grey[:, bright[1]], scale * step)]
    shown = [Image.fromarray(p).resize((ACROSS, round(len(p) * s)), Image.Resampling.NEAREST) for p, s in planes]
    sheet = Image.new("L", (ACROSS, sum(each.height for each in shown) + GAP), 255)
    sheet.paste(shown[0], (0, 0))
    sheet.paste(shown[1], (0, shown[0].height + GAP))
    return sheet


if __name__ == "__main__":
    main()
