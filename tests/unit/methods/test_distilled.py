"""A copy: the student of every method, what it learns to give, and its file."""

import dataclasses
import json
from functools import partial

import numpy as np
import pytest
import torch

from napari_restore import methods
from napari_restore.core.errors import ModelError, RestoreError
from napari_restore.core.normalisation import Normalisation
from napari_restore.methods.distilled import Distilled, DistilledConfig
from napari_restore.methods.method import Batch
from napari_restore.methods.refining import stabilised
from napari_restore.methods.similar_patches import QUICK, by_similar_patches
from napari_restore.networks.features import learned_features
from napari_restore.sources import open_image
from napari_restore.store.model import Model, build_method, load_model
from napari_restore.store.weights import read_weights, write_weights

RNG = np.random.default_rng(0)
STACK = open_image(RNG.normal(100, 10, (4, 64, 64)).astype(np.float32), axes="ZYX")
FILLING = ("inpainting", "interpolation", "ssirn")
CASES = {
    **{name: {} for name in methods.METHODS if name not in (*FILLING, "careamics")},
    "scale_equivariant": {"factor": 2, "noise": 5.0},
    "supervised": {"psf": "gaussian:1", "noise": 5.0},
    "richardson_lucy": {"psf": "gaussian:1", "noise": 5.0},
    "wiener": {"psf": "gaussian:1", "noise": 5.0},
    "learned_richardson_lucy": {"psf": "gaussian:1", "noise": 5.0},
    "finer_planes": {"factor": {"Z": 2}, "noise": 5.0},
    "two_exposures": {"psf": "gaussian:1", "second_psf": "gaussian:2", "noise": 5.0},
    "dropout_unet": {"width": 8, "depth": 2},
    "posterior": {"noise": 10.0, "neighbours": 0},
    "noise2void2": {"neighbours": 0},
    "recorrupted": {"neighbours": 0},
}


def teacher(name: str):
    fit = methods.find(name).fit_to(methods.configure(name, CASES[name]), [STACK])
    return build_method(name, fit.config, spatial=fit.spatial, channels=1)


def copy_of(method, name: str, **settings) -> Distilled:
    student, settled = method.student(method.narrower)
    config = DistilledConfig(student=(student,), settled=tuple(settled.items()), teacher=(name,), **settings)
    copy = build_method("distilled", config, spatial=method.spatial, channels=method.channels, seed=1)
    assert isinstance(copy, Distilled)
    return copy


@pytest.mark.parametrize("name", CASES)
def test_every_method_has_a_student_that_gives_pixels_where_it_does(name):
    method = teacher(name)
    copy = copy_of(method, name)
    for fact in ("rate", "centred", "suffix", "spatial"):
        assert getattr(copy, fact) == getattr(method, fact), fact
    assert (copy.undoes is None) == (method.undoes is None)
    shape = [g * 4 for g in copy.grid]
    given = copy.restore(torch.zeros(1, 1, *shape))
    assert list(given.shape[2:]) == [n * r for n, r in zip(shape, copy.rate, strict=True)]
    learnt = sum(p.numel() for p in method.parameters())
    if learnt and method.narrower < 1 and name != "zero_shot":
        assert sum(p.numel() for p in copy.parameters()) < learnt
    again, settled = copy.student(1.0)
    assert methods.configure(again, settled), "a copy can be copied"


def shown(copy, pixels, partner):
    """What the network of a copy in training is shown."""
    seen = []
    copy.inner.networks[0].register_forward_pre_hook(lambda _, given: seen.append(given[0].detach().clone()))
    batch = Batch(pixels, torch.ones_like(pixels, dtype=torch.bool), None, partner)
    copy.train()(batch, torch.Generator().manual_seed(0))
    return seen[0]


@pytest.mark.parametrize("settings", [{"noise": 10.0}, {"noise": 10.0, "similar": "no"}])
def test_half_of_what_a_copy_sees_is_what_its_teacher_gave_with_such_noise_drawn_anew(settings):
    fit = methods.find("posterior").fit_to(methods.configure("posterior", {"neighbours": 0, **settings}), [STACK])
    method = build_method("posterior", fit.config, spatial=fit.spatial, channels=1)
    copy = copy_of(method, "posterior")
    pixels, partner = (torch.full((40, 1, 48, 52), value) for value in (1.0, 2.0))
    pixels[:, :, 5, 7] = 0  # what was not measured
    seen = shown(copy, pixels, partner)
    assert (seen[:, :, 5, 7] == 0).all()
    drawn = (seen != pixels).flatten(1).any(1)
    assert 10 <= drawn.sum() <= 30
    anew = (seen - partner)[drawn][:, pixels[0] != 0]
    assert abs(anew.mean()) < 0.01 * anew.std()
    assert anew.std() == pytest.approx(10 / fit.config.std[0], rel=0.02)


