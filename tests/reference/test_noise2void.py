"""Noise2Void's loss against its definition, pixel by pixel (Krull et al. 2019, doi:10.1109/CVPR.2019.00223, eq. 5)."""

import numpy as np
import torch

from napari_restore.methods.method import Batch
from napari_restore.methods.noise2void import Noise2Void, Noise2VoidConfig, draw_hidden, draw_visible


def test_the_loss_is_that_of_the_paper():
    """Sum over masked pixels of (f(input with the pixel replaced by a random neighbour)_i - x_i)^2, as a mean."""
    torch.manual_seed(0)
    method = Noise2Void(Noise2VoidConfig(width=4, depth=1), spatial="YX", channels=2).eval()
    shape = (16, 24)
    pixels = torch.randn(3, 2, *shape)
    target = torch.rand(3, 1, *shape) > 0.3
    with torch.no_grad():
        loss = method(Batch(pixels, target), torch.Generator().manual_seed(7))

    rng = torch.Generator().manual_seed(7)
    hidden = draw_hidden("stratified", method.config.masked, 3, shape, rng)
    neighbours, hidden_too = draw_visible(hidden, shape, 2, rng)
    assert not hidden_too.any()
    errors = []
    for b in range(3):
        shown = pixels[b].clone()
        for i, j in zip(hidden[b].tolist(), neighbours[b].tolist(), strict=True):
            shown[:, i // 24, i % 24] = pixels[b, :, j // 24, j % 24]
        with torch.no_grad():
            predicted = torch.cat([f(shown[None, c : c + 1])[0] for c, f in enumerate(method.networks)])
        for i in hidden[b].tolist():
            if target[b, 0, i // 24, i % 24]:
                difference = (predicted - pixels[b])[:, i // 24, i % 24]
                errors.append(difference.square().mean().item())
    assert np.isclose(loss.item(), np.mean(errors), rtol=1e-5)
