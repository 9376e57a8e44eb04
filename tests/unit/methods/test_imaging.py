"""Every method that undoes an operator, and finer planes: what the loop, the tiler and the store count on."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from napari_restore import methods
from napari_restore.core.errors import ImageError, RestoreError
from napari_restore.core.region import Region
from napari_restore.losses.recorruption import split
from napari_restore.methods import imaging
from napari_restore.methods.apply import restore_region
from napari_restore.methods.classical import Classical
from napari_restore.methods.finer_planes import FinerPlanes
from napari_restore.methods.imaging import Imaging
from napari_restore.methods.method import Batch, Method
from napari_restore.operators import psf as psfs
from napari_restore.sources import open_image
from napari_restore.store.model import Model, build_method, load_model

CPU = torch.device("cpu")
TINY = {"width": 4, "blocks": 1}
IMAGING = [name for name in methods.names() if issubclass(methods.find(name), Imaging) and methods.listed(name).learns]
INLINE = psfs.inline(psfs.motion(4, 30))

# What is undone, and the image it is undone in.
CASES = {
    "finer": ({"factor": 2}, (40, 44), "YX"),
    "blurred": ({"psf": "gaussian:1.2"}, (40, 44), "YX"),
    "blurred and finer": ({"psf": "gaussian:1.5", "factor": 2}, (40, 44), "YX"),
    "moved": ({"psf": INLINE}, (40, 44), "YX"),
    "one axis": ({"factor": {"X": 3}}, (32, 36), "YX"),
    "stack": ({"factor": {"Z": 2}}, (5, 32, 36), "ZYX"),
    "blurred stack": ({"psf": "gaussian:0.7,1,1"}, (8, 24, 28), "ZYX"),
    "channels": ({"factor": 2}, (2, 40, 44), "CYX"),
}
EVERY = [
    *((name, case) for name in IMAGING for case in ("finer", "blurred")),
    *(("scale_equivariant", case) for case in CASES if case not in ("finer", "blurred")),
    ("finer_planes", "planes"),
]
CASES["planes"] = ({"factor": {"Z": 2}}, (5, 68, 72), "ZYX")
ONE_EACH = [*(("sure", case) for case in CASES if case != "planes"), ("finer_planes", "planes")]


def noisy(shape, axes=None, *, seed=0, sigma=4.0):
    """A smooth picture under white noise."""
    rng = np.random.default_rng(seed)
    along = np.meshgrid(*[np.arange(n) for n in shape], indexing="ij")
    signal = 100 + 20 * np.sin(along[-1] / 5) * np.cos(along[-2] / 6)
    return open_image((signal + sigma * rng.normal(size=shape)).astype(np.float32), axes=axes)


def fitted(name, image, **settings):
    kind = methods.find(name)
    blurs = {"psf": "gaussian:1", "second_psf": "gaussian:1.5"} if name == "two_exposures" else {}
    fit = kind.fit_to(methods.configure(name, {**TINY, **blurs, **settings}), [image])
    torch.manual_seed(0)
    return fit, build_method(name, fit.config, spatial=fit.spatial, channels=image.geometry.length("C"))


def made(name, case, **settings):
    """The image of a case, what was found out about it, and a fresh method."""
    given, shape, axes = CASES[case]
    image = noisy(shape, axes)
    return image, *fitted(name, image, **{**given, **settings})


def shaken(method):
    """Weights as after training: none of them zero."""
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in method.network.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    return method.eval()


def pixels_of(image, fit, method):
    """All of the image ``(1, C, *S)`` in units of its deviation, cut to the grid."""
    pixels = image.read()
    channels = pixels if "C" in image.axes else pixels[None]
    cut = tuple(slice(0, n // g * g) for n, g in zip(channels.shape[1:], method.grid, strict=True))
    return torch.from_numpy(fit.normalisation.apply(channels[None])[(..., *cut)].copy())


def batch_of(image, fit, method, *, seed=5):
    pixels = pixels_of(image, fit, method)
    target = torch.ones(1, 1, *pixels.shape[2:], dtype=torch.bool)
    partner = None
    if method.listed.needs:
        rate = method.rate if "target" in method.listed.needs else (1,) * len(method.rate)
        fine = [n * r for n, r in zip(pixels.shape[2:], rate, strict=True)]
        partner = torch.randn(*pixels.shape[:2], *fine, generator=generator(seed))
    return Batch(pixels, target, None, partner)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("name", "case"), EVERY)
def test_a_few_steps_reach_every_weight(name, case):
    """The last layer begins at zero, so the first step moves that one alone."""
    image, fit, method = made(name, case)
    batch = batch_of(image, fit, method)
    optimizer = torch.optim.AdamW(method.parameters(), lr=1e-2)
    for step in range(3):
        loss = method(batch, generator(step))
        assert loss.shape == () and torch.isfinite(loss)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    for where, weight in method.named_parameters():
        assert torch.isfinite(weight.grad).all(), where
        assert weight.grad.abs().max() > 0, where


@pytest.mark.parametrize(("name", "case"), EVERY)
def test_an_untrained_network_adds_nothing_to_the_start_from_physics(name, case):
    image, fit, method = made(name, case)
    pixels = pixels_of(image, fit, method)
    with torch.no_grad():
        restored, plain = method.restore(pixels), method.plain(pixels.flatten(0, 1)[:, None])
    fine = tuple(n * r for n, r in zip(pixels.shape[2:], method.rate, strict=True))
    assert restored.shape == (*pixels.shape[:2], *fine)
    assert torch.allclose(restored.flatten(0, 1)[:, None], plain, atol=2e-5)
    assert restored.std() > 0.3


@pytest.mark.parametrize(("name", "case"), ONE_EACH)
def test_the_start_from_physics_is_linear_and_keeps_constants(name, case):
    image, fit, method = made(name, case)
    pixels = pixels_of(image, fit, method).flatten(0, 1)[:, None]
    expected = -3 * method.plain(pixels) + 2
    assert torch.allclose(method.plain(-3 * pixels + 2), expected, atol=1e-4)
    assert torch.allclose(method.plain(torch.full_like(pixels, 7)), torch.tensor(7.0), atol=1e-4)


@pytest.mark.parametrize(("name", "case"), ONE_EACH)
def test_no_restored_pixel_looks_farther_than_the_radius(name, case):
    image, _, method = made(name, case)
    shaken(method)
    spatial = len(method.spatial)
    size = [-(-(2 * r + 3 * g) // g) * g for r, g in zip(method.radius, method.grid, strict=True)]
    assert size[-1] < 160
    pixels = torch.randn(1, image.geometry.length("C"), *size, generator=generator(), requires_grad=True)
    restored = method.restore(pixels)
    middle = [n // 2 // g * g for n, g in zip(size, method.grid, strict=True)]
    # The restored pixels of one step of the grid: every phase there is.
    box = [slice(m * r, (m + g) * r) for m, g, r in zip(middle, method.grid, method.rate, strict=True)]
    weights = torch.rand(restored[(..., *box)].shape, generator=generator(2))
    (seen,) = torch.autograd.grad((restored[(..., *box)] * weights).sum(), pixels)
    reach = seen.abs().amax((0, 1)) > 1e-7 * seen.abs().max()
    for axis in range(spatial):
        found = reach.any([a for a in range(spatial) if a != axis]) if spatial > 1 else reach
        where = found.nonzero()
        first, last = int(where.min()), int(where.max())
        assert first >= middle[axis] - method.radius[axis], "more than it says"
        assert last < middle[axis] + method.grid[axis] + method.radius[axis], "more than it says"
        assert last - first > method.radius[axis] // 2, "far less than it says: halos cost time"


TILED = [
    ("sure", {"factor": 2}, (62, 75), "YX", (13, 9), (30, 44)),
    ("sure", {"psf": "gaussian:1"}, (122, 117), "YX", (51, 31), (70, 66)),
    ("sure", {"psf": "gaussian:1.5", "factor": 2}, (62, 75), "YX", (13, 9), (30, 44)),
    ("sure", {"factor": {"Z": 2}}, (25, 50, 57), "ZYX", (3, 21, 17), (5, 29, 40)),
    ("finer_planes", {"factor": {"Z": 3}}, (9, 77, 81), "ZYX", (2, 31, 31), (4, 50, 61)),
    ("finer_planes", {"factor": {"Z": 2}, "thickness": 0}, (9, 67, 71), "ZYX", (2, 31, 31), (4, 50, 61)),
    ("finer_planes", {"factor": {"Z": 2}, "profile": "gaussian"}, (9, 67, 71), "ZYX", (2, 31, 31), (4, 50, 61)),
]


@pytest.mark.parametrize(("name", "given", "shape", "axes", "start", "stop"), TILED)
def test_a_part_restored_alone_is_that_part_of_the_whole(name, given, shape, axes, start, stop):
    image = noisy(shape, axes)
    fit, method = fitted(name, image, **given)
    shaken(method)
    region, options = Region(start, stop), {"normalisation": fit.normalisation, "device": CPU}
    whole = restore_region(method, image, Region.of_shape(shape), **options)
    part = restore_region(method, image, region, **options)
    assert whole.shape == tuple(n * r for n, r in zip(shape, method.rate, strict=True))
    fine = whole[region.scale(method.rate).slices]
    assert part.shape == fine.shape
    assert np.abs(part - fine).max() < 1e-4 * whole.std()
    assert np.abs(part - whole[tuple(slice(0, n) for n in part.shape)]).max() > whole.std(), "it is the same everywhere"


def test_restoring_copies_give_the_same_pixels():
    for name, case in ONE_EACH:
        image, fit, method = made(name, case)
        pixels = pixels_of(image, fit, shaken(method))
        with torch.no_grad():
            assert torch.allclose(method.for_restoring().restore(pixels), method.restore(pixels), atol=1e-5)


@pytest.mark.parametrize("name", ["sure", "finer_planes"])
def test_channels_do_not_see_each_other(name):
    image = noisy((5, 2, 64, 64), "ZCYX") if name == "finer_planes" else noisy((2, 24, 28), "CYX")
    _, method = fitted(name, image, factor=2)
    shaken(method)
    pixels = torch.randn(1, 2, *([4] if name == "finer_planes" else []), 16, 24, generator=generator())
    changed = pixels.clone()
    changed[:, 1] += 1
    with torch.no_grad():
        before, after = method.restore(pixels), method.restore(changed)
    assert torch.equal(before[:, 0], after[:, 0])
    assert not torch.allclose(before[:, 1], after[:, 1])


@pytest.mark.parametrize("name", ["sure", "finer_planes"])
def test_each_channel_has_the_noise_of_its_own(name):
    shape, axes = ((5, 64, 64), "ZYX") if name == "finer_planes" else ((64, 64), "YX")
    two = np.stack([noisy(shape, sigma=s, seed=int(s)).read() * 3 for s in (1.0, 8.0)], axes.index("Y"))
    image = open_image(two, axes=axes.replace("Y", "CY"))
    fit, method = fitted(name, image, factor=2)
    assert fit.config.sigma[1] > 3 * fit.config.sigma[0]
    quiet, loud = (s / d for s, d in zip(fit.config.sigma, fit.config.std, strict=True))
    like = torch.zeros(6, 1, 64, 64)
    if name == "finer_planes":
        drawn = method._noise(3, 2, like=like) * torch.randn(6, 1, 64, 64, generator=generator())
    else:
        drawn = method.noise(like).sample(like, generator())
    for i, sample in enumerate(drawn):  # B * C, the channel the faster one
        assert sample.std().item() == pytest.approx(loud if i % 2 else quiet, rel=0.1)


@pytest.mark.parametrize(
    ("name", "case", "settings"),
    [
        ("sure", "moved", {}),
        ("sure", "finer", {}),
        ("scale_equivariant", "blurred", {"risk": "correlated"}),
        ("scale_equivariant", "stack", {}),
        ("supervised", "channels", {}),
        ("finer_planes", "planes", {}),
    ],
)
def test_a_model_from_disk_restores_to_the_same_bits(name, case, settings, tmp_path):
    image, fit, method = made(name, case, **settings)
    if covariance := getattr(method.config, "covariance", ()):
        assert len(covariance) > 1
    batch = batch_of(image, fit, method)
    method.train()(batch, generator())  # what a step changes besides weights is kept, too
    model = Model(name, shaken(method), fit.normalisation)
    loaded = load_model(model.save(tmp_path / "m.safetensors"))
    assert loaded.method.config == method.config
    assert (loaded.method.rate, loaded.method.centred) == (method.rate, method.centred)
    region, options = Region.of_shape(image.shape), {"normalisation": loaded.normalisation, "device": CPU}
    kept, mine = (restore_region(m.method.for_restoring(), image, region, **options) for m in (loaded, model))
    assert kept.tobytes() == mine.tobytes()
    assert np.isfinite(kept).all()
    with torch.no_grad():
        assert loaded.method(batch, generator(3)) == method(batch, generator(3))


@pytest.mark.parametrize(("name", "case"), EVERY)
def test_a_settled_config_survives_json(name, case):
    _, fit, _ = made(name, case)
    assert methods.configure(name, json.loads(json.dumps(asdict(fit.config)))) == fit.config
    assert fit.config.sigma and fit.config.mean and fit.config.std
    assert fit.config.mean == fit.normalisation.mean and fit.config.std == fit.normalisation.std


WRONG = [
    ({"factor": 0}, "factor 0 along Y: give a whole number from 1 to 8"),
    ({"factor": 9}, "factor 9 along Y: give a whole number from 1 to 8"),
    ({"factor": -2}, "factor -2 along Y"),
    ({"factor": {"X": 0}}, "factor 0 along X"),
    ({"factor": {"T": 2}}, "axis T"),
    ({"factor": {"Q": 2}}, "axis Q"),
    ({"factor": {"Z": 2}}, "axis Z has 1 pixels.*at least 4 along Z"),
    ({"psf": "nonsense"}, "PSF 'nonsense': there is no such kind"),
    ({"psf": "gaussian:-1"}, "give numbers of 0 or more"),
    ({"psf": "gaussian:"}, "nothing follows"),
    ({"psf": "gaussian:1,2,2"}, "axis Z has 1 pixels"),
    ({"psf": "inline:3x3:AAAA"}, "cut short or changed"),
    ({"psf": "motion:3,0,0"}, "motion"),
]


@pytest.mark.parametrize(("given", "words"), WRONG, ids=[str(g) for g, _ in WRONG])
def test_what_cannot_be_undone_is_refused_on_one_line(given, words):
    with pytest.raises(RestoreError, match=words) as error:
        fitted("scale_equivariant", noisy((40, 44)), **given)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("shape", [(15, 60), (60, 15), (1, 300)])
def test_an_image_too_small_is_refused_on_one_line(shape):
    with pytest.raises(ImageError, match=r"axis [YX] has \d+ pixels.*at least 16.*`axes`") as error:
        fitted("sure", noisy(shape, "YX"), factor=2)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("shape", "given", "words"),
    [
        ((40, 44), {"psf": "gaussian:30"}, r"axis Y has 40 pixels, and a pixel sees 90 to either side: at least 184"),
        ((60, 38), {"psf": "gaussian:6"}, "axis X has 38 pixels, and a pixel sees 18"),
        ((60, 19), {"psf": "gaussian:6", "factor": 2}, r"axis X has 19 pixels.*smaller PSF"),
    ],
)
def test_an_image_smaller_than_the_blur_is_refused_before_training(shape, given, words):
    with pytest.raises(ImageError, match=words) as error:
        fitted("sure", noisy(shape), **given)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("shape", "given"), [((41, 43), {"psf": "gaussian:6"}), ((22, 23), {"psf": "gaussian:5", "factor": 2})]
)
def test_an_image_just_larger_than_the_blur_is_learned_from(shape, given):
    image = noisy(shape)
    fit, method = fitted("sure", image, **given)
    assert torch.isfinite(method(batch_of(image, fit, method), generator()))


@pytest.mark.parametrize(
    ("shape", "axes", "factor", "words"),
    [
        ((64, 64), "YX", 2, "at least 2 planes of 32 pixels"),
        ((1, 64, 64), "ZYX", 2, "at least 2 planes of 32 pixels"),
        ((9, 64, 31), "ZYX", 2, "at least 2 planes of 32 pixels"),
        ((9, 64, 64), "ZYX", 1, r"factor {'Z': 1}: .*from 2 to 8"),
        ((9, 64, 64), "ZYX", {"Z": 9}, r"factor {'Z': 9}: .*from 2 to 8"),
        ((9, 64, 64), "ZYX", {"Z": 2, "Y": 2}, "give Z alone"),
        ((9, 64, 64), "ZYX", {"T": 2}, "give Z alone"),
    ],
)
def test_planes_that_cannot_be_made_finer_are_refused_on_one_line(shape, axes, factor, words):
    with pytest.raises(RestoreError, match=words) as error:
        fitted("finer_planes", noisy(shape, axes), factor=factor)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("case", ["finer", "blurred", "stack"])
@pytest.mark.parametrize(
    "risk",
    [{"risk": "sure"}, {"risk": "r2r"}, {"risk": "correlated"}, {"gain": 0.5, "offset": 9.0}],
)
def test_every_way_to_fit_without_the_noise_takes_a_step(risk, case):
    image, fit, method = made("sure", case, **risk)
    loss = method.train()(batch_of(image, fit, method), generator())
    loss.backward()
    assert torch.isfinite(loss) and method.network.head.weight.grad.abs().max() > 0
    assert bool(fit.config.covariance) == (risk.get("risk") == "correlated")
    if "risk" in risk:
        assert fit.config.risk == risk["risk"]


def test_white_noise_is_fitted_by_its_level_and_correlated_noise_by_its_covariance():
    fit, white = fitted("sure", slope(0), factor=2)
    assert fit.config.risk == "sure" and fit.config.covariance == ()
    assert 5 < fit.config.sigma[0] < 7, "rounded up"
    assert not [n for n in fit.notes if n.level == "warning"]
    fit, method = fitted("sure", slope(1), factor=2)
    assert fit.config.risk == "correlated"
    assert any("correlated" in n.text and n.level == "warning" for n in fit.notes)
    matrix = np.array(fit.config.covariance)
    y, x = (n // 2 for n in matrix.shape)
    assert matrix[y, x] == matrix.max() == pytest.approx(25, rel=0.3)
    assert matrix[y, x + 1] / matrix[y, x] == pytest.approx(np.exp(-0.25), abs=0.1)
    like = torch.zeros(1, 1, 128, 128)
    for expected, each in ((np.exp(-0.25), method), (0.0, white)):
        noise = each.noise(like).sample(like, generator())[0, 0]
        found = torch.corrcoef(torch.stack([noise[:, 1:].flatten(), noise[:, :-1].flatten()]))[0, 1]
        assert found.item() == pytest.approx(expected, abs=0.1), "what is added in training"


def slope(blur):
    """Noise of deviation 5, blurred by so many pixels, on a gentle slope."""
    noise = np.random.default_rng(0).normal(size=(256, 256))
    if blur:
        noise = gaussian_filter(noise, blur)
    y, x = np.ogrid[:256, :256]
    return open_image((100 + 0.05 * (x + y) + 5 * noise / noise.std()).astype(np.float32))


def test_a_given_level_of_noise_is_taken_at_its_word():
    fit, method = fitted("sure", noisy((64, 64), sigma=5), factor=2, noise=2.5)
    assert fit.config.sigma == (2.5,)
    assert method.noise_levels == pytest.approx((2.5 / fit.config.std[0],))


def test_noise_of_photons_is_known_to_the_filter_that_undoes_the_blur():
    """Dark noise alone would leave the filter with nothing to hold it: it would show noise and nothing else."""
    rng = np.random.default_rng(0)
    truth = 200 + 150 * np.sin(np.arange(128) / 9)[:, None] * np.cos(np.arange(128) / 7)
    photons = rng.poisson(gaussian_filter(truth, 1.5, mode="reflect")).astype(np.float32)
    settings = {"psf": "gaussian:1.5", "gain": 1.0, "offset": 0.0, "noise": 0.01}
    fit, method = fitted("sure", open_image(photons), **settings)
    constants = fit.normalisation
    plain = method.plain(torch.from_numpy(constants.apply(photons[None, None]))).numpy()
    plain = plain * constants.std[0] + constants.mean[0]
    assert (plain[0, 0] - truth).std() < photons.std() / 2


@pytest.mark.parametrize("name", methods.METHODS)
def test_who_undoes_an_operator_says_so(name):
    method = methods.find(name)
    by_its_kind = issubclass(method, Imaging | Classical) or name == "distilled"  # what its teacher undoes
    assert (method.undoes is Method.undoes) == (not by_its_kind)


@pytest.mark.parametrize("case", [case for case in CASES if case != "planes"])
def test_what_is_undone_is_what_is_fitted_through(case):
    image, fit, method = made("sure", case, noise=4.0)
    undone = method.undoes
    assert undone.operator is method.operator
    assert undone.centred == method.centred
    assert (undone.psf is not None) == ("psf" in CASES[case][0])
    assert undone.covariance is None
    assert [noise.at(np.zeros(1)).item() for noise in undone.noise] == [16.0] * image.geometry.length("C")
    assert undone.step == fit.config.tau * fit.config.std[0]


def test_the_noise_of_what_is_undone_is_the_one_that_was_found():
    _, _, photons = made("sure", "blurred", noise=3.0, gain=2.0, offset=10.0)
    (told,) = photons.undoes.noise
    assert told.at(np.array([410.0])).item() == 3**2 + 2 * 400
    _, fit, correlated = made("sure", "blurred", risk="correlated", noise=4.0)
    assert np.array_equal(correlated.undoes.covariance, np.asarray(fit.config.covariance))


@pytest.mark.parametrize("name", ["sure", "scale_equivariant", "equivariant_shift", "equivariant_rotation"])
def test_a_second_acquisition_is_the_target_instead_of_an_estimate_of_the_noise(name, monkeypatch):
    image, fit, method = made(name, "finer")
    assert "second" in method.listed.takes
    shaken(method)
    batch = batch_of(image, fit, method)
    second = torch.randn(batch.pixels.shape, generator=generator(9))

    def never(*_, **__):
        raise AssertionError("the noise was estimated")

    for estimate in ("sure", "pg_sure", "recorrupted", "r2r"):
        monkeypatch.setattr(imaging, estimate, never)
    paired = batch._replace(partner=second)
    risk, _ = method.risk(method.restore, paired, generator())
    wanted, _ = split(method.restore, method.operator, batch.pixels, second, weight=batch.target)
    assert torch.equal(risk, wanted)
    assert torch.isfinite(method(paired, generator()))
    with pytest.raises(AssertionError, match="was estimated"):
        method(batch, generator())


def test_pixels_that_are_no_targets_do_not_count_in_the_risk():
    image, fit, method = made("sure", "finer")
    batch = batch_of(image, fit, method)
    target = batch.target.clone()
    target[..., 10:14, 20:30] = False
    second = torch.randn(batch.pixels.shape, generator=generator(9))
    wild = second.clone()
    wild[..., 10:14, 20:30] = 1e3
    losses = [method(Batch(batch.pixels, t, None, s), generator()) for t, s in ((target, second), (target, wild))]
    assert torch.equal(*losses)
    assert method(Batch(batch.pixels, batch.target, None, wild), generator()) > 1e3


TURNED = [
    ("sure", {"factor": 2}, True),
    ("sure", {"psf": "gaussian:1.2"}, True),
    ("sure", {"psf": INLINE}, False),
    ("sure", {"psf": "gaussian:1,2"}, False),
    ("sure", {"factor": {"X": 2}}, False),
    ("supervised", {"factor": 2}, True),
    ("supervised", {"factor": 2, "sampling": "point"}, False),
]


@pytest.mark.parametrize(("name", "given", "turns"), TURNED, ids=[f"{n} {sorted(g)}" for n, g, _ in TURNED])
def test_patches_are_turned_only_where_a_turned_scene_is_measured_alike(name, given, turns):
    assert fitted(name, noisy((40, 44)), **given)[1].turns is turns


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_finer_planes_keeps_thin_planes_bit_by_bit(factor):
    image = noisy((factor + 2, 16 * factor, 16 * factor + 5), "ZYX")
    fit, method = fitted("finer_planes", image, factor=factor, thickness=0)
    shaken(method)
    pixels = pixels_of(image, fit, method)
    with torch.no_grad():
        restored = method.restore(pixels)
    assert restored.shape[2] == factor * pixels.shape[2]
    assert torch.equal(restored[:, :, ::factor], pixels) and not method.centred[0]


@pytest.mark.parametrize("settings", [{"thickness": 1}, {"thickness": 0.6}, {"thickness": 1.2, "profile": "gaussian"}])
def test_thick_planes_are_the_mean_of_their_finer_ones_whatever_was_learned(settings):
    image = noisy((14, 48, 54), "ZYX")
    fit, method = fitted("finer_planes", image, factor=3, noise=0.0, **settings)
    shaken(method)
    pixels = pixels_of(image, fit, method)
    with torch.no_grad():
        restored = method.restore(pixels)
        side = pixels[:, 0].movedim(2, 1).flatten(0, 1)[:, None]
        free = method.network(side) + method.interpolate(side)
        seen, without = method.operator(restored.flatten(3)), method.operator(free)
    missed = (without - side).std()
    assert missed > 0.1, "the network would change nothing"
    assert (seen - pixels.flatten(3))[..., 4:-4, :].std() < 0.1 * missed and method.centred[0]


def test_noisy_planes_are_trusted_less():
    sharp, soft = (fitted("finer_planes", noisy((6, 48, 54), "ZYX"), factor=3, noise=n)[1] for n in (0.0, 20.0))
    y = torch.ones(1, 1, 6, 4)
    kept = [method.operator.consistent(torch.zeros(1, 1, 18, 4), y).mean().item() for method in (sharp, soft)]
    assert kept[0] > 0.97 and kept[1] < 0.5 * kept[0]


def test_patches_smaller_than_planes_are_apart_are_refused():
    image = noisy((4, 64, 68), "ZYX")
    _, method = fitted("finer_planes", image, factor=4)
    small = Batch(torch.zeros(2, 1, 1, 3, 8), torch.ones(2, 1, 1, 3, 8, dtype=torch.bool))
    with pytest.raises(RestoreError, match="planes are 4 pixels apart, so `patch` needs at least 4"):
        method(small, generator())


def test_finer_planes_learns_at_the_size_of_a_fine_plane():
    """Planes 2 apart made finer by two are 1 apart: 4 pixels of a quarter, as far as there are enough of them."""
    pixels = noisy((6, 136, 140), "ZYX").read()
    for size, units, expected in ((0.25, "um", 4), (0.01, "um", 4), (3.0, "um", 1), (0.25, None, 1)):
        sizes = {"Z": 2.0, "Y": size, "X": size} if units else None
        image = open_image(pixels, axes="ZYX", pixel_size=sizes)
        fit, method = fitted("finer_planes", image, factor=2)
        assert fit.config.pixels == (expected,)
        assert all(p <= n for p, n in zip(method.patch[1:], image.shape[1:], strict=True))
        loss = method(batch_of(image, fit, method), generator())
        assert torch.isfinite(loss) and loss > 0


@pytest.mark.parametrize(("factor", "size"), [(2, (66, 70)), (3, (100, 97)), (5, (168, 163)), (7, (228, 232))])
def test_finer_planes_learns_from_images_of_any_size(factor, size):
    """A patch in steps of the network's grid is none on the coarser copy."""
    image = noisy((factor + 1, *size), "ZYX")
    fit, method = fitted("finer_planes", image, factor=factor)
    loss = method(batch_of(image, fit, method), generator())
    loss.backward()
    assert torch.isfinite(loss) and method.network.head.weight.grad.abs().max() > 0


