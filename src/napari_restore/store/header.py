"""The header of a ``.safetensors`` file and the card that a model of ours has in it: what can be told without torch.

Layout: https://github.com/huggingface/safetensors#format: 8 bytes of length, as many of JSON, then the tensors.
"""

from __future__ import annotations

import errno
import hashlib
import json
import re
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from napari_restore.core.errors import ModelError

FORMAT = 1
"""Of the card. Raise it when an older version could misread a newer file."""

KEY = "napari_restore"
"""Entry of the header's metadata with the card, as JSON."""

PICTURE = "thumbnail"
"""Entry of a model's card, if it has one: a small PNG in base64."""

_LENGTH_BYTES = 8
MOST_HEADER = 6 * 2**20
"""Bytes. Parsed JSON takes up to 27 times as much, so this is some 160 MB at the most. The names and shapes of the
tensors of four hundred networks, one a channel, fit in."""

MOST_TENSORS = 2**15
"""As many as these networks have, and more. Each takes 40 us to build and to look at, also one of nothing."""

_SHARE = 16
"""A header may be longer in a file that is so many times as long: those of real networks are a thirtieth."""

MOST_CARD = 3 * 2**20
"""Letters: a card with a thousand images, which is as many as are named, has a tenth of it."""


def read_header(path: Path) -> dict[str, Any]:
    """The header of a file; nothing behind it is read.

    Raises
    ------
    ModelError
        If the file cannot be read or is not a safetensors file.
    """
    try:
        if path.exists() and not path.is_file():
            raise OSError(errno.EINVAL, "it is not a file")  # a pipe would never be read to its end
        with path.open("rb") as file:
            most = max(MOST_HEADER, path.stat().st_size // _SHARE)
            start = file.read(_LENGTH_BYTES)
            length = struct.unpack("<Q", start)[0] if len(start) == _LENGTH_BYTES else 0
            data = start + file.read(min(length, most))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ModelError(f"{path}: the model cannot be read: {reason}. Check the name of the file.") from error
    return _header_of(path, data, most)


def _header_of(path: Path, data: bytes, most: int) -> dict[str, Any]:
    """The header in the first bytes of a file, of ``most`` bytes.

    Raises
    ------
    ModelError
        If they are not those of a safetensors file, or end before the header does.
    """
    length = struct.unpack("<Q", data[:_LENGTH_BYTES])[0] if len(data) > _LENGTH_BYTES else 0
    body = data[_LENGTH_BYTES : _LENGTH_BYTES + min(length, most)]
    if length > most and body.startswith(b"{"):
        raise ModelError(
            f"{path} is not a safetensors file with a model: its header would have {length} bytes, over the limit of "
            f"{most}. Give a model saved by napari-restore."
        )
    if not body.startswith(b"{"):
        raise ModelError(f"{path} is not a safetensors file.{_likeness(data)} Give a model saved by napari-restore.")
    if len(body) < length:
        raise ModelError(f"{path} is damaged: it ends inside its header. Copy or download it again.")
    try:
        header = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} is damaged: its header is not JSON. Copy or download it again.") from error
    if not isinstance(header, dict):
        return {}
    if len(header) > MOST_TENSORS:
        raise ModelError(
            f"{path} is damaged: its header names {len(header)} tensors, over the limit of {MOST_TENSORS}. "
            "Copy or download it again."
        )
    return header


def check_length(path: Path, header: Mapping[str, Any]) -> None:
    """Refuse a file that is not as long as the tensors in its header say, before it is read.

    Raises
    ------
    ModelError
        With both lengths.
    """
    spans = [each.get("data_offsets") for each in header.values() if isinstance(each, Mapping)]
    ends = [span[1] for span in spans if isinstance(span, list) and len(span) == 2 and type(span[1]) is int]
    with path.open("rb") as file:
        told = _LENGTH_BYTES + struct.unpack("<Q", file.read(_LENGTH_BYTES))[0] + max(ends, default=0)
        size = file.seek(0, 2)
    if size != told:
        raise ModelError(f"{path} is damaged: it has {size} bytes and should have {told}. Copy or download it again.")


def card_in(path: Path, header: Mapping[str, Any]) -> dict[str, Any]:
    """The card in a header as it is, perhaps of a newer version or changed since it was saved; see ``check_card``.

    Raises
    ------
    ModelError
        If there is none: the file is no model of ours.
    """
    metadata = header.get("__metadata__")
    text = metadata.get(KEY) if isinstance(metadata, dict) else None
    if not isinstance(text, str):
        raise ModelError(
            f"{path} holds weights but not a napari-restore model: its header has no {KEY!r} entry. "
            "Give a model saved by napari-restore."
        )
    if len(text) > MOST_CARD:
        raise ModelError(f"{path}: its card has {len(text)} letters, over the limit of {MOST_CARD}. It is damaged.")
    try:
        card = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} is damaged: its card is not JSON. Copy or download it again.") from error
    if not isinstance(card, dict):
        raise ModelError(f"{path} is damaged: its card is not a JSON object. Copy or download it again.")
    return card


def check_card(path: Path, card: Mapping[str, Any]) -> None:
    """Refuse a card of a newer version, or one that was changed.

    Raises
    ------
    ModelError
        If it is one.
    """
    version = card.get("format")
    if type(version) is not int or not 1 <= version <= FORMAT:
        raise ModelError(
            f"{path} has model format {version}, this version reads up to {FORMAT}: update napari-restore to read it."
        )
    if card.get("card_sha256") != card_digest(card):
        raise ModelError(f"{path} is damaged: its card does not have the checksum it was saved with. Copy it again.")


def card_digest(card: Mapping[str, Any]) -> str:
    """SHA-256 of a card without the entry that holds it, "card_sha256"."""
    rest = {key: value for key, value in card.items() if key != "card_sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def _likeness(data: bytes) -> str:
    """What else a file looks like by its first bytes, as a sentence; nothing where that is not known."""
    if data.startswith((b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")):
        return " It looks like a pickled PyTorch model, which could run code."
    if re.match(rb"\x08[\x03-\x1f][\x12\x1a\x22\x28\x32\x3a\x42]", data):
        return (
            " It looks like an ONNX graph, which does not say what its axes, its intensities and its surroundings are: "
            "run it in the program that it was made for, or give the package (.zip) that `export` wrote it into."
        )
    return ""
