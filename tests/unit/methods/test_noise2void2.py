import numpy as np
import pytest
import torch

from napari_restore.core.errors import ImageError
from napari_restore.methods.method import Batch
from napari_restore.methods.noise2void import Noise2Void, around, draw_hidden
from napari_restore.methods.noise2void2 import Noise2Void2, Noise2Void2Config, box, visible_median
from napari_restore.sources import open_image

SHAPES = [("YX", (17, 23)), ("YX", (8, 1)), ("ZYX", (3, 9, 10)), ("ZYX", (1, 8, 7))]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def batch(shape, *, channels=1, hidden=None, count=1, seed=0):
    pixels = torch.randn(count, channels, *shape, generator=generator(seed))
    return Batch(pixels, torch.ones(count, 1, *shape, dtype=torch.bool), hidden)


def median_by_hand(pixels, hidden, radius):
    """Median of the pixels in the window about each hidden place that are not hidden: numpy, one at a time."""
    is_hidden = np.zeros(pixels.shape, bool)
    is_hidden.flat[hidden] = True
    values = []
    for place in hidden:
        at = np.unravel_index(place, pixels.shape)
        window = tuple(slice(max(0, i - radius), i + radius + 1) for i in at)
        seen = pixels[window][~is_hidden[window]]
        values.append(np.median(seen) if seen.size else 0)
    return np.array(values)


@pytest.mark.parametrize("sampler", ["stratified", "uniform"])
@pytest.mark.parametrize(("masked", "radius"), [(0.06, 2), (0.25, 1), (0.25, 3)])
@pytest.mark.parametrize("shape", [shape for _, shape in SHAPES])
def test_a_stand_in_is_the_median_of_the_visible_pixels_around(shape, masked, radius, sampler):
    hidden = draw_hidden(sampler, masked, 2, shape, generator(1))
    flat = torch.randn(2, 3, torch.Size(shape).numel(), generator=generator(2))
    got = visible_median(flat, hidden, shape, radius)
    for b in range(2):
        for c in range(3):
            wanted = median_by_hand(flat[b, c].view(shape).numpy(), hidden[b].numpy(), radius)
            assert np.allclose(got[b, c].numpy(), wanted, atol=1e-6)


def test_where_everything_around_is_hidden_too_the_stand_in_is_nothing():
    flat = torch.full((1, 1, 36), 7.0, requires_grad=True)
    stand_in = visible_median(flat, torch.arange(35)[None], (6, 6), 1)
    assert (stand_in[0, 0, :21] == 0).all(), "no visible pixel is within reach of these"
    assert stand_in[0, 0, 34] == 7
    stand_in.sum().backward()
    assert flat.grad.isfinite().all()


@pytest.mark.parametrize(("axes", "radius"), [(1, 3), (2, 1), (2, 8), (3, 2)])
def test_a_box_has_every_offset_once(axes, radius):
    offsets = box(axes, radius)
    assert len({tuple(o) for o in offsets.tolist()}) == len(offsets) == (2 * radius + 1) ** axes
    assert offsets.abs().max() == radius


@pytest.mark.parametrize("shape", [(9,), (5, 7), (3, 4, 6)])
def test_places_around_are_those_of_plain_coordinates_and_the_centre_where_there_are_none(shape):
    offsets = box(len(shape), 2)
    every = torch.arange(torch.Size(shape).numel())[None]
    got = around(every, offsets, shape)[0].numpy()
    for place in range(got.shape[0]):
        at = np.array(np.unravel_index(place, shape)) + offsets.numpy()
        inside = ((at >= 0) & (at < shape)).all(1)
        wanted = np.full(len(offsets), place)
        wanted[inside] = np.ravel_multi_index(at[inside].T, shape)
        assert (got[place] == wanted).all()


def network_inputs(method, given):
    seen = []
    watches = [n.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0])) for n in method.networks]
    method(given, generator(3))
    for watch in watches:
        watch.remove()
    return torch.cat(seen, 1)


@pytest.mark.parametrize("sampler", ["stratified", "uniform"])
@pytest.mark.parametrize(("spatial", "shape"), [("YX", (16, 22)), ("ZYX", (3, 8, 12))])
@pytest.mark.parametrize(("masked", "neighbourhood"), [(0.06, 2), (0.25, 1)])
def test_the_network_never_sees_a_hidden_pixel(build, spatial, shape, masked, neighbourhood, sampler):
    """By gradient and by value, at borders too, and not through another hidden pixel's median."""
    method = build(spatial, channels=2, kind=Noise2Void2, masked=masked, neighbourhood=neighbourhood, sampler=sampler)
    hidden = draw_hidden(sampler, masked, 4, shape, generator(5))
    given = batch(shape, channels=2, count=4, hidden=hidden)
    is_hidden = torch.zeros(4, 1, torch.Size(shape).numel(), dtype=torch.bool).scatter_(2, hidden[:, None], True)
    is_hidden = is_hidden.view(4, 1, *shape).expand_as(given.pixels)
    pixels = given.pixels.clone().requires_grad_()
    shown = network_inputs(method, given._replace(pixels=pixels))
    (gradient,) = torch.autograd.grad(shown.square().sum(), pixels)
    assert (gradient[is_hidden] == 0).all()
    assert (gradient[~is_hidden] != 0).all()
    wild = given._replace(pixels=given.pixels.masked_fill(is_hidden, 1e6))
    with torch.no_grad():
        assert torch.equal(network_inputs(method, wild), shown)
        assert torch.equal(shown[~is_hidden], given.pixels[~is_hidden]), "all others are shown as they are"


def test_held_out_pixels_are_hidden_where_the_batch_says(build):
    method, shape = build(kind=Noise2Void2), (8, 10)
    hidden = torch.tensor([[3, 40, 79], [0, 11, 62]])
    given = batch(shape, hidden=hidden, count=2)
    with torch.no_grad():
        changed = (network_inputs(method, given) != given.pixels).flatten(1).nonzero()
    assert sorted(map(tuple, changed.tolist())) == sorted((b, i) for b in (0, 1) for i in hidden[b].tolist())


def test_its_network_blurs_and_has_no_top_skip():
    method = Noise2Void2(Noise2Void2Config(width=4, depth=2), spatial="ZYX", channels=2)
    for network in method.networks:
        assert (network.pooling, network.top_skip) == ("blur", False)
    plain = Noise2Void(Noise2Void.Config(width=4, depth=2), spatial="ZYX", channels=2)
    assert method.radius == (10, 29, 29) and plain.radius == (10, 26, 26), "3 of them tell whether a pixel is kept"
    assert method.grid == plain.grid == (1, 4, 4)


@pytest.mark.parametrize(("spatial", "shape"), [("YX", (8, 12)), ("ZYX", (3, 8, 12))])
def test_what_restores_sooner_gives_the_same_pixels(build, spatial, shape):
    method = build(spatial, channels=2, kind=Noise2Void2)
    pixels = batch(shape, channels=2).pixels
    with torch.no_grad():
        wanted = method.restore(pixels)
        assert (method.for_restoring().restore(pixels) - wanted).abs().max() < 1e-5 * wanted.std()


def test_images_without_surroundings_are_refused_in_its_name():
    with pytest.raises(ImageError, match=r"axis X has 7 pixels: Noise2Void2 learns"):
        Noise2Void2.fit_to(Noise2Void2Config(), [open_image(np.zeros((100, 7), np.uint8), axes="YX")])
