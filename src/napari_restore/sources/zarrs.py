"""Zarr 2 and 3: OME-Zarr images with their axes and pixel sizes, and plain arrays."""

from __future__ import annotations

import math
import os
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Any

from napari_restore.core.errors import ImageError
from napari_restore.sources.arrays import describe_array
from napari_restore.sources.blocks import few_at_once
from napari_restore.sources.described import LARGEST_BLOCK, MIB, Described, Wanted, explaining, only_level
from napari_restore.sources.locations import without_secrets
from napari_restore.sources.marks import ZARR_MARKS
from napari_restore.sources.naming import channel_label, letters_of, unit_name
from napari_restore.sources.optics import Optics, from_file
from napari_restore.sources.series import Held, index_of, only_series

_MOST_COUNTED = 200_000
"""Chunks that are counted on opening: some tenths of a second on a local disk."""

_OME_XML = "OME/METADATA.ome.xml"
_MOST_IMAGES = 1000
"""Of a file with several that are listed."""

_READ_VERSIONS = ("0.1", "0.2", "0.3", "0.4", "0.5")


def open_zarr(path: Path, wanted: Wanted) -> Described:
    """A folder with Zarr metadata in it."""
    name = path.name.removesuffix(".zarr").removesuffix(".ome") or path.name
    with explaining(f"{path.name} cannot be read as Zarr"):
        from zarr.storage import LocalStore

        from napari_restore.sources.zarr_bounds import BoundedStore, local_size

        store = BoundedStore(LocalStore(path, read_only=True), local_size(path))
        described = _open_store(store, "", wanted, name, str(path))
        number = next((i for i, held in enumerate(described.series) if held.opened), 0)
        return replace(described, read_optics=partial(_optics_beside, path, number))


def _optics_beside(path: Path, number: int) -> Optics | None:
    """From the OME-XML that bioformats2raw writes beside its images 0, 1 ..."""
    if (path / _OME_XML).is_file():
        return from_file(path / _OME_XML, image=number)
    alone = int(path.name) if re.fullmatch(r"[0-9]{1,6}", path.name) else None
    return from_file(path.parent / _OME_XML, image=alone) if alone is not None else None


def open_zipped_zarr(path: Path, wanted: Wanted) -> Described:
    """A Zarr in a zip file, at its top or in its one folder."""
    with explaining(f"{path.name} cannot be read as a zipped Zarr"):
        from zarr.storage import ZipStore

        from napari_restore.sources.zarr_bounds import ABSENT, BoundedStore

        with zipfile.ZipFile(path) as archive:
            sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
        marks = [entry for entry in sizes if entry.rsplit("/", 1)[-1] in ZARR_MARKS]
        root = min((entry.rpartition("/")[0] for entry in marks), key=lambda folder: (folder.count("/"), folder))
        store = BoundedStore(ZipStore(path, mode="r"), lambda key: sizes.get(key, ABSENT))
        return _open_store(store, _safe(root, path.name), wanted, path.stem, str(path))


def open_url(url: str, wanted: Wanted) -> Described:
    """A Zarr behind an http, https, s3 or gs URL, through fsspec; what is secret in the URL is in ``address`` alone."""
    shown = without_secrets(url)
    what = f"{shown} cannot be read as a Zarr (the URL must name one, and fsspec needs aiohttp, s3fs or gcsfs)"
    with explaining(what, Exception):
        from napari_restore.sources.remote import open_remote
        from napari_restore.sources.zarr_bounds import BoundedStore

        name = shown.rstrip("/").rpartition("/")[2].removesuffix(".zarr").removesuffix(".ome")
        store = BoundedStore(open_remote(url), lambda key: None)  # the length is learned as it is read
        described = _open_store(store, "", wanted, name, shown)
    if shown == url:
        return described
    note = "the user, password or query of its URL is used to read it, and is written nowhere"
    return replace(described, address=url, notes=(*described.notes, note))


def _open_store(store: Any, root: str, wanted: Wanted, name: str, location: str) -> Described:
    import zarr

    node = zarr.open(store=store, path=root or None, mode="r")
    return replace(_describe_node(node, wanted, name), location=location)


