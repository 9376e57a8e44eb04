"""Make ``psf_reference.json``: PSFs by psfmodels, which has no wheels for every Python that this package runs on.

``python -m venv v && v/bin/pip install psfmodels==0.3.3 && v/bin/python tests/reference/write_psf_reference.py``
"""

import json
from pathlib import Path

import numpy as np
import psfmodels

GLASS = {"tg0": 170.0, "ng": 1.5255, "ng0": 1.5255}
CASES = {
    "water": {"NA": 1.2, "wvl": 0.52, "ni": 1.33, "ns": 1.33, "pz": 0.0, "tg": 170.0, "ti0": 150.0},
    "oil into water": {"NA": 1.4, "wvl": 0.52, "ni": 1.515, "ns": 1.33, "pz": 5.0, "tg": 170.0, "ti0": 150.0},
    "thick glass": {"NA": 0.75, "wvl": 0.6, "ni": 1.0, "ns": 1.0, "pz": 0.0, "tg": 180.0, "ti0": 500.0},
    "glycerol into tissue": {"NA": 1.3, "wvl": 0.6, "ni": 1.47, "ns": 1.4, "pz": 10.0, "tg": 170.0, "ti0": 300.0},
}
Z = np.arange(-8, 9) * 0.25
X = np.arange(0, 13)


def main() -> None:
    cases = {}
    for name, optics in CASES.items():
        given = {**optics, **GLASS, "ni0": optics["ni"], "model": "scalar", "oversample_factor": 1}
        z = Z + brightest(given)
        plane = psfmodels.make_psf(z, 25, dxy=0.1, normalize=True, **given)
        cases[name] = {"optics": optics, "psf": plane[:, 12, 12:].round(4).tolist()}
    fine = psfmodels.confocal_psf(
        Z, 251, dxy=0.02, NA=1.2, ex_wvl=0.488, em_wvl=0.52, ni=1.33, ni0=1.33, ns=1.33, pz=0.0, tg=170.0,
        pinhole_au=1.0, model="scalar", oversample_factor=1, **GLASS,
    )  # fmt: skip
    cases["confocal"] = {"psf": (fine[:, 125, 125::5][:, :13] / fine.max()).round(4).tolist()}
    made = {"by": f"psfmodels {psfmodels.__version__}", "z": Z.tolist(), "x": (X * 0.1).round(3).tolist()}
    text = json.dumps({**made, "cases": cases}).replace("]], ", "]],\n").replace("], [", "],\n [")
    (Path(__file__).parent / "psf_reference.json").write_text(text + "\n", encoding="utf-8")


def brightest(given: dict) -> float:
    """Where the axis is brightest, between samples."""
    z = given["pz"] + np.arange(-3000, 3001) * 0.005
    axis = psfmodels.make_psf(z, 1, dxy=0.01, normalize=False, **given)[:, 0, 0]
    i = int(axis.argmax())
    below, here, above = axis[i - 1 : i + 2]
    return float(z[i] + 0.005 * (below - above) / (below - 2 * here + above) / 2)


if __name__ == "__main__":
    main()
