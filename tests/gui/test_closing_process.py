"""Napari closed amid work, each time in a process of its own: it ends by itself, with 0, and says nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("closed_amid_work.py")


@pytest.mark.parametrize("work", ["training", "queue", "baselines", "batch", "export"])
def test_the_process_ends(work: str, tmp_path: Path) -> None:
    """Baselines in 3-D once kept it for 13 s, and then torch aborted: ``terminate called``."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    environment = {
        **os.environ,
        "NAPARI_CONFIG": str(tmp_path / "napari.yaml"),
        "XDG_CONFIG_HOME": str(tmp_path),
        "TMPDIR": str(temporary),
    }
    command = [sys.executable, "-X", "faulthandler", str(SCRIPT), work, str(tmp_path)]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=570)
    assert ended.returncode == 0, ended.stderr
    assert "closed amid it" in ended.stdout, ended.stdout
    assert "Traceback" not in ended.stderr and "terminate called" not in ended.stderr, ended.stderr
    assert not list(tmp_path.glob("*.zip")), "an export ends with it"
    assert not list(temporary.glob("napari-restore-*")), "and leaves nothing"
