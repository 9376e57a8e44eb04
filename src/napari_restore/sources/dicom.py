"""DICOM: one file (of one frame or many), or a folder with a series of them, as a volume in millimeters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_restore.core.errors import ImageError
from napari_restore.core.region import Region
from napari_restore.sources import formats
from napari_restore.sources.caching import RecentBlocks
from napari_restore.sources.described import MIB, Described, Wanted, explaining, most_from, only_level
from napari_restore.sources.dicom_headers import Plane, read_planes
from napari_restore.sources.dicom_pixels import decode_frame
from napari_restore.sources.dicom_tiles import Mosaic, Tiling
from napari_restore.sources.series import Held, index_of
from napari_restore.sources.views import fixed

_CACHE_BYTES = 64 * MIB
_SURE_PLANE = 128 * MIB
"""Decoders hold a plane two or three times; the largest radiographs take 60 MiB."""

_EVEN = 0.05
"""Distances of slices that differ by less than this share of their median are called even."""


def open_dicom(path: Path, wanted: Wanted) -> Described:
    """One DICOM file."""
    wanted.only_one(path.name)
    planes = read_planes(path)
    return _describe(planes, path.stem if path.suffix.lower() in (".dcm", ".dicom", ".ima") else path.name, path)


def open_series(folder: Path, wanted: Wanted) -> Described:
    """A series of a folder, the largest where none is named, in the order of its slices along their normal."""
    only_level(wanted.level, 1, folder.name)
    series: dict[Any, list[Plane]] = {}
    faults: list[ImageError] = []
    for file in formats.visible_files(folder):
        if formats.format_of_file(file) != "DICOM":
            continue
        try:
            planes = read_planes(file)
        except ImageError as error:
            faults.append(error)
            continue
        series.setdefault(planes[0].series, []).extend(planes)
    if not series:
        raise faults[0] if faults else ImageError(f"{folder} holds no DICOM images. Give the folder of one series.")
    every = list(series.values())
    held = [_held(i, planes) for i, planes in enumerate(every)]
    number = every.index(max(every, key=len)) if wanted.series is None else index_of(wanted.series, held, folder.name)
    described = _describe(every[number], folder.name, folder)
    held[number] = replace(held[number], opened=True)
    return replace(
        described,
        notes=described.notes + _left_out(every, number, faults, named=wanted.series is not None),
        series=tuple(held) if len(held) > 1 else (),
    )


def _held(index: int, planes: Sequence[Plane]) -> Held:
    files = dict.fromkeys(str(plane.path) for plane in planes)
    tiling = planes[0].tiling
    shape = (len(planes), *planes[0].shape) if tiling is None else tiling.total
    return Held(index, planes[0].title, None, shape, tuple(files))


def _left_out(
    every: Sequence[Sequence[Plane]], number: int, faults: Sequence[ImageError], *, named: bool
) -> tuple[str, ...]:
    notes = []
    if len(every) > 1 and not named:
        chosen = f"{every[number][0].title} ({len(every[number])} slices)"
        notes.append(
            f"the folder holds {len(every)} series; the largest, {number}, {chosen}, is read: `series` takes another"
        )
    if faults:
        notes.append(f"{len(faults)} DICOM files are left out; the first: {faults[0]}")
    return tuple(notes)


def _describe(planes: Sequence[Plane], name: str, location: Path) -> Described:
    """Planes of one series as one image."""
    first = planes[0]
    _refuse_unlike(planes)
    if first.tiling is not None:
        return _put_together(planes, first.tiling, name, location)
    planes, located = _located(planes)
    ordered, shape, letters, notes = _arrange(planes)
    dtype = _rescaled_dtype(planes)
    stack = _Stack(ordered, shape, dtype)
    size, origin, more = _spacing(ordered, shape, letters)
    axes = letters + ("YXC" if first.samples > 1 else "YX")
    notes = (*notes, *located, *more)
    if first.photometric == "MONOCHROME1":
        notes = (*notes, "small values mean white in this image (MONOCHROME1); they are kept as they are stored")
    return Described(
        name=name,
        axes=axes,
        shape=stack.shape,
        dtype=dtype,
        chunks=(1,) * len(shape) + stack.shape[len(shape) :],
        reader=stack.read,
        pixel_size=size,
        units={axis: "second" if axis == "T" else "millimeter" for axis in size},
        origin=origin,
        location=str(location),
        notes=notes,
        filling=_filling(planes, dtype),
        thickness=first.thickness if "Z" in size else None,
    )


def _put_together(planes: Sequence[Plane], tiling: Tiling, name: str, location: Path) -> Described:
    """Tiles as the planes that they are of, one for each optical path and focal plane."""
    first, dtype = planes[0], _rescaled_dtype(planes[:1])
    if first.samples > 1 and tiling.counts[0] > 1:
        raise ImageError(f"{name}: {tiling.counts[0]} optical paths in colour are not read. Export one of them.")
    stack = _Stack(planes, (len(planes),), dtype)
    mosaic = Mosaic(tiling, stack.plane, first.samples, dtype)
    notes = [f"its {len(planes)} tiles are put together into planes of {tiling.total[0]} x {tiling.total[1]} pixels"]
    if tiling.absent:
        notes.append(f"{tiling.absent} tiles were not taken; their pixels read as {mosaic.fill}")
    size = {} if first.spacing is None else dict(zip("YX", first.spacing, strict=True))
    if tiling.counts[1] > 1 and first.slice_distance is not None:
        size["Z"] = first.slice_distance
    described = Described(
        name=name,
        axes="CZYX" if first.samples == 1 else "?ZYXC",
        shape=mosaic.shape,
        dtype=dtype,
        chunks=(1, 1, *first.shape),
        reader=mosaic.read,
        pixel_size=size,
        units=dict.fromkeys(size, "millimeter"),
        location=str(location),
        notes=(*notes, *_spaced_note(first)),
    )
    return fixed(described, {axis: 0 for axis in range(2) if tiling.counts[axis] == 1})


def _spaced_note(plane: Plane) -> tuple[str, ...]:
    if plane.spacing is None:
        return ("its pixel spacing is missing or damaged",)
    return (f"its pixel size is that of {plane.spaced_by}: at the detector",) if plane.spaced_by else ()


def _located(planes: Sequence[Plane]) -> tuple[Sequence[Plane], tuple[str, ...]]:
    """Planes without positions, or all with the same one, at what the header calls their location, if these differ."""
    heights, locations = {plane.height for plane in planes}, {plane.location for plane in planes}
    told = None not in heights and len(heights) > 1
    if told or len(planes) < 2 or None in locations or len(locations) < 2 or planes[0].frame_time is not None:
        return planes, ()
    note = "its slices have no positions of their own; they are at their SliceLocation"
    return [replace(plane, height=plane.location) for plane in planes], (note,)


def _filling(planes: Sequence[Plane], dtype: np.dtype[Any]) -> tuple[tuple[float, float], ...]:
    """The padding of all planes, in the values that the image stands for."""
    spans = set()
    for plane in planes:
        if plane.padding is not None:
            ends = [(np.float64(value) * plane.slope + plane.intercept).astype(dtype) for value in plane.padding]
            spans.add((float(min(ends)), float(max(ends))))
    return tuple(sorted(spans))


def _refuse_unlike(planes: Sequence[Plane]) -> None:
    first = planes[0]
    odd = next((p for p in planes if (p.shape, p.stored.kind) != (first.shape, first.stored.kind)), None)
    if odd is not None:
        raise ImageError(
            f"{odd.path.name} is {odd.shape} pixels of {odd.stored}, {first.path.name} is {first.shape} of "
            f"{first.stored}: all slices of a series must agree. Take the odd ones out."
        )
    nbytes = first.stored.itemsize * int(np.prod(first.shape))
    if nbytes > most_from(first.path.stat().st_size, nbytes, _SURE_PLANE):
        raise ImageError(f"{first.path.name} claims slices of {nbytes / MIB:.0f} MiB: more than its length can hold.")


def _arrange(planes: Sequence[Plane]) -> tuple[list[Plane], tuple[int, ...], str, tuple[str, ...]]:
    """Planes in order, the shape of the axes they are stacked along, the letters, and notes.

    Several planes at each position are times.
    """
    if len(planes) == 1:
        return list(planes), (), "", ()
    if planes[0].frame_time is not None:
        return list(planes), (len(planes),), "T", ()
    heights = [plane.height for plane in planes]
    if any(height is None for height in heights):
        if len({plane.path for plane in planes}) == 1:
            return list(planes), (len(planes),), "Z", ("its frames have no positions; their order in the file is kept",)
        ordered = sorted(planes, key=lambda plane: plane.instance)
        return ordered, (len(planes),), "Z", ("its slices have no positions; they are in order of instance number",)
    ordered = sorted(planes, key=lambda plane: (round(plane.height or 0.0, 3), plane.instance))
    count = len({round(height or 0.0, 3) for height in heights})
    if count == len(planes):
        return ordered, (count,), "Z", ()
    return _arrange_times(ordered, count)


def _arrange_times(ordered: list[Plane], count: int) -> tuple[list[Plane], tuple[int, ...], str, tuple[str, ...]]:
    times = len(ordered) // count
    heights = np.round([plane.height or 0.0 for plane in ordered], 3)
    if times * count != len(ordered) or np.any(heights.reshape(count, times) != heights[::times, None]):
        raise ImageError(
            f"{ordered[0].path.parent.name}: {len(ordered)} slices lie at {count} positions, not equally many at each: "
            "slices are missing, or several series are mixed. Put one complete series in the folder."
        )
    grid = [ordered[z * times + t] for t in range(times) for z in range(count)]
    note = f"{times} slices at each position are taken as times"
    return (grid, (times,), "T", (note,)) if count == 1 else (grid, (times, count), "TZ", (note,))


def _spacing(
    ordered: Sequence[Plane], shape: tuple[int, ...], letters: str
) -> tuple[dict[str, float], dict[str, float], tuple[str, ...]]:
    """Pixel sizes in millimeters (seconds for T), origin, notes."""
    first = ordered[0]
    size: dict[str, float] = {}
    origin: dict[str, float] = {}
    notes = _spaced_note(first)
    if first.spacing is not None:
        size["Y"], size["X"] = first.spacing
    if first.corner is not None and size:
        origin["Y"], origin["X"] = first.corner
    if "T" in letters and first.frame_time is not None:
        size["T"] = first.frame_time
    if "Z" in letters:
        slices = ordered[: shape[letters.index("Z")]]
        distance, uneven = _distance(slices)
        notes += uneven
        if distance is not None:
            size["Z"] = distance
            origin |= {} if first.height is None else {"Z": first.height}
    return size, origin, notes


def _distance(slices: Sequence[Plane]) -> tuple[float | None, tuple[str, ...]]:
    """The distance of neighbouring slices: measured between positions, else as the header says."""
    heights = [plane.height for plane in slices if plane.height is not None]
    if len(heights) < len(slices) or len(slices) < 2:
        return slices[0].slice_distance, ()
    gaps = np.diff(np.asarray(heights))
    median = float(np.median(gaps))
    if median <= 0:
        return slices[0].slice_distance, ()
    if np.any(np.abs(gaps - median) > _EVEN * median):
        span = f"{gaps.min():.3g} to {gaps.max():.3g} mm"
        return median, (f"its slices are {span} apart, taken as {median:.3g} mm; one may be missing",)
    return float(np.mean(gaps)), ()


def _rescaled_dtype(planes: Sequence[Plane]) -> np.dtype[Any]:
    """The smallest type for all rescaled values: as stored, int16, int32, or float32 where they are no integers."""
    if all(plane.slope == 1 and plane.intercept == 0 for plane in planes):
        return planes[0].stored if len({plane.stored for plane in planes}) == 1 else np.dtype(np.float32)
    if planes[0].stored.kind == "f" or any(p.slope % 1 or p.intercept % 1 for p in planes):
        return np.dtype(np.float32)
    ends = [value * plane.slope + plane.intercept for plane in planes for value in plane.value_range]
    for dtype in (np.dtype(np.int16), np.dtype(np.int32)):
        limits = np.iinfo(dtype)
        if limits.min <= min(ends) and max(ends) <= limits.max:
            return dtype
    return np.dtype(np.float32)


class _Stack:
    """Reads planes of a series; the last ones decoded are kept."""

    def __init__(self, planes: Sequence[Plane], outer: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self._planes, self._outer, self._dtype = planes, outer, dtype
        self.shape = (*outer, *planes[0].shape)
        self._recent = RecentBlocks(_CACHE_BYTES)

    def read(self, region: Region) -> NDArray[Any]:
        count = len(self._outer)
        result = np.empty(region.shape, self._dtype)
        inner = region.slices[count:]
        for corner in np.ndindex(region.shape[:count]):
            place = tuple(c + s for c, s in zip(corner, region.start, strict=False))
            index = int(np.ravel_multi_index(place, self._outer)) if place else 0
            result[corner] = self.plane(index)[inner]
        return result

    def plane(self, index: int) -> NDArray[Any]:
        """One of the planes, whole."""
        return self._recent.get(index, lambda: self._decode(self._planes[index]))

    def _decode(self, plane: Plane) -> NDArray[Any]:
        from pydicom.errors import BytesLengthException, InvalidDicomError

        with explaining(
            f"{plane.path.name}: frame {plane.frame} cannot be decoded", BytesLengthException, InvalidDicomError
        ):
            stored = decode_frame(plane)
        if stored.shape != plane.shape:
            raise ImageError(f"{plane.path.name}: its header says {plane.shape} pixels, its data are {stored.shape}.")
        if plane.slope == 1 and plane.intercept == 0:
            return stored.astype(self._dtype, copy=False)
        if self._dtype.kind == "f":
            return (stored * np.float64(plane.slope) + plane.intercept).astype(self._dtype)
        return (stored.astype(np.int64) * int(plane.slope) + int(plane.intercept)).astype(self._dtype)
