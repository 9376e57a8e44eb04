"""Sixty things that a user may do, in random order; ``benchmarks/random_actions.py`` does thousands."""

from __future__ import annotations

import random
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def random_actions(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    module = import_module("random_actions")
    monkeypatch.delitem(sys.modules, "random_actions")
    monkeypatch.delitem(sys.modules, "reporting")
    return module


def test_sixty_actions(random_actions: Any, make_napari_viewer: Any, engine: Any, tmp_path: Path) -> None:
    """No exception, no stuck button, no thread left."""
    engine.pause = 0.001
    with random_actions.answered(random.Random(0), tmp_path):
        person = random_actions.Person(0, tmp_path, make_napari_viewer, engine)
        for _ in range(60):
            person.act()
        person.settle()
    assert person.done["run"] and person.done["add_layer"] and len(person.done) > 15


def test_what_is_wrong_is_found(random_actions: Any, make_napari_viewer: Any, engine: Any, tmp_path: Path) -> None:
    person = random_actions.Person(0, tmp_path, make_napari_viewer, engine)
    person.look()
    person.page.buttons.stop_button.setEnabled(True)
    with pytest.raises(AssertionError, match="Cancel"):
        person.look()
    with random_actions.Found().listening() as found:
        sys.excepthook(KeyError, KeyError("in a slot"), None)
    assert "in a slot" in found.all[0]
