"""Hidden pixels and their neighbours, for patches of any shape."""

import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from napari_restore.methods.method import Batch
from napari_restore.methods.noise2void import (
    Noise2Void,
    Noise2VoidConfig,
    draw_hidden,
    draw_neighbours,
    draw_visible,
)

SOME = settings(max_examples=50, deadline=None)
FEW = settings(max_examples=15, deadline=None)
shapes = st.lists(st.integers(1, 17), min_size=1, max_size=3).map(tuple)
samplers = st.sampled_from(["stratified", "uniform"])
fractions = st.floats(0.001, 0.25)
seeds = st.integers(0, 2**32)


@SOME
@given(shapes, st.integers(1, 8), seeds)
def test_a_neighbour_is_near_inside_and_another_pixel(shape, radius, seed):
    total = torch.Size(shape).numel()
    assume(total > 1)
    hidden = torch.arange(total).repeat(3, 1)
    neighbours = draw_neighbours(hidden, shape, radius, torch.Generator().manual_seed(seed))
    assert (neighbours != hidden).all()
    assert neighbours.min() >= 0 and neighbours.max() < total
    where = torch.stack(torch.meshgrid(*map(torch.arange, shape), indexing="ij")).flatten(1)
    assert (where[:, neighbours] - where[:, hidden]).abs().max() <= radius


@SOME
@given(samplers, fractions, shapes, seeds)
def test_hidden_pixels_exist_and_every_patch_has_some(sampler, fraction, shape, seed):
    hidden = draw_hidden(sampler, fraction, 4, shape, torch.Generator().manual_seed(seed))
    assert hidden.shape[0] == 4 and hidden.shape[1] >= 1
    assert hidden.min() >= 0 and hidden.max() < torch.Size(shape).numel()


@SOME
@given(samplers, fractions, shapes, st.integers(1, 4), seeds)
def test_a_stand_in_is_not_hidden_or_is_known_to_be(sampler, fraction, shape, radius, seed):
    assume(torch.Size(shape).numel() > 1)
    rng = torch.Generator().manual_seed(seed)
    hidden = draw_hidden(sampler, fraction, 3, shape, rng)
    neighbours, hidden_too = draw_visible(hidden, shape, radius, rng)
    for row in range(3):
        mine = set(hidden[row].tolist())
        assert [p in mine for p in neighbours[row].tolist()] == hidden_too[row].tolist()


@FEW
@given(
    samplers,
    st.sampled_from([0.03, 0.25]),
    st.tuples(st.integers(4, 9), st.integers(4, 9)).map(lambda s: (2 * s[0], 2 * s[1])),
    st.integers(1, 2),
    seeds,
)
def test_the_network_is_never_shown_a_hidden_pixel(sampler, masked, shape, channels, seed):
    config = Noise2VoidConfig(width=2, depth=1, sampler=sampler, masked=masked, neighbourhood=1)
    method = Noise2Void(config, spatial="YX", channels=channels).eval()
    rng = torch.Generator().manual_seed(seed)
    hidden = draw_hidden(sampler, masked, 2, shape, rng)
    # Every value says where it is from: 1, 2, 3 ...; hidden ones are negative.
    pixels = torch.arange(1.0, 1 + channels * torch.Size(shape).numel()).view(1, channels, -1).repeat(2, 1, 1)
    every = hidden[:, None].expand(-1, channels, -1)
    pixels.scatter_(2, every, -pixels.gather(2, every))
    shown = []
    for network in method.networks:
        network.register_forward_pre_hook(lambda _, inputs: shown.append(inputs[0]))
    target = torch.ones(2, 1, *shape, dtype=torch.bool)
    method(Batch(pixels.view(2, channels, *shape), target, hidden), rng)
    assert len(shown) == channels
    assert all((x >= 0).all() for x in shown)
