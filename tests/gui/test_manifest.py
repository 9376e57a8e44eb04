from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import npe2
import pytest
from napari._app_model.constants import MenuId

import napari_restore

PATH = Path(napari_restore.__file__).with_name("napari.yaml")


@pytest.fixture(scope="module")
def manifest() -> npe2.PluginManifest:
    return npe2.PluginManifest.from_file(PATH)


def test_every_command_points_at_something_callable(manifest):
    for command in manifest.contributions.commands:
        module, name = command.python_name.split(":")
        assert callable(getattr(import_module(module), name)), command.id


def test_every_command_referred_to_exists(manifest):
    known = {command.id for command in manifest.contributions.commands}
    given = manifest.contributions
    used = [one.command for kind in (given.readers, given.widgets, given.sample_data) for one in kind]
    used += [item.command for items in given.menus.values() for item in items]
    assert set(used) == known


def test_every_menu_takes_contributions(manifest):
    assert set(manifest.contributions.menus) <= {str(menu) for menu in MenuId.contributables()}


def test_manifest_is_in_sight_at_the_top_level():
    top = PATH.parents[2] / "napari.yaml"
    if not (PATH.parents[2] / "pyproject.toml").exists():
        pytest.skip("installed from a wheel: there is no top level")
    assert top.read_text() == PATH.read_text()


def test_manifest_is_found_through_the_entry_point():
    found = npe2.PluginManifest.from_distribution("napari-restore")
    assert [widget.display_name for widget in found.contributions.widgets] == ["Restore"]


@pytest.mark.parametrize("module", ["napari_restore.gui.readers", "napari_restore.gui.widget"])
def test_what_the_plugin_imports_holds_no_torch(module):
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
