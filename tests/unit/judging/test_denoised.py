"""What is said of a denoised image without its truth holds where the truth is known."""

import math
import re

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_restore import denoise, evaluate, restore, train
from napari_restore.core.errors import RestoreError
from napari_restore.judging import denoised, looked_at
from napari_restore.judging.denoised import check
from napari_restore.sources import open_image

SIGMA = 20.0


def scene(seed=0, shape=(192, 200)):
    rng = np.random.default_rng(seed)
    blobs = gaussian_filter(rng.normal(size=shape), 5)
    return 100 + 60 * np.tanh(3 * blobs / blobs.std())


@pytest.fixture(scope="module")
def pair():
    clean = scene()
    return clean, (clean + SIGMA * np.random.default_rng(1).normal(size=clean.shape)).astype(np.float32)


@pytest.mark.parametrize("method", ["posterior", "noise2void2", "zero_shot"])
def test_the_estimate_is_near_the_error_that_the_truth_tells(pair, method):
    clean, noisy = pair
    result = denoise(noisy, method=method, steps=120, precision="float32")
    found = result.report["checked"]
    restored = np.asarray(result, np.float64)
    # The same peak on both sides: the estimate's is the range of what was restored.
    told = -10 * math.log10(np.square(restored - clean).mean())
    peak = 20 * math.log10(np.ptp(restored))
    # The posterior mean's own account is 1 dB too careful on smooth blobs; on frames SURE alone is 3 dB off.
    assert found["psnr"] - peak == pytest.approx(told, abs=1.2 if method == "posterior" else 0.5)
    assert found["psnr_at_least"] <= found["psnr"]
    assert found["psnr_before"] - peak == pytest.approx(-20 * math.log10(SIGMA), abs=0.4)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_estimate_is_near_the_error_where_hardly_any_noise_is_left(seed):
    """20 dB below the noise, what Stein's estimate errs by is as large as all the error there is."""
    clean = scene(seed + 10) / 40
    counts = np.random.default_rng(seed).poisson(clean).astype(np.float32)
    result = denoise(counts, method="posterior", steps=60, precision="float32")
    found = result.report["checked"]
    told = 10 * math.log10(np.ptp(np.asarray(result)) ** 2 / np.square(np.asarray(result) - clean).mean())
    assert found["psnr"] == pytest.approx(told, abs=2.5)
    assert found["psnr_at_least"] <= told + 0.5


def test_a_model_of_another_image_is_not_praised_for_what_it_tells_of_itself(pair):
    model = train(pair[1], "posterior", steps=100, precision="float32")
    fine = scene(3, (384, 400))[::4, ::4].repeat(2, 0).repeat(2, 1)
    noisy = (fine + SIGMA * np.random.default_rng(5).normal(size=fine.shape)).astype(np.float32)
    found = check(open_image(noisy), model)
    restored = np.asarray(restore(noisy, model), np.float64)
    told = 20 * math.log10(np.ptp(restored)) - 10 * math.log10(np.square(restored - fine).mean())
    assert found.psnr_at_least <= told + 0.5


def test_a_network_that_blurs_is_found_out(pair):
    _, noisy = pair
    model = train(noisy, "noise2void", steps=1, precision="float32")
    checked = check(open_image(noisy), model)
    assert not checked.trusted
    assert checked.structure > 0.1 or checked.psnr_at_least < checked.psnr_before


def test_correlated_noise_gets_no_psnr_and_still_a_verdict(pair):
    clean, _ = pair
    noise = gaussian_filter(np.random.default_rng(2).normal(size=clean.shape), (0, 1.2))
    noisy = (clean + SIGMA * noise / noise.std()).astype(np.float32)
    model = train(noisy, "struct_noise2void", steps=30, precision="float32")
    checked = check(open_image(noisy), model)
    assert (checked.psnr, checked.psnr_before) == (None, None)
    assert "not known well enough" in checked.verdict


@pytest.mark.parametrize("axes", ["CYX", "YXC", "ZYX"])
def test_axes_in_any_order(axes):
    clean = np.stack([scene(s, (96, 100)) for s in (0, 1)])
    noisy = clean + SIGMA * np.random.default_rng(3).normal(size=clean.shape)
    noisy = np.moveaxis(noisy, 0, axes.index(axes.strip("YX"))).astype(np.float32)
    model = train(noisy, "posterior", axes=axes, steps=40, precision="float32")
    checked = check(open_image(noisy, axes=axes), model)
    assert checked.psnr > checked.psnr_before
    values = evaluate(noisy, model=model, axes=axes)
    assert values["estimated_psnr"] == pytest.approx(checked.psnr, abs=1e-6)


