"""The page about a restoration says what was done and found, and needs no network."""

from __future__ import annotations

import re

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_restore import denoise, restore
from napari_restore.core.errors import OutputError


@pytest.fixture
def noisy():
    rng = np.random.default_rng(0)
    scene = 100 + 300 * gaussian_filter(rng.normal(size=(96, 112)), 4)
    return rng.normal(scene, 6).astype(np.float32)


def test_a_denoiser_is_told_with_its_error_bars_and_guards(noisy, tmp_path):
    place = tmp_path / "r.html"
    result = denoise(
        noisy, axes="YX", method="posterior", width=8, steps=20, device="cpu", uncertainty=True, report=place
    )
    text = place.read_text(encoding="utf-8")
    for words in (
        "Posterior mean",
        "Noise that was found",
        "Error bars",
        "Guards",
        "Resolution",
        "How to cite",
        "Laine",
    ):
        assert words in text, words
    assert not re.search(r"(src|href)=.(?!data:)", text) and "<script" not in text
    assert text.count("data:image/png;base64,") == 6 and text.count("<svg") == 4
    assert "steps=20" in text and "napari_restore.denoise(image" in text
    with pytest.raises(OutputError, match="exists already"):
        restore(noisy, result.model, axes="YX", device="cpu", report=place)
    restore(noisy, result.model, axes="YX", device="cpu", report=place, overwrite=True)
    assert "None were asked for" in place.read_text(encoding="utf-8")


def test_what_undoes_a_blur_has_a_page_without_guards(noisy, tmp_path):
    from napari_restore import deblur

    place = tmp_path / "r.html"
    deblur(noisy, psf="gaussian:1", method="richardson_lucy", effort="instant", axes="YX", device="cpu", report=place)
    text = place.read_text(encoding="utf-8")
    assert "Richardson" in text and "Guards" not in text


def test_planes_and_channels_have_one_in_their_middle(noisy, tmp_path):
    stack = np.stack([[noisy, 2 * noisy]] * 3)
    place = tmp_path / "r.html"
    denoise(stack, axes="ZCYX", method="noise2void2", width=4, steps=2, device="cpu", report=place)
    assert place.read_text(encoding="utf-8").count("data:image/png;base64,") >= 3


@pytest.mark.parametrize(("name", "words"), [("r.pdf", "ends in .html"), ("no/r.html", "does not exist")])
def test_a_place_that_cannot_be_is_refused_before_anything_is_done(noisy, tmp_path, name, words):
    with pytest.raises(OutputError, match=words):
        denoise(noisy, axes="YX", steps=1, device="cpu", report=tmp_path / name)
