"""Models in packages: those that ``export`` wrote, and those of CAREamics. Nothing in a package is run.

A package is a ZIP of the BioImage Model Zoo. What is read of it are plain numbers and words: our own file of weights,
or the weights of a network that is built here, with what the package says of its layers.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from annotated_types import Interval
from pydantic import BaseModel, ConfigDict, ValidationError

from napari_restore.core.errors import ModelError
from napari_restore.core.normalisation import Normalisation
from napari_restore.store.card import MOST_CHANNELS
from napari_restore.store.model import Model, at_home, build_method, load_model, provenance
from napari_restore.store.no_larger import NoLarger
from napari_restore.store.state_dict import read_state_dict
from napari_restore.store.weights import checksum
from napari_restore.store.zoo import WEIGHTS

if TYPE_CHECKING:
    from bioimageio.spec.model.v0_5 import ModelDescr

_START = b"PK\x03\x04"
_MOST = 2**32
"""Bytes of a member."""
_MOST_PACKED = 200
"""A member may be so many times as long as it is packed: weights hardly pack, and what packs better is a trap."""
_EPSILON = 1e-6
"""That the zoo adds to each deviation."""


class _Layers(BaseModel):
    """What a package of CAREamics says of its network; what is not here changes nothing once it is trained."""

    model_config = ConfigDict(strict=True, extra="ignore")

    architecture: Literal["UNet"] = "UNet"
    conv_dims: Literal[2, 3]
    in_channels: Annotated[int, Interval(ge=1, le=MOST_CHANNELS)] = 1
    num_classes: Annotated[int, Interval(ge=1, le=MOST_CHANNELS)] = 1
    num_channels_init: Annotated[int, Interval(ge=2, le=1024)] = 64
    depth: Annotated[int, Interval(ge=1, le=10)] = 3
    residual: bool = False
    final_activation: Literal["None"] = "None"
    n2v2: bool = False
    independent_channels: bool = True
    use_batch_norm: bool = True
    pool_kernel: Literal[2] = 2


def open_model(path: str | Path) -> Model:
    """A model from its file: one of ours, a package that ``export`` wrote, or one that CAREamics exported.

    Raises
    ------
    ModelError
        If it is none of them; the message says what it is instead, as far as that can be told.
    """
    file = at_home(path)
    if not _is_package(file):
        return load_model(file)
    with _opened(file) as package:
        if WEIGHTS in package.namelist():
            return _own(file, package)
    return _careamics(file)


def _is_package(path: Path) -> bool:
    """Whether a file is a ZIP; what cannot be read is not, and told of where it is opened."""
    try:
        with path.open("rb") as file:
            return path.is_file() and file.read(len(_START)) == _START
    except OSError:
        return False


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as package:
            yield package
    except (zipfile.BadZipFile, NotImplementedError, EOFError, OSError) as error:
        raise ModelError(f"{path} is damaged ({error}): copy or download it again.") from None


def _member(path: Path, package: zipfile.ZipFile, name: str, folder: Path) -> Path:
    """A file of a package, unpacked into a folder under the last part of its name.

    Raises
    ------
    ModelError
        If it is not there, or packed as no weights are.
    """
    try:
        info = package.getinfo(name)
    except KeyError:
        raise ModelError(f"{path} is damaged: {name} is not in it. Copy or download it again.") from None
    if info.file_size > min(_MOST, _MOST_PACKED * info.compress_size + 2**20):
        raise ModelError(f"{path}: {name} would have {info.file_size} bytes, which no weights take: it is not read.")
    target = folder / Path(name).name
    with package.open(info) as packed, target.open("wb") as whole:
        while piece := packed.read(2**20):
            whole.write(piece)
    return target


def _own(path: Path, package: zipfile.ZipFile) -> Model:
    """The model in a package of ours."""
    with TemporaryDirectory(prefix="napari-restore-", ignore_cleanup_errors=True) as folder:
        file = _member(path, package, WEIGHTS, Path(folder))
        try:
            return load_model(file)
        except ModelError as error:
            raise ModelError(str(error).replace(str(file), f"{path}, {WEIGHTS}")) from None


def _careamics(path: Path) -> Model:
    """The model in a package of CAREamics."""
    described = _described(path)
    layers, file = _network(path, described)
    images, restored = described.inputs[0], described.outputs[0]
    spatial = "".join(axis.id.upper() for axis in images.axes if axis.type in ("space", "time"))
    if spatial[-2:] != "YX" or len(spatial) != layers.conv_dims:
        raise ModelError(f"{path}: it looks along {spatial or 'nothing'}; YX and ZYX are what is restored here.")
    mean, std = _constants(path, images.preprocessing, layers.in_channels)
    back_mean, back_std = _constants(path, restored.postprocessing, layers.in_channels)
    tensors = _tensors(path, file)
    config = {
        "width": layers.num_channels_init,
        "depth": layers.depth,
        "n2v2": layers.n2v2,
        "batch_norm": layers.use_batch_norm,
        "residual": layers.residual,
        "apart": layers.independent_channels,
    }
    settled = {f"network.{name}": each for name, each in tensors.items() if _used(name, layers)}
    gain, offset = 1 / (back_std * std), (-back_mean / back_std - mean) / std
    settled["line"] = torch.stack([gain, offset]).float()
    try:
        with NoLarger(sum(each.numel() for each in settled.values())):
            method = build_method("careamics", config, spatial=spatial, channels=layers.in_channels)
        method.load_state_dict(settled)
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"{path}: its weights do not fit the network that it describes: {reason}") from None
    said = provenance([], package=path.name, title=str(described.name), seconds="?", steps="?")
    constants = Normalisation(tuple(mean.tolist()), tuple(std.tolist()))
    return Model("careamics", method.eval(), constants, "float32", said, checksum(method.state_dict()))


def _tensors(path: Path, name: str) -> dict[str, torch.Tensor]:
    """The weights in a member of a package."""
    with (
        _opened(path) as package,
        TemporaryDirectory(prefix="napari-restore-", ignore_cleanup_errors=True) as folder,
        _member(path, package, name, Path(folder)).open("rb") as weights,
    ):
        return read_state_dict(weights, path=path / name)


def _used(name: str, layers: _Layers) -> bool:
    """Whether a tensor of CAREamics' is used: it keeps normalisations that its network leaves out."""
    return layers.use_batch_norm or ".batch_norm" not in name


