"""Models of others: the package of CAREamics, opened without running any of it; and what is refused."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from napari_restore import load_model, networks, restore
from napari_restore.core.errors import ModelError
from napari_restore.store.state_dict import read_state_dict

pytestmark = [  # bioimageio.spec leaves files of a package that it writes or reads to the garbage collector
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

MEAN, STD = (300.0, 1500.0), (20.0, 90.0)


def network(channels: int = 1, **settings: Any) -> torch.nn.Module:
    """One with normalisations as if it had been trained."""
    torch.manual_seed(0)
    made = networks.build("careamics_unet", ndim=2, channels=channels, width=8, **settings).eval()
    for each in made.modules():
        if isinstance(each, torch.nn.BatchNorm2d):
            each.running_mean.normal_(0, 0.1)
            each.running_var.uniform_(0.5, 1.5)
    return made


def weights_of(made: torch.nn.Module) -> bytes:
    file = io.BytesIO()
    torch.save(made.state_dict(), file)
    return file.getvalue()


def package(
    path: Path, weights: bytes, *, channels: int = 1, module: str = "careamics.models.unet", **layers: Any
) -> Path:
    """As CAREamics 0.3 writes one (``careamics.model_io.bioimage.model_description``), without what nobody reads."""
    told = {
        "architecture": "UNet", "conv_dims": 2, "in_channels": channels, "num_classes": channels, "depth": 2,
        "num_channels_init": 8, "final_activation": "None", "n2v2": False, "independent_channels": True,
        "use_batch_norm": True, "residual": False, **layers,
    }  # fmt: skip
    mean, std = list(MEAN[:channels]), list(STD[:channels])
    back = [-m / (s + 1e-6) for m, s in zip(mean, std, strict=True)], [1 / (s + 1e-6) - 1e-6 for s in std]
    names = [f"channel{c}" for c in range(channels)]
    axes = [{"type": "batch"}, {"type": "channel", "channel_names": names}]
    axes += [{"type": "space", "id": a, "size": 64} for a in "yx"]
    step = "fixed_zero_mean_unit_variance"
    steps = [{"id": step, "kwargs": {"mean": m, "std": s, "axis": "channel"}} for m, s in ((mean, std), back)]
    described = {
        "type": "model", "format_version": "0.5.4", "name": "My Model", "description": "N2V",
        "authors": [{"name": "A"}], "cite": [{"text": "N2V", "doi": "10.1109/cvpr.2019.00223"}],
        "license": "BSD-3-Clause", "documentation": {"source": "README.md"}, "version": "0.3.5",
        "inputs": [{"id": "input", "axes": axes, "test_tensor": {"source": "inputs.npy"}, "preprocessing": steps[:1]}],
        "outputs": [
            {"id": "prediction", "axes": axes, "test_tensor": {"source": "outputs.npy"}, "postprocessing": steps[1:]}
        ],
        "weights": {
            "pytorch_state_dict": {
                "source": "weights.pth", "pytorch_version": "2.7.1",
                "architecture": {"import_from": module, "callable": "UNet", "kwargs": told},
            }
        },
    }  # fmt: skip
    with zipfile.ZipFile(path, "w") as files:
        files.writestr("rdf.yaml", json.dumps(described))  # which is YAML, too
        files.writestr("weights.pth", weights)
        files.writestr("README.md", "# My Model")
        for name in ("inputs.npy", "outputs.npy"):
            files.writestr(name, b"")
    return path


@pytest.mark.parametrize(("channels", "settings"), [(1, {}), (2, {"n2v2": True, "depth": 1, "residual": True})])
def test_a_model_of_careamics_gives_what_its_network_gives(channels, settings, tmp_path):
    made = network(channels, **settings)
    file = package(tmp_path / "care.zip", weights_of(made), channels=channels, **settings)
    shape = (channels, 64, 72)
    mean, std = (np.float32(each[:channels]).reshape(-1, 1, 1) for each in (MEAN, STD))
    image = (mean + std * np.random.default_rng(0).normal(size=shape)).astype(np.float32)
    result = restore(image, file, axes="CYX", tile=(32, 32))
    with torch.inference_mode():
        theirs = made(torch.from_numpy((image - mean) / (std + 1e-6))[None])[0].numpy() * (std + 1e-6) + mean
    r = made.radius[0]
    inside = np.s_[:, r:-r, r:-r]
    assert np.abs(np.asarray(result)[inside] - theirs[inside]).max() < 2e-5 * STD[channels - 1]


def test_it_is_kept_and_opened_as_a_model_of_ours(tmp_path):
    model = load_model(package(tmp_path / "care.zip", weights_of(network())))
    model.save(tmp_path / "m.safetensors")
    again = load_model(tmp_path / "m.safetensors")
    assert again.normalisation == model.normalisation and again.sha256 == model.sha256
    assert again.card()["provenance"]["title"] == "My Model"


def test_each_kind_of_number_is_read_as_torch_reads_it():
    kinds = (torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32)
    kept = OrderedDict((str(kind), torch.arange(24).reshape(2, 3, 4).to(kind)) for kind in kinds)
    kept["turned"], kept["part"] = kept["torch.float32"].permute(2, 0, 1), kept["torch.float32"][1:, ::2]
    kept["one"], kept["none"] = torch.tensor(3.0), torch.zeros(0, 2)
    file = io.BytesIO()
    torch.save(kept, file)
    found = read_state_dict(file, path=Path("w.pth"))
    assert list(found) == list(kept)
    for name, tensor in kept.items():
        assert found[name].dtype == tensor.dtype and torch.equal(found[name], tensor)


class Hostile:
    def __reduce__(self) -> Any:
        return (pytest.fail, ("it was run",))


def saved(what: Any) -> bytes:
    file = io.BytesIO()
    torch.save(what, file)
    return file.getvalue()


def rewritten(data: bytes, table: bytes) -> bytes:
    """A file of torch with another table."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            new.writestr(name, table if name.endswith("data.pkl") else old.read(name))
    return out.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        saved(Hostile()),
        saved({"weight": torch.zeros(2), "more": Hostile()}),
        saved(torch.nn.Linear(2, 2)),
        saved({"weight": torch.zeros(2), "epoch": 3}),
        rewritten(saved({}), pickle.dumps(Hostile())),
        rewritten(saved({}), b"\x80\x02}q\x00"),
        rewritten(saved({}), b"."),
        pickle.dumps(Hostile()),
        b"",
    ],
    ids=["call", "call inside", "module", "number", "other protocol", "cut", "empty", "plain pickle", "nothing"],
)  # fmt: skip
def test_what_is_no_list_of_weights_is_refused_and_never_run(data):
    with pytest.raises(ModelError, match=r"w\.pth"):
        read_state_dict(io.BytesIO(data), path=Path("w.pth"))


