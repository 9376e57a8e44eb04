"""napari layers, known by what they offer and not by their class: napari is not imported here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from napari_restore.core.errors import ImageError
from napari_restore.core.geometry import guess_axes
from napari_restore.sources.arrays import describe_array
from napari_restore.sources.described import Described, only_level
from napari_restore.sources.naming import letters_of, unit_name


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
    count = len(shape) - rgb
    scale, translate = _padded(layer.scale, count, 1.0), _padded(layer.translate, count, 0.0)
    units = _units_of(layer, count)
    letters = axes.replace("C", "", 1) if rgb else axes
    sizes = {a: s * f for a, s, f in zip(letters, scale, factors, strict=False)}
    origin = {a: t + s * (f - 1) / 2 for a, s, t, f in zip(letters, scale, translate, factors, strict=False)}
    return replace(
        described,
        axes=axes,
        pixel_size=sizes,
        origin=origin,
        units=dict(zip(letters, units, strict=False)),
        notes=notes,
        alpha=rgb and shape[-1] == 4,
        files=(*described.files, *_opened_from(layer)),
    )


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
    names = tuple(unit_name(unit) for unit in units)[-count:]
    return ("pixel",) * (count - len(names)) + names
