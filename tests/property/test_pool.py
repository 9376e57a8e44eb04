"""Blocks and patches, for images of any shape."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_restore.core.errors import ImageError
from napari_restore.core.normalisation import Normalisation
from napari_restore.sources import open_image
from napari_restore.training.pool import PatchPool, cut_blocks, held_out
from napari_restore.training.settings import fit_patch

SOME = settings(max_examples=30, deadline=None)
CPU = torch.device("cpu")


@st.composite
def images(draw, axes=None):
    """Every pixel has its own value, its place in C order; chunks of any size."""
    letters = axes or "".join(draw(st.permutations("YX" + "".join(draw(st.sets(st.sampled_from("TZ")))))))
    shape = tuple(draw(st.integers(8, 33)) if a in "YX" else draw(st.integers(1, 4)) for a in letters)
    image = open_image(np.arange(1, 1 + np.prod(shape), dtype=np.float32).reshape(shape), axes=letters)
    return replace(image, chunks=tuple(draw(st.integers(1, n)) for n in shape))


def spatial_of(image):
    return "ZYX" if "Z" in image.axes else "YX"


def usual(spatial):
    return {2: (64, 64), 3: (16, 48, 48)}[len(spatial)]


@SOME
@given(images())
def test_equal_blocks_cover_every_pixel(image):
    spatial = spatial_of(image)
    patch = fit_patch([image], spatial=spatial, grid=(1, 4, 4)[-len(spatial) :], asked=None, usual=usual(spatial))
    blocks = cut_blocks([image], spatial=spatial, patch=patch)
    count = np.zeros(image.shape, int)
    for block in blocks:
        assert block.region.inside(image.shape)
        count[block.region.slices] += 1
    assert count.min() >= 1
    assert len({b.region.shape for b in blocks}) == 1


@SOME
@given(images(), st.integers(0, 2**32), st.integers(1, 6))
def test_patches_are_boxes_of_the_image(image, seed, blocks_in_memory):
    """Neighbours in a patch are neighbours in the image along the same axis (or the other one, where turned)."""
    spatial = spatial_of(image)
    patch = fit_patch([image], spatial=spatial, grid=(1, 2, 2)[-len(spatial) :], asked=None, usual=usual(spatial))
    blocks = cut_blocks([image], spatial=spatial, patch=patch)
    memory = blocks_in_memory * blocks[0].region.size * 5
    kept = Normalisation((0.0,), (1.0,))
    pool = PatchPool(blocks, spatial=spatial, memory=memory, seed=seed, device=CPU, normalisation=kept)
    rng = torch.Generator().manual_seed(seed)
    for step in range(4):
        pool.advance(step)
        batch = pool.draw(4, patch, rng)
        assert batch.pixels.shape == (4, 1, *patch)
        for values in batch.pixels[:, 0].numpy():
            _is_a_box(values.astype(np.int64) - 1, image, spatial)
    pool.close()


def _is_a_box(places, image, spatial):
    where = dict(zip(image.axes, np.unravel_index(places, image.shape), strict=True))
    for axis in image.axes:
        if axis not in spatial:
            assert len(np.unique(where[axis])) == 1
    straight = all(_runs_along(where[a], i) for i, a in enumerate(spatial))
    turned = [*range(len(spatial) - 2), len(spatial) - 1, len(spatial) - 2]
    assert straight or all(_runs_along(where[a], i) for a, i in zip(spatial, turned, strict=True))


def _runs_along(coordinate, axis):
    """Goes up or down by one along this axis and stays the same along all others."""
    steps = [np.diff(coordinate, axis=i) for i in range(coordinate.ndim)]
    own = steps.pop(axis)
    return all((s == 0).all() for s in steps) and ((own == 1).all() or (own == -1).all())


@SOME
@given(
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 20), st.integers(0, 15)), min_size=1, max_size=3),
    st.integers(0, 2**63),
)
def test_boxes_that_overlap_agree_on_what_is_held_out(axes, seed):
    corner, shape, shift = zip(*axes, strict=True)
    one = held_out(shape, corner, seed=seed)
    other = held_out(shape, [c + s for c, s in zip(corner, shift, strict=True)], seed=seed)
    common = [max(0, n - s) for n, s in zip(shape, shift, strict=True)]
    here = one[tuple(slice(s, s + c) for s, c in zip(shift, common, strict=True))]
    there = other[tuple(slice(0, c) for c in common)]
    assert np.array_equal(here, there)


RATES = {2: [(1, 1), (2, 2), (3, 3), (2, 1)], 3: [(1, 1, 1), (2, 2, 2), (1, 2, 2), (4, 1, 1), (1, 1, 3)]}


@st.composite
def pairs(draw):
    """An image and its partner on a finer grid, each pixel with its place in its own array."""
    image = draw(images())
    spatial = spatial_of(image)
    rate = draw(st.sampled_from(RATES[len(spatial)]))
    finer = dict(zip(spatial, rate, strict=True))
    shape = tuple(n * finer.get(a, 1) for a, n in zip(image.axes, image.shape, strict=True))
    partner = open_image(np.arange(1, 1 + np.prod(shape), dtype=np.float32).reshape(shape), axes=image.axes)
    return image, replace(partner, chunks=tuple(draw(st.integers(1, n)) for n in shape)), rate


def paired_pool(pair, *, seed, blocks_in_memory, patch):
    image, partner, rate = pair
    spatial = spatial_of(image)
    blocks = cut_blocks([image], spatial=spatial, patch=patch, partners=[partner])
    memory = blocks_in_memory * blocks[0].region.size * (5 + 4 * int(np.prod(rate)))
    kept = Normalisation((0.0,), (1.0,))
    return PatchPool(blocks, spatial=spatial, memory=memory, seed=seed, device=CPU, normalisation=kept, rate=rate)


@SOME
@given(pairs(), st.integers(0, 2**32), st.integers(1, 6), st.booleans())
def test_a_partner_patch_holds_the_finer_pixels_of_its_patch(pair, seed, blocks_in_memory, turn):
    """Place by place, flipped and turned alike; held-out patches too."""
    image, partner, rate = pair
    spatial = spatial_of(image)
    patch = fit_patch([image], spatial=spatial, grid=(1, 2, 2)[-len(spatial) :], asked=None, usual=usual(spatial))
    pool = paired_pool(pair, seed=seed, blocks_in_memory=blocks_in_memory, patch=patch)
    rng = torch.Generator().manual_seed(seed)
    for step in range(3):
        pool.advance(step)
        for batch in (pool.draw(3, patch, rng, turn=turn), pool.draw_held_out(2, patch, rng)):
            count = len(batch.pixels)
            assert batch.partner.shape == (count, 1, *(n * r for n, r in zip(patch, rate, strict=True)))
            for pixels, finer in zip(batch.pixels[:, 0].numpy(), batch.partner[:, 0].numpy(), strict=True):
                wanted = _finer_places(pixels.astype(np.int64) - 1, image, partner.shape, spatial, rate)
                # A single plane does not tell whether it was flipped; its finer ones do.
                ways = [wanted, wanted[::-1]] if patch[0] == 1 and turn else [wanted]
                assert any(np.array_equal(finer.astype(np.int64) - 1, way) for way in ways)
    pool.close()


def _finer_places(places, image, finer_shape, spatial, rate):
    """For a patch of places in the image, the places in the finer array of the pixels that each one is made of."""
    where = dict(zip(image.axes, np.unravel_index(places, image.shape), strict=True))
    for a, coordinate in where.items():
        fine = coordinate
        for i, r in enumerate(rate):
            fine = fine.repeat(r, i)
        if a in spatial:
            along = next((i for i in range(places.ndim) if np.diff(coordinate, axis=i).any()), spatial.index(a))
            r = rate[spatial.index(a)]
            inside = np.arange(fine.shape[along]) % r
            if np.diff(coordinate, axis=along).sum() < 0:
                inside = r - 1 - inside
            fine = fine * r + inside.reshape([-1 if i == along else 1 for i in range(places.ndim)])
        where[a] = fine
    return np.ravel_multi_index([where[a] for a in image.axes], finer_shape)


@SOME
@given(pairs(), st.integers(0, 2**32), st.integers(1, 4), st.integers(0, 40))
def test_skipping_gives_the_partners_of_a_pool_that_was_walked_through(pair, seed, blocks_in_memory, steps):
    image = pair[0]
    spatial = spatial_of(image)
    patch = fit_patch([image], spatial=spatial, grid=(1, 2, 2)[-len(spatial) :], asked=None, usual=usual(spatial))
    walked, skipped = (paired_pool(pair, seed=seed, blocks_in_memory=blocks_in_memory, patch=patch) for _ in range(2))
    for step in range(steps):
        walked.advance(step)
    skipped.skip(steps)
    for step in range(steps, steps + 10):
        for pool in (walked, skipped):
            pool.advance(step)
        one, other = (p.draw(2, patch, torch.Generator().manual_seed(step)) for p in (walked, skipped))
        assert torch.equal(one.pixels, other.pixels) and torch.equal(one.target, other.target)
        assert torch.equal(one.partner, other.partner)
    walked.close()
    skipped.close()


def test_a_block_that_cannot_be_read_for_a_moment_is_read_again_and_one_that_never_can_ends_it(monkeypatch):
    """Also the partner's, in the thread that reads ahead."""
    waited = []
    monkeypatch.setattr("napari_restore.sources.retrying.time.sleep", waited.append)
    pixels = np.random.default_rng(0).normal(size=(6, 32, 32)).astype(np.float32)
    image = open_image(pixels, axes="ZYX")

    def stumbling(times):
        asked = Counter()

        def read(region):
            asked[region] += 1
            if asked[region] <= times:
                raise ImageError("away")
            return image.reader(region)

        return replace(image, reader=read)

    def filled(read):
        blocks = cut_blocks([read], spatial="YX", patch=(16, 16), partners=[read])
        pool = PatchPool(blocks, spatial="YX", memory=3 * 32 * 32 * 9, seed=0, device=CPU, rate=(1, 1))
        for step in range(20):
            pool.advance(step)
        batch = pool.draw(8, (16, 16), torch.Generator().manual_seed(0))
        pool.close()
        return batch

    found, expected = filled(stumbling(2)), filled(image)
    assert torch.equal(found.pixels, expected.pixels) and torch.equal(found.partner, expected.partner)
    assert set(waited) == {0.1, 1.0}
    with pytest.raises(ImageError, match="away"):
        filled(stumbling(10))


