"""What ``estimate_cost`` says that a run will take, and what training takes, each in a process of its own.

Stacks of noise, three steps on the processor. ``peak_mib`` is the most the operating system saw of the process that
trained, and ``estimated_mib`` what another one said of the same request.
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
    "noise2void, planes": ("noise2void", (8, 256, 256), {}),
    "posterior, planes": ("posterior", (8, 256, 256), {}),
    "noise2void, stack": ("noise2void", (24, 160, 160), {"dimensions": 3}),
    "scale_equivariant, Gaussian PSF, planes": ("scale_equivariant", (8, 256, 256), {"psf": "gaussian:2"}),
    "scale_equivariant, microscope's PSF, stack": ("scale_equivariant", (24, 160, 160), {"psf": PSF}),
    "learned_richardson_lucy, Gaussian PSF, planes": ("learned_richardson_lucy", (8, 256, 256), {"psf": "gaussian:2"}),
    "learned_richardson_lucy, microscope's PSF, stack": ("learned_richardson_lucy", (24, 160, 160), {"psf": PSF}),
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
        estimated, peak = (_child(what, case, given.threads) for what in CHILDREN)
        rows.append({"case": case, "estimated_mib": estimated, "peak_mib": peak, "ratio": round(estimated / peak, 3)})
        reporting.progress(str(rows[-1]))
    reporting.finish(machine, results=rows, settings={"steps": 3}, out=given.out)


def _child(what: str, case: str, threads: int) -> int:
    command = [sys.executable, str(Path(__file__)), "--threads", str(threads), "--child", what, case]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def estimated(method: str, shape: tuple[int, ...], settings: dict[str, Any]) -> int:
    from napari_restore import estimate_cost

    return round(estimate_cost(_stack(shape), method, axes="ZYX", device="cpu", **settings).memory / 2**20)


def trained(method: str, shape: tuple[int, ...], settings: dict[str, Any]) -> int:
    from napari_restore import train

    train(_stack(shape), method, axes="ZYX", device="cpu", steps=3, **settings)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


CHILDREN = {"estimated": estimated, "trained": trained}


def _stack(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(0).poisson(50, shape).astype(np.float32)


if __name__ == "__main__":
    main()
