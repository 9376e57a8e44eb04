"""Classical deconvolution as a method: tiles, units, what it chooses without the truth, and that it never trains."""

import threading
from dataclasses import replace
from functools import partial
from itertools import islice

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from napari_restore import deblur, deblur_events, load_model, open_image, restore, submit, train
from napari_restore.core.errors import InterruptedWorkError, RestoreError
from napari_restore.core.events import Checkpointed, Measured, Preview, TrainingStarted
from napari_restore.core.job import PreviewRequest
from napari_restore.core.normalisation import Normalisation
from napari_restore.core.region import Region
from napari_restore.methods import richardson_lucy, thinning
from napari_restore.methods.allocated import peak_of
from napari_restore.methods.apply import restore_region
from napari_restore.methods.method import Interrupted
from napari_restore.methods.richardson_lucy import RichardsonLucy
from napari_restore.operators import psf as psfs
from napari_restore.operators.blur import Blur
from napari_restore.operators.deconvolve import richardson_lucy as updates_of
from napari_restore.store.model import build_method
from napari_restore.verbs import run

LOPSIDED = psfs.inline(np.float64([[0, 1, 0, 0, 0], [1, 6, 4, 2, 1], [0, 2, 1, 0, 0]]) / 18)


def scene(shape, *, seed=0):
    """Spots and smooth bodies on dark ground."""
    rng = np.random.default_rng(seed)
    found = np.zeros(shape, np.float32)
    spots = int(np.prod(shape)) // 400
    found[tuple(rng.integers(0, n, spots) for n in shape)] = rng.uniform(20, 60, spots)
    bodies = gaussian_filter(rng.normal(size=shape), [min(5, n / 6) for n in shape])
    return gaussian_filter(found, 0.8) + np.clip(bodies / bodies.std(), 0, None).astype(np.float32)


def measured(shape, psf, *, light=100.0, gain=2.0, offset=90.0, read=4.0, seed=0):
    """What a camera makes of the scene, and what it would without blur and noise."""
    rng = np.random.default_rng(seed)
    clean = scene(shape, seed=seed)
    clean *= light / np.percentile(clean, 99)
    kernel = psfs.parse(psf, ndim=len(shape))
    with torch.inference_mode():
        blurred = Blur(kernel)(torch.from_numpy(clean)[None, None])[0, 0].numpy()
    noisy = gain * rng.poisson(blurred.clip(0)) + rng.normal(offset, read, shape)
    return noisy.astype(np.float32), gain * clean + offset


def psnr(x, truth):
    return 10 * np.log10(np.ptp(truth) ** 2 / np.mean((np.asarray(x) - truth) ** 2))


TILES = [
    ("gaussian:1.5", "total_variation", (131, 150), (40, 48)),
    (LOPSIDED, "hessian", (131, 117), (40, 48)),
    ("motion:5,30", "total_variation", (101, 150), (64, 48)),
    ("gaussian:0.6,1,1", "hessian", (31, 53, 60), (8, 24, 20)),
]


@pytest.mark.parametrize(("psf", "prior", "shape", "tile"), TILES, ids=["round", "lopsided", "motion", "stack"])
def test_tiles_are_the_whole_to_a_thousandth_of_the_noise(psf, prior, shape, tile, tmp_path):
    y, _ = measured(shape, psf)
    given = {"iterations": 12, "weight": 0.004, "prior": prior}
    model = train(y, "richardson_lucy", psf=psf, **given, axes="ZYX"[-len(shape) :])
    options = {"axes": "ZYX"[-len(shape) :]}
    whole = np.asarray(restore(y, model, **options))
    tiled = np.asarray(restore(y, model, tile=tile, **options))
    noise = float(np.sqrt(model.method.undoes.noise[0].at(y).mean()))
    assert np.abs(tiled - whole).max() < 1e-3 * noise
    region = {"Y": (13, 50), "X": (7, 50)}
    part = np.asarray(restore(y, model, region=region, **options))
    assert np.abs(part - whole[..., 13:50, 7:50]).max() < 1e-3 * noise