@SOME
@given(images(), st.sampled_from([1, 2]), st.integers(0, 2**32), st.integers(1, 6))
def test_patches_with_planes_beside_are_mirrored_at_the_ends_of_the_image_alone(image, beside, seed, blocks_in_memory):
    """No plane is its own neighbour, and where the image goes on, its neighbours are what lies there."""
    axis = next((a for a in "ZT" if a in image.axes and image.geometry.length(a) > beside), None)
    if axis is None:
        return
    spatial, usual = f"{axis}YX", (2 * beside + 1, 64, 64)
    patch = fit_patch([image], spatial=spatial, grid=(1, 2, 2), asked=None, usual=usual, beside=beside)
    assert patch[0] == 2 * beside + 1
    blocks = cut_blocks([image], spatial=spatial, patch=patch)
    memory, kept = blocks_in_memory * blocks[0].region.size * 5, Normalisation((0.0,), (1.0,))
    options = {"spatial": spatial, "memory": memory, "seed": seed, "device": CPU, "normalisation": kept}
    pool, rng = PatchPool(blocks, **options, beside=beside), torch.Generator().manual_seed(seed)
    n, at, middles = image.geometry.length(axis), image.axes.index(axis), set()
    for step in range(4):
        pool.advance(step)
        for batch in (pool.draw(8, patch, rng), pool.draw_held_out(2, patch, rng)):
            places = np.unravel_index(batch.pixels[:, 0].numpy().astype(np.int64) - 1, image.shape)[at]
            planes = places[:, :, 0, 0]
            assert (places == planes[:, :, None, None]).all()
            for patch_of in planes:
                middle = patch_of[beside]
                middles.add(int(middle))
                wanted = [reflected_by_hand(middle + d, n, beside) for d in range(-beside, beside + 1)]
                assert list(patch_of) in (wanted, wanted[::-1])
        assert not batch.target[:, :, :beside].any() and not batch.target[:, :, -beside:].any()
        own = batch.hidden // (patch[1] * patch[2])
        assert (own == beside).all()
    if pool.resident and n <= 4:
        assert len(middles) >= 2
    pool.close()


def reflected_by_hand(index, n, beside):
    if index < 0:
        return min(beside - 1 - index, n - 1)
    return max(2 * n - 1 - beside - index, 0) if index >= n else index
