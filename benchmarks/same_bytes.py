"""Does a change of the code change a byte? Every verb by every door, recorded from two source trees and compared.

    python benchmarks/same_bytes.py record BEFORE.json --package ../before/src
    python benchmarks/same_bytes.py record AFTER.json
    python benchmarks/same_bytes.py compare BEFORE.json AFTER.json        exit code 1 where they differ

Only doors that stay are used: the public names with their flat keywords, and `python -m napari_restore`. Each case
(in `same_bytes_cases.py`; `--only` takes some) runs in a process of its own, in a folder of its own with the same small
images, on one thread of the processor, with budgets in steps. Two records compare only if they are of one machine with
one set of libraries; `compare` says where they are not.

Recorded are: SHA-256 of every tensor of a model and its card; of the pixels of every output, level by level, with its
geometry, dtype and metadata; the events in their order; reports; what measures give; errors, exit codes, what is
printed; the names of all files that are left; public names, their parameters and the shell's flags, of which an `after`
may have more.

Not compared is what no two runs share (`same_bytes_facts.py`). A placeholder stands for seconds, dates, versions, bytes
of memory, times of files and the folder a case runs in. Of events that come by the clock (TIMED) only the kinds are
kept, and the last `Measured` of a training without its loss; advice on the length of a training is left out, as it
depends on how often the clock let it look; of a run that was stopped half way, how far it came. What errors and notes
call an option, `--overwrite` or `overwrite` in backticks, is the same thing in Python (LIKE_AN_OPTION), but not in the
shell.
"""

from __future__ import annotations

import argparse
import difflib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve()
CASES = HERE.with_name("same_bytes_cases.py")
AT_LEAST = "at least: "
"""Begins the names of lists of which the later record may have more."""

ALONE = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    one = verbs.add_parser("record", help="run the cases and write what came")
    one.add_argument("out", type=Path, metavar="OUT.json")
    one.add_argument("--package", type=Path, default=HERE.parents[1] / "src", metavar="DIR", help="a src folder")
    one.add_argument("--only", nargs="+", default=(), metavar="CASE", help="names from same_bytes_cases.py")
    one.add_argument("--jobs", type=int, default=1, help="cases at a time, each on one thread (default 1)")
    one.add_argument("--keep", type=Path, metavar="DIR", help="run in this new folder, and leave what the cases made")
    two = verbs.add_parser("compare", help="print the differences of two records")
    two.add_argument("before", type=Path)
    two.add_argument("after", type=Path)
    two.add_argument("--only", nargs="+", default=(), metavar="CASE", help="where not all were recorded")
    two.add_argument("--most", type=int, default=200, metavar="N", help="differences printed (default 200)")
    given = parser.parse_args()
    if given.verb == "compare":
        sys.exit(compare(given.before, given.after, only=given.only, most=given.most))
    found = record(given.package.resolve(), only=given.only, jobs=given.jobs, keep=given.keep)
    given.out.write_text(json.dumps(found, indent=1) + "\n")


def record(package: Path, *, only: Sequence[str], jobs: int, keep: Path | None) -> dict[str, Any]:
    """Run the cases, each in a process and a folder of its own; gives what came by name."""
    if not (package / "napari_restore" / "__init__.py").is_file():
        sys.exit(f"{package} holds no napari_restore: give a src folder.")
    work = keep or Path(tempfile.mkdtemp(prefix="same-bytes-"))
    images = work / "images"
    images.mkdir(parents=True)
    try:
        known = run("images", cwd=images, package=package).stdout.split()
        if wrong := set(only) - set(known):
            sys.exit(f"there is no case {', '.join(sorted(wrong))}: there are {', '.join(known)}.")
        names = [name for name in known if name in only or not only]
        with ThreadPoolExecutor(jobs) as pool:
            found = pool.map(lambda name: case(name, work, package), names)
            return {"about": about(), "cases": dict(zip(names, found, strict=True))}
    finally:
        if keep is None:
            shutil.rmtree(work, ignore_errors=True)


def case(name: str, work: Path, package: Path) -> Any:
    """What came of one case, in a copy of the images."""
    shutil.copytree(work / "images", work / name)
    began = time.perf_counter()
    done = run(name, str(work / f"{name}.json"), cwd=work / name, package=package)
    print(f"{name:<26} {time.perf_counter() - began:6.1f} s", file=sys.stderr, flush=True)
    if done.returncode:
        print(done.stderr, file=sys.stderr)
        return {"broken": done.stderr.strip().splitlines()[-1]}
    return json.loads((work / f"{name}.json").read_text())


