"""The types that editors and type checkers see are those of the functions."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path

import napari_restore

_SCRIPT = Path(__file__).parent.parent / "write_stub.py"


def test_the_stub_is_what_the_script_writes() -> None:
    spec = importlib.util.spec_from_file_location("write_stub", _SCRIPT)
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert script.STUB.read_text() == script.stub(), "run python tests/write_stub.py"


def test_the_stub_names_every_public_name() -> None:
    stub = Path(napari_restore.__file__).with_suffix(".pyi")
    tree = ast.parse(stub.read_text())
    named = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    named |= {alias.asname for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    named |= {node.target.id for node in tree.body if isinstance(node, ast.AnnAssign)}  # type: ignore[union-attr]
    assert set(dir(napari_restore)) <= named
