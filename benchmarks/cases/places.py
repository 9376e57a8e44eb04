"""Where results lie in the world, and what their files and readers keep (cases 7, 8)."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from napari.layers import Image

from napari_restore import denoise, open_image, super_resolve


def noisy(shape: tuple[int, ...]) -> np.ndarray:
    y, x = np.mgrid[: shape[-2], : shape[-1]]
    clean = 100 + 40 * np.sin(y / 7) * np.cos(x / 9)
    return np.random.default_rng(1).poisson(np.broadcast_to(clean, shape)).astype(np.uint16)


def off(raw: Image, result: Any, rate: int = 1) -> float:
    """How far pixels of a result lie from where they are in the layer, at the most, in pixels of the layer."""
    new = Image(np.asarray(result), **result.layer_kwargs)
    worst = 0.0
    for place in ((0,) * raw.ndim, (1,) * (raw.ndim - 2) + (10, 50), (1,) * (raw.ndim - 2) + (47, 47)):
        there = np.array(place, float)
        there[-2:] = (there[-2:] + 0.5) * rate - 0.5
        worst = max(worst, math.dist(new.data_to_world(there), raw.data_to_world(place)))
    return worst / float(np.abs(raw.scale).min())


def laid(shape: tuple[int, ...] = (64, 64), *, finer: bool = False, **place: Any) -> Callable[[], str]:
    """A layer with a place, restored in a few steps and laid over it by ``layer_kwargs``."""

    def case() -> str:
        raw = Image(noisy(shape), **place)
        result = super_resolve(raw, steps=5) if finer else denoise(raw, steps=5)
        return f"{off(raw, result, 2 if finer else 1):.3g} px off"

    return case


def stage(folder: str) -> Path:
    """An OME-TIFF with a stage position for each plane, and two channels with names and colours."""
    planes = 6
    metadata = {
        "axes": "CZYX",
        "PhysicalSizeX": 0.1,
        "PhysicalSizeY": 0.1,
        "PhysicalSizeZ": 1.0,
        "Channel": {"Name": ["DAPI", "GFP"], "Color": [65535, 16711935]},
        "Plane": {
            "PositionX": [5.12] * planes,
            "PositionXUnit": ["mm"] * planes,
            "PositionY": [300.0] * planes,
            "PositionYUnit": ["µm"] * planes,
            "PositionZ": [10.0, 11.0, 12.0] * 2,
            "PositionZUnit": ["µm"] * planes,
        },
    }
    path = Path(folder) / "stage.ome.tif"
    tifffile.imwrite(path, noisy((2, 3, 64, 64)), metadata=metadata)
    return path


def positions_are_read() -> str:
    with tempfile.TemporaryDirectory() as folder:
        return f"origin {open_image(stage(folder), channel=0).geometry.origin}"


def positions_come_back(ending: str) -> Callable[[], str]:
    def case() -> str:
        raw = Image(noisy((3, 64, 64)), scale=(1, 0.1, 0.1), translate=(10, 300, 5120), units=("um",) * 3)
        with tempfile.TemporaryDirectory() as folder:
            result = denoise(raw, steps=5, output=Path(folder) / f"a{ending}")
            return f"origin {open_image(result.path).geometry.origin}"

    return case


def channels_come_back(ending: str, **opened: Any) -> Callable[[], str]:
    def case() -> str:
        with tempfile.TemporaryDirectory() as folder:
            result = denoise(stage(folder), steps=5, output=Path(folder) / f"a{ending}", **opened)
            return " ".join(_channels(result.path)) or "none"

    return case


def _channels(path: Path) -> list[str]:
    """Names and colours as other programs read them."""
    if path.suffix == ".tif":
        with tifffile.TiffFile(path) as file:
            found = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]["Pixels"]["Channel"]
        channels = found if isinstance(found, list) else [found]
        return [f"{c.get('Name')}:{int(c.get('Color', -1)) & 0xFFFFFFFF:08X}" for c in channels]
    import zarr

    ome = dict(zarr.open_group(path, mode="r").attrs)["ome"]
    return [f"{c.get('label')}:{c.get('color')}" for c in ome["omero"]["channels"]]


CASES: dict[str, Callable[[], str]] = {
    "7 scale, translate": laid(scale=(0.2, 0.2), translate=(5, 7)),
    "7 rotate": laid(scale=(0.2, 0.2), rotate=30),
    "7 shear": laid(shear=[0.3]),
    "7 affine": laid(affine=np.array([[0.9, -0.2, 10], [0.2, 0.9, 5], [0, 0, 1]])),
    "7 flipped": laid(scale=(-1, 1)),
    "7 stack, flipped and turned": laid((3, 64, 64), scale=(1, -0.5, 0.5), rotate=(0, 20, 0)),
    "7 finer output, turned and flipped": laid(finer=True, scale=(-0.5, 0.5), rotate=30, translate=(5, 7)),
    "8 stage positions of an OME-TIFF": positions_are_read,
    "8 position, OME-TIFF and back": positions_come_back(".ome.tif"),
    "8 position, OME-Zarr and back": positions_come_back(".ome.zarr"),
    "8 channels, in OME-TIFF": channels_come_back(".ome.tif"),
    "8 channels, in OME-Zarr": channels_come_back(".ome.zarr"),
    "8 one channel, in OME-TIFF": channels_come_back(".ome.tif", channel="GFP"),
    "8 one channel, in OME-Zarr": channels_come_back(".ome.zarr", channel="GFP"),
}
