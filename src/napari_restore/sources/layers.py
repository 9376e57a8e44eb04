"""napari layers, known by what they offer and not by their class: napari is not imported here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from napari_restore.core.channel import Channel
from napari_restore.core.errors import ImageError
from napari_restore.core.geometry import guess_axes
from napari_restore.core.placement import Placement
from napari_restore.sources.arrays import describe_array
from napari_restore.sources.described import Described, only_level
from napari_restore.sources.naming import letters_of, unit_name
from napari_restore.sources.optics import Optics, from_ome_xml


def is_layer(thing: Any) -> bool:
    """Whether this is a napari layer of any kind."""
    return all(hasattr(thing, word) for word in ("data", "scale", "translate", "name"))


def describe_layer(layer: Any, level: int) -> Described:
    """An image layer: its array, with the layer's scale, translation, units and axis labels."""
    # napari hands plugins and the console a proxy, which still answers for the class of what it wraps.
    kind = layer.__class__.__name__.lower()
    if kind != "image" and (kind in _OTHER_LAYERS or not hasattr(layer, "rgb")):
        raise ImageError(f"layer {layer.name!r} is a {kind} layer: only image layers can be restored. Select an image.")
    rgb = bool(getattr(layer, "rgb", False))
    data, factors = _level_of(layer, level)
    described = describe_array(data, 0, name=str(layer.name))
    shape = described.shape
    axes, notes = described.axes, described.notes
    if axes is None:
        axes, guess = _axes_of(layer, shape, rgb)
        notes += (guess,) if guess else ()
    placement = placement_of(layer, ndim=len(shape) - rgb)
    placement = placement.on_grid([(f - 1) / 2 for f in factors[: placement.ndim]], factors[: placement.ndim])
    letters = axes.replace("C", "", 1) if rgb else axes
    facts = list(zip(letters, placement.scale, placement.translate, placement.units, strict=True))
    channels = _channels_of(layer, count=shape[axes.index("C")] if "C" in axes else 1)
    return replace(
        described,
        axes=axes,
        channel_names=tuple(channel.name for channel in channels),
        channel_colours=tuple(channel.colour for channel in channels),
        pixel_size={letter: abs(scale) for letter, scale, _, _ in facts},
        origin={letter: place for letter, _, place, _ in facts},
        units={letter: unit_name(unit) for letter, _, _, unit in facts},
        placement=placement,
        notes=notes + _askew_note(placement),
        alpha=rgb and shape[-1] == 4,
        files=(*described.files, *_opened_from(layer)),
        read_optics=partial(_optics_in_metadata, layer),
    )


def made_from(layer: Any) -> str | None:
    """The local file that a layer was made from, where it says so: napari notes it, our own reader too."""
    ours = _metadata(layer).get("napari_restore")
    noted = ours.get("location") if isinstance(ours, Mapping) else None
    for path in (*_opened_from(layer), noted):
        if isinstance(path, str) and "://" not in path:
            return path
    return None


def _optics_in_metadata(layer: Any) -> Optics | None:
    """From OME-XML that a reader has put into the layer's metadata, as several do."""
    texts = (value for value in _metadata(layer).values() if isinstance(value, str) and "<OME" in value[:4096])
    return next((found for text in texts if (found := from_ome_xml(text)) is not None), None)


def _metadata(layer: Any) -> Mapping[str, Any]:
    metadata = getattr(layer, "metadata", None)
    return metadata if isinstance(metadata, Mapping) else {}


def placement_of(layer: Any, *, ndim: int | None = None) -> Placement:
    """Where a layer lies in the world, all of it: scale, translate, rotate, shear, affine, units, names of axes."""
    count = int(layer.ndim) if ndim is None else ndim
    labels = tuple(str(label) for label in getattr(layer, "axis_labels", ()))
    matrices = {name: getattr(layer, name, None) for name in ("rotate", "shear")}
    return Placement.of(
        _padded(layer.scale, count, 1.0),
        _padded(layer.translate, count, 0.0),
        _units_of(layer, count),
        **matrices,
        affine=getattr(getattr(layer, "affine", None), "affine_matrix", None),
        labels=() if len(labels) != count or _are_numbers(labels) else labels,
    )


