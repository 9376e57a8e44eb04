"""No file that is opened can run code: the source has nothing that would."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import napari_restore

SOURCE = Path(napari_restore.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))

CODE_IN_DATA = {
    "pickle",
    "cPickle",
    "_pickle",
    "cloudpickle",
    "dill",
    "joblib",
    "marshal",
    "shelve",
    "yaml",
    "jsonpickle",
}
"""Modules whose files are programs, or can be."""

RUNS = {"eval", "exec", "compile", "__import__", "execfile"}
METHODS = {("os", "system"), ("os", "popen"), ("torch", "load"), ("torch", "save"), ("joblib", "load")}
FLAGS = {"allow_pickle": True, "weights_only": False, "shell": True}


def dangers(tree: ast.AST) -> Iterator[str]:
    """What in a module could run what a file says, each with its line."""
    for node in ast.walk(tree):
        where = f"line {getattr(node, 'lineno', 0)}"
        match node:
            case ast.Import(names):
                yield from (f"{where}: import {n.name}" for n in names if n.name.partition(".")[0] in CODE_IN_DATA)
            case ast.ImportFrom(module=str(module)) if module.partition(".")[0] in CODE_IN_DATA:
                yield f"{where}: from {module} import"
            case ast.Call(func=ast.Name(name)) if name in RUNS:
                yield f"{where}: {name}()"
            case ast.Attribute(value=ast.Name(module), attr=name) if (module, name) in METHODS:
                yield f"{where}: {module}.{name}"
            case ast.keyword(arg=str(flag), value=ast.Constant(value)) if flag in FLAGS and value is FLAGS[flag]:
                yield f"{where}: {flag}={value}"
            case ast.keyword(arg=str(flag), value=value) if flag in FLAGS and not isinstance(value, ast.Constant):
                yield f"{where}: {flag} is not a word"
            case ast.Constant(value=str(text)) if text.partition(":")[0] in CODE_IN_DATA:
                yield f"{where}: {text!r}, which may be imported by its name"


@pytest.mark.parametrize(
    "line",
    [
        "import pickle", "import a, dill as b", "from cloudpickle import loads", "eval(x)", "exec(x)", "__import__(x)",
        "np.load(f, allow_pickle=True)", "load(f, weights_only=False)", "np.load(f, allow_pickle=x)", "torch.load(f)",
        "os.system(x)", "run(x, shell=True)", "import_module('pickle')", "compile(x, 'a', 'exec')",
    ],
)  # fmt: skip
def test_each_danger_is_seen(line: str) -> None:
    assert list(dangers(ast.parse(line)))


@pytest.mark.parametrize(
    "line", ["np.load(f, allow_pickle=False)", "re.compile('a')", "module.eval()", "from x import load", "'picklejar'"]
)
def test_what_only_looks_like_one_is_not(line: str) -> None:
    assert not list(dangers(ast.parse(line)))


def test_the_source_has_none() -> None:
    assert len(FILES) > 100
    found = [
        f"{file.relative_to(SOURCE)}, {danger}" for file in FILES for danger in dangers(ast.parse(file.read_bytes()))
    ]
    assert not found, "\n".join(found)
