"""Do error bars hold what they say? Real frames with an average to compare with, and samples at three levels of light.

An interval of 90 % is the restored pixel plus and minus 1.645 deviations of `uncertainty`. Told are the share of the
truth that these hold, their mean width, and that over the width that normal errors of the true size would need.

A pair is two folders with files of the same names and the number of frames in the average. What the average lacks of
being the truth is added to the deviation: its noise, 1 in so many of the frame's, and 1/12 of a squared gray level
where it was rounded to whole ones. It is brought to the frame by a least-squares gain and offset, as published pairs
were often stretched one by one. No truth is looked at before the end.

    python benchmarks/error_bars.py --pair fmd/noisy fmd/average50 50 --pair w2s/average1 w2s/average400 400
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import reporting
from images import NAMES, eight_images
from numpy.typing import NDArray
from real_noise import names_in_both
from skimage.io import imread

WITHIN = 1.6449
"""Deviations from the middle of a normal distribution that hold 90 % of it."""

LIGHT = (3.0, 30.0, 300.0)
"""Photons where a sample is brightest."""

BINS = 20
OFFSET = 100.0
"""Of the camera, in the samples."""

Pixels = NDArray[np.float64]


@dataclass(frozen=True)
class Pair:
    """A noisy image, and its truth: of ``frames`` frames averaged, or exact."""

    noisy: NDArray[Any]
    truth: Pixels
    frames: float = np.inf


def main() -> None:
    parser = reporting.parser(__doc__)
    parser.add_argument("--pair", nargs=3, action="append", default=[], metavar=("NOISY", "AVERAGE", "FRAMES"))
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--method", default="posterior")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-pictures", action="store_true", help="frames and samples alone")
    parser.add_argument("--only", nargs="+", default=[], metavar="WORD", help="cases with one of these in the name")
    given = parser.parse_args()
    machine = reporting.begin(given.threads)
    rows = {}
    for name, pair in cases(given.pair, pictures=not given.no_pictures):
        if given.only and not any(word in name for word in given.only):
            continue
        rows[name] = row(pair, method=given.method, steps=given.steps, seed=given.seed)
        reporting.progress(f"{name}: {rows[name]}")
    held = [each["holds"] for each in rows.values() if "holds" in each]
    found = {
        "asked": 0.9,
        "between_87_and_93_percent": sum(0.87 <= each <= 0.93 for each in held),
        "of": len(rows),
        "rows": rows,
    }
    settings = {"method": given.method, "steps": given.steps, "seed": given.seed, "light": LIGHT}
    reporting.finish(machine, results=found, settings=settings, out=given.out)


def row(pair: Pair, *, method: str, steps: int, seed: int) -> dict[str, Any]:
    from napari_restore import denoise_events

    options = {"method": method, "steps": steps, "seed": seed, "device": "cpu", "uncertainty": True}
    result, seconds = timed(denoise_events(pair.noisy, axes="YX", **options))
    if result.uncertainty is None:
        return {"method": result.model.name, "says": "cannot tell"}
    restored, noisy = np.asarray(result, np.float64), pair.noisy.astype(np.float64)
    truth, of_truth = compared(pair, noisy)
    error = float(np.sqrt(max(np.square(restored - truth).mean() - of_truth.mean(), 1e-12)))
    return {
        "method": result.model.name,
        **told(restored - truth, np.asarray(result.uncertainty), of_truth, error),
        "range": round(float(np.ptp(np.quantile(truth, (0.001, 0.999)))), 4),
        "seconds": seconds,
    }


def timed(events: Iterator[Any]) -> tuple[Any, dict[str, float]]:
    """What comes of the events, and the processor's seconds until restoring, of it, and of the error bars."""
    from napari_restore.core.events import RestorationStarted

    marks = [time.process_time()]
    while True:
        try:
            event = next(events)
        except StopIteration as end:
            marks.append(time.process_time())
            names = ("training", "restoring", "bars")
            return end.value, {name: round(b - a, 2) for name, a, b in zip(names, marks, marks[1:], strict=False)}
        if isinstance(event, RestorationStarted):
            marks.append(time.process_time())


def compared(pair: Pair, noisy: Pixels) -> tuple[Pixels, Pixels]:
    """The truth as bright as the frame, and the variance of what it lacks of being true."""
    truth, gain = fitted(pair.truth, noisy)
    noise = noise_by_signal(noisy - truth, truth) / pair.frames
    rounded = np.isfinite(pair.frames) and np.array_equal(pair.truth, np.round(pair.truth))
    return truth, noise + (gain**2 / 12 if rounded else 0)


def told(error: Pixels, deviation: NDArray[Any], of_truth: Pixels, root_mean_square: float) -> dict[str, float]:
    deviation = deviation.astype(np.float64)
    inside = np.abs(error) <= WITHIN * np.sqrt(np.square(deviation) + of_truth)
    return {
        "holds": round(float(inside.mean()), 4),
        "mean_width": round(2 * WITHIN * float(deviation.mean()), 4),
        "width_over_needed": round(float(deviation.mean()) / root_mean_square, 3),
    }


def noise_by_signal(noise: Pixels, signal: Pixels) -> Pixels:
    """Its variance at each pixel, by that of the pixels which are about as bright."""
    edges = np.unique(np.quantile(signal, np.linspace(0, 1, BINS + 1)[1:-1]))
    place = np.searchsorted(edges, signal)
    means = np.bincount(place.ravel(), np.square(noise).ravel()) / np.maximum(np.bincount(place.ravel()), 1)
    return means[place]


def fitted(truth: Pixels, noisy: Pixels) -> tuple[Pixels, float]:
    """The truth with the gain and the offset that bring it nearest to the noisy frame, and that gain."""
    gain, offset = np.polyfit(truth.ravel(), noisy.ravel(), 1)
    return gain * truth + offset, float(gain)


def cases(pairs: list[list[str]], *, pictures: bool) -> Iterator[tuple[str, Pair]]:
    for noisy, average, frames in pairs:
        for name in names_in_both(Path(noisy), Path(average)):
            frame, truth = (gray(Path(folder) / name) for folder in (noisy, average))
            yield f"{Path(noisy).parent.name}/{Path(name).stem}", Pair(frame, truth.astype(np.float64), float(frames))
    for name, clean in samples().items():
        for peak in LIGHT:
            truth = clean / clean.max() * peak
            counts = np.random.default_rng(1).poisson(truth)
            yield f"{name}, {peak:g} photons", Pair(counts.astype(np.uint16), truth)
    if not pictures:
        return
    clean, noisy = eight_images()
    for name, truth, image in zip(NAMES, clean, noisy, strict=True):
        yield f"picture of {name}, sigma 25", Pair(image, truth.astype(np.float64))


def samples() -> dict[str, Pixels]:
    """Planes of the package's own samples, without noise and without the camera's offset."""
    from napari_restore.sources.samples import microscopy_stack, particle_movie, tissue_stack

    made = {"microscopy": microscopy_stack, "movie": particle_movie, "tissue": tissue_stack}
    return {name: plane_of(make()[0]) - OFFSET for name, make in made.items()}


def plane_of(clean: NDArray[Any]) -> Pixels:
    """The middle plane of the first channel."""
    while clean.ndim > 2:
        clean = clean[len(clean) // 2]
    return np.asarray(clean, np.float64)


def gray(path: Path) -> NDArray[Any]:
    pixels = np.squeeze(imread(path))
    return pixels if pixels.ndim == 2 else pixels[..., 0]


if __name__ == "__main__":
    main()
