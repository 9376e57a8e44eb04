"""Every operator is linear, has the adjoint it says it has, and is the identity where its parameters say so."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_restore.operators.blur import Blur, folded, mirrored
from napari_restore.operators.combine import Composed, Identity
from napari_restore.operators.downsample import Downsample
from napari_restore.operators.operator import Operator, interior

BORDERS = st.sampled_from(["reflect", "valid"])
ODD = st.sampled_from([1, 3, 5, 7])
SAMPLINGS = st.sampled_from(["cubic", "area", "point"])


def normal(shape, seed):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def kernel(shape, seed, *, separable=False):
    rng = np.random.default_rng(seed)
    if separable:
        taps = [rng.random(n) for n in shape]
        found = taps[0]
        for t in taps[1:]:
            found = np.multiply.outer(found, t)
    else:
        found = rng.random(shape)
    return found / found.sum()


def check_adjoint(operator: Operator, size, seed):
    x = normal((2, 3, *size), seed)
    measured = operator(x)
    y = normal(measured.shape, seed + 1)
    left = (measured.double() * y.double()).sum()
    right = (x.double() * operator.adjoint(y).double()).sum()
    scale = measured.double().norm() * y.double().norm()
    assert abs(left - right) <= 1e-5 * scale
    # The bound means something only if the products are not both nothing.
    assert scale > 0


@given(ODD, ODD, st.integers(8, 23), st.integers(8, 23), BORDERS, st.booleans(), st.integers(0, 99))
def test_blur_in_a_plane(k, m, height, width, border, separable, seed):
    check_adjoint(Blur(kernel((k, m), seed, separable=separable), border=border), (height, width), seed)


@given(ODD, ODD, ODD, BORDERS, st.booleans(), st.integers(0, 99))
def test_blur_in_a_volume(k, m, n, border, separable, seed):
    check_adjoint(Blur(kernel((k, m, n), seed, separable=separable), border=border), (9, 17, 8), seed)


@given(st.integers(1, 4), st.integers(1, 4), SAMPLINGS, BORDERS, st.integers(0, 99))
def test_downsampling_in_a_plane(f, g, sampling, border, seed):
    check_adjoint(Downsample((f, g), sampling=sampling, border=border), (5 * f, 7 * g), seed)


@given(st.integers(1, 4), SAMPLINGS, BORDERS, st.integers(0, 99))
def test_downsampling_in_a_volume(f, sampling, border, seed):
    check_adjoint(Downsample((f, 1, 2), sampling=sampling, border=border), (5 * f, 5, 14), seed)


@given(ODD, st.integers(1, 3), BORDERS, st.integers(0, 99))
def test_blur_then_downsampling(k, f, border, seed):
    blur, coarser = Blur(kernel((k, 3), seed), border=border), Downsample((f, f), sampling="area", border=border)
    size = (7 * f + (k - 1) * (border == "valid"), 6 * f + 2 * (border == "valid"))
    check_adjoint(Composed(blur, coarser), size, seed)


def test_identity():
    check_adjoint(Identity(2), (17, 23), 0)


@pytest.mark.parametrize("size", [(1, 23), (2, 3), (1, 1), (3, 1, 5)])
def test_a_kernel_larger_than_the_image_is_mirrored_as_often_as_needed(size):
    shape = (7, 9, 5)[: len(size)]
    for separable in (True, False):
        check_adjoint(Blur(kernel(shape, 1, separable=separable)), size, 0)


@given(st.lists(st.integers(0, 5), min_size=2, max_size=2), st.integers(0, 99))
def test_folding_is_the_adjoint_of_mirroring(width, seed):
    x = normal((1, 1, 4, 3), seed)
    y = normal(mirrored(x, tuple(width)).shape, seed + 1)
    assert torch.allclose((mirrored(x, tuple(width)) * y).sum(), (x * folded(y, tuple(width))).sum(), atol=1e-4)


@pytest.mark.parametrize("ndim", [2, 3])
def test_one_tap_and_factor_one_are_the_identity(ndim):
    x = normal((1, 2, *(5, 17, 23)[-ndim:]), 0)
    assert torch.equal(Blur(np.ones((1,) * ndim))(x), x)
    for sampling in ("cubic", "area", "point"):
        assert torch.equal(Downsample((1,) * ndim, sampling=sampling)(x), x)


@given(st.integers(2, 4), SAMPLINGS, st.floats(-100, 100))
def test_a_constant_stays_what_it_is(f, sampling, value):
    measured = Downsample((f, f), sampling=sampling)(torch.full((1, 1, 6 * f, 5 * f), value))
    assert torch.allclose(measured, torch.full_like(measured, value), rtol=1e-5, atol=1e-5)
    blurred = Blur(kernel((5, 7), 0))(torch.full((1, 1, 17, 23), value))
    assert torch.allclose(blurred, torch.full_like(blurred, value), rtol=1e-5, atol=1e-5)


@given(st.sampled_from([(5, 3), (1, 7)]), st.booleans())
def test_valid_is_the_inside_of_reflect(shape, separable):
    x, psf = normal((2, 1, 17, 23), 3), kernel(shape, 5, separable=separable)
    inside = Blur(psf)(x)[(..., *interior((17, 23), Blur(psf).margin))]
    assert torch.allclose(Blur(psf, border="valid")(x), inside, atol=1e-6)
    for f, sampling in ((2, "cubic"), (3, "cubic"), (2, "area"), (4, "cubic")):
        wide = normal((1, 1, 12 * f, 9 * f), 4)
        coarser = Downsample((f, f), sampling=sampling)
        inside = coarser(wide)[(..., *interior((12, 9), coarser.margin))]
        assert torch.allclose(Downsample((f, f), sampling=sampling, border="valid")(wide), inside, atol=1e-6)


@given(st.integers(1, 4), SAMPLINGS, ODD, st.integers(0, 23))
def test_measured_pixels_inside_the_margin_do_not_see_past_the_border(f, sampling, k, column):
    operator = Composed(Blur(kernel((k, k), 0)), Downsample((f, f), sampling=sampling))
    n, m = 16, operator.margin[0]
    x = torch.zeros(1, 1, n * f, n * f)
    # Mirroring doubles what lies beside the border: with and without it, an inside pixel must read the same.
    x[..., column % 3 - 1 if column % 3 == 0 else column % 3, :] = 1
    padded = torch.nn.functional.pad(x, [8 * f] * 4, value=37.0)
    inside = operator(padded)[..., 8:-8, 8:-8][(..., *interior((n, n), (m, m)))]
    assert torch.allclose(operator(x)[(..., *interior((n, n), (m, m)))], inside, atol=1e-4)
