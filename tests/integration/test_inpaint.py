"""Inpainting whole: bit-identical where pixels are there, tiled = whole, saved and loaded, and through the shell."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_restore import inpaint, open_image, restore, train
from napari_restore.core.errors import RestoreError
from napari_restore.verbs.cost import estimate
from napari_restore.verbs.request import ask


def scene(shape: tuple[int, ...] = (70, 83), dtype: str = "uint16") -> np.ndarray:
    y, x = np.meshgrid(*(np.arange(n) for n in shape[-2:]), indexing="ij")
    plane = 100 + 40 * np.sin(y / 5.0) * np.cos(x / 7.0)
    return np.broadcast_to(plane, shape).astype(dtype).copy()


def scratch(shape: tuple[int, ...]) -> np.ndarray:
    mask = np.zeros(shape, bool)
    for k in range(4, 60):
        mask[..., k, k : k + 3] = True
    return mask


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "float32", "float64"])
def test_pixels_that_are_there_stay_to_the_bit_in_their_own_type(dtype: str, tmp_path: Path) -> None:
    image, mask = scene(dtype=dtype), scratch((70, 83))
    if np.dtype(dtype).kind == "f":
        image += np.random.default_rng(0).normal(size=image.shape).astype(dtype) / 7
    result = inpaint(image, mask=mask, effort="instant", axes="YX", output=tmp_path / "r.zarr")
    found = np.asarray(result)
    assert found.dtype == dtype
    assert np.array_equal(found[~mask], image[~mask])
    assert np.abs(found[mask] - image[mask].astype(float)).mean() < 3
    assert result.suffix == "inpainted"


def test_trained_saved_loaded_tiled_and_resumed_are_one_result(tmp_path: Path) -> None:
    image, mask = scene((2, 75, 66), "float32"), np.random.default_rng(0).random((75, 66)) < 0.2
    options = {"axes": "TYX", "mask": mask, "steps": 6, "seed": 3, "precision": "float32"}
    first = inpaint(image, output=tmp_path / "a.zarr", save_model=tmp_path / "m.safetensors", **options)
    whole = np.asarray(first)
    assert np.array_equal(whole[:, ~mask], image[:, ~mask])
    again = inpaint(image, output=tmp_path / "a.zarr", **options)  # done: nothing is trained
    assert np.array_equal(np.asarray(again), whole)
    gaps = np.where(mask, np.nan, image)
    tiled = restore(gaps, tmp_path / "m.safetensors", axes="TYX", tile=(32, 40), output=tmp_path / "t.zarr")
    assert np.abs(np.asarray(tiled) - whole).max() < 1e-3 * image.std()
    other = {**options, "mask": np.roll(mask, 1, 0)}
    with pytest.raises(RestoreError, match=r"pixels|given"):
        inpaint(image, output=tmp_path / "a.zarr", **other)


def test_what_a_denoiser_predicts_is_tiled_as_whole(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    image = scene((60, 64), "float32") + rng.normal(0, 12, (60, 64)).astype(np.float32)
    gaps = np.where(rng.random(image.shape) < 0.2, np.float32(np.nan), image)
    model = train(gaps, "inpainting", axes="YX", steps=2, batch=1, seed=3)
    assert dict(model.method.config.denoiser)
    whole = np.asarray(restore(gaps, model, axes="YX"))
    tiled = restore(gaps, model.save(tmp_path / "m.safetensors"), axes="YX", tile=(48, 64), output=tmp_path / "t.zarr")
    assert np.abs(np.asarray(tiled) - whole).max() < 1e-3 * image.std()


def test_lost_planes_come_back_from_their_neighbours(tmp_path: Path) -> None:
    stack = scene((9, 48, 52), "float32") + 10 * np.arange(9, dtype=np.float32)[:, None, None]
    broken = stack.copy()
    broken[[3, 7]] = 0
    result = inpaint(broken, axes="ZYX", steps=3, output=tmp_path / "r.zarr")
    found = np.asarray(result)
    kept = [z for z in range(9) if z not in (3, 7)]
    assert np.array_equal(found[kept], stack[kept])
    assert np.abs(found - stack)[[3, 7]].mean() < 3


def test_noise_is_taken_away_when_asked(tmp_path: Path) -> None:
    clean, mask = scene((96, 96), "float32"), scratch((96, 96))
    noisy = clean + np.random.default_rng(0).normal(0, 12, clean.shape).astype(np.float32)
    result = inpaint(noisy, mask=mask, axes="YX", denoise=True, steps=40, output=tmp_path / "r.zarr")
    before, after = (float(np.mean((each - clean)[~mask] ** 2)) for each in (noisy, np.asarray(result)))
    assert after < 0.6 * before


def padded() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A slice with noise in a circle of padding, a lost row and a hot pixel; where the padding and the row are."""
    y, x = np.mgrid[:96, :96]
    image = (scene((96, 96), "float64") * 20 + np.random.default_rng(0).normal(0, 8, (96, 96))).round().astype("int16")
    padding, lost = (y - 48) ** 2 + (x - 48) ** 2 > 44**2, np.zeros(image.shape, bool)
    lost[30:33, 20:70] = True
    image[padding], image[60, 60], image[lost] = -3024, 30000, 0
    return image, padding, lost


@pytest.mark.parametrize("given", ["mask", "auto+zeros"])
def test_padding_and_outliers_are_handed_on_and_what_is_missing_is_filled(given: str) -> None:
    image, padding, lost = padded()
    how = {"mask": lost} if given == "mask" else {"missing": given}
    found = np.asarray(inpaint(image, axes="YX", effort="instant", **how))
    assert found.dtype == image.dtype
    assert np.array_equal(found[~lost], image[~lost])
    assert (found[padding] == -3024).all() and found[60, 60] == 30000
    assert (np.abs(found[lost] - 2000.0) < 1000).all()


def test_outliers_are_filled_when_asked_and_nothing_else_is_changed() -> None:
    image, _, lost = padded()
    found = np.asarray(inpaint(image, axes="YX", effort="instant", mask=lost, outliers="replace"))
    hot = image == 30000
    assert abs(int(found[hot][0]) - 2000) < 1000
    assert np.array_equal(found[~lost & ~hot], image[~lost & ~hot])


def test_the_cost_is_foreseen() -> None:
    cost = estimate(ask("inpaint", scene(), mask=scratch((70, 83)), axes="YX"))
    assert cost.method == "inpainting" and (cost.training_seconds or 0) > 0 and cost.memory > 0


def test_the_shell_inpaints_by_a_mask_file(tmp_path: Path) -> None:
    image, mask = scene(), scratch((70, 83))
    tifffile.imwrite(tmp_path / "raw.tif", np.where(mask, 0, image).astype("uint16"))
    tifffile.imwrite(tmp_path / "mask.tif", mask.astype("uint8"))
    words = ["inpaint", "raw.tif", "-o", "out.ome.tif", "--mask", "mask.tif", "--effort", "instant", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "napari_restore", *words], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert all(json.loads(line) for line in done.stdout.splitlines())
    found = np.asarray(open_image(tmp_path / "out.ome.tif"))
    assert np.array_equal(found[~mask], image[~mask])
    assert np.abs(found[mask].astype(float) - image[mask]).mean() < 3
