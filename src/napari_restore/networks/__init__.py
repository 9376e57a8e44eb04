"""Networks by name. The strings load nothing until they are asked for."""

from __future__ import annotations

from importlib import import_module
from typing import Any

NETWORKS = {
    "unet": "napari_restore.networks.unet:UNet",
    "residual_unet": "napari_restore.networks.residual_unet:ResidualUNet",
    "rdunet": "napari_restore.networks.rdunet:RDUNet",
    "careamics_unet": "napari_restore.networks.careamics_unet:CareamicsUNet",
    "srcnn": "napari_restore.networks.srcnn:SRCNN",
}


def build(name: str, **config: Any) -> Any:
    """A new network with random weights.

    Raises
    ------
    ValueError
        If there is no network of that name.
    """
    if name not in NETWORKS:
        raise ValueError(f"There is no network {name!r}; there are {', '.join(NETWORKS)}.")
    module, _, attribute = NETWORKS[name].partition(":")
    return getattr(import_module(module), attribute)(**config)
