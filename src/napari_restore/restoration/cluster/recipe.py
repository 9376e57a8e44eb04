"""All that a worker needs for a run, as plain values that can be sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import safetensors.torch

from napari_restore.core.errors import RestoreError
from napari_restore.core.normalisation import Normalisation
from napari_restore.core.options import Outliers
from napari_restore.core.plan import TilePlan
from napari_restore.core.version import __version__
from napari_restore.methods.apply import Precision, for_tiles
from napari_restore.methods.device import find_device
from napari_restore.restoration.cluster.source import Source, open_same, this_place
from napari_restore.restoration.work import TileJob
from napari_restore.sources.pixels import PixelRule
from napari_restore.sources.unchanged import probe
from napari_restore.store.model import Model, build_method
from napari_restore.store.output import OutputWriter


@dataclass(frozen=True, eq=False)
class Recipe:
    """All that a worker needs for a run; what it makes of it stays with it until the run ends.

    Attributes
    ----------
    source, image_shape, image_dtype, pixels, rule
        How to open the image, what it is then, a checksum over some of its pixels, and which of them count.
    card, weights
        Of the model: plain values, and its tensors in the format of safetensors.
    plan
        Tiles over the image, or the part of it that is restored.
    deviations
        Whether the deviation of each pixel is wanted instead of the pixels.
    folder
        The unfinished OME-Zarr.
    threads
        Of torch for a task: the same on every worker, as results may differ with it in the last bit.
    """

    source: Source
    image_shape: tuple[int, ...]
    image_dtype: str
    pixels: str
    rule: PixelRule
    card: Mapping[str, Any]
    weights: bytes
    plan: TilePlan
    batch: int
    dtype: str
    device: str
    precision: Precision
    outliers: Outliers
    deviations: bool
    folder: str
    threads: int
    version: str = __version__

    @classmethod
    def of(cls, job: TileJob, model: Model, source: Source, out: OutputWriter, *, threads: int) -> Recipe:
        """What is sent for a job."""
        tensors = {k: t.detach().cpu().contiguous() for k, t in model.method.state_dict().items()}
        return cls(
            source=source,
            image_shape=job.image.shape,
            image_dtype=job.image.dtype.str,
            pixels=probe(job.image),
            rule=job.image.rule,
            card=model.card(),
            weights=safetensors.torch.save(tensors),
            plan=job.plan,
            batch=job.batch,
            dtype=job.dtype.name,
            device=str(job.device),
            precision=job.precision,
            outliers=job.outliers,
            deviations=job.method.gives_deviations,
            folder=str(out.array_path.parent.absolute()),
            threads=threads,
        )

    def job(self) -> TileJob:
        """Open the image and build the network here.

        Raises
        ------
        RestoreError
            If another release asks, or the image is another one here.
        """
        if self.version != __version__:
            raise RestoreError(
                f"{this_place()} has napari-restore {__version__} and who asks {self.version}: install the same on "
                "both."
            )
        image = open_same(self.source, None, self.image_shape, self.image_dtype, self.pixels)
        card, device = self.card, find_device(self.device)
        method = build_method(card["method"], card["config"], spatial=card["spatial"], channels=card["channels"])
        method.load_state_dict(safetensors.torch.load(self.weights))
        method = (self.deviations and method.deviations()) or method
        return TileJob(
            image=replace(image, rule=self.rule),
            method=for_tiles(method.eval().for_restoring(), self.plan, image.axes).to(device),
            normalisation=Normalisation(**{k: tuple(v) for k, v in card["normalisation"].items()}),
            plan=self.plan,
            batch=self.batch,
            dtype=np.dtype(self.dtype),
            device=device,
            precision=self.precision,
            outliers=self.outliers,
        )
