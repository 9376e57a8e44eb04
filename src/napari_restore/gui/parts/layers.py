"""The layer that shows a result: beside the raw one, exactly over it, filling in while tiles are written."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Image as ImageLayer

from napari_restore.core.events import RestorationStarted
from napari_restore.core.geometry import AXES, finer_grid
from napari_restore.core.placement import Placement
from napari_restore.core.region import Region
from napari_restore.sources.image import Image
from napari_restore.sources.layers import placement_of

_LARGEST_PLANE = 4096
"""Pixels along Y or X above which a finished result is shown as a pyramid; below, level 0 is quick and exact in 3-D."""

PART = "_part"
"""Ends the names of results that are of a part of the image."""

_NEARLY_ALL = 0.998
"""Of the pixels are within the contrast of their deviations."""

_LEAST_PAUSE = 0.3
"""Seconds between two refreshes, at least: a refresh reads the whole plane in the GUI thread."""


_MIXING = frozenset({"additive", "minimum", "multiplicative"})
"""Blendings in which a layer hides nothing of those below: where it shows the same anew, both would count."""

_MADE_BY = "made_by"
"""What made a result, in its layer's metadata."""


def made_by(layer: Any) -> str:
    """The method that a layer is a result of; nothing where it is none."""
    ours = layer.metadata.get("napari_restore") if isinstance(layer.metadata, dict) else None
    return str(ours.get(_MADE_BY, "")) if isinstance(ours, dict) else ""


_COMPARES = "compares"


def mark_comparison(layer: Any) -> None:
    """It shows how two others differ: selected, it is not the next one to be restored."""
    layer.metadata["napari_restore"] = {**layer.metadata.get("napari_restore", {}), _COMPARES: True}


def is_comparison(layer: Any) -> bool:
    """Whether a layer is a difference or a map of two others."""
    ours = getattr(layer, "metadata", {}).get("napari_restore")
    return isinstance(ours, dict) and bool(ours.get(_COMPARES))


