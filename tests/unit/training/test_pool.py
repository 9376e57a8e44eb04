import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_restore.core.errors import ImageError
from napari_restore.core.normalisation import Normalisation
from napari_restore.core.region import Region
from napari_restore.sources import open_image
from napari_restore.training import pool as pools
from napari_restore.training.pool import HELD_OUT, LEARN, NEVER, PatchPool, cut_blocks, held_out

CPU = torch.device("cpu")
PLAIN = Normalisation((0.0,), (1.0,))
PLENTY = 2**30


def numbered(*shape, axes="YX", chunks=None):
    """Every pixel has its own value: 1, 2, 3 ..."""
    image = open_image(np.arange(1, 1 + np.prod(shape), dtype=np.float32).reshape(shape), axes=axes)
    return image if chunks is None else replace(image, chunks=chunks)


def make(images, *, patch=(8, 8), spatial="YX", memory=PLENTY, seed=0, normalisation=PLAIN):
    blocks = cut_blocks(images, spatial=spatial, patch=patch)
    return PatchPool(blocks, spatial=spatial, memory=memory, seed=seed, device=CPU, normalisation=normalisation)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def streaming(monkeypatch):
    """Twelve planes as twelve blocks, in a pool that starts with two of them and holds four."""
    image = numbered(12, 8, 10, axes="ZYX", chunks=(1, 8, 10))
    monkeypatch.setattr(pools, "_FIRST_BYTES", 2 * 320)

    def build(seed=0, capacity=4):
        return make([image], memory=capacity * 400 + 10, seed=seed)

    return build


