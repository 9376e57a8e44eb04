import json
import math

import numpy as np
import pytest
import torch

from napari_restore.api import train as train_by_name
from napari_restore.core.errors import ImageError, RestoreError
from napari_restore.core.events import (
    Checkpointed,
    Measured,
    Note,
    Preview,
    Stopped,
    Trained,
    TrainingStarted,
    from_json,
)
from napari_restore.core.job import PreviewRequest
from napari_restore.core.region import Region
from napari_restore.methods.apply import restore_region
from napari_restore.sources import open_image
from napari_restore.training.state import checkpoints

CPU = torch.device("cpu")


def kinds(events):
    return [type(e) for e in events]


def only(kind, events):
    return [e for e in events if isinstance(e, kind)]


def restored(model, image):
    return restore_region(
        model.method.for_restoring(),
        image,
        Region.of_shape(image.shape),
        normalisation=model.normalisation,
        device=CPU,
    )


def same_weights(one, other):
    a, b = one.method.state_dict(), other.method.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_what_is_told_begins_and_ends_as_promised(train, noisy):
    model, events = train(noisy())
    assert kinds(events)[0] is TrainingStarted
    assert kinds(events)[-2:] == [Measured, Trained]
    started, ended = events[0], events[-1]
    assert (started.patch, started.batch, started.steps, started.seconds) == ((16, 16), 4, 20, None)
    assert started.parameters == sum(p.numel() for p in model.method.parameters())
    assert ended.step == 20
    assert ended.validation == events[-2].validation is not None
    assert model.name == "noise2void" and model.precision == "float32" and not model.method.training
    assert model.provenance["steps"] == 20 and model.provenance["held_out_loss"] == ended.validation


def test_every_measurement_is_a_number(train, noisy, often):
    """Also the last one, right after another: nothing was learned in between."""
    _, events = train(noisy())
    measured = only(Measured, events)
    assert [m.step for m in measured] == [*range(1, 21), 20]
    assert all(math.isfinite(m.loss) and 0 <= m.fraction <= 1 for m in measured)
    assert measured[-1].fraction == 1 and measured[-1].remaining == 0
    assert max(m.learning_rate for m in measured) == pytest.approx(2e-3)
    assert measured[-1].learning_rate == pytest.approx(0, abs=1e-9)


def test_the_loss_falls_and_the_held_out_loss_with_it(train, noisy, often):
    _, events = train(noisy(), steps=150, learning_rate=5e-3)
    measured = only(Measured, events)
    first, last = measured[:20], measured[-21:-1]
    assert np.mean([m.loss for m in last]) < 0.85 * np.mean([m.loss for m in first])
    assert all(m.validation is not None for m in measured)
    assert measured[-1].validation < 0.85 * measured[0].validation
    # The signal has the variance 1, the noise 1: of a total of 2, normalised to 1, half cannot be predicted.
    assert measured[-1].validation > 0.4


def test_the_same_seed_gives_the_same_losses_and_weights_and_another_one_others(train, noisy, often):
    (one, first), (two, second), (three, third) = (train(noisy(), seed=s) for s in (1, 1, 2))
    losses = [[(m.loss, m.validation) for m in only(Measured, e)] for e in (first, second, third)]
    assert losses[0] == losses[1] != losses[2]
    assert same_weights(one, two) and not same_weights(one, three)


def test_a_linear_change_of_the_image_changes_the_result_alike(train, noisy):
    """restore(a x + b) = a restore(x) + b: a camera's gain and offset do not matter.

    The normalised pixels differ in the last bits of float32: 1e-6 of the deviation, with this offset. Sixty optimiser
    steps make up to a thousand times as much of it.
    """
    image, changed = noisy(), noisy(scale=40.0, offset=300.0)
    one, two = (train(i, steps=60, learning_rate=5e-3)[0] for i in (image, changed))
    expected = 40.0 * restored(one, image) + 300.0
    assert np.abs(restored(two, changed) - expected).max() < 1e-3 * expected.std()
    assert expected.std() > 10


