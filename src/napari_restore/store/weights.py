"""A model is one ``.safetensors`` file whose header carries our JSON card. No pickle, whatever the file is called.

``torch.load(weights_only=True)`` was broken twice (CVE-2025-32434, CVE-2026-24747); this format cannot run code.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from napari_restore.core.errors import ModelError
from napari_restore.store.files import atomic_write, disk_errors
from napari_restore.store.header import (
    FORMAT,
    KEY,
    PICTURE,
    card_digest,
    card_in,
    check_card,
    check_length,
    read_header,
)


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
    content["card_sha256"] = card_digest(content)
    data = safetensors.torch.save(plain, metadata={KEY: json.dumps(content)})
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
    header = read_header(path)
    card = card_in(path, header)
    check_card(path, card)
    return card, read_tensors(path, header, card)


def read_tensors(path: Path, header: Mapping[str, Any], card: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """The tensors of a file whose header and card were read.

    Raises
    ------
    ModelError
        If it is not as long as the header says, or they are not those that were saved.
    """
    try:
        check_length(path, header)
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: the model cannot be read: {error.strerror}. Check the name of the file.") from error
    try:
        tensors = safetensors.torch.load(data)
    except (safetensors.SafetensorError, ValueError) as error:
        raise ModelError(f"{path} is damaged ({error}): copy or download it again.") from error
    if checksum(tensors) != card.get("sha256"):
        raise ModelError(
            f"{path} is damaged: its weights do not have the checksum they were saved with. Copy it again."
        )
    return tensors


def read_others(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a ``.safetensors`` file of another program, by name.

    Raises
    ------
    ModelError
        If it is no such file, or damaged.
    """
    header = read_header(path)
    try:
        check_length(path, header)
        return safetensors.torch.load_file(path)
    except (OSError, safetensors.SafetensorError, ValueError) as error:
        raise ModelError(f"{path} cannot be read ({error}): copy or download it again.") from error


def read_card(path: Path) -> dict[str, Any]:
    """What a model file says about itself in words and numbers: without its tensors and its thumbnail."""
    card = card_in(path, read_header(path))
    check_card(path, card)
    return {name: value for name, value in card.items() if name != PICTURE}


def checksum(tensors: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 over name, dtype, shape and bytes of each tensor, by name."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
