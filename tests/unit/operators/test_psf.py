import base64
import math
import zlib
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from napari_restore.core.errors import RestoreError
from napari_restore.operators import psf

OIL = {"na": 1.4, "wavelength": 0.52, "pixel": 0.1, "refractive_index": 1.515}


def moments(kernel):
    """Mean and standard deviation along each axis, in pixels from the middle one."""
    places = np.stack(np.meshgrid(*[np.arange(n) - n // 2 for n in kernel.shape], indexing="ij"))
    axes = tuple(range(1, kernel.ndim + 1))
    mean = (places * kernel).sum(axes) / kernel.sum()
    centred = places - mean.reshape(-1, *[1] * kernel.ndim)
    return mean, np.sqrt((centred**2 * kernel).sum(axes) / kernel.sum())


def blob(shape, centre, std):
    places = np.meshgrid(*[np.arange(n) for n in shape], indexing="ij")
    return np.exp(-0.5 * sum(((p - c) / s) ** 2 for p, c, s in zip(places, centre, std, strict=True)))


def is_kernel(kernel):
    assert kernel.dtype == np.float64
    assert all(n % 2 for n in kernel.shape)
    assert kernel.min() >= 0
    assert kernel.sum() == pytest.approx(1, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(
    st.one_of(
        st.builds(psf.gaussian, st.floats(0, 20), ndim=st.just(2)),
        st.builds(psf.gaussian, st.lists(st.floats(0, 4), min_size=3, max_size=3), ndim=st.just(3)),
        st.builds(psf.box, st.integers(0, 10), ndim=st.sampled_from([2, 3])),
        st.builds(psf.motion, st.floats(1, 60), st.floats(-720, 720)),
        st.builds(
            psf.theory,
            na=st.floats(0.3, 1.3),
            wavelength=st.floats(0.3, 0.9),
            pixel=st.floats(0.05, 3),
            mode=st.sampled_from(["widefield", "confocal", "lightsheet", "twophoton"]),
        ),
        st.builds(
            psf.theory,
            na=st.floats(0.3, 1.3),
            excitation=st.floats(0.4, 0.6),
            emission=st.floats(0.5, 0.7),
            pixel=st.floats(0.05, 1),
            mode=st.just("confocal"),
            pinhole=st.floats(0.001, 10),
        ),
    )
)
def test_every_kernel_is_odd_centred_none_negative_and_sums_to_one(kernel):
    is_kernel(kernel)
    assert_allclose(kernel, np.flip(kernel), atol=1e-12)


@pytest.mark.parametrize(
    "kernel", [psf.gaussian(0), psf.gaussian([0, 0, 0], ndim=3), psf.box(0), psf.motion(1, 0), psf.motion(1, 90)]
)
def test_no_blur_is_the_identity(kernel):
    assert_array_equal(kernel, np.ones((1,) * kernel.ndim))


def test_a_gaussian_has_the_ratios_of_its_formula_out_to_three_deviations():
    kernel = psf.gaussian(1.3)
    assert kernel.shape == (9, 9)
    assert_allclose(kernel[4] / kernel[4, 4], np.exp(-(np.arange(-4, 5) ** 2) / (2 * 1.3**2)))
    assert psf.gaussian(0.2).shape == (3, 3)


def test_a_gaussian_takes_one_deviation_an_axis_in_their_order():
    kernel = psf.gaussian((2, 1, 0), ndim=3)
    assert kernel.shape == (13, 7, 1)
    assert_allclose(moments(kernel)[1], [2, 1, 0], rtol=0.02)


def test_a_box_is_flat():
    assert_allclose(psf.box(2), np.full((5, 5), 1 / 25))
    assert psf.box(1, ndim=3).shape == (3, 3, 3)


def test_an_upright_motion_covers_whole_pixels_evenly():
    assert_allclose(psf.motion(7, 0), np.full((1, 7), 1 / 7))
    assert_allclose(psf.motion(7, 90), np.full((7, 1), 1 / 7))


def test_a_motion_goes_counter_clockwise_where_y_points_down():
    kernel = psf.motion(21, 30)
    y, x = np.indices(kernel.shape) - np.array(kernel.shape).reshape(2, 1, 1) // 2
    values, vectors = np.linalg.eigh(np.array([[(a * b * kernel).sum() for b in (x, -y)] for a in (x, -y)]))
    along = vectors[:, np.argmax(values)]
    assert math.degrees(math.atan2(along[1], along[0])) % 180 == pytest.approx(30, abs=0.5)
    # A bar of length L and width 1 has variances L^2 / 12 and 1 / 12; binning adds 1 / 12 to each.
    assert values == pytest.approx([2 / 12, (21**2 + 1) / 12], rel=0.02)


@pytest.mark.parametrize("angle", [0, 17.3, 45, 90, 133])
def test_half_a_turn_is_the_same_motion_and_a_quarter_is_the_turned_one(angle):
    kernel = psf.motion(9.5, angle)
    assert_array_equal(psf.motion(9.5, angle + 180), kernel)
    assert_allclose(psf.motion(9.5, angle + 90), np.rot90(kernel), atol=1e-3)


def test_a_slanted_motion_has_grey_edges():
    values = np.unique((psf.motion(15, 20) * 15).round(6))
    assert len(values[(values > 0.05) & (values < 0.95)]) > 5


def test_a_psf_within_a_pixel_is_nearly_the_identity():
    kernel = psf.theory(na=1.2, wavelength=0.5, pixel=10)
    assert kernel.max() > 0.97


def test_theory_is_the_same_in_any_one_unit():
    nanometres = psf.theory(na=1.4, wavelength=520, pixel=100, refractive_index=1.515)
    assert_allclose(nanometres, psf.theory(**OIL), rtol=1e-9)


def test_theory_averages_over_the_pixel():
    # Coarse pixels hold the sums of the fine ones that they cover.
    fine = psf.theory(na=0.8, wavelength=0.5, pixel=0.03)
    coarse = psf.theory(na=0.8, wavelength=0.5, pixel=0.15)
    middle = len(fine) // 2
    sums = [fine[middle + 5 * k - 2 : middle + 5 * k + 3, middle - 2 : middle + 3].sum() for k in range(4)]
    centre = len(coarse) // 2
    assert_allclose(coarse[centre : centre + 4, centre] / coarse[centre, centre], np.array(sums) / sums[0], atol=2e-3)


def test_emission_widens_a_confocal_psf_a_little():
    same = psf.theory(**OIL, mode="confocal")
    longer = psf.theory(**OIL, mode="confocal", emission=0.6)
    as_long = psf.theory(**{**OIL, "wavelength": 0.6}, mode="confocal")
    widths = [moments(k)[1][0] for k in (same, longer, as_long)]
    assert widths == sorted(widths)
    assert widths[0] < widths[1] - 0.02 < widths[2] - 0.04


def test_widefield_planes_hold_the_same_light_and_confocal_planes_do_not():
    wide = psf.theory(**OIL, ndim=3, z_step=0.2).sum((1, 2))
    assert wide.min() > 0.9 * wide.max()
    confocal = psf.theory(**OIL, ndim=3, z_step=0.2, mode="confocal").sum((1, 2))
    assert confocal.argmax() == len(confocal) // 2
    assert confocal.min() < 0.05 * confocal.max()


def test_two_photon_is_the_square_of_the_excitation_and_a_pinhole_of_no_size_is_none():
    fine = {"na": 0.8, "pixel": 0.04, "refractive_index": 1.33, "ndim": 3, "z_step": 0.4}
    wide = psf.theory(**fine, wavelength=0.9)
    two = psf.theory(**fine, excitation=0.9, mode="twophoton")
    rim = [(m - n) // 2 for m, n in zip(wide.shape, two.shape, strict=True)]
    squared = wide[tuple(slice(r, m - r) for r, m in zip(rim, wide.shape, strict=True))] ** 2
    assert_allclose(two / two.max(), squared / squared.max(), atol=1e-3)
    for tiny in (1e-6, 0.02, 0.03):
        kernel = psf.theory(**OIL, mode="confocal", pinhole=tiny)
        assert_allclose(kernel, psf.theory(**OIL, mode="confocal"), atol=1e-3)


def test_a_pinhole_widens_from_the_product_to_the_excitation_alone():
    kernels = [psf.theory(**OIL, mode="confocal", pinhole=p, ndim=3, z_step=0.1) for p in (0.1, 1, 2, 4)]
    widths = [moments(k)[1] for k in kernels]
    assert all((a < b).all() for a, b in pairwise(widths))
    assert moments(kernels[-1])[1][1] < moments(psf.theory(**OIL, ndim=3, z_step=0.1))[1][1]


def test_a_light_sheet_leaves_of_each_plane_what_it_lights():
    optics = {**OIL, "ndim": 3, "z_step": 0.2}
    wide, sheet = psf.theory(**optics), psf.theory(**optics, mode="lightsheet", sheet=1.0)
    planes = np.arange(-(len(sheet) // 2), len(sheet) // 2 + 1) * 0.2
    light = sheet.sum((1, 2)) / wide.sum((1, 2))[(len(wide) - len(sheet)) // 2 :][: len(sheet)]
    assert_allclose(light / light.max(), 0.5 ** ((planes / 0.5) ** 2), atol=0.03)
    assert_array_equal(psf.theory(**OIL, mode="lightsheet"), psf.theory(**OIL))


def test_depth_dims_and_draws_out_the_focus_towards_deeper_planes():
    optics = {**OIL, "ndim": 3, "z_step": 0.2}
    deep = psf.theory(**optics, sample_index=1.33, depth=5)
    axis = deep[:, deep.shape[1] // 2, deep.shape[2] // 2]
    middle = len(axis) // 2
    assert axis.argmax() == middle and axis[middle] < 0.5 * psf.theory(**optics, sample_index=1.33).max()
    assert axis[-8:].sum() > 2 * axis[:8].sum(), "rays of a large angle come together deeper"
    assert_allclose(psf.theory(**optics, sample_index=1.515, depth=50), psf.theory(**optics), atol=1e-12)


def test_a_thick_cover_glass_mirrors_a_thin_one():
    optics = {"na": 0.95, "wavelength": 0.52, "pixel": 0.15, "refractive_index": 1.0, "ndim": 3, "z_step": 0.3}
    thick, thin = (psf.theory(**optics, glass_excess=excess) for excess in (10, -10))
    assert_allclose(thick, thin[::-1], atol=2e-3 * thin.max())
    assert thick.max() < 0.8 * psf.theory(**optics).max()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"na": 0}, "above 0"),
        ({"na": 1.4, "refractive_index": 1.33}, "oil 1.515"),
        ({"pixel": -1}, "above 0"),
        ({"wavelength": math.nan}, "above 0"),
        ({"emission": 0, "mode": "confocal"}, "above 0"),
        ({"pixel": 100}, "one unit"),
        ({"wavelength": 520}, "units"),
        ({"ndim": 3}, "z=0.3"),
        ({"ndim": 1}, "2 or 3"),
        ({"mode": "sted"}, "confocal"),
        ({"emission": 0.6}, "widefield"),
        ({"wavelength": None}, "emission=0.52"),
        ({"wavelength": None, "mode": "twophoton"}, "excitation"),
        ({"wavelength": None, "emission": 0.6, "mode": "confocal"}, "excitation"),
        ({"excitation": 0.5, "mode": "lightsheet"}, "leave it out"),
        ({"emission": 600, "mode": "confocal"}, "one unit"),
        ({"pinhole": 1}, "mode=confocal"),
        ({"pinhole": 20, "mode": "confocal"}, "at most 10"),
        ({"pinhole": -1, "mode": "confocal"}, "above 0"),
        ({"sheet": 3, "mode": "confocal"}, "mode=lightsheet"),
        ({"mode": "lightsheet", "ndim": 3, "z_step": 0.3}, "sheet=4"),
        ({"depth": 5}, "give ns"),
        ({"depth": -5, "sample_index": 1.33}, "0 or more"),
        ({"depth": 1e5, "sample_index": 1.33}, "comes together nowhere"),
        ({"sample_index": 0.5}, "from 1 to 4"),
        ({"glass_excess": math.inf}, "cover glass"),
        ({"glass_excess": 5, "glass_index": 1.3}, "give another ng"),
    ],
)
def test_theory_refuses_what_cannot_be(change, words):
    with pytest.raises(RestoreError, match=words):
        psf.theory(**{**OIL, **change})


@pytest.mark.parametrize(
    "call",
    [
        lambda: psf.gaussian(-1),
        lambda: psf.gaussian(math.inf),
        lambda: psf.gaussian((1, 2), ndim=3),
        lambda: psf.gaussian(1e6),
        lambda: psf.gaussian(100, ndim=3),
        lambda: psf.box(-1),
        lambda: psf.box(1.5),
        lambda: psf.box(10**9),
        lambda: psf.motion(0.5, 0),
        lambda: psf.motion(math.nan, 0),
        lambda: psf.motion(5, math.inf),
        lambda: psf.motion(1e9, 20),
    ],
)
def test_numbers_out_of_range_are_refused(call):
    with pytest.raises(RestoreError):
        call()


def test_a_measured_point_is_centred_and_loses_its_background():
    rng = np.random.default_rng(0)
    image = 1000 * blob((64, 70), (25.3, 40.8), (2, 3)) + 100 + rng.normal(0, 5, (64, 70))
    kernel = psf.from_pixels(image)
    is_kernel(kernel)
    mean, std = moments(kernel)
    assert_allclose(mean, 0, atol=0.05)
    assert_allclose(std, (2, 3), rtol=0.06)
    assert max(kernel.shape) < 31


def test_a_measured_stack_keeps_its_axes():
    kernel = psf.from_pixels(blob((20, 31, 24), (9, 17, 8.5), (2.5, 1.2, 1.8)).astype(np.float32))
    mean, std = moments(kernel)
    assert_allclose(mean, 0, atol=0.05)
    assert_allclose(std, (2.5, 1.2, 1.8), rtol=0.04)


def test_integers_do_not_wrap():
    image = (200 * blob((30, 30), (15, 15), (2, 2)) + 20).round().astype(np.uint8)
    assert_allclose(moments(psf.from_pixels(image))[1], 2, rtol=0.06)


@pytest.mark.parametrize("kernel", [psf.box(2), psf.motion(9, 30), psf.gaussian((1, 2, 2), ndim=3)])
def test_what_is_a_kernel_already_stays_as_it_is(kernel):
    assert_allclose(psf.from_pixels(kernel.astype(np.float16)), kernel, atol=1e-4)


def test_a_dark_rim_is_cut_off_and_no_light_with_it():
    kernel = psf.from_pixels(np.pad(psf.gaussian(1), 20))
    assert kernel.shape == (7, 7)
    assert_allclose(kernel, psf.gaussian(1), atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(15, 18), min_size=2, max_size=3),
    st.lists(st.floats(-2, 2), min_size=3, max_size=3),
    st.sampled_from(["sum 1", "peak 1", "photons"]),
    st.booleans(),
)
def test_a_point_anywhere_and_of_any_sum_comes_to_the_middle(shape, off, scale, corner):
    centre = [n // 2 + o for n, o in zip(shape, off, strict=False)]
    if corner:
        centre = [round(c) for c in centre]
    picture = blob(shape, centre, [1.5] * len(shape))
    if corner:
        picture = np.roll(picture, [-c for c in centre], range(len(shape)))
    picture *= {"sum 1": 1 / picture.sum(), "peak 1": 1, "photons": 3e4}[scale]
    taken = psf.take(picture)
    is_kernel(taken.kernel)
    mean, std = moments(taken.kernel)
    assert_allclose(mean, 0, atol=0.06)
    assert_allclose(std, 1.5, rtol=0.05)
    assert taken.wrapped == corner


@pytest.mark.parametrize("n", [2, 4, 6])
def test_an_even_kernel_keeps_its_light_on_both_sides(n):
    taken = psf.take(np.full((n, n), 1 / n**2))
    assert_allclose(moments(taken.kernel)[0], 0, atol=0.04)
    # Half a pixel to either side is the least that there is room for on an odd grid.
    assert_allclose(moments(taken.kernel)[1], math.sqrt((n**2 - 1) / 12 + 0.25), rtol=0.06)
    assert taken.said == ""


def test_what_was_moved_is_said_in_pixels_and_what_was_not_is_not():
    good = psf.gaussian(2)
    assert psf.take(good).said == psf.take(good * 7).said == ""
    for scale in (1, 7):
        assert "+0.0, -2.0 px off the middle" in psf.take(scale * np.pad(good, ((2, 2), (0, 4)))).said
    assert "corner" in psf.take(np.fft.ifftshift(np.pad(good, 4))).said


def test_a_stack_focused_off_its_middle_plane_is_in_focus_in_the_middle():
    whole = psf.theory(**OIL, ndim=3, z_step=0.3)
    middle = len(whole) // 2
    cut = whole[middle - 2 :]  # in widefield each plane holds about the same light, in focus or not
    kernel = psf.from_pixels(cut / cut.sum())
    assert int(kernel.max((1, 2)).argmax()) == len(kernel) // 2


@pytest.mark.parametrize("scale", [1, 1000])
@pytest.mark.parametrize("std", [1, 2, 3])
def test_a_point_that_the_border_cuts_is_refused(std, scale):
    half = psf.gaussian(std)
    half = half[len(half) // 2 :]
    with pytest.raises(RestoreError, match="on the border along Y"):
        psf.from_pixels(scale * half / half.sum())


@pytest.mark.parametrize("ring", [4, 5])
def test_light_at_the_border_that_is_no_point_in_the_corner_stays(ring):
    y, x = np.mgrid[-5:6, -5:6]
    kernel = np.exp(-((np.hypot(y, x) - ring) ** 2))
    kernel /= kernel.sum()
    assert_allclose(psf.from_pixels(kernel), kernel)


@pytest.mark.parametrize(
    ("pixels", "words"),
    [
        (np.zeros((0, 3)), "none of them empty"),
        (np.zeros(5), "2 or 3 axes"),
        (np.full((9, 9), 7), "all 7"),
        (np.where(np.eye(9) > 0, np.nan, 1), "9 pixels"),
        (-blob((15, 15), (7, 7), (1, 1)), "brighter"),
    ],
)
def test_a_picture_without_a_point_is_refused(pixels, words):
    with pytest.raises(RestoreError, match=words):
        psf.from_pixels(pixels)


def beads(shape, std, count, *, rng, noise=3.0):
    image = np.full(shape, 50.0)
    for _ in range(count):
        centre = [rng.uniform(0, n - 1) for n in shape]
        image += rng.uniform(200, 400) * blob(shape, centre, std)
    return image + rng.normal(0, noise, shape)


def test_beads_are_averaged_between_pixels():
    rng = np.random.default_rng(1)
    image = beads((160, 180), (1.5, 2.0), 30, rng=rng)
    kernel = psf.from_beads(image, radius=8)
    is_kernel(kernel)
    mean, std = moments(kernel)
    assert_allclose(mean, 0, atol=0.05)
    assert_allclose(std, (1.5, 2.0), rtol=0.06)


def test_narrow_beads_are_not_widened_by_where_they_lie_within_their_pixels():
    image = np.zeros((100, 100))
    for y, x in [(20.45, 20.45), (20.45, 69.55), (69.55, 20.45), (69.55, 69.55)]:
        image += blob(image.shape, (y, x), (1, 1))
    # Averaged without being moved they would have sqrt(1 + 0.45^2) = 1.1.
    assert_allclose(moments(psf.from_beads(image, radius=6))[1], 1, rtol=0.03)


def test_beads_in_a_stack_have_a_reach_along_each_axis():
    rng = np.random.default_rng(2)
    image = beads((40, 70, 70), (3, 1.5, 1.5), 8, rng=rng)
    assert_allclose(moments(psf.from_beads(image, radius=(10, 6, 6)))[1], (3, 1.5, 1.5), rtol=0.08)


def between_pixels(fine, factor, offset):
    """A finer kernel, off the middle of a pixel by some fine ones, as pixels see it: the planes are samples."""
    half = [-(-n // 2 // factor) + 1 for n in fine.shape]
    canvas = np.zeros([factor * (2 * h + 1) for h in half])
    first = [factor * h + int(o) - n // 2 for h, o, n in zip(half, offset, fine.shape, strict=True)]
    canvas[tuple(slice(f, f + n) for f, n in zip(first, fine.shape, strict=True))] = fine
    _, y, x = (2 * h + 1 for h in half)
    return canvas[::factor].reshape(-1, y, factor, x, factor).sum((2, 4))


def test_beads_in_3d_give_the_psf_of_the_microscope_with_clusters_and_dust_among_them():
    optics = {"na": 1.2, "mode": "confocal", "excitation": 0.49, "emission": 0.52, "pinhole": 1, "ndim": 3}
    factor, z_step, pixel = 3, 0.2, 0.08
    true = psf.theory(**optics, pixel=pixel, z_step=z_step)
    fine = psf.theory(**optics, pixel=pixel / factor, z_step=z_step / factor)  # beads lie between pixels
    rng = np.random.default_rng(3)
    where = [(9, 24, 24), (20, 24, 60), (12, 24, 95), (24, 60, 26), (16, 60, 60), (9, 95, 60), (18, 95, 95)]
    cluster, dust = [(14, 60, 93), (14, 63, 95)], (22, 95, 22)
    image = np.zeros((36, 120, 120))
    for at in [*where, *cluster]:
        light = between_pixels(fine, factor, rng.integers(factor, size=3))
        image[tuple(slice(a - n // 2, a + n // 2 + 1) for a, n in zip(at, light.shape, strict=True))] += light
    image += image.max() * blob(image.shape, dust, (5, 5, 5))
    noisy = rng.poisson(1e5 * image / image.max() + 1000).astype(np.float32)
    noisy[30, 40, 40] += 1e5
    found = psf.average_beads(noisy)
    assert found.used >= 4 and found.left_out >= 4, "two that touch, dust, a hot pixel"
    is_kernel(found.kernel)
    apart = [(m - n) // 2 for n, m in zip(found.kernel.shape, true.shape, strict=True)]
    same = found.kernel[
        tuple(slice(max(-d, 0), n - max(-d, 0)) for d, n in zip(apart, found.kernel.shape, strict=True))
    ]
    expected = true[tuple(slice(max(d, 0), n - max(d, 0)) for d, n in zip(apart, true.shape, strict=True))]
    assert np.abs(same - expected / expected.sum()).sum() < 0.06
    assert_allclose(moments(same)[1], moments(expected)[1], rtol=0.06)


def test_pixels_of_another_size_hold_the_same_light():
    fine = psf.theory(na=0.8, wavelength=0.5, pixel=0.04)
    for size in (0.08, 0.1, 0.06):
        found, expected = psf.resampled(fine, [0.04 / size] * 2), psf.theory(na=0.8, wavelength=0.5, pixel=size)
        is_kernel(found)
        apart = (len(expected) - len(found)) // 2
        expected = expected[apart : len(expected) - apart, apart : len(expected) - apart] if apart > 0 else expected
        found = found[-apart : len(found) + apart, -apart : len(found) + apart] if apart < 0 else found
        assert_allclose(found, expected, atol=0.01 * expected.max())
    assert_allclose(
        moments(psf.resampled(psf.gaussian((2, 2)), [1, 1.5]))[1], moments(psf.gaussian((2, 3)))[1], rtol=0.02
    )
    with pytest.raises(RestoreError, match="units"):
        psf.resampled(fine, [1, 1000])


def test_touching_beads_hot_pixels_and_cut_beads_are_left_out():
    image = np.full((120, 120), 10.0)
    for centre in [(20.3, 20), (20, 70.4), (70, 20), (95.5, 95.5), (0, 110)]:
        image += 100 * blob(image.shape, centre, (1.5, 1.5))
    alone = psf.from_beads(image, radius=7)
    for centre in [(60, 60), (60, 64)]:
        image += 300 * blob(image.shape, centre, (1.5, 1.5))
    image[100, 30] += 1000
    disturbed = psf.from_beads(image, radius=7)
    assert disturbed.shape == alone.shape
    assert_allclose(disturbed, alone, atol=1e-3)
    assert_allclose(moments(alone)[1], 1.5, rtol=0.03)


@pytest.mark.parametrize(
    ("image", "radius"),
    [
        (np.random.default_rng(0).normal(0, 1, (40, 40)), 5),
        (np.zeros((40, 40)), 5),
        (blob((40, 40), (20, 20), (2, 2)), 0),
        (blob((40, 40), (20, 20), (2, 2)), 20),
        (np.full((40, 40), np.nan), 5),
        (np.zeros(40), 5),
    ],
)
def test_an_image_without_beads_is_refused(image, radius):
    with pytest.raises(RestoreError, match="bead"):
        psf.from_beads(image, radius=radius)


@pytest.mark.parametrize(
    ("kernel", "expected"),
    [
        (psf.gaussian(2), True),
        (psf.gaussian((3, 1, 1), ndim=3), True),
        (psf.gaussian((1.1, 1.3)), False),
        (psf.gaussian((1, 1.1, 1.3), ndim=3), False),
        (psf.motion(9, 45), False),
        (psf.motion(9, 30), False),
        (psf.theory(**OIL), True),
        (psf.theory(**OIL, ndim=3, z_step=0.3), True),
        (np.roll(np.pad(psf.gaussian(1), 1), 1, 0), False),
    ],
)
def test_symmetry_is_that_of_flips_and_a_quarter_turn(kernel, expected):
    assert psf.symmetric(kernel) is expected


def test_symmetry_allows_the_tolerance_and_no_more():
    kernel = psf.gaussian(2)
    kernel[0, 3] += 1e-3 * kernel.max()
    assert not psf.symmetric(kernel)
    assert psf.symmetric(kernel, tolerance=2e-3)


@pytest.mark.parametrize(
    ("text", "ndim", "expected"),
    [
        ("gaussian:2", 2, psf.gaussian(2)),
        (" Gaussian: 2 ", 3, psf.gaussian(2, ndim=3)),
        ("gaussian:1,2", 2, psf.gaussian((1, 2))),
        ("gaussian:0,1,2", 3, psf.gaussian((0, 1, 2), ndim=3)),
        ("box:3", 2, psf.box(3)),
        ("motion:7,-20", 2, psf.motion(7, -20)),
        ("motion:7,30", 3, psf.motion(7, 30)[None]),
        ("theory:NA=1.4,wavelength=0.52,pixel=0.1,n=1.515", 2, psf.theory(**OIL)),
        (
            "theory:na=1.4, wavelength=0.52, pixel=0.1, n=1.515, mode=confocal, z=0.3, emission=0.6",
            3,
            psf.theory(**OIL, mode="confocal", z_step=0.3, emission=0.6, ndim=3),
        ),
        (
            "theory:NA=1.4,emission=520,pixel=100,immersion=Oil,mode=LightSheet,sheet=2000,z=300,depth=1000,ns=1.33,ng=1.52,glass=1",
            3,
            psf.theory(
                na=1.4,
                wavelength=520,
                pixel=100,
                refractive_index=1.515,
                mode="lightsheet",
                sheet=2000,
                z_step=300,
                depth=1000,
                sample_index=1.33,
                glass_index=1.52,
                glass_excess=1,
                ndim=3,
            ),
        ),
        (
            "theory:NA=1.4,excitation=0.488,emission=0.52,pixel=0.1,n=1.515,mode=confocal,pinhole=1",
            2,
            psf.theory(
                na=1.4, excitation=0.488, emission=0.52, pixel=0.1, refractive_index=1.515, mode="confocal", pinhole=1
            ),
        ),
    ],
)
def test_a_text_is_the_kernel_it_names(text, ndim, expected):
    assert_array_equal(psf.parse(text, ndim=ndim), expected)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("bead.tif", "path of an image file"),
        ("gausian:2", "path of an image file.*gaussian:STD"),
        ("", "path of an image file"),
        ("gaussian", "gaussian:STD"),
        ("gaussian:", "gaussian:STD"),
        ("gaussian:two", "'two' is not a number"),
        ("gaussian:1..2", "range"),
        ("gaussian:nan", "finite"),
        ("gaussian:-1", "0 or more"),
        ("gaussian:1,2,3", "1 or 2"),
        ("box:1.5", "whole"),
        ("box:1,2", "2 numbers, where 1"),
        ("motion:7", "motion:LENGTH,ANGLE"),
        ("theory:NA=1.4", "wavelength, pixel missing"),
        ("theory:NA=1.2,wavelength=0.5,pixel=0.1,mag=60", "'mag=60' is none of na"),
        ("theory:NA=1.2,NA=1.2", "twice"),
        ("theory:NA=1.2,n=1.5,immersion=oil", "one thing"),
        ("theory:NA=1.2,immersion=gin", "air, water, glycerol, oil"),
        ("theory:NA=x", "not a number"),
        ("theory:1.4,0.5,0.1", "none of na"),
        ("inline:3x3:AAAA", "cut short"),
        ("inline:3x3:%%", "cut short"),
        ("inline:3x3:é", "cut short"),
        ("inline:4x3:AAAA", "odd"),
        ("inline:9999x9999:AAAA", "more than"),
        ("inline:3:AAAA", "odd"),
    ],
)
def test_a_text_that_is_wrong_is_told_how_to_be_right(text, words):
    with pytest.raises(RestoreError, match=words):
        psf.parse(text)


def inlined(values):
    raw = np.asarray(values, "<f4")
    size = "x".join(map(str, raw.shape))
    return f"inline:{size}:{base64.b64encode(zlib.compress(raw.tobytes())).decode()}"


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 2), min_size=2, max_size=3), st.integers(0, 2**31))
def test_an_inlined_kernel_comes_back(half, seed):
    kernel = np.random.default_rng(seed).random([2 * h + 1 for h in half])
    kernel /= kernel.sum()
    back = psf.parse(psf.inline(kernel), ndim=kernel.ndim)
    is_kernel(back)
    assert_allclose(back, kernel, rtol=1e-6)


def test_a_plane_serves_a_stack_and_a_stack_of_one_plane_an_image():
    assert psf.parse(psf.inline(psf.gaussian(1)), ndim=3).shape == (1, 7, 7)
    assert psf.parse(psf.inline(psf.gaussian(1)[None]), ndim=2).shape == (7, 7)
    with pytest.raises(RestoreError, match="3 axes, the image 2"):
        psf.parse(psf.inline(psf.gaussian(1, ndim=3)), ndim=2)


@pytest.mark.parametrize("values", [[[1, -1, 1]], [[0, 0, 0]], [[np.nan, 1, 1]]])
def test_an_inlined_filter_is_no_psf(values):
    with pytest.raises(RestoreError, match="not a filter"):
        psf.parse(inlined(values))


def test_inlined_data_of_another_size_are_refused_without_unpacking_all_of_them():
    bomb = base64.b64encode(zlib.compress(bytes(10**7))).decode()
    with pytest.raises(RestoreError, match="cut short or changed"):
        psf.parse(f"inline:3x3:{bomb}")


@pytest.mark.parametrize(
    ("text", "texts"),
    [
        ("gaussian:1.5..2.5", ["gaussian:1.5", "gaussian:2", "gaussian:2.5"]),
        ("gaussian:2.5..1.5", ["gaussian:1.5", "gaussian:2", "gaussian:2.5"]),
        ("gaussian:1, 2..3", ["gaussian:1,2", "gaussian:1,2.5", "gaussian:1,3"]),
        ("gaussian:0.5..0.6", ["gaussian:0.5", "gaussian:0.55", "gaussian:0.6"]),
        ("gaussian:2..2", ["gaussian:2"]),
        ("box:1..4", ["box:1", "box:2", "box:4"]),
        ("box:1..2", ["box:1", "box:2"]),
        ("motion:5..15,30", ["motion:5,30", "motion:10,30", "motion:15,30"]),
        ("gaussian:2", ["gaussian:2"]),
        ("../bead.tif", ["../bead.tif"]),
    ],
)
def test_a_range_is_swept_from_narrow_to_wide(text, texts):
    assert psf.sweep(text) == texts
    for one in texts:
        if not one.endswith(".tif"):
            psf.parse(one)


@pytest.mark.parametrize(
    "text",
    [
        "gaussian:1..2,1..2",
        "motion:5,10..20",
        "theory:NA=1..1.2,wavelength=0.5,pixel=0.1",
        "gaussian:..2",
        "gaussian:1..2..3",
    ],
)
def test_what_cannot_be_swept_says_so(text):
    with pytest.raises(RestoreError, match="PSF"):
        psf.sweep(text)


def test_a_sweep_goes_from_narrow_to_wide_kernels():
    widths = [moments(psf.parse(text))[1].max() for text in psf.sweep("motion:5..15,30")]
    assert widths == sorted(widths)
    assert len(widths) == 3
