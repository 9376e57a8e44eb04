"""Which runner is asked for."""

from __future__ import annotations

from typing import Any

from napari_restore.core.errors import RestoreError
from napari_restore.core.options import Opening, Restoring
from napari_restore.restoration.running import Runner
from napari_restore.sources import Image


def runner_for(image: Image, restoring: Restoring, opening: Opening) -> Runner | None:
    """The workers of a ``distributed.Client``; None for this process, where no client is given.

    Parameters
    ----------
    image
        As it was opened here.
    restoring
        With the client.
    opening
        What it was opened with.

    Raises
    ------
    RestoreError
        If the client is none, its workers could not open the image, or they cannot do what is asked.
    """
    if restoring.client is None:
        return None
    if restoring.unreadable == "fill":
        raise RestoreError("`unreadable` = fill is for this machine alone: leave it out with a cluster.")
    check_client(restoring.client)
    from napari_restore.restoration.cluster.source import find_source  # loads distributed, which who has a client has
    from napari_restore.restoration.cluster.workers import Workers

    return Workers(restoring.client, find_source(image, opening))


def check_client(client: Any) -> None:
    """Refuse what is no client, without loading what a client needs.

    Raises
    ------
    RestoreError
        If it is something else.
    """
    if not any(kind.__module__.partition(".")[0] == "distributed" for kind in type(client).__mro__):
        raise RestoreError(f"`client` is {type(client).__name__}: give a distributed.Client(...).")
