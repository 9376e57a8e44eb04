"""The embedded samples are what their descriptions say."""

import time

import numpy as np

from napari_restore.sources.samples import ct_slices, microscopy_stack, sample_image


def psnr(clean, noisy):
    return 10 * np.log10(np.ptp(clean) ** 2 / np.mean((clean - noisy.astype(np.float64)) ** 2))


def test_the_microscopy_stack():
    start = time.perf_counter()
    clean, noisy = microscopy_stack()
    assert time.perf_counter() - start < 4
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


def test_samples_depend_on_the_seed_only():
    for make in (microscopy_stack, ct_slices):
        first, again, other = make(shape=(5, 40, 31), seed=1), make(shape=(5, 40, 31), seed=1), make(shape=(5, 40, 31))
        assert np.array_equal(first[1], again[1])
        assert not np.array_equal(first[1], other[1])


def test_sample_images_have_units():
    cells, chest = sample_image("microscopy"), sample_image("ct")
    assert cells.geometry.pixel_size == (0.3, 0.108, 0.108)
    assert set(cells.geometry.units) == {"micrometer"}
    assert set(chest.geometry.units) == {"millimeter"}
    assert np.array_equal(chest.read(), ct_slices()[1])
