"""What is left of noise alone, and what comes back of small structures? Models of real frames, put to the guards.

Each frame is denoised as it is by default. Its model is then shown noise as strong as the frame's, without structure,
on a dark, a middling and a bright signal: told is the deviation of the result over that of the noise. Told, too, are
the contrasts, over the noise's deviation, from which nine of ten planted spots come back, and what is flagged.

    python benchmarks/noise_alone.py frames/*.tif --out benchmarks/results/noise_alone.json
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import reporting


def main() -> None:
    parser = reporting.parser(__doc__)
    parser.add_argument("images", nargs="+", type=Path)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    machine = reporting.begin(given.threads)
    rows = []
    for path in given.images:
        rows.append({"image": path.name, **row(path, steps=given.steps, seed=given.seed)})
        reporting.progress(f"{rows[-1]}")
    reporting.finish(machine, results=rows, settings={"steps": given.steps, "seed": given.seed}, out=given.out)


def row(path: Path, *, steps: int, seed: int) -> dict[str, Any]:
    from napari_restore import check, open_image, train

    image, begun = open_image(path), time.process_time()
    model = train(image, steps=steps, seed=seed, device="cpu")
    found = check(model, image, device="cpu")
    return {
        "method": model.name,
        **{f"{each.name}_kept": round(each.kept, 4) for each in found.null},
        **{f"{size}_from": None if least is None else round(least, 2) for size, least in found.detectable.items()},
        "flags": list(found.flags),
        "cpu_seconds": round(time.process_time() - begun, 1),
    }


if __name__ == "__main__":
    main()
