"""Pixel sizes, units, place and channels of a TIFF, from the metadata that its writer left."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from napari_restore.core.geometry import MICROMETER
from napari_restore.sources.naming import UNKNOWN_UNIT, unit_name
from napari_restore.sources.optics import Optics, of_image
from napari_restore.sources.units import OME_UNITS, times_larger

_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 282, 283, 296
_INCH, _CENTIMETER = 2, 3
_MICROMETERS = {_INCH: 25_400.0, _CENTIMETER: 10_000.0}
_PRINT_DPI = (1, 72, 75, 90, 96, 100, 120, 144, 150, 180, 200, 240, 300, 350, 360, 400, 600, 720, 1200, 2400, 2.54)
"""Dots an inch that programs write when they know nothing: for paper and screens (2.54 is one a centimeter)."""


@dataclass(frozen=True)
class Scales:
    """What is known by letter of the axis."""

    pixel_size: Mapping[str, float] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    origin: Mapping[str, float] = field(default_factory=dict)
    channel_names: tuple[str, ...] = ()
    channel_colours: tuple[str, ...] = ()

    def at_level(self, full: Any, level: Any) -> Scales:
        """The pixels of a lower level are larger, and the centre of the first lies further in."""
        if full is level:
            return self
        lengths = dict(zip(full.get_axes(False), full.get_shape(False), strict=True))
        shorter = dict(zip(level.get_axes(False), level.get_shape(False), strict=True))
        factor = {axis: lengths[axis] / shorter[axis] for axis in "ZYX" if axis in lengths and axis in shorter}
        size = {axis: self.pixel_size.get(axis, 1.0) * factor.get(axis, 1.0) for axis in {*self.pixel_size, *factor}}
        shift = {axis: size[axis] / f * (f - 1) / 2 for axis, f in factor.items()}
        origin = {axis: self.origin.get(axis, 0.0) + shift.get(axis, 0.0) for axis in {*self.origin, *shift}}
        return replace(self, pixel_size=size, origin=origin)


def scales_of(tif: Any, series: Any, number: int = 0) -> Scales:
    """From the first writer's metadata that there are: OME, LSM, MetaMorph, ImageJ, the TIFF tags.

    ``number`` is that of the image in OME-XML.
    """
    sources: tuple[Callable[[Any, Any], Scales | None], ...] = (partial(_ome, number=number), _lsm, _stk, _imagej)
    found = next((scales for source in sources if (scales := source(tif, series)) is not None), None)
    found = found if found is not None else _tags(series.keyframe)
    return _believable(found)


def _believable(scales: Scales) -> Scales:
    """Without sizes that are no lengths (0, negative, nan): files are full of them."""
    size = {axis: float(s) for axis, s in scales.pixel_size.items() if 0 < float(s) < math.inf}
    return replace(
        scales,
        pixel_size=size,
        units={axis: unit for axis, unit in scales.units.items() if axis in size},
        origin={axis: float(o) for axis, o in scales.origin.items() if math.isfinite(float(o))},
    )


def _ome(tif: Any, series: Any, *, number: int) -> Scales | None:
    if not tif.is_ome or not tif.ome_metadata or series.kind not in ("ome", "mmstack"):
        return None
    pixels = _ome_pixels(ElementTree.fromstring(tif.ome_metadata), series, number)
    if pixels is None:
        return None
    size: dict[str, float] = {}
    units: dict[str, str] = {}
    for axis in "XYZ":
        if f"PhysicalSize{axis}" in pixels.attrib:
            size[axis] = float(pixels.attrib[f"PhysicalSize{axis}"])
            units[axis] = _ome_unit(pixels.get(f"PhysicalSize{axis}Unit", "µm"))
    if "TimeIncrement" in pixels.attrib:
        size["T"] = float(pixels.attrib["TimeIncrement"])
        units["T"] = _ome_unit(pixels.get("TimeIncrementUnit", "s"))
    channels = [element for element in pixels if element.tag.endswith("Channel")]
    names = tuple(channel.get("Name", "") for channel in channels)
    colours = tuple(_ome_colour(channel.get("Color", "")) for channel in channels)
    return Scales(size, units, _ome_origin(pixels, size, units), names, colours)


def _ome_unit(text: str) -> str:
    """A unit by its symbol, in which capitals count (mm, Mm), or by one of its many names."""
    return OME_UNITS.get(text.strip(), unit_name(text))


def _ome_colour(text: str) -> str:
    """Red, green and blue of a colour, which is RGBA as a whole number of 32 bits with a sign; black shows nothing."""
    try:
        digits = f"{int(text) & 0xFFFFFFFF:08X}"[:6]
    except ValueError:
        return ""
    return digits if digits != "000000" else ""


def _ome_origin(pixels: ElementTree.Element, size: Mapping[str, float], units: Mapping[str, str]) -> dict[str, float]:
    """Where the first plane lies: its place on the stage, and its time."""
    planes = (element for element in pixels if element.tag.endswith("Plane"))
    first = next((plane for plane in planes if all(plane.get(f"The{a}", "0") == "0" for a in "ZCT")), None)
    told = {} if first is None else first.attrib
    words = {**{axis: (f"Position{axis}", "µm") for axis in "XYZ"}, "T": ("DeltaT", "s")}
    found: dict[str, float] = {}
    for axis, (word, usual) in words.items():
        if word in told:
            # The frame of reference of a stage, which stands where no unit is given, is in micrometers.
            said = told.get(f"{word}Unit", "reference frame").strip()
            unit = _ome_unit(usual if said == "reference frame" else said)
            times = _times_larger(unit, axis, size, units)
            found |= {axis: _number(told[word]) * times} if times is not None else {}
    return found


def _number(text: str) -> float:
    """A number, or none of which a file says that it is one: no reason to refuse its pixels."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def _times_larger(unit: str, axis: str, size: Mapping[str, float], units: Mapping[str, str]) -> float | None:
    """How many of the axis' own unit one unit is; a pixel is as long as it is."""
    own = units.get(axis, UNKNOWN_UNIT)
    return size[axis] if unit == UNKNOWN_UNIT and own != unit else times_larger(unit, own)