class ResultLayer:
    """Shows one result, from the first tile to the finished file.

    It copies the raw layer's place in the world when it is made, so that the raw layer may be deleted meanwhile.
    A result layer that the user deletes stays deleted.

    Parameters
    ----------
    part
        What is restored of the image; all of it where not given.
    """

    def __init__(self, viewer: Any, raw: Any, image: Image, *, part: Region | None = None) -> None:
        self._viewer = viewer
        self._raw = raw
        self._image = image
        self._name = raw.name
        self._looks = looks_of(raw)
        if part is not None and mixes(raw):
            self._looks.pop("blending")  # around the part the raw layer stays in sight: it is covered, and not hidden
        self._part = part
        self._covered: list[Any] = []
        self._place = part_of_layer(raw, part)
        self._axes = image.axes[: self._place.ndim]
        self._centred: Mapping[str, bool] = {}
        self._cost = 0.0
        self._drawn = 0.0
        self.layer: Any = None
        self.begun = False

    @property
    def shown(self) -> bool:
        """Whether the layer is in the viewer."""
        return self.layer is not None and self.layer in self._viewer.layers

    @property
    def pause(self) -> float:
        """Seconds to wait before the next refresh: never more than a tenth of the time goes into refreshing."""
        return max(_LEAST_PAUSE, 9 * self._cost, self._drawn + _LEAST_PAUSE - time.monotonic())

    def begin(
        self,
        path: str | Path,
        array: str,
        *,
        started: RestorationStarted | None = None,
        older: Sequence[ResultLayer] = (),
    ) -> None:
        """Show the output that is being filled in; if it was finished and renamed meanwhile, ``finish`` will.

        ``started`` says how the result is called and what makes it, and where its pixels lie if there are more of them
        than in the image; ``older`` are results shown before.
        """
        if started is not None:
            parts = [self._name, started.suffix, *([started.method] if started.method else [])]
            self._looks["name"] = "_".join(parts) + (PART if self._part is not None else "")
            self._centred = dict(zip(self._image.axes, started.centred, strict=False))
        import zarr

        try:
            opened = zarr.open_array(Path(path) / array, mode="r")
        except FileNotFoundError:
            return
        self._show(opened)
        self._cover([one.layer for one in older if one.shown and one is not self and one._raw is self._raw])

    def refresh(self) -> None:
        """Show the tiles written since the last time."""
        if not self.shown:
            return
        started = time.monotonic()
        self.layer.refresh(extent=False, highlight=False, thumbnail=False)
        self._drawn = time.monotonic()
        self._cost = self._drawn - started

    def finish(self, levels: Sequence[Any], *, metadata: Mapping[str, Any] | None = None, made_by: str = "") -> None:
        """Show the finished file, which has another name than the unfinished one, and keep where it came from."""
        if not self.begun:
            self._show(levels[0])
            self._cover()
        if not self.shown:
            return
        arranged = [self._arranged(level) for level in levels]
        if len(arranged) > 1 and max(arranged[0].shape[self._axes.index(a)] for a in "YX") > _LARGEST_PLANE:
            self._swap(arranged)
        else:
            self.layer.data = arranged[0]
            self.layer.refresh(thumbnail=True)
        self.layer.metadata = {**self.layer.metadata, **(metadata or {})}
        ours = self.layer.metadata.get("napari_restore", {})
        self.layer.metadata["napari_restore"] = {**ours, _MADE_BY: made_by or "a model"}

    def hide(self, *, of: Any) -> None:
        """A newer result of the same layer is there: this one is hidden, and can be shown again."""
        if self.shown and of is self._raw:
            self.layer.visible = False

    def show_again(self) -> None:
        """It is gone back to: seen again, also where the user has taken it away."""
        if self.layer is None:
            return
        if not self.shown:
            insert_above(self._viewer, self.layer, self._raw)
        self.layer.visible = True
        self._cover()

    def raise_(self) -> None:
        """Put it over all other images; what is drawn stays above it."""
        if not self.shown:
            return
        layers = self._viewer.layers
        highest = max(i for i, layer in enumerate(layers) if isinstance(layer, ImageLayer))
        if (index := layers.index(self.layer)) < highest:
            layers.move(index, highest + 1)

    def show_whole(self, path: str | Path) -> None:
        """Show an OME-Zarr that has got its final name."""
        import zarr

        group = zarr.open_group(Path(path), mode="r")
        self.finish([group[name] for name in sorted(group.array_keys(), key=int)])

    def add_deviations(self, levels: Sequence[Any]) -> None:
        """Show how sure each pixel is, in a layer of its own above the result; hidden, to be looked at when wanted."""
        least = np.asarray(levels[-1])
        known = least[np.isfinite(least)]
        limits = (0.0, float(np.quantile(known, _NEARLY_ALL))) if known.any() else (0.0, 1.0)
        place = self._place.on_grid(*finer_grid(self._axes, dict.fromkeys(self._axes, 1), {}))
        looks = {"name": f"{self._name}_std", "colormap": "magma", "contrast_limits": limits, "visible": False}
        data = arrange(levels[0], self._image)
        if self._looks["rgb"]:  # one for all colours
            import dask.array as da

            data = da.from_array(data, chunks=getattr(data, "chunks", "auto")).mean(self._image.axes.index("C"))
        layer = ImageLayer(data, cache=False, multiscale=False, **looks, **place.kwargs)
        insert_above(self._viewer, layer, self.layer if self.shown else self._raw)

    def discard(self) -> None:
        """Take the layer away: another run shows the same output. What was hidden for it is seen again."""
        if self.shown:
            self._uncover()
            self._viewer.layers.remove(self.layer)

    def give_way(self) -> bool:
        """The run was stopped: hidden where nothing of the plane in view is restored yet: it would hide what is there.

        It can be shown again. True where it is hidden.
        """
        dims = self._viewer.dims
        if not self.shown or dims.ndisplay != 2:
            return False
        data, missing = self.layer.data, dims.ndim - self.layer.ndim
        at = np.clip(
            np.round(self.layer.world_to_data(dims.point)).astype(int), 0, np.array(data.shape[: len(self._axes)]) - 1
        )
        plane = tuple(slice(None) if axis + missing in dims.displayed else int(i) for axis, i in enumerate(at))
        if empty := not np.any(np.asarray(data[plane])):
            self._uncover()
            self.layer.visible = False
        else:
            self.layer.refresh()  # a tile written since the last time would be black
        return empty

    def gone(self, layer: Any) -> None:
        """The user has taken a layer away: where it is this one, what was hidden for it is seen again."""
        if layer is self.layer:
            self._uncover()

    def _cover(self, older: Sequence[Any] = ()) -> None:
        """Hide what shows the same, the raw layer and older results, where this one mixes with what lies below it."""
        if self._looks.get("blending") in _MIXING:
            seen = [layer for layer in (self._raw, *older) if layer in self._viewer.layers and layer.visible]
            for layer in seen:
                layer.visible = False
            self._covered = seen or self._covered

    def _uncover(self) -> None:
        """Show what was hidden for this one; the raw layer, where that was an older result which is gone."""
        if self._covered and self.layer.visible:
            for layer in [one for one in self._covered if one in self._viewer.layers] or [self._raw]:
                layer.visible = True
        self._covered = []

    def _show(self, array: Any) -> None:
        data = self._arranged(array)
        shape = self._image.shape if self._part is None else self._part.shape
        rate = {axis: fine // raw for axis, fine, raw in zip(self._image.axes, data.shape, shape, strict=True)}
        place = self._place.on_grid(*finer_grid(self._axes, rate, self._centred))
        self.layer = ImageLayer(data, cache=False, multiscale=False, **self._looks, **place.kwargs)
        self.begun = True
        insert_above(self._viewer, self.layer, self._raw)

    def _arranged(self, array: Any) -> Any:
        """The file's array as the layer shows it."""
        return arrange(array, self._image, rgb=self._looks["rgb"])

    def _swap(self, levels: Sequence[Any]) -> None:
        """A layer cannot become multiscale: put another one in its place, as the user has set it up."""
        _, state, _ = self.layer.as_layer_data_tuple()
        whole = ImageLayer(list(levels), **{**state, "multiscale": True, "cache": False})
        insert_above(self._viewer, whole, self.layer)
        small, self.layer = self.layer, whole
        self._viewer.layers.remove(small)
        whole.name = state["name"]


def load_readers() -> None:
    """Load what reads a result's file: half a second, for a worker thread, before the result is shown.

    Dask loads `distributed`, where that is installed, when it first computes anything.
    """
    import dask.array
    import zarr  # noqa: F401

    dask.array.zeros(1).compute()


def part_of_layer(raw: Any, part: Region | None) -> Placement:
    """Where a part of a layer, or all of it, lies in the world."""
    place = placement_of(raw)
    return place if part is None else place.on_grid(part.start[: place.ndim], (1.0,) * place.ndim)


def mixes(layer: Any) -> bool:
    """Whether a layer is mixed with those below it, as channels are, and covers none of them."""
    return str(layer.blending) in _MIXING


def looks_of(raw: Any) -> dict[str, Any]:
    """How the raw layer looks, as arguments of a new layer."""
    looks: dict[str, Any] = {
        "name": f"{raw.name}_denoised",
        "rgb": bool(raw.rgb),
        "blending": str(raw.blending),
        "interpolation2d": raw.interpolation2d,
        "rendering": raw.rendering,
    }
    if raw.rgb:
        return looks
    return {**looks, "contrast_limits": tuple(raw.contrast_limits), "colormap": raw.colormap, "gamma": raw.gamma}


def arrange(array: Any, image: Image, *, rgb: bool = False) -> Any:
    """A file's array, whose axes are in the order of TCZYX, in the order of the image's axes.

    An array that lies right is given back as it is, because napari refreshes Zarr arrays best.
    """
    written = [a for a in AXES if a in image.axes]
    order = [written.index(a) for a in image.axes]
    if order == sorted(order) and not rgb:
        return array
    import dask.array as da

    moved = da.from_array(array, chunks=getattr(array, "chunks", "auto")).transpose(order)
    return _as_colour(moved, image) if rgb else moved


def _as_colour(array: Any, image: Image) -> Any:
    """Colour in the raw image's integer type: napari takes floating-point colour to be between 0 and 1."""
    if array.dtype.kind != "f" or image.dtype.kind == "f":
        return array
    limits = np.iinfo(image.dtype)
    return array.round().clip(limits.min, limits.max).astype(image.dtype)


def insert_above(viewer: Any, layer: Any, below: Any) -> None:
    """Add a layer on top of another one (of all, where that is gone); what is selected stays selected."""
    layers = viewer.layers
    selected, active = set(layers.selection), layers.selection.active
    index = layers.index(below) + 1 if below in layers else len(layers)
    with _unselected(layers) if selected else nullcontext():
        layers.insert(index, layer)
    if set(layers.selection) != selected:
        layers.selection = selected or {layer}
    if active is not None and layers.selection.active is not active:
        layers.selection.active = active


@contextmanager
def _unselected(layers: Any) -> Iterator[None]:
    """Let napari select nothing that is added: to select it and the others again changes all its controls twice.

    That is napari's own word for it; in a version that has it no more, nothing happens here.
    """
    layers = getattr(layers, "__wrapped__", layers)
    before = getattr(layers, "_activate_on_insert", True)
    layers._activate_on_insert = False
    try:
        yield
    finally:
        layers._activate_on_insert = before
