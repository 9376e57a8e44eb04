"""On a graphics card: the numbers of the processor, whatever the precision, and no crash where memory is short.

Skipped without a card. `benchmarks/gpu.py` runs these and measures what a card is for.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_restore import deblur, restore, train
from napari_restore.core.errors import RestoreError

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
METHODS = ["posterior", "noise2void2", "noise2void", "struct_noise2void", "recorrupted"]


def noisy(shape: tuple[int, ...] = (4, 96, 112)) -> np.ndarray:
    rng = np.random.default_rng(0)
    waves = 200 + 50 * np.sin(np.arange(shape[-2]) / 5)[:, None] * np.cos(np.arange(shape[-1]) / 7)
    return (waves + rng.normal(0, 10, shape)).astype(np.float32)


@pytest.mark.parametrize("name", METHODS)
def test_a_model_trained_on_the_card_restores_as_on_the_processor(name):
    stack = noisy()
    model = train(stack, name, axes="ZYX", steps=50, device="cuda")
    there, here = (
        np.asarray(restore(stack, model, axes="ZYX", device=device, precision="float32")) for device in ("cuda", "cpu")
    )
    assert np.abs(there - here).max() < 0.01 * 10  # a hundredth of the noise: TF32 may be on
    lean = np.asarray(restore(stack, model, axes="ZYX", device="cuda", precision="bfloat16"))
    assert np.sqrt(np.mean((lean - here) ** 2)) < 0.05 * 10


def test_training_is_repeated_to_the_bit_or_nearly(name="noise2void2"):
    first, second = (
        np.asarray(restore(noisy(), train(noisy(), name, axes="ZYX", steps=30, seed=1, device="cuda"), axes="ZYX"))
        for _ in range(2)
    )
    np.testing.assert_allclose(first, second, atol=0.1)


@pytest.mark.parametrize("method", ["richardson_lucy", "wiener"])
def test_classical_deconvolution_is_that_of_the_processor(method):
    stack = noisy((12, 64, 72))
    there, here = (
        np.asarray(deblur(stack, psf="gaussian:1.5", axes="ZYX", method=method, device=device))
        for device in ("cuda", "cpu")
    )
    assert np.sqrt(np.mean((there - here) ** 2)) < 0.01 * 10


def test_where_memory_is_short_smaller_tiles_are_taken_or_it_is_refused_in_numbers():
    model = train(noisy(), "noise2void2", axes="ZYX", steps=2, neighbours="0", device="cuda")
    large = noisy((1, 2048, 2048))
    try:
        result = restore(large, model, axes="ZYX", device="cuda", memory_share=0.002)
    except RestoreError as error:
        assert "MiB" in str(error) or "GiB" in str(error)
    else:
        assert result.complete
