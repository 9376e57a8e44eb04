import pytest


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch):
    """A killed process loses nothing the kernel has; only a power cut would, and no test can pull the plug."""
    monkeypatch.setattr("os.fsync", lambda _: None)
