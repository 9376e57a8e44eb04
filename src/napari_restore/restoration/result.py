"""What restoring gives back: an array that lies on disk and knows where in the world it belongs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from napari_restore.core.channel import Channel
from napari_restore.core.geometry import Geometry, canonical_order
from napari_restore.core.region import Region
from napari_restore.restoration.temporary import TemporaryFolder
from napari_restore.sources import Image, open_image
from napari_restore.sources.lazy import LazyArray
from napari_restore.store.model import Model


@dataclass(frozen=True, eq=False)
class Restored:
    """A restored image: array-like, lazy, with the axes of the image it was made from.

    Attributes
    ----------
    path
        Where it lies: an OME-Zarr or an OME-TIFF.
    geometry
        Axes, shape, pixel size, units and origin of the result, in the order of the source.
    model
        That made it; None where the result was found whole, and its model had not been kept.
    report
        What was decided and measured, as plain values.
    complete
        False after a stop: the rest can be restored by the same call again.
    name
        Of the image it was made from.
    contrast_limits
        For a viewer.
    channels
        Name and colour of each channel, of the one where there is no C axis; empty where nothing is known of them.
    suffix
        What a layer is called after ``name``.
    uncertainty
        The standard deviation of each restored pixel, another such result, where that was asked for and can be told.
    folder
        The temporary folder it lies in, where no ``output`` was given: removed when nobody holds this result or an
        array of it any more, and at the latest when the program ends. Save or copy what is to stay.
    """

    path: Path
    geometry: Geometry
    model: Model | None = field(repr=False)
    report: Mapping[str, Any] = field(repr=False, default_factory=dict)
    complete: bool = True
    name: str = "restored"
    contrast_limits: tuple[float, float] | None = None
    channels: tuple[Channel, ...] = ()
    suffix: str = "denoised"
    uncertainty: Restored | None = field(repr=False, default=None)
    folder: TemporaryFolder | None = field(repr=False, default=None)

    @property
    def axes(self) -> str:
        """One letter of TCZYX an axis."""
        return self.geometry.axes

    @property
    def pixel_size(self) -> dict[str, float]:
        """Distance between pixels by axis, in ``units``."""
        return dict(zip(self.axes, self.geometry.pixel_size, strict=True))

    @property
    def units(self) -> tuple[str, ...]:
        """Of each axis."""
        return self.geometry.units

    @property
    def scale(self) -> tuple[float, ...]:
        """Pixel size of each axis, as napari wants it: negative where the layer it was made from is flipped."""
        return self.geometry.placed(self.ndim).scale

    @property
    def translate(self) -> tuple[float, ...]:
        """World position of the first pixel, as napari wants it: before the affine of the layer it was made from."""
        return self.geometry.placed(self.ndim).translate

    @property
    def shape(self) -> tuple[int, ...]:
        """Pixels along each axis."""
        return self.geometry.shape

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the pixels."""
        return self._opened().dtype

    @property
    def levels(self) -> list[Any]:
        """Lazy arrays of the file, full size first, with axes in the order of TCZYX."""
        if self.path.suffix != ".zarr" and self.complete:
            return [LazyArray(self._opened())]
        group = zarr.open_group(self.path if self.folder is None else self.folder.store(self.path), mode="r")
        return [group[name] for name in sorted(group.array_keys(), key=int)]

    def __getitem__(self, index: Any) -> NDArray[Any]:
        """Pixels, axes in the order of ``axes``; only what is indexed is read."""
        return LazyArray(self._ordered())[index]

    def __array__(self, dtype: np.dtype[Any] | None = None, copy: bool | None = None) -> NDArray[Any]:
        """All pixels, in memory."""
        return np.asarray(self._ordered().read(), dtype=dtype)

    @property
    def layer_kwargs(self) -> dict[str, Any]:
        """For ``viewer.add_image(result, **result.layer_kwargs)``: exactly over the layer it was made from.

        However that lies: scaled, moved, flipped, turned, sheared, or with an affine.
        """
        rgb = self.axes[-1] == "C" and self.shape[-1] in (3, 4) and self.dtype == np.uint8
        shown = self.axes[:-1] if rgb else self.axes
        kwargs: dict[str, Any] = {
            "name": f"{self.name}_{self.suffix}",
            "axis_labels": tuple(shown.lower()),
            **self.geometry.placed(len(shown)).kwargs,
            "rgb": rgb,
            "multiscale": False,
            "metadata": {"napari_restore": {"path": str(self.path), **self.report}},
        }
        if self.contrast_limits is not None and not rgb:
            kwargs["contrast_limits"] = self.contrast_limits
        if len(self.channels) == 1 and self.channels[0].colour:
            kwargs["colormap"] = self.channels[0].colormap
        if self.channels:
            kwargs["metadata"]["napari_restore"]["channels"] = [asdict(channel) for channel in self.channels]
        return kwargs

    def __repr__(self) -> str:
        size = " x ".join(map(str, self.shape))
        state = "" if self.complete else ", unfinished: the same call goes on with it"
        return f"<Restored {self.name}: {size} {self.axes}, {self.dtype}, in {self.path}{state}>"

    def _opened(self) -> Image:
        """The file, axes in the order of TCZYX."""
        axes = "".join(self.axes[i] for i in canonical_order(self.axes))
        return open_image(self.path if self.complete else self.levels[0], axes=axes)

    def _ordered(self) -> Image:
        """The file with its axes in the order of the source."""
        opened = self._opened()
        if opened.axes == self.axes:
            return opened
        back = [opened.axes.index(a) for a in self.axes]
        forth = canonical_order(self.axes)

        def read(region: Region) -> NDArray[Any]:
            inner = Region(tuple(region.start[i] for i in forth), tuple(region.stop[i] for i in forth))
            return opened.read(inner).transpose(back)

        return replace(opened, geometry=self.geometry, chunks=tuple(opened.chunks[i] for i in back), reader=read)
