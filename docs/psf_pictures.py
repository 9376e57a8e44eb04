"""Make the picture of PSFs in docs/deblurring.md: ``python docs/psf_pictures.py``. A second on one core."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from napari_restore.operators import psf as psfs

HERE = Path(__file__).parent / "images"
ACROSS, ALONG = 2.0, 4.0
"""Micrometres that are shown of X and Y, and of Z."""

STEP = 0.05
SHARED = f"NA=1.2,n=1.33,pixel={STEP},z={STEP}"
COLUMNS = {
    "widefield": f"theory:{SHARED},emission=0.52",
    "confocal, 1 Airy unit": f"theory:{SHARED},mode=confocal,excitation=0.488,emission=0.52,pinhole=1",
    "light sheet, 1000 nm": f"theory:{SHARED},mode=lightsheet,emission=0.52,sheet=1",
    "two-photon, 900 nm": f"theory:{SHARED},mode=twophoton,excitation=0.9",
    "oil, deep in water": f"theory:NA=1.4,n=1.515,ns=1.33,depth=5,pixel={2 * STEP},z={2 * STEP},emission=0.52",
}


def main() -> None:
    """XY above XZ, one column a microscope, all at one scale."""
    scale, gap, head = 80, 8, 24
    wide, low, high = (int(scale * n) for n in (ACROSS, ACROSS, ALONG))
    sheet = Image.new("RGB", (len(COLUMNS) * (wide + gap) - gap, head + low + gap + high), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=13)
    for column, (title, text) in enumerate(COLUMNS.items()):
        kernel, step = psfs.parse(text, ndim=3), 2 * STEP if "depth" in text else STEP
        left = column * (wide + gap)
        pen.text((left, 4), title, "black", font)
        sheet.paste(shown(kernel[len(kernel) // 2], step, (ACROSS, ACROSS), scale), (left, head))
        across = kernel[:, kernel.shape[1] // 2]
        sheet.paste(shown(across, step, (ALONG, ACROSS), scale), (left, head + low + gap))
    sheet.save(HERE / "psf_modes.png", optimize=True)


def shown(plane: np.ndarray, step: float, size: tuple[float, float], scale: int) -> Image.Image:
    """So many micrometres about the middle, faint light raised."""
    far = [int(s / step / 2) for s in size]
    around = np.pad(plane, [(f, f) for f in far])
    y, x = (n // 2 for n in around.shape)
    cut = around[y - far[0] : y + far[0] + 1, x - far[1] : x + far[1] + 1]
    grey = (255 * np.sqrt(cut / cut.max())).astype(np.uint8)
    return Image.fromarray(grey).resize((int(scale * size[1]), int(scale * size[0])), Image.Resampling.BICUBIC)


if __name__ == "__main__":
    main()
