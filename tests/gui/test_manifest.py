from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import npe2
import numpy as np
import pytest
from napari._app_model.constants import MenuId

import napari_restore
from napari_restore.gui.restore.widget import RestoreWidget

PATH = Path(napari_restore.__file__).with_name("napari.yaml")


@pytest.fixture(scope="module")
def manifest() -> npe2.PluginManifest:
    return npe2.PluginManifest.from_file(PATH)


def test_every_command_points_at_something_callable(manifest):
    for command in manifest.contributions.commands:
        module, name = command.python_name.split(":")
        assert callable(getattr(import_module(module), name)), command.id


def test_the_patterns_are_the_endings_that_the_sources_know(manifest):
    from napari_restore.sources.formats import endings

    (images,) = (one for one in manifest.contributions.readers if one.command == "napari-restore.get_reader")
    assert sorted(images.filename_patterns) == sorted(f"*{ending}" for ending in endings("stack", "folder"))


def test_every_command_referred_to_exists(manifest):
    known = {command.id for command in manifest.contributions.commands}
    given = manifest.contributions
    kinds = (given.readers, given.writers, given.widgets, given.sample_data)
    used = [one.command for kind in kinds for one in kind]
    used += [item.command for items in given.menus.values() for item in items]
    assert set(used) == known


def test_every_menu_takes_contributions(manifest):
    assert set(manifest.contributions.menus) <= {str(menu) for menu in MenuId.contributables()}


def test_every_icon_exists(manifest):
    from qtpy.QtCore import QFile  # icons of napari's own are named as its resources

    given = [manifest.icon, *(icon for c in manifest.contributions.commands if (icon := c.icon))]
    for icon in filter(None, given):
        paths = [icon] if isinstance(icon, str) else [icon.light, icon.dark]
        assert all((PATH.parent / path).exists() or QFile.exists(f":/{path}") for path in paths), icon


def test_npe2_finds_nothing_wrong():
    done = subprocess.run(["npe2", "validate", str(PATH)], check=False, capture_output=True, text=True)
    assert done.returncode == 0 and "valid!" in done.stdout + done.stderr


def test_what_a_menu_says(manifest):
    title = {command.id: command.title for command in manifest.contributions.commands}
    menus = {menu: [title[item.command] for item in items] for menu, items in manifest.contributions.menus.items()}
    assert menus["napari/layers/filter"] == ["Denoise", "Super-resolve", "Deblur", "Inpaint"]
    assert menus["napari/file/io_utilities"] == ["Open stack lazily"]


def test_every_preference_has_a_description_and_a_valid_default(manifest):
    if not getattr(manifest.contributions, "configurations", None):
        pytest.skip("npe2 before 0.8 knows no configurations by name")
    for group in manifest.contributions.configurations.values():
        for name, given in group.properties.items():
            assert given.description and given.title, name
            assert isinstance(given.default, given.python_type)
            assert given.enum is None or given.default in given.enum
            assert (given.minimum or 0) <= given.default if given.type == "number" else True


SAMPLES = {
    "microscopy": ("microscopy sample", (24, 256, 256), "zyx", "micrometer"),
    "ct": ("ct sample", (8, 256, 256), "zyx", "millimeter"),
    "tissue": ("tissue z-stack", (24, 192, 192), "zyx", "micrometer"),
    "blurred": ("blurred cells, PSF gaussian 2 px", (256, 256), "yx", "micrometer"),
    "movie": ("vesicle movie", (24, 192, 192), "tyx", "micrometer"),
    "truth": ("tissue z-stack", (24, 192, 192), "zyx", "micrometer"),
}


def test_every_sample_is_looked_at_here(manifest):
    assert [sample.key for sample in manifest.contributions.sample_data] == list(SAMPLES)
    assert len({sample.display_name for sample in manifest.contributions.sample_data}) == len(SAMPLES)


def test_an_empty_window_names_the_menu_of_the_samples_as_napari_does(manifest, make_napari_viewer_proxy, engine):
    widget = RestoreWidget(make_napari_viewer_proxy(), engine=engine)
    assert f"File ▸ Open Sample ▸ {manifest.display_name}." in widget.form.subject.size.text()
    widget.leave()


@pytest.mark.parametrize("key", SAMPLES)
def test_a_sample_opens_in_the_viewer(make_napari_viewer_proxy, key):
    name, shape, axes, unit = SAMPLES[key]
    viewer = make_napari_viewer_proxy()
    viewer.open_sample("napari-restore", key)
    *others, layer = viewer.layers
    assert [(each.name, each.visible) for each in others] == ([(f"{name} truth", False)] if key == "truth" else [])
    assert (layer.name, layer.data.shape, layer.axis_labels) == (name, shape, tuple(axes))
    assert [str(one) for one in layer.units[-2:]] == [unit] * 2
    assert all(step > 0 for step in layer.scale)
    low, high = layer.contrast_limits
    plane = np.asarray(layer.data[(shape[0] // 2,) if len(shape) > 2 else ...])
    assert np.mean((plane > low) & (plane < high)) > 0.9


def test_manifest_is_in_sight_at_the_top_level():
    top = PATH.parents[2] / "napari.yaml"
    if not (PATH.parents[2] / "pyproject.toml").exists():
        pytest.skip("installed from a wheel: there is no top level")
    assert top.read_text() == PATH.read_text()


def test_manifest_is_found_through_the_entry_point():
    found = npe2.PluginManifest.from_distribution("napari-restore")
    assert [widget.display_name for widget in found.contributions.widgets] == ["Restore"]


@pytest.mark.parametrize("module", ["napari_restore.gui.readers", "napari_restore.gui.tabs"])
def test_what_the_plugin_imports_holds_no_torch(module):
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
