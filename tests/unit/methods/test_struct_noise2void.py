import json
from dataclasses import asdict

import numpy as np
import pytest
import torch

from napari_restore import methods
from napari_restore.core.errors import ImageError, RestoreError
from napari_restore.methods.method import Batch
from napari_restore.methods.struct_noise2void import (
    StructNoise2Void,
    StructNoise2VoidConfig,
    as_text,
    draw_anywhere,
    mask_pixels,
    under,
)
from napari_restore.sources import open_image

OBLIQUE = [[1, 0, 0], [0, 1, 0], [0, 1, 1]]
ALONG_Z = [[[1]], [[0]], [[1]]]
SQUARE = [[1] * 7] * 7
MASKS = [
    ("YX", (16, 22), "horizontal"),
    ("YX", (16, 22), "vertical"),
    ("YX", (16, 22), "cross"),
    ("YX", (16, 22), OBLIQUE),
    ("YX", (16, 22), SQUARE),
    ("YX", (8, 2), "horizontal"),
    ("ZYX", (3, 8, 12), "cross"),
    ("ZYX", (3, 8, 12), OBLIQUE),
    ("ZYX", (5, 8, 12), ALONG_Z),
]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def batch(shape, *, channels=1, hidden=None, count=1, seed=0):
    pixels = torch.randn(count, channels, *shape, generator=generator(seed))
    return Batch(pixels, torch.ones(count, 1, *shape, dtype=torch.bool), hidden)


def network_inputs(method, given, seed=3):
    seen = []
    watches = [n.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0])) for n in method.networks]
    method(given, generator(seed))
    for watch in watches:
        watch.remove()
    return torch.cat(seen, 1)


def masked_by_hand(mask, extent, hidden, shape):
    """Which pixels lie under a mask, one at a time in plain numpy."""
    names = {"horizontal": [(0, 1)], "vertical": [(1, 0)], "cross": [(0, 1), (1, 0)]}
    if isinstance(mask, str):
        offsets = {(k * y, k * x) for y, x in names[mask] for k in range(-extent, extent + 1)}
    else:
        middle = np.array(np.shape(mask)) // 2
        offsets = {tuple(p - middle) for p in np.argwhere(mask)} | {(0,) * middle.size}
    covered = np.zeros((len(hidden), *shape), bool)
    for b, row in enumerate(hidden.tolist()):
        for place in row:
            for offset in offsets:
                full = (0,) * (len(shape) - len(offset)) + tuple(offset)
                at = np.array(np.unravel_index(place, shape)) + full
                if (at >= 0).all() and (at < shape).all():
                    covered[(b, *at)] = True
    return torch.from_numpy(covered)


