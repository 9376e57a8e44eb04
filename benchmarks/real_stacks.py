"""What ``auto`` makes of real stacks without a truth: mean, flux of what is brightest, noise left, streaks; a picture.

Brightest are the 0.1 % of the voxels that are brightest after smoothing the measured stack (Gaussian, one pixel along
Y and X): chosen by single voxels they would be those that noise made bright. The background are the blocks of 8 x 8
pixels of a plane that are darkest without being empty, a quarter of them; its noise is what neighbours along X differ
by there. Streaks along an axis are told by the jumps of the means along it from one line to the next, over those of the
measured stack: over 1 is a pattern that the restoration put in.

    python benchmarks/real_stacks.py stacks/*.tif --seconds 60 --picture docs/images/real_stacks.png
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import reporting
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

BRIGHTEST, DARKEST, BLOCK = 0.001, 0.25, 8
SIZE, GAP, HEAD = 300, 6, 22

Pixels = NDArray[np.float64]


def main() -> None:
    parser = reporting.parser(__doc__)
    parser.add_argument("stacks", nargs="+", type=Path)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--method", default="auto")
    parser.add_argument("--picture", type=Path)
    given = parser.parse_args()
    machine = reporting.begin(given.threads)
    from napari_restore import denoise, open_image

    rows, shown = [], []
    for path in given.stacks:
        image = open_image(path)
        measured = np.asarray(image.read(), np.float64)
        budget = {"seconds": given.seconds} if given.steps is None else {"steps": given.steps}
        for seed in range(given.seeds):
            result = denoise(image, method=given.method, seed=seed, device="cpu", **budget)
            restored = np.asarray(result, np.float64)
            rows.append({"stack": path.name, "seed": seed, "method": result.model.name, **told(measured, restored)})
            reporting.progress(f"{rows[-1]}")
            if seed == 0:
                shown.append((path.stem, result.model.name, measured, restored))
    if given.picture is not None:
        draw(shown, given.picture)
    settings = {key: getattr(given, key) for key in ("seconds", "steps", "seeds", "method")}
    reporting.finish(machine, results=rows, settings=settings, out=given.out)


def told(measured: Pixels, restored: Pixels) -> dict[str, Any]:
    """In percent of the measured stack, but for ratios of deviations."""
    bright = _most(gaussian_filter(measured, (0, 1, 1)))
    dark = _background(measured)
    noise = [float(np.diff(each, axis=-1)[..., dark[..., 1:] & dark[..., :-1]].std()) for each in (measured, restored)]
    return {
        "mean_percent": round(100 * float(restored.mean() / measured.mean() - 1), 3),
        "brightest_percent": round(100 * float(restored[bright].sum() / measured[bright].sum() - 1), 2),
        "background_noise_left": round(noise[1] / noise[0], 3),
        "streaks_along_y": round(_streaks(restored, -2) / _streaks(measured, -2), 3),
        "streaks_along_x": round(_streaks(restored, -1) / _streaks(measured, -1), 3),
    }


def _most(smooth: Pixels) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = smooth >= np.quantile(smooth, 1 - BRIGHTEST)
    return found


def _background(measured: Pixels) -> NDArray[np.bool_]:
    """Where a block is dark and not empty; what is left over at the border does not count."""
    high, wide = (n // BLOCK for n in measured.shape[-2:])
    blocks = measured[:, : high * BLOCK, : wide * BLOCK].reshape(-1, high, BLOCK, wide, BLOCK)
    means, varied = blocks.mean((2, 4)), blocks.std((2, 4)) > 0
    chosen = varied & (means <= np.quantile(means[varied], DARKEST))
    found = np.zeros(measured.shape, bool)
    found[:, : high * BLOCK, : wide * BLOCK] = chosen.repeat(BLOCK, 1).repeat(BLOCK, 2)
    return found


def _streaks(stack: Pixels, axis: int) -> float:
    """How much the means along an axis jump from one line to the next, in what is not bright."""
    capped = np.minimum(stack, np.quantile(stack, 0.9))
    return float(np.diff(capped.mean(axis), axis=-1).std()) or 1e-12


def draw(shown: list[tuple[str, str, Pixels, Pixels]], path: Path) -> None:
    """The brightest plane of each, measured beside restored, and its middle enlarged; grey is the root of the value."""
    from PIL import Image, ImageDraw, ImageFont

    sheet = Image.new("RGB", (4 * (SIZE + GAP) - GAP, len(shown) * (SIZE + HEAD)), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=13)
    for row, (name, method, measured, restored) in enumerate(shown):
        plane = int(measured.mean((1, 2)).argmax())
        black, white = np.percentile(measured, (1, 99.7))
        for column, (title, stack) in enumerate((("measured", measured), (method, restored))):
            grey = np.clip((stack[plane] - black) / (white - black), 0, 1) ** 0.5
            full = Image.fromarray((255 * grey).astype(np.uint8))
            part = full.crop((full.width // 4, full.height // 4, full.width * 3 // 4, full.height * 3 // 4))
            for place, each in ((column, full), (column + 2, part)):
                at = (place * (SIZE + GAP), row * (SIZE + HEAD))
                pen.text((at[0], at[1] + 3), f"{name[:24]}: {title}" if place < 2 else title, "black", font)
                sheet.paste(each.resize((SIZE, SIZE), Image.Resampling.NEAREST), (at[0], at[1] + HEAD))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, optimize=True)


if __name__ == "__main__":
    main()
