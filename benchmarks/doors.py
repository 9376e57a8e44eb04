"""How many doors the code has and how far it is from one to the work: the figures of a source tree, from its syntax.

    python benchmarks/doors.py [--src DIR] [--before DIR_OR_JSON] [--json FILE]

prints a table; `--before` adds the column of another tree (a `src` folder, or the JSON of an earlier run). What is
counted, and how:

`arguments` Parameters of a function without `self` and `cls`, with `*args` and `**kwargs` as one each. A public verb is
    a function at the top of `api.py` whose name has no underscore in front.
`branches on a verb` Comparisons (`==`, `!=`, `in`, `not in`, a `case`) with the name of a verb as a literal string,
    anywhere but in the folder `verbs/`. A chain of comparisons counts once, `in ("deblur", "restore")` too. Of the tree
    at b515736 this finds 20: the 18 lines that the plan of the change lists, and lines 275 and 279 of `gui/widget.py`,
    which it overlooked. Not branches, but beside them: `lookups` are subscripts with such a literal of something whose
    name has "verb" in it (`VERBS["denoise"]`), `tables` are dict displays with two or more verbs as keys.
`import circles` Strongly connected groups of more than one module. An edge is an `import` statement at any level, also
    inside a function, but for blocks under TYPE_CHECKING; `from a import b` leads to the module `a.b` where there is
    one, else to `a`. Modules that are named in strings and loaded late are no edges. `circles of rooms` is the same
    among the folders and files right under the package.
`way to a tile` Functions of the package on the stack when a tile reaches the network, measured: a `denoise` of a random
    image of 128 x 128 in 16 tiles, two steps of noise2void. The stack is looked at where `restore` of a torch module of
    the package is called, and the one that is seen most often is that of a tile (measuring memory and judging walk
    others). From `denoise` to that `restore`, both counted; comprehensions are not. Between `denoise` and the
    first generator lie functions that only wait for it (`drain`): they are no station of the way, and counted only in
    `with those that wait`.
`length of a function` Lines from `def` to the end without the docstring.
`option words` WORDS below as parameters (`declared`), and as keywords of a call that get a name or an attribute of the
    same name (`handed on`: `seed=seed`, `device=place.device`). The plan does not list its 21 words: these give the 390
    and 267 it found at b515736.
`list_methods` Processor seconds, the least of five runs, of `import napari_restore; napari_restore.list_methods()` in
    an interpreter that has just started, and whether `python -X importtime` saw torch.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

PACKAGE = "napari_restore"
VERBS = frozenset(
    {"denoise", "super_resolve", "super-resolve", "deblur", "train", "restore", "restore_folder", "inpaint", "distill"}
)
WORDS = (
    "axes", "batch", "channel", "device", "effort", "memory_share", "noise", "overwrite", "pixel_size", "precision",
    "preview", "resume", "second", "seconds", "seed", "steps", "stop", "target", "tile", "unreadable", "version",
)  # fmt: skip
WORST = 10
REPEATS = 5

STATEMENT = f"import {PACKAGE}; {PACKAGE}.list_methods()"
TIMED = f"import time; began = time.process_time(); {STATEMENT}; print(time.process_time() - began)"
WALK = """
import json, os, sys, tempfile
from collections import Counter
from pathlib import Path
import numpy as np
import torch
import napari_restore

package = str(Path(napari_restore.__file__).parent) + os.sep
seen = Counter()

def ours(frame):
    return frame.f_code.co_filename.startswith(package) and frame.f_code.co_name not in LEFT_OUT

def is_restore(frame):
    return frame.f_code.co_name == "restore" and isinstance(frame.f_locals.get("self"), torch.nn.Module)

def look(frame, event, _):
    if event != "call" or not (ours(frame) and is_restore(frame)):
        return
    stack = [frame]
    while stack[-1].f_back is not None:
        stack.append(stack[-1].f_back)
    stack = [f for f in reversed(stack) if ours(f)]
    if any(is_restore(f) for f in stack[:-1]):
        return
    seen[tuple(
        (f.f_code.co_filename[len(package):], f.f_code.co_qualname, bool(f.f_code.co_flags & 0x20)) for f in stack
    )] += 1

