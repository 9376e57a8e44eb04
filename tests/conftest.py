"""What all tests share. Small models: promises do not depend on size."""

from __future__ import annotations

import hypothesis
import numpy as np
import pytest
from numpy.typing import NDArray

# A busy machine is no reason to fail: how long an example takes is not a promise.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")


@pytest.fixture
def noisy_stack() -> NDArray[np.uint16]:
    """5 planes of 70 x 83: blobs with noise of 30 gray levels."""
    rng = np.random.default_rng(7)
    z, y, x = np.ogrid[:5, :70, :83]
    clean = 600 + 250 * np.sin(y / 9.0) * np.cos(x / 11.0) + 40 * z
    return (clean + rng.normal(0, 30, clean.shape)).round().astype(np.uint16)