def optics_of(tif: Any, series: Any, number: int) -> Optics | None:
    """What its OME-XML says about the microscope of a series, the image of that number."""
    if not tif.is_ome or not tif.ome_metadata or series.kind not in ("ome", "mmstack"):
        return None
    root = ElementTree.fromstring(tif.ome_metadata)
    pixels = _ome_pixels(root, series, number)
    image = next((each for each in root if any(child is pixels for child in each)), None)
    return of_image(root, image) if image is not None else None


def _ome_pixels(root: ElementTree.Element, series: Any, number: int) -> ElementTree.Element | None:
    """The description of this series: the one of its number if the sizes agree, else the first that agrees."""
    every = [element for element in root.iter() if element.tag.endswith("}Pixels")]
    lengths = dict(zip(series.get_axes(False), series.get_shape(False), strict=True))
    agree = [
        pixels
        for pixels in every
        if all(int(pixels.get(f"Size{axis}", 1)) == lengths.get(axis, 1) for axis in "YXZT" if axis in lengths)
    ]
    own = every[number] if number < len(every) else None
    return own if own in agree else next(iter(agree), None)


def _lsm(tif: Any, series: Any) -> Scales | None:
    if not tif.is_lsm or not tif.lsm_metadata:
        return None
    meta = tif.lsm_metadata
    size = {axis: float(meta.get(f"VoxelSize{axis}", 0)) * 1e6 for axis in "XYZ"}
    units = dict.fromkeys("XYZ", MICROMETER)
    if float(meta.get("TimeIntervall", 0) or 0) > 0:
        size["T"], units["T"] = float(meta["TimeIntervall"]), "second"
    return Scales(size, units)


def _stk(tif: Any, series: Any) -> Scales | None:
    if not tif.is_stk or not tif.stk_metadata or not tif.stk_metadata.get("SpatialCalibration", 1):
        return None
    meta = tif.stk_metadata
    unit = unit_name(meta.get("CalibrationUnits"))
    size = {axis: float(meta[f"{axis}Calibration"]) for axis in "XY" if f"{axis}Calibration" in meta}
    distances = meta.get("ZDistance")
    if distances is not None and len(distances):
        size["Z"] = abs(float(distances[0]))
    return Scales(size, dict.fromkeys(size, unit)) if unit != UNKNOWN_UNIT else None


def _imagej(tif: Any, series: Any) -> Scales | None:
    """ImageJ: pixels a unit in the resolution tags, the unit and the distance of slices in its own text."""
    if not tif.is_imagej or not tif.imagej_metadata:
        return None
    meta = tif.imagej_metadata
    unit = unit_name(_unescaped(str(meta.get("unit", ""))))
    size: dict[str, float] = {}
    units: dict[str, str] = {}
    if unit == UNKNOWN_UNIT and "spacing" in meta:
        size = _in_pixels(series.keyframe, abs(float(meta["spacing"])))
    elif unit != UNKNOWN_UNIT and not _default_of_imagej(series.keyframe, unit):
        size = _by_resolution(series.keyframe)
        if "spacing" in meta:
            size["Z"] = abs(float(meta["spacing"]))
        units = dict.fromkeys(size, unit)
        units |= {a: u for a in "YZ" if (u := unit_name(_unescaped(str(meta.get(f"{a.lower()}unit", ""))))) != "pixel"}
    if float(meta.get("finterval", 0) or 0) > 0:
        size["T"], units["T"] = float(meta["finterval"]), _time_unit(meta)
    scales = Scales(size, units) if size else _tags(series.keyframe)
    return replace(scales, channel_names=_imagej_labels(meta), channel_colours=_imagej_colours(meta))


