"""Is anything praised that should not be? Images with a truth and a trouble, restored, and what is said of the result.

Each row: what happened to the image; by how much the result is nearer to the truth (dB, over the pixels that count);
the share of blocks of 16 x 16 pixels that are further from it than the measured image (beyond 1.5 times its error);
what the judgement without a truth estimated and called sure; whether it praised. Praise is false where the true PSNR
fell, or the error grew in more than LOST of the blocks, or the gain that it calls sure is more than TOO_HIGH dB above
the true one. Training is in steps, so that a busy machine gives the same figures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import reporting
from images import eight_images
from numpy.typing import NDArray

LOST = 0.05
TOO_HIGH = 1.0
BLOCK = 16
Pixels = NDArray[Any]


@dataclass(frozen=True)
class Situation:
    """An image, its truth, which pixels of it count, and how it is restored."""

    image: Pixels
    truth: Pixels
    options: dict[str, Any] = field(default_factory=dict)
    counts: Pixels | None = None


def main() -> None:
    parser = reporting.parser(__doc__)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="WORD", help="situations with one of these in the name"
    )
    given = parser.parse_args()
    machine = reporting.begin(given.threads)
    rows = []
    for name, situation in situations().items():
        if given.only and not any(word in name for word in given.only):
            continue
        for seed in range(given.seeds):
            rows.append({"case": name, "seed": seed, **row(situation, steps=given.steps, seed=seed)})
            reporting.progress(f"{rows[-1]}")
    false = [each["case"] for each in rows if each["false_praise"]]
    settings = {"steps": given.steps, "seeds": given.seeds, "lost": LOST, "too_high_db": TOO_HIGH}
    found = {"false_praise": false, "praised": sum(bool(each["praised"]) for each in rows), "rows": rows}
    reporting.finish(machine, results=found, settings=settings, out=given.out)


def row(situation: Callable[[np.random.Generator], Situation], *, steps: int, seed: int) -> dict[str, Any]:
    from napari_restore import denoise
    from napari_restore.core.errors import RestoreError

    it = situation(np.random.default_rng(seed))
    try:
        result = denoise(it.image, **{"steps": steps, "device": "cpu", "seed": seed, **it.options})
    except RestoreError as error:
        return {"refused": str(error)[:120], "praised": False, "false_praise": False}
    counts = np.ones(it.truth.shape, bool) if it.counts is None else it.counts
    measured, restored = (
        np.where(counts, np.asarray(each, np.float64) - it.truth, 0) for each in (it.image, np.asarray(result))
    )
    gain = decibels(np.square(measured)[counts].mean() / np.square(restored)[counts].mean())
    worse = share_worse(measured, restored, counts)
    checked = result.report.get("checked") or {}
    praised = bool(checked.get("trusted"))
    before = checked.get("psnr_before")
    told, sure = (
        None if before is None or checked.get(key) is None else round(checked[key] - before, 2)
        for key in ("psnr", "psnr_at_least")
    )
    return {
        "method": result.model.name,
        "gain_db": round(gain, 2),
        "estimated_gain_db": told,
        "sure_gain_db": sure,
        "blocks_worse": round(worse, 3),
        "praised": praised,
        "said": checked.get("verdict", "nothing"),
        "false_praise": praised and (gain < 0 or worse > LOST or (sure is not None and sure > gain + TOO_HIGH)),
    }


def decibels(ratio: float) -> float:
    return float(10 * np.log10(max(ratio, 1e-12)))


def share_worse(measured: Pixels, restored: Pixels, counts: Pixels) -> float:
    """Of blocks whose error is larger than 1.5 times the mean one of the measured image around there."""
    before, after = blocks(np.square(measured), counts), blocks(np.square(restored), counts)
    return float(np.mean(after > 1.5 * np.maximum(before, 1e-9)))


def blocks(errors: Pixels, counts: Pixels) -> Pixels:
    """Means of blocks along the last two axes, of those where most pixels count."""
    height, width = (n // BLOCK * BLOCK for n in errors.shape[-2:])

    def summed(values: Pixels) -> Pixels:
        cut = values[..., :height, :width].astype(np.float64)
        return cut.reshape(*cut.shape[:-2], height // BLOCK, BLOCK, width // BLOCK, BLOCK).sum(axis=(-3, -1))

    number = summed(counts)
    return np.asarray(summed(errors)[number > BLOCK**2 / 2] / number[number > BLOCK**2 / 2])


# Situations -----------------------------------------------------------------------------------------------------------


def scene(n: int = 160, low: float = 100, high: float = 200, seed: int = 0) -> Pixels:
    """Blobs of all sizes on a slope."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(seed + 100)
    parts = [gaussian_filter((rng.random((n, n)) < 0.3 / s**2) * s**2.0, s) for s in (1.5, 3, 6)]
    whole = sum(part / part.max() for part in parts) + np.linspace(0, 0.5, n)
    return np.asarray(low + (high - low) * (whole - whole.min()) / np.ptp(whole))


