import numpy as np
import pytest
import torch

from napari_restore.core.normalisation import Normalisation
from napari_restore.core.plan import plan_tiles
from napari_restore.core.region import Region
from napari_restore.methods.apply import autocast, per_axis, restore_region, restore_samples
from napari_restore.sources import open_image

CPU = torch.device("cpu")


def image(shape, axes="YX", seed=0):
    rng = np.random.default_rng(seed)
    return open_image((1000 + 50 * rng.normal(size=shape)).astype(np.float32), axes=axes)


def normalisation(channels=1):
    return Normalisation((1000.0,) * channels, (50.0,) * channels)


def restored(method, source, region, channels=1):
    return restore_region(method, source, region, normalisation=normalisation(channels), device=CPU)


@pytest.mark.parametrize(
    ("spatial", "axes", "shape", "depth", "tile"),
    [
        ("YX", "YX", (17, 23), 1, (6, 9)),
        ("YX", "YX", (41, 67), 2, (16, 20)),
        ("YX", "YX", (61, 87), 3, (24, 40)),
        ("ZYX", "ZYX", (5, 17, 23), 1, (2, 8, 8)),
        ("ZYX", "ZYX", (3, 13, 21), 2, (2, 8, 12)),
        ("YX", "XZY", (23, 2, 17), 1, (9, 1, 6)),
    ],
)
def test_regions_put_together_are_the_whole(build, spatial, axes, shape, depth, tile):
    method, source = build(spatial, depth=depth), image(shape, axes)
    grid = per_axis(axes, spatial, method.grid, default=1)
    radius = per_axis(axes, spatial, method.radius, default=0)
    plan = plan_tiles(shape, largest=tile, radius=radius, grid=grid)
    assert len(plan) > 3
    whole = restored(method, source, Region.of_shape(shape))
    together = np.full(shape, np.nan, np.float32)
    for index in range(len(plan)):
        together[plan.write(index).slices] = restored(method, source, plan.write(index))
    # 1e-5 of the output's deviation, and the last bit of values around 1000 (6e-5).
    assert np.abs(together - whole).max() < 1e-5 * whole.std() + 1.3e-4
    assert whole.std() > 1


def test_a_region_off_the_grid_is_that_of_the_whole_image(build):
    method, source = build(depth=3), image((61, 87))
    whole = restored(method, source, Region.of_shape((61, 87)))
    region = Region((13, 29), (14, 58))
    assert np.abs(restored(method, source, region) - whole[region.slices]).max() < 1e-5 * whole.std() + 1.3e-4


def test_restoring_is_in_the_units_of_the_image(build):
    method = build()
    samples = image((16, 16)).read()[None, None]
    out = restore_samples(method, samples, normalisation=normalisation(), device=CPU)
    with torch.no_grad():
        wanted = method.restore(torch.from_numpy((samples - 1000) / 50)).numpy() * 50 + 1000
    assert out.dtype == np.float32
    assert np.allclose(out, wanted, atol=1e-3)


def test_a_constant_channel_comes_back_exactly(build):
    samples = np.full((1, 2, 8, 8), 7.25, np.float32)
    samples[:, 1] = image((8, 8)).read()
    out = restore_samples(
        build(channels=2), samples, normalisation=Normalisation((7.25, 1000.0), (0.0, 50.0)), device=CPU
    )
    assert (out[:, 0] == np.float32(7.25)).all()
    assert out[:, 1].std() > 0


def test_pixels_that_are_not_finite_are_read_as_the_mean_and_spoil_nothing(build):
    method = build()
    samples = image((16, 16)).read()[None, None].copy()
    samples[0, 0, 3, 4], samples[0, 0, 9, 9] = np.nan, -np.inf
    given = samples.copy()
    out = restore_samples(method, samples, normalisation=normalisation(), device=CPU)
    assert np.isfinite(out).all()
    assert np.array_equal(samples, given, equal_nan=True), "the caller's pixels were changed"
    samples[~np.isfinite(samples)] = 1000
    assert np.array_equal(out, restore_samples(method, samples, normalisation=normalisation(), device=CPU))


def test_bfloat16_is_close_and_float32_is_as_without():
    x = torch.randn(64, 64, generator=torch.Generator().manual_seed(0))
    with autocast(CPU, "float32"):
        assert torch.equal(x @ x, torch.mm(x, x))
        exact = x @ x
    with autocast(CPU, "bfloat16"):
        rough = x @ x
    assert rough.dtype == torch.bfloat16
    assert 0 < (rough.float() - exact).abs().max() < 0.05 * exact.abs().max()


def test_values_per_axis():
    assert per_axis("TCZYX", "ZYX", (1, 4, 5), default=0) == (0, 0, 1, 4, 5)
    assert per_axis("XCY", "YX", (4, 5), default=1) == (5, 1, 4)
