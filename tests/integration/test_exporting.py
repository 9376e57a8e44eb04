"""A model in the BioImage Model Zoo's own hands: its test, its runtime, and the same pixels."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import napari_restore
from napari_restore import export, load_model, super_resolve, train
from napari_restore.cli import main
from napari_restore.core.errors import ModelError, RestoreError
from napari_restore.methods.learned_richardson_lucy import LearnedRichardsonLucy, LearnedRichardsonLucyConfig
from napari_restore.store.graph import write_graph
from napari_restore.store.model import Model

pytestmark = [  # bioimageio.spec leaves files of a package that it writes or reads to the garbage collector
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
NOISY = np.random.default_rng(0).normal(300, 20, (4, 72, 80)).astype(np.float32)
GAPPED = np.where(np.random.default_rng(1).random(NOISY.shape) < 0.1, np.nan, NOISY)
SMALL = {"axes": "ZYX", "steps": 2, "width": 4, "depth": 1}


def blind() -> Model:
    return train(NOISY, "noise2void2", neighbours="0", similar="no", **SMALL)  # a graph has no patches


def posterior() -> Model:
    return train(NOISY, "posterior", neighbours="0", blocks=1, **SMALL)


def two_channels() -> Model:
    both = np.stack([NOISY, 5 * NOISY + 40], 1)
    return train(both, "supervised_denoising", target=both, blocks=1, **{**SMALL, "axes": "ZCYX"})


def finer() -> Model:
    model = super_resolve(NOISY, factor=2, axes="ZYX", steps=2, width=4, depth=1, blocks=1).model
    assert model is not None
    return model


def filling() -> Model:
    return train(GAPPED, "inpainting", similar="yes", blocks=1, **SMALL)


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing is asked of the network, and nothing kept outside the test."""
    monkeypatch.setenv("BIOIMAGEIO_CACHE_PATH", str(tmp_path / "cache"))
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("the network was asked"))


@pytest.fixture(scope="module")
def by_the_shell(tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, Path]:
    """A model and its package, without an image: exporting takes seconds, and is done once."""
    folder, model = tmp_path_factory.mktemp("shell"), blind()
    model.save(folder / "m.safetensors")
    words = ["export", str(folder / "m.safetensors"), "-o", str(folder / "m.zip"), "--author", "A", "--author", "B"]
    with pytest.MonkeyPatch.context() as patched, pytest.raises(SystemExit) as ended:
        patched.setattr("sys.argv", ["napari-restore", *words])
        main()
    assert not ended.value.code
    return model, folder / "m.zip"


def with_image(make: Callable[[], Model], folder: Path) -> tuple[Model, Path]:
    model = make()
    several = model.method.channels == 2
    image = np.stack([NOISY, 5 * NOISY + 40], 1) if several else GAPPED if model.method.fills else NOISY
    axes = "ZCYX" if several else "ZYX"
    return model, export(model, folder / "m.zip", image, axes=axes, authors=["A", "B"])


@pytest.mark.parametrize(
    "make", [None, posterior, two_channels, finer, filling], ids=lambda make: getattr(make, "__name__", "shared")
)
def test_the_zoo_runs_what_was_exported_and_gets_the_same_pixels(make, tmp_path, request):
    import bioimageio.core as zoo

    model, package = with_image(make, tmp_path) if make else request.getfixturevalue("by_the_shell")
    tested = zoo.test_model(package)
    assert tested.status == "passed", [(d.name, [e.msg for e in d.errors]) for d in tested.details]

    described = zoo.load_model_description(package, perform_io_checks=False)
    halo = {a.id: getattr(a, "halo", 0) for a in described.outputs[0].axes if a.type == "space"}
    radius = dict(zip(model.method.spatial.lower(), model.portable.method.radius, strict=True))
    assert halo == {a: r * model.method.rate[0] for a, r in radius.items()}
    assert described.cite[0].text == model.method.listed.citation
    assert [each.name for each in described.authors] == ["A", "B"] and described.license == "CC-BY-4.0"

    with zipfile.ZipFile(package) as files:
        assert files.getinfo("cover.png").file_size > 1000
        assert not [name for name in files.namelist() if name.endswith((".py", ".pkl", ".pt", ".pth"))]
        with files.open("test_image.npy") as shown:
            assert np.isnan(np.load(shown)).any() == model.method.fills, "what fills gaps is tried with some"
    ours = load_model(package)
    assert ours.card()["method"] == model.name and ours.normalisation == model.normalisation


