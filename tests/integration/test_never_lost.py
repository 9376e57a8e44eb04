"""What is read is never written over, what is trained is never lost, and nothing that is not finite becomes pixels."""

from __future__ import annotations

import contextlib
import gc
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr

from napari_restore import (
    denoise,
    denoise_events,
    load_model,
    open_image,
    restore,
    restore_events,
    restore_folder,
    super_resolve,
    train,
    train_events,
)
from napari_restore.cli import main
from napari_restore.core.errors import OutputError, RestoreError
from napari_restore.core.events import (
    Checkpointed,
    Event,
    Note,
    RestorationStarted,
    Saved,
    TrainingStarted,
    from_json,
)
from napari_restore.core.job import drain
from napari_restore.core.normalisation import Normalisation
from napari_restore.store import output
from napari_restore.store.model import Model, build_method

TINY: dict[str, Any] = {"steps": 3, "effort": "quick", "method": "noise2void", "width": 4, "depth": 1, "device": "cpu"}
WORDS = (
    *("--steps", "3", "--effort", "quick", "--method", "noise2void", "--set", "width=4", "--set", "depth=1"),
    *("--device", "cpu", "--quiet"),
)


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.fsync", lambda _: None)


def noise(*shape: int) -> Any:
    return np.random.default_rng(0).normal(1000, 30, shape).astype(np.uint16)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Images of every kind, and a model."""
    tifffile.imwrite(tmp_path / "raw.tif", noise(64, 70))
    zarr.create_group(tmp_path / "raw.ome.zarr").create_array("0", data=noise(64, 70), chunks=(32, 32))
    zarr.create_array(tmp_path / "plain.zarr", data=noise(64, 70), chunks=(32, 32))
    (tmp_path / "slices").mkdir()
    for z in range(3):
        tifffile.imwrite(tmp_path / "slices" / f"z{z}.tif", noise(64, 70))
    tifffile.imwrite(tmp_path / "psf.tif", np.ones((3, 3), np.float32) / 9)
    model().save(tmp_path / "m.safetensors")
    return tmp_path


def model(spoil: float | None = None) -> Model:
    method = build_method("noise2void", {"dimensions": "2", "width": 2, "depth": 1}, spatial="YX", channels=1)
    if spoil is not None:
        for weights in method.parameters():
            weights.data.fill_(spoil)
    return Model("noise2void", method.eval(), Normalisation((1000.0,), (30.0,)))


def state(folder: Path) -> dict[str, object]:
    """All there is: names, links, bytes."""
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        found[str(path.relative_to(folder))] = (
            path.readlink() if path.is_symlink() else (path.read_bytes() if path.is_file() else None)
        )
    return found


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    def run(*words: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["napari-restore", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            main()
        return int(end.value.code or 0), capsys.readouterr().err

    return run


class TestWhatIsReadIsNeverWrittenOver:
    @pytest.mark.parametrize(
        ("image", "target"),
        [
            ("raw.tif", "raw.tif"),
            ("raw.tif", "sub/../raw.tif"),
            ("raw.tif", "link.tif"),
            ("link.tif", "raw.tif"),
            ("raw.tif", "hard.tif"),
            ("sub/linked/raw.tif", "raw.tif"),
            ("raw.ome.zarr", "raw.ome.zarr"),
            ("raw.ome.zarr/0", "raw.ome.zarr"),
            ("raw.ome.zarr", "link.zarr"),
            ("link.zarr", "raw.ome.zarr"),
            ("raw.ome.zarr", "raw.ome.zarr/inside.zarr"),
            ("raw.ome.zarr", "link.zarr/inside.tif"),
            ("plain.zarr", "plain.zarr"),
            ("slices", "slices/z1.tif"),
            ("slices", "slices/new.ome.zarr"),
            ("slices", "sub/linked/slices/z0.tif"),
        ],
    )
    @pytest.mark.parametrize("overwrite", [False, True])
    def test_by_no_path(self, place: Path, image: str, target: str, overwrite: bool) -> None:
        (place / "sub").mkdir()
        (place / "sub" / "linked").symlink_to(place)
        (place / "link.tif").symlink_to("raw.tif")
        (place / "link.zarr").symlink_to("raw.ome.zarr")
        os.link(place / "raw.tif", place / "hard.tif")
        before = state(place)
        axes = "ZYX" if image == "slices" else "YX"
        for attempt in (
            lambda: restore(
                place / image, place / "m.safetensors", output=place / target, overwrite=overwrite, axes=axes
            ),
            lambda: denoise(place / image, output=place / target, overwrite=overwrite, axes=axes, **TINY),
        ):
            with pytest.raises(OutputError, match=r"Choose another name\."):
                attempt()
        assert state(place) == before

    def test_from_the_shell_by_a_url_and_by_a_relative_path(
        self, place: Path, monkeypatch: pytest.MonkeyPatch, shell: Callable[..., tuple[int, str]]
    ) -> None:
        monkeypatch.chdir(place / "slices")
        monkeypatch.setenv("HOME", str(place))
        before = state(place)
        for image, target in (
            ((place / "raw.tif").as_uri(), "../raw.tif"),
            ("~/raw.tif", place / "raw.tif"),
            ("../raw.ome.zarr", "~/raw.ome.zarr"),
            ((place / "raw.ome.zarr").as_uri(), "~/raw.ome.zarr/x.zarr"),
        ):
            for words in (("restore", image, "--model", "~/m.safetensors"), ("denoise", image, *WORDS)):
                code, said = shell(*words, "-o", target, "--overwrite")
                assert code == 2 and "Choose another name." in said and said.count("\n") == 1, said
        assert state(place) == before

    def test_nor_what_an_array_or_a_layer_is_a_view_of(self, place: Path) -> None:
        import dask.array as da

        class Layer:
            name, scale, translate, rgb = "raw", (1.0, 1.0), (0.0, 0.0), False
            data = noise(64, 70)

            class source:  # noqa: N801
                path = str(place / "raw.tif")

        Layer.__name__ = "Image"
        before = state(place)
        for image, target in (
            (tifffile.memmap(place / "raw.tif"), "raw.tif"),
            (tifffile.memmap(place / "raw.tif")[3:], "raw.tif"),
            (zarr.open_array(place / "plain.zarr", mode="r"), "plain.zarr"),
            (zarr.open_group(place / "raw.ome.zarr", mode="r")["0"], "raw.ome.zarr"),
            (da.from_zarr(str(place / "plain.zarr")), "plain.zarr"),
            (da.from_zarr(str(place / "plain.zarr"))[5:] + 1, "plain.zarr"),
            (open_image(place / "raw.tif"), "raw.tif"),
            (Layer(), "raw.tif"),
        ):
            with pytest.raises(OutputError, match=r"which is read|is the image itself"):
                restore(image, place / "m.safetensors", output=place / target, overwrite=True, axes="YX")
        assert state(place) == before

    def test_nor_the_other_files_of_an_image_or_what_goes_with_it(self, place: Path) -> None:
        before = state(place)
        with pytest.raises(OutputError, match="is the image itself"):
            denoise(place / "raw.tif", second=place / "slices/z0.tif", output=place / "slices/z0.tif", overwrite=True)
        from napari_restore import deblur

        with pytest.raises(OutputError, match=r"psf\.tif"):
            deblur(place / "raw.tif", psf=str(place / "psf.tif"), output=place / "psf.tif", overwrite=True)
        assert state(place) == before

    @pytest.mark.parametrize("names", [["a", "b"]])
    def test_nor_a_neighbour_in_an_ome_tiff_of_several_files(self, place: Path, names: list[str]) -> None:
        ids = {name: f"urn:uuid:0000000{i}-0000-0000-0000-000000000000" for i, name in enumerate(names)}
        planes = "".join(
            f'<TiffData FirstZ="{z}" IFD="0" PlaneCount="1"><UUID FileName="{n}.ome.tif">{ids[n]}</UUID></TiffData>'
            for z, n in enumerate(names)
        )
        for name in names:
            xml = (
                f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="{ids[name]}">'
                '<Image ID="Image:0">'
                '<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="70" SizeY="64" SizeZ="2" SizeC="1" '
                f'SizeT="1"><Channel ID="Channel:0:0" SamplesPerPixel="1"/>{planes}</Pixels></Image></OME>'
            )
            tifffile.imwrite(place / f"{name}.ome.tif", noise(64, 70), description=xml, metadata=None)
        assert open_image(place / "a.ome.tif").shape == (2, 64, 70)
        before = state(place)
        with pytest.raises(OutputError, match="is the image itself"):
            restore(place / "a.ome.tif", place / "m.safetensors", output=place / "b.ome.tif", overwrite=True)
        assert state(place) == before

    @pytest.mark.parametrize("ending", [".replaced", ".partial"])
    def test_nor_a_name_that_the_output_needs_on_its_way(self, place: Path, ending: str) -> None:
        """An old result that was laid aside, and is denoised again."""
        image = place / f"x.ome.zarr{ending}"
        (place / "raw.ome.zarr").rename(image)
        before = state(place)
        with pytest.raises(OutputError, match="is a name that"):
            restore(image, place / "m.safetensors", output=place / "x.ome.zarr", overwrite=True, axes="YX")
        assert state(place) == before

    def test_nor_an_image_of_a_batch(self, place: Path) -> None:
        raw = place / "slices"
        os.link(raw / "z1.tif", raw / "z0_denoised.tif")
        before = state(raw)
        ended = restore_folder([raw / "z0.tif", raw / "z1.tif"], place / "m.safetensors", output=raw, overwrite=True)
        assert [one.state for one in ended] == ["failed", "done"]
        assert "is one of the images" in ended[0].reason
        assert {name: content for name, content in state(raw).items() if name in before} == before
        before = state(place)
        for inside in ("raw.ome.zarr", "raw.ome.zarr/new/folder"):
            with pytest.raises(OutputError, match="nothing is written there"):
                restore_folder([place / "raw.ome.zarr"], place / "m.safetensors", output=place / inside)
        assert state(place) == before

    @pytest.mark.parametrize(
        ("words", "match"),
        [
            ({"save_model": "raw.safetensors"}, "is the image itself"),
            ({"save_model": "raw.ome.zarr/m.safetensors"}, "nothing is written into an image"),
            ({"save_model": "m.safetensors", "start": "m.safetensors"}, "which is read"),
            ({"save_model": "m.safetensors", "start": "again.safetensors"}, "which is read"),
        ],
    )
    def test_nor_by_a_model(self, place: Path, words: dict[str, str], match: str) -> None:
        (place / "raw.tif").rename(place / "raw.safetensors")
        (place / "again.safetensors").symlink_to("m.safetensors")
        before = state(place)
        images = [place / "raw.safetensors", place / "raw.ome.zarr"]
        with pytest.raises(OutputError, match=match):
            train(images, axes="YX", steps=3, **{name: place / file for name, file in words.items()})
        assert state(place) == before


class TestNothingThatIsNotFiniteBecomesPixels:
    @pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
    @pytest.mark.parametrize("target", ["out.ome.zarr", "out.tif"])
    @pytest.mark.parametrize("dtype", ["uint16", "float32"])
    def test_the_run_stops_and_nothing_has_the_name(self, place: Path, value: float, target: str, dtype: str) -> None:
        image, broken = noise(64, 70).astype(dtype), model(value)
        with pytest.raises(RestoreError, match="values that are not finite, where the image has a value") as error:
            restore(image, broken, output=place / target, axes="YX", device="cpu")
        assert "\n" not in str(error.value)
        assert not (place / target).exists()
        assert output.resumable(place / target)

    def test_what_was_not_finite_is_handed_on_and_all_else_is_looked_at(self, place: Path) -> None:
        image = noise(64, 70).astype(np.float32)
        image[3:5, 4], image[9, 9] = np.nan, np.inf
        whole = np.asarray(restore(image, model(), output=place / "a.zarr", axes="YX"))
        assert np.array_equal(np.isnan(whole), np.isnan(image)) and np.isinf(whole[9, 9])
        assert np.isfinite(whole).sum() == np.isfinite(image).sum()
        with pytest.raises(RestoreError, match=f"gives {64 * 70 - 3} of {64 * 70} pixels"):
            restore(image, model(np.nan), output=place / "b.zarr", axes="YX", tile=(128, 128))

    def test_a_value_that_float32_cannot_hold_is_said(self, place: Path) -> None:
        image = noise(64, 70).astype(np.float64)
        image[3, 3] = 1e300
        with pytest.raises(RestoreError, match=r"holds 1e\+300, and values are computed in float32"):
            restore(image, model(), output=place / "a.zarr", axes="YX")

    def test_a_batch_says_which_failed_and_exits_with_2(
        self, place: Path, shell: Callable[..., tuple[int, str]]
    ) -> None:
        model(np.nan).save(place / "nan.safetensors")
        out = place / "out"
        code, said = shell("batch", place / "slices", "--model", place / "nan.safetensors", "-o", out, "--quiet")
        assert code == 2 and "3 of 3 images failed" in said and "not finite" in said
        assert not list(out.glob("*.tif"))


class TestAllThatCanBeKnownIsLookedAtBeforeTraining:
    @pytest.mark.parametrize(
        ("words", "match"),
        [
            ({"save_model": "no/m.safetensors"}, "folder .*no does not exist"),
            ({"save_model": "m.pt"}, r"'m\.pt' ends in '\.pt': name the model M\.safetensors\."),
            ({"save_model": "m"}, "ends in 'nothing'"),
            ({"save_model": "folder.safetensors"}, "is a folder"),
            ({"output": "no/out.zarr"}, "folder .*no does not exist"),
            ({"output": "out.png"}, "name the output"),
            ({"output": "out\0.zarr"}, "zero byte"),
            ({"save_model": "out\0.safetensors"}, "zero byte"),
            ({"tile": (32, 32, 32)}, "`tile` = .*give 2 positive lengths"),
            ({"tile": (32,)}, "`tile`"),
            ({"tile": (0, 0)}, "`tile`"),
            ({"tile": 5}, "`tile`"),
            ({"region": "Q=0:3"}, "`region` names axis Q"),
            ({"region": {"Y": (0, 500)}}, "64 pixels along Y"),
            ({"region": 5}, "`region`"),
            ({"memory_share": 1.5}, "`memory_share`"),
            ({"version": 0.5}, "`version`"),
            ({"version": "0.6"}, "`version`"),
            ({"client": "tcp://host:8786"}, "`client` is str"),
            ({"client": object()}, "`client` is object"),
        ],
    )
    def test_in_python(self, place: Path, words: dict[str, Any], match: str) -> None:
        (place / "folder.safetensors").mkdir()
        given = {n: place / v if n in ("save_model", "output") else v for n, v in words.items()}
        before, seen = state(place), []
        with pytest.raises(RestoreError, match=match) as error:
            drain(
                denoise_events(noise(64, 70), axes="YX", **{"output": place / "new.zarr", **given}, **TINY), seen.append
            )
        assert "\n" not in str(error.value)
        assert not any(isinstance(event, TrainingStarted) for event in seen)
        assert state(place) == before

    @pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs /proc, where nobody can write")
    def test_a_folder_that_cannot_be_written(self, place: Path) -> None:
        for words in ({"save_model": "/proc/self/m.safetensors"}, {"output": "/proc/self/o.zarr"}):
            seen: list[Event] = []
            with pytest.raises(OutputError, match="cannot be written"):
                drain(denoise_events(noise(64, 70), axes="YX", **words, **TINY), seen.append)
            assert not any(isinstance(event, TrainingStarted) for event in seen)

    def test_pixels_that_the_format_has_no_name_for(self, place: Path) -> None:
        seen: list[Event] = []
        with pytest.raises(OutputError, match="cannot hold int64"):
            drain(denoise_events(noise(64, 70).astype(np.int64), output=place / "o.tif", **TINY), seen.append)
        assert not any(isinstance(event, TrainingStarted) for event in seen)

    @pytest.mark.parametrize("full", ["model", "result"])
    def test_a_disk_without_room(self, place: Path, monkeypatch: pytest.MonkeyPatch, full: str) -> None:
        from napari_restore.verbs import ahead

        monkeypatch.setattr(output if full == "result" else ahead, "free_space", lambda _: 100)
        seen: list[Event] = []
        with pytest.raises(OutputError, match="free space there"):
            drain(denoise_events(noise(64, 70), output=place / "o.zarr", axes="YX", **TINY), seen.append)
        assert not any(isinstance(event, TrainingStarted) for event in seen)

    def test_memory_that_would_not_hold_a_tile(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("napari_restore.restoration.memory.free_memory", lambda: 1000)
        before, seen = state(place), []
        with pytest.raises(RestoreError, match=r"restoring takes about .* of memory.*, of 1 MiB that may be used"):
            drain(denoise_events(noise(64, 70), output=place / "o.zarr", axes="YX", **TINY), seen.append)
        assert not any(isinstance(event, TrainingStarted) for event in seen)
        assert state(place) == before

    @pytest.mark.parametrize(
        ("target", "words"),
        [
            ("x.pt", "napari-restore: 'x.pt' ends in '.pt': name the model M.safetensors.\n"),
            ("no/x.safetensors", "does not exist: make it, or choose another output.\n"),
        ],
    )
    def test_in_the_shell(self, place: Path, shell: Callable[..., tuple[int, str]], target: str, words: str) -> None:
        for command in (
            ("train", place / "raw.tif", *WORDS, "-o", place / target),
            ("denoise", place / "raw.tif", *WORDS, "-o", place / "o.zarr", "--save-model", place / target),
        ):
            code, said = shell(*command)
            assert code == 2 and said.endswith(words) and said.count("\n") == 1, said


class TestATrainedModelIsNeverLost:
    @pytest.fixture(autouse=True)
    def _temporary(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "temporary").mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))

    @pytest.fixture
    def failing(self, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
        """Let saving a model fail in files that are called so."""
        real = Model.save

        def fail(word: str) -> None:
            def save(self: Model, path: str | Path) -> Path:
                if word in str(path):
                    raise OutputError(f"{path} cannot be written: No space left on device.")
                return real(self, path)

            monkeypatch.setattr(Model, "save", save)

        return fail

    def kept(self, error: Any) -> Path:
        said = str(error.value)
        assert "\n" not in said and "No space left" in said
        return Path(said.partition("The trained model is kept in ")[2].removesuffix("."))

    def test_where_train_cannot_save_it(self, place: Path, failing: Callable[[str], None]) -> None:
        failing("asked")
        for words, folder in (({}, Path(tempfile.gettempdir())), ({"run": place / "run"}, place / "run")):
            with pytest.raises(OutputError) as error:
                train(place / "raw.tif", save_model=place / "asked.safetensors", **words, **TINY)
            path = self.kept(error)
            assert path.is_relative_to(folder)
            assert load_model(path).name == "noise2void"
            path.unlink()

    def test_where_denoise_cannot_save_it_and_resume_goes_on(
        self, place: Path, failing: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        failing("asked")
        out = place / "o.zarr"
        with pytest.raises(OutputError) as error:
            denoise(place / "raw.tif", output=out, save_model=place / "asked.safetensors", **TINY)
        assert self.kept(error).samefile(output.model_path(out))
        seen: list[Event] = []
        words = {"save_model": place / "other.safetensors", "output": out, "resume": True}
        drain(denoise_events(place / "raw.tif", **words, **TINY), seen.append)
        assert not any(isinstance(event, TrainingStarted) for event in seen)
        assert load_model(place / "other.safetensors").name == "noise2void"
        assert out.exists() and not output.model_path(out).exists()

    def test_where_it_cannot_be_kept_beside_the_output(self, place: Path, failing: Callable[[str], None]) -> None:
        failing(".model.safetensors")
        with pytest.raises(OutputError) as error:
            denoise(place / "raw.tif", output=place / "o.zarr", **TINY)
        assert load_model(self.kept(error)).name == "noise2void"

    def test_where_the_user_wants_it_beside_the_output(self, place: Path) -> None:
        wanted = output.model_path(place / "o.zarr")
        denoise(place / "raw.tif", output=place / "o.zarr", save_model=wanted, **TINY)
        assert load_model(wanted).name == "noise2void" and (place / "o.zarr").exists()

    def test_where_the_run_folder_is_full_or_gone_at_the_end(
        self, place: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Checkpoint, log and card are what training can do without once it is done."""
        seen: list[Event] = []

        def see(event: Event) -> None:
            seen.append(event)
            if isinstance(event, TrainingStarted):
                monkeypatch.setattr("napari_restore.training.state.write_weights", full)
                monkeypatch.setattr("napari_restore.training.loop.atomic_write", full)

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        model = drain(train_events(place / "raw.tif", run=place / "run", **TINY), see)
        assert model.name == "noise2void"
        warnings = [event.text for event in seen if isinstance(event, Note) and event.level == "warning"]
        assert ["no last checkpoint" in warnings[0], "run.json is missing: No space" in warnings[1]] == [True, True]

    def test_where_the_disk_is_full_for_a_while(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """In the middle of a training: it goes on, and keeps a checkpoint as soon as there is room."""
        from napari_restore.training import loop, state

        monkeypatch.setattr(loop, "_CHECKPOINT_EVERY", 0.0)
        attempts: list[str] = []

        def write(path: Path, *rest: Any) -> None:
            attempts.append(path.name)
            if len(attempts) <= 2:
                raise OutputError(f"{path} cannot be written: No space left on device.")
            real(path, *rest)

        real = state.write_weights
        monkeypatch.setattr(state, "write_weights", write)
        seen: list[Event] = []
        model = drain(train_events(place / "raw.tif", run=place / "run", **{**TINY, "steps": 5}), seen.append)
        assert model.provenance["steps"] == 5
        warnings = [event.text for event in seen if isinstance(event, Note) and event.level == "warning"]
        assert len(warnings) == 1 and "goes on without a checkpoint" in warnings[0] and "No space" in warnings[0]
        assert [event.step for event in seen if isinstance(event, Checkpointed)][:3] == [3, 4, 5]

    def test_where_restoring_fails_and_no_place_was_given(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        from napari_restore.verbs import run

        def fails(*_: Any, **__: Any) -> Any:
            raise RestoreError("the memory does not suffice. No space left.")
            yield

        monkeypatch.setattr(run, "restore_events", fails)
        with pytest.raises(RestoreError) as error:
            denoise(place / "raw.tif", **TINY)
        assert load_model(self.kept(error)).name == "noise2void"


class TestKilledInTheLastSecond:
    @pytest.mark.parametrize("target", ["k.ome.zarr", "k.tif"])
    def test_resume_says_done(self, place: Path, shell: Callable[..., tuple[int, str]], target: str) -> None:
        words = ("denoise", place / "raw.tif", "-o", place / target, *WORDS[:-1], "--resume")
        out = place / target
        script = (
            "import os, signal, sys\n"
            "from napari_restore.judging import judged\n"
            "def killed(*_, **__):\n"
            "    os.kill(os.getpid(), signal.SIGKILL)\n"
            "    yield\n"
            "judged.judged_events = killed\n"
            "from napari_restore.cli import main\n"
            f"sys.argv = {['napari-restore', *map(str, words)]!r}\n"
            "main()\n"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False, text=True)
        assert done.returncode == -9, done.stderr
        assert out.exists() and output.model_path(out).exists()
        before = state(out) if out.is_dir() else out.read_bytes()
        code, said = shell(*words)
        assert code == 0, said
        assert "is whole" in said
        assert (state(out) if out.is_dir() else out.read_bytes()) == before
        assert [each.name for each in place.glob(f"{target}*")] == [target]

    def test_an_older_result_is_not_taken_for_that_of_the_model_that_is_kept(self, place: Path) -> None:
        """Killed between training and restoring, of a run that was to replace a result."""
        out = place / "o.zarr"
        denoise(place / "raw.tif", output=out, seed=1, **TINY)  # the same seed would make the same model
        train(place / "raw.tif", save_model=output.model_path(out), **TINY)
        before = state(place)
        with pytest.raises(OutputError, match="exists already"):
            denoise(place / "raw.tif", output=out, resume=True, **TINY)
        assert state(place) == before


class TestResumingWhatIsWhole:
    """It is done: nothing is computed and nothing changes; of another image, model or settings it is refused."""

    @pytest.mark.parametrize("target", ["o.ome.zarr", "o.tif"])
    def test_restore(self, place: Path, shell: Callable[..., tuple[int, str]], target: str) -> None:
        first = restore(place / "raw.tif", place / "m.safetensors", output=place / target, device="cpu")
        before, seen = state(place), []
        again = drain(
            restore_events(
                place / "raw.tif", place / "m.safetensors", output=place / target, tile=(32, 32), device="cpu"
            ),
            seen.append,
        )
        assert np.array_equal(np.asarray(again), np.asarray(first)) and again.complete
        assert Saved(str(place / target), "image") in seen
        assert not any(isinstance(event, RestorationStarted) for event in seen)
        words = ("restore", place / "raw.tif", "-o", place / target, "--device", "cpu", "--resume")
        code, said = shell(*words, "--model", place / "m.safetensors")
        assert code == 0 and f"{target} is whole: nothing is left to do" in said, said
        model(0.01).save(place / "other.safetensors")
        for more, field in (
            (("--model", place / "other.safetensors"), "made with model.sha256 "),
            (("--model", place / "m.safetensors", "--region", "Y=0:32"), "made with region.X nothing"),
        ):
            code, said = shell(*words, *more)
            assert code == 2 and "exists already" in said and field in said and said.count("\n") == 1, said
        (place / "other.safetensors").unlink()
        assert state(place) == before
        with pytest.raises(OutputError, match=r"made with image\.pixels"):
            restore(noise(64, 70) + 1, place / "m.safetensors", output=place / target, device="cpu")
        code, said = shell(*words[:-1], "--model", place / "m.safetensors")
        assert code == 2 and "exists already: choose another name" in said, "nobody asked to go on"

    def test_denoise(self, place: Path, shell: Callable[..., tuple[int, str]]) -> None:
        out, save = place / "o.zarr", place / "kept.safetensors"
        words = ("denoise", place / "raw.tif", "-o", out, *WORDS[:-1])
        first = denoise(place / "raw.tif", output=out, save_model=save, **TINY)
        before, seen = state(place), []
        again = drain(denoise_events(place / "raw.tif", output=out, resume=True, **TINY), seen.append)
        assert np.array_equal(np.asarray(again), np.asarray(first)) and again.geometry == first.geometry
        assert again.model is None and not any(isinstance(event, TrainingStarted) for event in seen)
        with_model = denoise(place / "raw.tif", output=out, save_model=save, resume=True, **TINY)
        assert with_model.model is not None and with_model.model.card() == first.model.card()
        code, said = shell(*words, "--resume")
        assert code == 0 and "o.zarr is whole" in said, said
        for more, field in (
            (("--seed", "1"), "made with seed 0; this run has 1"),
            (("--set", "width=8"), "made with width 4; this run has 8"),
            (("--steps", "4"), "made with steps 3; this run has 4"),
            (("--region", "Y=0:32"), "made with region.X nothing"),
            (("--save-model", place / "no.safetensors"), "its model is not in"),
        ):
            code, said = shell(*words, "--resume", *more)
            assert code == 2 and "exists already" in said and field in said and said.count("\n") == 1, said
        for longer in ({"seconds": 600.0}, {"effort": "thorough"}):
            with pytest.raises(OutputError, match=r"made with (seconds|width|depth)"):
                denoise(place / "raw.tif", output=out, **{**TINY, "steps": None, **longer})
        assert state(place) == before
        code, said = shell(*words)
        assert code == 2 and "exists already: choose another name" in said, said
        tifffile.imwrite(place / "raw.tif", noise(64, 70) + 1)
        code, said = shell(*words, "--resume")
        assert code == 2 and "made with image." in said, said

    def test_what_is_finer_lies_where_it_lay(self, place: Path) -> None:
        words: dict[str, Any] = {"output": place / "s.zarr", "steps": 2, "effort": "quick", "device": "cpu"}
        image = noise(3, 64, 70).transpose(1, 2, 0)
        first = super_resolve(image, axes="YXZ", pixel_size={"Y": 0.3, "X": 0.2, "Z": 2.0}, **words)
        again = super_resolve(image, axes="YXZ", pixel_size={"Y": 0.3, "X": 0.2, "Z": 2.0}, **words)
        assert again.model is None and again.axes == "YXZ" and again.shape == (128, 140, 3)
        assert again.layer_kwargs["name"] == first.layer_kwargs["name"]
        np.testing.assert_allclose(again.scale, first.scale)
        np.testing.assert_allclose(again.translate, first.translate)
        assert np.array_equal(np.asarray(again), np.asarray(first))
        with pytest.raises(OutputError, match=r"made with factor\.X 2; this run has 3"):
            super_resolve(image, axes="YXZ", factor=3, **words)


class TestOneOutputHasOneOwnerFromTheFirstLine:
    def test_another_process_is_refused_while_the_first_trains(
        self, place: Path, shell: Callable[..., tuple[int, str]]
    ) -> None:
        out = place / "o.ome.zarr"
        words = [sys.executable, "-m", "napari_restore.cli", "denoise", place / "raw.tif", "-o", out, *WORDS[2:-1]]
        code = "import sys; from napari_restore.cli import main; main()"
        words = [sys.executable, "-c", code, *words[3:], "--seconds", "600", "--json"]
        first = subprocess.Popen([str(w) for w in words], stdout=subprocess.PIPE, text=True)
        try:
            assert first.stdout is not None
            while not isinstance(from_json(first.stdout.readline()), TrainingStarted):
                pass
            for more in ([], ["--resume"], ["--overwrite"]):
                code_, said = shell("denoise", place / "raw.tif", "-o", out, *WORDS, *more)
                assert code_ == 2 and f"is being written by process {first.pid}" in said, said
            assert output.training_path(out).is_dir()
        finally:
            first.kill()
            first.communicate()
        code_, said = shell("denoise", place / "raw.tif", "-o", out, *WORDS, "--overwrite")
        assert code_ == 0, said
        assert [each.name for each in place.glob("o.ome.zarr*")] == ["o.ome.zarr"]

    def test_so_is_another_thread_of_the_same_process(self, place: Path) -> None:
        out = place / "o.ome.zarr"
        events = denoise_events(place / "raw.tif", output=out, **TINY)
        while not isinstance(next(events), TrainingStarted):
            pass
        ended: list[object] = []

        def second() -> None:
            try:
                ended.append(denoise(place / "raw.tif", output=out, **TINY))
            except OutputError as error:
                ended.append(str(error))

        thread = threading.Thread(target=second)
        thread.start()
        thread.join(60)
        assert f"is being written by process {os.getpid()}" in str(ended[0])
        drain(events)
        assert [each.name for each in place.glob("o.ome.zarr*")] == ["o.ome.zarr"]

    def test_a_training_that_is_given_up_lets_go(self, place: Path) -> None:
        events = denoise_events(place / "raw.tif", output=place / "o.zarr", **TINY)
        while not isinstance(next(events), TrainingStarted):
            pass
        assert output.lock_path(place / "o.zarr").exists()
        events.close()
        assert not output.lock_path(place / "o.zarr").exists()

    def test_a_model_that_the_user_gave_stays(self, place: Path) -> None:
        """It may lie where a kept one would."""
        given = output.model_path(place / "o.zarr")
        model().save(given)
        denoise(place / "raw.tif", output=place / "o.zarr", model=given, device="cpu")
        assert load_model(given).name == "noise2void"


class TestTemporaryResults:
    @pytest.fixture
    def folders(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], int]]:
        place = tmp_path / "temporary"
        place.mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(place))

        def count() -> int:
            gc.collect()
            return len(list(place.iterdir()))

        yield count

    def test_are_gone_with_the_last_who_holds_them(self, place: Path, folders: Callable[[], int]) -> None:
        import dask.array as da

        for _ in range(3):
            result = restore(noise(64, 70), place / "m.safetensors", axes="YX")
            assert folders() == 1
            expected = np.asarray(result).mean()
            levels = result.levels
            del result
            assert folders() == 1 and np.asarray(levels[0]).mean() == expected
            lazy = da.from_zarr(levels[0])[3:]
            del levels
            assert folders() == 1 and lazy.compute().shape == (61, 70)
            del lazy
            assert folders() == 0

    def test_stay_while_an_image_made_of_one_does(self, place: Path, folders: Callable[[], int]) -> None:
        image = open_image(restore(noise(64, 70), place / "m.safetensors", axes="YX"))
        assert folders() == 1 and image.read().shape == (64, 70)
        del image
        assert folders() == 0

    def test_of_denoise_too(self, folders: Callable[[], int]) -> None:
        result = denoise(noise(64, 70), axes="YX", **TINY)
        assert folders() == 1 and result.path.exists()
        del result
        assert folders() == 0

    def test_a_refused_call_leaves_none(self, place: Path, folders: Callable[[], int]) -> None:
        for attempt in (
            lambda: denoise(np.zeros((64, 70), np.uint16), axes="YX", **TINY),
            lambda: restore(noise(2, 64, 70), place / "m.safetensors", axes="CYX"),
            lambda: restore(noise(64, 70), model(np.nan), axes="YX"),
            lambda: restore(noise(64, 70), place / "no.safetensors", axes="YX"),
        ):
            with contextlib.suppress(RestoreError):
                attempt()
            assert folders() == 0

    def test_are_gone_at_exit_at_the_latest(self, place: Path, tmp_path: Path) -> None:
        (tmp_path / "t").mkdir()
        script = (
            "import numpy as np, napari_restore as nr\n"
            f"r = nr.restore(np.ones((64, 70), 'u2') + np.eye(64, 70).astype('u2'), {str(place / 'm.safetensors')!r}, "
            "axes='YX')\n"
            "r.folder.until_exit(); print(r.path.exists())\n"
        )
        environment = {**os.environ, "TMPDIR": str(tmp_path / "t")}
        done = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
        )
        assert done.stdout == "True\n"
        assert [each for each in (tmp_path / "t").iterdir() if each.name.startswith("napari-restore")] == []

    def test_another_process_that_gets_a_copy_owns_nothing(self, place: Path, folders: Callable[[], int]) -> None:
        import pickle

        result = restore(noise(64, 70), place / "m.safetensors", axes="YX")
        store = result.levels[0].store_path.store
        copy = pickle.loads(pickle.dumps(store))
        assert copy.held is None
        del copy
        assert folders() == 1


def test_the_home_of_the_user_is_known_where_results_go(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(place))
    seen: list[Event] = []
    drain(denoise_events(place / "raw.tif", output="~/o.zarr", save_model="~/n.safetensors", **TINY), seen.append)
    assert (place / "o.zarr").is_dir() and (place / "n.safetensors").is_file()
    assert any(isinstance(event, Saved) and event.path == str(place / "o.zarr") for event in seen)


@pytest.mark.parametrize("rewritten", [True, False])
def test_an_input_rewritten_while_it_trains_is_noticed(place: Path, rewritten: bool) -> None:
    notes = []
    for event in train_events(place / "raw.tif", "noise2void", steps=3, axes="YX", width=4, depth=1):
        if isinstance(event, TrainingStarted) and rewritten:
            tifffile.imwrite(place / "raw.tif", noise(64, 70) + 100)
        if isinstance(event, Note) and event.level == "warning":
            notes.append(event.text)
    assert any("raw has changed while it was trained on" in text for text in notes) == rewritten