@pytest.mark.parametrize(("name", "settings"), [("posterior", {"combine": "no"}), ("noise2void2", {"similar": "no"})])
def test_where_the_noise_is_not_known_it_sees_the_image_alone(name, settings):
    fit = methods.find(name).fit_to(methods.configure(name, {"neighbours": 0, **settings}), [STACK])
    copy = copy_of(build_method(name, fit.config, spatial=fit.spatial, channels=1), name)
    pixels, partner = (torch.full((8, 1, 48, 52), value) for value in (1.0, 2.0))
    assert torch.equal(shown(copy, pixels, partner), pixels)


@pytest.mark.parametrize("name", FILLING)
def test_what_fills_gaps_has_none_and_says_so(name):
    settings = {"interpolation": {"dimensions": "2", "rule": "biharmonic"}, "inpainting": {"dimensions": "2"}}.get(
        name, {}
    )
    method = build_method(name, settings, spatial="YX", channels=1)
    with pytest.raises(RestoreError, match="cannot be distilled"):
        method.student(0.5)


@pytest.mark.parametrize("name", ["posterior", "noise2void2"])
@pytest.mark.parametrize("count", [1, 2])
def test_what_looks_at_neighbouring_planes_has_a_student_that_does_too(name, count):
    fit = methods.find(name).fit_to(methods.configure(name, {"neighbours": count}), [STACK])
    method = build_method(name, fit.config, spatial=fit.spatial, channels=1)
    copy = copy_of(method, name)
    for fact in ("spatial", "neighbours", "apart"):
        assert getattr(copy, fact) == getattr(method, fact), fact
    copy.split_from(method)
    with torch.no_grad():
        for weight in copy.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    pixels = torch.randn(2, 1, 2 * count + 1, 16, 24, requires_grad=True)
    (seen,) = torch.autograd.grad(copy.restore(pixels)[:, :, count].sum(), pixels)
    assert (seen.abs().amax((0, 1, 3, 4)) > 0).all(), "all planes are seen"
    ends = torch.ones(2 * count + 1, dtype=torch.bool)
    ends[count] = False
    wild = pixels.detach().clone()
    wild[:, :, ends] = 1e6
    target = torch.ones(2, 1, *pixels.shape[2:], dtype=torch.bool)
    losses = [copy(Batch(pixels, target, None, partner), torch.Generator()) for partner in (pixels, wild)]
    with torch.no_grad():
        assert losses[0] == losses[1] > 0, "planes that are only looked at are no targets"


@pytest.mark.parametrize("name", ["posterior", "recorrupted", "noise2void"])
def test_where_similar_patches_restore_what_a_teacher_gives_they_do_so_once_for_its_copy(name):
    method = teacher(name)
    found = (((0.7, 0.9), (0.4, 0.5)),)
    method.config = dataclasses.replace(method.config, alike=found, **UNEXPLAINED.get(name, {}))
    copy, alone = copy_of(method, name), copy_of(method, name, similar="no")
    alone.load_state_dict(copy.state_dict())
    signal = torch.linspace(-2, 3, 50)
    assert torch.allclose(copy.inner.noise_at(0, signal), method.noise_at(0, signal)), "their noise is the same"
    pixels = torch.from_numpy(RNG.normal(size=(1, 1, 40, 60))).float()
    with torch.inference_mode():
        once, noise = alone.restore(pixels), partial(method.noise_at, 0)
        more = by_similar_patches(
            pixels, once, noise, alike_in=stabilised(once, noise), spread=0.7, correlation=method.correlation(0),
            groups=QUICK,
        )  # fmt: skip
        assert torch.allclose(copy.restore(pixels), once.lerp(more, 0.9), atol=1e-6)
        assert torch.equal(copy.as_graph().restore(pixels), once)
    assert all(a > b for a, b in zip(copy.radius, alone.radius, strict=True)) and copy.full > alone.full == 0


