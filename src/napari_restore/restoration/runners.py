"""Which runner is asked for."""

from __future__ import annotations

from typing import Any

from napari_restore.core.options import Opening
from napari_restore.restoration.running import Runner
from napari_restore.sources import Image


def runner_for(image: Image, client: Any, opening: Opening) -> Runner | None:
    """The workers of a ``distributed.Client``; None for this process, where no client is given.

    Parameters
    ----------
    image
        As it was opened here.
    client
        Of ``Restoring``.
    opening
        What it was opened with.

    Raises
    ------
    RestoreError
        If the client is none, or its workers could not open the image.
    """
    if client is None:
        return None
    from napari_restore.restoration.cluster.source import find_source  # loads distributed, which who has a client has
    from napari_restore.restoration.cluster.workers import Workers

    return Workers(client, find_source(image, axes=opening.axes, channel=opening.channel))
