"""Clear images from noisy, blurred and under-sampled stacks, without clean training data.

The public names load on first use, so that importing the package costs nothing (PEP 562). Their types are in
``__init__.pyi``, which ``tests/write_stub.py`` writes.
"""

from __future__ import annotations

import typing

from napari_restore.core.version import __version__ as __version__

_HOME = {
    "open_image": "napari_restore.sources",
    "list_methods": "napari_restore.methods",
    "evaluate": "napari_restore.verbs.evaluating",
    "measure": "napari_restore.verbs.measuring",
    "export": "napari_restore.verbs.exporting",
    "estimate_cost": "napari_restore.api",
    "estimate_noise": "napari_restore.api",
    "load_model": "napari_restore.api",
    "submit": "napari_restore.api",
}
"""Where each public name is, besides those of the verbs."""


def _names() -> dict[str, str]:
    from napari_restore.verbs import VERBS

    verbs = [name for verb in VERBS for name in (verb, f"{verb}_events")]
    return {**_HOME, **dict.fromkeys(verbs, "napari_restore.api")}


def __getattr__(name: str) -> typing.Any:
    if name == "__all__":
        return sorted(["__version__", *_names()])
    home = None if name.startswith("_") else _names().get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(["__version__", *_names()])
