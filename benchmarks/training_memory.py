"""What ``estimate_cost`` says that a run will take, and what it takes, each in a process of its own.

Stacks of spots with the noise of photons, three steps on the processor where the method learns, and restoring. (Of
noise alone nothing that was learned is used, nor patches that look alike, and restoring takes less than it may.)
``peak_mib`` is the most the operating system saw of the process that did so, ``training_mib`` the most before it
restored, and ``estimated_mib`` what another process said.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import reporting

PSF = "theory:NA=1.2,wavelength=520,pixel=108,z=300,n=1.33"
CASES: dict[str, tuple[str, tuple[int, ...], dict[str, Any]]] = {
    "learned_richardson_lucy, Gaussian PSF, planes": ("learned_richardson_lucy", (8, 256, 256), {"psf": "gaussian:2"}),
    "learned_richardson_lucy, microscope's PSF, stack": ("learned_richardson_lucy", (24, 160, 160), {"psf": PSF}),
    "richardson_lucy, Gaussian PSF, planes": ("richardson_lucy", (8, 256, 256), {"psf": "gaussian:2"}),
    "richardson_lucy, microscope's PSF, stack": ("richardson_lucy", (24, 160, 160), {"psf": PSF}),
    "wiener, microscope's PSF, stack": ("wiener", (24, 160, 160), {"psf": PSF}),
    "noise2void, planes": ("noise2void", (8, 256, 256), {}),
    "posterior, planes": ("posterior", (8, 256, 256), {}),
    "noise2void, stack": ("noise2void", (24, 160, 160), {"dimensions": 3}),
    "scale_equivariant, Gaussian PSF, planes": ("scale_equivariant", (8, 256, 256), {"psf": "gaussian:2"}),
    "scale_equivariant, microscope's PSF, stack": ("scale_equivariant", (24, 160, 160), {"psf": PSF}),
    "noise2void2, planes": ("noise2void2", (8, 256, 256), {}),
    "struct_noise2void, planes": ("struct_noise2void", (8, 256, 256), {}),
    "recorrupted, planes": ("recorrupted", (8, 256, 256), {}),
    "zero_shot, planes": ("zero_shot", (8, 256, 256), {}),
    "noise2noise, planes": ("noise2noise", (8, 256, 256), {"second": "again"}),
    "supervised_denoising, planes": ("supervised_denoising", (8, 256, 256), {"target": "again"}),
    "deep_image_prior, plane": ("deep_image_prior", (1, 256, 256), {}),
    "inpainting, planes": ("inpainting", (8, 256, 256), {"missing": 0.1}),
    "total_variation, Gaussian PSF, planes": ("total_variation", (8, 256, 256), {"psf": "gaussian:2"}),
    "sure, Gaussian PSF, planes": ("sure", (8, 256, 256), {"psf": "gaussian:2"}),
    "scale_equivariant, finer, planes": ("scale_equivariant", (8, 256, 256), {"factor": 2}),
    "finer_planes, stack": ("finer_planes", (24, 160, 160), {"factor": {"Z": 2}}),
    "posterior, stack": ("posterior", (24, 160, 160), {"dimensions": "3"}),
}


def main() -> None:
    parser = reporting.parser(__doc__)
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--child", nargs=2, help="what to do for which case: used by the script itself")
    given = parser.parse_args()
    machine = reporting.begin(given.threads)
    if given.child:
        print(json.dumps(CHILDREN[given.child[0]](*CASES[given.child[1]])))
        return
    rows = []
    for case in given.cases:
        (said,), (training, peak) = (_child(what, case, given.threads) for what in CHILDREN)
        found = {"estimated_mib": said, "training_mib": training, "peak_mib": peak, "ratio": round(said / peak, 3)}
        rows.append({"case": case, **found})
        reporting.progress(str(rows[-1]))
        reporting.finish(machine, results=rows, settings={"steps": 3}, out=given.out)  # the next case may take long


def _child(what: str, case: str, threads: int) -> list[int]:
    command = [sys.executable, str(Path(__file__)), "--threads", str(threads), "--child", what, case]
    found: list[int] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return found


def estimated(method: str, shape: tuple[int, ...], settings: dict[str, Any]) -> list[int]:
    from napari_restore import estimate_cost

    stack, settings = _given(shape, settings)
    return [round(estimate_cost(stack, method, axes="ZYX", device="cpu", **settings).memory / 2**20)]


def run(method: str, shape: tuple[int, ...], settings: dict[str, Any]) -> list[int]:
    from napari_restore import restore, train
    from napari_restore.methods import listed

    stack, settings = _given(shape, settings)
    budget = {"steps": 3} if listed(method).learns else {}
    model = train(stack, method, axes="ZYX", device="cpu", **budget, **settings)
    training = _peak()
    restore(stack, model, axes="ZYX", device="cpu")
    return [training, _peak()]


def _peak() -> int:
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


CHILDREN = {"estimated": estimated, "run": run}


def _given(shape: tuple[int, ...], settings: dict[str, Any]) -> tuple[np.ndarray, dict[str, Any]]:
    """A stack, with a share of its pixels missing, and the settings with another one of the same light."""
    stack, missing = _stack(shape, seed=0), settings.get("missing", 0.0)
    stack[np.random.default_rng(0).random(shape) < missing] = np.nan
    others = {name: _stack(shape, seed=1) for name in ("second", "target") if name in settings}
    return stack, {**{k: v for k, v in settings.items() if k != "missing"}, **others}


def _stack(shape: tuple[int, ...], *, seed: int) -> np.ndarray:
    from scipy.ndimage import gaussian_filter

    light = gaussian_filter((np.random.default_rng(0).random(shape) < 0.002).astype(np.float32), (1, 2, 2))
    return np.random.default_rng(seed).poisson(10 + 200 * light / light.max()).astype(np.float32)


if __name__ == "__main__":
    main()