def is_group(thing: Any) -> bool:
    """Whether this is a ``zarr.Group``, told without importing zarr."""
    return type(thing).__module__.startswith("zarr.") and type(thing).__name__ == "Group"


def describe_group(group: Any, wanted: Wanted, *, name: str = "image") -> Described:
    """A ``zarr.Group`` that the user opened; ``name`` is for one at the top of its store, which has none."""
    with explaining(f"{name} cannot be read as Zarr"):
        return _describe_node(group, wanted, group.basename or name)


def _describe_node(node: Any, wanted: Wanted, name: str) -> Described:
    if not hasattr(node, "members"):
        wanted.only_one(name)
        return _describe_zarr_array(node, name)
    attributes = dict(node.attrs)
    nested = attributes.get("ome")
    ome: Mapping[str, Any] = nested if isinstance(nested, Mapping) else attributes
    if "multiscales" in ome:
        only_series(wanted.series, name)
        return _describe_multiscale(node, ome, wanted.level, name)
    return _describe_inside(node, ome, wanted, name)


def _describe_zarr_array(array: Any, name: str) -> Described:
    """One array, with the names of its dimensions where Zarr 3 or xarray gives them."""
    from napari_restore.sources.zarr_bounds import bounded

    _refuse_huge_chunks(array, name)
    array = bounded(array, name)
    described = describe_array(array, 0, name=name)
    names = getattr(array.metadata, "dimension_names", None) or array.attrs.get("_ARRAY_DIMENSIONS")
    axes = letters_of(names) if isinstance(names, (list, tuple)) and len(names) == len(described.shape) else None
    reader = few_at_once(described.reader, array.chunks, described.dtype)
    return replace(described, axes=axes, reader=reader, notes=described.notes + _missing_note(array))


