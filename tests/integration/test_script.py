"""The verbs from Python, as a script or the napari console calls them."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

import napari_restore
from napari_restore import denoise, evaluate, list_methods, load_model, open_image, restore, submit, train
from napari_restore.core.errors import InterruptedWorkError, RestoreError
from napari_restore.core.events import Measured, TileDone, Trained

QUICK = {"width": 4, "depth": 1}


def test_importing_the_package_loads_no_torch_and_no_room() -> None:
    code = (
        "import sys, napari_restore; print(sorted(m for m in sys.modules if m in ('torch', 'numpy', 'zarr', 'dask')))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_every_public_name_is_there() -> None:
    assert all(hasattr(napari_restore, name) for name in napari_restore.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = napari_restore.nonsense


def test_denoise_removes_noise_and_keeps_the_signal(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    y, x = np.ogrid[:128, :128]
    clean = (100 + 40 * np.sin(y / 9) * np.cos(x / 7)).astype(np.float32)
    noisy = clean + rng.normal(0, 20, clean.shape).astype(np.float32)
    result = denoise(noisy, steps=250, output=tmp_path / "o.zarr", **QUICK)
    before, after = evaluate(noisy, clean)["psnr"], evaluate(result, clean)["psnr"]
    assert after > before + 6


def test_a_layer_gives_a_result_that_lies_over_it(noisy_stack: Any) -> None:
    layers = pytest.importorskip("napari.layers")
    turned = {"rotate": 30, "affine": [[1, 0, 0, 4], [0, 2, 0.5, 0], [0, 0, 1, -9], [0, 0, 0, 1]]}
    place = {"scale": (0.3, 0.1, -0.1), "translate": (5, 6, 7), "units": ("um",) * 3, **turned}
    raw = layers.Image(noisy_stack, name="raw", **place)
    result = denoise(raw, steps=5, **QUICK)
    shown = layers.Image(result, **result.layer_kwargs)
    assert shown.name == "raw_denoised"
    assert shown.data.shape == raw.data.shape
    for attribute in ("scale", "translate"):
        np.testing.assert_array_equal(getattr(shown, attribute), getattr(raw, attribute))
    assert shown.units == raw.units
    np.testing.assert_allclose(shown.data_to_world((1, 20, 30)), raw.data_to_world((1, 20, 30)))
    assert result.path.is_dir()
    assert str(result.path) in repr(result)


def test_train_save_load_restore(noisy_stack: Any, tmp_path: Path) -> None:
    model = train([noisy_stack[:3], noisy_stack[3:]], steps=5, **QUICK)
    path = model.save(tmp_path / "m.safetensors")
    first = restore(noisy_stack, model, output=tmp_path / "a.zarr")
    second = restore(noisy_stack, load_model(path), output=tmp_path / "b.zarr")
    np.testing.assert_array_equal(np.asarray(first), np.asarray(second))


def test_zarr_and_dask_and_numpy_give_the_same(noisy_stack: Any, tmp_path: Path) -> None:
    da = pytest.importorskip("dask.array")
    model = train(noisy_stack, steps=5, **QUICK)
    stored = zarr.create_array(tmp_path / "in.zarr", shape=noisy_stack.shape, chunks=(2, 40, 40), dtype="uint16")
    stored[:] = noisy_stack
    kinds = {"numpy": noisy_stack, "zarr": stored, "dask": da.from_array(noisy_stack, chunks=(2, 30, 83))}
    results = {k: np.asarray(restore(v, model, output=tmp_path / f"{k}.zarr")) for k, v in kinds.items()}
    np.testing.assert_array_equal(results["numpy"], results["zarr"])
    np.testing.assert_array_equal(results["numpy"], results["dask"])


def test_submit_is_a_future_that_can_be_stopped(noisy_stack: Any, tmp_path: Path) -> None:
    job = submit("denoise", noisy_stack, seconds=600, output=tmp_path / "o.zarr", **QUICK)
    while not isinstance(job.latest, Measured):
        assert not job.done()
    assert "training" in repr(job)
    job.stop()
    assert job.result(timeout=60) is None
    done = submit(denoise, noisy_stack, steps=3, output=tmp_path / "p.zarr", **QUICK)
    assert done.result(timeout=60).complete
    failed = submit("restore", noisy_stack, tmp_path / "none.safetensors")
    with pytest.raises(RestoreError, match="cannot be read"):
        failed.result(timeout=60)
    with pytest.raises(RestoreError, match="the verbs are"):
        submit("explode", noisy_stack)


def test_a_stopped_restoration_is_unfinished_and_goes_on(noisy_stack: Any, tmp_path: Path) -> None:
    model = train(noisy_stack, steps=3, neighbours="0", **QUICK)  # a tile a plane, so that there is one to stop after
    stop = threading.Event()
    events = napari_restore.restore_events(noisy_stack, model, output=tmp_path / "o.zarr", stop=stop)
    partial = None
    while partial is None:
        try:
            if isinstance(next(events), TileDone):
                stop.set()
        except StopIteration as end:
            partial = end.value
    assert not partial.complete
    assert "unfinished" in repr(partial)
    assert partial.shape == noisy_stack.shape == partial[...].shape
    whole = restore(noisy_stack, model, output=tmp_path / "o.zarr")
    assert whole.complete
    assert np.asarray(whole).min() > 0


def test_a_stop_after_the_last_step_of_training_stops_the_restoration_and_says_so(
    noisy_stack: Any, tmp_path: Path
) -> None:
    stop = threading.Event()
    seen = []
    events = napari_restore.denoise_events(noisy_stack, steps=3, output=tmp_path / "o.zarr", stop=stop, **QUICK)
    for event in events:
        seen.append(type(event).__name__)
        if isinstance(event, Trained):
            stop.set()
    assert seen[-1] == "Stopped"
    assert "RestorationStarted" in seen
    assert denoise(noisy_stack, steps=3, output=tmp_path / "o.zarr", **QUICK).complete


def test_a_stop_before_there_is_a_result_is_said(noisy_stack: Any) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(InterruptedWorkError, match="stopped while training"):
        denoise(noisy_stack, steps=5, stop=stop, **QUICK)


def test_methods_are_listed_with_their_papers() -> None:
    assert {"name", "label", "needs", "citation"} == set(list_methods()[0])
    cited = {each["name"]: each["citation"] for each in list_methods()}
    assert "10.1109/CVPR.2019.00223" in cited["noise2void"] and "arXiv:2312.11232" in cited["scale_equivariant"]


def test_evaluate_names_what_is_wrong(noisy_stack: Any) -> None:
    with pytest.raises(RestoreError, match="give a reference"):
        evaluate(noisy_stack, noisy_stack[:2])
    with pytest.raises(RestoreError, match="measure 'beauty' is unknown"):
        evaluate(noisy_stack, measures=["beauty"])


def test_images_that_do_not_belong_together_are_refused(noisy_stack: Any) -> None:
    with pytest.raises(RestoreError, match="the same axes and channels"):
        train([noisy_stack, np.zeros((2, 30, 30), np.uint8)[0]], steps=3)
    assert open_image(noisy_stack).axes == "ZYX"
