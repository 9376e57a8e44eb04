"""Inputs as people have them, by two source trees: a table with a figure of each, case by case.

The cases are in the modules beside this one: `CASES`, from a case's number and name to a function that makes the input,
calls what is public and gives a figure in words. Each runs in a process of its own, first with the one source folder in
front of all others, then with the other. Where a case fails, the last line of its error is its figure.

    python benchmarks/cases/run.py --before ../before/src --after src --out benchmarks/results/cases.json
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import reporting  # noqa: E402

TREES = ("before", "after")


def main() -> None:
    given = arguments()
    machine = reporting.begin(given.threads)
    trees = {tree: getattr(given, tree).resolve() for tree in TREES if getattr(given, tree) is not None}
    if not trees:
        sys.exit("there is no source folder to run: give --before SRC, --after SRC, or both.")
    cases = [case for case in listed(list(trees.values())[-1]) if chosen(case, given.only)]
    rows = [row(case, trees, limit=given.limit) for case in cases]
    print(table(rows, list(trees)), file=sys.stderr)
    settings = {
        "limit_seconds": given.limit,
        "only": given.only,
        **{f"{tree}_revision": revision(source) for tree, source in trees.items()},
    }
    reporting.finish(machine, results=rows, settings=settings, out=given.out)


def arguments() -> argparse.Namespace:
    parser = reporting.parser(__doc__)
    parser.add_argument("--before", type=Path, metavar="SRC", help="source folder of the first column")
    parser.add_argument("--after", type=Path, metavar="SRC", help="source folder of the second column")
    parser.add_argument("--only", nargs="+", default=[], metavar="WORD", help="cases with one of these in their name")
    parser.add_argument("--limit", type=float, default=120, metavar="S", help="seconds a case may take (default 120)")
    return parser.parse_args()


def listed(source: Path) -> list[tuple[str, str]]:
    """Module and name of every case."""
    modules = sorted(path.stem for path in HERE.glob("*.py") if path.resolve() != Path(__file__).resolve())
    found = []
    for module in modules:
        told = in_a_process(["names", module], source, limit=120)
        if not isinstance(told, list):
            sys.exit(f"benchmarks/cases/{module}.py: {told['figure']}")
        found += [(module, name) for name in told]
    return found


def chosen(case: tuple[str, str], words: Sequence[str]) -> bool:
    return not words or any(word in f"{case[0]}: {case[1]}" for word in words)


def row(case: tuple[str, str], trees: dict[str, Path], *, limit: float) -> dict[str, Any]:
    """What each tree makes of a case."""
    module, name = case
    told = {}
    for tree, source in trees.items():
        told[tree] = in_a_process(["one", module, name], source, limit=limit)
        reporting.progress(f"{module}: {name}, {tree}: {told[tree]['figure']}")
    return {"topic": module, "case": name, **told}


def in_a_process(words: Sequence[str], source: Path, *, limit: float) -> Any:
    """What this script says in a process of its own: the last line it writes to stdout, as JSON."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(source), os.environ.get("PYTHONPATH", "")])}
    began = time.perf_counter()
    try:
        done = subprocess.run(
            [sys.executable, __file__, "--child", *words],
            capture_output=True,
            text=True,
            timeout=limit,
            env=environment,
        )
    except subprocess.TimeoutExpired:
        return {"figure": f"not done after {limit:g} s", "raised": True, "seconds": limit}
    seconds = round(time.perf_counter() - began, 1)
    try:
        told = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        last = (done.stderr.strip().splitlines() or [""])[-1]
        told = {"figure": last if done.returncode > 0 else f"killed by signal {-done.returncode}", "raised": True}
    return told if isinstance(told, list) else {**told, "seconds": seconds}


def child(words: Sequence[str]) -> None:
    """In the process of one case."""
    what, module, *name = words
    sys.path.insert(0, str(HERE))
    cases = importlib.import_module(module).CASES
    told = list(cases) if what == "names" else {"figure": str(cases[name[0]]()), "raised": False}
    print("\n" + json.dumps(told), flush=True)


def table(rows: Sequence[dict[str, Any]], trees: Sequence[str]) -> str:
    """Markdown."""
    lines = [" | ".join(["| case", *trees]) + " |", "|---" * (len(trees) + 1) + "|"]
    for each in rows:
        figures = [each[tree]["figure"].replace("|", "\\|") for tree in trees]
        lines.append(" | ".join([f"| {each['case']}", *figures]) + " |")
    return "\n".join(lines)


def revision(source: Path) -> str:
    """The commit a source folder is at, with a plus where it was changed since."""

    def git(*words: str) -> str:
        done = subprocess.run(["git", "-C", str(source), *words], capture_output=True, text=True)
        return done.stdout.strip() if done.returncode == 0 else ""

    commit = git("rev-parse", "--short", "HEAD")
    return (commit + ("+" if git("status", "--porcelain", "--", ".") else "")) or "unknown"


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2:])
    else:
        main()
