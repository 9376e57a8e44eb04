"""What methods ask of training besides patches: partner images, a learning rate, short gradients, upright patches."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_restore.api import train as train_by_name
from napari_restore.core.errors import ImageError, ModelError, RestoreError
from napari_restore.core.events import Measured, Note, Stopped, Trained, TrainingStarted
from napari_restore.methods import METHODS
from napari_restore.methods.imaging import Imaging
from napari_restore.methods.noise2void import Noise2Void
from napari_restore.sources import open_image
from napari_restore.training.pool import PatchPool
from napari_restore.training.state import TrainingState


def weights(model):
    return model.method.state_dict()


def same(one, other):
    a, b = weights(one), weights(other)
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


@pytest.fixture
def rates(monkeypatch):
    """The learning rate of every step."""
    seen = []
    learn = TrainingState.learn

    def watched(self, batch, *, learning_rate):
        seen.append(learning_rate)
        return learn(self, batch, learning_rate=learning_rate)

    monkeypatch.setattr(TrainingState, "learn", watched)
    return seen


def test_a_method_has_a_learning_rate_a_patch_and_a_batch_of_its_own(train, train_imaging, noisy, rates):
    model, events = train_imaging(noisy((64, 72)), steps=20)
    assert max(rates) == pytest.approx(Imaging.learning_rate) != pytest.approx(Noise2Void.learning_rate)
    assert model.provenance["learning_rate"] == Imaging.learning_rate
    started = next(e for e in events if isinstance(e, TrainingStarted))
    assert (started.patch, started.batch) == (model.method.patch, model.method.batch)
    rates.clear()
    train(noisy(), steps=20)
    assert max(rates) == pytest.approx(Noise2Void.learning_rate)


def test_a_learning_rate_patch_and_batch_that_are_given_are_taken(train_imaging, noisy, rates):
    model, events = train_imaging(noisy((64, 72)), steps=20, learning_rate=4e-3, patch=(24, 20), batch=3)
    assert max(rates) == pytest.approx(4e-3)
    assert model.provenance["learning_rate"] == 4e-3
    started = next(e for e in events if isinstance(e, TrainingStarted))
    assert (started.patch, started.batch) == ((24, 20), 3)


def test_a_run_with_another_learning_rate_is_not_continued(train, noisy, stop_after, tmp_path):
    """The method's own is compared as well as one that was given: both are what the first steps were taken with."""
    train(noisy(), run=tmp_path, stop=stop_after(5))
    with pytest.raises(ModelError, match=r"was trained with learning_rate = 0.002, now it is 0.001") as error:
        train(noisy(), run=tmp_path, resume=True, learning_rate=1e-3)
    assert "\n" not in str(error.value)
    _, events = train(noisy(), run=tmp_path, resume=True, learning_rate=2e-3)
    assert any(isinstance(e, Note) and "continuing from step 5" in e.text for e in events)


@pytest.mark.parametrize("clip", [None, 1e-3, 1.0])
def test_gradients_are_cut_to_the_length_that_the_method_allows(train_imaging, noisy, monkeypatch, clip):
    monkeypatch.setattr(Imaging, "clip", clip)
    lengths = []
    step = torch.optim.AdamW.step

    def watched(self, *args, **options):
        gradients = [p.grad for g in self.param_groups for p in g["params"] if p.grad is not None]
        lengths.append(float(torch.stack([g.norm() for g in gradients]).norm()))
        return step(self, *args, **options)

    monkeypatch.setattr(torch.optim.AdamW, "step", watched)
    train_imaging(noisy((40, 56)), steps=4)
    assert len(lengths) == 4 and all(n > 0 for n in lengths)
    if clip == 1e-3:
        assert lengths == pytest.approx([clip] * 4, rel=1e-3)
    else:
        assert max(lengths) > 1e-2
        assert clip is None or max(lengths) <= clip * (1 + 1e-5)


