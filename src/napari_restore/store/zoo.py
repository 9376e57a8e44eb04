"""A model as a package of the BioImage Model Zoo: one ZIP that other programs run without this one.

In it: the graph as ONNX, what goes before and after it, an image to try it with and what comes of it, a cover, a page
of text; and our own file of weights, from which ``load_model`` makes the model again. No pickle.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as Picture

from napari_restore.core.errors import ModelError
from napari_restore.core.version import __version__
from napari_restore.methods.apply import restore_samples
from napari_restore.store.files import atomic_write, disk_errors
from napari_restore.store.graph import OPSET, any_size, write_graph
from napari_restore.store.model import Model, begun_with

if TYPE_CHECKING:
    from bioimageio.spec.model import v0_5

WEIGHTS = "napari-restore-model.safetensors"
_COVER = 256
_SHORTEST, _LONGEST = 5, 128
"""Letters of a model's name, as the zoo wants it."""
_DOI = re.compile(r"(?:doi[: ]|doi\.org/)\s*(10\.\d{4,9}/[^\s,;]+)", re.IGNORECASE)
_ARXIV = re.compile(r"arxiv[: ]\s*(\d{4}\.\d{4,5})", re.IGNORECASE)


def least_sides(model: Model) -> tuple[int, ...]:
    """The least number of pixels along each spatial axis of which one is left when the halo is taken off."""
    method = model.method
    return tuple(-(-(2 * r + 1) // g) * g for r, g in zip(method.radius, method.grid, strict=True))


def write_package(
    model: Model,
    path: Path,
    *,
    example: NDArray[np.float32],
    name: str,
    authors: Sequence[str],
    licence: str,
) -> None:
    """Write a model as a package of the BioImage Model Zoo.

    Parameters
    ----------
    example
        Measured pixels to try it with, ``(1, C, *S)``, S being whole steps of the method's grid and more than
        ``least_sides``. A method whose graph takes one size takes this one.
    licence
        Of the model, by its SPDX name.

    Raises
    ------
    ModelError
        If the model has no ONNX graph, the package is not valid as described, or the libraries are not installed.
    """
    try:
        from bioimageio.spec import save_bioimageio_package
    except ImportError:
        raise ModelError(
            'bioimageio.spec is not installed: a model is exported with pip install "napari-restore[export]".'
        ) from None
    _check_licence(licence)
    _check_name(name)
    with TemporaryDirectory(prefix="napari-restore-", ignore_cleanup_errors=True) as folder:
        files = Path(folder)
        model.save(files / WEIGHTS)
        model = model.portable
        write_graph(model.method, files / "weights.onnx", sides=example.shape[2:], least=least_sides(model))
        restored = restore_samples(model.method, example, normalisation=model.normalisation, device=torch.device("cpu"))
        np.save(files / "test_image.npy", example)
        np.save(files / "test_restored.npy", restored)
        _write_cover(files / "cover.png", example, restored)
        (files / "README.md").write_text(_page(model), encoding="utf-8")
        try:
            described = _described(model, files, example.shape[2:], name=name, authors=authors, licence=licence)
        except ValueError as error:
            raise ModelError(f"{path.name}: {_reason(error)}") from None
        packed = files / "package.zip"
        save_bioimageio_package(described, output_path=packed, local_files_only=True)
        with disk_errors(path):
            atomic_write(path, packed.read_bytes())


def _check_licence(name: str) -> None:
    from bioimageio.spec.model import v0_5

    try:
        v0_5.LicenseId(name)
    except ValueError:
        raise ModelError(
            f"licence {name!r} is no name of the SPDX list, such as CC-BY-4.0, CC0-1.0 or MIT: give one of these."
        ) from None


def _check_name(name: str) -> None:
    """Before the graph is made, which takes seconds."""
    if not _SHORTEST <= len(name) <= _LONGEST:
        raise ModelError(
            f"name: {name[:60]!r} has {len(name)} letters; it has at least {_SHORTEST}, at most {_LONGEST}."
        )


def _described(
    model: Model, files: Path, sides: Sequence[int], *, name: str, authors: Sequence[str], licence: str
) -> v0_5.ModelDescr:
    """What the package says of itself."""
    from bioimageio.spec.common import FileDescr
    from bioimageio.spec.model import v0_5

    listed = model.method.listed
    doi, arxiv = _DOI.search(listed.citation), _ARXIV.search(listed.citation)
    cited: dict[str, Any] = {"text": listed.citation}
    if doi is not None:
        cited["doi"] = doi[1].rstrip(".")
    elif arxiv is not None:
        cited["doi"] = f"10.48550/arXiv.{arxiv[1]}"
    else:
        cited["url"] = "https://github.com/napari-restore/napari-restore"
    return v0_5.ModelDescr(
        name=name,
        description=f"{listed.label}: {listed.tip or 'restores noisy images'} Trained with napari-restore.",
        authors=[v0_5.Author(name=author) for author in authors],
        cite=[v0_5.CiteEntry(**cited)],
        license=v0_5.LicenseId(licence),
        documentation=FileDescr(source=files / "README.md"),
        covers=[FileDescr(source=files / "cover.png")],
        attachments=[FileDescr(source=files / WEIGHTS)],
        tags=["denoising" if listed.does == "denoise" else "restoration", "self-supervised", "napari-restore"],
        timestamp=v0_5.Datetime(datetime.now(UTC)),
        inputs=[_input(model, files, sides)],
        outputs=[_output(model, files)],
        weights=v0_5.WeightsDescr(onnx=v0_5.OnnxWeightsDescr(source=files / "weights.onnx", opset_version=OPSET)),
    )


def _input(model: Model, files: Path, sides: Sequence[int]) -> v0_5.InputTensorDescr:
    """Measured pixels, brought to the units of the network: mean off, then over the deviation."""
    from bioimageio.spec.common import FileDescr
    from bioimageio.spec.model import v0_5

    kinds = {"T": v0_5.TimeInputAxis}
    axes: list[Any] = [v0_5.BatchAxis(size=1), _channels(model)]
    each = zip(model.method.spatial, model.method.grid, least_sides(model), sides, strict=True)
    for axis, grid, least, side in each:
        kind = kinds.get(axis, v0_5.SpaceInputAxis)
        size = v0_5.ParameterizedSize(min=least, step=grid) if any_size(model.method) else side
        axes.append(kind(id=v0_5.AxisId(axis.lower()), size=size))
    mean, std = _constants(model)
    along = v0_5.FixedZeroMeanUnitVarianceAlongAxisKwargs(mean=mean, std=std, axis=v0_5.AxisId("channel"))
    one = v0_5.FixedZeroMeanUnitVarianceKwargs(mean=mean[0], std=std[0])
    return v0_5.InputTensorDescr(
        id=v0_5.TensorId("image"),
        description="The image as it was measured.",
        axes=axes,
        test_tensor=FileDescr(source=files / "test_image.npy"),
        data=v0_5.IntervalOrRatioDataDescr(type="float32"),
        preprocessing=[v0_5.FixedZeroMeanUnitVarianceDescr(kwargs=along if len(mean) > 1 else one)],
    )


def _output(model: Model, files: Path) -> v0_5.OutputTensorDescr:
    """Restored pixels, brought back to the units of the image; what lacks surroundings is the halo."""
    from bioimageio.spec.common import FileDescr
    from bioimageio.spec.model import v0_5

    kinds = {"T": (v0_5.TimeOutputAxis, v0_5.TimeOutputAxisWithHalo)}
    axes: list[Any] = [v0_5.BatchAxis(size=1), _channels(model)]
    for axis, rate, radius in zip(model.method.spatial, model.method.rate, model.method.radius, strict=True):
        name = v0_5.AxisId(axis.lower())
        plain, with_halo = kinds.get(axis, (v0_5.SpaceOutputAxis, v0_5.SpaceOutputAxisWithHalo))
        size = v0_5.SizeReference(tensor_id=v0_5.TensorId("image"), axis_id=name)
        common: dict[str, Any] = {"id": name, "size": size, "scale": 1 / rate}
        axes.append(with_halo(**common, halo=radius * rate) if radius else plain(**common))
    mean, std = _constants(model)
    along = v0_5.ScaleLinearAlongAxisKwargs(gain=std, offset=mean, axis=v0_5.AxisId("channel"))
    one = v0_5.ScaleLinearKwargs(gain=std[0], offset=mean[0]) if len(mean) == 1 else None
    return v0_5.OutputTensorDescr(
        id=v0_5.TensorId("restored"),
        description="What was restored, in the units of the image.",
        axes=axes,
        test_tensor=FileDescr(source=files / "test_restored.npy"),
        data=v0_5.IntervalOrRatioDataDescr(type="float32"),
        postprocessing=[v0_5.ScaleLinearDescr(kwargs=one or along)],
    )


def _channels(model: Model) -> v0_5.ChannelAxis:
    from bioimageio.spec.model import v0_5

    names: list[str] = [v0_5.Identifier(f"channel{c}") for c in range(model.method.channels)]
    return v0_5.ChannelAxis(channel_names=names)


def _constants(model: Model) -> tuple[list[float], list[float]]:
    """Mean and deviation of each channel; a channel without a deviation is divided by 1, as when it is restored."""
    constants = model.normalisation
    return [float(m) for m in constants.mean], [float(s) if s > 0 else 1.0 for s in constants.std]


def _write_cover(path: Path, before: NDArray[np.float32], after: NDArray[np.float32]) -> None:
    """The middle plane before and after, side by side."""
    halves = []
    for pixels in (before, after):
        plane = pixels[0, 0].reshape(-1, *pixels.shape[-2:])
        shown = plane[len(plane) // 2]
        low, high = np.nanpercentile(shown, (1, 99.8))
        gray = np.clip((np.nan_to_num(shown, nan=low) - low) / max(high - low, 1e-12) * 255, 0, 255).astype(np.uint8)
        halves.append(Picture.fromarray(gray).resize((_COVER, _COVER), Picture.Resampling.BICUBIC))
    whole = Picture.new("L", (2 * _COVER, _COVER))
    for which, half in enumerate(halves):
        whole.paste(half, (which * _COVER, 0))
    whole.save(path)


def _page(model: Model) -> str:
    """What people read of it."""
    said, listed = model.provenance, model.method.listed
    begun = f", begun with {found}" if (found := begun_with(said)) else ""
    images = ", ".join(str(each.get("name", "?")) for each in said.get("images", [])[:10]) or "not told"
    return f"""# {listed.label}

Made with napari-restore {__version__}. {listed.tip}

- Method: {listed.citation}
- Trained on: {images}; {said.get("steps", "?")} steps, {said.get("seconds", "?")} s{begun}.
- Axes: {model.method.spatial}, each channel by itself; {sum(p.numel() for p in model.method.parameters())} weights.
- `{WEIGHTS}` is the model for napari-restore, `napari_restore.load_model`. It may do more than the graph: patches
  that look alike restore each other after a network that denoises, and fill gaps.

## Validation

It was trained on noisy images of one kind and fits images of that kind alone: same instrument, light and sample. On
others compare the means of regions before and after (`napari-restore measure`), and look at what was taken away
(measured minus restored): it must show noise and no structure.
"""


def _reason(error: ValueError) -> str:
    """The first thing that is wrong, in a line."""
    errors = error.errors() if hasattr(error, "errors") else []
    if not errors:
        return (str(error).splitlines() or [type(error).__name__])[0]
    return f"{'.'.join(map(str, errors[0]['loc']))}: {errors[0]['msg']}"[:300]