def run(*words: str, cwd: Path, package: Path) -> subprocess.CompletedProcess[str]:
    """`same_bytes_cases.py` with a source tree, on one thread, without a graphics card, in no terminal."""
    surroundings = {
        **os.environ, **dict.fromkeys(ALONE, "1"), "PYTHONPATH": str(package), "PYTHONHASHSEED": "0",
        "CUDA_VISIBLE_DEVICES": "", "TMPDIR": str(cwd), "COLUMNS": "200", "TERM": "dumb", "NO_COLOR": "1",
        "PYTHONIOENCODING": "utf-8",
    }  # fmt: skip
    command = [sys.executable, str(CASES), *words]
    return subprocess.run(command, cwd=cwd, env=surroundings, capture_output=True, text=True)


def about() -> dict[str, str]:
    """What two records must share to be compared."""
    libraries = ("torch", "numpy", "scipy", "zarr", "tifffile", "typer", "pydantic", "safetensors")
    info = Path("/proc/cpuinfo")
    said = info.read_text() if info.exists() else ""
    model, flags = (re.search(rf"{word}\s*: (.*)", said) for word in ("model name", "flags"))
    return {
        "cpu": model[1] if model else platform.processor(),
        "bfloat16": ", ".join(word for word in (flags[1].split() if flags else ()) if "bf16" in word),
        "python": platform.python_version(),
        **{name: version(name) for name in libraries},
    }


def compare(before: Path, after: Path, *, only: Sequence[str], most: int) -> int:
    """Print the differences; 1 where there are any."""
    old, new = (json.loads(path.read_text()) for path in (before, after))
    for line in differences(old["about"], new["about"], "about"):
        print(f"warning: not the same machine or libraries: {line}")
    names = only or [*old["cases"], *(name for name in new["cases"] if name not in old["cases"])]
    lines = [
        line for name in names for line in differences_of_case(name, old["cases"].get(name), new["cases"].get(name))
    ]
    print("\n".join(lines[:most]))
    if len(lines) > most:
        print(f"... and {len(lines) - most} more")
    print(f"{len(lines)} differences in {len(names)} cases")
    return 1 if lines else 0


def differences_of_case(name: str, before: Any, after: Any) -> Iterator[str]:
    """Those of a case, or that it was not recorded or broke."""
    for side, found in (("first", before), ("second", after)):
        if found is None or "broken" in found:
            yield f"{name}: {'not recorded' if found is None else found['broken']}, in the {side}"
            return
    yield from differences(before, after, name)


def differences(before: Any, after: Any, where: str) -> Iterator[str]:
    """A line for each value that is not the same, with the way to it."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in [*before, *(k for k in after if k not in before)]:
            place = f"{where} / {key}"
            if key not in before or key not in after:
                yield f"{place}: {'new' if key in after else 'gone'}: {shown(after.get(key, before.get(key)))}"
            elif key == "tensors" and before[key] != after[key]:
                yield differing_tensors(before[key], after[key], place)
            elif key.startswith(AT_LEAST):
                yield from (f"{place}: gone: {each}" for each in before[key] if each not in after[key])
            else:
                yield from differences(before[key], after[key], place)
    elif isinstance(before, list) and isinstance(after, list):
        yield from differences_of_lists(before, after, where)
    elif before != after or type(before) is not type(after):
        yield f"{where}:\n    - {shown(before)}\n    + {shown(after)}"


def differing_tensors(before: dict[str, Any], after: dict[str, Any], where: str) -> str:
    """One line for a model: it has many tensors, and a step that differs changes all of them."""
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return f"{where}: {len(names)} of {len(before)} are not the same: {', '.join(names[:3])} ..."


def differences_of_lists(before: list[Any], after: list[Any], where: str) -> Iterator[str]:
    """What was left out, added or changed, at the place in the first."""
    old, new = ([json.dumps(each, sort_keys=True) for each in side] for side in (before, after))
    for what, i, k, j, n in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if what == "replace" and k - i == n - j:
            for offset in range(k - i):
                yield from differences(before[i + offset], after[j + offset], f"{where} [{i + offset}]")
        elif what != "equal":
            yield from (f"{where} [{place}]: gone: {shown(before[place])}" for place in range(i, k))
            yield from (f"{where} [{i}]: new: {shown(after[place])}" for place in range(j, n))


def shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) < 400 else f"{text[:400]} ..."


if __name__ == "__main__":
    main()