@pytest.mark.parametrize(("config", "turn"), [({"factor": 2}, True), ({"factor": {"Y": 2}}, False)])
def test_patches_are_turned_where_the_method_says_so(train_imaging, noisy, monkeypatch, config, turn):
    told = []
    draw = PatchPool.draw

    def watched(self, batch, patch, rng, *, turn=True):
        told.append(turn)
        return draw(self, batch, patch, rng, turn=turn)

    monkeypatch.setattr(PatchPool, "draw", watched)
    model, _ = train_imaging(noisy((40, 56)), config=config, steps=3)
    assert told == [turn] * 3 == [model.method.turns] * 3


def clean(shape, rate):
    along = np.meshgrid(*[(np.arange(n * rate) + 0.5) / rate - 0.5 for n in shape], indexing="ij")
    return open_image((np.sin(along[-1] / 4) * np.cos(along[-2] / 5) * 2).astype(np.float32))


def test_a_clean_image_on_the_finer_grid_is_what_supervised_learns(train_imaging, noisy, often):
    common = {"name": "supervised", "partners": [clean((64, 72), 2)], "steps": 60, "batch": 4, "patch": (32, 32)}
    _, events = train_imaging(noisy((64, 72)), learning_rate=5e-3, **common)
    measured = [e for e in events if isinstance(e, Measured)]
    assert isinstance(events[-1], Trained)
    assert measured[-1].validation < 0.7 * measured[0].validation, "held-out loss is against the clean image, too"


def test_validation_images_have_partners_of_their_own(train_imaging, noisy):
    """The loss they are judged by is against those: a wrong one for them is a large one."""
    image, wrong = noisy((64, 72)), open_image(clean((64, 72), 2).read() + 5)
    common = {"name": "supervised", "partners": [clean((64, 72), 2)], "validation": [image], "patch": (32, 32)}
    right, off = (
        train_imaging(image, validation_partners=[each], **common)[1][-1].validation
        for each in (clean((64, 72), 2), wrong)
    )
    assert off > 5 * right
    with pytest.raises(ImageError, match=r"shape \(64, 72\).*needs \(128, 144\)"):
        train_imaging(image, validation_partners=[image], **common)
    with pytest.raises(RestoreError, match="2 images to go with 1: give one for each"):
        train_imaging(image, validation_partners=[image, image], **common)


def test_a_second_acquisition_lies_on_the_pixels_of_the_first(train_imaging, noisy):
    """One image pixel for one, although the result is finer; and it changes what is learned."""
    image, second = noisy((40, 56)), noisy((40, 56), seed=1)
    alone, _ = train_imaging(image)
    paired, events = train_imaging(image, partners=[second])
    assert isinstance(events[-1], Trained)
    assert not same(alone, paired)


def test_training_with_a_partner_is_resumed_to_the_last_bit(train_imaging, noisy, stop_after, tmp_path):
    common = {"partners": [noisy((40, 56), seed=1)], "steps": 12, "name": "scale_equivariant"}
    whole, _ = train_imaging(noisy((40, 56)), **common)
    _, events = train_imaging(noisy((40, 56)), run=tmp_path, stop=stop_after(5), **common)
    assert isinstance(events[-1], Stopped)
    resumed, _ = train_imaging(noisy((40, 56)), run=tmp_path, resume=True, **common)
    assert same(whole, resumed)


def test_a_run_of_another_method_is_not_continued(train_imaging, noisy, tmp_path):
    """Also where settings and weights have the same names and shapes."""
    train_imaging(noisy((40, 56)), run=tmp_path, name="sure")
    with pytest.raises(ModelError, match="was trained with method = 'sure', now it is 'css'") as error:
        train_imaging(noisy((40, 56)), run=tmp_path, name="css", resume=True)
    assert "\n" not in str(error.value)


def test_a_run_with_partners_is_not_continued_without(train_imaging, noisy, tmp_path):
    train_imaging(noisy((40, 56)), partners=[noisy((40, 56), seed=1)], run=tmp_path)
    with pytest.raises(ModelError, match="was trained with partners = True, now it is False"):
        train_imaging(noisy((40, 56)), run=tmp_path, resume=True)


