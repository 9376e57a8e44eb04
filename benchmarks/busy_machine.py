"""Training and restoring while other programs keep every core busy, beside the same with nothing beside it.

Each run is a process of its own, by the clock: a training of so many seconds with all that follows it, and a restoring.
With as many torch threads as there are cores, as who sets nothing has it, and with one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import reporting

METHODS = ("posterior", "recorrupted", "noise2void2")
ONE = """
import json, sys, time
from napari_restore import restore, train
from napari_restore.sources.samples import microscopy_stack
name, seconds = sys.argv[1], float(sys.argv[2])
noisy = microscopy_stack()[1]
began = time.perf_counter()
model = train(noisy, name, axes="ZYX", seconds=seconds, device="cpu")
trained = time.perf_counter()
restore(noisy, model, axes="ZYX", device="cpu")
restored = time.perf_counter()
print(json.dumps({"steps": model.provenance["steps"], "train": trained - began, "restore": restored - trained}))
"""


def main() -> None:
    parser = reporting.parser(__doc__, threads=os.cpu_count() or 1)
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS)
    parser.add_argument("--seconds", type=float, default=10, help="of training (default 10)")
    parser.add_argument("--torch-threads", type=int, nargs="+", help="all cores and one by default")
    parser.add_argument("--limit", type=float, default=600, help="seconds after which a run is given up")
    given = parser.parse_args()
    machine = reporting.begin(given.threads)
    results = []
    for name in given.methods:
        for threads in given.torch_threads or sorted({given.threads, 1}, reverse=True):
            row = {"method": name, "torch_threads": threads, "quiet": one(name, threads, given)}
            with busy(given.threads):
                row["busy"] = one(name, threads, given)
            results.append(row)
            reporting.progress(str(row))
    settings = {"seconds": given.seconds, "busy_programs": given.threads, "limit": given.limit}
    reporting.finish(machine, results=results, settings=settings, out=given.out)


def one(name: str, threads: int, given: Any) -> dict[str, Any]:
    environment = {**os.environ, **dict.fromkeys(reporting.THREAD_VARIABLES, str(threads))}
    command = [sys.executable, "-W", "ignore", "-c", ONE, name, str(given.seconds)]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=given.limit)
    except subprocess.TimeoutExpired:
        return {"given_up_after": given.limit}
    facts = json.loads(done.stdout.splitlines()[-1])
    return {"steps": facts["steps"], **{f"{what}_seconds": round(facts[what], 1) for what in ("train", "restore")}}


@contextmanager
def busy(count: int) -> Iterator[None]:
    """So many programs that compute without end."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


if __name__ == "__main__":
    main()
