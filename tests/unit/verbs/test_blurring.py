"""What ``theory`` leaves out comes from the metadata, or is refused in words; a measured PSF comes to its grid."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from scipy.signal import fftconvolve

from napari_restore.core.errors import RestoreError
from napari_restore.core.events import Note
from napari_restore.operators import psf as psfs
from napari_restore.sources import Image, open_image
from napari_restore.sources.optics import ChannelOptics, Optics
from napari_restore.verbs.ahead import check_places
from napari_restore.verbs.blurring import settle_psf
from napari_restore.verbs.learning import prepare
from napari_restore.verbs.request import ask

GREEN = ChannelOptics(name="GFP", excitation=0.488, emission=0.52)
OIL = Optics(na=1.4, immersion="oil", channels=(GREEN,))


def image(
    optics: Optics | None = OIL,
    *,
    size: tuple[float, ...] | None = (0.3, 0.1, 0.1),
    shape: tuple[int, ...] = (9, 32, 32),
) -> Image:
    opened = open_image(np.zeros(shape, np.float32), axes="ZYX"[-len(shape) :], pixel_size=size and size[-len(shape) :])
    return replace(opened, read_optics=lambda: optics)


@pytest.mark.parametrize(
    ("text", "optics", "shape", "expected"),
    [
        ("theory", OIL, (9, 32, 32), "theory:NA=1.4,pixel=0.1,z=0.3,emission=0.52,n=1.515"),
        ("Theory: ", OIL, (32, 32), "theory:NA=1.4,pixel=0.1,emission=0.52,n=1.515"),
        ("theory:n=1.518", OIL, (32, 32), "theory:n=1.518,NA=1.4,pixel=0.1,emission=0.52"),
        ("theory:immersion=glycerol", OIL, (32, 32), "theory:immersion=glycerol,NA=1.4,pixel=0.1,emission=0.52"),
        ("theory:wavelength=600", OIL, (9, 32, 32), "theory:wavelength=600,NA=1.4,pixel=100,z=300,n=1.515"),
        ("theory:pixel=50", OIL, (9, 32, 32), "theory:pixel=50,NA=1.4,z=300,emission=520,n=1.515"),
        (
            "theory:mode=confocal,pinhole=1", OIL, (32, 32),
            "theory:mode=confocal,pinhole=1,NA=1.4,pixel=0.1,excitation=0.488,emission=0.52,n=1.515",
        ),
        (
            "theory", replace(OIL, refractive_index=1.518, channels=(replace(GREEN, mode="twophoton"),)), (32, 32),
            "theory:NA=1.4,pixel=0.1,excitation=0.488,n=1.518,mode=twophoton",
        ),
        ("theory", replace(OIL, channels=(GREEN, replace(GREEN, name="b"))), (32, 32),
         "theory:NA=1.4,pixel=0.1,emission=0.52,n=1.515"),
        # Whole already: only the index, which the default has wrong, is filled in; no step in Z, so it stays in planes.
        ("theory:NA=1.4,wavelength=520,pixel=108", OIL, (9, 32, 32), "theory:NA=1.4,wavelength=520,pixel=108,n=1.515"),
        ("theory:NA=1.2,wavelength=520,pixel=108", None, (9, 32, 32), "theory:NA=1.2,wavelength=520,pixel=108"),
        ("gaussian:1..2", OIL, (9, 32, 32), "gaussian:1..2"),
    ],
)  # fmt: skip
def test_theory_is_filled_in_from_the_metadata(text: str, optics: Any, shape: tuple[int, ...], expected: str) -> None:
    settled = settle_psf(text, image(optics, shape=shape))
    assert settled.text == expected
    filled = set(expected[7:].split(",")) - set(text[7:].split(","))
    assert all(part.replace("=", " ") in settled.notes[0] for part in filled if text.lower().startswith("theory"))


def test_the_psf_is_on_the_fine_grid() -> None:
    assert "pixel=0.05,z=0.1," in settle_psf("theory", image(), finer={"Y": 2, "X": 2, "Z": 3}).text


@pytest.mark.parametrize(
    ("text", "given", "words"),
    [
        ("theory", {"optics": None}, "NA, emission missing, and the metadata of image do not say"),
        ("theory", {"optics": replace(OIL, channels=())}, "emission missing"),
        (
            "theory:mode=twophoton",
            {"optics": replace(OIL, channels=(ChannelOptics(emission=0.5),))},
            "excitation missing",
        ),
        ("theory", {"size": None}, "pixel missing"),
        ("theory", {"size": (0.3, 0.1, 0.2)}, "square"),
        (
            "theory",
            {"optics": replace(OIL, channels=(GREEN, ChannelOptics(name="R", emission=0.6)))},
            "GFP.*R.*`channel`",
        ),
        ("theory:pixel=7", {}, "unit is not clear"),
        ("theory:pixel=x", {}, "not a number"),
        ("theory:mode=sted", {}, "lightsheet"),
        ("theory:mode=lightsheet", {}, "sheet=4"),
        ("theory", {"optics": replace(OIL, immersion="air")}, "more than the refractive index"),
    ],
)
def test_what_nobody_knows_is_refused_in_words(text: str, given: dict[str, Any], words: str) -> None:
    with pytest.raises(RestoreError, match=words):
        settle_psf(text, image(**given))


def test_what_was_filled_in_is_said_and_kept_in_the_model() -> None:
    noisy = np.random.default_rng(0).normal(100, 5, (64, 64)).astype(np.float32)
    opened = replace(open_image(noisy, pixel_size=(0.1, 0.1)), read_optics=lambda: OIL)
    events = prepare(ask("deblur", opened, psf="theory", noise=5), [opened])
    said = []
    try:
        while True:
            said.append(next(events))
    except StopIteration as end:
        assert end.value.course.config.psf == "theory:NA=1.4,pixel=0.1,emission=0.52,n=1.515"
    texts = [event.text for event in said if isinstance(event, Note)]
    assert any("from the metadata of image" in text for text in texts)
    assert any("widefield is taken for granted" in text for text in texts)


def measured(path: Path, kernel: np.ndarray, *, pixel: float, z: float | None) -> Path:
    metadata: dict[str, Any] = {"axes": "ZYX" if z else "TYX", "PhysicalSizeX": pixel, "PhysicalSizeY": pixel}
    tifffile.imwrite(
        path, (1000 * kernel).astype(np.float32), ome=True, metadata=metadata | ({"PhysicalSizeZ": z} if z else {})
    )
    return path


def test_a_measured_psf_comes_to_the_pixels_of_the_image(tmp_path: Path) -> None:
    optics = {"na": 1.2, "wavelength": 0.52, "mode": "confocal", "ndim": 3}
    fine = psfs.theory(**optics, pixel=0.05, z_step=0.1)
    path = measured(tmp_path / "psf.ome.tif", fine, pixel=0.05, z=0.1)
    as_it_is = settle_psf(path, image(size=(0.1, 0.05, 0.05)))
    same_light(psfs.parse(as_it_is.text, ndim=3), fine)
    assert not as_it_is.notes
    settled = settle_psf(str(path), image())
    assert "0.05 µm for 0.1 along Y" in settled.notes[0] and "0.1 µm for 0.3 along Z" in settled.notes[0]
    same_light(psfs.parse(settled.text, ndim=3), psfs.theory(**optics, pixel=0.1, z_step=0.3))


def same_light(found: np.ndarray, expected: np.ndarray) -> None:
    """About the middle, where both have some: faint light below the border's own noise is no part of a measured PSF."""
    apart = [(m - n) // 2 for n, m in zip(found.shape, expected.shape, strict=True)]
    inner = expected[tuple(slice(max(d, 0), n - max(d, 0)) for d, n in zip(apart, expected.shape, strict=True))]
    same = found[tuple(slice(max(-d, 0), n - max(-d, 0)) for d, n in zip(apart, found.shape, strict=True))]
    assert inner.sum() > 0.98
    np.testing.assert_allclose(same, inner, atol=0.02 * expected.max())


def test_a_distance_of_planes_that_is_not_said_is_taken_for_the_images_and_said(tmp_path: Path) -> None:
    path = measured(tmp_path / "psf.ome.tif", psfs.gaussian(1.5, ndim=3), pixel=0.1, z=None)
    settled = settle_psf(path, image())
    assert "along Z is not known" in settled.notes[0]
    np.testing.assert_allclose(psfs.parse(settled.text, ndim=3), psfs.gaussian(1.5, ndim=3), atol=1e-4)


def test_pixels_that_cannot_be_brought_to_the_images_are_refused(tmp_path: Path) -> None:
    path = measured(tmp_path / "psf.ome.tif", psfs.gaussian(1.5, ndim=3), pixel=100, z=300)
    with pytest.raises(RestoreError, match="Check both pixel sizes"):
        settle_psf(path, image())


def test_beads_in_a_file_are_averaged_and_said(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    beads = np.zeros((56, 96, 96))
    for at in ((15, 20, 20), (40, 20, 70), (20, 70, 22), (36, 72, 72)):
        beads[at] = 1e5
    kernel = psfs.gaussian((3, 1.5, 1.5), ndim=3)
    stack = np.asarray(rng.poisson(np.clip(fftconvolve(beads, kernel, "same"), 0, None) + 5), np.float32)
    np.save(tmp_path / "my, beads.npy", stack)
    for text in (f"beads:{tmp_path / 'my, beads.npy'}", f"beads:{tmp_path / 'my, beads.npy'}, radius=9"):
        settled = settle_psf(text, image())
        assert "mean of 4 beads" in settled.notes[0]
        found = psfs.parse(settled.text, ndim=3)
        assert float(found.max()) == pytest.approx(kernel.max(), rel=0.03)
    request = ask("deblur", stack, psf=f"beads:{tmp_path / 'my, beads.npy'}", output=tmp_path / "my, beads.npy")
    with pytest.raises(RestoreError, match="beads"):
        check_places(request, [image()])
    with pytest.raises(RestoreError, match=r"gone\.npy"):
        settle_psf("beads:gone.npy", image())
