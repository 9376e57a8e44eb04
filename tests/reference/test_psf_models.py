"""Gibson and Lanni's integral, and a confocal PSF, beside psfmodels: ``write_psf_reference.py`` made the numbers."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.special import j0

from napari_restore.operators.psf.light import Light, Media
from napari_restore.operators.psf.microscope import Instrument

REFERENCE = json.loads((Path(__file__).parent / "psf_reference.json").read_text(encoding="utf-8"))
Z, X = np.array(REFERENCE["z"]), np.array(REFERENCE["x"])


def about_focus(instrument):
    focus, _ = instrument.focus()
    found = instrument.profile(np.arange(0, 1.3, 0.005), focus + Z, focus=focus)[:, ::20][:, : len(X)]
    return found / found.max()


def light_of(optics):
    media = Media(optics["ni"], optics["ns"], optics["pz"], glass_excess=optics["tg"] - 170)
    return Light(optics["NA"], optics["wvl"], media)


@pytest.mark.parametrize(
    ("name", "tolerance"),
    [("water", 2e-3), ("thick glass", 2e-3), ("glycerol into tissue", 2e-3), ("oil into water", 7e-3)],
)
def test_widefield_is_that_of_psfmodels(name, tolerance):
    case = REFERENCE["cases"][name]
    found = about_focus(Instrument("widefield", emission=light_of(case["optics"])))
    np.testing.assert_allclose(found, case["psf"], atol=tolerance)


@pytest.mark.parametrize("name", ["oil into water", "thick glass"])
def test_the_integral_is_that_of_thin_rings(name):
    # Gibson and Lanni 1992, eq. 5: what is left of psfmodels in oil into water is the steep end of its integral.
    optics = REFERENCE["cases"][name]["optics"]
    light, k = light_of(optics), 2 * np.pi / optics["wvl"]
    s = (np.arange(10**5) + 0.5) / 10**5 * min(optics["NA"], optics["ns"])
    path = optics["pz"] * np.sqrt(optics["ns"] ** 2 - s**2) + (optics["tg"] - 170) * np.sqrt(1.5255**2 - s**2)
    planes, distance = np.array([-1.0, 4.0, 7.0]), np.array([0.0, 0.7])
    found = light.intensity(distance, planes)
    thin = [
        [
            abs(np.mean(s * j0(k * s * r) * np.exp(1j * k * (path - z * np.sqrt(optics["ni"] ** 2 - s**2))))) ** 2
            for r in distance
        ]
        for z in planes
    ]
    np.testing.assert_allclose(found / found.max(), np.array(thin) / np.max(thin), atol=1e-5)


def test_confocal_is_that_of_psfmodels():
    lights = (Light(1.2, wavelength, Media(1.33)) for wavelength in (0.488, 0.52))
    found = about_focus(Instrument("confocal", *lights, pinhole=1.0))
    np.testing.assert_allclose(found, REFERENCE["cases"]["confocal"]["psf"], atol=5e-3)
