import numpy as np
import pytest
import torch

from napari_restore.core.errors import ImageError
from napari_restore.methods.method import Batch
from napari_restore.methods.noise2void import (
    Noise2Void,
    Noise2VoidConfig,
    draw_hidden,
    draw_neighbours,
    draw_visible,
)
from napari_restore.sources import open_image


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def batch(shape, *, channels=1, hidden=None, count=1, seed=0):
    pixels = torch.randn(count, channels, *shape, generator=generator(seed))
    return Batch(pixels, torch.ones(count, 1, *shape, dtype=torch.bool), hidden)


def place(shape, *position):
    """Position in the flattened patch."""
    return int(torch.arange(torch.Size(shape).numel()).view(shape)[position])


CORNERS_AND_BORDERS = [(0, 0), (0, 23), (15, 0), (15, 23), (0, 9), (7, 0), (15, 10), (8, 23), (7, 9)]


@pytest.mark.parametrize("at", CORNERS_AND_BORDERS)
def test_a_hidden_pixel_never_sees_itself_by_value(build, at):
    """What the network is shown does not depend on the value that it is to predict, at borders and corners too."""
    method, shape = build(depth=2), (16, 24)
    hidden = torch.tensor([[place(shape, *at)]])
    one = batch(shape, hidden=hidden)
    other = one._replace(pixels=one.pixels.clone())
    other.pixels[(0, 0, *at)] += 100
    predictions = [shown_and_predicted(method, b) for b in (one, other)]
    assert torch.equal(predictions[0][0], predictions[1][0])
    assert torch.equal(predictions[0][1], predictions[1][1])
    assert not torch.allclose(method.restore(one.pixels), method.restore(other.pixels)), "the network sees nothing"


def shown_and_predicted(method, given):
    """The input that the network got in a step, and what it made of it."""
    seen = []
    watch = method.networks[0].register_forward_hook(lambda _, inputs, output: seen.append((inputs[0], output)))
    with torch.no_grad():
        method(given, generator(3))
    watch.remove()
    return seen[0]


@pytest.mark.parametrize("sampler", ["stratified", "uniform"])
@pytest.mark.parametrize(("spatial", "shape"), [("YX", (16, 22)), ("ZYX", (3, 8, 12))])
@pytest.mark.parametrize(("masked", "neighbourhood"), [(0.03, 2), (0.25, 1)])
def test_a_hidden_pixel_never_sees_itself_by_gradient(build, spatial, shape, masked, neighbourhood, sampler):
    """Not through its neighbours either: where those are hidden too, they must not carry its value about."""
    method = build(spatial, masked=masked, neighbourhood=neighbourhood, sampler=sampler)
    given = batch(shape, count=4)
    hidden = draw_hidden(sampler, masked, 4, shape, generator(5))
    pixels = given.pixels.requires_grad_()
    seen = []
    watch = method.networks[0].register_forward_hook(lambda _m, _i, output: seen.append(output))
    method(Batch(pixels, given.target, hidden), generator(6))
    watch.remove()
    (gradient,) = torch.autograd.grad(seen[0].sum(), pixels)
    is_hidden = torch.zeros(4, pixels[0].numel(), dtype=torch.bool).scatter_(1, hidden, True)
    assert (gradient.flatten(1)[is_hidden] == 0).all()
    assert (gradient.flatten(1)[~is_hidden] != 0).all()


@pytest.mark.parametrize(
    ("shape", "radius"), [((17, 23), 2), ((8, 1), 2), ((1, 9), 3), ((5, 7, 11), 1), ((3, 4, 5), 8), ((2, 1), 1)]
)
def test_a_neighbour_is_near_inside_and_another_pixel(shape, radius):
    total = torch.Size(shape).numel()
    hidden = torch.arange(total).repeat(50, 1)
    neighbours = draw_neighbours(hidden, shape, radius, generator())
    assert (neighbours != hidden).all()
    assert neighbours.min() >= 0 and neighbours.max() < total
    where = torch.stack(torch.meshgrid(*map(torch.arange, shape), indexing="ij")).flatten(1)
    assert (where[:, neighbours] - where[:, hidden]).abs().max() <= radius


