"""What goes into a report: a denoiser is checked, what undoes an operator is compared where that was asked for."""

import json
from dataclasses import asdict

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from napari_restore import deblur, denoise
from napari_restore.core.events import Compared, Note
from napari_restore.core.job import drain
from napari_restore.core.normalisation import Normalisation
from napari_restore.judging.denoised import check
from napari_restore.judging.judged import judged_events
from napari_restore.judging.undone import judge
from napari_restore.sources import open_image
from napari_restore.store.model import Model, build_method

BLOBS = 100 + 30 * gaussian_filter(np.random.default_rng(0).normal(size=(7, 120, 130)), (0, 4, 4)) * 14
NOISY = (BLOBS + 5 * np.random.default_rng(1).normal(size=BLOBS.shape)).astype(np.float32)


def model_of(name, *, spatial="YX", **config):
    torch.manual_seed(0)
    method = build_method(name, {"width": 4, "depth": 1, **config}, spatial=spatial, channels=1).eval()
    return Model(name, method, Normalisation((100.0,), (30.0,)))


IMAGING = {"psf": "gaussian:1", "sigma": (5.0,), "mean": (100.0,), "std": (30.0,)}


def said(image, model, **options):
    events = []
    return drain(judged_events(image, model, device="cpu", **options), events.append), events


@pytest.mark.parametrize("compare", [False, True])
def test_a_denoiser_is_checked_whatever_was_asked(compare):
    image, model = open_image(NOISY[0]), model_of("noise2void")
    report, events = said(image, model, compare=compare, seed=2)
    assert report == {"checked": asdict(check(image, model, device="cpu", seed=2))}
    assert [type(event) for event in events] == [Note]
    assert json.loads(json.dumps(report)) == report


def test_what_undoes_an_operator_is_compared_where_that_was_asked_for():
    image, model = open_image(NOISY[0]), model_of("sure", **IMAGING)
    assert said(image, model, compare=False) == ({}, [])
    report, events = said(image, model, compare=True, seed=2)
    assert report == {"compared": judge(image, model, device="cpu", seed=2).report()}
    assert isinstance(events[0], Compared)


def test_of_finer_planes_nothing_is_said():
    model = model_of("finer_planes", spatial="ZYX", factor={"Z": 2}, sigma=(5.0,), mean=(100.0,), std=(30.0,))
    assert said(open_image(NOISY, axes="ZYX"), model, compare=True) == ({}, [])


def test_the_verbs_report_the_same():
    denoised = denoise(NOISY[0], method="noise2void", steps=2, device="cpu")
    assert denoised.report["checked"] == said(open_image(NOISY[0]), denoised.model, compare=False)[0]["checked"]
    sharp = deblur(NOISY[0], psf="gaussian:1", noise=5.0, steps=2, device="cpu", width=4)
    assert sharp.report["compared"] == said(open_image(NOISY[0]), sharp.model, compare=True)[0]["compared"]
    assert "checked" not in sharp.report
