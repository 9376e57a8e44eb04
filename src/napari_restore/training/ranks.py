"""Several processes that train one model, as ``torchrun`` starts them: a device each, the same weights in all.

Every process (rank) learns from patches of its own; gradients are averaged at every step. What has to be the same
everywhere is rank 0's: normalisation, how much of the budget is spent, and what is said and written.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from napari_restore.core.errors import RestoreError
from napari_restore.methods.device import find_device

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Value = TypeVar("Value")

_PATIENCE = timedelta(minutes=10)
"""How long a rank waits for the others: rank 0 may read a slow disk, or write a checkpoint to one, meanwhile."""


@dataclass(frozen=True)
class Ranks:
    """One process among those that train together. Alone, every verb gives back what it was given, at no cost.

    Attributes
    ----------
    index, count
        Which of how many processes this is.
    local_index, local_count
        Which of how many on this machine. Processes of a machine take its CUDA devices in this order.
    group
        What small numbers in host memory go through, once launched: gloo, so that nothing waits for a device.
    """

    index: int = 0
    count: int = 1
    local_index: int = 0
    local_count: int = 1
    group: Any = None

    @property
    def alone(self) -> bool:
        """Whether this is the only process."""
        return self.count == 1

    @property
    def first(self) -> bool:
        """Whether this process speaks and writes for all."""
        return self.index == 0

    def device(self, name: str) -> torch.device:
        """The device of this rank: the CUDA device of its own where ``name`` is a kind of device.

        Raises
        ------
        RestoreError
            If there is no such device here, or all ranks would share it.
        """
        device = find_device(name)
        if self.alone or device.type == "cpu":
            return device
        if str(device) != "cuda":
            raise RestoreError(
                f"device {name!r} is one device, but {self.count} processes train together: use cuda, of which each "
                "process takes its own, or cpu."
            )
        return find_device(f"cuda:{self.local_index}")

    def fabric(self, device: torch.device) -> dict[str, Any]:
        """What ``Fabric`` is told about devices."""
        if self.alone:
            return {"accelerator": device.type, "devices": [device.index or 0] if device.type == "cuda" else 1}
        from lightning_fabric.strategies import DDPStrategy

        return {
            "accelerator": device.type,
            "devices": list(range(self.local_count)) if device.type == "cuda" else self.local_count,
            "num_nodes": self.count // self.local_count,
            "strategy": DDPStrategy(timeout=_PATIENCE),
        }

    def launch(self, fabric: Fabric) -> Ranks:
        """These ranks, connected. Waits for all of them."""
        if self.alone:
            return self
        logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it would tell that it has started
        fabric.launch()
        return replace(self, group=torch.distributed.new_group(backend="gloo", timeout=_PATIENCE))

    def seed(self, seed: int, *, step: int = 0) -> int:
        """What this rank's random numbers start from at a step; rank 0 has those of a process alone."""
        if self.first:
            return seed
        # Mixed, not added: rank 1 of seed 0 is not rank 0 of seed 1.
        return int(np.random.SeedSequence([seed, self.index, step]).generate_state(1)[0])

    def share(self, items: Sequence[Value]) -> Sequence[Value]:
        """Every ``count``-th item, from ``index`` on; all of them where there are too few for each rank to have one.

        A process alone gets back what it gave: blocks that are made when asked for stay so.
        """
        return items[self.index :: self.count] if not self.alone and len(items) >= self.count else items

    def broadcast(self, value: Value) -> Value:
        """The value that rank 0 gave; what the others gave is not looked at."""
        if self.alone:
            return value
        values = [value]
        torch.distributed.broadcast_object_list(values, src=0, group=self.group)
        return values[0]

    def agree(self, *, fraction: float, stop: bool) -> tuple[float, bool]:
        """How much of the budget is spent (rank 0 knows) and whether to stop (any rank may ask for it).

        Clocks differ: ranks that ended at steps of their own would leave the others waiting for gradients.
        """
        if self.alone:
            return fraction, stop
        said = torch.tensor([fraction if self.first else 0.0, float(stop)], dtype=torch.float64)
        torch.distributed.all_reduce(said, torch.distributed.ReduceOp.MAX, group=self.group)
        return float(said[0]), bool(said[1])

    def align(self, tensors: Iterable[Tensor]) -> None:
        """Put rank 0's numbers into tensors that every rank has, in the same order."""
        for tensor in () if self.alone else tensors:
            torch.distributed.broadcast(tensor, src=0)

    @contextmanager
    def together(self) -> Iterator[None]:
        """While inside, another rank's end is told as such, not as a broken connection.

        Raises
        ------
        RestoreError
            If another rank ended, or did not answer in ten minutes.
        """
        try:
            yield
        except RuntimeError as error:
            if self.alone or not _is_lost_connection(error):
                raise
            raise RestoreError(
                f"process {self.index} of {self.count}: another process ended, or did not answer for "
                f"{_PATIENCE.seconds // 60} minutes. What it said tells why."
            ) from error


ALONE = Ranks()


def find_ranks(environment: Mapping[str, str] = os.environ) -> Ranks:
    """Which of the processes of ``torchrun`` this is; the only one where it was not started so.

    Raises
    ------
    RestoreError
        If machines have different numbers of processes.
    """
    # Other launchers set WORLD_SIZE too, and mean machines by it.
    if "TORCHELASTIC_RUN_ID" not in environment or environment.get("WORLD_SIZE", "1") == "1":
        return ALONE
    index, count, local_index, local_count = (
        int(environment[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    )
    if count % local_count:
        raise RestoreError(
            f"{local_count} of {count} processes are on this machine: give each machine the same --nproc-per-node."
        )
    return Ranks(index, count, local_index, local_count)


def _is_lost_connection(error: RuntimeError) -> bool:
    """Whether a collective failed. gloo's errors have no type of their own."""
    return isinstance(error, torch.distributed.DistError) or "gloo" in str(error)