@pytest.mark.parametrize(
    ("shape", "at"), [((9, 11), (4, 5)), ((9, 11), (0, 0)), ((9, 11), (8, 3)), ((8, 1), (1, 0)), ((3, 6, 7), (0, 5, 3))]
)
def test_every_allowed_neighbour_is_equally_likely(shape, at):
    radius, draws = 2, 40_000
    axes = [range(max(0, a - radius), min(n, a + radius + 1)) for a, n in zip(at, shape, strict=True)]
    grids = torch.cartesian_prod(*map(torch.tensor, axes)).view(-1, len(shape))
    allowed = {place(shape, *p) for p in grids.tolist()} - {place(shape, *at)}
    hidden = torch.full((1, draws), place(shape, *at))
    drawn = draw_neighbours(hidden, shape, radius, generator())
    counts = torch.bincount(drawn[0], minlength=torch.Size(shape).numel())
    assert set(counts.nonzero().flatten().tolist()) == allowed
    expected = draws / len(allowed)
    chi = sum((counts[p].item() - expected) ** 2 / expected for p in allowed)
    freedom = len(allowed) - 1
    assert chi < freedom + 5 * (2 * freedom) ** 0.5  # five deviations; a missing or doubled neighbour gives hundreds


def test_visible_neighbours_are_hidden_only_where_there_is_no_other():
    shape = (6, 6)
    everything_but_a_corner = torch.arange(35)[None]
    neighbours, hidden_too = draw_visible(everything_but_a_corner, shape, 1, generator())
    assert (neighbours[~hidden_too] == 35).all()
    assert hidden_too[0, :21].all(), "no visible pixel is within reach of these"


@pytest.mark.parametrize("sampler", ["stratified", "uniform"])
def test_at_the_usual_settings_practically_every_hidden_pixel_has_a_visible_stand_in(sampler):
    """A first draw alone would be another hidden pixel in 1 to 3 of a hundred cases."""
    hidden = draw_hidden(sampler, 0.03, 100, (64, 64), generator())
    _, hidden_too = draw_visible(hidden, (64, 64), 2, generator(1))
    assert hidden_too.double().mean() < 3e-4


@pytest.mark.parametrize("sampler", ["stratified", "uniform"])
@pytest.mark.parametrize(
    ("shape", "fraction", "tolerance"),
    [((64, 64), 0.03, 0.05), ((16, 48, 48), 0.03, 0.1), ((64, 64), 0.01, 0.15), ((64, 64), 0.25, 0.01)],
)
def test_about_the_fraction_asked_for_is_hidden(sampler, shape, fraction, tolerance):
    hidden = draw_hidden(sampler, fraction, 3, shape, generator())
    assert hidden.shape[0] == 3
    assert hidden.shape[1] == pytest.approx(fraction * torch.Size(shape).numel(), rel=tolerance)
    assert hidden.min() >= 0 and hidden.max() < torch.Size(shape).numel()


@pytest.mark.parametrize("sampler", ["stratified", "uniform"])
@pytest.mark.parametrize("shape", [(17, 23), (8, 1), (3, 9, 10)])
def test_every_pixel_is_hidden_equally_often(sampler, shape):
    total, patches = torch.Size(shape).numel(), 20_000
    hidden = draw_hidden(sampler, 0.03, patches, shape, generator())
    counts = torch.bincount(hidden.flatten(), minlength=total).double()
    expected = hidden.numel() / total
    # Counts vary at most as if every position were drawn by itself.
    assert (counts - expected).abs().max() < 5.5 * expected**0.5
    assert counts.var() < 1.3 * expected


def test_uniformly_hidden_pixels_are_different_ones():
    hidden = draw_hidden("uniform", 0.25, 20, (9, 11), generator())
    assert all(len(set(row)) == len(row) for row in hidden.tolist())


