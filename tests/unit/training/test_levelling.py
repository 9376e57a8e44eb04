"""Whatever a denoiser makes of light, its result has the mean and the contrast of what was measured."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from napari_restore import methods, train
from napari_restore.core.normalisation import Normalisation
from napari_restore.core.region import Region
from napari_restore.methods import METHODS
from napari_restore.methods.apply import restore_region
from napari_restore.sources import open_image
from napari_restore.training.levelling import _boxes, line_to_measured

RNG = np.random.default_rng(0)
SCENE = gaussian_filter((RNG.random((90, 110)) > 0.98) * RNG.random((90, 110)), 2)
SCENE = 0.05 + SCENE / SCENE.mean()
ASIDE = Normalisation(mean=(0.0,), std=(1.0,))
CPU = torch.device("cpu")


def photons(mean, seed=0):
    return np.random.default_rng(seed).poisson(mean * SCENE / SCENE.mean()).astype(np.float32)


class Bent(torch.nn.Module):
    """What a denoiser may do: the mean of 3 x 3 pixels, by a line, with a part of the pixel's own noise."""

    spatial, channels, radius, grid, rate, compresses, fills = "YX", 1, (1, 1), (1, 1), (1, 1), False, False
    neighbours, apart, border, gives_deviations, gap = 0, (1, 1), (1, 1), False, 0.0

    def __init__(self, gain, offset):
        super().__init__()
        self.gain, self.offset = gain, offset

    def restore(self, pixels):
        smooth = torch.nn.functional.avg_pool2d(pixels, 3, 1, 1, count_include_pad=False)
        return self.gain * (0.7 * smooth + 0.3 * pixels) + self.offset


def levelled(bent, pixels, axes="YX"):
    image = open_image(pixels, axes=axes)
    gain, offset = line_to_measured(bent, [image], normalisation=ASIDE, device=CPU)[:, 0]
    restored = restore_region(bent, image, Region.of_shape(pixels.shape), normalisation=ASIDE, device=CPU)
    return gain * restored + offset, gain


@settings(max_examples=12, deadline=None)
@given(st.floats(0.6, 1.6), st.floats(-2, 2), st.sampled_from([0.1, 1.0, 30.0]), st.integers(0, 99))
def test_the_mean_is_kept_and_the_contrast_comes_back_however_few_photons(gain, offset, mean, seed):
    pixels = photons(mean, seed)
    restored, found = levelled(Bent(gain, offset), pixels)
    assert restored.mean() == pytest.approx(pixels.mean(), rel=1e-3)
    assert found == pytest.approx(1 / gain, rel={0.1: 0.35, 1.0: 0.1, 30.0: 0.05}[mean])


def test_whoever_waits_for_the_end_gets_the_mean_of_the_middle():
    read = []

    class Seen(Bent):
        def restore(self, pixels):
            read.append(pixels.shape)
            return super().restore(pixels)

    pixels = np.random.default_rng(0).poisson(30, (1024, 1024)).astype(np.float32)
    pixels[:256] += 300
    pixels[768:] += 300
    image = open_image(pixels, axes="YX")
    gain, offset = line_to_measured(Seen(1.0, 3.0), [image], normalisation=ASIDE, device=CPU, enough=lambda: True)[:, 0]
    assert len(read) == 1
    restored = restore_region(Bent(1.0, 3.0), image, Region.of_shape(pixels.shape), normalisation=ASIDE, device=CPU)
    told, measured = ((p[256:512, 256:512]).mean() for p in (gain * restored + offset, pixels))
    assert told == pytest.approx(measured, rel=1e-2), "of a box beside the middle, not of a corner of the other half"


