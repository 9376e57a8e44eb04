"""A result lies exactly over its layer in the world, however that lies: in a script, and in the window."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from napari.layers import Image as ImageLayer

from napari_restore.core.geometry import finer_grid
from napari_restore.core.region import Region
from napari_restore.gui.parts.layers import part_of_layer
from napari_restore.gui.readers import layer_of
from napari_restore.restoration.part import geometry_of
from napari_restore.restoration.result import Restored
from napari_restore.sources import open_image

pytestmark = pytest.mark.filterwarnings("ignore:Non-orthogonal slicing")
FEW = settings(max_examples=25, deadline=None)
LENGTHS = {"t": 3, "c": 2, "z": 4, "y": 17, "x": 23}
AXES = ("yx", "zyx", "tyx", "yxz", "tzyx", "czyx", "tczyx")


@st.composite
def placed(draw: st.DrawFn, axes: str) -> dict[str, Any]:
    """Everything that napari may know of a layer's place, each of it or not."""
    n = len(axes)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    place: dict[str, Any] = {}
    if draw(st.booleans()):
        place["scale"] = rng.uniform(0.05, 4, n) * rng.choice([-1, 1], n)
    if draw(st.booleans()):
        place["translate"] = rng.normal(0, 1000, n)
    if draw(st.booleans()):
        place["rotate"] = np.linalg.qr(rng.normal(size=(n, n)))[0]
    if draw(st.booleans()):
        above = np.eye(n) + np.triu(rng.normal(size=(n, n)), 1)
        place["shear"] = above.T if draw(st.booleans()) else above[np.triu_indices(n, 1)]
    if draw(st.booleans()):
        place["affine"] = np.eye(n + 1)
        place["affine"][:-1] += rng.normal(0, 0.3, (n, n + 1))
    return place


@st.composite
def layers(draw: st.DrawFn) -> ImageLayer:
    axes = draw(st.sampled_from(AXES))
    units = tuple("s" if a == "t" else "pixel" if a == "c" else "um" for a in axes)
    pixels = np.zeros([LENGTHS[a] for a in axes], np.uint8)
    return ImageLayer(pixels, axis_labels=tuple(axes), units=units, **draw(placed(axes)))


def shown(geometry: Any) -> ImageLayer:
    """What a script adds to the viewer."""
    result = Restored(Path("nowhere"), geometry, model=None)  # type: ignore[arg-type]
    return ImageLayer(np.zeros(geometry.shape, np.float32), **result.layer_kwargs)