def test_they_stay_where_they_bring_it_much_nearer_to_its_teacher():
    pixels = torch.from_numpy(RNG.normal(size=(3, 1, 40, 60))).float()
    whole = torch.ones(3, 1, 40, 60, dtype=torch.bool)
    method = teacher("posterior")
    found = []
    for share in (0.9, 0.0):
        copy = copy_of(method, "posterior").eval()
        with torch.inference_mode():
            once = copy.as_graph().restore(pixels)
            wanted = once.lerp(copy.restore(pixels), share) + 0.02 * torch.randn_like(once)
        copy.finish(Batch(pixels, whole, None, wanted))
        found.append(copy)
        again = build_method("distilled", copy.config, spatial="YX", channels=1)
        assert again.full == copy.full, "a model from its file is the same"
        with torch.inference_mode():
            apart = float((copy.restore(pixels) - wanted).square().mean())
        assert copy.config.unlike[0] == pytest.approx(apart, rel=1e-4)
    used, unused = found
    ((_, share),) = dict(used.config.settled)["alike"][0]
    assert used.full > 0 == unused.full and share == pytest.approx(0.9, abs=0.1)


UNEXPLAINED = {"posterior": {"unexplained": ((0.9, 0.3),)}}


def test_what_learns_from_clean_images_may_be_restored_by_similar_patches_too():
    kind = methods.find("supervised_denoising")
    used, unused = (kind.fit_to(kind.Config(similar=choice), [STACK]) for choice in ("auto", "no"))
    assert used.config.similar == "yes" and used.config.sigma[0] == pytest.approx(10, rel=0.1)
    assert unused.config.similar == "no" and not unused.config.sigma


def test_at_a_quarter_of_the_width_it_has_a_sixteenth_of_the_weights():
    method = build_method("supervised", {"factor": 2, "width": 48}, spatial="YX", channels=1)
    own, its = (sum(p.numel() for p in each.parameters()) for each in (method, copy_of(method, "supervised")))
    assert 15 < own / its < 17


def batch(seed: int = 0) -> Batch:
    pixels = torch.from_numpy(np.random.default_rng(seed).normal(size=(3, 1, 24, 32))).float()
    target = torch.ones(3, 1, 24, 32, dtype=torch.bool)
    target[..., :5] = False
    return Batch(pixels, target, None, 0.5 * pixels + 0.1)


def distance(restore, given: Batch) -> float:
    with torch.no_grad():
        return (restore(given.pixels) - given.partner).square()[..., 5:].mean().item()


@pytest.fixture
def copy() -> Distilled:
    copy = copy_of(teacher("posterior"), "posterior", contrast=0.5)
    copy.features = learned_features(batch(7).pixels)
    return copy


def gradient(copy: Distilled, seed: int = 0) -> torch.Tensor:
    copy.zero_grad()
    copy(batch(), torch.Generator().manual_seed(seed)).backward()
    return torch.cat([p.grad.flatten() for p in copy.parameters()])


def test_its_loss_is_the_squared_distance_of_its_network_to_the_teacher_where_that_counts(copy):
    given = batch()
    of_network = pytest.approx(distance(copy.as_graph().restore, given), rel=1e-5)
    assert distance(copy.restore, given) != of_network, "similar patches come after it"
    assert copy.eval()(given, torch.Generator()).item() == of_network
    noisier = given._replace(pixels=copy._with_fresh_noise(given, torch.Generator()))
    of_those = pytest.approx(distance(copy.as_graph().restore, noisier), rel=1e-5)
    assert copy.train()(given, torch.Generator()).item() == of_those != of_network


def test_the_contrast_is_learned_from_but_not_shown(copy):
    copy.train()
    with_contrast = gradient(copy)
    copy.features = None
    assert not torch.allclose(with_contrast, gradient(copy), rtol=1e-3)


def test_how_unlike_the_teacher_it_is_is_measured_at_the_end_and_the_features_go(copy):
    given = batch()
    copy.eval().finish(given)
    to_teacher, to_plain = copy.config.unlike
    assert to_teacher == pytest.approx(distance(copy.restore, given), rel=1e-5)
    assert to_plain == pytest.approx(float((given.pixels - given.partner).square()[..., 5:].mean()))
    assert copy.features is None


