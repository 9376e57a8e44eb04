"""How the threads of a computation wait for each other."""

from __future__ import annotations

import os
import sys


def let_waiting_threads_sleep() -> None:
    """Ask OpenMP for threads that sleep while they wait; it only listens before torch is loaded.

    Threads that spin burn the time slice that the one they wait for needs, as soon as another program (or the
    viewer) runs on the same cores: training on 2 cores beside a busy one was up to 40 times slower. What the user
    has set in the environment stays.
    """
    if "torch" not in sys.modules:
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
