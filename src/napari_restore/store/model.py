"""A trained model: a method with its weights, and everything needed to use it on another image."""

from __future__ import annotations

import platform
import threading
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from napari_restore import methods
from napari_restore.core.errors import ModelError
from napari_restore.core.normalisation import Normalisation
from napari_restore.core.version import __version__
from napari_restore.methods.apply import Precision
from napari_restore.methods.method import Method
from napari_restore.sources import Image
from napari_restore.store.card import checked_card
from napari_restore.store.header import PICTURE, card_in, check_card, read_header
from napari_restore.store.no_larger import NoLarger
from napari_restore.store.weights import read_tensors, write_weights


@dataclass(frozen=True, eq=False)
class Model:
    """A method that has learned.

    Attributes
    ----------
    name
        Of the method, as ``list_methods`` gives it.
    method
        With its weights, in evaluation mode.
    normalisation
        Constants measured on the training images.
    precision
        What restoring may compute in without visible loss, as measured when training ended.
    provenance
        What it was trained on, for how long, with which versions.
    sha256
        Of the weights, once they are on disk.
    thumbnail
        A small PNG of a part of the training image before and after, for people to know the model by; None in files of
        older releases. It is no part of the card, which is written into every result.
    """

    name: str
    method: Method = field(repr=False)
    normalisation: Normalisation
    precision: Precision = "float32"
    provenance: Mapping[str, Any] = field(default_factory=dict, repr=False)
    sha256: str | None = None
    thumbnail: bytes | None = field(default=None, repr=False)

    def card(self) -> dict[str, Any]:
        """What is known of the model, as plain JSON values."""
        method = self.method
        return {
            "method": self.name,
            "config": asdict(method.config),
            "spatial": method.spatial,
            "channels": method.channels,
            "radius": list(method.radius),
            "grid": list(method.grid),
            "parameters": sum(p.numel() for p in method.parameters()),
            "normalisation": {"mean": list(self.normalisation.mean), "std": list(self.normalisation.std)},
            "precision": self.precision,
            "provenance": dict(self.provenance),
        }

    @property
    def portable(self) -> Model:
        """The same without what other programs cannot run."""
        return replace(self, method=self.method.as_graph())

    def save(self, path: str | Path) -> Path:
        """Write the model as one ``.safetensors`` file.

        Raises
        ------
        OutputError
            If the file cannot be written.
        """
        target = at_home(path)
        tensors = {name: t.detach().cpu().contiguous() for name, t in self.method.state_dict().items()}
        picture = {PICTURE: b64encode(self.thumbnail).decode()} if self.thumbnail else {}
        write_weights(target, tensors, {**self.card(), **picture})
        return target


def load_model(path: str | Path) -> Model:
    """Read a model that ``Model.save`` wrote.

    Raises
    ------
    ModelError
        If the file is not a model of ours, is damaged, or was written by a newer release.
    """
    file = at_home(path)
    header = read_header(file)
    card = card_in(file, header)
    check_card(file, card)
    said = checked_card(file, card)
    tensors = read_tensors(file, header, card)
    try:
        with NoLarger(sum(tensor.numel() for tensor in tensors.values())):
            method = build_method(said.method, said.config, spatial=said.spatial, channels=said.channels)
        method.load_state_dict(tensors)
    except (LookupError, TypeError, AttributeError, ArithmeticError, RuntimeError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelError(f"{path} does not describe a model this release can build: {reason}") from None
    constants = Normalisation(tuple(said.normalisation.mean), tuple(said.normalisation.std))
    return Model(
        said.method, method.eval(), constants, said.precision, card["provenance"], card.get("sha256"), _thumbnail(card)
    )


def at_home(path: str | Path) -> Path:
    """A path with ``~`` as the home folder, if there is one."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def _thumbnail(card: Mapping[str, Any]) -> bytes | None:
    """The picture in a card; None where there is none or it is broken, as a model does as well without it."""
    try:
        return b64decode(card.get(PICTURE, ""), validate=True) or None
    except (TypeError, ValueError):
        return None


_BUILDING = threading.Lock()


def build_method(name: str, config: Any, *, spatial: str, channels: int, seed: int = 0) -> Method:
    """A method with fresh weights, from its name and its config (a mapping is checked first).

    The weights are those that ``torch.manual_seed(seed)`` would give, whatever is built meanwhile. Layers draw them
    from torch's own generator, which is the user's: one builder at a time borrows it and gives it back as it was.
    """
    settled = methods.configure(name, config) if isinstance(config, Mapping) else config
    kind = methods.find(name)
    with _BUILDING, torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed the graphics cards, too
        return kind(settled, spatial=spatial, channels=channels)


def begun_with(past: Mapping[str, Any]) -> str:
    """What a model's training began with, by its provenance, in words; nothing for fresh weights."""
    start = past.get("start")
    if not isinstance(start, Mapping):
        return ""
    if "pictures" in start:
        return "weights learned from pictures made by formulas"
    return f"the weights of an earlier model, {str(start.get('date', '')).partition('T')[0] or 'of an unknown date'}"


_NAMED = 1000
"""Images that a card names, of those a model was trained on."""


def provenance(images: list[Image], **facts: Any) -> dict[str, Any]:
    """What a model was trained on and with."""
    named = images[:_NAMED]
    return {
        "images": [{"name": i.name, "location": i.location, "axes": i.axes, "shape": list(i.shape)} for i in named],
        **({"more_images": len(images) - _NAMED} if len(images) > _NAMED else {}),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"napari-restore": __version__, "torch": torch.__version__, "python": platform.python_version()},
        **facts,
    }