@pytest.mark.parametrize(("axes", "shape", "neighbours"), [("CYX", (2, 90, 75), 0), ("TYX", (5, 81, 70), 1)])
def test_what_a_method_tells_of_its_errors_is_in_units_of_the_image(axes, shape, neighbours):
    clean = 50 * np.broadcast_to(scene(4, shape[-2:]), shape)
    noisy = (clean + 50 * SIGMA * np.random.default_rng(6).normal(size=shape)).astype(np.float32)
    model = train(noisy, "posterior", axes=axes, steps=30, neighbours=neighbours, precision="float32")
    true = np.square(np.asarray(restore(noisy, model, axes=axes)) - clean).mean()
    assert looked_at.own_error(model, noisy, axes, "cpu") == pytest.approx(true, rel=0.6)


def test_of_too_few_planes_nothing_is_told():
    noisy = np.random.default_rng(7).normal(size=(2, 64, 72)).astype(np.float32)
    model = train(noisy, "posterior", axes="TYX", steps=1, neighbours=1, precision="float32")
    assert looked_at.own_error(model, noisy, "TYX", "cpu") is None


def test_methods_that_tell_nothing_of_their_errors_are_judged_without(pair):
    model = train(pair[1], "noise2void2", steps=2, precision="float32")
    assert looked_at.own_error(model, pair[1], "YX", "cpu") is None


@pytest.mark.parametrize("hole", [False, True])
def test_the_part_is_restored_twice_and_not_more(pair, monkeypatch, hole):
    noisy = pair[1].copy()
    if hole:
        noisy[90:94, 80:97] = np.nan
    model = train(pair[1], "noise2void2", steps=2, precision="float32")
    seen = []

    def counted(method, part, *args, **options):
        seen.append(part.read())
        return real(method, part, *args, **options)

    real = looked_at.restore_region
    monkeypatch.setattr(looked_at, "restore_region", counted)
    checked = check(open_image(noisy), model)
    assert checked.psnr is not None
    assert len(seen) == 2, "as it is, and with a little noise added"
    assert not np.array_equal(*seen)


def test_images_too_small_to_judge_by_are_not_judged():
    noisy = np.random.default_rng(0).normal(size=(40, 40)).astype(np.float32)
    model = train(noisy, "noise2void", steps=1)
    assert check(open_image(noisy), model) is None
    with pytest.raises(RestoreError, match="too small"):
        evaluate(noisy, model=model)


def test_an_image_whose_noise_cannot_be_measured_is_restored_and_judged_without_it():
    noisy = np.random.default_rng(0).normal(size=(40, 300)).astype(np.float32)
    noisy[..., ::5] = np.nan
    result = denoise(noisy, method="noise2void", steps=1)
    assert result.complete
    assert result.report["checked"]["psnr"] is None


@pytest.mark.parametrize(("axes", "levels"), [("ZYX", [9, 1400]), ("TYX", [1400, 9, 200])])
def test_what_clears_the_bright_planes_alone_is_never_praised(monkeypatch, axes, levels):
    clean = np.stack([np.full((128, 140), level, float) for level in levels * 4])
    image = open_image(np.random.default_rng(0).poisson(clean).astype(np.uint16), axes=axes)
    model = train(image, "noise2void", steps=1, precision="float32", dimensions="2")

    units = looked_at.Units.of(model.normalisation)

    def smoothing(*, above):
        """What smooths planes that are brighter than that, and leaves the others as they are."""
        above = (above - units.offset) / units.scale
        return lambda y: np.stack([gaussian_filter(p, 3) if p.mean() > above else p for p in y]).astype(np.float32)

    for above, trusted in ((0, True), (100, False)):
        monkeypatch.setattr(denoised, "denoiser_of", lambda *_, above=above: smoothing(above=above))
        checked = check(image, model)
        assert checked.trusted == trusted, checked.verdict
        said = re.search(r"some planes stay noisy: .* about (8\.9|9).* keep 100 % .* [89] %\.", checked.verdict)
        assert (said is not None) != trusted, checked.verdict
        assert ("dB more" in checked.verdict) == trusted