torch.set_num_threads(1)
image = np.random.default_rng(0).normal(100, 10, (128, 128)).astype(np.float32)
with tempfile.TemporaryDirectory() as folder:
    sys.setprofile(look)
    napari_restore.denoise(
        image, method="noise2void", steps=2, tile=(32, 32), output=Path(folder) / "out.zarr", device="cpu",
        precision="float32", width=4, depth=1,
    )
    sys.setprofile(None)
if not seen:
    sys.exit("no `restore` of a torch module was called: has it another name now?")
print(json.dumps(seen.most_common(1)[0][0]))
"""
LEFT_OUT = {"<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>"}


@dataclass(frozen=True)
class Function:
    """A function of the package: ``module:qualname``, its parameters, its lines without the docstring."""

    name: str
    arguments: int
    lines: int
    public_verb: bool


@dataclass(frozen=True)
class Found:
    """Everything that is said about one source tree."""

    most_arguments: int
    most_arguments_behind_the_door: int
    worst: tuple[tuple[str, int], ...]
    lines_of_api: int
    branches: tuple[str, ...]
    lookups: tuple[str, ...]
    tables: tuple[str, ...]
    circles: tuple[tuple[str, ...], ...]
    circles_of_rooms: tuple[tuple[str, ...], ...]
    way: tuple[str, ...]
    way_with_waiting: int
    functions: int
    median_lines: float
    p95_lines: int
    longest_lines: int
    words_declared: int
    words_handed_on: int
    list_methods_seconds: float
    list_methods_loads_torch: bool


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--src", type=Path, default=Path(__file__).resolve().parents[1] / "src", metavar="DIR")
    parser.add_argument("--before", type=Path, metavar="DIR_OR_JSON", help="another tree, or the JSON of one")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was found here, too")
    given = parser.parse_args()
    found = asdict(look_at(given.src))
    columns = [found]
    if given.before is not None:
        columns.insert(
            0, json.loads(given.before.read_text()) if given.before.is_file() else asdict(look_at(given.before))
        )
    print("\n".join(table(columns)))
    print("\n".join(details(found)))
    if given.json is not None:
        given.json.write_text(json.dumps(found, indent=1) + "\n")


def look_at(src: Path) -> Found:
    """All figures of a source tree; runs its package for the way and for `list_methods`."""
    if not (src / PACKAGE / "__init__.py").is_file():
        sys.exit(f"{src} holds no {PACKAGE}: give a src folder.")
    trees = {module_name(path, src): ast.parse(path.read_text()) for path in sorted((src / PACKAGE).rglob("*.py"))}
    functions = [f for name, tree in trees.items() for f in functions_of(name, tree)]
    worst = sorted((f for f in functions if not f.public_verb), key=lambda f: -f.arguments)[:WORST]
    lengths = sorted(f.lines for f in functions)
    declared, handed_on = words(trees.values())
    edges = imports(trees)
    way = walk(src)
    seconds, loads_torch = listing(src)
    return Found(
        most_arguments=max(f.arguments for f in functions),
        most_arguments_behind_the_door=worst[0].arguments,
        worst=tuple((f.name, f.arguments) for f in worst),
        lines_of_api=len((src / PACKAGE / "api.py").read_text().splitlines()),
        branches=tuple(each(trees, branches_of)),
        lookups=tuple(each(trees, lookups_of)),
        tables=tuple(each(trees, tables_of)),
        circles=circles(edges),
        circles_of_rooms=circles(between_rooms(edges)),
        way=stations(way),
        way_with_waiting=len(way),
        functions=len(functions),
        median_lines=statistics.median(lengths),
        p95_lines=lengths[int(0.95 * (len(lengths) - 1))],
        longest_lines=lengths[-1],
        words_declared=declared,
        words_handed_on=handed_on,
        list_methods_seconds=seconds,
        list_methods_loads_torch=loads_torch,
    )


def table(columns: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Markdown, a column a tree."""
    rows: dict[str, Callable[[Mapping[str, Any]], object]] = {
        "most arguments of any function": lambda f: f["most_arguments"],
        "most arguments of one that is no public verb": lambda f: f["most_arguments_behind_the_door"],
        "lines of api.py": lambda f: f["lines_of_api"],
        "branches on a verb's name outside verbs": lambda f: len(f["branches"]),
        "lookups by a verb's name / tables of verbs": lambda f: f"{len(f['lookups'])} / {len(f['tables'])}",
        "import circles": lambda f: len(f["circles"]),
        "circles of rooms": lambda f: len(f["circles_of_rooms"]),
        "way from denoise to a tile (with those that wait)": (
            lambda f: f"{len(f['way'])} ({f['way_with_waiting']})" if f["way"] else "not measured"
        ),
        "functions": lambda f: f["functions"],
        "lines of a function: median / 95 % / longest": (
            lambda f: f"{f['median_lines']:g} / {f['p95_lines']} / {f['longest_lines']}"
        ),
        f"{len(WORDS)} option words declared / handed on": (
            lambda f: f"{f['words_declared']} / {f['words_handed_on']}"
        ),
        "list_methods(): processor seconds, torch": (
            lambda f: f"{f['list_methods_seconds']:.2f}, {'loaded' if f['list_methods_loads_torch'] else 'not loaded'}"
        ),
    }
    yield f"| | {' | '.join(['before', 'after'] if len(columns) > 1 else ['found'])} |"
    yield f"|---|{'---|' * len(columns)}"
    for label, value in rows.items():
        yield f"| {label} | {' | '.join(str(value(column)) for column in columns)} |"


