"""Output finer than the image: tiled = whole, in any order and after a stop, exactly over the image in the world."""

from __future__ import annotations

import copy
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
import torch
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from napari_restore.core.channel import Channel
from napari_restore.core.events import RestorationStarted, Stopped, TileDone
from napari_restore.core.job import Events, drain
from napari_restore.core.layout import to_samples
from napari_restore.core.normalisation import Normalisation
from napari_restore.core.options import Computing, Restoring, Writing
from napari_restore.core.plan import plan_tiles
from napari_restore.core.region import Region
from napari_restore.core.watch import Watch
from napari_restore.methods.apply import per_axis, restore_region
from napari_restore.methods.method import Method
from napari_restore.restoration.engine import restore_events
from napari_restore.restoration.plan import name_suffix, plan_restoration, tiles_over, usual_tile
from napari_restore.restoration.reading import facts_of
from napari_restore.restoration.result import Restored
from napari_restore.restoration.running import Place
from napari_restore.restoration.work import TileJob, run_batch
from napari_restore.sources import Image, open_image
from napari_restore.store.model import Model

CPU = torch.device("cpu")
NORMALISATION = Normalisation((100.0,), (20.0,))


@dataclass(frozen=True)
class FinerConfig:
    rate: tuple[int, ...]
    centred: tuple[bool, ...]


class Finer(Method):
    """Pools, filters, repeats pixels and filters again: it depends on the grid, on neighbours, and on the phase."""

    label, citation, Config, efforts = "Finer", "", FinerConfig, {}

    def __init__(self, config: FinerConfig, *, spatial: str, channels: int = 1) -> None:
        super().__init__(config, spatial=spatial, channels=channels)
        weights = torch.rand((3,) * len(spatial), generator=torch.Generator().manual_seed(1))
        self.register_buffer("weights", weights / weights.sum())

    @property
    def radius(self) -> tuple[int, ...]:
        return (2,) * len(self.spatial)

    @property
    def grid(self) -> tuple[int, ...]:
        return (2,) * len(self.spatial)

    @property
    def rate(self) -> tuple[int, ...]:
        return self.config.rate

    @property
    def centred(self) -> tuple[bool, ...]:
        return self.config.centred

    def restore(self, pixels: Tensor) -> Tensor:
        ndim = len(self.spatial)
        pool = torch.nn.functional.avg_pool2d if ndim == 2 else torch.nn.functional.avg_pool3d
        filtered = self._filter(pixels) + 0.5 * repeated(pool(pixels, 2), (2,) * ndim)
        fine = repeated(filtered, self.rate)
        for axis, rate in enumerate(self.rate, start=2):
            shape = [-1 if a == axis else 1 for a in range(fine.ndim)]
            fine = fine + torch.arange(fine.shape[axis]).remainder(rate).view(shape)
        return self._filter(fine)

    def _filter(self, pixels: Tensor) -> Tensor:
        ndim, single = len(self.spatial), pixels.flatten(0, 1)[:, None]
        convolve = torch.nn.functional.conv2d if ndim == 2 else torch.nn.functional.conv3d
        return convolve(single, self.weights[None, None], padding=1).view(pixels.shape)

    def for_restoring(self) -> Method:
        return copy.deepcopy(self)


def repeated(pixels: Tensor, times: tuple[int, ...]) -> Tensor:
    for axis, n in enumerate(times, start=2):
        pixels = pixels.repeat_interleave(n, axis)
    return pixels


def finer(spatial: str, rate: tuple[int, ...], *, centred: tuple[bool, ...] | None = None, channels: int = 1) -> Model:
    method = Finer(FinerConfig(rate, centred or (True,) * len(rate)), spatial=spatial, channels=channels)
    return Model("finer", method.eval(), Normalisation((100.0,) * channels, (20.0,) * channels))


