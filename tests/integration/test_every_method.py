"""Every method that is listed, by name: learns two steps, stops, goes on, is saved, loads, and restores in tiles.

What each will take is said before, in ``tests/unit/test_cost.py``.
"""

from __future__ import annotations

import threading
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from napari_restore import load_model, methods, restore, train
from napari_restore.store.model import Model

RNG = np.random.default_rng(0)
ROWS, COLUMNS = np.mgrid[:48, :52]
CLEAN = (100 + 30 * np.sin(ROWS / 5) * np.cos(COLUMNS / 6)).astype(np.float32)
NOISY, SECOND = (CLEAN + RNG.normal(0, 5, CLEAN.shape).astype(np.float32) for _ in range(2))
WITH_GAPS = NOISY.copy()
WITH_GAPS[10:13, 20:24] = np.nan
STACK = CLEAN + RNG.normal(0, 5, (5, *CLEAN.shape)).astype(np.float32)

TINY: dict[str, Any] = {"width": 4, "depth": 1, "blocks": 1}
BLUR = {"psf": "gaussian:1", "noise": 5.0}
COARSE = {"factor": 2, "noise": 5.0}
OWN: dict[str, dict[str, Any]] = {
    "scale_equivariant": BLUR,
    "sure": BLUR,
    "css": COARSE,
    "supervised": COARSE,
    "equivariant_shift": COARSE,
    "equivariant_rotation": COARSE,
    "two_exposures": {**BLUR, "second_psf": "gaussian:1.5"},
    "fourier_noise2noise": {"variant": "log_without_dc", "window": 32},
    "denoised_upsampling": COARSE,
    "srcnn": COARSE,
    "srgan": COARSE,
    "ssirn": {**COARSE, "perceptual": 0.1, "adversarial": 0.01},
    "finer_planes": {"factor": {"Z": 2}, "noise": 5.0},
    "richardson_lucy": {**BLUR, "iterations": 3, "weight": 0.001},
    "learned_richardson_lucy": {**BLUR, "iterations": 3, "weight": 0.001},
    "wiener": BLUR,
    "total_variation": {**BLUR, "iterations": 5},
    "deep_image_prior": {**BLUR, "iterations": 2, "targets": "one"},
}
IMAGES = {"finer_planes": STACK, "inpainting": WITH_GAPS, "interpolation": WITH_GAPS, "ssirn": WITH_GAPS}
EXACT = 1e-4
"""Of the deviation, between tiles and the whole; those of Richardson-Lucy are so to a thousandth of the noise."""
NEARLY = {"richardson_lucy": 0.01, "learned_richardson_lucy": 0.01}
EVERY = [name for name in methods.METHODS if name != "careamics"]
"""That are trained here."""


def image_of(name: str) -> np.ndarray:
    return IMAGES.get(name, NOISY)


def options_of(name: str) -> dict[str, Any]:
    """Settings that make it small, and what it needs beside the image."""
    known = {each.name for each in fields(methods.find(name).Config)}
    found = {**{k: v for k, v in TINY.items() if k in known}, **OWN.get(name, {})}
    needs = methods.listed(name).needs
    finer = found.get("factor") == 2
    if "second" in needs:
        found["second"] = SECOND
    if "target" in needs:
        found["target"] = np.kron(CLEAN, np.ones((2, 2), np.float32)) if finer else CLEAN
    return found


def axes_of(name: str) -> str:
    return "ZYX" if name == "finer_planes" else "YX"


def trained(name: str, **more: Any) -> Model:
    steps = {"steps": 2, "batch": 2} if methods.listed(name).learns else {}
    return train(image_of(name), name, axes=axes_of(name), device="cpu", **{**steps, **options_of(name), **more})


@cache
def model_of(name: str) -> Model:
    return trained(name)


def same(one: Model, other: Model) -> bool:
    a, b = (m.method.state_dict() for m in (one, other))
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


class StopAfter(threading.Event):
    """Set once it has been looked at so many times."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self.looks = looks

    def is_set(self) -> bool:
        self.looks -= 1
        return self.looks < 0


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.fsync", lambda _: None)


@pytest.mark.parametrize("name", EVERY)
def test_it_learns_is_saved_and_loads_and_tiles_are_the_whole(name: str, tmp_path: Path) -> None:
    model = model_of(name)
    loaded = load_model(model.save(tmp_path / "m.safetensors"))
    assert loaded.method.config == model.method.config and same(loaded, model)
    options: dict[str, Any] = {"axes": axes_of(name), "device": "cpu", "precision": "float32"}
    whole = np.asarray(restore(image_of(name), model, output=tmp_path / "w.zarr", **options))
    tile = [max(16, g) if a != "Z" else 2 for a, g in zip(model.method.spatial, model.method.grid, strict=True)]
    tiled = np.asarray(restore(image_of(name), loaded, output=tmp_path / "t.zarr", tile=tile, **options))
    assert np.isfinite(whole).all() and whole.std() > 0, "gaps are filled, too"
    assert np.abs(tiled - whole).max() <= NEARLY.get(name, EXACT) * CLEAN.std()


@pytest.mark.parametrize("name", [name for name in EVERY if methods.listed(name).learns])
def test_it_stops_goes_on_to_the_same_weights_and_is_gone_on_with(name: str, tmp_path: Path) -> None:
    stopped = trained(name, run=tmp_path, stop=StopAfter(1))
    assert stopped.provenance["steps"] == 1
    resumed = trained(name, run=tmp_path, resume=True)
    assert same(resumed, model_of(name))
    needed = {k: v for k, v in options_of(name).items() if k in ("second", "target")}
    image, axes = image_of(name), axes_of(name)
    tuned = train(image, axes=axes, device="cpu", start=model_of(name), steps=1, batch=2, **needed)
    assert tuned.name == name and not same(tuned, model_of(name))


@pytest.mark.parametrize("name", [name for name in EVERY if not methods.listed(name).learns])
def test_what_learns_nothing_stops_too(name: str) -> None:
    assert trained(name, stop=StopAfter(0)).name == name