def halo():
    """A long lopsided PSF: a spot and a fainter one beside it."""
    far = np.zeros((31, 31))
    far[15, 15], far[9, 19] = 1, 0.4
    return psfs.inline(gaussian_filter(far, 2.5) / 1.4)


def test_an_image_seen_whole_is_read_without_surroundings():
    even, lopsided, long = (
        build_method("richardson_lucy", {"psf": psf}, spatial="YX", channels=1)
        for psf in ("gaussian:2", LOPSIDED, halo())
    )
    assert even.border == (0, 0) and min(even.radius) > 12
    assert lopsided.border == lopsided.radius
    assert all(b == 3 * m < r for b, m, r in zip(long.border, long.endless.margin, long.radius, strict=True))


@pytest.mark.parametrize("name", ["richardson_lucy", "learned_richardson_lucy"])
@pytest.mark.parametrize("psf", ["gaussian:0.6,1,1", "gaussian:0.3,1,1"])
def test_a_plane_in_view_is_that_of_the_whole_and_reads_no_more_than_it(name, psf, monkeypatch):
    y, _ = measured((9, 40, 44), "gaussian:0.6,1,1")
    image, method = open_image(y, axes="ZYX"), build_method(name, {"psf": psf}, spatial="ZYX", channels=1).eval()
    given = {"normalisation": Normalisation((0.0,), (1.0,)), "device": torch.device("cpu")}
    whole = restore_region(method, image, Region.of_shape(y.shape), **given)
    seen, plain = [], type(method).restore
    monkeypatch.setattr(type(method), "restore", lambda self, x: (seen.append(tuple(x.shape)), plain(self, x))[1])
    plane = Region((4, 0, 8), (5, 40, 30))
    np.testing.assert_allclose(restore_region(method, image, plane, **given), whole[plane.slices], rtol=1e-5, atol=1e-3)
    assert all(n <= m for n, m in zip(seen[0][2:], y.shape, strict=True))


def test_tiles_of_a_long_lopsided_psf_are_the_whole_away_from_the_border():
    y, _ = measured((131, 117), halo())
    model = train(y, "richardson_lucy", psf=halo(), iterations=8, weight=0.004, axes="YX")
    whole, tiled = (np.asarray(restore(y, model, axes="YX", tile=tile)) for tile in (None, (40, 48)))
    off = np.abs(tiled - whole) / float(np.sqrt(model.method.undoes.noise[0].at(y).mean()))
    assert off.max() < 0.1 and off[20:-20, 20:-20].max() < 2e-3


def test_nothing_is_trained_and_the_file_holds_all(tmp_path):
    y, truth = measured((96, 100), "gaussian:1.5")
    events = []
    run = deblur_events(y, psf="gaussian:1.5", effort="instant", axes="YX", save_model=tmp_path / "m.safetensors")
    while True:
        try:
            events.append(next(run))
        except StopIteration as end:
            result = end.value
            break
    assert not [event for event in events if isinstance(event, TrainingStarted | Measured | Checkpointed)]
    assert result.suffix == "deblurred" and psnr(result, truth) > psnr(y, truth) + 1
    kept = load_model(tmp_path / "m.safetensors")
    assert kept.method.config == result.model.method.config and not list(kept.method.parameters())
    assert np.array_equal(np.asarray(restore(y, kept, axes="YX")), np.asarray(result))
    by_name = deblur(y, psf="gaussian:1.5", method="richardson_lucy", axes="YX")
    assert np.array_equal(np.asarray(by_name), np.asarray(result))


def test_units_of_the_image_do_not_matter():
    y, _ = measured((96, 100), "gaussian:1.5")
    one = np.asarray(deblur(y, psf="gaussian:1.5", effort="instant", axes="YX"))
    for factor, pedestal in ((0.01, -3.0), (250.0, 2000.0)):
        other = np.asarray(deblur(factor * y + pedestal, psf="gaussian:1.5", effort="instant", axes="YX"))
        # Photons are tossed into one half or the other: those on the edge of a whole one may go elsewhere.
        assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.999
        assert np.abs((other - pedestal) / factor - one).mean() < 0.02 * np.ptp(one)