@pytest.mark.parametrize(("uneven", "fewest", "most"), [(0.0, 4, 5), (0.5, 16, 16)])
def test_boxes_that_are_alike_need_not_all_be_restored(uneven, fewest, most):
    """The mean of all is told by a quarter of them where they agree, and by all where they do not."""
    read = []

    class Off(Bent):
        def restore(self, pixels):
            read.append(pixels.shape)
            return super().restore(pixels) + uneven * (pixels.mean() - 100)

    pixels = np.random.default_rng(0).poisson(100, (16, 96, 100)).astype(np.float32)
    pixels += np.linspace(-5, 5, 16, dtype=np.float32)[:, None, None]
    image = open_image(pixels, axes="ZYX")
    gain, offset = line_to_measured(Off(1.0, 3.0), [image], normalisation=ASIDE, device=CPU)[:, 0]
    assert fewest <= len(read) <= most
    assert gain * 103 + offset == pytest.approx(100, rel=2e-3)


def test_a_flat_image_has_no_contrast_to_bring_back():
    pixels = np.random.default_rng(1).normal(100, 10, (80, 80)).astype(np.float32)
    restored, gain = levelled(Bent(1.0, 3.0), pixels)
    assert gain == pytest.approx(1, abs=0.2) and restored.mean() == pytest.approx(100, abs=0.5)


def test_noise_along_rows_is_not_taken_for_contrast():
    lines = np.random.default_rng(1).normal(0, 3, (90, 1)).astype(np.float32)
    assert levelled(Bent(1.0, 0.0), photons(30) + lines)[1] == pytest.approx(1, abs=0.05)


def test_hot_and_missing_pixels_have_no_say():
    pixels = photons(30)
    pixels[20::50, 20::50] = 60000
    pixels[:7] = np.nan
    bent = Bent(1.0, 4.0)
    gain, offset = line_to_measured(bent, [open_image(pixels, axes="YX")], normalisation=ASIDE, device=CPU)[:, 0]
    assert gain * 34 + offset == pytest.approx(30, abs=1.5)


@pytest.mark.parametrize(
    ("shapes", "axes"), [([(300, 517)], "YX"), ([(7, 2, 64, 70), (2, 2, 600, 31)], "TCYX"), ([(3, 4, 5)], "ZYX")]
)
def test_boxes_do_not_overlap_and_cover_what_is_small(shapes, axes):
    images = [open_image(np.zeros(shape, np.uint8), axes=axes) for shape in shapes]
    boxes = list(_boxes(images, "YX"))
    assert 1 <= len(boxes) <= 16
    for image in images:
        seen = np.zeros(image.shape, int)
        for other, box in boxes:
            if other is image:
                seen[box.slices] += 1
        assert seen.max() <= 1 and (seen.all() or len(boxes) == 16)


KEEPING = [name for name in METHODS if methods.find(name).keeps_mean]


@pytest.mark.parametrize("method", KEEPING)
@pytest.mark.parametrize("mean", [0.1, 1.0, 10.0])
def test_every_denoiser_keeps_the_mean_of_few_photons(method, mean):
    pixels = photons(mean)
    second = {"second": photons(mean, 1)} if method == "noise2noise" else {}
    model = train(pixels, method, axes="YX", steps=2, patch=(32, 32), batch=2, width=4, depth=1, device="cpu", **second)
    image = open_image(pixels, axes="YX")
    restored = restore_region(
        model.method.for_restoring(),
        image,
        Region.of_shape(pixels.shape),
        normalisation=model.normalisation,
        device=CPU,
        precision=model.precision,
    )
    assert restored.mean() == pytest.approx(pixels.mean(), rel=5e-3)


def test_training_that_goes_on_measures_anew():
    pixels = photons(1.0)
    settings_ = {"axes": "YX", "steps": 2, "patch": (32, 32), "batch": 2, "device": "cpu"}
    first = train(pixels, "noise2void2", width=4, depth=1, **settings_)
    again = train(3 * pixels, start=first, **settings_)
    image = open_image(3 * pixels, axes="YX")
    whole = Region.of_shape(pixels.shape)
    restored = restore_region(
        again.method.for_restoring(), image, whole, normalisation=again.normalisation, device=CPU,
        precision=again.precision,
    )  # fmt: skip
    assert restored.mean() == pytest.approx(3 * pixels.mean(), rel=5e-3)
