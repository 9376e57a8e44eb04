"""The learned result judged beside classical ones, without the truth; here the truth is known."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from skimage.data import camera

from napari_restore.cli.progress import in_words
from napari_restore.core.events import Compared, Note, from_json, to_json
from napari_restore.core.job import drain
from napari_restore.core.normalisation import Normalisation
from napari_restore.core.region import Region
from napari_restore.judging.baselines import BASELINES, forward, wiener
from napari_restore.judging.judged import judged_events
from napari_restore.judging.undone import baselines_of, each_baseline, judge, judge_events
from napari_restore.methods.imaging import Imaging, ImagingConfig, build_operator
from napari_restore.methods.method import Interrupted, Method, Undone
from napari_restore.metrics.pixel_noise import PixelNoise
from napari_restore.operators.blur import Blur
from napari_restore.operators.psf import gaussian
from napari_restore.sources import open_image
from napari_restore.store.model import Model, build_method

SIGMA = 5.0


class Untrained(Imaging):
    """A network whose last layer is 0: what it restores is the start from physics."""

    label = "Untrained"
    citation = "None."


class AlongY(Untrained):
    """One that has learned that nothing changes along Y."""

    label = "Along Y"

    def restore(self, pixels: torch.Tensor) -> torch.Tensor:
        mean = pixels.mean(-2, keepdim=True).expand_as(pixels)
        restored = mean
        for _ in range(40):  # Landweber's: it undoes the blur of what has little noise left
            restored = restored + self.operator.adjoint(mean - self.operator(restored))
        return restored


class Smoothing(Untrained):
    """One that takes the details for noise."""

    label = "Smoothing"

    def restore(self, pixels: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.avg_pool2d(self.plain(pixels), 9, 1, 4, count_include_pad=False)


class SomebodyElses(Method):
    """Not of our family: it says what it undoes, and no more."""

    label = "Somebody else's"
    citation = "None."
    radius = grid = (1, 1)

    @property
    def undoes(self):
        kernel = gaussian(2)
        return Undone(operator=Blur(kernel), psf=kernel, centred=(True, True), noise=(PixelNoise(SIGMA**2),))

    def restore(self, pixels):
        return pixels

    def for_restoring(self):
        return self


def model_for(y, kind=Untrained, *, spatial="YX", channels=1, sigma=SIGMA, psf="gaussian:2", **config):
    mean, std = (float(np.nanmean(y)),) * channels, (float(np.nanstd(y)),) * channels
    settled = ImagingConfig(
        psf=psf, width=4, depth=1, blocks=1, sigma=(sigma,) * channels, mean=mean, std=std, **config
    )
    method = kind(settled, spatial=spatial, channels=channels).eval()
    return Model("untrained", method, Normalisation(mean, std))


def noisy(clean, *, seed=0, sigma=SIGMA):
    return (clean + sigma * np.random.default_rng(seed).standard_normal(clean.shape)).astype(np.float32)


@pytest.fixture(scope="module")
def truth():
    return camera()[60:240, 160:360].astype(np.float32)


@pytest.fixture(scope="module")
def clean(truth):
    return forward(Blur(gaussian(2)), truth)


@pytest.fixture(scope="module")
def bars():
    heights = np.random.default_rng(3).uniform(0, 255, 40).repeat(5)
    return forward(Blur(gaussian(2)), np.tile(heights, (180, 1)).astype(np.float32))


def rows_of(judgement):
    return {row.name: row for row in judgement.rows}


def test_an_untrained_model_is_no_better_and_the_user_is_told(clean):
    y = noisy(clean)
    judgement = judge(open_image(y), model_for(y), size=128, device="cpu")
    assert [row.name for row in judgement.rows] == ["learned", *BASELINES]
    rows = rows_of(judgement)
    assert rows["learned"].sure == pytest.approx(rows["wiener"].sure, rel=0.1)
    assert judgement.best == "total_variation"
    assert not judgement.learned_is_better
    assert "no better than a classical one" in judgement.warning
    assert "Total variation" in judgement.warning


def test_a_baseline_and_a_judgement_are_given_up_at_the_next_use_of_the_operator(clean):
    y = noisy(clean)
    made, stopped = [], []
    with pytest.raises(Interrupted):
        for label, _ in each_baseline(open_image(y), model_for(y), stopping=stopped.__len__):
            made.append(label)
            stopped += [True] * (label == "Wiener filter")
    assert made == ["Bicubic interpolation", "Wiener filter"]
    with pytest.raises(Interrupted):
        judge(open_image(y), model_for(y), size=128, device="cpu", stopping=lambda: True)
    told = drain(judged_events(open_image(y), model_for(y), compare=True, device="cpu", stopping=lambda: True))
    assert told == {}, "the result is there all the same"


def test_a_model_that_knows_more_than_the_classical_ones_is_better(bars):
    y = noisy(bars)
    judgement = judge(open_image(y), model_for(y, AlongY), size=128, device="cpu")
    assert judgement.best == "learned"
    assert judgement.learned_is_better
    assert judgement.warning == ""
    assert rows_of(judgement)["learned"].residual == pytest.approx(1, abs=0.03)


def test_the_estimated_error_is_near_the_true_one(clean):
    y = noisy(clean)
    rows = rows_of(judge(open_image(y), model_for(y), size=128, device="cpu"))
    operator, psf = Blur(gaussian(2)), gaussian(2)
    middle = (slice(26, 154), slice(36, 164))
    for name, restored in (("bicubic", y), ("wiener", wiener(y, operator, sigma=SIGMA, psf=psf))):
        error = (forward(operator, restored) - clean)[middle]
        assert rows[name].sure == pytest.approx(float(np.sqrt(np.mean(error**2))), rel=0.1)


@pytest.mark.parametrize(("given", "words"), [(2.5, "more noise than the 2.5"), (10.0, "less noise than the 10")])
def test_a_wrong_noise_level_is_found_out(clean, given, words):
    y = noisy(clean)
    judgement = judge(open_image(y), model_for(y, sigma=given), size=128, device="cpu")
    assert words in judgement.warning
    assert all(np.isfinite([r.sure, r.whiteness, r.residual]).all() for r in judgement.rows)


def test_a_model_that_leaves_out_details_is_found_out(bars):
    y = noisy(bars)
    judgement = judge(open_image(y), model_for(y, Smoothing), size=128, device="cpu")
    assert not judgement.learned_is_better
    assert judgement.warning


def test_a_method_is_judged_by_what_it_says_that_it_undoes(clean):
    y = noisy(clean)
    foreign = Model("foreign", SomebodyElses(None, spatial="YX", channels=1), Normalisation((0.0,), (1.0,)))
    judgement = judge(open_image(y), foreign, size=128, device="cpu")
    assert [row.label for row in judgement.rows] == ["Somebody else's", *(b.label for b in BASELINES.values())]
    error = (forward(Blur(gaussian(2)), y) - clean)[26:154, 36:164]
    assert rows_of(judgement)["learned"].sure == pytest.approx(float(np.sqrt(np.mean(error**2))), rel=0.1)
    assert set(baselines_of(open_image(y[:40, :40]), foreign)) == {b.label for b in BASELINES.values()}


def test_what_is_left_out_is_said_with_its_size(bars):
    """A wave so faint that the classical ones, which see it, are worse for all the rest."""
    wave = 1.5 * np.cos(2 * np.pi * np.arange(bars.shape[0]) * 0.19)[:, None]
    y = noisy(bars + wave.astype(np.float32))
    judgement = judge(open_image(y), model_for(y, AlongY), device="cpu")
    assert judgement.best == "learned"
    assert not judgement.learned_is_better
    assert "leaves out more than noise: details of about 5.3 px" in judgement.warning


def test_coarse_images_are_judged_on_the_grid_they_were_measured_on(truth):
    operator = build_operator((2, 2), None, ["cubic", "cubic"])
    y = noisy(forward(operator, truth))
    judgement = judge(open_image(y), model_for(y, psf="", factor=2), device="cpu")
    rows = rows_of(judgement)
    assert list(rows) == ["learned", *(name for name in BASELINES if name != "richardson_lucy")]
    assert rows["learned"].sure == pytest.approx(rows["bicubic"].sure, rel=1e-3)
    assert 0 < rows["total_variation"].sure < rows["bicubic"].sure


def test_photons_are_judged_by_the_variance_they_have(clean):
    gain = 2.0
    y = (gain * np.random.default_rng(0).poisson(clean / gain)).astype(np.float32)
    judgement = judge(open_image(y), model_for(y, sigma=0.0, gain=gain), size=128, device="cpu")
    rows = rows_of(judgement)
    error = (forward(Blur(gaussian(2)), y) - clean)[26:154, 36:164]
    assert rows["bicubic"].sure == pytest.approx(float(np.sqrt(np.mean(error**2))), rel=0.1)
    assert "noise than" not in judgement.warning


def test_the_same_seed_gives_the_same_judgement(clean):
    y = noisy(clean)
    model = model_for(y)
    assert judge(open_image(y), model, size=96, device="cpu") == judge(open_image(y), model, size=96, device="cpu")


def test_channels_pixels_that_are_not_finite_and_volumes(clean):
    y = np.stack([noisy(clean), noisy(clean, seed=1)])
    y[0, 90:94, 100] = np.nan
    assert judge(open_image(y, axes="CYX"), model_for(y, channels=2), size=96, device="cpu") is not None
    volume = noisy(np.stack([clean[:80, :80]] * 6))
    model = model_for(volume, spatial="ZYX", psf="gaussian:0,1,1")
    judgement = judge(open_image(volume), model, size=150, device="cpu")
    assert judgement is not None
    assert all(np.isfinite(row.sure) for row in judgement.rows)


def test_where_there_is_nothing_to_judge_by(clean):
    y = noisy(clean)
    denoiser = build_method("noise2void", {"width": 4, "depth": 1}, spatial="YX", channels=1)
    assert judge(open_image(y), Model("noise2void", denoiser, Normalisation((0.0,), (1.0,)))) is None
    assert judge(open_image(y), model_for(y, sigma=0.0), device="cpu") is None
    assert judge(open_image(y[:40, :40]), model_for(y), device="cpu") is None


def test_events_tell_the_rows_and_the_warning_and_survive_json(clean):
    y = noisy(clean)
    events = []
    judgement = drain(judge_events(open_image(y), model_for(y), size=96, device="cpu"), events.append)
    compared, note = events
    assert isinstance(compared, Compared)
    assert isinstance(note, Note)
    assert note == Note(judgement.warning, "warning")
    assert [row[0] for row in compared.rows] == [row.name for row in judgement.rows]
    assert from_json(to_json(compared)) == compared
    assert json.loads(json.dumps(judgement.report()))["best"] == judgement.best


def test_the_shell_prints_a_table():
    text = in_words(Compared((("learned", 1.5, 0.02, 0.98), ("total_variation", 1.4, 0.05, 1.0)), "total_variation"))
    head, learned, variation, *_ = text.splitlines()
    assert "error" in head
    assert learned.split() == ["learned", "1.5", "0.020", "0.98"]
    assert variation.split() == ["*total", "variation", "1.4", "0.050", "1.00"]


def test_baselines_lie_on_the_grid_of_the_result(truth):
    operator = build_operator((2, 2), None, ["cubic", "cubic"])
    y = noisy(np.stack([forward(operator, truth)] * 2))
    image, model = open_image(y, axes="TYX"), model_for(y, psf="", factor=2)
    whole = baselines_of(image, model)
    assert set(whole) == {b.label for b in BASELINES.values() if b.label != "Richardson-Lucy"}, "there is no blur"
    assert all(x.shape == (2, *truth.shape) for x in whole.values())
    region = Region((1, 20, 30), (2, 50, 70))
    part = baselines_of(image, model, region)
    assert all(x.shape == (1, 60, 80) for x in part.values())
    label = BASELINES["bicubic"].label
    assert np.allclose(part[label][0], whole[label][1, 40:100, 60:140], atol=1e-3)