def noise(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(100, 20, shape).astype(np.float32)


def events_of(
    image: Image,
    model: Model,
    output: Path,
    *,
    stop: threading.Event | None = None,
    version: str = "0.5",
    **how: object,
) -> Events[Restored]:
    return restore_events(
        image,
        model,
        output=output,
        restoring=Restoring(**how),  # type: ignore[arg-type]
        computing=Computing(device="cpu", precision="float32"),
        writing=Writing(version=version),  # type: ignore[arg-type]
        watch=Watch(stop),
    )


def restored(image: Image, model: Model, output: Path, **options: object) -> Restored:
    return drain(events_of(image, model, output, **options))  # type: ignore[arg-type]


def at_once(pixels: np.ndarray, model: Model) -> np.ndarray:
    """The whole image through the method in one piece, without any plan: mirrored, restored, cropped."""
    rate, halo = model.method.rate, 4
    far = [(halo, halo + n % 2) for n in pixels.shape]
    padded = (np.pad(pixels, far, mode="reflect") - 100) / 20
    out = model.method.restore(torch.from_numpy(padded)[None, None])[0, 0].numpy() * 20 + 100
    return out[tuple(slice(halo * r, (halo + n) * r) for n, r in zip(pixels.shape, rate, strict=True))]


CASES = [
    ("YX", (17, 23), (2, 2), (6, 8)),
    ("YX", (17, 23), (3, 3), (4, 10)),
    ("YX", (17, 23), (1, 2), (17, 4)),
    ("ZYX", (5, 17, 23), (1, 2, 2), (2, 8, 6)),
    ("ZYX", (5, 17, 23), (4, 1, 1), (2, 6, 12)),
    ("ZYX", (7, 9, 11), (2, 2, 2), (4, 4, 4)),
]
IDS = ["-".join(map(str, case[2])) for case in CASES]


@pytest.mark.parametrize(("axes", "shape", "rate", "tile"), CASES, ids=IDS)
def test_tiles_equal_the_whole(
    axes: str, shape: tuple[int, ...], rate: tuple[int, ...], tile: tuple[int, ...], tmp_path: Path
) -> None:
    image, model = open_image(noise(shape), axes=axes), finer(axes, rate)
    tiled = restored(image, model, tmp_path / "t.zarr", tile=tile, together=3)
    wanted = at_once(noise(shape), model)
    assert tiled.report["tiles"] > 3
    assert tiled.shape == wanted.shape == tuple(n * r for n, r in zip(shape, rate, strict=True))
    np.testing.assert_allclose(np.asarray(tiled), wanted, atol=1e-4)
    np.testing.assert_array_equal(np.asarray(restored(image, model, tmp_path / "w.zarr")).shape, wanted.shape)
    np.testing.assert_allclose(np.asarray(open_image(tmp_path / "w.zarr")), wanted, atol=1e-4)


def test_a_chunk_of_the_output_is_a_tile(tmp_path: Path) -> None:
    restored(open_image(noise((17, 23))), finer("YX", (2, 3)), tmp_path / "t.zarr", tile=(6, 8))
    array = zarr.open_array(tmp_path / "t.zarr" / "0", mode="r")
    assert (array.shape, array.chunks) == ((34, 69), (12, 24))


@pytest.mark.parametrize("axes", ["XYC", "YXC", "XZCY", "TCYX"])
def test_a_result_has_the_axes_of_its_source(axes: str, tmp_path: Path) -> None:
    shape = tuple({"Y": 17, "X": 23, "C": 3, "Z": 2, "T": 2}[a] for a in axes)
    pixels, model = noise(shape), finer("YX", (2, 3), channels=3)
    result = restored(open_image(pixels, axes=axes), model, tmp_path / "r.zarr", tile=(6, 8))
    assert result.axes == axes
    assert result.shape == tuple({"Y": 34, "X": 69, "C": 3, "Z": 2, "T": 2}[a] for a in axes)
    got = to_samples(np.asarray(result), axes, "YX")
    for sample, raw in zip(got, to_samples(pixels, axes, "YX"), strict=True):
        for channel, plane in zip(sample, raw, strict=True):
            np.testing.assert_allclose(channel, at_once(plane, model), atol=1e-4)


@pytest.mark.parametrize(("axes", "shape", "rate", "tile"), CASES, ids=IDS)
def test_any_order_and_any_company_give_the_same_bytes(
    axes: str, shape: tuple[int, ...], rate: tuple[int, ...], tile: tuple[int, ...]
) -> None:
    image, method = open_image(noise(shape), axes=axes), finer(axes, rate).method
    plan = tiles_over(image, method, Restoring(tile=tile))
    job = TileJob(image, method, NORMALISATION, plan, 2, np.dtype(np.float32), CPU, "float32")
    forth, back = np.full(plan.output_shape, np.nan), np.full(plan.output_shape, np.nan)
    for index in range(len(plan)):
        (found,) = run_batch(job, [index])
        assert found.region == plan.write(index)
        forth[found.region.slices] = found.pixels
    for index in reversed(range(0, len(plan), 2)):
        pair = [i for i in (index + 1, index) if i < len(plan)]
        for found in run_batch(job, pair):
            back[found.region.slices] = found.pixels
    assert np.isfinite(forth).all()
    np.testing.assert_array_equal(forth, back)


def test_a_stopped_run_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    image, model = open_image(noise((17, 23))), finer("YX", (2, 2))
    whole = restored(image, model, tmp_path / "w.zarr", tile=(4, 6))
    stop = threading.Event()
    regions = []
    for event in events_of(image, model, tmp_path / "s.zarr", tile=(4, 6), stop=stop):
        if isinstance(event, TileDone):
            regions.append(event.region)
            stop.set()
    assert isinstance(event, Stopped)
    assert 0 < len(regions) < whole.report["tiles"]
    assert regions[0] == Region((0, 0), (8, 12))
    resumed = restored(image, model, tmp_path / "s.zarr", tile=(4, 6))
    np.testing.assert_array_equal(np.asarray(resumed), np.asarray(whole))


def test_a_stopped_result_is_as_large_and_lies_where_it_will(tmp_path: Path) -> None:
    image, model = open_image(noise((17, 23))), finer("YX", (2, 2))
    stop = threading.Event()
    stop.set()
    result = restored(image, model, tmp_path / "s.zarr", tile=(4, 6), stop=stop)
    assert not result.complete
    assert result.shape == np.asarray(result).shape == (34, 46)
    assert result.translate == (-0.25, -0.25)


def test_another_rate_does_not_go_on_with_an_unfinished_output() -> None:
    image = open_image(noise((17, 23)))
    marks, place = [], Place(CPU, "float32", "CPU")
    for rate in ((2, 2), (2, 1)):
        model = finer("YX", rate)
        tiles = tiles_over(image, model.method, Restoring(tile=(4, 6)))
        plan = plan_restoration(image, model, tiles, Restoring(together=1), place=place, facts=facts_of(image))
        marks.append(plan.fingerprint)
    assert [m["rate"] for m in marks] == [[2, 2], [2, 1]]
    assert [m["model"].pop("config")["rate"] for m in marks] == [(2, 2), (2, 1)]
    assert {k: v for k, v in marks[0].items() if k != "rate"} == {k: v for k, v in marks[1].items() if k != "rate"}


def test_pixels_that_are_not_finite_are_handed_on_in_all_their_finer_pixels(tmp_path: Path) -> None:
    pixels = noise((5, 17, 23))
    pixels[0, 3, 5], pixels[4, 16, 22] = np.nan, -np.inf
    result = restored(open_image(pixels, axes="ZYX"), finer("ZYX", (1, 3, 2)), tmp_path / "n.zarr", tile=(2, 4, 6))
    found = np.asarray(result)
    np.testing.assert_array_equal(np.isfinite(found), np.isfinite(pixels).repeat(3, 1).repeat(2, 2))
    assert np.isnan(found[0, 9:12, 10:12]).all()
    assert (found[4, 48:, 44:] == -np.inf).all()
    assert result.report["not_finite"] == 2


@pytest.mark.parametrize(("axes", "shape", "rate", "tile"), CASES, ids=IDS)
def test_a_region_is_that_of_the_whole_image(
    axes: str, shape: tuple[int, ...], rate: tuple[int, ...], tile: tuple[int, ...]
) -> None:
    image, model = open_image(noise(shape), axes=axes), finer(axes, rate)
    wanted = at_once(noise(shape), model)
    plan = plan_tiles(shape, largest=[t - 1 for t in tile], radius=(0,) * len(shape), grid=(1,) * len(shape))
    for index in range(len(plan)):
        region = plan.own(index)
        found = restore_region(model.method, image, region, normalisation=NORMALISATION, device=CPU)
        assert found.shape == region.scale(rate).shape
        np.testing.assert_allclose(found, wanted[region.scale(rate).slices], atol=1e-4)


@st.composite
def parts(draw: st.DrawFn, shape: tuple[int, ...]) -> Region:
    """Boxes in an image, of one pixel or more, anywhere."""
    start = tuple(draw(st.integers(0, n - 1)) for n in shape)
    return Region(start, tuple(draw(st.integers(a + 1, n)) for a, n in zip(start, shape, strict=True)))


@settings(max_examples=25)
@pytest.mark.parametrize(("axes", "shape", "rate", "tile"), CASES, ids=IDS)
@given(data=st.data())
def test_a_part_is_the_same_crop_of_the_whole(
    axes: str, shape: tuple[int, ...], rate: tuple[int, ...], tile: tuple[int, ...], data: st.DataObject
) -> None:
    image, model, part = open_image(noise(shape), axes=axes), finer(axes, rate), data.draw(parts(shape))
    plan = tiles_over(image, model.method, Restoring(tile=tile, region=part))
    job = TileJob(image, model.method, NORMALISATION, plan, 2, np.dtype(np.float32), CPU, "float32")
    found = np.full(part.scale(rate).shape, np.nan, np.float32)
    for index in range(0, len(plan), 2):
        for made in run_batch(job, range(index, min(index + 2, len(plan)))):
            found[made.region.slices] = made.pixels
    np.testing.assert_allclose(found, at_once(noise(shape), model)[part.scale(rate).slices], atol=1e-4)


@pytest.mark.parametrize("name", ["x.zarr", "x.ome.tif"])
def test_a_part_lies_exactly_over_its_place_in_the_image(name: str, tmp_path: Path) -> None:
    image = open_image(noise((5, 17, 23)), axes="ZYX", pixel_size={"Z": 2.0, "Y": 0.5, "X": 0.25})
    model, part = finer("ZYX", (2, 3, 1), centred=(False, True, True)), Region((1, 3, 5), (4, 17, 6))
    whole = restored(image, model, tmp_path / "w.zarr")
    result = restored(image, model, tmp_path / name, region=part)
    assert result.shape == np.asarray(result).shape == (6, 42, 1)
    first = part.scale((2, 3, 1)).start
    there = [o + i * s for o, i, s in zip(whole.translate, first, whole.scale, strict=True)]
    np.testing.assert_allclose(result.translate, there, atol=1e-12)
    assert (result.scale, result.units) == (whole.scale, whole.units)
    opened = open_image(tmp_path / name)
    assert opened.axes == "ZYX" and opened.geometry.pixel_size == result.scale
    assert opened.geometry == result.geometry


@pytest.mark.parametrize("name", ["x.zarr", "x.ome.tif"])
def test_channels_keep_their_names_and_colours(name: str, tmp_path: Path) -> None:
    named = (Channel("DAPI", "0000FF"), Channel("GFP", "FF8000"))
    image = replace(open_image(noise((2, 3, 17, 23)), axes="CZYX"), channels=named)
    model = finer("ZYX", (1, 2, 2), channels=2)
    result = restored(image, model, tmp_path / name, region=Region((0, 1, 3, 5), (2, 3, 15, 21)))
    assert result.channels == open_image(result.path).channels == named
    assert "colormap" not in result.layer_kwargs
    one = restored(open_image(image, channel="GFP"), finer("ZYX", (1, 2, 2)), tmp_path / f"one_{name}")
    assert one.channels == open_image(one.path).channels == named[1:]
    assert one.layer_kwargs["colormap"] == "#ff8000"


def test_values_per_axis_may_be_truths() -> None:
    assert per_axis("TZYX", "ZYX", (False, True, True), default=True) == (True, False, True, True)


@pytest.mark.parametrize("version", ["0.5", "0.4"])
def test_the_file_says_where_its_pixels_lie(version: str, tmp_path: Path) -> None:
    image = open_image(noise((3, 5, 17, 23)), axes="TZYX", pixel_size={"Z": 2.0, "Y": 0.5, "X": 0.3})
    model = finer("ZYX", (4, 2, 3), centred=(False, True, True))
    result = restored(image, model, tmp_path / "x.zarr", version=version)
    back = open_image(tmp_path / "x.zarr")
    assert back.geometry == result.geometry
    assert back.shape == (3, 20, 34, 69)
    np.testing.assert_allclose(back.geometry.pixel_size, (1, 0.5, 0.25, 0.1))
    np.testing.assert_allclose(back.geometry.origin, (0, 0, -0.125, -0.1))
    assert back.geometry.units[1:] == ("micrometer",) * 3


@pytest.mark.parametrize(("size", "unit"), [(0.5, "µm"), (None, "pixel")])
def test_a_tiff_says_where_its_pixels_lie(size: float | None, unit: str, tmp_path: Path) -> None:
    known = {"Y": size, "X": size} if size else None
    result = restored(open_image(noise((17, 23)), pixel_size=known), finer("YX", (2, 2)), tmp_path / "x.ome.tif")
    with tifffile.TiffFile(tmp_path / "x.ome.tif") as file:
        header = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]["Pixels"]
    assert (header["SizeY"], header["SizeX"]) == (34, 46)
    fine = (size or 1) / 2
    assert (header["PhysicalSizeX"], header["PhysicalSizeXUnit"]) == (fine, unit)
    assert (header["Plane"]["PositionX"], header["Plane"]["PositionXUnit"]) == (-fine / 2, unit)
    assert open_image(tmp_path / "x.ome.tif").geometry == result.geometry


