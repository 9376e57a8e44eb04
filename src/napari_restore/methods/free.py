"""How much memory there is: of the machine, of a control group, of a graphics card."""

from __future__ import annotations

import sys
from pathlib import Path

import psutil
import torch

_CGROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)


def held() -> int:
    """Bytes of memory that this process has now."""
    return int(psutil.Process().memory_info().rss)


def free_memory() -> int:
    """Bytes this process can still have: what the machine has free, less where a limit is set for it or its group."""
    free = int(psutil.virtual_memory().available)
    for limit, used in _CGROUPS:
        try:
            free = min(free, int(Path(limit).read_text()) - int(Path(used).read_text()))
        except (OSError, ValueError):  # no such group, or "max"
            continue
    return max(min(free, _left_to_process()), 0)


def _left_to_process() -> int:
    """Bytes that the limits of the process (``ulimit -d``, ``ulimit -v``) leave; without any, more than there is."""
    process = psutil.Process()
    if not hasattr(process, "rlimit"):  # on Linux alone
        return sys.maxsize
    now = process.memory_info()
    limits = ((psutil.RLIMIT_DATA, now.data), (psutil.RLIMIT_AS, now.vms))
    left = [
        process.rlimit(limit)[0] - used for limit, used in limits if process.rlimit(limit)[0] != psutil.RLIM_INFINITY
    ]
    return min(left, default=sys.maxsize)


def free_on(device: torch.device) -> int:
    """Bytes that a graphics card has left; 0 where it is none."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type == "mps":
        return max(0, int(torch.mps.recommended_max_memory()) - int(torch.mps.driver_allocated_memory()))
    return 0
