import json
import pickle
import struct
import zipfile

import pytest
import safetensors.torch
import torch

from napari_restore.core.errors import ModelError, OutputError
from napari_restore.store.header import FORMAT
from napari_restore.store.weights import read_card, read_weights, write_weights

CARD = {"method": "noise2void", "config": {"masked": 0.03}, "name": "µ"}


def tensors():
    return {
        "a": torch.arange(6.0).reshape(2, 3).T,
        "b": torch.tensor(3, dtype=torch.int64),
        "c": torch.ones(4, dtype=torch.bfloat16),
        "d": torch.zeros(0, 2),
    }


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "model.pt"  # the content decides, not the name
    write_weights(path, tensors(), CARD)
    return path


def fails(path, words):
    for read in (read_card, read_weights):
        with pytest.raises(ModelError, match=words) as error:
            read(path)
        assert "\n" not in str(error.value)


def repack(path, change):
    """The same file with another header."""
    data = path.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.dumps(change(json.loads(data[8 : 8 + length]))).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + data[8 + length :])


def test_there_and_back(path):
    card, loaded = read_weights(path)
    assert {key: card[key] for key in CARD} == CARD
    assert card["format"] == FORMAT
    assert loaded.keys() == tensors().keys()
    assert all(torch.equal(loaded[n], t) and loaded[n].dtype == t.dtype for n, t in tensors().items())
    assert read_card(path) == card


def test_the_checksum_is_of_the_weights(tmp_path, path):
    again = write_weights(tmp_path / "b", dict(reversed(tensors().items())), {"other": 1})
    assert again == read_card(path)["sha256"]
    assert again != write_weights(tmp_path / "c", {**tensors(), "b": torch.tensor(4)}, CARD)


def test_shared_weights_are_written_twice(tmp_path):
    shared = torch.rand(3)
    write_weights(tmp_path / "m", {"a": shared, "b": shared}, {})
    assert torch.equal(read_weights(tmp_path / "m")[1]["b"], shared)


@pytest.mark.parametrize(
    "content", [b"", b"hello world, I am a text", b"II*\0" + bytes(99), struct.pack("<Q", 2**60) + b"{" * 99]
)
def test_not_safetensors(path, content):
    path.write_bytes(content)
    fails(path, "is not a safetensors file")


def test_pickles_are_named_and_never_opened(path):
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("a pickle was loaded",))

    path.write_bytes(pickle.dumps(Bomb()))
    fails(path, "pickled PyTorch model")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data.pkl", pickle.dumps(Bomb()))
    fails(path, "pickled PyTorch model")


def test_a_graph_of_onnx_is_named_with_what_to_do(path):
    from onnx import helper

    for producer in ("", "pytorch"):
        graph = helper.make_model(helper.make_graph([], "restoring", [], []), producer_name=producer)
        path.write_bytes(graph.SerializeToString())
        fails(path, r"ONNX graph.* run it in the program .* package \(\.zip\)")


def test_not_ours(path):
    safetensors.torch.save_file({"a": torch.zeros(2)}, path, metadata={"format": "pt"})
    fails(path, "not a napari-restore model")


def test_newer(path):
    def newer(header):
        card = json.loads(header["__metadata__"]["napari_restore"])
        header["__metadata__"]["napari_restore"] = json.dumps({**card, "format": FORMAT + 1})
        return header

    repack(path, newer)
    fails(path, f"model format {FORMAT + 1}, this version reads up to {FORMAT}: update")


def test_a_changed_card(path):
    def changed(header):
        text = header["__metadata__"]["napari_restore"]
        header["__metadata__"]["napari_restore"] = text.replace("0.03", "0.07")
        return header

    repack(path, changed)
    fails(path, "damaged: its card")


def test_a_flipped_bit_in_the_weights(path):
    data = bytearray(path.read_bytes())
    data[-9] ^= 1
    path.write_bytes(data)
    with pytest.raises(ModelError, match="damaged: its weights"):
        read_weights(path)


def test_any_truncation_is_noticed(path):
    data = path.read_bytes()
    for length in range(0, len(data), 7):
        path.write_bytes(data[:length])
        with pytest.raises(ModelError, match=r"damaged|not a safetensors"):
            read_weights(path)


def test_any_flipped_byte_is_noticed_or_harmless(path):
    data, whole = path.read_bytes(), read_weights(path)
    for place in range(0, len(data), 5):
        path.write_bytes(data[:place] + bytes([data[place] ^ 0x11]) + data[place + 1 :])
        try:
            card, loaded = read_weights(path)
        except ModelError:
            continue
        assert card == whole[0]
        assert all(torch.equal(loaded[n], t) for n, t in whole[1].items())


def test_no_file(tmp_path):
    fails(tmp_path / "none.safetensors", "No such file")


def test_nowhere_to_write(tmp_path):
    with pytest.raises(OutputError, match="cannot be written"):
        write_weights(tmp_path / "no" / "m", tensors(), CARD)


def test_an_interrupted_write_leaves_the_old_file(path, monkeypatch):
    before = path.read_bytes()

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OutputError, match="No space left"):
        write_weights(path, {"a": torch.zeros(2)}, CARD)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]
