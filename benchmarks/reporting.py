"""What every benchmark says about itself: one JSON object with the machine, the versions, the command and the results.

Imports neither torch nor napari_restore: `begin` settles the cores and threads before either is loaded.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import statistics
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("napari-restore", "careamics", "torch", "numpy", "scipy", "scikit-image", "zarr", "lightning-fabric")
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def parser(doc: str | None, *, threads: int = 1) -> argparse.ArgumentParser:
    """A parser with the options that all benchmarks have."""
    result = argparse.ArgumentParser(description=(doc or "").strip(), formatter_class=argparse.RawTextHelpFormatter)
    result.add_argument("--threads", type=int, default=threads, help=f"cores to run on (default {threads})")
    result.add_argument("--out", type=Path, metavar="FILE", help="also write the JSON here, see benchmarks/results")
    return result


def begin(threads: int) -> dict[str, Any]:
    """Keep this process to so many cores and threads, and say what the machine is. Call it before importing torch."""
    assert "torch" not in sys.modules, "the number of threads must be settled before torch is loaded"
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    if hasattr(os, "sched_setaffinity"):
        allowed = sorted(os.sched_getaffinity(0))
        if threads > len(allowed):
            sys.exit(f"--threads {threads}: this process may use {len(allowed)} cores. Give fewer threads.")
        os.sched_setaffinity(0, allowed[:threads])
    return {
        "cpu": cpu_model(),
        "cores_used": threads,
        "cores_of_machine": os.cpu_count(),
        "load_average_before": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    }


def cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def device_name(device: str) -> str:
    """A torch device in its owner's words, after `begin`."""
    from napari_restore.methods.device import describe, find_device

    return describe(find_device(device))


def finish(machine: dict[str, Any], *, results: Any, settings: dict[str, Any], out: Path | None) -> None:
    """Print the report, and write it where that was asked."""
    report = {
        "benchmark": Path(sys.argv[0]).stem,
        "command": command(sys.argv),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "hardware": machine,
        "versions": {"python": platform.python_version(), **versions()},
        "settings": settings,
        "results": results,
    }
    text = in_lines(report)
    print(text)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text + "\n")


def in_lines(report: dict[str, Any]) -> str:
    """Indented JSON with every list of plain values on one line."""
    text = json.dumps(report, indent=1)
    return re.sub(r"\[\n\s+([^][{}]*?)\n\s+\]", lambda found: f"[{' '.join(found[1].split())}]", text)


def versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def command(argv: Sequence[str]) -> str:
    """The command line; of an absolute path only the last part is kept, for the report is published."""
    script, *rest = argv
    here = Path(__file__).resolve().parent
    said = Path("benchmarks") / Path(script).resolve().relative_to(here)
    return " ".join(["python", str(said), *(Path(a).name if Path(a).is_absolute() else a for a in rest)])


def settings_of(items: Sequence[str]) -> dict[str, str]:
    """``NAME=VALUE`` as given to ``--set``."""
    pairs = [item.partition("=") for item in items]
    if bad := [name for name, sign, _ in pairs if not sign]:
        sys.exit(f"--set {bad[0]}: write NAME=VALUE.")
    return {name: value for name, _, value in pairs}


def shape_of(text: str) -> tuple[int, ...]:
    """``8,1024,1024`` as a tuple, for argparse."""
    return tuple(int(part) for part in text.split(","))


def median(values: Sequence[float], digits: int = 3) -> float:
    return round(statistics.median(values), digits)


def progress(text: str) -> None:
    """A line for whoever waits; stdout is for the JSON alone."""
    print(text, file=sys.stderr, flush=True)
