"""A picture of one bead deconvolved by itself, as a measured PSF: the widths at half of the maximum, before and after.

The picture is told as it is, as the image and as the PSF; how it is cut, what is taken off and where its middle is, is
the package's business.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import reporting


def main() -> None:
    parser = reporting.parser(__doc__)
    parser.add_argument("--bead", type=Path, required=True, metavar="FILE", help="one bead in 3-D")
    parser.add_argument("--iterations", type=int, default=10)
    given = parser.parse_args()
    machine = reporting.begin(given.threads)
    from napari_restore import deblur, open_image

    bead = open_image(given.bead, axes="ZYX")
    options = {"method": "richardson_lucy", "iterations": given.iterations, "device": "cpu"}
    result = deblur(bead, psf=str(given.bead), **options)
    found = {"measured_px": widths(bead.read()), "restored_px": widths(np.asarray(result))}
    settings = {"shape": list(bead.shape), "iterations": given.iterations}
    reporting.finish(machine, results=found, settings=settings, out=given.out)


def widths(image: np.ndarray) -> list[float]:
    """Along Z, Y and X through the brightest pixel, where lines cross half of its height over the background."""
    image = image.astype(np.float64) - np.median(image)
    peak = np.unravel_index(image.argmax(), image.shape)
    found = []
    for axis in range(image.ndim):
        line = np.moveaxis(image, axis, 0)[(slice(None), *np.delete(peak, axis))]
        found.append(round(_crossing(line[peak[axis] :]) + _crossing(line[peak[axis] :: -1]), 1))
    return found


def _crossing(line: np.ndarray) -> float:
    """Pixels from the first to where the line falls to half of it."""
    below = int(np.argmax(line < line[0] / 2))
    return below - 1 + float((line[below - 1] - line[0] / 2) / (line[below - 1] - line[below]))


if __name__ == "__main__":
    main()