def test_the_layer_lies_exactly_over_the_raw_one(tmp_path: Path) -> None:
    layers = pytest.importorskip("napari.layers")
    raw = layers.Image(
        noise((5, 17, 23)), name="ct", scale=(3, 0.5, 0.2), translate=(10, -7, 1), axis_labels=("z", "y", "x")
    )
    result = restored(open_image(raw), finer("ZYX", (1, 2, 4)), tmp_path / "x.zarr")
    over = layers.Image(np.asarray(result), **result.layer_kwargs)
    assert over.name == "ct_superresolved"
    np.testing.assert_allclose(edges(over), edges(raw), atol=1e-12)
    assert over.units == raw.units and over.axis_labels == raw.axis_labels


def edges(layer: object) -> np.ndarray:
    """World positions of the outermost pixel areas' corners."""
    shape = np.array(layer.data.shape)  # type: ignore[attr-defined]
    return np.array([layer.data_to_world(corner) for corner in (np.full(len(shape), -0.5), shape - 0.5)])  # type: ignore[attr-defined]


def test_who_shows_the_result_is_told_how_fine_it_is(tmp_path: Path) -> None:
    image = open_image(noise((2, 3, 17, 23)), axes="TZYX")
    model = finer("ZYX", (4, 1, 1), centred=(False, True, True))
    events = events_of(image, model, tmp_path / "x.zarr")
    started = next(event for event in events if isinstance(event, RestorationStarted))
    events.close()
    assert started.rate == (1, 4, 1, 1)
    assert started.centred == (True, False, True, True)
    assert started.suffix == "superresolved"
    assert started.tile == (1, 4, 18, 24)


