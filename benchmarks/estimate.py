"""How far is the PSNR that is told of a run without a truth from the true one? Frames, samples, pictures, stacks.

Of the part that `check` looks at, as it is after a run: the estimated over the true PSNR in dB, above 0 where too much
is promised. What an average of frames lacks of being the truth is taken off the distance to it, as by `error_bars.py`.
Frames, samples and pictures are trained on one by one; eight pictures in a stack, and photographs in stacks of eight,
with several draws of white noise. One image's estimate errs by chance; the median over many tells a bias.

    python benchmarks/estimate.py --pair w2s/average1 w2s/average400 400 --pictures bsd68
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import reporting
from denoise_quality import noised, pictures
from error_bars import Pair, Pixels, cases, compared
from images import SIGMA, each_in_the_middle, eight_images

STACK = 8


def main() -> None:
    parser = reporting.parser(__doc__)
    parser.add_argument("--pair", nargs=3, action="append", default=[], metavar=("NOISY", "AVERAGE", "FRAMES"))
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="photographs, to make stacks of eight of")
    parser.add_argument(
        "--stacks", type=int, default=4, help="of photographs, at most; and draws of noise of the eight"
    )
    parser.add_argument("--steps", type=int, nargs="+", default=[400])
    parser.add_argument("--method", default="posterior")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", default=[], metavar="WORD", help="cases with one of these in the name")
    given = parser.parse_args()
    machine = reporting.begin(given.threads)
    rows: dict[str, dict[str, Any]] = {}
    for steps in given.steps:
        for name, axes, pair in every_case(given):
            if not given.only or any(word in name for word in given.only):
                rows[f"{name}, {steps} steps"] = row(pair, axes, method=given.method, steps=steps, seed=given.seed)
                reporting.progress(f"{name}: {rows[f'{name}, {steps} steps']}")
    settings = {"method": given.method, "steps": given.steps, "seed": given.seed}
    reporting.finish(machine, results={**in_all(rows), "rows": rows}, settings=settings, out=given.out)


def every_case(given: Any) -> Iterator[tuple[str, str, Pair]]:
    for name, pair in cases(given.pair, pictures=True):
        yield name, "YX", pair
    clean, _ = eight_images()
    for draw in range(given.stacks):
        noise = np.random.default_rng(draw).normal(0, SIGMA, clean.shape).astype(np.float32)
        yield f"stack of the eight, noise {draw}", "TYX", Pair(clean + noise, clean.astype(np.float64))
    files = pictures(given.pictures) if given.pictures else []
    for first in range(0, min(len(files), given.stacks * STACK), STACK):
        side = min(min(picture.shape) for picture in files)
        truth = np.stack([picture[:side, :side] for picture in files[first : first + STACK]]).astype(np.float64)
        noisy = np.stack([noised(picture, SIGMA, first + i) for i, picture in enumerate(truth)])
        yield f"stack of photographs from {first}", "TYX", Pair(noisy, truth)


def row(pair: Pair, axes: str, *, method: str, steps: int, seed: int) -> dict[str, Any]:
    from napari_restore import denoise

    result = denoise(pair.noisy, method=method, axes=axes, steps=steps, seed=seed, device="cpu")
    restored, noisy = np.asarray(result, np.float64), pair.noisy.astype(np.float64)
    shutil.rmtree(result.path.parent)
    truth, of_truth = compared(pair, noisy) if axes == "YX" else (pair.truth, np.zeros(pair.truth.shape))
    parts: Any = [pair.noisy, restored, truth, of_truth]
    turns = zip(*map(each_in_the_middle, parts), strict=True) if axes == "TYX" else [parts]
    found = [errors(*each, result.model, axes) for each in turns]
    estimated, true = (float(np.mean([each[i] for each in found])) for i in (0, 1))
    return {
        "noise": round(float(np.square(noisy - truth).mean()), 4),
        "true": round(true, 4),
        "estimated": round(estimated, 4),
        "too_high_by_db": round(10 * float(np.log10(true / estimated)), 3) if estimated > 0 < true else None,
    }


def errors(noisy: Any, restored: Pixels, truth: Pixels, of_truth: Pixels, model: Any, axes: str) -> tuple[float, float]:
    """Estimated and true mean squared distance to the truth, of the part that is looked at."""
    from napari_restore.judging.denoised import check
    from napari_restore.judging.part import middle
    from napari_restore.sources import open_image

    image = open_image(noisy, axes=axes)
    checked = check(image, model)
    seen = middle(image, {"Y": 256, "X": 256}).slices
    distance = float(np.square(restored - truth)[seen].mean() - of_truth[seen].mean())
    return (checked.mse if checked is not None and checked.mse is not None else float("nan")), distance


def in_all(rows: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Over all cases, and over kinds of them."""
    known = {name: each["too_high_by_db"] for name, each in rows.items() if each["too_high_by_db"] is not None}
    kinds = {"stacks": "stack of", "pictures": "picture of", "samples": "photons", "frames": "/"}
    of_kind = {kind: [v for name, v in known.items() if word in name] for kind, word in kinds.items()}
    told = {kind: in_short(v) for kind, v in of_kind.items() if v}
    return {"all": in_short([*known.values()]), "not_told": len(rows) - len(known), **told}


def in_short(too_high: list[float]) -> dict[str, Any]:
    root = round(float(np.sqrt(np.mean(np.square(too_high)))), 3)
    return {"of": len(too_high), "median": reporting.median(too_high), "root_mean_square": root}


if __name__ == "__main__":
    main()
