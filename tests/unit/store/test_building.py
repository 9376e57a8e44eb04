"""Fresh weights: those of a seed, whatever is built meanwhile, and nobody's random numbers are used up for them."""

from concurrent.futures import ThreadPoolExecutor

import torch

from napari_restore import methods
from napari_restore.store.model import build_method


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_fresh_weights_are_those_of_torchs_seed_and_leave_its_generator_alone():
    config = methods.configure("noise2void", {"width": 4, "depth": 1})
    torch.manual_seed(5)
    by_hand = methods.find("noise2void")(config, spatial="YX", channels=1).state_dict()
    torch.manual_seed(11)
    before = torch.get_rng_state()
    built = build_method("noise2void", config, spatial="YX", channels=1, seed=5).state_dict()
    other = build_method("noise2void", config, spatial="YX", channels=1, seed=6).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(built[name], by_hand[name]) for name in by_hand)
    assert not all(torch.equal(other[name], by_hand[name]) for name in by_hand)


def test_methods_built_side_by_side_have_the_weights_of_their_seeds():
    def weights(seed):
        method = build_method("noise2void", {"width": 8, "depth": 2}, spatial="YX", channels=1, seed=seed)
        return [p.detach() for p in method.parameters()]

    alone = [weights(seed) for seed in range(24)]
    with ThreadPoolExecutor(6) as pool:
        assert all(same(a, b) for a, b in zip(pool.map(weights, range(24)), alone, strict=True))