def details(found: Mapping[str, Any]) -> Iterator[str]:
    """What the figures are made of."""
    yield "\nmost arguments, public verbs apart:"
    yield from (f"  {count:3}  {name}" for name, count in found["worst"])
    for label in ("branches", "lookups", "tables"):
        yield f"{label}:" if found[label] else f"{label}: none"
        yield from (f"  {place}" for place in found[label])
    for label in ("circles", "circles_of_rooms"):
        yield f"{label}:" if found[label] else f"{label}: none"
        yield from (f"  {' + '.join(group)}" for group in found[label])
    yield "way to a tile:"
    yield from (f"  {place}" for place in found["way"])


def module_name(path: Path, src: Path) -> str:
    """``a.b.c`` of a file; a package is called after its folder."""
    parts = path.relative_to(src).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def short(module: str) -> str:
    return module.removeprefix(f"{PACKAGE}.")


def functions_of(module: str, tree: ast.Module) -> Iterator[Function]:
    """Every ``def``, those inside classes and functions too."""
    public = {
        node for node in tree.body if module == f"{PACKAGE}.api" and not getattr(node, "name", "_").startswith("_")
    }

    def inside(node: ast.AST, names: tuple[str, ...]) -> Iterator[Function]:
        for child in ast.iter_child_nodes(node):
            path = names
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                path = (*names, child.name)
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                said = f"{short(module)}:{'.'.join(path)}"
                yield Function(said, len(parameters(child)), lines_without_docstring(child), child in public)
            yield from inside(child, path)

    return inside(tree, ())


def parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    """Names, without ``self`` and ``cls``."""
    given = function.args
    named = [a.arg for a in (*given.posonlyargs, *given.args)]
    if named and named[0] in ("self", "cls"):
        named = named[1:]
    return named + [a.arg for a in (given.vararg, *given.kwonlyargs, given.kwarg) if a is not None]