@pytest.mark.parametrize(("psf", "shape"), [("gaussian:1.5", (112, 112)), ("gaussian:0.8,1.5,1.5", (12, 48, 48))])
@pytest.mark.parametrize("light", [20, 400])
def test_what_is_chosen_without_the_truth_is_nearly_the_best(psf, shape, light):
    y, truth = measured(shape, psf, light=light, gain=1.0, read=1.0, seed=5)
    model = train(y, "richardson_lucy", psf=psf, axes="ZYX"[-len(shape) :])
    (scale,) = model.method._scales
    photons = scale.photons(torch.from_numpy(y))[None, None]
    scores = {}
    with torch.inference_mode():
        for prior, weight in [(p, w) for p in thinning.PRIORS[len(shape)] for w in thinning.WEIGHTS[p]]:
            estimates = updates_of(
                photons,
                model.method.endless,
                start=torch.full_like(photons, scale.level),
                weight=weight,
                prior=prior,
                background=scale.background,
                accelerated=True,
            )
            for done, x in enumerate(islice(estimates, max(scale.updates, 24)), 1):
                scores[done, weight, prior] = psnr(x[0, 0].numpy() * scale.photon + scale.dark, truth)
    assert scores[scale.updates, scale.weight, scale.prior] > max(scores.values()) - 0.8
    assert max(scores.values()) > psnr(y, truth) + 1


@pytest.mark.parametrize("losses", [(9, 3, 2.5, 3.9, 2, 7, 1), (2, 2, 2, 2), (5, 1), (1, 9, 0)])
def test_of_settings_that_are_alike_the_smoothest_is_taken(losses):
    asked = []

    def series(weight):
        for done, loss in enumerate(losses, 1):
            asked.append(weight)
            yield thinning.Tried(done, weight), (loss + 100 * abs(weight - 3) * (abs(weight - 3) > 1),)

    least, found = thinning._smoothest(series, (5, 4, 3, 2, 1, 0, 6), alike=2.0, late=True, first=40)
    assert found.weight == 4 and 0 not in asked and 6 not in asked
    seen = losses[: next((n for n in range(len(losses)) if losses[n] > min(losses[: n + 1]) + 2), len(losses))]
    assert least == min(seen) and found.updates == max(n for n, loss in enumerate(seen, 1) if loss <= least + 2)
    _, soonest = thinning._smoothest(series, (5, 4, 3, 2), alike=2.0, late=False, first=40)
    assert losses[soonest.updates - 1] == min(seen)


def test_the_weight_that_is_taken_goes_on_for_as_long_as_it_gains():
    asked = dict.fromkeys((1, 2, 3), 0)

    def series(weight, *, turn, gain):
        for done in range(1, 101):
            asked[weight] = done
            yield thinning.Tried(done, weight), (abs(done - turn) * gain + 100 * abs(weight - 2),)

    def found(**course):
        return thinning._smoothest(partial(series, **course), tuple(asked), alike=2.0, late=False, first=20)

    assert found(turn=60, gain=3) == (0, thinning.Tried(60, 2)) and asked == {1: 20, 2: 61, 3: 20}
    assert found(turn=99, gain=0.1)[1].updates == 20 and asked[2] == 20, "that is no gain"
    assert found(turn=10, gain=3)[1].updates == 10 and asked[2] == 11


@pytest.mark.parametrize("lit", [0.0, 0.9])
def test_without_light_is_what_dark_ground_has_however_noisy(lit):
    rng = np.random.default_rng(0)
    planes = [rng.normal(100, 8, (90, 101)).astype(np.float32) for _ in range(4)]
    for plane in planes:
        plane[: round(lit * 90)] += rng.uniform(20, 200)
        plane[-1, 3:9] = np.nan
    assert richardson_lucy._darkest(planes) == pytest.approx(100, abs=1)
    assert richardson_lucy._darkest([np.full((1, 7), 5.0), np.full((3, 3), np.nan)]) == pytest.approx(5)
    assert richardson_lucy._darkest([np.full((3, 3), np.nan)]) == 0


