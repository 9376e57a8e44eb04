"""What an image knows of itself comes back from every format of ours, and from a layer: axes, sizes, units, place,
names and colours of channels, time step."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from napari.layers import Image as ImageLayer

from napari_restore.core.channel import Channel
from napari_restore.core.geometry import Geometry
from napari_restore.core.options import Writing
from napari_restore.core.region import Region, split
from napari_restore.gui.readers import layers_of
from napari_restore.restoration.result import Restored
from napari_restore.sources import Image, open_image
from napari_restore.sources.units import LENGTHS, TIMES
from napari_restore.store import output
from napari_restore.store.ome_zarr import _COLOURS

FORMATS = (("a.tif", "0.5"), ("a.ome.tif", "0.5"), ("a.zarr", "0.5"), ("a.ome.zarr", "0.4"))
NUMBERS = st.floats(1e-6, 1e6) | st.sampled_from([1.0, 0.1, 1 / 3])
PLACES = st.just(0.0) | st.floats(-1e7, 1e7).filter(lambda number: number == 0 or abs(number) > 1e-9)
COLOURS = st.just("") | st.sampled_from(["FFFFFF", "00FF00", "0000FF"]) | st.integers(1, 2**24 - 1).map("{:06X}".format)


@pytest.fixture(autouse=True, scope="module")
def _no_waiting_for_the_disk() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda _: None)
        yield


@st.composite
def images(draw: st.DrawFn) -> Image:
    axes = draw(st.sampled_from(["YX", "CYX", "ZYX", "TYX", "TZYX", "CZYX", "TCYX", "TCZYX"]))
    length = draw(st.sampled_from(["pixel", *sorted(LENGTHS)]))  # most images have one for all of space
    kinds = {"T": st.sampled_from(sorted(TIMES)), "C": st.just("pixel")}
    units = {a: draw(kinds.get(a, st.just(length) | st.sampled_from(sorted(LENGTHS)))) for a in axes}
    told = [a for a in axes if a != "C"]
    geometry = Geometry.of(
        axes,
        [{"Y": 5, "X": 7}.get(a, draw(st.integers(2, 3))) for a in axes],
        pixel_size={a: draw(NUMBERS) for a in told},
        units=units,
        origin={a: draw(PLACES) for a in told},
    )
    count = geometry.length("C")
    channels = tuple(Channel.of(draw(st.text(max_size=12)), draw(COLOURS)) for _ in range(count))
    known = channels if any(channel != Channel() for channel in channels) else ()
    pixels = np.arange(np.prod(geometry.shape), dtype=np.uint16).reshape(geometry.shape)
    return Image("some cells", geometry, pixels.dtype, pixels.shape, lambda r: pixels[r.slices], channels=known)


def everything() -> Image:
    """An image that knows all that there is to know."""
    geometry = Geometry.of(
        "TCZYX",
        (2, 3, 2, 5, 7),
        pixel_size={"T": 2.5, "Z": 4.0, "Y": 0.1, "X": 1 / 3},
        units={"T": "minute", "Z": "micrometer", "Y": "megameter", "X": "nanometer"},
        origin={"T": 30.0, "Z": -10.25, "Y": 300.0, "X": 5120.7},
    )
    named = (Channel("DAPI", "0000FF"), Channel("<\"&'> µ 核", ""), Channel("", "FF8000"))
    pixels = np.arange(np.prod(geometry.shape), dtype=np.uint16).reshape(geometry.shape)
    return Image("some cells", geometry, pixels.dtype, pixels.shape, lambda r: pixels[r.slices], channels=named)


def written(image: Image, path: Path, version: str) -> Path:
    """As a restoration writes it."""
    facts = {"fingerprint": {}, "name": image.name, "provenance": {}, "channels": image.channels}
    writing = Writing(version=version)  # type: ignore[arg-type]
    made = output.create(path, geometry=image.geometry, dtype=image.dtype, chunks=image.shape, writing=writing, **facts)
    with made as writer:
        for index, region in enumerate(split(image.shape, image.shape)):
            writer.write(index, region, image.read(region))
        return writer.finish()


def chosen(channels: tuple[Channel, ...], count: int) -> tuple[Channel, ...]:
    """With the colours that OME-Zarr, which cannot be without, is given where nobody said one."""
    known = channels or (Channel(),) * count
    return tuple(replace(each, colour=each.colour or _COLOURS[i]) for i, each in enumerate(known))


@settings(max_examples=25, deadline=None)
@given(images())
@example(everything())
def test_a_file_of_ours_holds_all_of_it(image: Image) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name, version in FORMATS:
            again = open_image(written(image, Path(folder) / name, version))
            assert again.geometry == image.geometry, name
            count = image.geometry.length("C")
            wanted = chosen(image.channels, count) if name.endswith("zarr") else image.channels
            assert again.channels == wanted, name
            assert np.array_equal(again.read(), image.read()), name


@settings(max_examples=25, deadline=None)
@given(images())
@example(everything())
def test_layers_hold_all_of_it(image: Image) -> None:
    for number, (data, kwargs, _) in enumerate(layers_of(image)):
        one = open_image(image, channel=number) if data.ndim < image.ndim else image
        layer = ImageLayer(data, **kwargs)
        read = open_image(layer)
        result = Restored(Path("nowhere"), read.geometry, model=None, channels=read.channels)  # type: ignore[arg-type]
        again = open_image(ImageLayer(np.zeros(read.shape), **result.layer_kwargs))
        for each in (read, again):
            assert replace(each.geometry, placement=None) == one.geometry
            # White is what a layer is in of which nobody said a colour.
            said = tuple(replace(c, colour=c.colour.replace("FFFFFF", "")) for c in one.channels)
            assert each.channels == (said if said != (Channel(),) else ())


def test_a_part_and_one_channel_keep_what_they_are_called() -> None:
    pixels = np.zeros((2, 9, 9), np.uint8)
    named = (Channel("DAPI", "0000FF"), Channel("GFP", "00FF00"))
    image = Image(
        "a", Geometry.of("CYX", (2, 9, 9)), pixels.dtype, (1, 9, 9), lambda r: pixels[r.slices], channels=named
    )
    assert open_image(image).channels == named
    assert open_image(image, channel="gfp").channels == named[1:]
    assert open_image(image, channel=0).read(Region((0, 0), (2, 3))).shape == (2, 3)