def lines(n: int = 160, period: float = 3.0) -> Pixels:
    """Lines as fine as they can be, in all directions: what a denoiser loses first."""
    y, x = np.mgrid[:n, :n]
    inside = np.hypot(y - n / 2, x - n / 2)
    return np.asarray(150 + 25 * np.sin(2 * np.pi * inside / period))


def white(truth: Callable[[], Pixels], sigma: float, **options: Any) -> Callable[[np.random.Generator], Situation]:
    def made(rng: np.random.Generator) -> Situation:
        clean = truth()
        return Situation(clean + rng.normal(0, sigma, clean.shape), clean, options)

    return made


def photons(peak: float, **options: Any) -> Callable[[np.random.Generator], Situation]:
    def made(rng: np.random.Generator) -> Situation:
        clean = scene(low=0.05 * peak, high=peak)
        return Situation(rng.poisson(clean).astype(np.uint16), clean, options)

    return made


def correlated(width: float | Sequence[float], sigma: float = 20) -> Callable[[np.random.Generator], Situation]:
    def made(rng: np.random.Generator) -> Situation:
        from scipy.ndimage import gaussian_filter

        clean = scene()
        noise = gaussian_filter(rng.normal(size=clean.shape), width)
        return Situation(clean + sigma * noise / noise.std(), clean)

    return made


def bad_pixels(count: int, value: float) -> Callable[[np.random.Generator], Situation]:
    def made(rng: np.random.Generator) -> Situation:
        from scipy.ndimage import binary_dilation

        clean = scene()
        bad = np.zeros(clean.shape, bool)
        bad.flat[rng.choice(bad.size, count, replace=False)] = True
        image = np.where(bad, value, np.rint(rng.normal(clean, 10))).clip(0, 65535).astype(np.uint16)
        return Situation(image, clean, counts=~binary_dilation(bad, iterations=2))

    return made


def shot_through(share: float) -> Callable[[np.random.Generator], Situation]:
    """Salt and pepper: every so many pixels say nothing."""

    def made(rng: np.random.Generator) -> Situation:
        clean = scene()
        image = np.rint(rng.normal(clean, 10)).clip(0, 255)
        image = np.where(rng.random(clean.shape) < share, rng.choice([0, 255], clean.shape), image)
        return Situation(image.astype(np.uint8), clean)

    return made


def padding(value: float, dtype: Any) -> Callable[[np.random.Generator], Situation]:
    def made(rng: np.random.Generator) -> Situation:
        clean = scene(low=-950, high=200)
        y, x = np.mgrid[:160, :160]
        inside = np.hypot(y - 79.5, x - 79.5) < 79
        image = np.where(inside, np.rint(rng.normal(clean, 30)), value).astype(dtype)
        return Situation(image, clean, counts=inside)

    return made


def planes(
    gains: Sequence[float], photons_of: float = 20, axes: str = "ZYX"
) -> Callable[[np.random.Generator], Situation]:
    """Planes of one scene, each so many times brighter: channels in turn, flicker, bleaching."""

    def made(rng: np.random.Generator) -> Situation:
        clean = np.stack([gain * scene(96, 0.1 * photons_of, photons_of, seed=i % 2) for i, gain in enumerate(gains)])
        return Situation(rng.poisson(clean).astype(np.uint16), clean, {"axes": axes})

    return made


def saturated_frame(rng: np.random.Generator) -> Situation:
    clean = np.stack([scene(96, 300, 900)] * 8)
    image = rng.normal(clean, 40)
    image[5] = 4095
    counts = np.ones(clean.shape, bool)
    counts[5] = False
    return Situation(np.rint(image).astype(np.uint16), clean, {"axes": "TYX"}, counts)


def quantised(step: float) -> Callable[[np.random.Generator], Situation]:
    def made(rng: np.random.Generator) -> Situation:
        clean = scene()
        return Situation(step * np.rint(rng.normal(clean, 10) / step), clean)

    return made


def clipped(rng: np.random.Generator) -> Situation:
    """A third of the pixels at the detector's limit."""
    clean = scene()
    return Situation(rng.normal(clean, 15).clip(None, 140), clean.clip(None, 140))


def stripes(rng: np.random.Generator) -> Situation:
    """Each row with a brightness of its own, as scanners and CMOS cameras give it."""
    clean = scene()
    return Situation(clean + rng.normal(0, 8, (160, 1)) + rng.normal(0, 8, clean.shape), clean)