def test_a_method_names_what_it_makes() -> None:
    assert name_suffix(finer("YX", (1, 1)).method) == "denoised"
    assert name_suffix(finer("YX", (1, 2)).method) == "superresolved"
    assert name_suffix(SimpleNamespace(rate=(1, 1), suffix="deblurred")) == "deblurred"  # type: ignore[arg-type]


def method_with(radius: int, rate: int, ndim: int = 2) -> SimpleNamespace:
    return SimpleNamespace(spatial="ZYX"[-ndim:], radius=(radius,) * ndim, rate=(rate,) * ndim, tile=None, neighbours=0)


@pytest.mark.parametrize("rate", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("radius", [5, 12, 23])
def test_halos_of_finer_outputs_cost_no_more(radius: int, rate: int) -> None:
    size = usual_tile(method_with(radius, rate))[0]  # type: ignore[arg-type]
    assert ((size + 2 * radius) / size) ** 2 <= 1.25
    assert 256 <= size * rate <= 4096


@pytest.mark.parametrize(
    ("radius", "rate", "tile"), [(5, 1, 256), (5, 2, 128), (9, 2, 256), (23, 1, 512), (23, 2, 512), (23, 8, 512)]
)
def test_usual_tiles(radius: int, rate: int, tile: int) -> None:
    assert usual_tile(method_with(radius, rate)) == (tile, tile)  # type: ignore[arg-type]
