"""Methods by name. A method is one file and one row here; other packages add theirs by an entry point."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from napari_restore.core.errors import RestoreError

if TYPE_CHECKING:
    from napari_restore.methods.method import Method

METHODS = {
    "noise2void": "napari_restore.methods.noise2void:Noise2Void",
    "noise2void2": "napari_restore.methods.noise2void2:Noise2Void2",
    "struct_noise2void": "napari_restore.methods.struct_noise2void:StructNoise2Void",
    "posterior": "napari_restore.methods.posterior:Posterior",
    "scale_equivariant": "napari_restore.methods.scale_equivariant:ScaleEquivariant",
    "sure": "napari_restore.methods.sure:Sure",
    "equivariant_shift": "napari_restore.methods.equivariant:EquivariantShift",
    "equivariant_rotation": "napari_restore.methods.equivariant:EquivariantRotation",
    "css": "napari_restore.methods.css:Css",
    "finer_planes": "napari_restore.methods.finer_planes:FinerPlanes",
    "supervised": "napari_restore.methods.supervised:Supervised",
    "noise2noise": "napari_restore.methods.noise2noise:Noise2Noise",
    "supervised_denoising": "napari_restore.methods.supervised_denoising:SupervisedDenoising",
    "zero_shot": "napari_restore.methods.zero_shot:ZeroShot",
}

ENTRY_POINTS = "napari_restore.methods"


def names() -> dict[str, str]:
    """Every method's name and where it lives (``module:class``), without loading any."""
    return {**METHODS, **{e.name: e.value for e in entry_points(group=ENTRY_POINTS)}}


def find(name: str) -> type[Method]:
    """The class of a method.

    Raises
    ------
    RestoreError
        If there is no method of that name.
    """
    known = names()
    if name not in known:
        raise RestoreError(f"There is no method {name!r}: choose from {', '.join(sorted(known))}.")
    module, _, attribute = known[name].partition(":")
    found: type[Method] = getattr(import_module(module), attribute)
    return found


def configure(name: str, settings: Mapping[str, Any]) -> Any:
    """A method's config from settings given by name, checked against its bounds.

    Raises
    ------
    RestoreError
        On an unknown setting or a value outside its bounds, with the name, the value and the limit.
    """
    from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config

    method = find(name)
    checked = with_config(ConfigDict(extra="forbid"))(method.Config)
    try:
        return TypeAdapter(checked).validate_python(dict(settings))
    except ValidationError as error:
        first = error.errors()[0]
        setting = ".".join(map(str, first["loc"]))
        if first["type"] == "unexpected_keyword_argument":
            there = ", ".join(field.name for field in fields(method.Config))
            raise RestoreError(f"{method.label} has no setting {setting!r}; there are {there}.") from None
        raise RestoreError(f"{method.label}: {setting} = {first['input']!r}: {first['msg']}.") from None