@FEW
@given(st.data())
def test_every_pixel_of_a_result_lies_where_it_is_in_the_layer(data: st.DataObject) -> None:
    raw = data.draw(layers())
    image = open_image(raw)
    start = [0 if a == "C" else data.draw(st.integers(0, n - 1)) for a, n in zip(image.axes, image.shape, strict=True)]
    stop = [n if a == "C" else n - (n - s) // 2 for a, s, n in zip(image.axes, start, image.shape, strict=True)]
    part = Region(tuple(start), tuple(stop))
    rate = {a: data.draw(st.integers(1, 5)) for a in image.axes if a in "ZYX"}
    centred = {a: data.draw(st.booleans()) for a in rate}
    finer = geometry_of(part, image.geometry).refined(rate, centred=centred)
    new = shown(finer)

    # A pixel covers its finer ones, or is a point that the first of them lies on.
    times = np.array([rate.get(a, 1) for a in image.axes])
    inside = np.array([0.5 if centred.get(a, True) else 0.0 for a in image.axes])
    for _ in range(3):
        fine = np.array([data.draw(st.floats(-0.5, n)) for n in finer.shape])
        coarse = start + (fine + inside) / times - inside
        np.testing.assert_allclose(new.data_to_world(fine), raw.data_to_world(coarse), rtol=1e-9, atol=1e-7)
    assert min(finer.pixel_size) > 0
    assert (new.units, new.axis_labels) == (raw.units, raw.axis_labels)
    window = part_of_layer(raw, part).on_grid(*finer_grid(image.axes, rate, centred))
    assert window == finer.placement


@FEW
@given(st.data(), st.sampled_from(["czyx", "zcyx", "tczyx"]))
def test_one_channel_lies_where_it_does_among_the_others(data: st.DataObject, axes: str) -> None:
    raw = ImageLayer(np.zeros([LENGTHS[a] for a in axes], np.uint8), axis_labels=tuple(axes), **data.draw(placed(axes)))
    new = shown(open_image(raw, channel=1).geometry)
    place = np.array([data.draw(st.floats(0, LENGTHS[a])) for a in axes if a != "c"])
    there = raw.data_to_world(np.insert(place, axes.index("c"), 1))
    np.testing.assert_allclose(new.data_to_world(place), np.delete(there, axes.index("c")), rtol=1e-9, atol=1e-7)


def test_a_part_that_is_not_askew_keeps_its_rotation_to_the_eye() -> None:
    raw = ImageLayer(np.zeros((2, 17, 23)), axis_labels=tuple("cyx"), rotate=30, shear=[0, 0, 0.4], scale=(1, 2, -3))
    new = shown(open_image(raw, channel=0).geometry)
    np.testing.assert_array_equal(new.rotate, raw.rotate[1:, 1:])
    np.testing.assert_array_equal(new.shear, [0.4])
    assert new.scale.tolist() == [2, -3]


@pytest.mark.parametrize("place", [{"rotate": 30}, {"scale": (-2, 3)}, {"affine": [[0, -1, 4], [1, 0, 2], [0, 0, 1]]}])
def test_a_level_of_a_multiscale_layer_lies_over_it(place: dict[str, Any]) -> None:
    raw = ImageLayer([np.zeros((64, 96)), np.zeros((32, 32))], multiscale=True, **place)
    new = shown(open_image(raw, level=1).geometry)
    np.testing.assert_allclose(new.data_to_world((0, 0)), raw.data_to_world((0.5, 1)), atol=1e-12)
    np.testing.assert_allclose(new.data_to_world((31, 31)), raw.data_to_world((62.5, 94)), atol=1e-12)


def test_colour_is_turned_too() -> None:
    raw = ImageLayer(np.zeros((17, 23, 3), np.uint8), rgb=True, rotate=30, scale=(2, -3), translate=(5, 6))
    geometry = open_image(raw).geometry
    again = ImageLayer(np.zeros((17, 23, 3), np.uint8), rgb=True, **geometry.placed(2).kwargs)
    np.testing.assert_allclose(again.data_to_world((3, 4)), raw.data_to_world((3, 4)))
    split = ImageLayer(np.zeros((17, 23, 3)), **geometry.placed(3).kwargs)
    np.testing.assert_allclose(split.data_to_world((3, 4, 0))[:2], raw.data_to_world((3, 4)))


def test_the_axes_that_people_name_keep_their_place() -> None:
    raw = ImageLayer(np.zeros((3, 17, 23)), scale=(2, 0.1, -0.1), translate=(9, 1, 2), units=("s", "um", "um"))
    image = open_image(raw, axes="TYX")
    assert (image.geometry.pixel_size, image.geometry.origin) == ((2, 0.1, 0.1), (9, 1, 2))
    assert image.geometry.units == ("second", "micrometer", "micrometer")
    wrong = open_image(raw, axes="CYX").geometry
    assert (wrong.units[0], wrong.pixel_size[0]) == ("pixel", 2)
    np.testing.assert_allclose(shown(wrong).data_to_world((1, 3, 4)), raw.data_to_world((1, 3, 4)))
    thin = ImageLayer(np.zeros((1, 17, 23)), rotate=30, scale=(2, -0.5, 0.1))
    flat = shown(open_image(thin, axes="YX").geometry)
    np.testing.assert_allclose(flat.data_to_world((3, 4)), thin.data_to_world((0, 3, 4))[1:])


def test_who_gives_a_pixel_size_still_gets_a_result_over_the_layer() -> None:
    raw = ImageLayer(np.zeros((17, 23)), scale=(-1, 1))
    geometry = open_image(raw, pixel_size=(0.5, 0.25)).geometry
    assert geometry.pixel_size == (0.5, 0.25)
    np.testing.assert_allclose(shown(geometry).data_to_world((3, 4)), raw.data_to_world((3, 4)))


def test_a_file_whose_axes_run_backwards_is_shown_so(tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    group.create_array("0", data=np.zeros((17, 23), np.uint8))
    moves = [{"type": "scale", "scale": [-0.5, 2]}, {"type": "translation", "translation": [8.0, 1.0]}]
    datasets = [{"path": "0", "coordinateTransformations": moves}]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": ["y", "x"], "datasets": datasets}]
    image = open_image(tmp_path / "a.zarr")
    assert image.geometry.pixel_size == (0.5, 2)
    data, kwargs, _ = layer_of(image)
    for layer in (ImageLayer(data, **kwargs), shown(image.geometry)):
        np.testing.assert_allclose(layer.data_to_world((2, 3)), (7, 7))
    finer = open_image(tmp_path / "a.zarr", pixel_size=(0.1, 0.2))
    assert shown(finer.geometry).scale.tolist() == [-0.1, 0.2]
