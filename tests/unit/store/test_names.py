"""Names that every file system takes, whatever the image is called."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from napari_restore import denoise, restore_folder
from napari_restore.core.errors import OutputError
from napari_restore.sources import open_image
from napari_restore.store.beside import names_beside
from napari_restore.store.finished import NAME, Entry, Finished, Size, Stamp
from napari_restore.store.names import LONGEST, beside, fitting, plain

LONG = "実験ゼブラフィッシュ胚_" * 7
"""231 bytes: with ``.tif`` or ``.ome.zarr`` a file may be called so, and none with a second ending behind it."""


@given(
    start=st.text(), other=st.text(), ending=st.sampled_from([".journal", ".model.safetensors", "_denoised.ome.zarr"])
)
def test_a_name_fits_keeps_its_ending_and_is_its_own(start, other, ending):
    name = fitting(start, ending)
    assert len(name.encode("utf-8", "surrogatepass")) <= LONGEST
    assert name.endswith(ending)
    assert name == fitting(start, ending)
    assert (name == fitting(other, ending)) == (start == other)


@given(st.text(max_size=400))
def test_a_plain_name_is_one_that_a_file_can_have(text):
    name = plain(text)
    assert name and Path(name).name == name and "\0" not in name
    name.encode()


def test_short_names_are_as_they_always_were(tmp_path):
    assert {path.name for path in names_beside(tmp_path / "a.zarr")} >= {"a.zarr.journal", "a.zarr.model.safetensors"}
    assert beside(tmp_path / LONG, ".lock").parent == tmp_path


def test_what_lies_beside_a_result_of_a_long_name_is_known_as_ours(tmp_path):
    result = tmp_path / f"{LONG}.ome.zarr"
    record = Finished(tmp_path, {})
    record.note(Entry(result.name, "begun", Stamp(Size(1, 1), 1, "0"), "0"))
    assert record.without_results([result, *names_beside(result), tmp_path / NAME]) == []


def test_an_image_with_a_long_name_is_denoised_and_resumed_and_restored_in_a_batch(tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    source = raw / f"{LONG}.tif"
    tifffile.imwrite(source, np.random.default_rng(0).normal(100, 9, (48, 53)).astype(np.float32))
    output, model = tmp_path / f"{LONG}.ome.zarr", tmp_path / f"{LONG}.safetensors"
    small = {"method": "noise2void", "width": 2, "depth": 1, "steps": 1, "device": "cpu"}
    assert denoise(source, **small).shape == (48, 53)
    denoise(source, output=output, save_model=model, **small)
    assert open_image(output).shape == (48, 53)
    assert {path.name for path in tmp_path.iterdir()} == {"raw", output.name, model.name}
    for _ in range(2):
        (state,) = restore_folder(raw, model, output=raw, format="zarr", suffix="super-resolved and much more")
        assert state.state in ("done", "skipped"), state.reason
    assert open_image(state.output).shape == (48, 53)


@pytest.mark.parametrize("option", ["output", "save_model"])
def test_a_name_that_no_file_can_have_is_refused_before_anything_is_done(tmp_path, option):
    name = f"{'胚' * 90}{'.zarr' if option == 'output' else '.safetensors'}"
    with pytest.raises(OutputError, match="a file's name has 255 at most"):
        denoise(np.zeros((48, 53), np.float32), **{option: tmp_path / name})
    assert not any(tmp_path.iterdir())
