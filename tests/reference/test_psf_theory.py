"""Diffraction by its published numbers: Born and Wolf, Principles of Optics, 7th edition, sections 8.5.2 and 8.8."""

import numpy as np
import pytest

from napari_restore.operators import psf

LOW = {"na": 0.1, "wavelength": 0.5, "refractive_index": 1.0}


def profile(**optics):
    """Along X from the middle, where the middle is 1."""
    kernel = psf.theory(**optics)
    line = kernel[tuple(n // 2 for n in kernel.shape[:-1])]
    return line[len(line) // 2 :] / line.max()


def axis(**optics):
    kernel = psf.theory(ndim=3, **optics)
    line = kernel[:, kernel.shape[1] // 2, kernel.shape[2] // 2]
    return line[len(line) // 2 :] / line.max()


def first_minimum(line):
    return int(np.argmax(np.diff(line) > 0))


def half_width(line):
    """Where the line first falls to a half, by a straight line between samples."""
    i = int(np.argmax(line < 0.5))
    return i - 1 + (line[i - 1] - 0.5) / (line[i - 1] - line[i])


@pytest.mark.parametrize(("na", "wavelength"), [(0.3, 0.5), (0.75, 0.6), (1.2, 0.45)])
def test_the_first_dark_ring_is_at_0_61_wavelengths_over_na(na, wavelength):
    pixel = wavelength / na / 80
    line = profile(na=na, wavelength=wavelength, pixel=pixel)
    dark = first_minimum(line)
    assert dark * pixel == pytest.approx(0.6098 * wavelength / na, abs=pixel / 2)
    assert line[dark] < 1e-4


def test_the_first_bright_ring_is_at_0_82_wavelengths_over_na_and_of_1_75_percent():
    line = profile(na=0.5, wavelength=0.5, pixel=1 / 80)
    dark = first_minimum(line)
    ring = dark + int(np.argmax(line[dark : 2 * dark]))
    assert ring / 80 == pytest.approx(0.817, abs=1 / 80)
    assert line[ring] == pytest.approx(0.0175, rel=0.01)


def test_the_full_width_at_half_maximum_is_0_51_wavelengths_over_na():
    assert 2 * half_width(profile(na=0.5, wavelength=0.5, pixel=1 / 80)) / 80 == pytest.approx(0.514, abs=0.002)


def test_the_first_dark_ring_holds_84_percent_of_the_light():
    # 83.8 % of all of it; of the 96.15 % within the square's inscribed circle and some in its corners, 86.6 %.
    pixel = 1 / 40
    kernel = psf.theory(na=0.5, wavelength=0.5, pixel=pixel)
    y, x = np.indices(kernel.shape) - len(kernel) // 2
    inside = kernel[np.hypot(y, x) * pixel < 0.6098].sum()
    circle = kernel[np.hypot(y, x) * pixel < 2.62].sum()
    assert inside / circle == pytest.approx(0.838 / 0.9615, abs=0.004)


@pytest.mark.parametrize("index", [1.0, 1.515])
def test_the_first_axial_zero_is_at_2_n_wavelengths_over_na_squared_for_small_apertures(index):
    zero = 2 * index * 0.5 / 0.1**2
    line = axis(**{**LOW, "refractive_index": index}, pixel=2.0, z_step=zero / 40)
    # A pixel of 0.4 wavelengths over NA lets a little light in beside the axis, and its pattern grows with Z.
    assert first_minimum(line) == pytest.approx(40, abs=1)


def test_the_axis_follows_sinc_squared_for_small_apertures():
    # Born and Wolf 8.8 eq. 26: (sin(u/4) / (u/4))^2, with u = 4 pi at the first zero.
    zero = 2 * 0.5 / 0.1**2
    line = axis(**LOW, pixel=0.5, z_step=zero / 20)
    assert line[:30] == pytest.approx(np.sinc(np.arange(30) / 20) ** 2, abs=0.01)


def test_the_plane_in_focus_of_a_stack_is_the_airy_pattern():
    stack = psf.theory(**LOW, pixel=1.0, ndim=3, z_step=30)
    flat = psf.theory(**LOW, pixel=1.0)
    middle = stack[len(stack) // 2]
    rim = (middle.shape[0] - flat.shape[0]) // 2
    cut = middle[rim : rim + len(flat), rim : rim + len(flat)]
    assert rim >= 0
    assert cut / cut.max() == pytest.approx(flat / flat.max(), abs=1e-4)


def test_at_a_large_aperture_the_axis_is_shorter_than_by_the_paraxial_formula():
    # Phase by n (1 - cos alpha) z, not NA^2 z / 2n: the minimum lies near 0.52 / (1.515 - sqrt(1.515^2 - 1.4^2)).
    line = axis(na=1.4, wavelength=0.52, refractive_index=1.515, pixel=0.04, z_step=0.02)
    assert first_minimum(line) * 0.02 == pytest.approx(0.52 / (1.515 - np.sqrt(1.515**2 - 1.4**2)), abs=0.04)


def test_confocal_is_the_square_and_1_4_times_narrower():
    pixel = 1 / 80
    wide = profile(na=0.5, wavelength=0.5, pixel=pixel)
    confocal = profile(na=0.5, wavelength=0.5, pixel=pixel, mode="confocal")
    assert 2 * half_width(confocal) * pixel == pytest.approx(0.37, abs=0.003)
    n = min(len(wide), len(confocal))
    assert confocal[:n] == pytest.approx(wide[:n] ** 2, abs=1e-3)


def test_confocal_sections_where_widefield_does_not():
    optics = {"na": 1.2, "wavelength": 0.5, "pixel": 0.1, "ndim": 3, "z_step": 0.1}
    wide, confocal = (psf.theory(**optics, mode=mode).sum((1, 2)) for mode in ("widefield", "confocal"))
    assert wide[0] / wide.max() > 0.9
    assert confocal[0] / confocal.max() < 0.05
