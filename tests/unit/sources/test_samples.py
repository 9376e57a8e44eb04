"""The embedded samples are what their descriptions say."""

import time
from typing import get_args

import numpy as np
import pytest
import torch

from napari_restore.metrics.noise_level import estimate
from napari_restore.metrics.whiteness import whiteness
from napari_restore.operators.blur import Blur
from napari_restore.operators.psf import parse
from napari_restore.sources.planes import middle_planes
from napari_restore.sources.samples import (
    BLUR,
    BLURRED_NOISE,
    SampleName,
    blurred_cells,
    ct_slices,
    microscopy_stack,
    particle_movie,
    sample_image,
    tissue_stack,
)


def psnr(clean, noisy):
    return 10 * np.log10(np.ptp(clean) ** 2 / np.mean((clean - noisy.astype(np.float64)) ** 2))


def test_the_microscopy_stack():
    start = time.process_time()
    clean, noisy = microscopy_stack()
    assert time.process_time() - start < 4
    assert (clean.dtype, noisy.dtype, clean.shape) == (np.float32, np.uint16, (24, 256, 256))
    assert 18 < psnr(clean, noisy) < 22
    assert 100 < clean.min() < 120
    residual = noisy - clean
    assert abs(residual.mean()) < 0.1
    bright, dark = clean > 180, clean < 120
    assert residual[bright].std() > 1.3 * residual[dark].std()
    inner = residual[:, 1:] * residual[:, :-1]
    assert abs(inner.mean() / residual.var()) < 0.01, "noise of neighbours is independent"


def test_the_ct_slices():
    clean, noisy = ct_slices()
    assert (clean.dtype, noisy.dtype, clean.shape) == (np.float32, np.int16, (8, 256, 256))
    assert -1001 < clean.min() < -990
    assert clean.max() > 600
    tissue = (clean > -100) & (clean < 400)
    assert 45 < (noisy - clean)[tissue].std() < 55


def test_the_tissue_has_the_noise_it_says_and_the_estimate_finds_it():
    clean, noisy = tissue_stack()
    assert (clean.dtype, noisy.dtype, clean.shape) == (np.float32, np.uint16, (24, 192, 192))
    assert 8 < psnr(clean, noisy) < 25, "noisy, and not hopeless"
    variance = 2 * (clean - 100) + 36
    residual = noisy - clean
    for part in (clean < 112, clean > 130):
        assert residual[part].var() == pytest.approx(variance[part].mean(), rel=0.03)
    found = estimate(middle_planes(sample_image("tissue")))
    assert found.reliable
    for signal in np.percentile(clean, (20, 95)):
        estimated = found.read**2 + found.gain * (signal - found.offset)
        assert estimated == pytest.approx(2 * (signal - 100) + 36, rel=0.12)


def test_the_tissue_is_darker_with_depth_and_continuous_along_z():
    clean, _ = tissue_stack()
    first, last = (np.percentile(planes, 98) - 106 for planes in (clean[:4], clean[-4:]))
    assert last < 0.7 * first
    next_to, far = (np.corrcoef(clean[4].ravel(), clean[z].ravel())[0, 1] for z in (5, 20))
    assert next_to > 0.8 > 0.5 > far


def test_the_blurred_cells_are_the_sharp_ones_through_the_psf_that_is_told():
    sharp, blurred = blurred_cells()
    assert (sharp.dtype, blurred.dtype, sharp.shape) == (np.float32, np.uint16, (256, 256))
    told = next(note for note in sample_image("blurred").notes if note.startswith("PSF: "))
    assert f"{BLUR:g} px" in sample_image("blurred").name
    kernel = parse(told.removeprefix("PSF: "))
    inner = (slice(20, -20),) * 2
    seen = Blur(kernel).forward(torch.from_numpy(sharp)[None, None])[0, 0].numpy()
    noise = (blurred - seen)[inner]
    assert noise.std() == pytest.approx(BLURRED_NOISE, rel=0.03), "nothing but the noise is left"
    assert whiteness(noise) < 0.1
    assert estimate(middle_planes(sample_image("blurred"))).sigma == pytest.approx(BLURRED_NOISE, rel=0.05)


def test_vesicles_of_the_movie_move_slowly():
    clean, noisy = particle_movie()
    assert (clean.dtype, noisy.dtype, clean.shape) == (np.float32, np.uint16, (24, 192, 192))
    vesicles = clean - np.median(clean, 0)
    alike = [np.corrcoef(vesicles[0].ravel(), vesicles[t].ravel())[0, 1] for t in (1, 23)]
    assert alike[0] > 0.5 > 0.2 > alike[1]
    assert abs((noisy - clean).mean()) < 0.1


@pytest.mark.parametrize("make", [microscopy_stack, ct_slices, tissue_stack, particle_movie, blurred_cells])
def test_samples_depend_on_the_seed_only(make):
    shape = (40, 31) if make is blurred_cells else (5, 40, 31)
    first, again, other = make(shape=shape, seed=1), make(shape=shape, seed=1), make(shape=shape)
    assert np.array_equal(first[1], again[1])
    assert not np.array_equal(first[1], other[1])
    assert first[0].shape == first[1].shape == shape


def test_sample_images_have_units():
    cells, chest = sample_image("microscopy"), sample_image("ct")
    assert cells.geometry.pixel_size == (0.3, 0.108, 0.108)
    assert set(cells.geometry.units) == {"micrometer"}
    assert set(chest.geometry.units) == {"millimeter"}
    assert np.array_equal(chest.read(), ct_slices()[1])


@pytest.mark.parametrize("name", get_args(SampleName))
def test_every_sample_has_axes_sizes_and_units_and_says_that_it_is_made(name):
    image = sample_image(name)
    assert all(size > 0 for size in image.geometry.pixel_size)
    assert "pixel" not in image.geometry.units
    assert image.chunks[-2:] == image.shape[-2:] and set(image.chunks[:-2]) <= {1}
    assert "made by a formula, not measured" in image.notes
    assert np.array_equal(image.read(), sample_image(name).read())


def test_the_new_samples_lie_as_in_a_microscope():
    tissue, blurred, movie = (sample_image(name).geometry for name in ("tissue", "blurred", "movie"))
    assert (tissue.axes, tissue.pixel_size, set(tissue.units)) == ("ZYX", (0.5, 0.13, 0.13), {"micrometer"})
    assert (blurred.axes, blurred.pixel_size, set(blurred.units)) == ("YX", (0.1, 0.1), {"micrometer"})
    assert (movie.axes, movie.units) == ("TYX", ("second", "micrometer", "micrometer"))