def _missing_note(array: Any) -> tuple[str, ...]:
    """A missing chunk reads as the fill value; say how many of a folder's are not there."""
    root = getattr(array.store_path.store, "root", None)
    if not isinstance(root, Path):
        return ()
    folder = root / array.store_path.path
    if all(entry.name in ZARR_MARKS for entry in folder.iterdir()):
        return (f"no chunk of it is there: every pixel reads as the fill value {array.fill_value}",)
    size = array.shards or array.chunks
    count = math.prod(-(-n // c) for n, c in zip(array.shape, size, strict=True))
    if count > _MOST_COUNTED:
        return ()
    names = (name for _, _, names in os.walk(folder) for name in names)
    there = sum(name not in ZARR_MARKS and not name.endswith(".partial") for name in names)
    if there >= count:
        return ()
    kind, value = "shards" if array.shards else "chunks", array.fill_value
    return (f"{count - there} of its {count} {kind} are missing: their pixels read as the fill value {value}",)


def _refuse_huge_chunks(array: Any, name: str) -> None:
    """Metadata can ask for chunks of any size; one is decoded whole."""
    size = math.prod(array.chunks) * array.dtype.itemsize
    if size > LARGEST_BLOCK:
        raise ImageError(
            f"{name}: its chunks {tuple(array.chunks)} are {size / MIB:.0f} MiB each, over the limit of "
            f"{LARGEST_BLOCK // MIB} MiB. Write it with smaller chunks."
        )


def _describe_inside(group: Any, ome: Mapping[str, Any], wanted: Wanted, name: str) -> Described:
    """A group that is no image: the only image inside it, or an error that names what there is."""
    if "plate" in ome or "well" in ome:
        kind = "plate" if "plate" in ome else "well"
        raise ImageError(
            f"{name} is an OME-Zarr {kind} of many images: open one image inside it, "
            f"such as {name}/{_first_image(ome)}."
        )
    if "bioformats2raw.layout" in ome:
        return _describe_one_of(group, wanted, name)
    children = dict(group.members())
    arrays = [key for key, child in children.items() if not hasattr(child, "members")]
    if len(arrays) == 1:
        wanted.only_one(name)
        return _describe_zarr_array(children[arrays[0]], name)
    if not children:
        raise ImageError(f"{name} is a Zarr group without images: open a group with OME-Zarr metadata, or an array.")
    listed = ", ".join(sorted(children)[:8]) + (" ..." if len(children) > 8 else "")
    raise ImageError(f"{name} is a Zarr group without OME-Zarr metadata: open one of the things in it ({listed}).")


def _describe_one_of(group: Any, wanted: Wanted, name: str) -> Described:
    """One of the images 0, 1, 2 ... that bioformats2raw makes of a file with several; the first if none is named."""
    names = takewhile(lambda name: name in group, map(str, range(_MOST_IMAGES)))
    held = [_held(i, group[each]) for i, each in enumerate(names)]
    number = 0 if wanted.series is None else index_of(wanted.series, held, name)
    described = _describe_node(group[str(number)], replace(wanted, series=None), name)
    if len(held) < 2:
        return described
    note = f"{name} holds {len(held)} images; number {held[number]} is read: `series` takes another"
    return replace(
        described,
        notes=described.notes if wanted.series is not None else (*described.notes, note),
        series=tuple(replace(each, opened=each.index == number) for each in held),
    )


def _held(index: int, node: Any) -> Held:
    """One of those, by the name that its metadata give, and the shape of its array."""
    attributes = dict(node.attrs)
    nested = attributes.get("ome")
    said = nested if isinstance(nested, Mapping) else attributes
    if "bioformats2raw.layout" in said:
        raise ImageError(f"it cannot be read as Zarr: the image {index} in it is no image but holds images again.")
    scales = said.get("multiscales")
    first = scales[0] if isinstance(scales, Sequence) and scales and isinstance(scales[0], Mapping) else {}
    array = node["0"] if hasattr(node, "members") and "0" in node else node
    name = str(first.get("name") or "")
    return Held(index, "" if name == str(index) else name, None, tuple(getattr(array, "shape", ())), (node.path,))


def _first_image(ome: Mapping[str, Any]) -> str:
    """The path of an image in a plate or well, as an example."""
    kind, inside, missing = ("well", "images", "0") if "well" in ome else ("plate", "wells", "A/1")
    first: Mapping[str, Any] = next(iter(ome[kind].get(inside, ())), {})
    return str(first.get("path", missing)) + ("/0" if kind == "plate" else "")


def _describe_multiscale(group: Any, ome: Mapping[str, Any], level: int, name: str) -> Described:
    """An OME-Zarr image at one level."""
    multiscales = ome["multiscales"]
    if not (isinstance(multiscales, Sequence) and multiscales and isinstance(multiscales[0], Mapping)):
        raise ImageError(f"{name}: its OME-Zarr multiscales are empty. Open the array inside it instead.")
    image = multiscales[0]
    version = str(ome.get("version", image.get("version", "0.4")))
    if not version.startswith(_READ_VERSIONS) or "coordinateSystems" in image:
        raise ImageError(
            f"{name} is OME-Zarr {version}; versions {_READ_VERSIONS[0]} to {_READ_VERSIONS[-1]} are read. "
            "Open the array inside it, or convert it."
        )
    datasets = image.get("datasets")
    if not isinstance(datasets, Sequence) or not datasets:
        raise ImageError(f"{name}: its OME-Zarr metadata list no datasets. Open the array inside it instead.")
    dataset = datasets[only_level(level, len(datasets), name)]
    array = group[_safe(dataset["path"], name)] if _safe(dataset["path"], name) else group
    if hasattr(array, "members"):
        raise ImageError(f"{name}: level {level} is not at {dataset['path']!r}, where its metadata say it is.")
    described = replace(_describe_zarr_array(array, name), axes=None)
    notes = (f"{name} holds {len(multiscales)} multiscale images; the first is read",) if len(multiscales) > 1 else ()
    placed = _placed(described, image, dataset)
    names, colours = _channels(ome, str(image.get("name", "")))
    return replace(placed, channel_names=names, channel_colours=colours, notes=placed.notes + notes)


def _safe(path: object, name: str) -> str:
    """A path inside the store: Zarr would follow ``..`` to a neighbour."""
    parts = str(path).strip("/").split("/")
    if not isinstance(path, str) or path.startswith("/") or "\\" in path or ".." in parts or ":" in parts[0]:
        raise ImageError(
            f"{name}: its metadata point at {path!r}, which is not a path inside the Zarr. It is not opened."
        )
    return "/".join(part for part in parts if part not in ("", "."))


def _placed(described: Described, image: Mapping[str, Any], dataset: Mapping[str, Any]) -> Described:
    """Axes, pixel sizes, units and origin from OME-Zarr metadata."""
    count = len(described.shape)
    axes, units = _axes_of(image.get("axes"), count, described.name)
    scale, shift = [1.0] * count, [0.0] * count
    for source in (dataset, image):
        for transform in source.get("coordinateTransformations") or ():
            if "path" in transform:
                raise ImageError(
                    f"{described.name}: a transformation stored as an array is not read. Give a pixel size."
                )
            if transform.get("type") == "scale":
                factors = _numbers(transform["scale"], count, described.name)
                scale = [a * b for a, b in zip(scale, factors, strict=True)]
                shift = [a * b for a, b in zip(shift, factors, strict=True)]
            elif transform.get("type") == "translation":
                shift = [
                    a + b for a, b in zip(shift, _numbers(transform["translation"], count, described.name), strict=True)
                ]
    return replace(
        described,
        axes=axes,
        pixel_size=dict(zip(axes, scale, strict=True)),
        units=dict(zip(axes, units, strict=True)),
        origin=dict(zip(axes, shift, strict=True)),
    )


def _numbers(values: Any, count: int, name: str) -> list[float]:
    numbers = [float(value) for value in values]
    if len(numbers) != count:
        raise ImageError(
            f"{name}: a transformation of {len(numbers)} numbers for {count} axes. Give axes and pixel size."
        )
    return numbers


def _axes_of(axes: Any, count: int, name: str) -> tuple[str, list[str]]:
    """Letters and units; before version 0.3 there were always five axes."""
    if axes is None:
        axes = list("tczyx")[-count:] if count < 5 else list("tczyx")
    entries = [entry if isinstance(entry, Mapping) else {"name": entry} for entry in axes]
    if len(entries) != count:
        raise ImageError(
            f"{name}: its metadata name {len(entries)} axes, its array has {count}. Open the array itself."
        )
    letters = letters_of([entry.get("name") for entry in entries]) or _letters_of_types(entries)
    if letters is None:
        found = ", ".join(repr(entry.get("name")) for entry in entries)
        raise ImageError(
            f"{name}: its axes {found} are not time, channel and up to three of space. Open the array itself."
        )
    return letters, [unit_name(entry.get("unit")) for entry in entries]


def _letters_of_types(entries: Sequence[Mapping[str, Any]]) -> str | None:
    """Axes with names of their own: space counts from the end as X, Y, Z."""
    types = [entry.get("type") for entry in entries]
    space = list("ZYX"[-types.count("space") :]) if 2 <= types.count("space") <= 3 else []
    if not space or types.count("time") > 1 or types.count("channel") > 1:
        return None
    letters = [{"time": "T", "channel": "C"}.get(str(kind), space.pop(0) if kind == "space" else "") for kind in types]
    return "".join(letters) if all(letters) else None


def _channels(ome: Mapping[str, Any], name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names and colours; a label that is the image's name with the channel's number is no name of a channel."""
    omero = ome.get("omero")
    channels = omero.get("channels") if isinstance(omero, Mapping) else None
    if not isinstance(channels, Sequence):
        return (), ()
    told = [channel if isinstance(channel, Mapping) else {} for channel in channels]
    labels = [str(channel.get("label") or "") for channel in told]
    counted = [channel_label(name, i, len(told)) for i in range(len(told))]
    names = tuple("" if label == count else label for label, count in zip(labels, counted, strict=True))
    drawn = omero.get("rdefs") if isinstance(omero, Mapping) else None
    if isinstance(drawn, Mapping) and drawn.get("model") == "greyscale":
        return names, ()
    return names, tuple(str(channel.get("color") or "") for channel in told)