def test_its_file_knows_teacher_and_student_and_gives_the_same_pixels(tmp_path):
    method = teacher("scale_equivariant")
    copy = copy_of(method, "scale_equivariant").eval()
    copy.features = learned_features(batch().pixels)
    with torch.no_grad():
        for weight in copy.parameters():
            weight.normal_(0, 0.1)
    model = Model("distilled", copy, Normalisation((0.0,), (1.0,)))
    loaded = load_model(model.save(tmp_path / "copy.safetensors"))
    assert loaded.method.config == methods.configure(
        "distilled", json.loads(json.dumps(dataclasses.asdict(copy.config)))
    )
    assert loaded.method.label == "Distilled Scale-equivariant imaging"
    pixels = torch.randn(1, 1, 12, 16)
    assert torch.equal(loaded.method.restore(pixels), copy.restore(pixels))
    assert not [name for name in copy.state_dict() if "kernel" in name]
    assert copy.for_restoring().features is None and copy.features is not None


@pytest.mark.parametrize(
    "wrong",
    [
        {"student": ["distilled"]},
        {"student": ["wiener"], "settled": [["psf", "gaussian:1"]]},
        {"student": ["no_such_method"]},
        {"teacher": ["no_such_method"]},
        {"settled": [["width", 10**6]]},
        {"settled": [["sigma", [1.0, 2.0]]], "student": ["supervised"]},
        {"settled": [["no_such_setting", 1]]},
        {"settled": [["width"]]},
        {"settled": [[["width"], 4]]},
    ],
)
def test_a_file_that_names_what_cannot_be_is_refused(tmp_path, wrong):
    path = Model("distilled", copy_of(teacher("posterior"), "posterior"), Normalisation((0.0,), (1.0,))).save(
        tmp_path / "copy.safetensors"
    )
    card, tensors = read_weights(path)
    write_weights(path, tensors, {**card, "config": {**card["config"], **wrong}})
    with pytest.raises(ModelError):
        load_model(path)


def started(width: int) -> tuple[dict, dict]:
    """Weights of a teacher of 16 features, and of a copy of so many that begins with them."""
    method = build_method("supervised_denoising", {"width": 16, "blocks": 1}, spatial="YX", channels=1)
    with torch.no_grad():
        for weight in method.parameters():
            weight.normal_()
    settled = {"dimensions": "2", "width": width, "blocks": 1}
    config = DistilledConfig(student=("supervised_denoising",), settled=tuple(settled.items()))
    copy = build_method("distilled", config, spatial="YX", channels=1, seed=1)
    copy.split_from(method)
    return dict(method.named_parameters()), dict(copy.inner.named_parameters())


def test_it_begins_with_the_first_features_of_its_teacher_s_layers():
    theirs, mine = started(16)
    assert mine and all(torch.equal(mine[name], theirs[name]) for name in mine)
    theirs, half = started(8)
    name = "networks.0.bottom.0.first.weight"
    assert half[name].shape[:2] == (16, 16) and torch.allclose(half[name], theirs[name][:16, :16] * 2**0.5)
    assert not half["networks.0.head.weight"].any(), "the last layer begins at 0 unless it is whole"


def test_with_more_features_those_of_its_teacher_begin_as_they_are():
    theirs, mine = started(24)
    body = [name for name in mine if "head" not in name]
    for name in body:
        n, *m = theirs[name].shape[:2]
        assert torch.equal(mine[name][:n, : m[0]] if m else mine[name][:n], theirs[name]), name
        assert not m or not mine[name][:n, m[0] :].any(), "what the teacher has not counts for nothing in them"
    assert any(mine[name][theirs[name].shape[0] :].any() for name in body)


def test_a_copy_of_the_posterior_mean_is_wide_enough_for_what_four_passes_give():
    method = teacher("posterior")
    copy = copy_of(method, "posterior")
    assert dict(copy.config.settled)["width"] == 24 > method.config.width
    copy.split_from(method)
    theirs, mine = dict(method.named_parameters()), dict(copy.inner.named_parameters())
    assert torch.equal(mine["networks.0.stem.weight"][:16], theirs["networks.0.stem.weight"])
    assert not mine["networks.0.head.weight"].any(), "the teacher gives two numbers a pixel, the copy one"


def test_a_teacher_with_other_layers_leaves_it_as_it_is():
    method = teacher("noise2void")
    one, other = copy_of(method, "noise2void"), copy_of(method, "noise2void")
    one.split_from(method)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