def lines_without_docstring(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    first = function.body[0]
    described = ast.get_docstring(function, clean=False) is not None
    documented = last_line(first) - first.lineno + 1 if described else 0
    return last_line(function) - function.lineno + 1 - documented


def last_line(node: ast.stmt) -> int:
    return node.end_lineno or node.lineno


def each(
    trees: Mapping[str, ast.Module], found_in: Callable[[ast.Module], Iterator[tuple[Any, ast.AST]]]
) -> Iterator[str]:
    """``module:line  source`` of what is found in each module but those of ``verbs/``."""
    for module, tree in trees.items():
        if short(module).split(".")[0] != "verbs":
            found = sorted(found_in(tree), key=lambda pair: pair[0].lineno)
            yield from (f"{short(module)}:{node.lineno}  {ast.unparse(said)}" for node, said in found)


def branches_of(tree: ast.Module) -> Iterator[tuple[Any, ast.AST]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare) and any(names_a_verb(side) for side in (node.left, *node.comparators)):
            yield node, node
        elif isinstance(node, ast.MatchValue) and names_a_verb(node.value):
            yield node, node.value


def lookups_of(tree: ast.Module) -> Iterator[tuple[Any, ast.AST]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and is_verb(node.slice) and "verb" in ast.unparse(node.value).lower():
            yield node, node


def tables_of(tree: ast.Module) -> Iterator[tuple[Any, ast.AST]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict) and len(keys := [k for k in node.keys if k is not None and is_verb(k)]) > 1:
            yield node, ast.Tuple(keys, ast.Load())


def is_verb(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value in VERBS


def names_a_verb(node: ast.AST) -> bool:
    """A verb's name, or a display of several things with one among them."""
    members = node.elts if isinstance(node, ast.Tuple | ast.List | ast.Set) else [node]
    return any(is_verb(member) for member in members)


def imports(trees: Mapping[str, ast.Module]) -> dict[str, set[str]]:
    """The modules of the package that each of them imports."""
    return {
        module: {name for node in statements(tree) for name in imported(node, trees)} - {module}
        for module, tree in trees.items()
    }


def statements(node: ast.AST) -> Iterator[ast.AST]:
    """Every node but those that only type checkers see."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            for other in child.orelse:
                yield from (other, *statements(other))
        else:
            yield child
            yield from statements(child)


def imported(node: ast.AST, known: Mapping[str, object]) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if alias.name in known)
    elif isinstance(node, ast.ImportFrom) and node.module is not None and not node.level:
        for alias in node.names:
            whole = f"{node.module}.{alias.name}"
            if whole in known:
                yield whole
            elif node.module in known:
                yield node.module


def between_rooms(edges: Mapping[str, set[str]]) -> dict[str, set[str]]:
    rooms: dict[str, set[str]] = {}
    for module, others in edges.items():
        room = room_of(module)
        rooms.setdefault(room, set()).update(room_of(other) for other in others if room_of(other) != room)
    return rooms


def room_of(module: str) -> str:
    return ".".join(module.split(".")[:2])


def circles(edges: Mapping[str, set[str]]) -> tuple[tuple[str, ...], ...]:
    """Groups of which every member reaches every other."""
    reached = {module: reachable(module, edges) for module in edges}
    groups = {
        tuple(sorted(short(other) for other in others if module in reached.get(other, set())))
        for module, others in reached.items()
        if module in others
    }
    return tuple(sorted(groups))


def reachable(start: str, edges: Mapping[str, set[str]]) -> set[str]:
    found: set[str] = set()
    ahead = list(edges[start])
    while ahead:
        module = ahead.pop()
        if module not in found:
            found.add(module)
            ahead.extend(edges.get(module, ()))
    return found


def words(trees: Iterable[ast.Module]) -> tuple[int, int]:
    """How often WORDS are parameters, and how often they are handed on under their own name."""
    declared = handed_on = 0
    for node in (node for tree in trees for node in ast.walk(tree)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            given = node.args
            declared += sum(a.arg in WORDS for a in (*given.posonlyargs, *given.args, *given.kwonlyargs))
        elif isinstance(node, ast.keyword) and node.arg in WORDS:
            value = node.value
            same = value.id if isinstance(value, ast.Name) else value.attr if isinstance(value, ast.Attribute) else ""
            handed_on += same == node.arg
    return declared, handed_on


def walk(src: Path) -> list[tuple[str, str, bool]]:
    """File, function and whether it is a generator, from `denoise` to the network's `restore` of a tile."""
    said = python(src, "-c", f"LEFT_OUT = {sorted(LEFT_OUT)}\n{WALK}").stdout.splitlines()
    return [tuple(place) for place in json.loads(said[-1])] if said else []


def stations(way: Sequence[tuple[str, str, bool]]) -> tuple[str, ...]:
    """The way without those that only wait: between the first and the first generator."""
    first = next((i for i, (_, _, generator) in enumerate(way) if generator), 1)
    return tuple(f"{file}:{name}" for file, name, _ in (*way[:1], *way[max(1, first) :]))


def listing(src: Path) -> tuple[float, bool]:
    """Seconds to list the methods, and whether torch was loaded for it."""
    seconds = [float(python(src, "-c", TIMED).stdout or "nan") for _ in range(REPEATS)]
    said = python(src, "-X", "importtime", "-c", STATEMENT).stderr
    loaded = {line.rpartition("|")[2].strip() for line in said.splitlines() if line.startswith("import time:")}
    return min(seconds), "torch" in loaded


def python(src: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python with a source tree; what fails is said, and its figure is left out: a tree may be half built."""
    path = os.pathsep.join(filter(None, [str(src.resolve()), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True)
    if done.returncode:
        print(f"not measured in {src}: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
    return done


if __name__ == "__main__":
    main()
