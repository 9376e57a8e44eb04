"""Scale-equivariant imaging: milliseconds a training step takes, beside the same network and loss driven by deepinv.

Ours and theirs take turns on the same cores in one run, in several rounds; a row is the median of its turns. The
processor time leaves out what other programs of the machine took. deepinv has an environment of its own, see
peers/README.md.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import reporting

PEER = Path(__file__).resolve().parent / "peers" / "deepinv_sei.py"
TASKS: dict[str, dict[str, Any]] = {"deblur": {"psf": "gaussian:2"}, "super-resolve": {"factor": 2}}
OURS: dict[str, dict[str, str]] = {
    "ours": {},
    "ours, bfloat16": {"precision": "bfloat16"},
    "ours, the paper's transform": {"transform": "paper"},
}
THEIRS: dict[str, list[str]] = {
    "deepinv": [],
    "deepinv, bfloat16": ["--precision", "bfloat16"],
    "deepinv, channels last": ["--channels-last"],
}
RATIOS = [
    ("deepinv", "ours"),
    ("deepinv", "ours, bfloat16"),
    ("deepinv, bfloat16", "ours, bfloat16"),
    ("deepinv, channels last", "ours"),
    ("deepinv", "ours, the paper's transform"),
]
CLOCKS = ("wall_ms", "cpu_ms")
SIGMA = 0.1  # of the noise, in units of the image's deviation


def main() -> None:
    parser = reporting.parser(__doc__)
    parser.add_argument("--peer-python", type=Path, required=True, metavar="PATH", help="of deepinv's environment")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--rounds", type=int, default=5, help="turns that each takes (default 5)")
    parser.add_argument("--warm-up", type=int, default=5, help="steps not counted, each turn (default 5)")
    parser.add_argument("--steps", type=int, default=30, help="steps counted, each turn (default 30)")
    given = parser.parse_args()
    machine = reporting.begin(given.threads)
    machine["device"] = reporting.device_name("cpu")
    results = {task: one_task(task, given) for task in given.tasks}
    settings = {"rounds": given.rounds, "warm_up": given.warm_up, "steps": given.steps, "sigma": SIGMA}
    reporting.finish(machine, results=results, settings=settings, out=given.out)


def one_task(task: str, given: Any) -> dict[str, Any]:
    takers = {**ours(task, given), **theirs(task, given)}
    turns: dict[str, list[dict[str, Any]]] = {name: [] for name in takers}
    for number in range(given.rounds):
        for name, take in takers.items():
            turns[name].append(said := take())
            reporting.progress(f"{task}, round {number + 1}, {name}: {said['wall_ms']} ms, cpu {said['cpu_ms']} ms")
    assert len({turn["parameters"] for taken in turns.values() for turn in taken}) == 1, "the networks differ"
    rows = {name: summary(taken) for name, taken in turns.items()}
    ratios = {f"{slow} / {fast}": ratio(rows[slow], rows[fast]) for slow, fast in RATIOS if {slow, fast} <= set(rows)}
    return {"setup": setup_of(make_method(task)), "ratios": ratios, "rows": rows}


def summary(turns: Sequence[dict[str, Any]]) -> dict[str, Any]:
    each = {clock: [turn[clock] for turn in turns] for clock in CLOCKS}
    medians = {clock: reporting.median(values, 2) for clock, values in each.items()}
    return {**turns[0], **medians, "rounds": each}


def ratio(slow: dict[str, Any], fast: dict[str, Any]) -> dict[str, float]:
    return {clock.removesuffix("_ms"): round(slow[clock] / fast[clock], 2) for clock in CLOCKS}


def times(step: Callable[[], None], *, warm_up: int, steps: int) -> dict[str, Any]:
    """A step's wall time and this process's processor time, means over a turn: a smaller scale is a shorter step."""
    for _ in range(warm_up):
        step()
    began, used = time.perf_counter(), time.process_time()
    for _ in range(steps):
        step()
    wall, cpu = time.perf_counter() - began, time.process_time() - used
    return {"wall_ms": round(1e3 * wall / steps, 2), "cpu_ms": round(1e3 * cpu / steps, 2), "steps": steps}


def make_method(task: str, transform: str = "scale") -> Any:
    from napari_restore.methods.scale_equivariant import ScaleEquivariant, ScaleEquivariantConfig

    config = ScaleEquivariantConfig(**TASKS[task], transform=transform, sigma=(SIGMA,), mean=(0.0,), std=(1.0,))
    return ScaleEquivariant(config, spatial="YX", channels=1)


def setup_of(method: Any) -> dict[str, Any]:
    """What the peer needs to train the same network on the same loss; see DEBLUR there."""
    config, network = method.config, method.network
    return {
        "blur_std": float(config.psf.partition(":")[2] or 0),
        "blur_size": 2 * method.operator.margin[0] + 1 if config.psf else 0,
        "factor": max(method.rate),
        "sigma": SIGMA,
        "tau": config.tau,
        "scales": list(config.factors),
        "weight": config.weight,
        "patch": list(method.patch),
        "batch": method.batch,
        "learning_rate": method.learning_rate,
        "network": {
            "ndim": 2,
            "channels_in": network.stem.in_channels // (network.fold[0] * network.fold[1]),
            "channels_out": 1,
            "width": config.width,
            "depth": list(network.depth),
            "blocks": config.blocks,
            "fold": list(network.fold),
            "rate": list(network.rate),
        },
    }


def ours(task: str, given: Any) -> dict[str, Callable[[], dict[str, Any]]]:
    """Our rows, without bfloat16 where the processor does not compute in it."""
    import torch

    from napari_restore.methods.device import find_precision

    torch.set_num_threads(given.threads)
    able = find_precision(torch.device("cpu")) == "bfloat16"
    return {
        name: taker(task, given, **chosen)
        for name, chosen in OURS.items()
        if able or chosen.get("precision") != "bfloat16"
    }


def taker(
    task: str, given: Any, *, precision: Literal["float32", "bfloat16"] = "float32", transform: str = "scale"
) -> Callable[[], dict[str, Any]]:
    """A turn of one row of ours."""
    import torch

    from napari_restore.methods.device import kept_buffers
    from napari_restore.methods.method import Batch
    from napari_restore.training.bits import make_fabric
    from napari_restore.training.ranks import ALONE
    from napari_restore.training.settings import Budget, TrainingSettings
    from napari_restore.training.state import TrainingState

    torch.manual_seed(0)
    method = make_method(task, transform)
    fabric = make_fabric(torch.device("cpu"), precision, ALONE)
    state = TrainingState(method, TrainingSettings(Budget(steps=1)), fabric)
    y = torch.randn(method.batch, 1, *method.patch)
    batch = Batch(y, torch.ones_like(y, dtype=torch.bool))
    parameters = sum(p.numel() for p in method.parameters())

    def step() -> None:
        state.learn(batch, learning_rate=method.learning_rate)

    def turn() -> dict[str, Any]:
        with kept_buffers():  # as training does
            return {**times(step, warm_up=given.warm_up, steps=given.steps), "parameters": parameters}

    return turn


def theirs(task: str, given: Any) -> dict[str, Callable[[], dict[str, Any]]]:
    """Their rows; each turn is a process of its own, on the cores that this one was given."""
    setup = json.dumps(setup_of(make_method(task)))
    counts = ["--threads", str(given.threads), "--warm-up", str(given.warm_up), "--steps", str(given.steps)]

    def peer(options: list[str]) -> Callable[[], dict[str, Any]]:
        command = [str(given.peer_python), str(PEER), "--setup", setup, *counts, *options]

        def turn() -> dict[str, Any]:
            said = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
            return {**said["results"], "torch": said["versions"]["torch"]}

        return turn

    return {name: peer(options) for name, options in THEIRS.items()}


if __name__ == "__main__":
    main()