def jpeg(quality: int) -> Callable[[np.random.Generator], Situation]:
    def made(rng: np.random.Generator) -> Situation:
        import imagecodecs

        clean = scene()
        noisy = rng.normal(clean, 15).clip(0, 255).astype(np.uint8)
        return Situation(np.asarray(imagecodecs.jpeg_decode(imagecodecs.jpeg_encode(noisy, quality))), clean)

    return made


def zoomed(rng: np.random.Generator) -> Situation:
    """Enlarged 1.5 times by a viewer or a microscope's program after the noise came."""
    from scipy.ndimage import zoom

    clean = scene(120)
    return Situation(zoom(rng.normal(clean, 15), 1.5, order=1), zoom(clean, 1.5, order=1))


def model_of_another(rng: np.random.Generator) -> Situation:
    """A model that was trained on blobs with little noise, used on lines with much."""
    from napari_restore import train

    learned = train(rng.normal(scene(), 3), steps=100, device="cpu", method="noise2void2")
    clean = lines(period=4)
    return Situation(rng.normal(clean, 20), clean, {"model": learned})


def several_channels(rng: np.random.Generator) -> Situation:
    """One channel of a few photons, one of thousands."""
    clean = np.stack([scene(128, 0.3, 3), scene(128, 300, 3000, seed=1)])
    image = rng.poisson(clean)
    scaled = 1 / np.sqrt(clean.mean((1, 2), keepdims=True))  # so that either has a say
    return Situation(image * scaled, clean * scaled, {"axes": "CYX"})


def picture(index: int, sigma: float, **options: Any) -> Callable[[np.random.Generator], Situation]:
    def made(rng: np.random.Generator) -> Situation:
        clean = eight_images()[0][index].astype(np.float64)
        return Situation(clean + rng.normal(0, sigma, clean.shape), clean, options)

    return made


def situations() -> dict[str, Callable[[np.random.Generator], Situation]]:
    flat = lambda: np.full((160, 160), 100.0)  # noqa: E731
    return {
        **{f"picture {i}, sigma 25": picture(i, 25) for i in range(8)},
        "picture 2, sigma 5": picture(2, 5),
        "picture 5, sigma 2": picture(5, 2),
        "blobs, sigma 10": white(scene, 10),
        "blobs, sigma 1": white(scene, 1),
        "blobs, no noise": white(scene, 0),
        "blobs, sigma 10, 3 steps": white(scene, 10, steps=3),
        "blobs, sigma 10, N2V, 20 steps": white(scene, 10, steps=20, method="noise2void"),
        "lines of 3 px, sigma 5": white(lines, 5),
        "lines of 3 px, sigma 25": white(lines, 25),
        "lines of 2.2 px, sigma 10, N2V2": white(lambda: lines(period=2.2), 10, method="noise2void2"),
        "nothing but noise": white(flat, 10),
        "64 x 64": white(lambda: scene(64), 10),
        "0.3 photons at the peak": photons(0.3),
        "3 photons at the peak": photons(3),
        "3 photons, N2V2": photons(3, method="noise2void2"),
        "300 photons": photons(300),
        "26 pixels of 4095": bad_pixels(26, 4095),
        "26 pixels of 60000": bad_pixels(26, 60000),
        "1 pixel of 60000": bad_pixels(1, 60000),
        "600 pixels of 300": bad_pixels(600, 300),
        "2 % salt and pepper": shot_through(0.02),
        "20 % salt and pepper": shot_through(0.2),
        "padding of -3024": padding(-3024, np.int16),
        "padding of NaN": padding(np.nan, np.float32),
        "dim and bright planes in turn": planes([1, 50] * 4),
        "dim and bright planes, 5 x": planes([1, 5] * 4),
        "a movie that bleaches to a tenth": planes(list(np.geomspace(1, 0.1, 8)), 200, "TYX"),
        "a movie that flickers": planes([1, 0.5, 1.3, 0.7, 1, 1.2, 0.6, 0.9], 50, "TYX"),
        "a saturated frame": saturated_frame,
        "steps of 5 grey values": quantised(5),
        "steps of 30 grey values": quantised(30),
        "a third at the limit": clipped,
        "rows with a brightness of their own": stripes,
        "noise 0.6 px wide": correlated(0.6),
        "noise 1 px wide": correlated(1.0),
        "noise 2 px wide": correlated(2.0),
        "noise 1 px wide along X": correlated((0, 1.0)),
        "JPEG of quality 50": jpeg(50),
        "JPEG of quality 90": jpeg(90),
        "zoomed 1.5 times": zoomed,
        "a model of another image": model_of_another,
        "channels of 3 and 3000 photons": several_channels,
    }


if __name__ == "__main__":
    main()