def _described(path: Path) -> ModelDescr:
    """What a package says of itself; nothing but this file is asked.

    Raises
    ------
    ModelError
        If it is no package of the zoo, or what reads one is not installed.
    """
    try:
        from bioimageio.spec import load_description
        from bioimageio.spec.model.v0_5 import ModelDescr
    except ImportError:
        raise ModelError(
            "bioimageio.spec is not installed: packages of other programs are opened with "
            'pip install "napari-restore[export]".'
        ) from None
    try:
        described = load_description(path, format_version="latest", perform_io_checks=False)
    except (ValueError, OSError, LookupError, TypeError) as error:
        raise ModelError(f"{path} is no package of the BioImage Model Zoo: {str(error)[:200]}") from None
    if not isinstance(described, ModelDescr):
        raise ModelError(f"{path} is no package of a model of the BioImage Model Zoo that this release can read.")
    return described


def _network(path: Path, described: ModelDescr) -> tuple[_Layers, str]:
    """The layers of CAREamics' network and the member with its weights.

    Raises
    ------
    ModelError
        If it is another network: what that is, only its own code tells, which is not run.
    """
    weights = described.weights.pytorch_state_dict
    architecture = None if weights is None else weights.architecture
    known = getattr(architecture, "import_from", "").startswith("careamics.")
    if weights is None or architecture is None or not known:
        there = ", ".join(name for name, each in described.weights if each is not None)
        raise ModelError(
            f"{path} ({described.name}) has a network of a kind that is not known here (weights: {there}). To run it, "
            "code of the package would have to be run, which napari-restore does not do. Opened are packages of "
            "napari-restore and the U-Nets of CAREamics; run this one in the program that it was made for."
        )
    try:
        return _Layers.model_validate(dict(architecture.kwargs)), str(weights.source)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise ModelError(
            f"{path}: a network of CAREamics with {where} = {str(first['input'])[:60]!r} is not known here: "
            f"{first['msg']}."
        ) from None


def _constants(path: Path, steps: Any, channels: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and deviation of each channel that an only step takes off and divides by.

    Raises
    ------
    ModelError
        If there are other steps: what they do would be missing.
    """
    steps = [step for step in steps if step.id != "ensure_dtype"]
    if [step.id for step in steps] != ["fixed_zero_mean_unit_variance"]:
        there = ", ".join(step.id for step in steps) or "nothing"
        raise ModelError(
            f"{path}: before or after its network comes {there}; known here is one fixed mean and deviation."
        )
    said: Mapping[str, Any] = steps[0].kwargs.model_dump()
    mean, std = (torch.tensor(said[name], dtype=torch.float64).reshape(-1) for name in ("mean", "std"))
    return mean.expand(channels).clone(), std.expand(channels) + _EPSILON
