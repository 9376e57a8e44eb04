import pytest
import torch

from napari_restore.methods.noise2void import Noise2Void


@pytest.fixture
def build():
    """A small Noise2Void, or one of its kind, with statistics of its own, as after training."""

    def make(spatial="YX", channels=1, seed=0, kind=Noise2Void, **config):
        torch.manual_seed(seed)
        method = kind(kind.Config(**{"width": 4, "depth": 1, **config}), spatial=spatial, channels=channels)
        for module in method.modules():
            if isinstance(module, torch.nn.Conv2d | torch.nn.Conv3d):
                torch.nn.init.xavier_normal_(module.weight)
            if isinstance(module, torch.nn.BatchNorm2d | torch.nn.BatchNorm3d):
                torch.nn.init.normal_(module.running_mean, std=0.1)
                torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
        return method.eval()

    return make