@pytest.mark.parametrize("fraction", [0.99, 0.01])
def test_finer_planes_has_a_loss_on_targets_and_on_held_out_pixels(fraction):
    image = noisy((7, 64, 68), "ZYX")
    fit, method = fitted("finer_planes", image, factor=2)
    batch = batch_of(image, fit, method)
    target = torch.rand(batch.target.shape, generator=generator()) < fraction
    with torch.no_grad():
        part, whole = method(batch._replace(target=target), generator()), method(batch, generator())
        nothing = method(batch._replace(target=torch.zeros_like(target)), generator())
    assert part.item() == pytest.approx(whole.item(), rel=0.2)
    assert nothing == 0


@pytest.mark.parametrize(("thickness", "first"), [(0, 0.0), (1, 1.5)])
def test_planes_are_in_the_middle_where_a_ramp_rises(thickness, first):
    """Cubic interpolation along Z is exact on a ramp: what is learned starts from the right place."""
    ramp = torch.arange(8.0)[None, None, :, None, None].expand(1, 1, 8, 8, 8).contiguous()
    method = FinerPlanes(
        methods.configure("finer_planes", {**TINY, "factor": 4, "thickness": thickness}), spatial="ZYX", channels=1
    )
    with torch.no_grad():
        between = method.restore(ramp)[0, 0, :, 0, 0]
    assert torch.allclose(between[10:22], (torch.arange(10, 22) - first) / 4, atol=1e-4)
