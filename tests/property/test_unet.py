"""Tiled = whole: for any image, tile, depth and number of axes."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from napari_restore.core.normalisation import Normalisation
from napari_restore.core.plan import plan_tiles
from napari_restore.core.region import Region
from napari_restore.methods.apply import per_axis, restore_region, restore_samples
from napari_restore.methods.noise2void import Noise2Void, Noise2VoidConfig
from napari_restore.sources import open_image
from napari_restore.sources.padded import read_reflected

SOME = settings(max_examples=12, deadline=None)
CPU = torch.device("cpu")

# Of the output's deviation. Rounding alone gives up to 2e-5 with these random weights; a tile off the grid, or a halo
# too small, gives 0.02 to 2.
CLOSE = 1e-4
KEPT = Normalisation((0.0,), (1.0,))


@st.composite
def cases(draw):
    """An image (odd lengths, single planes), a network and the largest tile."""
    spatial = draw(st.sampled_from(["YX", "ZYX"]))
    depth = draw(st.integers(1, 3 if spatial == "YX" else 2))
    most = 40 if spatial == "YX" else 20
    shape = (draw(st.integers(1, 4)), draw(st.integers(8, most)), draw(st.integers(8, most)))
    largest = (
        1 if spatial == "YX" else draw(st.integers(1, 4)),
        draw(st.integers(1, most)),
        draw(st.integers(9, most)),
    )
    return spatial, depth, shape, largest, draw(st.integers(0, 2**31))


def method_with_statistics(spatial, depth, seed):
    torch.manual_seed(seed)
    method = Noise2Void(Noise2VoidConfig(width=4, depth=depth), spatial=spatial, channels=1)
    for module in method.modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d):
            nn.init.kaiming_normal_(module.weight)  # so that the output varies as much as the input
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return method.eval()


@SOME
@given(cases())
def test_tiles_with_halo_equal_the_whole(case):
    spatial, depth, shape, largest, seed = case
    method = method_with_statistics(spatial, depth, seed)
    image = open_image(np.random.default_rng(seed).normal(size=shape).astype(np.float32), axes="ZYX")
    grid = per_axis("ZYX", spatial, method.grid, default=1)
    radius = per_axis("ZYX", spatial, method.radius, default=0)

    def run(pixels):
        samples = pixels[None, None] if spatial == "ZYX" else pixels[:, None]
        return restore_samples(method, samples, normalisation=KEPT, device=CPU).reshape(pixels.shape)

    whole_plan = plan_tiles(shape, largest=shape, radius=radius, grid=grid)
    assert len(whole_plan) == 1
    whole = run(read_reflected(image, whole_plan.read(0)))[whole_plan.crop(0)]

    plan = plan_tiles(shape, largest=largest, radius=radius, grid=grid)
    tiled = np.full(shape, np.nan, np.float32)
    for index in np.random.default_rng(seed).permutation(len(plan)):
        tiled[plan.write(index).slices] = run(read_reflected(image, plan.read(index)))[plan.crop(index)]
    assert np.abs(tiled - whole).max() <= CLOSE * whole.std()


@SOME
@given(cases(), st.data())
def test_a_region_is_restored_as_in_the_whole_image(case, data):
    spatial, depth, shape, _, seed = case
    method = method_with_statistics(spatial, depth, seed)
    image = open_image(np.random.default_rng(seed).normal(size=shape).astype(np.float32), axes="ZYX")
    ends = [sorted(data.draw(st.tuples(st.integers(0, n - 1), st.integers(1, n)))) for n in shape]
    region = Region(tuple(min(a, b - 1) for a, b in ends), tuple(b for _, b in ends))
    whole = restore_region(method, image, Region.of_shape(shape), normalisation=KEPT, device=CPU)
    part = restore_region(method, image, region, normalisation=KEPT, device=CPU)
    assert part.shape == region.shape
    assert np.abs(part - whole[region.slices]).max() <= CLOSE * whole.std()
