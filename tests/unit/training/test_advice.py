"""More training is advised where the error beyond the noise is still falling."""

import numpy as np
import pytest

from napari_restore import train_events
from napari_restore.core.events import TrainingStarted
from napari_restore.training.advice import advice


def said(trace, floor):
    return [note.text for note in advice(trace, floor=floor)]


def falling(excess, *, floor=0.16):
    """A trace whose excess over the floor is this at each tenth of the budget."""
    return [(0.1 * (i + 1), floor + e) for i, e in enumerate(excess)]


def test_an_error_that_falls_calls_for_more():
    (text,) = said(falling(np.geomspace(0.2, 0.05, 10)), 0.16)
    assert "more effort" in text


def test_an_error_that_levelled_off_does_not():
    (text,) = said(falling([0.2, 0.1, 0.06, 0.055] + 6 * [0.054]), 0.16)
    assert "levelled off" in text


def test_an_error_that_is_noise_calls_for_nothing_however_it_moves():
    (text,) = said(falling(np.geomspace(0.2, 0.001, 10)), 0.16)
    assert "of the noise itself" in text


@pytest.mark.parametrize("trace", [[], [(1.0, 0.2)], [(0.8, 0.3), (0.9, 0.2), (0.95, 0.2), (1.0, 0.2)]])
def test_a_trace_too_short_says_nothing(trace):
    assert said(trace, 0.16) == []


def started(image, method, **options):
    for event in train_events(image, method, steps=1, **options):
        if isinstance(event, TrainingStarted):
            return event
    raise AssertionError


def test_the_floor_is_the_variance_of_the_noise_in_units_of_the_images():
    rng = np.random.default_rng(0)
    clean = np.repeat(np.linspace(0, 200, 8), 30)[None] * np.ones((160, 1))
    noisy = (clean + 10 * rng.normal(size=clean.shape)).astype(np.float32)
    for method in ("noise2void", "posterior"):
        assert started(noisy, method).floor == pytest.approx(100 / noisy.var(), rel=0.15)
    assert started(noisy, "supervised_denoising", target=clean.astype(np.float32)).floor is None
    both = np.stack([noisy, 3 * noisy + 7])
    assert started(both, "noise2void", axes="CYX").floor == pytest.approx(100 / noisy.var(), rel=0.15)
