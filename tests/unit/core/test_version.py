"""One version, whoever is asked."""

from __future__ import annotations

import tomllib
from pathlib import Path

import napari_restore
from napari_restore.core.version import __version__

PROJECT = Path(__file__).parents[3] / "pyproject.toml"


def test_the_build_and_the_package_have_one_version():
    assert tomllib.loads(PROJECT.read_text("utf-8"))["project"]["version"] == __version__
    assert napari_restore.__version__ == __version__
