"""What `import napari_restore` costs, as `python -X importtime` measures it, and whether it loads torch.

Files are in the disk cache after the first run, which is left out.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time

import reporting

STATEMENT = "import napari_restore"
HEAVY = ("torch", "lightning_fabric", "napari", "qtpy", "zarr", "scipy", "skimage", "dask", "pydantic", "numpy")


def main() -> None:
    parser = reporting.parser(__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    given = parser.parse_args()
    machine = reporting.begin(given.threads)
    imports = [import_seconds() for _ in range(given.repeats + 1)][1:]
    walls = [wall_seconds(STATEMENT) for _ in range(given.repeats)]
    bare = [wall_seconds("pass") for _ in range(given.repeats)]
    loaded = loaded_modules()
    results = {
        "import_seconds_median": reporting.median(imports, 4),
        "import_seconds": [round(s, 4) for s in imports],
        "interpreter_and_import_seconds_median": reporting.median(walls, 4),
        "interpreter_alone_seconds_median": reporting.median(bare, 4),
        "torch_loaded": "torch" in loaded,
        "heavy_modules_loaded": loaded,
    }
    reporting.finish(machine, results=results, settings={"repeats": given.repeats}, out=given.out)


def import_seconds() -> float:
    """The cumulative time of the package's line in the table that Python writes to stderr, in microseconds there."""
    said = python("-X", "importtime", "-c", STATEMENT).stderr
    [line] = re.findall(r"^import time:\s+\d+ \|\s+(\d+) \| napari_restore$", said, re.MULTILINE)
    return int(line) / 1e6


def wall_seconds(statement: str) -> float:
    began = time.perf_counter()
    python("-c", statement)
    return time.perf_counter() - began


def loaded_modules() -> list[str]:
    said = python("-c", f"{STATEMENT}; import sys; print(*sys.modules)").stdout.split()
    return [name for name in HEAVY if name in said]


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], check=True, capture_output=True, text=True)


if __name__ == "__main__":
    main()