@pytest.mark.parametrize(
    ("shape", "axes", "spatial", "patch"),
    [
        ((17, 23), "YX", "YX", (16, 16)),
        ((1, 17, 23), "ZYX", "YX", (8, 16)),
        ((5, 2, 17, 23), "TCYX", "YX", None),
        ((23, 17, 3), "XYC", "YX", (16, 16)),
        ((3, 17, 23), "ZYX", "ZYX", (3, 8, 8)),
        ((23, 4, 17), "XZY", "ZYX", None),
    ],
)
def test_images_of_any_shape_are_trained_on_and_restored(train, noisy, shape, axes, spatial, patch):
    image = noisy(shape, axes)
    model, events = train(image, steps=3, spatial=spatial, patch=patch)
    assert isinstance(events[-1], Trained)
    out = restored(model, image)
    assert out.shape == shape and np.isfinite(out).all()


def test_training_on_several_images_of_different_sizes(train, noisy):
    model, events = train([noisy((17, 60)), noisy((40, 23), seed=1)], steps=5)
    assert isinstance(events[-1], Trained)
    assert len(model.provenance["images"]) == 2


def test_other_images_can_be_the_judge(train, noisy):
    (one, own), (two, other) = train(noisy()), train(noisy(), validation=[noisy((24, 24), seed=9, scale=3.0)])
    assert same_weights(one, two), "the judge changes nothing"
    assert one.normalisation == two.normalisation
    assert other[-1].validation > 3 * own[-1].validation, "measured in the units of the images learned from"


def test_a_judge_too_small_for_a_patch_is_refused_in_words(train, noisy):
    with pytest.raises(RestoreError, match="axis Y: a patch of 16 px does not fit an image of 9 px"):
        train(noisy(), validation=[noisy((9, 40))])


@pytest.mark.parametrize("looks", [0, 1, 7])
def test_a_stop_is_seen_at_the_next_step_and_keeps_what_there_is(train, noisy, stop_after, looks):
    model, events = train(noisy(), steps=10**6, stop=stop_after(looks))
    assert events[-1] == Stopped("training", looks, None)
    assert np.isfinite(restored(model, noisy())).all()
    assert not any(math.isnan(m.loss) for m in only(Measured, events))


@pytest.mark.parametrize("value", [0, 7])
def test_a_constant_image_is_refused(train, value):
    with pytest.raises(ImageError, match=f"every pixel is {value}: there is nothing to learn") as error:
        train(open_image(np.full((40, 40), value, np.uint16)))
    assert "\n" not in str(error.value)


def test_an_image_that_is_not_finite_anywhere_is_refused(train):
    with pytest.raises(ImageError, match="nothing to learn"):
        train(open_image(np.full((40, 40), np.nan, np.float32)))


def test_pixels_that_are_not_finite_are_told_and_spoil_nothing(train, noisy):
    pixels = noisy().read().copy()
    pixels[5:9, 7:30] = np.nan
    model, events = train(open_image(pixels))
    (note,) = only(Note, events)
    assert note.level == "warning" and "92 pixels are not finite" in note.text
    assert all(torch.isfinite(t).all() for t in model.method.state_dict().values())


def test_training_that_diverges_says_so_even_at_its_last_step(train, noisy):
    with pytest.raises(RestoreError, match=r"training diverged at step .* smaller learning rate"):
        train(noisy(), learning_rate=1e30)


def test_an_unknown_precision_is_refused(noisy):
    with pytest.raises(RestoreError, match="`precision` = 'float16': give auto, float32 or bfloat16"):
        train_by_name(noisy(), "noise2void", precision="float16", steps=1)


