"""Features to compare images by: principal components of the user's own images, or a VGG network's from a file."""

import numpy as np
import pytest
import torch
from torch import nn

from napari_restore.networks.features import Features, learned_features, vgg_features

RNG = np.random.default_rng(0)


def blobs(count: int = 3, shape: tuple[int, int] = (40, 33)) -> torch.Tensor:
    from scipy.ndimage import gaussian_filter

    smooth = gaussian_filter(RNG.normal(size=(count, 1, *shape)), (0, 0, 2, 1))
    return torch.from_numpy(10 * smooth + 0.2 * RNG.normal(size=smooth.shape)).float()


def test_the_first_filters_are_the_principal_components_of_all_boxes():
    """Against numpy's singular values: same directions, responses divided by their deviation but for the weakest."""
    planes = blobs()
    filters = learned_features(planes).kernel0.reshape(8, 49).double().numpy()
    boxes = np.lib.stride_tricks.sliding_window_view(planes[:, 0].double().numpy(), (7, 7), (1, 2)).reshape(-1, 49)
    boxes = boxes - boxes.mean(1, keepdims=True)
    _, values, directions = np.linalg.svd(boxes, full_matrices=False)
    along = (filters / np.linalg.norm(filters, axis=1, keepdims=True)) @ directions[:8].T
    assert np.abs(along) == pytest.approx(np.eye(8), abs=1e-3)
    variance = values[:8] ** 2 / len(boxes)
    expected = variance / np.maximum(variance, 0.01 * variance[0])
    assert ((boxes @ filters.T) ** 2).mean(0) == pytest.approx(expected, rel=1e-3)


def test_a_level_is_half_as_fine_as_the_one_before():
    first, second = learned_features(blobs())(blobs(2, (21, 18)))
    assert (first.shape, second.shape) == ((2, 8, 21, 18), (2, 16, 10, 9))


def test_a_constant_is_nothing_to_see():
    flat = torch.full((1, 1, 24, 24), 5.0)
    inside = learned_features(blobs())(flat)[0][..., 3:-3, 3:-3]
    assert float(inside.abs().max()) < 1e-4


def test_the_same_planes_give_the_same_filters_and_constant_ones_finite_filters():
    planes = blobs()
    one, other = learned_features(planes), learned_features(planes)
    assert torch.equal(one.kernel1, other.kernel1)
    assert torch.isfinite(learned_features(torch.ones(1, 1, 16, 16)).kernel1).all()


def test_they_are_no_part_of_a_model():
    features = learned_features(blobs())
    assert not features.state_dict() and not list(features.parameters())


class Vgg(nn.Module):
    """As torchvision names one; few channels."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after, pool in ((3, 4, False), (4, 4, True), (4, 6, False), (6, 6, True)):
            layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU(), *([nn.MaxPool2d(2)] if pool else [])]
        self.features = nn.Sequential(*layers)


def test_a_vgg_network_sees_what_its_own_layers_see():
    network = Vgg()
    features = vgg_features(network.state_dict())
    planes = blobs(2, (16, 20)) / 4
    grey = planes.clamp(-2, 2) / 4 + 0.5
    mean, std = (torch.tensor(each).view(1, 3, 1, 1) for each in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    seen, expected = (grey - mean) / std, []
    for layer in network.features:
        if isinstance(layer, nn.MaxPool2d):
            expected.append(seen)
        seen = layer(seen)
    found = features(planes)
    assert len(found) == 2
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ({}, "no VGG network"),
        ({"features.0.weight": torch.zeros(4, 1, 3, 3), "features.0.bias": torch.zeros(4)}, "no convolution"),
        ({"features.0.weight": torch.zeros(4, 3, 3, 3)}, "no convolution"),
        ({"features.3.weight": torch.zeros(4, 3, 3, 3), "features.3.bias": torch.zeros(4)}, "no VGG network"),
    ],
)
def test_what_is_no_such_network_is_refused(weights, words):
    with pytest.raises(ValueError, match=words):
        vgg_features(weights)


def test_levels_and_kernels_are_those_given():
    kernel = torch.ones(1, 1, 1, 1)
    one = Features([kernel, 2 * kernel], biases=[None, None], pools=[False, True], told=[1])
    (found,) = one(torch.full((1, 1, 4, 4), -3.0))
    assert torch.equal(found, torch.full((1, 1, 2, 2), 6.0))