def _channels_of(layer: Any, *, count: int) -> tuple[Channel, ...]:
    """Names from where our reader and results leave them; the colour of a layer of one channel is what it has now."""
    metadata = getattr(layer, "metadata", None)
    ours = metadata.get("napari_restore") if isinstance(metadata, Mapping) else None
    told = ours.get("channels") if isinstance(ours, Mapping) else None
    known = [each if isinstance(each, Mapping) else {} for each in told] if isinstance(told, Sequence) else []
    channels = [Channel.of(each.get("name"), each.get("colour")) for each in known]
    if count == 1 and not getattr(layer, "rgb", False):
        return (replace(channels[0] if len(channels) == 1 else Channel(), colour=_colour_of(layer)),)
    return tuple(channels) if len(channels) == count else ()


def _colour_of(layer: Any) -> str:
    """The colour that a layer goes to from black, if it is any; gray is no colour, as it is every layer's."""
    colours = getattr(getattr(layer, "colormap", None), "colors", None)
    if colours is None or np.shape(colours) not in ((2, 3), (2, 4)) or np.any(np.asarray(colours)[0, :3]):
        return ""
    found = "".join(f"{round(float(value) * 255):02X}" for value in np.asarray(colours)[1, :3])
    return "" if found in ("FFFFFF", "000000") else found


def _are_numbers(labels: Sequence[str]) -> bool:
    """Whether nobody named these axes: napari counts them from the last, -1."""
    return all(label == f"{i - len(labels)}" for i, label in enumerate(labels))


def _askew_note(placement: Placement) -> tuple[str, ...]:
    """What a file cannot hold, in words."""
    flipped = min(placement.scale, default=1.0) < 0
    if not flipped and not {"rotate", "shear", "affine"} & placement.kwargs.keys():
        return ()
    return ("flipped, rotated, sheared or with an affine: the layer of a result is so too, its file is not",)


_OTHER_LAYERS = frozenset({"labels", "points", "shapes", "surface", "tracks", "vectors", "graph"})


def _level_of(layer: Any, level: int) -> tuple[Any, tuple[float, ...]]:
    """The array of a level, and how many pixels of level 0 one of its pixels spans, an axis."""
    if not getattr(layer, "multiscale", False):
        only_level(level, 1, str(layer.name))
        return layer.data, (1.0,) * len(layer.data.shape)
    only_level(level, len(layer.data), str(layer.name))
    full, data = layer.data[0].shape, layer.data[level]
    return data, tuple(a / b for a, b in zip(full, data.shape, strict=True))


def _axes_of(layer: Any, shape: Sequence[int], rgb: bool) -> tuple[str, str | None]:
    """The letters that the axis labels stand for, or a guess."""
    count = len(shape) - rgb
    letters = letters_of(tuple(getattr(layer, "axis_labels", ()))[-count:])
    if letters is not None and len(letters) == count and not (rgb and "C" in letters):
        return letters + "C" * rgb, None
    axes, note = guess_axes((*shape[:count], 1, 1)[:count])
    return (axes.replace("C", "Z") if rgb and "Z" not in axes else axes) + "C" * rgb, note


def _opened_from(layer: Any) -> tuple[str, ...]:
    """The file that napari made the layer from."""
    path = getattr(getattr(layer, "source", None), "path", None)
    return (str(path),) if path is not None and "://" not in str(path) else ()


def _padded(values: Any, count: int, missing: float) -> tuple[float, ...]:
    known = tuple(float(v) for v in values)[-count:]
    return (missing,) * (count - len(known)) + known


def _units_of(layer: Any, count: int) -> tuple[str, ...]:
    """Names of the layer's units, which are pint units or strings."""
    units = getattr(layer, "units", None) or ()
    if isinstance(units, str):
        units = (units,) * count
    names = tuple(str(unit) for unit in units)[-count:]
    return ("pixel",) * (count - len(names)) + names