def test_bfloat16_is_kept_for_restoring_only_where_it_costs_little(train, noisy, monkeypatch):
    monkeypatch.setattr("napari_restore.training.session._BFLOAT16_COST", 10.0)
    assert train(noisy(), precision="bfloat16", steps=5)[0].precision == "bfloat16"
    monkeypatch.setattr("napari_restore.training.session._BFLOAT16_COST", 1e-9)
    assert train(noisy(), precision="bfloat16", steps=5)[0].precision == "float32"


@pytest.mark.parametrize(
    ("axes", "shape", "region"),
    [
        ("YX", (40, 56), Region((3, 5), (20, 50))),
        ("ZYX", (3, 40, 56), Region((1, 0, 0), (2, 40, 56))),
        ("CYX", (2, 40, 56), Region((0, 0, 7), (2, 40, 8))),
    ],
)
def test_previews_are_of_the_region_in_view_in_the_units_of_the_image(train, noisy, axes, shape, region):
    image = noisy(shape, axes, scale=10.0, offset=500.0)
    model, events = train(image, preview=PreviewRequest(region, every=0.0), steps=10)
    shown = only(Preview, events)
    assert shown
    assert all(p.region == region and p.pixels.shape == region.shape for p in shown)
    assert shown[-1].pixels.mean() == pytest.approx(500, abs=30)
    model.method.line[0], model.method.line[1] = 1, 0  # measured once training has ended
    last = restored(model, image)[region.slices]
    if shown[-1].step == 10:
        assert np.allclose(shown[-1].pixels, last, atol=1e-2)


def test_a_cut_through_the_planes_is_what_the_planes_have_there(train, noisy, monkeypatch):
    """However few planes fit at a time; made once more at the end, since it is made less often."""
    monkeypatch.setattr("napari_restore.training.previews._PIXELS", 1)
    image = noisy((7, 40, 24), "ZYX")
    across, plane = Region((0, 11, 2), (7, 12, 24)), Region((5, 0, 0), (6, 40, 24))
    _, events = train(image, preview=PreviewRequest(plane, across=across, every=0.0), steps=4)
    seen, cut = (next(e for e in reversed(only(Preview, events)) if e.across is across) for across in (False, True))
    assert cut.region == across and cut.pixels.shape == (7, 1, 22) and cut.step == 4
    if seen.step == 4:
        np.testing.assert_allclose(cut.pixels[5, 0], seen.pixels[0, 11, 2:], atol=1e-3)


def test_what_is_in_view_can_change_and_vanish(train, noisy, often):
    """The request is looked at anew for each preview."""

    class Moving(PreviewRequest):
        views = iter((Region((0, 0), (8, 8)), None, Region((4, 4), (9, 20))))
        region = property(lambda self: next(self.views, None), lambda self, value: None)

    _, events = train(noisy(), preview=Moving(every=0.0), steps=40)
    assert [p.pixels.shape for p in only(Preview, events)] == [(8, 8), (5, 16)]


def test_a_run_folder_tells_everything(train, noisy, often, tmp_path):
    run = tmp_path / "new" / "run"
    model, events = train(noisy(), run=run)
    lines = (run / "events.jsonl").read_text().splitlines()
    assert [type(from_json(line)) for line in lines] == kinds(events)
    assert [from_json(line) for line in lines] == events
    assert {p.name for p in run.iterdir()} == {
        "run.json",
        "events.jsonl",
        "checkpoint-00000019.safetensors",
        "checkpoint-00000020.safetensors",
    }

    card = json.loads((run / "run.json").read_text())
    assert card["method"] == "noise2void" and card["provenance"]["steps"] == 20
    assert card["parameters"] == sum(p.numel() for p in model.method.parameters())


def test_at_most_two_checkpoints_are_kept_at_any_time(train, noisy, often, tmp_path):
    _, events = train(noisy(), run=tmp_path)
    kept = only(Checkpointed, events)
    assert len(kept) > 15
    assert len(checkpoints(tmp_path)) == 2


def test_a_folder_that_cannot_be_written_is_refused_before_training(train, noisy, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RestoreError, match="cannot be written"):
        train(noisy(), run=tmp_path / "file" / "run")