def test_stratified_hides_one_pixel_in_every_cell_each_on_its_own():
    hidden = draw_hidden("stratified", 1 / 16, 500, (16, 16), generator())
    rows, columns = hidden // 16, hidden % 16
    assert ((rows // 4) * 4 + columns // 4 == torch.arange(16)).all()
    both = torch.stack([(rows % 4)[:, 0], (rows % 4)[:, 1]]).double()
    assert torch.corrcoef(both)[0, 1].abs() < 0.2, "neighbouring cells share their rows"


def test_the_loss_is_the_mean_squared_error_at_hidden_targets(build):
    method, shape = build(), (8, 10)
    hidden = torch.tensor([[3, 40, 79], [0, 11, 62]])
    given = batch(shape, hidden=hidden, count=2)
    _, predicted = shown_and_predicted(method, given)
    errors = (predicted - given.pixels).flatten(1).gather(1, hidden).square()
    with torch.no_grad():
        assert method(given, generator(3)) == pytest.approx(errors.mean().item(), rel=1e-5)
        target = given.target.clone().flatten(2)
        target[0, 0, [3, 79]] = False
        fewer = given._replace(target=target.view_as(given.target))
        wanted = (errors.sum() - errors[0, 0] - errors[0, 2]) / 4
        assert method(fewer, generator(3)) == pytest.approx(wanted.item(), rel=1e-5)


def test_pixels_that_are_no_targets_do_not_count(build):
    method, shape = build(), (8, 10)
    hidden = torch.tensor([[3, 40]])
    given = batch(shape, hidden=hidden)
    target = given.target.clone()
    target.view(-1)[40] = False
    wild = given.pixels.clone()
    wild.view(-1)[40] = 1e6
    with torch.no_grad():
        usual = method(given._replace(target=target), generator(1))
        assert torch.equal(method(given._replace(target=target, pixels=wild), generator(1)), usual)
        assert method(given._replace(pixels=wild), generator(1)) > 1e6


def test_a_batch_without_any_target_has_no_loss(build):
    given = batch((8, 8))
    loss = build()(given._replace(target=torch.zeros_like(given.target)), generator())
    assert loss == 0
    loss.backward()


def test_channels_do_not_see_each_other(build):
    method = build(channels=3)
    pixels = batch((8, 12), channels=3).pixels
    changed = pixels.clone()
    changed[:, 1] += 1
    with torch.no_grad():
        before, after = method.restore(pixels), method.restore(changed)
    assert torch.equal(before[:, [0, 2]], after[:, [0, 2]])
    assert not torch.allclose(before[:, 1], after[:, 1])
    assert not torch.allclose(method.restore(pixels[:, [0, 0, 0]])[:, 0], method.restore(pixels[:, [0, 0, 0]])[:, 1])


def test_the_same_random_numbers_give_the_same_loss(build):
    method, given = build(), batch((16, 16), count=2)
    with torch.no_grad():
        assert torch.equal(method(given, generator(4)), method(given, generator(4)))
        assert not torch.equal(method(given, generator(4)), method(given, generator(5)))


@pytest.mark.parametrize(("spatial", "shape"), [("YX", (8, 12)), ("ZYX", (3, 8, 12))])
def test_what_restores_sooner_gives_the_same_pixels(build, spatial, shape):
    method = build(spatial, channels=2)
    pixels = batch(shape, channels=2).pixels
    with torch.no_grad():
        wanted = method.restore(pixels)
        sooner = method.for_restoring()
        assert (sooner.restore(pixels) - wanted).abs().max() < 1e-5 * wanted.std()
        assert torch.equal(method.restore(pixels), wanted), "the method itself has changed"
    assert not any(p.requires_grad for p in sooner.parameters())
    assert sooner.radius == method.radius and sooner.grid == method.grid


def test_a_stack_is_not_pooled_along_its_depth(build):
    method = build("ZYX", depth=2)
    assert method.grid == (1, 4, 4)
    with torch.no_grad():
        assert method.restore(torch.zeros(1, 1, 5, 4, 8)).shape == (1, 1, 5, 4, 8)


@pytest.mark.parametrize(("n", "depth"), [(8, 2), (15, 2), (16, 3), (31, 3), (512, 5)])
def test_small_images_get_a_shallow_network(n, depth):
    fit = Noise2Void.fit_to(Noise2VoidConfig(depth=5), [empty("YX", (n, 600))])
    assert fit.config.depth == depth
    assert 2**fit.config.depth <= n // 2
    assert fit.config.dimensions == "2" and fit.spatial == "YX"
    assert fit.normalisation is None and fit.notes == ()


def empty(axes, shape):
    return open_image(np.zeros(shape, np.uint8), axes=axes)


def test_three_dimensions_look_along_three_axes():
    fit = Noise2Void.fit_to(Noise2VoidConfig(dimensions="3"), [empty("ZYX", (4, 32, 32))])
    assert fit.config.dimensions == "3" and fit.spatial == "ZYX"


def test_images_without_surroundings_are_refused():
    with pytest.raises(ImageError, match=r"axis X has 7 pixels.*at least 8"):
        Noise2Void.fit_to(Noise2VoidConfig(), [empty("YX", (100, 7))])


@pytest.mark.parametrize(("axes", "shape"), [("YX", (64, 64)), ("ZYX", (1, 64, 64))])
def test_three_dimensions_need_a_stack(axes, shape):
    with pytest.raises(ImageError, match=f"dimensions 3 needs a stack: the image has axes {axes}"):
        Noise2Void.fit_to(Noise2VoidConfig(dimensions="3"), [empty(axes, shape)])
