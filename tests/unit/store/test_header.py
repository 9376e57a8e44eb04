"""What can be told of a model file by its header alone, and without torch."""

from __future__ import annotations

import json
import struct
import subprocess
import sys

import numpy as np
import pytest
import safetensors.numpy
import torch

from napari_restore.core.errors import ModelError
from napari_restore.store.header import KEY, card_in, check_card, read_header
from napari_restore.store.weights import write_weights


def write(path, text):
    header = json.dumps({"__metadata__": {KEY: text}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header)


def test_it_is_read_without_torch():
    code = "import sys, napari_restore.store.header; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_nothing_behind_it_is_needed(tmp_path):
    path = tmp_path / "m.safetensors"
    write_weights(path, {"a": torch.zeros(1000)}, {"method": "noise2void"})
    whole = read_header(path)
    assert whole["a"]["shape"] == [1000]
    path.write_bytes(path.read_bytes()[:-3000])
    assert read_header(path) == whole


def test_a_card_is_given_as_it_is_and_checked_by_itself(tmp_path):
    path = tmp_path / "m.safetensors"
    write(path, json.dumps({"method": "noise2void", "format": 1, "card_sha256": "wrong"}))
    card = card_in(path, read_header(path))
    assert card["method"] == "noise2void"
    with pytest.raises(ModelError, match="damaged: its card does not have the checksum"):
        check_card(path, card)


@pytest.mark.parametrize("text", ["[1, 2]", "7", "null", "{", "[" * 100_000])
def test_a_card_that_is_no_object_is_refused(tmp_path, text):
    path = tmp_path / "m.safetensors"
    write(path, text)
    with pytest.raises(ModelError, match="damaged: its card is not") as caught:
        card_in(path, read_header(path))
    assert "\n" not in str(caught.value)


def test_a_file_of_somebody_else_has_no_card(tmp_path):
    safetensors.numpy.save_file({"a": np.zeros(3, np.float32)}, tmp_path / "m", metadata={"format": "np"})
    with pytest.raises(ModelError, match="not a napari-restore model"):
        card_in(tmp_path / "m", read_header(tmp_path / "m"))