@pytest.mark.parametrize(
    ("name", "shape", "wanted"),
    [
        ("sure", (40, 55), r"\(40, 56\)"),
        ("sure", (80, 112), r"\(40, 56\)"),
        ("supervised", (40, 56), r"\(80, 112\)"),
        ("supervised", (80, 110), r"\(80, 112\)"),
    ],
)
def test_a_partner_that_does_not_lie_on_its_image_is_refused(train_imaging, noisy, name, shape, wanted):
    partner = noisy(shape)
    with pytest.raises(ImageError, match=rf"shape \({shape[0]}, {shape[1]}\).*needs {wanted}") as error:
        train_imaging(noisy((40, 56)), name=name, partners=[partner])
    assert "\n" not in str(error.value)


def test_a_partner_that_does_not_fit_is_named_with_its_image(train_imaging, noisy, tmp_path):
    for name, shape in (("first.npy", (40, 56)), ("other.npy", (40, 50))):
        np.save(tmp_path / name, noisy(shape).read())
    with pytest.raises(ImageError, match=r"other.*first"):
        train_imaging(open_image(tmp_path / "first.npy"), partners=[open_image(tmp_path / "other.npy")])


def test_a_partner_with_other_axes_is_refused(train_imaging, noisy):
    with pytest.raises(ImageError, match="has axes XY and shape"):
        train_imaging(noisy((40, 40)), partners=[noisy((40, 40), "XY")])


def test_every_image_needs_a_partner(train_imaging, noisy):
    with pytest.raises(RestoreError, match="2 images to go with 1: give one for each"):
        train_imaging(noisy((40, 56)), partners=[noisy((40, 56)), noisy((40, 56))])


def test_a_partner_with_pixels_that_are_not_finite_spoils_nothing(train_imaging, noisy):
    pixels = noisy((40, 56), seed=1).read().copy()
    pixels[5:9, 7:30] = np.nan
    model, events = train_imaging(noisy((40, 56)), partners=[open_image(pixels)])
    assert all(torch.isfinite(t).all() for t in weights(model).values())
    assert np.isfinite(events[-1].validation)


def test_a_pair_without_a_pixel_that_is_finite_in_both_is_refused(train_imaging, noisy):
    nothing = open_image(np.full((40, 56), np.nan, np.float32))
    with pytest.raises(ImageError, match=r"no pixel .* in the image that goes with it") as error:
        train_imaging(noisy((40, 56)), partners=[nothing])
    assert "\n" not in str(error.value)


PIXELS = np.random.default_rng(0).normal(size=(40, 56)).astype("f4")


@pytest.mark.parametrize(
    ("method", "given", "words"),
    [
        ("noise2void", {"second": PIXELS}, "Noise2Void learns from the noisy image alone: leave second out"),
        ("noise2void", {"target": PIXELS}, "Noise2Void learns from the noisy image alone: leave target out"),
        ("sure", {"target": PIXELS}, "SURE learns from the noisy image and a second: leave target out"),
        ("sure", {"second": [PIXELS] * 2}, "2 images to go with 1: give one for each"),
        ("supervised", {"second": PIXELS}, "Supervised learns from the noisy image and a target: leave second out"),
        ("supervised", {}, "Supervised needs target: give one"),
        ("supervised", {"target": []}, "Supervised needs target: give one"),
        ("supervised", {"target": PIXELS, "validation": PIXELS}, "leave validation out"),
    ],
)
def test_what_does_not_go_with_a_method_is_refused(method, given, words):
    with pytest.raises(RestoreError, match=words) as error:
        train_by_name(PIXELS, method, steps=1, device="cpu", **given)
    assert "\n" not in str(error.value)


def test_an_image_has_one_partner(monkeypatch):
    monkeypatch.setitem(METHODS, "sure", replace(METHODS["sure"], takes=("second", "target")))
    with pytest.raises(RestoreError, match=r"second and target are both given.* Leave one of them out"):
        train_by_name(PIXELS, "sure", steps=1, second=PIXELS, target=PIXELS)


@pytest.mark.parametrize(
    ("method", "given"), [("sure", {}), ("sure", {"second": PIXELS}), ("supervised", {"target": [PIXELS]})]
)
def test_partners_are_opened_and_learned_from(method, given):
    model = train_by_name(PIXELS, method, steps=2, device="cpu", width=4, blocks=1, **given)
    assert np.isfinite(model.provenance["held_out_loss"])
