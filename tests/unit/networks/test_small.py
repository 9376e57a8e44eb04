"""The two small networks: three layers on an image, and the one that judges."""

import torch

from napari_restore.networks.judge import Judge
from napari_restore.networks.srcnn import SRCNN


def test_three_layers_see_as_far_as_they_say_and_give_nothing_untrained():
    torch.manual_seed(0)
    network = SRCNN(ndim=2, width=4)
    x = torch.randn(1, 1, 31, 33, requires_grad=True)
    assert not network(x).any()
    torch.nn.init.normal_(network.head.weight)
    (seen,) = torch.autograd.grad(network(x)[0, 0, 15, 16], x)
    rows, columns = (seen[0, 0].abs().amax(axis) > 0 for axis in (1, 0))
    radius = network.radius[0]
    for along, middle in ((rows, 15), (columns, 16)):
        where = along.nonzero()
        assert (middle - int(where.min()), int(where.max()) - middle) == (radius, radius)


def test_a_judge_tells_one_number_for_every_8_pixels():
    assert Judge(width=2)(torch.zeros(3, 1, 32, 40)).shape == (3, 1, 4, 5)