@pytest.mark.parametrize(("spatial", "shape", "mask"), MASKS)
def test_no_masked_pixel_influences_what_the_network_sees(build, spatial, shape, mask):
    """By gradient and by value: not in place and not as another's stand-in. Every pixel is hidden in some patch."""
    method = build(spatial, channels=2, kind=StructNoise2Void, mask=mask, extent=2)
    total = torch.Size(shape).numel()
    hidden = torch.stack([torch.arange(total), torch.arange(total).roll(total // 3)], 1)
    given = batch(shape, channels=2, count=total, hidden=hidden)
    covered = masked_by_hand(mask, 2, method.hide(given, generator()), shape)[:, None].expand_as(given.pixels)
    pixels = given.pixels.clone().requires_grad_()
    shown = network_inputs(method, given._replace(pixels=pixels))
    (gradient,) = torch.autograd.grad(shown.square().sum(), pixels)
    assert (gradient[covered] == 0).all()
    assert (gradient[~covered] != 0).all(), "all others are shown as they are"
    wild = given._replace(pixels=given.pixels.masked_fill(covered, 1e6))
    with torch.no_grad():
        assert torch.equal(network_inputs(method, wild), shown)


@pytest.mark.parametrize(("spatial", "shape", "mask"), MASKS)
def test_nothing_under_the_mask_of_a_pixel_changes_its_prediction(build, spatial, shape, mask):
    """The promise itself, through the network: only the value to be predicted, in the loss, knows of it."""
    method = build(spatial, kind=StructNoise2Void, mask=mask, extent=2)
    middle = tuple(n // 2 for n in shape)
    for at in ((0,) * len(shape), middle, tuple(n - 1 for n in shape)):
        hidden = torch.tensor([[int(np.ravel_multi_index(at, shape))]])
        given = batch(shape, hidden=hidden)
        covered = masked_by_hand(mask, 2, hidden, shape)[:, None]
        pixels = given.pixels.clone().requires_grad_()
        seen = []
        watch = method.networks[0].register_forward_hook(lambda _m, _i, output, seen=seen: seen.append(output))
        method(given._replace(pixels=pixels), generator(1))
        watch.remove()
        (gradient,) = torch.autograd.grad(seen[0][(0, 0, *at)], pixels)
        assert (gradient[covered] == 0).all()
        assert gradient.abs().sum() > 0


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("spatial", "shape", "mask"), [("YX", (32, 48), "cross"), ("ZYX", (4, 16, 24), "horizontal")])
def test_drawn_masks_cover_a_quarter_at_most(build, spatial, shape, mask, seed):
    method = build(spatial, kind=StructNoise2Void, mask=mask, extent=5, masked=0.25)
    given = batch(shape, count=8)
    hidden = method.hide(given, generator(seed))
    assert hidden.shape[1] * (21 if mask == "cross" else 11) <= 0.3 * torch.Size(shape).numel()
    covered = masked_by_hand(mask, 5, hidden, shape)
    assert 0.1 < covered.double().mean() < 0.25


def test_with_a_small_mask_as_many_are_hidden_as_asked_for(build):
    method = build(kind=StructNoise2Void, extent=1, masked=0.02)
    assert method.hide(batch((64, 64)), generator()).shape[1] == pytest.approx(0.02 * 64 * 64, rel=0.05)


def test_of_the_positions_a_batch_brings_as_many_are_used_as_masks_leave_room_for(build):
    method = build(kind=StructNoise2Void, mask="cross", extent=5)
    hidden = torch.randperm(1024, generator=generator())[None, :100]
    assert torch.equal(method.hide(batch((32, 32), hidden=hidden), generator()), hidden[:, :12])
    assert torch.equal(method.hide(batch((32, 32), hidden=hidden[:, :5]), generator()), hidden[:, :5])
    small = batch((4, 4), hidden=hidden[:, :3] % 16)
    assert method.hide(small, generator()).shape == (1, 1), "one is, whatever its mask covers"


def test_the_loss_is_the_mean_squared_error_at_the_centres_alone(build):
    method, shape = build(kind=StructNoise2Void, channels=2, extent=1), (12, 14)
    hidden = torch.tensor([[3, 90, 167], [0, 11, 62]])
    given = batch(shape, channels=2, hidden=hidden, count=2)
    target = given.target.clone()
    target[0, 0].view(-1)[90] = False
    given = given._replace(target=target)
    with torch.no_grad():
        predicted = method.restore(network_inputs(method, given))
        errors = (predicted - given.pixels).flatten(2).gather(2, hidden[:, None].expand(-1, 2, -1)).square().mean(1)
        errors[0, 1] = 0
        assert method(given, generator(3)) == pytest.approx(errors.sum().item() / 5, rel=1e-5)


def test_stand_ins_are_neighbours_where_the_mask_leaves_some(build):
    shape = (20, 30)
    method = build(kind=StructNoise2Void, extent=4, neighbourhood=2)
    hidden = torch.tensor([[310]])  # row 10, column 10
    where = torch.arange(600.0).view(1, 1, *shape)
    rows = set()
    for seed in range(60):
        shown = method.shown(where, hidden, generator(seed))[0, 0, 10, 6:15]
        row, column = shown.long() // 30, shown.long() % 30
        assert (row != 10).all() or ((column < 6) | (column > 14))[row == 10].all()
        assert (row - 10).abs().max() <= 2 and (column - torch.arange(6, 15)).abs().max() <= 2
        rows |= set(row.tolist())
    assert {8, 9, 11, 12} <= rows


def test_stand_ins_are_from_anywhere_where_the_mask_leaves_no_neighbour(build):
    method = build(kind=StructNoise2Void, mask=SQUARE, neighbourhood=1)
    where = torch.arange(1.0, 401).view(1, 1, 20, 20)
    hidden = torch.tensor([[210]])  # row 10, column 10
    shown = torch.stack([method.shown(where, hidden, generator(s))[0, 0, 10, 10] for s in range(200)])
    assert (shown > 0).all() and shown.std() > 80, "uniform over 1 ... 400 has a deviation of 115"


@pytest.mark.parametrize("shape", [(9, 11), (3, 4, 5)])
def test_every_position_that_is_not_masked_is_drawn_equally_often(shape):
    total = torch.Size(shape).numel()
    masked = torch.arange(0, total, 3).repeat(2, 600)
    masked[1] = masked[1].clamp(max=total - 2)
    drawn, none = draw_anywhere(masked, total, generator())
    assert not none.any()
    for row in range(2):
        free = sorted(set(range(total)) - set(masked[row].tolist()))
        counts = torch.bincount(drawn[row], minlength=total).double()
        expected = masked.shape[1] / len(free)
        assert sorted(counts.nonzero().flatten().tolist()) == free
        chi = ((counts[free] - expected) ** 2 / expected).sum()
        assert chi < len(free) + 5 * (2 * len(free)) ** 0.5


def test_a_patch_that_is_masked_all_over_shows_nothing(build):
    masked = torch.stack([torch.arange(64), torch.arange(64) % 40])
    drawn, none = draw_anywhere(masked, 64, generator())
    assert none.flatten().tolist() == [True, False]
    assert drawn[1].min() >= 40 and drawn.max() < 64
    method = build(kind=StructNoise2Void, mask=SQUARE)
    shown = method.shown(torch.ones(2, 1, 4, 4), torch.tensor([[5], [10]]), generator())
    assert (shown == 0).all()


def test_the_same_random_numbers_show_the_same(build):
    method, given = build(kind=StructNoise2Void, mask="cross"), batch((16, 16), count=2)
    with torch.no_grad():
        assert torch.equal(network_inputs(method, given, 4), network_inputs(method, given, 4))
        assert not torch.equal(network_inputs(method, given, 4), network_inputs(method, given, 5))


@pytest.mark.parametrize(
    ("mask", "extent", "wanted"),
    [
        ("horizontal", 2, [[1, 1, 1, 1, 1]]),
        ("vertical", 1, [[1], [1], [1]]),
        ("cross", 1, [[0, 1, 0], [1, 1, 1], [0, 1, 0]]),
        ([[1, 0, 1]], 9, [[1, 1, 1]]),
        (OBLIQUE, 9, OBLIQUE),
        (ALONG_Z, 9, [[[1]], [[1]], [[1]]]),
    ],
)
def test_a_mask_says_what_is_hidden_with_the_pixel_in_its_middle(mask, extent, wanted):
    assert mask_pixels(mask, extent).int().tolist() == wanted


@pytest.mark.parametrize(("shape", "mask"), [((5, 7), OBLIQUE), ((4, 5, 6), [ALONG_Z[0], *ALONG_Z[1:]])])
def test_positions_under_a_mask_are_those_of_plain_coordinates(shape, mask):
    total = torch.Size(shape).numel()
    hidden = torch.arange(total)[:, None]
    got = torch.zeros(total, total, dtype=torch.bool).scatter_(1, under(mask_pixels(mask, 1), hidden, shape), True)
    assert torch.equal(got, masked_by_hand(mask, 1, hidden, shape).flatten(1))


@pytest.mark.parametrize(
    "mask",
    [OBLIQUE, tuple(map(tuple, OBLIQUE)), np.array(OBLIQUE, bool), json.dumps(OBLIQUE), "[[1,0,0],[0,1,0],[0,1,1]]"],
)
def test_a_mask_is_written_in_one_way_and_survives_json(mask):
    config = methods.configure("struct_noise2void", {"mask": mask})
    assert config.mask == as_text(OBLIQUE) == as_text(as_text(OBLIQUE))
    assert methods.configure("struct_noise2void", json.loads(json.dumps(asdict(config)))) == config


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"mask": "diagonal"}, "mask = 'diagonal': .*horizontal, vertical, cross, or rows"),
        ({"mask": [0, 1, 1]}, "rows"),
        ({"mask": [[1, 2, 1]]}, "0 and 1"),
        ({"mask": [["a"]]}, "0 and 1"),
        ({"mask": [[1, 1], [1]]}, "rows"),
        ({"mask": {}}, "rows"),
        ({"mask": 3}, "rows"),
        ({"mask": [[[[1]]]]}, "rows"),
        ({"mask": [[1, 1]]}, "a side of 2 pixels: .*odd, 33 at most"),
        ({"mask": [[1] * 35]}, "a side of 35 pixels: .*odd, 33 at most"),
        ({"mask": [[]]}, "a side of 0 pixels"),
        ({"extent": 0}, "extent = 0"),
        ({"extent": 17}, "extent = 17: .*16"),
    ],
)
def test_a_mask_that_cannot_be_is_refused_on_one_line(settings, words):
    with pytest.raises(RestoreError, match=f"Structured Noise2Void.*{words}") as error:
        methods.configure("struct_noise2void", settings)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("mask", "same"),
    [("horizontal", False), ("vertical", False), ("cross", True), (SQUARE, True), (OBLIQUE, False), (ALONG_Z, True)],
)
def test_patches_are_turned_only_where_their_noise_stays_under_the_mask(build, mask, same):
    assert build("ZYX", kind=StructNoise2Void, mask=mask).turns is same