def planes_in(pool):
    """Numbers of the planes in the pool, by slot."""
    held = pool._pixels[: pool._filled, 0, 0, 0]
    return [int((v.item() - 1) // 80) for v in held]


def test_patches_are_found_in_the_image_up_to_flips_and_turns():
    image = numbered(17, 23)
    pool = make([image])
    batch = pool.draw(64, (8, 8), generator())
    pool.close()
    assert batch.pixels.shape == (64, 1, 8, 8) and batch.target.shape == (64, 1, 8, 8)
    assert batch.target.dtype == torch.bool and batch.hidden is None
    seen = set()
    for patch in batch.pixels[:, 0].numpy():
        y, x = divmod(int(patch.min()) - 1, 23)
        piece = image.read(Region((y, x), (y + 8, x + 8)))
        ways = [
            np.array_equal(patch, turned[::a, ::b]) for turned in (piece, piece.T) for a in (1, -1) for b in (1, -1)
        ]
        assert sum(ways) == 1
        seen.add(ways.index(True))
    assert seen == set(range(8)), "all eight ways to lay a square down"


def test_patches_that_are_not_square_are_flipped_only():
    image = numbered(17, 23)
    pool = make([image], patch=(4, 8))
    for patch in pool.draw(32, (4, 8), generator()).pixels[:, 0].numpy():
        y, x = divmod(int(patch.min()) - 1, 23)
        piece = image.read(Region((y, x), (y + 4, x + 8)))
        assert any(np.array_equal(patch, piece[::a, ::b]) for a in (1, -1) for b in (1, -1))
    pool.close()


def test_every_pixel_can_be_in_a_patch():
    pool = make([numbered(17, 23)])
    batch = pool.draw(2000, (8, 8), generator())
    pool.close()
    assert set(batch.pixels.unique().tolist()) == set(range(1, 17 * 23 + 1))


def test_volumes_give_patches_of_volumes_in_the_order_of_their_axes():
    image = numbered(20, 5, 17, axes="XZY")
    pool = make([image], patch=(3, 8, 8), spatial="ZYX")
    patches = pool.draw(8, (3, 8, 8), generator(), turn=False).pixels
    pool.close()
    volume = image.read().transpose(1, 2, 0)
    for patch in patches[:, 0].numpy():
        (z, y, x) = np.argwhere(volume == patch[0, 0, 0])[0]
        assert np.array_equal(patch, volume[z : z + 3, y : y + 8, x : x + 8])


def test_channels_stay_together():
    pixels = np.stack([np.arange(400.0).reshape(20, 20), 1000 + np.arange(400.0).reshape(20, 20)]).astype("f4")
    pool = make([open_image(pixels, axes="CYX")], normalisation=Normalisation((0.0, 0.0), (1.0, 1.0)))
    patches = pool.draw(16, (8, 8), generator()).pixels
    pool.close()
    assert (patches[:, 1] - patches[:, 0] == 1000).all()


def test_the_same_seed_gives_the_same_patches_and_another_one_others(streaming):
    def some(seed):
        pool, rng = streaming(seed), generator(1)
        drawn = []
        for step in range(60):
            pool.advance(step)
            drawn.append(pool.draw(2, (8, 8), rng).pixels)
        pool.close()
        return torch.cat(drawn)

    assert torch.equal(some(3), some(3))
    assert not torch.equal(some(3), some(4))


def test_a_pool_smaller_than_the_image_visits_all_of_it(streaming):
    pool = streaming()
    assert pool.capacity == 4 and not pool.resident
    seen = set()
    for step in range(12 * 8):
        pool.advance(step)
        seen |= set(planes_in(pool))
        assert len(planes_in(pool)) == min(4, 3 + step)
    pool.close()
    assert seen == set(range(12))


def test_a_pool_that_holds_the_whole_image_reads_every_block_once_and_keeps_it(monkeypatch):
    """Even where it does not begin with all of them: nothing is put over a block afterwards."""
    image = numbered(12, 8, 10, axes="ZYX", chunks=(1, 8, 10))
    monkeypatch.setattr(pools, "_FIRST_BYTES", 2 * 320)
    pool = make([image])
    assert pool.capacity == 12 and not pool.resident
    for step in range(200):
        pool.advance(step)
    pool.close()
    assert pool.resident
    assert sorted(planes_in(pool)) == list(range(12))


@pytest.mark.parametrize("capacity", [1, 4, 12])
@pytest.mark.parametrize("steps", [0, 1, 2, 3, 8, 9, 33, 64, 65, 400])
def test_skipping_steps_is_advancing_through_them(streaming, capacity, steps):
    walked, skipped = streaming(capacity=capacity), streaming(capacity=capacity)
    for step in range(steps):
        walked.advance(step)
    skipped.skip(steps)
    for step in range(steps, steps + 40):
        assert torch.equal(walked._pixels, skipped._pixels) and torch.equal(walked._role, skipped._role)
        walked.advance(step)
        skipped.advance(step)
    walked.close()
    skipped.close()


def test_skipping_reads_no_more_than_the_pool_holds(monkeypatch):
    image = numbered(12, 8, 10, axes="ZYX", chunks=(1, 8, 10))
    reads = []
    counted = replace(image, reader=lambda region: (reads.append(region), image.reader(region))[1])
    pool = make([counted], memory=4 * 400 + 10)
    before = len(reads)
    pool.skip(8000)
    pool.close()
    assert len(reads) - before <= 4 + 2 + 2  # the pool, two ahead, and two that were being read already


def test_reads_ahead_in_other_threads(streaming):
    pool = streaming()
    names = set()
    block_read = pool._read

    def read(block):
        names.add(threading.current_thread().name)
        return block_read(block)

    pool._read = read
    for step in range(40):
        pool.advance(step)
    pool.close()
    assert names and all("napari-restore read" in name for name in names)


def test_what_goes_wrong_while_reading_ahead_is_told_to_the_trainer(streaming):
    pool = streaming()

    def broken(block):
        raise ImageError("plane 7 is damaged")

    pool._read = broken
    with pytest.raises(ImageError, match="plane 7 is damaged"):
        for step in range(60):
            pool.advance(step)
    pool.close()


@pytest.mark.parametrize(
    ("shape", "axes", "chunks", "patch"),
    [
        ((17, 23), "YX", (17, 23), (8, 8)),
        ((1, 40), "YX", (1, 40), (1, 8)),
        ((3, 70, 90), "ZYX", (1, 16, 90), (8, 8)),
        ((2, 3, 65, 33), "TCYX", (1, 1, 64, 32), (4, 4)),
        ((90, 70, 2), "XYC", (50, 50, 2), (8, 8)),
    ],
)
def test_equal_blocks_cover_the_image_and_hold_whole_patches(shape, axes, chunks, patch):
    image = numbered(*shape, axes=axes, chunks=chunks)
    blocks = cut_blocks([image], spatial="YX", patch=patch)
    count = np.zeros(shape, int)
    for number, block in enumerate(blocks):
        assert block.number == number
        assert block.region.inside(shape)
        count[block.region.slices] += 1
    assert count.min() >= 1
    assert len({b.region.shape for b in blocks}) == 1
    lengths = dict(zip(axes, blocks[0].region.shape, strict=True))
    assert all(lengths[a] >= p for a, p in zip("YX", patch, strict=True))
    assert lengths.get("T", 1) == 1 and lengths.get("C", 1) == dict(zip(axes, shape, strict=True)).get("C", 1)


def test_large_chunks_are_cut_so_that_a_block_is_no_burden(monkeypatch):
    monkeypatch.setattr(pools, "_BLOCK_BYTES", 64 * 64 * 4)
    blocks = cut_blocks([numbered(300, 200, chunks=(300, 200))], spatial="YX", patch=(8, 8))
    assert all(b.region.size <= 64 * 64 for b in blocks)
    assert min(blocks[0].region.shape) >= 16


def test_blocks_of_images_of_different_sizes_are_equal():
    images = [numbered(17, 80), numbered(64, 23)]
    blocks = cut_blocks(images, spatial="YX", patch=(8, 8))
    assert {b.region.shape for b in blocks} == {(17, 23)}
    for image in images:
        count = np.zeros(image.shape, int)
        for block in blocks:
            if block.image is image:
                count[block.region.slices] += 1
        assert count.min() >= 1


def test_held_out_pixels_depend_on_their_place_in_the_image_alone():
    whole = held_out((64, 80), (0, 0), seed=5)
    for corner, shape in [((0, 0), (10, 10)), ((3, 17), (61, 40)), ((50, 79), (14, 1))]:
        part = tuple(slice(c, c + n) for c, n in zip(corner, shape, strict=True))
        assert np.array_equal(held_out(shape, corner, seed=5), whole[part])
    assert not np.array_equal(held_out((64, 80), (0, 0), seed=6), whole)


@pytest.mark.parametrize("shape", [(700, 900), (40, 120, 130)])
@pytest.mark.parametrize("seed", [0, 1, 12345])
def test_one_pixel_in_a_hundred_is_held_out_in_no_pattern(shape, seed):
    held = held_out(shape, (0,) * len(shape), seed=seed)
    n = held.size
    assert held.mean() == pytest.approx(0.01, abs=5 * (0.01 * 0.99 / n) ** 0.5)
    for axis, length in enumerate(shape):
        a, b = (np.take(held, range(s, length - 1 + s), axis=axis) for s in (0, 1))
        assert (a & b).mean() == pytest.approx(1e-4, abs=5 * (1e-4 / a.size) ** 0.5), "neighbours know of each other"
        lines = held.mean(tuple(i for i in range(len(shape)) if i != axis))
        assert abs(lines - 0.01).max() < 6 * (0.01 * length / n) ** 0.5, "whole lines are favoured"


def test_held_out_pixels_are_never_targets_and_overlapping_blocks_agree():
    """The value of each pixel is its place: no place may be a target here and held out there."""
    image = numbered(70, 90, chunks=(32, 32))
    pool = make([image])
    assert pool._filled > 4
    learned, kept = set(), set()
    for seed in range(30):
        batch = pool.draw(64, (8, 8), generator(seed))
        learned |= set(batch.pixels[batch.target].tolist())
        batch = pool.draw_held_out(64, (8, 8), generator(seed))
        kept |= set(batch.pixels[batch.target].tolist())
    pool.close()
    wanted = set(image.read()[held_out((70, 90), (0, 0), seed=0)].tolist())
    assert kept <= wanted and not learned & wanted
    assert len(kept) > 0.9 * len(wanted) and len(learned) > 0.9 * (6300 - len(wanted)), "corners are drawn rarely"


def test_patches_to_be_judged_on_are_spread_over_all_there_is():
    """The value of each pixel is its place: every part of every plane is seen about as often, corners too."""
    pool = make([numbered(6, 96, 80, axes="ZYX")])
    batch = pool.draw_held_out(48, (32, 32), generator())
    pool.close()
    seen = np.bincount(batch.pixels.long().flatten() - 1, minlength=6 * 96 * 80).reshape(6, 3, 32, 5, 16)
    assert set(seen.sum((1, 2, 3, 4)) // 32**2) <= {7, 8, 9}, "each plane about as often"
    parts = seen.mean((0, 2, 4))
    assert parts.min() > 0.4 * parts.mean() and parts.max() < 1.6 * parts.mean()


def test_held_out_pixels_are_hidden_when_it_is_measured_how_well_they_are_predicted():
    pool = make([numbered(70, 90)])
    batch = pool.draw_held_out(48, (32, 32), generator())
    pool.close()
    assert batch.hidden is not None and batch.hidden.shape == (48, int(0.01 * 32 * 32))
    hidden = torch.zeros(48, 32 * 32, dtype=torch.bool).scatter_(1, batch.hidden, True)
    target = batch.target.flatten(1)
    few = target.sum(1) <= batch.hidden.shape[1]
    assert few.any() and not few.all()
    assert (hidden[few] | ~target[few]).all(), "all that are held out, where there is room"
    assert target[~few][hidden[~few]].all(), "and nothing else, where there is not"


def test_pixels_that_are_not_finite_are_zero_and_never_targets():
    pixels = np.random.default_rng(0).normal(100, 5, (2, 40, 40)).astype(np.float32)
    pixels[0, 3:20, 4:9] = np.nan
    pixels[1, 30, 30] = np.inf
    pool = make([open_image(pixels, axes="CYX")], normalisation=None)
    assert pool.unusable == 17 * 5 + 1
    assert torch.isfinite(pool._pixels).all()
    bad = torch.from_numpy(~np.isfinite(pixels))
    assert (pool._pixels[0].movedim(-1, 0)[bad] == 0).all()
    role = pool._role[0, ..., 0]
    assert (role[bad.any(0)] == NEVER).all(), "in one channel is in all of them"
    assert set(role[~bad.any(0)].unique().tolist()) == {LEARN, HELD_OUT}
    assert not pool.draw(64, (8, 8), generator()).target[pool.draw(64, (8, 8), generator()).pixels[:, :1] == 0].any()
    pool.close()


def test_pixels_are_in_units_of_their_deviation():
    image = open_image(np.random.default_rng(0).normal(500, 20, (64, 64)).astype(np.uint16))
    pool = make([image], normalisation=None)
    assert pool.normalisation.mean[0] == pytest.approx(500, abs=2)
    assert pool.normalisation.std[0] == pytest.approx(20, abs=1)
    assert pool._pixels.mean().item() == pytest.approx(0, abs=1e-4)
    assert pool._pixels.std().item() == pytest.approx(1, abs=1e-3)
    pool.close()


def test_constants_that_are_given_are_used():
    pool = make([numbered(17, 23)], normalisation=Normalisation((1.0,), (2.0,)))
    assert pool._pixels.max().item() == (17 * 23 - 1) / 2
    pool.close()


def paired(image, partner, *, rate, patch=(8, 8), spatial="YX", **options):
    blocks = cut_blocks([image], spatial=spatial, patch=patch, partners=[partner])
    usual = {"memory": PLENTY, "seed": 0, "device": CPU, "normalisation": PLAIN}
    return PatchPool(blocks, spatial=spatial, rate=rate, **{**usual, **options})


@pytest.mark.parametrize(
    ("shape", "spatial", "rate", "at", "inside"),
    [
        ((17, 23), "YX", (1, 1), (4, 5), (4, 5)),
        ((17, 23), "YX", (2, 2), (9, 11), (4, 5)),
        ((17, 23), "YX", (3, 3), (50, 68), (16, 22)),
        ((3, 17, 23), "ZYX", (1, 2, 2), (2, 0, 7), (2, 0, 3)),
        ((3, 17, 23), "ZYX", (4, 1, 1), (7, 16, 0), (1, 16, 0)),
    ],
)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_pixel_whose_partner_is_not_finite_is_no_target(shape, spatial, rate, at, inside, value):
    """One bad finer pixel is enough, and no other image pixel loses its part."""
    clean = np.ones([n * r for n, r in zip(shape, rate, strict=True)], np.float32)
    clean[at] = value
    patch = (2, 8, 8)[-len(spatial) :]
    pool = paired(
        numbered(*shape, axes=spatial), open_image(clean, axes=spatial), rate=rate, patch=patch, spatial=spatial
    )
    found = set(pool._pixels[pool._role == NEVER].tolist())
    assert torch.isfinite(pool._partner).all()
    assert found == {1.0 + np.ravel_multi_index(inside, shape)}
    pool.close()


def test_a_partner_is_in_the_units_of_its_image():
    rng = np.random.default_rng(0)
    noisy, clean = rng.normal(500, 20, (64, 64)), rng.normal(530, 10, (128, 128))
    pool = paired(open_image(noisy.astype("f4")), open_image(clean.astype("f4")), rate=(2, 2), normalisation=None)
    assert pool.normalisation.mean[0] == pytest.approx(500, abs=2)
    assert pool._partner.mean().item() == pytest.approx(1.5, abs=0.1)
    assert pool._partner.std().item() == pytest.approx(0.5, abs=0.02)
    pool.close()


def test_channels_of_a_partner_stay_in_their_order():
    pixels = np.stack([np.arange(400.0).reshape(20, 20), 1000 + np.arange(400.0).reshape(20, 20)]).astype("f4")
    image = open_image(pixels, axes="CYX")
    pool = paired(
        image, open_image(pixels + 5000, axes="CYX"), rate=(1, 1), normalisation=Normalisation((0.0,) * 2, (1.0,) * 2)
    )
    batch = pool.draw(16, (8, 8), generator())
    assert torch.equal(batch.partner, batch.pixels + 5000)
    pool.close()


def test_partners_count_towards_the_memory(monkeypatch):
    image = numbered(12, 8, 10, axes="ZYX", chunks=(1, 8, 10))
    finer = numbered(12, 16, 20, axes="ZYX", chunks=(1, 16, 20))
    pool = paired(image, finer, rate=(2, 2), memory=4 * (400 + 1280) + 10)
    assert pool.capacity == 4
    pool.close()


def test_first_blocks_are_as_few_as_their_partners_leave_room_for(monkeypatch):
    monkeypatch.setattr("napari_restore.training.pool._FIRST_BYTES", 3 * 4 * (80 + 320))
    image = numbered(12, 8, 10, axes="ZYX", chunks=(1, 8, 10))
    finer = numbered(12, 16, 20, axes="ZYX", chunks=(1, 16, 20))
    pool = paired(image, finer, rate=(2, 2))
    assert pool._filled == 3
    pool.close()


def test_pixels_of_a_partner_that_are_not_finite_are_counted():
    clean = np.ones((34, 46), np.float32)
    clean[3, 4:7] = np.nan
    pool = paired(numbered(17, 23), open_image(clean), rate=(2, 2))
    assert (pool.unusable, pool.learnable, pool.paired) == (3, True, True)
    pool.close()
    pool = paired(numbered(17, 23), open_image(np.full_like(clean, np.nan)), rate=(2, 2))
    assert not pool.learnable
    pool.close()


@pytest.mark.parametrize("rate", [(2, 1), (1, 3)])
def test_patches_finer_along_one_side_are_flipped_but_not_rotated(rate):
    clean = np.arange(20 * 20 * max(rate), dtype=np.float32).reshape(20 * rate[0], 20 * rate[1])
    pool = paired(numbered(20, 20), open_image(clean), rate=rate)
    batch = pool.draw(64, (8, 8), generator())
    pool.close()
    steps = {abs(int(p[0, 1] - p[0, 0])) for p in batch.pixels[:, 0]}
    assert steps == {1}, "rows are still rows"
    assert batch.partner.shape == (64, 1, 8 * rate[0], 8 * rate[1])


def test_each_image_has_its_own_partner():
    images = [numbered(17, 23), open_image(1000 + numbered(17, 23).read())]
    partners = [open_image(-image.read()) for image in images]
    blocks = cut_blocks(images, spatial="YX", patch=(8, 8), partners=partners)
    pool = PatchPool(blocks, spatial="YX", memory=PLENTY, seed=0, device=CPU, normalisation=PLAIN)
    batch = pool.draw(64, (8, 8), generator())
    assert torch.equal(batch.partner, -batch.pixels)
    assert batch.pixels.max() > 1000 > batch.pixels.min()
    pool.close()


def test_patches_that_must_not_be_turned_lie_as_the_image_does():
    image = numbered(17, 23)
    pool = make([image])
    patches = pool.draw(64, (8, 8), generator(), turn=False).pixels[:, 0].numpy()
    pool.close()
    for patch in patches:
        y, x = divmod(int(patch[0, 0]) - 1, 23)
        assert np.array_equal(patch, image.read(Region((y, x), (y + 8, x + 8))))