def test_a_package_is_restored_with_as_its_model_is(by_the_shell, tmp_path):
    model, package = by_the_shell
    with pytest.raises(SystemExit) as ended, pytest.MonkeyPatch.context() as patched:
        np.save(tmp_path / "noisy.npy", NOISY)
        words = ["restore", "noisy.npy", "--axes", "ZYX", "--model", str(package), "-o", "out.ome.zarr"]
        patched.chdir(tmp_path)
        patched.setattr("sys.argv", ["napari-restore", *words])
        main()
    assert not ended.value.code
    there = np.asarray(napari_restore.open_image(tmp_path / "out.ome.zarr"))
    assert np.array_equal(there, np.asarray(napari_restore.restore(NOISY, model, axes="ZYX")))


def test_the_graph_is_the_method_to_1e_5_at_every_size(by_the_shell):
    import onnxruntime

    model, package = by_the_shell
    with zipfile.ZipFile(package) as files:
        graph = onnxruntime.InferenceSession(files.read("weights.onnx"))
    for shape in ((64, 96), (92, 60), (200, 60)):
        assert apart(model.method, graph, shape) <= 1e-5


def apart(method, graph, shape) -> float:
    """The largest difference, in units of what is restored."""
    import torch

    from napari_restore.methods.apply import in_units, shown

    pixels = 30 * torch.randn(1, 1, *shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        ours = in_units(method, method.restore(shown(method, pixels.clone())), pixels).numpy()
    (theirs,) = graph.run(None, {"image": pixels.numpy()})
    return np.abs(theirs - ours).max() / max(1.0, np.abs(ours).max())


def test_a_graph_with_fourier_transforms_is_the_method_to_1e_5_too(tmp_path):
    """Of other lengths than powers of two, those of onnxruntime are off by more."""
    import onnxruntime

    sharp = {"psf": "gaussian:1", "noise": 20.0, **SMALL, "steps": 1}
    method = train(NOISY, "scale_equivariant", blocks=1, **sharp).method.eval()
    write_graph(method, tmp_path / "m.onnx", sides=(140, 124), least=(140, 124))
    assert apart(method, onnxruntime.InferenceSession(tmp_path / "m.onnx"), (140, 124)) <= 1e-5


def test_what_cannot_be_exported_is_refused_in_words(tmp_path):
    model = blind()
    with pytest.raises(RestoreError, match=r"ends in \.zip"):
        export(model, tmp_path / "m.onnx")
    (tmp_path / "there.zip").touch()
    with pytest.raises(RestoreError, match="exists already"):
        export(model, tmp_path / "there.zip")
    with pytest.raises(RestoreError, match=r"no_folder.*does not exist"):
        export(model, tmp_path / "no_folder" / "m.zip")
    with pytest.raises(RestoreError, match="channel"):
        export(model, tmp_path / "m.zip", np.zeros((2, 64, 64), np.float32), axes="CYX")
    with pytest.raises(ModelError, match="licence"):
        export(model, tmp_path / "m.zip", licence="my own")
    with pytest.raises(ModelError, match=r"name: .* at least 5"):
        export(model, tmp_path / "m.zip", name="m")
    classical = napari_restore.deblur(NOISY[0], axes="YX", psf="gaussian:1.5", effort="instant").model
    with pytest.raises(ModelError, match="learns nothing"):
        export(classical, tmp_path / "m.zip")
    method = LearnedRichardsonLucy(LearnedRichardsonLucyConfig(psf="gaussian:1", width=4), spatial="YX", channels=1)
    chooses = replace(model, name="learned_richardson_lucy", method=method)
    with pytest.raises(ModelError, match=r"Lucy has steps .* share its \.safetensors"):
        export(chooses, tmp_path / "m.zip")
    assert sorted(p.name for p in tmp_path.iterdir() if p.suffix == ".zip") == ["there.zip"]