def _by_resolution(keyframe: Any) -> dict[str, float]:
    """Lengths of a pixel in whatever unit the resolution tags are of."""
    tags = zip("XY", (_X_RESOLUTION, _Y_RESOLUTION), strict=True)
    return {axis: 1 / value for axis, tag in tags if (value := _ratio(keyframe, tag))}


def _in_pixels(keyframe: Any, spacing: float) -> dict[str, float]:
    """How far slices are apart beside how long their pixels are, where nobody knows in which unit.

    Nothing where the tags are of a unit that the distance of the slices may or may not be of.
    """
    tag = keyframe.tags.get(_RESOLUTION_UNIT)
    unit = int(tag.value) if tag is not None and isinstance(tag.value, int) else 1
    value = _ratio(keyframe, _X_RESOLUTION)
    if unit in _MICROMETERS:
        return {"Z": spacing} if value is None or _for_print(value * 25_400 / _MICROMETERS[unit]) else {}
    return {"Z": spacing, **_by_resolution(keyframe)}


def _imagej_labels(meta: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the channels, where all planes of each have a label that is their own; channels vary fastest."""
    count = int(meta.get("channels", 1))
    labels = [str(label) for label in meta.get("Labels") or ()]
    names = [set(labels[i::count]) for i in range(count)]
    whole = len(labels) == int(meta.get("images", len(labels))) and all(len(name) == 1 for name in names)
    found = tuple(name.pop() for name in names) if whole else ()
    return found if count > 1 and len(set(found)) == count else ()


def _imagej_colours(meta: Mapping[str, Any]) -> tuple[str, ...]:
    """Colours of the channels, where their tables go evenly from black to a colour."""
    tables = [np.asarray(table, np.int64) for table in meta.get("LUTs") or ()]
    return tuple(_colour_of_table(table) for table in tables)


def _colour_of_table(table: NDArray[np.int64]) -> str:
    if table.shape != (3, 256):
        return ""
    even = np.linspace(0, table[:, -1], 256).T
    return "".join(f"{value:02X}" for value in table[:, -1]) if np.abs(table - even).max() <= 1 else ""


def _default_of_imagej(keyframe: Any, unit: str) -> bool:
    """ImageJ takes the dots an inch of a picture that it opens for a calibration."""
    inches = {"inch": 1.0, "centimeter": 2.54}.get(unit)
    value = _ratio(keyframe, _X_RESOLUTION)
    return inches is not None and value is not None and _for_print(value * inches)


def _time_unit(meta: Mapping[str, Any]) -> str:
    unit = unit_name(meta.get("tunit", "s"))
    return unit if unit != UNKNOWN_UNIT else "second"


def _unescaped(text: str) -> str:
    return text.replace("\\u00B5", "µ").replace("\\u00b5", "µ")


def _tags(keyframe: Any) -> Scales:
    """The TIFF tags, unless they speak of dots an inch on paper."""
    tag = keyframe.tags.get(_RESOLUTION_UNIT)
    factor = _MICROMETERS.get(int(tag.value)) if tag is not None and isinstance(tag.value, int) else None
    size: dict[str, float] = {}
    for axis, code in (("X", _X_RESOLUTION), ("Y", _Y_RESOLUTION)):
        value = _ratio(keyframe, code)
        if factor is not None and value and not _for_print(value * 25_400.0 / factor):
            size[axis] = factor / value
    return Scales(size, dict.fromkeys(size, MICROMETER))


def _for_print(dpi: float) -> bool:
    return any(math.isclose(dpi, usual, rel_tol=1e-3) for usual in _PRINT_DPI)


def _ratio(keyframe: Any, code: int) -> float | None:
    """A resolution tag as a number, if it is one."""
    tag = keyframe.tags.get(code)
    if tag is None or not isinstance(tag.value, (tuple, list)) or len(tag.value) < 2 or not tag.value[1]:
        return None
    value = float(tag.value[0]) / float(tag.value[1])
    return value if value > 0 else None
