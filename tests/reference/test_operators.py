"""Operators against trusted libraries."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import ndimage

from napari_restore.core.errors import RestoreError
from napari_restore.operators import inverse
from napari_restore.operators import psf as psfs
from napari_restore.operators.blur import Blur
from napari_restore.operators.combine import Composed
from napari_restore.operators.downsample import Downsample
from napari_restore.operators.inverse import CubicUpsampling, wiener

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    "kernel",
    [psfs.gaussian(2.0), psfs.motion(7, 30), psfs.box(2), RNG.random((5, 9)), RNG.random((3, 5, 7)) - 0.4],
    ids=["gaussian", "motion", "box", "any", "volume with negatives"],
)
def test_blur_is_scipys_convolution_with_mirrored_borders(kernel):
    x = RNG.random((9, 17, 23)[-kernel.ndim :])
    expected = ndimage.convolve(x, kernel, mode="mirror")
    found = Blur(kernel)(torch.from_numpy(x).float()[None, None])[0, 0].numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_cubic_downsampling_is_torchs_inside(factor):
    x = torch.rand(2, 1, 12 * factor, 15 * factor, generator=torch.Generator().manual_seed(0))
    expected = F.interpolate(x, size=(12, 15), mode="bicubic", antialias=True)
    torch.testing.assert_close(
        Downsample((factor, factor))(x)[..., 2:-2, 2:-2], expected[..., 2:-2, 2:-2], atol=1e-6, rtol=0
    )


def test_area_is_the_mean_of_blocks_and_point_the_first_pixel():
    x = torch.rand(1, 1, 6, 8, 10, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(Downsample((1, 2, 2), sampling="area")(x), F.avg_pool3d(x, (1, 2, 2)))
    assert torch.equal(Downsample((3, 1, 1), sampling="point")(x), x[:, :, ::3])


def test_point_samples_are_kept_by_the_upsampling_that_goes_with_them():
    y = torch.rand(1, 1, 5, 8, 10, generator=torch.Generator().manual_seed(0))
    up = CubicUpsampling((4, 1, 1), centred=(False, True, True))(y)
    torch.testing.assert_close(Downsample((4, 1, 1), sampling="point")(up), y, atol=1e-6, rtol=0)


@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize(("rate", "shape"), [((2, 3), (9, 5)), ((4, 1), (1, 7)), ((1, 2, 2), (3, 2, 11))])
def test_long_axes_are_upsampled_by_the_same_weights_as_short_ones(rate, shape, centred, monkeypatch):
    y = torch.rand(2, 1, *shape, generator=torch.Generator().manual_seed(0))
    up = CubicUpsampling(rate, centred=(centred,) * len(rate))
    by_matrices = up(y)
    monkeypatch.setattr(inverse, "_SHORT", 0)
    torch.testing.assert_close(up(y), by_matrices, atol=1e-6, rtol=0)


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_centred_upsampling_is_scikit_images_cubic_zoom_of_a_polynomial(factor):
    # Keys' kernel reproduces polynomials up to the second degree: the value at the new pixel's place is known.
    n = 12
    place = np.arange(n)
    along = 0.3 + 0.7 * place - 0.05 * place**2
    y = torch.from_numpy(np.add.outer(along, 2 * along)).float()[None, None]
    fine = (np.arange(n * factor) + 0.5) / factor - 0.5
    value = 0.3 + 0.7 * fine - 0.05 * fine**2
    found = CubicUpsampling((factor, factor), centred=(True, True))(y)[0, 0].numpy()
    inside = slice(2 * factor, -2 * factor)
    np.testing.assert_allclose(found[inside, inside], np.add.outer(value, 2 * value)[inside, inside], atol=1e-4)


@pytest.mark.parametrize("text", ["gaussian:1", "gaussian:3", "box:3", "motion:9,40"])
@pytest.mark.parametrize("sigma", [0.01, 0.1])
def test_the_truncated_wiener_filter_is_the_whole_one_within_its_tail(text, sigma):
    psf = psfs.parse(text)
    kernel = wiener(psf, sigma)
    n = 512
    padded = np.zeros((n, n))
    padded[: psf.shape[0], : psf.shape[1]] = psf
    transfer = np.fft.fft2(np.roll(padded, [-(m // 2) for m in psf.shape], (0, 1)))
    f2 = np.add.outer(np.fft.fftfreq(n) ** 2, np.fft.fftfreq(n) ** 2)
    ratio = sigma**2 * f2 * 4 * 2 * np.pi * np.log(100)
    whole = np.fft.fftshift(np.fft.ifft2(transfer.conj() / (np.abs(transfer) ** 2 + ratio)).real)
    r = kernel.shape[0] // 2
    middle = whole[n // 2 - r : n // 2 + r + 1, n // 2 - r : n // 2 + r + 1]
    assert kernel.sum() == pytest.approx(1)
    assert (middle**2).sum() >= (1 - 1e-4) * (whole**2).sum()
    np.testing.assert_allclose(kernel / kernel.sum(), middle / middle.sum(), atol=1e-9)


def test_wieners_filter_undoes_most_of_a_blur():
    from skimage.data import camera

    x = camera()[100:300, 100:300].astype(np.float32) / 255
    psf = psfs.gaussian(2.0)
    image = torch.from_numpy(x)[None, None]
    blurred = Blur(psf)(image) + 0.02 * torch.randn(1, 1, 200, 200, generator=torch.Generator().manual_seed(0))
    restored = Blur(wiener(psf, 0.02 / x.std()))(blurred)
    before, after = ((y - image)[..., 20:-20, 20:-20].square().mean() for y in (blurred, restored))
    assert after < 0.7 * before


def test_errors_tell_what_to_do():
    with pytest.raises(RestoreError, match=r"\(4, 4\)"):
        Blur(np.ones((4, 4)))
    with pytest.raises(RestoreError, match="301 x 301"):
        wiener(np.full((301, 301), 1 / 301**2), 0.1)
    with pytest.raises(RestoreError, match="2-D"):
        Composed(Blur(np.ones((1, 1))), Downsample((1, 1, 1)))