@pytest.mark.parametrize("share", [0.5, 0.8])
def test_two_parts_have_all_photons_and_say_nothing_of_each_others_noise(share):
    rng = np.random.default_rng(0)
    counts = torch.from_numpy(rng.poisson(6.3, (1, 1, 200, 250)).astype(np.float32)) + 0.25
    one, other = thinning.thinned(counts, share, rng)
    assert float((one + other - counts).abs().max()) <= 0.75
    assert float((one + other).mean()) == pytest.approx(float(counts.mean()), abs=0.01)
    assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.02
    assert float(one.mean()) == pytest.approx(share * float(counts.mean()), rel=0.01)


def test_what_is_given_is_taken_and_channels_are_each_by_itself():
    one, _ = measured((48, 52), "gaussian:1", seed=1)
    two = 3 * measured((48, 52), "gaussian:1", seed=2, light=20)[0]
    given = {"psf": "gaussian:1", "iterations": 7, "weight": 0.01, "offset": 85.0, "noise": 5.0, "prior": "hessian"}
    both = deblur(np.stack([one, two]), method="richardson_lucy", axes="CYX", **given)
    assert both.model.method.config.updates == (7, 7) and both.model.method.config.dark == (85.0, 85.0)
    assert both.model.method.config.priced == ("hessian", "hessian")
    alone = deblur(two, method="richardson_lucy", axes="YX", **given)
    assert np.abs(np.asarray(both)[1] - np.asarray(alone)).max() < 1e-3 * np.ptp(two)
    assert float(np.asarray(alone).min()) >= 85.0 - 1e-2


@pytest.mark.parametrize("name", ["richardson_lucy", "wiener"])
@pytest.mark.parametrize("case", ["constant", "not finite", "negative", "no noise"])
def test_images_that_are_odd_come_out_finite(name, case):
    y = measured((48, 52), "gaussian:1")[0]
    if case == "constant":
        y = np.full_like(y, 7.0)
    elif case == "not finite":
        y[3:9, 5] = np.nan
    elif case == "negative":
        y = y - 5000
    else:
        y = gaussian_filter(scene((48, 52)), 1)
    noise = 1.0 if case in ("constant", "no noise") else "auto"
    result = np.asarray(deblur(y, psf="gaussian:1", method=name, noise=noise, axes="YX"))
    assert np.array_equal(np.isfinite(result), np.isfinite(y))
    if case == "constant":
        assert np.allclose(result, 7.0, atol=0.05)


def test_it_stops_in_the_middle_of_a_tile_and_of_a_choice():
    y, _ = measured((64, 64), "gaussian:1")
    model = train(y, "richardson_lucy", psf="gaussian:1", iterations=5, axes="YX")
    method = model.method
    asked = []
    method.stopping = lambda: len(asked) > 2 or bool(asked.append(1))
    with pytest.raises(Interrupted):
        method.restore(torch.zeros(1, 1, 40, 40))
    assert len(asked) == 3
    stop = threading.Event()
    stop.set()
    with pytest.raises(InterruptedWorkError):
        deblur(y, psf="gaussian:1", effort="instant", axes="YX", stop=stop)


def test_a_stopped_restoration_keeps_its_tiles_and_goes_on(tmp_path):
    y, _ = measured((96, 100), "gaussian:1")
    options = {"axes": "YX", "tile": (32, 50), "output": tmp_path / "o.ome.zarr"}
    model = train(y, "richardson_lucy", psf="gaussian:1", iterations=5, axes="YX")
    stop = threading.Event()
    seen = iter(range(100))
    restore_method = richardson_lucy.RichardsonLucy._deconvolved

    def slow(self, photons, scale):
        if next(seen) >= 3:
            stop.set()
        return restore_method(self, photons, scale)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(richardson_lucy.RichardsonLucy, "_deconvolved", slow)
        assert not restore(y, model, stop=stop, **options).complete
    whole = restore(y, model, **options)
    assert whole.complete
    assert np.array_equal(np.asarray(whole), np.asarray(restore(y, model, axes="YX", tile=(32, 50))))


