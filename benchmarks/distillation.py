"""Copies of models beside their teachers: PSNR, pixels a second in the same run, weights.

    python benchmarks/distillation.py posterior --seeds 0 1 2
    python benchmarks/distillation.py frames --pair .../noisy .../average50 --limit 4
    python benchmarks/distillation.py stack --teacher-steps 800 --steps 800
    python benchmarks/distillation.py super --train .../bsd400_half --test .../set12 .../bsd68

``posterior``: the eight images, one posterior mean and its copy of all of them. ``frames``: real ones, each with a
posterior mean and a copy of its own. ``stack``: the microscopy sample; its posterior mean looks at neighbouring planes,
and its copy does. ``super``: super-resolution by 2 without noise; a teacher that learned from sharp
pictures, its copy on the same ones, and a network of the copy's size that learned from the sharp pictures as many
steps, at its own learning rate and at the copy's; with ``--by`` all three learn by that method, which need not be shown
sharp pictures. Speed is of processor time on one core, teacher and copy in turn on
the same pixels.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import reporting
from images import eight_images, fingerprint, psnr_255

BORDER = 8
SIDE = 512
TIMES = 3


def main() -> None:
    parser = reporting.parser(__doc__)
    parser.add_argument("case", choices=("posterior", "frames", "stack", "super"))
    parser.add_argument("--teacher", type=Path, metavar="M", help="of the eight images, trained before")
    parser.add_argument("--teacher-steps", type=int, default=1000)
    parser.add_argument("--teacher-rate", type=float, help="its learning rate for super-resolution; its own by default")
    parser.add_argument("--steps", type=int, nargs="+", default=[2500], help="of the copy; several for a curve")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--ratio", default="auto")
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="NAME=VALUE", help="of the copy")
    parser.add_argument("--pair", nargs=2, type=Path, metavar=("NOISY", "CLEAN"))
    parser.add_argument("--limit", type=int, default=4, help="frames, at most")
    parser.add_argument("--train", type=Path, help="sharp pictures to learn super-resolution from")
    parser.add_argument("--pictures", type=int, default=60, help="of these, at most")
    parser.add_argument("--test", type=Path, nargs="+", help="sharp pictures to judge it on")
    parser.add_argument("--width", type=int, default=48, help="of the teacher for super-resolution")
    parser.add_argument("--by", default="supervised", help="what the teacher for super-resolution learned by")
    given = parser.parse_args()
    machine = reporting.begin(given.threads)
    case = {"posterior": posterior, "frames": frames, "stack": stack, "super": finer}[given.case]
    rows = [row for seed in given.seeds for row in case(given, seed)]
    plain = {k: str(v) for k, v in vars(given).items() if k not in ("out", "pair", "train", "test", "teacher")}
    reporting.finish(machine, results=rows, settings=plain, out=given.out)


def posterior(given: Any, seed: int) -> list[dict[str, Any]]:
    from napari_restore import load_model, train

    clean, noisy = eight_images()
    if given.teacher is not None:
        teacher = load_model(given.teacher)
    else:
        teacher = train(noisy, "posterior", axes="TYX", steps=given.teacher_steps, seed=seed)
    facts = {
        "seed": seed,
        "teacher_steps": teacher.provenance["steps"],
        "data": fingerprint(noisy),
        "psnr_noisy": round(psnr_255(noisy, clean), 2),
    }
    return [
        {**facts, **row} for row in copies(given, teacher, noisy, seed, axes="TYX", score=lambda x: psnr_255(x, clean))
    ]


def frames(given: Any, seed: int) -> list[dict[str, Any]]:
    from real_noise import gray, names_in_both

    from napari_restore import train
    from napari_restore.metrics.similarity import psnr_fitted

    noisy, clean = given.pair
    names = names_in_both(noisy, clean)[: given.limit]
    rows = []
    for name in names:
        frame, truth = gray(noisy / name), gray(clean / name)
        teacher = train(frame, "posterior", axes="YX", steps=given.teacher_steps, seed=seed)
        found = copies(given, teacher, frame, seed, axes="YX", score=lambda x, truth=truth: psnr_fitted(x, truth))
        rows += [{"frame": f"{noisy.parent.name}/{noisy.name}/{name}", "seed": seed, **row} for row in found]
    return rows


def stack(given: Any, seed: int) -> list[dict[str, Any]]:
    from neighbours import psnr as psnr_of_range
    from neighbours import sample

    from napari_restore import train

    clean, noisy, axes = sample("microscopy")
    teacher = train(noisy, "posterior", axes=axes, steps=given.teacher_steps, seed=seed)
    facts = {"seed": seed, "teacher_steps": teacher.provenance["steps"], "neighbours": teacher.method.neighbours}
    found = copies(given, teacher, noisy, seed, axes=axes, score=lambda x: psnr_of_range(x, clean))
    return [{**facts, "psnr_noisy": psnr_of_range(noisy, clean), **row} for row in found]


def copies(given: Any, teacher: Any, pixels: np.ndarray, seed: int, *, axes: str, score: Any) -> list[dict[str, Any]]:
    """A copy for each number of steps, on the image it restores."""
    from napari_restore import distill

    before = score(restored(pixels, teacher, axes))
    reporting.progress(f"teacher {before:.3f} dB")
    rows = []
    for steps in given.steps:
        spent = time.process_time()
        copy = distill(pixels, teacher, axes=axes, steps=steps, seed=seed, ratio=ratio(given), **settings(given))
        spent = time.process_time() - spent
        after = score(restored(pixels, copy, axes))
        rows.append(told(teacher, copy, before, after) | {"steps": steps, "processor_seconds": round(spent, 1)})
        reporting.progress(str(rows[-1]))
    return rows


def finer(given: Any, seed: int) -> list[dict[str, Any]]:
    from napari_restore import distill, train
    from napari_restore.methods import METHODS

    sharp = pictures([given.train])[: given.pictures]
    coarse = [measured(p) for p in sharp]
    judged = {folder.name: [(p, measured(p)) for p in pictures([folder])] for folder in given.test}
    options = {"axes": "YX", "factor": 2, "noise": 0.0, "seed": seed}
    options |= {"target": sharp} if "target" in METHODS[given.by].needs else {}
    rate = {} if given.teacher_rate is None else {"learning_rate": given.teacher_rate}
    teacher = train(coarse, given.by, steps=given.teacher_steps, width=given.width, **rate, **options)
    before = {name: mean_psnr(pairs, teacher) for name, pairs in judged.items()}
    reporting.progress(f"teacher {before}")
    rows = []
    for steps in given.steps:
        copy = distill(coarse, teacher, axes="YX", steps=steps, seed=seed, ratio=ratio(given), **settings(given))
        width = dict(copy.method.config.settled)["width"]
        fixed = {"steps": steps, "width": width, **options}
        alone = {"own_rate": train(coarse, given.by, **fixed)}
        alone["rate_of_copy"] = train(coarse, given.by, learning_rate=copy.provenance["learning_rate"], **fixed)
        row = told(teacher, copy, float(np.mean(list(before.values()))), 0.0)
        for name, pairs in judged.items():
            row[name] = {
                "teacher": round(before[name], 3),
                "copy": round(mean_psnr(pairs, copy), 3),
                "same_without_teacher": {rate: round(mean_psnr(pairs, model), 3) for rate, model in alone.items()},
                "bicubic": round(float(np.mean([psnr(interpolated(y), x) for x, y in pairs])), 3),
            }
        rows.append({"seed": seed, "steps": steps, **{k: v for k, v in row.items() if k not in DENOISED}})
        reporting.progress(str(rows[-1]))
    return rows


DENOISED = ("teacher_psnr", "copy_psnr", "lost")


def told(teacher: Any, copy: Any, before: float, after: float) -> dict[str, Any]:
    cards = teacher.card(), copy.card()
    speeds = speed(teacher, copy)
    return {
        "teacher_psnr": round(before, 3),
        "copy_psnr": round(after, 3),
        "lost": round(before - after, 3),
        "weights": [card["parameters"] for card in cards],
        "times_fewer_weights": round(cards[0]["parameters"] / cards[1]["parameters"], 2),
        "megapixels_a_second": [round(each, 2) for each in speeds],
        "times_as_fast": round(speeds[1] / speeds[0], 2),
        "unlike_teacher": [round(each, 6) for each in copy.method.config.unlike],
        "copy_precision": copy.precision,
    }


def speed(*models: Any) -> list[float]:
    """Restored input pixels a second of processor time, in millions; in a stack for what looks at neighbours."""
    shape, axes = ((8, SIDE // 2, SIDE // 2), "ZYX") if models[0].method.neighbours else ((SIDE, SIDE), "YX")
    pixels = np.random.default_rng(0).normal(100, 20, shape).astype(np.float32)
    spent: list[list[float]] = [[] for _ in models]
    for _ in range(TIMES):
        for model, times in zip(models, spent, strict=True):
            began = time.process_time()
            restored(pixels, model, axes)
            times.append(time.process_time() - began)
    return [pixels.size / 1e6 / min(times) for times in spent]


def restored(pixels: np.ndarray, model: Any, axes: str) -> np.ndarray:
    """All at once, as a tile is: no file is written, and nothing judged."""
    import torch

    from napari_restore import open_image
    from napari_restore.core.region import Region
    from napari_restore.methods.apply import restore_region

    return restore_region(
        model.method.for_restoring(), open_image(pixels, axes=axes), Region.of_shape(pixels.shape),
        normalisation=model.normalisation, device=torch.device("cpu"), precision=model.precision,
    )  # fmt: skip


def ratio(given: Any) -> Any:
    return given.ratio if given.ratio == "auto" else float(given.ratio)


def settings(given: Any) -> dict[str, Any]:
    return reporting.settings_of(given.settings)


def pictures(folders: Sequence[Path]) -> list[np.ndarray]:
    from skimage.io import imread

    found = [imread(path).astype(np.float32) for folder in folders for path in sorted(folder.iterdir())]
    return [x[: x.shape[0] // 8 * 8, : x.shape[1] // 8 * 8] for x in found]


def measured(sharp: np.ndarray) -> np.ndarray:
    import torch

    from napari_restore.methods.imaging import build_operator

    with torch.inference_mode():
        return build_operator((2, 2), None, ["cubic"] * 2)(torch.from_numpy(sharp)[None, None])[0, 0].numpy()


def interpolated(coarse: np.ndarray) -> np.ndarray:
    import torch

    from napari_restore.operators.inverse import CubicUpsampling

    return CubicUpsampling((2, 2), centred=(True, True))(torch.from_numpy(coarse)[None, None])[0, 0].numpy()


def mean_psnr(pairs: Sequence[tuple[np.ndarray, np.ndarray]], model: Any) -> float:
    return float(np.mean([psnr(restored(y, model, "YX"), x) for x, y in pairs]))


def psnr(image: np.ndarray, clean: np.ndarray) -> float:
    error = (np.clip(image, 0, 255) - clean)[BORDER:-BORDER, BORDER:-BORDER]
    return float(10 * np.log10(255**2 / np.mean(np.square(error, dtype=np.float64))))


if __name__ == "__main__":
    main()
