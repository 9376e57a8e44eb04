"""How much memory there is: of the machine, of a control group, of a graphics card."""

from __future__ import annotations

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
    """Bytes this process can still have: what the machine has free, or less where its control group is limited."""
    free = int(psutil.virtual_memory().available)
    for limit, used in _CGROUPS:
        try:
            free = min(free, int(Path(limit).read_text()) - int(Path(used).read_text()))
        except (OSError, ValueError):  # no such group, or "max"
            continue
    return max(free, 0)


def free_on(device: torch.device) -> int:
    """Bytes that a graphics card has left; 0 where it is none."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(torch.mps.recommended_max_memory()) if device.type == "mps" else 0
