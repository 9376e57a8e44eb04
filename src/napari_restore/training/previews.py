"""What somebody looks at while a network learns: the plane in view, and of a stack the plane that cuts it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from napari_restore.core.events import Preview
from napari_restore.core.job import PreviewRequest
from napari_restore.core.region import Region, split
from napari_restore.methods.apply import per_axis, restore_region
from napari_restore.methods.method import Method
from napari_restore.sources import Image
from napari_restore.training.session import Session, Timer

_SHARE, _ACROSS_SHARE = 0.1, 0.05
"""Of the training time that previews may take. A cut through planes that are restored one by one costs several."""

_PIXELS = 512**2
"""That are restored at a time, with what is around them: a cut needs no more memory than a plane does."""


class Previews:
    """The regions of a request, each as the averaged weights restore it now, as often as it may take time."""

    def __init__(self, session: Session, image: Image, request: PreviewRequest | None) -> None:
        self._session, self._image, self._request = session, image, request
        every = request.every if request is not None else 0.0
        self._timers = {False: Timer(every, share=_SHARE), True: Timer(every, share=_ACROSS_SHARE)}

    def due(self) -> Iterator[Preview]:
        """Those whose time it is."""
        for across, timer in self._timers.items():
            if self._request is not None and timer.due():
                began = time.perf_counter()
                yield from self._made(self._request, across)
                timer.done(cost=time.perf_counter() - began)

    def last(self) -> Iterator[Preview]:
        """The cut once more, at the end: it was made less often."""
        if self._request is not None:
            yield from self._made(self._request, across=True)

    def _made(self, request: PreviewRequest, across: bool) -> Iterator[Preview]:
        region = request.across if across else request.region
        if region is not None:
            yield Preview(self._session.state.step, region, self._restored(region), across)

    def _restored(self, region: Region) -> NDArray[np.float32]:
        session, axes = self._session, self._image.axes
        method = session.state.average
        parts = [
            restore_region(
                method,
                self._image,
                part,
                normalisation=session.pool.normalisation,
                device=session.terms.device,
                precision=session.terms.precision,
            )
            for part in few_planes(region, axes, method)
        ]
        return np.concatenate(parts, axes.index("Z")) if len(parts) > 1 else parts[0]


def few_planes(region: Region, axes: str, method: Method) -> Iterator[Region]:
    """A region in parts of a few planes, where the method restores each plane by itself; else the region."""
    block = list(region.shape)
    if "Z" in axes and "Z" not in method.spatial:
        around = Region.of_shape(block).grow(per_axis(axes, method.spatial, method.radius, default=0))
        at = axes.index("Z")
        block[at] = max(1, _PIXELS * block[at] // around.size)
    for part in split(region.shape, block):
        yield part.shift(region.start)
