"""Training on several devices: two processes of torchrun, on the CPU, end with one model."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tifffile

from napari_restore import load_model, train

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
TINY = ["--effort", "quick", "--method", "noise2void", "--precision", "float32", "--device", "cpu"]

EACH_RANK = '''
"""Train in several ways, note how it ended, and at last lose rank 1."""
import copy, hashlib, json, os, threading
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import nn

from napari_restore import train
from napari_restore.methods.method import Batch, Method
from napari_restore.training.ranks import find_ranks
from napari_restore.training.settings import Budget, TrainingSettings
from napari_restore.training.state import TrainingState

CPU = torch.device("cpu")
rank = int(os.environ["RANK"])
tiny = {"width": 4, "depth": 1, "patch": (16, 16), "batch": 4, "device": "cpu", "precision": "float32"}
noted = {}


def note(name, model):
    weights = b"".join(t.contiguous().numpy().tobytes() for t in model.method.state_dict().values())
    noted[name] = {
        "weights": hashlib.sha256(weights).hexdigest(),
        "config": repr(model.method.config),
        "normalisation": [model.normalisation.mean, model.normalisation.std],
        **{k: model.provenance[k] for k in ("steps", "held_out_loss", "processes", "batch")},
    }


class StopAfter(threading.Event):
    def __init__(self, looks):
        super().__init__()
        self.looks = looks

    def is_set(self):
        self.looks -= 1
        return self.looks < 0


class Line(Method):
    learning_rate = 0.1

    def __init__(self):
        super().__init__(None, spatial="YX", channels=1)
        self.layer = nn.Conv2d(1, 1, 3)

    def forward(self, batch, rng):
        return (self.layer(batch.pixels) - batch.partner).square().mean()


def gradient():
    """The largest difference between the gradient of two halves on two ranks and that of the whole, and its size."""
    torch.manual_seed(5)
    line = Line()
    pixels, partner = torch.randn(8, 1, 7, 5), torch.randn(8, 1, 5, 3)
    alone = copy.deepcopy(line)
    alone(Batch(pixels, pixels > 9, None, partner), None).backward()
    ranks = find_ranks()
    fabric = Fabric(**ranks.fabric(CPU))
    ranks = ranks.launch(fabric)
    state = TrainingState(line, TrainingSettings(Budget(steps=1)), fabric, ranks)
    mine = slice(4 * rank, 4 * rank + 4)
    state.learn(Batch(pixels[mine], pixels[mine] > 9, None, partner[mine]), learning_rate=0.1)
    pairs = [(a.grad, b.grad) for a, b in zip(line.parameters(), alone.parameters(), strict=True)]
    return [max(float((a - b).abs().max()) for a, b in pairs), max(float(b.abs().max()) for _, b in pairs)]


noted["gradient"] = gradient()
note("steps", train("raw.tif", "noise2void", steps=12, **tiny))
note("one step", train("raw.tif", "noise2void", steps=1, **tiny))
note("seconds", train("raw.tif", "noise2void", seconds=1.0 if rank == 0 else 1000.0, **tiny))
note("one block", train("plane.tif", "noise2void", steps=3, **tiny))
note("stopped", train("raw.tif", "noise2void", steps=900, stop=StopAfter(7) if rank == 1 else None, **tiny))
note("begun", train("raw.tif", "noise2void", steps=4, run="run", **tiny))
note("resumed", train("raw.tif", "noise2void", steps=9, run="run", resume=True, **tiny))
note("validated", train("raw.tif", "noise2void", validation="judge.tif", steps=3, **tiny))
note("posterior", train("raw.tif", "posterior", steps=2, **{**tiny, "patch": (32, 32)}))
Path(f"{rank}.json").write_text(json.dumps(noted))
torch.distributed.barrier()
if rank == 1:
    os._exit(3)
train("raw.tif", "noise2void", steps=10**7, **tiny)
'''


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Planes that differ in mean and deviation, so that each rank alone would measure others."""
    import numpy as np

    path = tmp_path_factory.mktemp("torchrun")
    z, y, x = np.ogrid[:5, :70, :83]
    noise = np.random.default_rng(7).normal(0, 30, (5, 70, 83))
    stack = (600 + 40 * z + 250 * np.sin(y / 9.0) * np.cos(x / 11.0) + noise * (1 + z % 2)).astype(np.uint16)
    tifffile.imwrite(path / "raw.tif", stack, imagej=True, metadata={"axes": "ZYX"})
    tifffile.imwrite(path / "judge.tif", stack[:2], imagej=True, metadata={"axes": "ZYX"})
    tifffile.imwrite(path / "plane.tif", stack[0], imagej=True, metadata={"axes": "YX"})
    (path / "each_rank.py").write_text(EACH_RANK)
    return path


