"""Check: may what a model makes of an image be believed? Guards against invented structure, told in numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from napari_restore.core.errors import RestoreError
from napari_restore.core.options import Fill
from napari_restore.judging.guarded import Guarded, guarded
from napari_restore.restoration.plan import check_fit
from napari_restore.sources import open_image
from napari_restore.sources.settled import settled
from napari_restore.store.files import new_file
from napari_restore.store.model import Model
from napari_restore.verbs.learning import model_of


def check(
    model: Model | str | Path,
    image: Any,
    *,
    output: str | Path | None = None,
    axes: str | None = None,
    channel: int | str | None = None,
    series: int | str | None = None,
    fill: Fill = "auto",
    size: int = 256,
    seed: int = 0,
    device: str = "auto",
) -> Guarded:
    """Put a trained denoiser to the guards against invented structure, on an image and without a truth.

    Noise alone is to come back flat. Structures that are planted are to come back, in proportion to their brightness:
    that gives the contrast from which one is detectable. And the image is to bear out the structure in its result.

    Parameters
    ----------
    model
        A trained denoiser, or its file.
    image
        A path, an array, a layer: the noisy image.
    output
        A new file for what was found, of which the name ends in .json.
    axes, channel, series, fill
        Of the image, as wherever one is opened.
    size
        Pixels along Y and X of its middle that are looked at.
    seed
        Of the noise that is drawn.
    device
        As for ``restore``.

    Returns
    -------
    Guarded
        ``null``, ``planted``, ``detectable``, ``unsupported``, ``own``, ``judged``; ``flags``, in sentences; ``maps``
        of the part; ``report()`` for JSON.

    Raises
    ------
    RestoreError
        If the model is no denoiser, or of other channels or axes; the image is too small, or the output exists.
    """
    if not size >= 64:
        raise RestoreError(f"check: a part of {size} pixels. Give 64 or more.")
    place = None if output is None else new_file(output, ending=".json", is_what="what was found is JSON")
    opened = settled(open_image(image, axes=axes, channel=channel, series=series), fill=fill)
    trained = model_of(model)
    check_fit(opened, trained.method)
    found = guarded(opened, trained, size=size, seed=seed, device=device)
    if place is not None:
        place.write_text(json.dumps(found.report(), indent=1), encoding="utf-8")
    return found
