"""Make the picture of docs/inpainting.md: a quarter of the pixels and a scratch missing, filled at once.

python docs/inpainting_picture.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from skimage import data, io

from napari_restore import inpaint

PICTURE = Path(__file__).parent / "images" / "inpainting.png"


def main() -> None:
    image = data.camera()[100:260, 160:320]
    missing = np.random.default_rng(0).random(image.shape) < 0.25
    for k in range(20, 140):
        missing[k, k - 8 : k - 4] = True
    filled = np.asarray(inpaint(image, mask=missing, axes="YX", effort="instant"))
    holes = np.where(missing, 0, image)
    io.imsave(PICTURE, np.hstack([holes, filled, image]).repeat(2, 0).repeat(2, 1), check_contrast=False)


if __name__ == "__main__":
    main()
