"""A model is one ``.safetensors`` file whose header carries our JSON card. No pickle, whatever the file is called.

``torch.load(weights_only=True)`` was broken twice (CVE-2025-32434, CVE-2026-24747); this format cannot run code.
Layout: https://github.com/huggingface/safetensors#format.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from napari_restore.core.errors import ModelError
from napari_restore.store.files import atomic_write, disk_errors

FORMAT = 1
"""Of the card. Raise it when an older version could misread a newer file."""

PICTURE = "thumbnail"
"""Entry of a model's card, if it has one: a small PNG in base64."""

_KEY = "napari_restore"
_LENGTH_BYTES = 8
_LONGEST_HEADER = 100_000_000  # the limit of the safetensors library


def write_weights(path: Path, tensors: Mapping[str, torch.Tensor], card: Mapping[str, Any]) -> str:
    """Write a model in one atomic step.

    Parameters
    ----------
    path
        Where to; an existing file is replaced.
    tensors
        By name, on any device.
    card
        Everything else about the model; must survive JSON. "format", "sha256" and "card_sha256" are added.

    Returns
    -------
    str
        The SHA-256 of the tensors, in hexadecimal.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    plain = {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}
    content = {**card, "format": FORMAT, "sha256": checksum(plain)}
    content["card_sha256"] = _card_digest(content)
    data = safetensors.torch.save(plain, metadata={_KEY: json.dumps(content)})
    with disk_errors(path):
        atomic_write(path, data)
    return str(content["sha256"])


def read_weights(path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """The card and the tensors (on the CPU) of a model file.

    Raises
    ------
    ModelError
        If the file is not a safetensors file, not one of ours, from a newer version, or damaged.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: the model cannot be read: {error.strerror}. Check the name of the file.") from error
    card = _card(path, _header(path, data))
    try:
        tensors = safetensors.torch.load(data)
    except (safetensors.SafetensorError, ValueError) as error:
        raise ModelError(f"{path} is damaged ({error}): copy or download it again.") from error
    if checksum(tensors) != card.get("sha256"):
        raise ModelError(
            f"{path} is damaged: its weights do not have the checksum they were saved with. Copy it again."
        )
    return card, tensors


def read_card(path: Path) -> dict[str, Any]:
    """What a model file says about itself in words and numbers: without its tensors and its thumbnail."""
    try:
        with path.open("rb") as file:
            start = file.read(_LENGTH_BYTES)
            length = struct.unpack("<Q", start)[0] if len(start) == _LENGTH_BYTES else 0
            data = start + file.read(min(length, _LONGEST_HEADER))
    except OSError as error:
        raise ModelError(f"{path}: the model cannot be read: {error.strerror}. Check the name of the file.") from error
    card = _card(path, _header(path, data))
    return {name: value for name, value in card.items() if name != PICTURE}


def _header(path: Path, data: bytes) -> dict[str, Any]:
    """The JSON header of a safetensors file: 8 bytes of length, then as many of JSON."""
    length = struct.unpack("<Q", data[:_LENGTH_BYTES])[0] if len(data) > _LENGTH_BYTES else 0
    body = data[_LENGTH_BYTES : _LENGTH_BYTES + length] if length <= _LONGEST_HEADER else b""
    if not body.startswith(b"{"):
        pickled = " It looks like a pickled PyTorch model, which could run code." if _is_pickle(data) else ""
        raise ModelError(f"{path} is not a safetensors file.{pickled} Give a model saved by napari-restore.")
    if len(body) < length:
        raise ModelError(f"{path} is damaged: it ends inside its header. Copy or download it again.")
    try:
        header = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} is damaged: its header is not JSON. Copy or download it again.") from error
    return header if isinstance(header, dict) else {}


def _is_pickle(data: bytes) -> bool:
    return data.startswith((b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"))


def _card(path: Path, header: Mapping[str, Any]) -> dict[str, Any]:
    metadata = header.get("__metadata__")
    text = metadata.get(_KEY) if isinstance(metadata, dict) else None
    if not isinstance(text, str):
        raise ModelError(
            f"{path} holds weights but not a napari-restore model: its header has no {_KEY!r} entry. "
            "Give a model saved by napari-restore."
        )
    try:
        card = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} is damaged: its card is not JSON. Copy or download it again.") from error
    version = card.get("format") if isinstance(card, dict) else None
    if not isinstance(version, int) or version > FORMAT:
        raise ModelError(
            f"{path} has model format {version}, this version reads up to {FORMAT}: update napari-restore to read it."
        )
    if card.get("card_sha256") != _card_digest(card):
        raise ModelError(f"{path} is damaged: its card does not have the checksum it was saved with. Copy it again.")
    return dict(card)


def checksum(tensors: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 over name, dtype, shape and bytes of each tensor, by name."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _card_digest(card: Mapping[str, Any]) -> str:
    rest = {key: value for key, value in card.items() if key != "card_sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()