def test_a_shape_with_more_numbers_than_its_file_is_refused():
    small = saved({"weight": torch.zeros(2, 3)})
    with zipfile.ZipFile(io.BytesIO(small)) as files:
        table = files.read(next(name for name in files.namelist() if name.endswith("data.pkl")))
    shape = b"K\x02K\x03\x86"
    assert shape in table
    for larger in (b"K\x02K\x04\x86", b"J\xff\xff\xff\x7fK\x03\x86", b"J\xff\xff\xff\xffK\x03\x86"):
        with pytest.raises(ModelError, match="a tensor has"):
            read_state_dict(io.BytesIO(rewritten(small, table.replace(shape, larger))), path=Path("w.pth"))


def test_other_packages_are_refused_in_words(tmp_path):
    weights = weights_of(network())
    with pytest.raises(ModelError, match=r"code of the package would have to be run"):
        load_model(package(tmp_path / "a.zip", weights, module="somebody.models"))
    with pytest.raises(ModelError, match="final_activation = 'Sigmoid'"):
        load_model(package(tmp_path / "b.zip", weights, final_activation="Sigmoid"))
    with pytest.raises(ModelError, match="do not fit the network"):
        load_model(package(tmp_path / "c.zip", weights, depth=3))
    with pytest.raises(ModelError, match="do not fit the network"):
        load_model(package(tmp_path / "d.zip", weights, num_channels_init=1024, depth=8))
    with zipfile.ZipFile(tmp_path / "e.zip", "w") as files:
        files.writestr("readme.txt", "no model")
    with pytest.raises(ModelError, match=r"e\.zip is no package"):
        load_model(tmp_path / "e.zip")
    (tmp_path / "f.zip").write_bytes(package(tmp_path / "g.zip", weights).read_bytes()[:2000])
    with pytest.raises(ModelError, match="damaged"):
        load_model(tmp_path / "f.zip")


def test_what_unpacks_to_far_more_than_weights_is_not_read(tmp_path):
    with zipfile.ZipFile(tmp_path / "m.zip", "w", zipfile.ZIP_DEFLATED) as files:
        files.writestr("napari-restore-model.safetensors", bytes(2**24))
    with pytest.raises(ModelError, match="which no weights take"):
        load_model(tmp_path / "m.zip")
