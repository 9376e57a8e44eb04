"""Clear images from noisy, blurred and under-sampled stacks, without clean training data.

The public names load on first use, so that importing the package costs nothing (PEP 562).
"""

from __future__ import annotations

import typing

from napari_restore.core.version import __version__

_HOME = {
    "open_image": "napari_restore.sources",
    "denoise": "napari_restore.api",
    "train": "napari_restore.api",
    "restore": "napari_restore.api",
    "evaluate": "napari_restore.api",
    "load_model": "napari_restore.api",
    "list_methods": "napari_restore.api",
    "denoise_events": "napari_restore.api",
    "train_events": "napari_restore.api",
    "restore_events": "napari_restore.api",
    "restore_folder": "napari_restore.api",
    "restore_folder_events": "napari_restore.api",
    "submit": "napari_restore.api",
    "super_resolve": "napari_restore.api",
    "super_resolve_events": "napari_restore.api",
    "deblur": "napari_restore.api",
    "deblur_events": "napari_restore.api",
    "estimate_cost": "napari_restore.api",
    "estimate_noise": "napari_restore.api",
}

__all__ = [
    "__version__",
    "deblur",
    "deblur_events",
    "denoise",
    "denoise_events",
    "estimate_cost",
    "estimate_noise",
    "evaluate",
    "list_methods",
    "load_model",
    "open_image",
    "restore",
    "restore_events",
    "restore_folder",
    "restore_folder_events",
    "submit",
    "super_resolve",
    "super_resolve_events",
    "train",
    "train_events",
]

if typing.TYPE_CHECKING:
    from napari_restore.api import (
        deblur,
        deblur_events,
        denoise,
        denoise_events,
        estimate_cost,
        estimate_noise,
        evaluate,
        list_methods,
        load_model,
        restore,
        restore_events,
        restore_folder,
        restore_folder_events,
        submit,
        super_resolve,
        super_resolve_events,
        train,
        train_events,
    )
    from napari_restore.sources import open_image


def __getattr__(name: str) -> typing.Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