def test_tiles_of_other_settings_are_not_kept(tmp_path):
    y, _ = measured((96, 100), "gaussian:1")
    options = {"axes": "YX", "tile": (32, 50), "output": tmp_path / "o.ome.zarr"}
    one, other = (train(y, "richardson_lucy", psf="gaussian:1", iterations=n, weight=0.0, axes="YX") for n in (5, 6))
    job = submit("restore", y, one, **options)
    stop = threading.Event()
    job.result()
    (tmp_path / "o.ome.zarr").rename(tmp_path / "done.ome.zarr")
    for event in restore_events_until(y, one, stop, **options):
        del event
    with pytest.raises(RestoreError, match="overwrite"):
        restore(y, other, **options)


def restore_events_until(y, model, stop, **options):
    from napari_restore import restore_events

    for event in restore_events(y, model, stop=stop, **options):
        if type(event).__name__ == "TileDone":
            stop.set()
        yield event


def test_what_is_in_view_is_shown_before_settings_are_chosen_and_after(monkeypatch):
    y, _ = measured((12, 40, 44), "gaussian:0.6,1,1")
    region = Region((5, 3, 0), (6, 40, 30))
    told = []
    plain = RichardsonLucy._best
    monkeypatch.setattr(RichardsonLucy, "_best", lambda *a: (told.append("chosen"), plain(*a))[1])
    asked = {"psf": "gaussian:0.6,1,1", "effort": "instant", "axes": "ZYX", "preview": PreviewRequest(region)}
    for event in deblur_events(y, **asked):
        told += [event] if isinstance(event, Preview) else []
        if len(told) == 3:
            break
    before, chosen, after = told
    assert chosen == "chosen" and before.step == after.step == 0
    for shown in (before, after):
        assert shown.region == region and shown.pixels.shape == region.shape
        assert shown.pixels.std() > y[region.slices].std() and shown.pixels.mean() == pytest.approx(y.mean(), rel=0.2)
    assert not np.array_equal(before.pixels, after.pixels)


def test_a_first_picture_waits_for_no_plan_of_memory(monkeypatch):
    y, _ = measured((12, 40, 44), "gaussian:0.6,1,1")
    monkeypatch.setattr(run, "check_restoring", lambda *_: pytest.fail("the plan came first"))
    asked = {"psf": "gaussian:0.6,1,1", "axes": "ZYX", "preview": PreviewRequest(Region((5, 3, 0), (6, 40, 30)))}
    assert next(event for event in deblur_events(y, **asked) if isinstance(event, Preview)).step == 0


def test_planning_tells_what_choosing_takes():
    """By one weight, and what waits where none is worse: no less than is taken, and not many times as much."""
    y, _ = measured((12, 40, 44), "gaussian:0.6,1,1")
    image = open_image(y, axes="ZYX")
    fit = RichardsonLucy.fit_to(RichardsonLucy.Config(psf="gaussian:0.6,1,1"), [image])
    method = build_method("richardson_lucy", fit.config, spatial="ZYX", channels=1)
    chosen = partial(method.chosen, [image], rng=np.random.default_rng(0), stopping=lambda: False)
    assert 0.9 * peak_of(chosen) < method.choosing_bytes([image]) < 3 * peak_of(chosen)
    given = replace(fit.config, iterations=5, weight=0.01, prior="hessian")
    assert build_method("richardson_lucy", given, spatial="ZYX", channels=1).choosing_bytes([image]) == 0


def test_without_training_there_is_only_what_needs_none():
    y, _ = measured((48, 52), "gaussian:1")
    with pytest.raises(RestoreError, match="denoise has to be trained: give quick, normal or thorough"):
        from napari_restore import denoise

        denoise(y, effort="instant")
    with pytest.raises(RestoreError, match="SURE has to be trained"):
        deblur(y, psf="gaussian:1", method="sure", effort="instant")
    with pytest.raises(RestoreError, match="give its `psf`"):
        train(y, "richardson_lucy", axes="YX")
    assert deblur(y, psf="gaussian:1", method="wiener", effort="instant", axes="YX").complete