@pytest.fixture(scope="module")
def ended(folder: Path) -> subprocess.CompletedProcess[str]:
    """The script above, under torchrun."""
    command = [*TORCHRUN, "each_rank.py"]
    return subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=240)


@pytest.fixture(scope="module")
def noted(folder: Path, ended: subprocess.CompletedProcess[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What each of the two ranks noted."""
    assert (folder / "1.json").exists(), ended.stderr
    first, second = (json.loads((folder / f"{rank}.json").read_text()) for rank in (0, 1))
    return first, second


def test_both_ranks_end_with_the_same_model(noted: Any) -> None:
    first, second = noted
    assert first == second
    assert first["steps"]["processes"] == 2
    assert first["steps"]["steps"] == 12
    assert first["steps"]["batch"] == 4


def test_the_gradient_of_two_ranks_is_that_of_their_batches_together(noted: Any) -> None:
    for rank in noted:
        difference, size = rank["gradient"]
        assert size > 0.01
        assert difference < 1e-6 * max(1, size)


def test_ranks_that_share_a_block_draw_other_patches_of_it(noted: Any, folder: Path) -> None:
    sizes = {"width": 4, "depth": 1, "patch": (16, 16), "batch": 4}
    alone = train(folder / "plane.tif", "noise2void", steps=3, device="cpu", precision="float32", **sizes)
    one, two = alone.provenance["held_out_loss"], noted[0]["one block"]["held_out_loss"]
    assert one == pytest.approx(two, rel=0.3)
    assert one != pytest.approx(two, rel=1e-4)


def test_a_budget_in_seconds_is_the_first_ranks_and_ends_both_at_one_step(noted: Any) -> None:
    first, second = noted
    assert first["seconds"]["steps"] == second["seconds"]["steps"] > 0


def test_a_stop_asked_of_one_rank_stops_both(noted: Any) -> None:
    first, second = noted
    assert first["stopped"]["steps"] == second["stopped"]["steps"] == 7


def test_a_run_is_one_ranks_record_and_both_go_on_with_it(noted: Any, folder: Path) -> None:
    first, second = noted
    assert first["begun"]["steps"] == 4
    assert first["resumed"] == second["resumed"]
    assert first["resumed"]["steps"] == 9
    told = [json.loads(line) for line in (folder / "run" / "events.jsonl").read_text().splitlines()]
    assert sum(line["event"] == "TrainingStarted" for line in told) == 2
    assert sorted(p.name for p in (folder / "run").glob("checkpoint-*")) == [
        "checkpoint-00000004.safetensors",
        "checkpoint-00000009.safetensors",
    ]


def test_a_lost_rank_ends_the_others(noted: Any, ended: subprocess.CompletedProcess[str]) -> None:
    assert ended.returncode != 0


def test_the_shell_command_saves_one_model_and_speaks_once(folder: Path) -> None:
    command = [*TORCHRUN, "-m", "napari_restore", "train", "raw.tif", "-o", "m.safetensors", "--steps", "20", *TINY]
    done = subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("training noise2void for 20 steps on 2 x CPU") == 1
    assert done.stderr.count("trained 20 steps") == done.stderr.count("saved m.safetensors") == 1
    assert done.stdout == ""
    assert load_model(folder / "m.safetensors").provenance["processes"] == 2


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT for another process")
def test_an_interrupt_of_torchrun_leaves_the_model_so_far(folder: Path) -> None:
    words = ["train", "raw.tif", "-o", "stopped.safetensors", "--seconds", "500", "--json", *TINY]
    with subprocess.Popen(
        [*TORCHRUN, "-m", "napari_restore", *words],
        cwd=folder, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    ) as running:  # fmt: skip
        assert running.stdout is not None
        events = []
        for line in running.stdout:
            events.append(json.loads(line)["event"])
            if events[-1] == "Measured":
                break
        running.send_signal(signal.SIGINT)
        events += [json.loads(line)["event"] for line in running.stdout]
        running.wait(timeout=60)
    assert events.count("Stopped") == 1
    assert events[-1] == "Saved"
    assert load_model(folder / "stopped.safetensors").provenance["steps"] > 0
