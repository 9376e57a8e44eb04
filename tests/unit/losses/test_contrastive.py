"""Near to what is wanted, far from what is degraded: the loss against its formula written out."""

import numpy as np
import pytest
import torch

from napari_restore.losses.contrastive import contrastive


def two_levels(planes: torch.Tensor) -> list[torch.Tensor]:
    return [planes, torch.nn.functional.avg_pool2d(planes.square(), 2)]


def planes(seed: int, count: int = 5, shape: tuple[int, int] = (9, 14)) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(count, 1, *shape))).float()


def loss(given, wanted, degraded, negatives=3, seed=0) -> float:
    rng = torch.Generator().manual_seed(seed)
    return float(contrastive(two_levels, given, wanted, degraded, negatives=negatives, rng=rng))


def test_it_is_the_distance_to_the_wanted_over_the_mean_distance_to_the_others():
    given, wanted, degraded = (planes(seed) for seed in range(3))
    expected = []
    for mine, theirs, others in zip(*map(two_levels, (given, wanted, degraded)), strict=True):
        near = [np.abs(np.asarray(mine[i] - theirs[i])).mean() for i in range(5)]
        far = [np.mean([np.abs(np.asarray(mine[i] - others[i - k])).mean() for k in (1, 2, 3)]) for i in range(5)]
        expected.append(np.mean(np.divide(near, far)))
    assert loss(given, wanted, degraded) == pytest.approx(np.mean(expected), rel=1e-5)


def test_nothing_is_left_where_it_is_what_is_wanted():
    assert loss(planes(0), planes(0), planes(1), negatives=10) == 0


def test_it_draws_to_the_wanted_and_away_from_the_degraded():
    wanted, degraded = planes(0), planes(1) + 3
    middle = (wanted + degraded) / 2
    nearer = 0.9 * wanted + 0.1 * degraded
    assert loss(nearer, wanted, degraded) < loss(middle, wanted, degraded)
    away = middle.clone().requires_grad_()
    contrastive(two_levels, away, wanted, degraded, negatives=3, rng=torch.Generator().manual_seed(0)).backward()
    assert float((away.grad * (degraded - wanted)).sum()) > 0


@pytest.mark.parametrize("count", [1, 2, 5])
def test_there_are_as_many_negatives_as_asked_whatever_the_number_of_planes(count):
    """More than there are other planes are these moved, by steps of the seed; the loss does not grow with them."""
    given, wanted, degraded = (planes(seed, count, (16, 16)) for seed in range(3))
    few, many = (loss(given, wanted, degraded, negatives=n) for n in (10, 40))
    assert few == pytest.approx(many, rel=0.2) and few == loss(given, wanted, degraded, negatives=10)
    assert few != loss(given, wanted, degraded, negatives=10, seed=1)


def test_only_what_is_given_learns():
    given, wanted, degraded = (planes(seed).requires_grad_() for seed in range(3))
    contrastive(two_levels, given, wanted, degraded, negatives=10, rng=torch.Generator()).backward()
    assert given.grad is not None and torch.isfinite(given.grad).all()
    assert wanted.grad is None and degraded.grad is None
