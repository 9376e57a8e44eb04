"""Tiled = whole, and a region = a crop of it, through the engine and on disk: any tile, any axes, odd sizes."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import torch
import zarr

from napari_restore import open_image, restore, restore_events
from napari_restore.core.errors import OutputError
from napari_restore.core.events import TileDone
from napari_restore.core.normalisation import Normalisation
from napari_restore.restoration.part import part_of
from napari_restore.store.model import Model, build_method


def trained_looking(spatial: str, depth: int, *, channels: int = 1, seed: int = 0) -> Model:
    """Random weights with batch statistics measured on noise, as training leaves them."""
    torch.manual_seed(seed)
    floor = ((-1.0, 0.1), (1.0, 0.3))  # of an untrained network: in part more is left, and pixels are kept
    config = {"dimensions": str(len(spatial)), "width": 4, "depth": depth, "floor": (floor,) * channels}
    method = build_method("noise2void", config, spatial=spatial, channels=channels, seed=seed)
    for module in method.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.momentum = None
    with torch.no_grad():
        for _ in range(4):
            method.train().restore(torch.randn(4, channels, *(32,) * len(spatial)))
    return Model("noise2void", method.eval(), Normalisation((100.0,) * channels, (20.0,) * channels))


CASES = [
    ("YX", (77, 101), 1, (16, 22)),
    ("YX", (77, 101), 2, (20, 44)),
    ("YX", (131, 90), 3, (40, 33)),
    ("ZYX", (7, 37, 41), 1, (3, 16, 20)),
    ("ZYX", (5, 45, 39), 2, (2, 20, 16)),
    ("ZYX", (3, 41, 30), 3, (2, 24, 32)),
]


@pytest.mark.parametrize(("axes", "shape", "depth", "tile"), CASES)
def test_tiles_equal_the_whole(
    axes: str, shape: tuple[int, ...], depth: int, tile: tuple[int, ...], tmp_path: Path
) -> None:
    image = np.random.default_rng(0).normal(100, 20, shape).astype(np.float32)
    model = trained_looking(axes, depth)
    options = {"axes": axes, "precision": "float32"}
    whole = np.asarray(restore(image, model, output=tmp_path / "w.zarr", tile=shape, **options))
    tiled = np.asarray(restore(image, model, output=tmp_path / "t.zarr", tile=tile, **options))
    assert whole.std() > 0.1
    assert np.abs(tiled - whole).max() <= 1e-5 * whole.std()


REGIONS = [
    ("YX", (77, 101), 2, (20, 44), "Y=13:60,X=7:99"),  # between two steps of the grid
    ("YX", (77, 101), 2, (20, 44), "Y=:31,X=70:"),  # in a corner
    ("YX", (131, 90), 3, (40, 33), "Y=64:65,X=33:34"),  # one pixel
    ("YX", (131, 90), 3, (40, 33), "Y=130:131,X=89:90"),  # the last one
    ("YX", (77, 101), 3, (16, 16), "Y=3:5"),  # shorter than the halo, and whole across
    ("ZYX", (5, 45, 39), 2, (2, 20, 16), "Z=3,Y=11:40,X=5:39"),
    ("ZYX", (3, 41, 30), 3, (2, 24, 32), "Z=1:,X=9:10"),
]


@pytest.mark.parametrize(("axes", "shape", "depth", "tile", "region"), REGIONS, ids=[case[-1] for case in REGIONS])
def test_a_region_is_the_same_crop_of_the_whole(
    axes: str, shape: tuple[int, ...], depth: int, tile: tuple[int, ...], region: str, tmp_path: Path
) -> None:
    image = np.random.default_rng(0).normal(100, 20, shape).astype(np.float32)
    model, options = trained_looking(axes, depth), {"axes": axes, "precision": "float32"}
    part = part_of(region, open_image(image, axes=axes))
    assert part is not None
    whole = restore(image, model, output=tmp_path / "w.zarr", **options)
    result = restore(image, model, output=tmp_path / "r.zarr", tile=tile, region=region, **options)
    assert result.shape == np.asarray(result).shape == open_image(tmp_path / "r.zarr").shape == part.shape
    assert result.translate == open_image(tmp_path / "r.zarr").geometry.origin == part.start
    found, wanted = np.asarray(result), np.asarray(whole)[part.slices]
    # Values of 100 are rounded by some 1e-5 themselves, several times on the way: without AVX-512 that shows.
    rounding = 8 * np.finfo(np.float32).eps * np.abs(wanted).max()
    assert np.abs(found - wanted).max() <= 1e-5 * np.asarray(whole).std() + rounding


@pytest.mark.parametrize("region", ["Y=20:60,X=36:101", "Y=40:77,X=36:", "Y=0:80,X=0:36"])
def test_a_region_that_begins_on_a_tile_is_the_whole_to_the_last_bit(region: str, tmp_path: Path) -> None:
    image = np.random.default_rng(0).normal(100, 20, (97, 101)).astype(np.float32)
    model, options = trained_looking("YX", 2), {"tile": (20, 36), "precision": "float32", "together": 3}
    part = part_of(region, open_image(image))
    assert part is not None
    whole = np.asarray(restore(image, model, output=tmp_path / "w.zarr", **options))
    found = np.asarray(restore(image, model, output=tmp_path / "r.zarr", region=part, **options))
    assert [zarr.open_array(tmp_path / name / "0").chunks for name in ("w.zarr", "r.zarr")] == [(20, 36)] * 2
    np.testing.assert_array_equal(found, whole[part.slices])


def test_a_region_of_one_plane_time_and_all_channels(tmp_path: Path) -> None:
    image = np.random.default_rng(1).normal(100, 20, (30, 2, 3, 34, 2)).astype(np.float32)
    model = trained_looking("YX", 1, channels=3)
    whole = restore(image, model, output=tmp_path / "w.zarr", axes="YTCXZ", precision="float32")
    region = {"T": 1, "z": (0, 1), "X": (3, 20)}
    result = restore(image, model, output=tmp_path / "r.zarr", axes="YTCXZ", precision="float32", region=region)
    assert (result.axes, result.shape) == ("YTCXZ", (30, 1, 3, 17, 1))
    np.testing.assert_allclose(np.asarray(result), np.asarray(whole)[:, 1:, :, 3:20, :1], atol=1e-4)


def test_another_region_does_not_go_on_with_an_unfinished_output(tmp_path: Path) -> None:
    image, model = np.random.default_rng(1).normal(100, 20, (70, 64)).astype(np.float32), trained_looking("YX", 1)
    options = {"output": tmp_path / "r.zarr", "tile": (16, 16), "precision": "float32"}
    stop = threading.Event()
    for event in restore_events(image, model, region="Y=5:50", stop=stop, **options):
        if isinstance(event, TileDone):
            stop.set()
    for other, said in (("Y=5:49", r"region.Y \[5, 50\], this run has \[5, 49\]"), (None, "region")):
        with pytest.raises(OutputError, match=said):
            restore(image, model, region=other, **options)
    found = restore(image, model, region="Y=5:50", **options)
    whole = restore(image, model, output=tmp_path / "w.zarr", region="Y=5:50", tile=(16, 16), precision="float32")
    np.testing.assert_array_equal(np.asarray(found), np.asarray(whole))


def test_planes_times_and_channels_are_restored_each_by_itself(tmp_path: Path) -> None:
    image = np.random.default_rng(1).normal(100, 20, (2, 3, 2, 30, 34)).astype(np.float32)
    model = trained_looking("YX", 1, channels=3)
    together = np.asarray(restore(image, model, output=tmp_path / "a.zarr", axes="TCZYX", precision="float32"))
    alone = np.asarray(restore(image[1, :, 0], model, output=tmp_path / "b.zarr", axes="CYX", precision="float32"))
    np.testing.assert_allclose(together[1, :, 0], alone, atol=1e-4)


@pytest.mark.parametrize("axes", ["YXC", "XYC", "CYX"])
def test_a_result_has_the_axes_of_its_source(axes: str, tmp_path: Path) -> None:
    shape = tuple({"Y": 30, "X": 41, "C": 3}[a] for a in axes)
    image = np.random.default_rng(2).normal(100, 20, shape).astype(np.float32)
    result = restore(image, trained_looking("YX", 1, channels=3), output=tmp_path / "r.zarr", axes=axes)
    assert result.axes == axes
    assert result.shape == shape == np.asarray(result).shape
    back = np.moveaxis(np.asarray(result), [axes.index(a) for a in "CYX"], [0, 1, 2])
    np.testing.assert_array_equal(back, result.levels[0][:])
    np.testing.assert_array_equal(result[..., 1], np.asarray(result)[..., 1])


def test_pixels_that_are_not_finite_are_handed_on_and_spoil_no_others(tmp_path: Path) -> None:
    image = np.random.default_rng(3).normal(100, 20, (40, 40)).astype(np.float32)
    image[3, 5], image[20, 7] = np.nan, np.inf
    result = restore(image, trained_looking("YX", 1), output=tmp_path / "n.zarr")
    found = np.asarray(result)
    assert np.isnan(found[3, 5])
    assert np.isinf(found[20, 7])
    assert np.count_nonzero(~np.isfinite(found)) == 2 == result.report["not_finite"]


def test_a_model_from_its_file_restores_the_same_bytes(tmp_path: Path) -> None:
    image = np.random.default_rng(4).normal(100, 20, (50, 60)).astype(np.float32)
    model = trained_looking("YX", 2)
    model.save(tmp_path / "m.safetensors")
    first = restore(image, model, output=tmp_path / "a.zarr", precision="bfloat16")
    second = restore(image, tmp_path / "m.safetensors", output=tmp_path / "b.zarr", precision="bfloat16")
    np.testing.assert_array_equal(np.asarray(first), np.asarray(second))