def empty(axes, shape):
    return open_image(np.zeros(shape, np.uint8), axes=axes)


def test_a_mask_of_three_axes_looks_along_three():
    fit = StructNoise2Void.fit_to(StructNoise2VoidConfig(mask=as_text(ALONG_Z)), [empty("ZYX", (5, 32, 32))])
    assert (fit.spatial, fit.config.dimensions) == ("ZYX", "3")
    assert StructNoise2Void.fit_to(StructNoise2VoidConfig(), [empty("ZYX", (5, 32, 32))]).spatial == "YX"
    with pytest.raises(ImageError, match="three axes and dimensions is 2: use dimensions 3"):
        StructNoise2Void.fit_to(
            StructNoise2VoidConfig(mask=as_text(ALONG_Z), dimensions="2"), [empty("ZYX", (5, 32, 32))]
        )


def test_a_mask_that_hides_the_whole_image_is_refused():
    image, mask = empty("YX", (11, 10)), as_text(np.ones((11, 11), int))
    with pytest.raises(ImageError, match=r"axis X: a mask of 11 px can hide all 10 px .* at most 9 px"):
        StructNoise2Void.fit_to(StructNoise2VoidConfig(mask=mask), [image])
    StructNoise2Void.fit_to(StructNoise2VoidConfig(mask=as_text(np.ones((11, 9), int))), [image])
    StructNoise2Void.fit_to(StructNoise2VoidConfig(mask="cross", extent=8), [image])


@pytest.mark.parametrize(("spatial", "shape"), [("YX", (8, 12)), ("ZYX", (3, 8, 12))])
def test_what_restores_sooner_gives_the_same_pixels(build, spatial, shape):
    method = build(spatial, channels=2, kind=StructNoise2Void)
    pixels = batch(shape, channels=2).pixels
    with torch.no_grad():
        wanted = method.restore(pixels)
        assert (method.for_restoring().restore(pixels) - wanted).abs().max() < 1e-5 * wanted.std()
