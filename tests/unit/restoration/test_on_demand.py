"""An image restored where it is read is the restored image, whatever part is read."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from napari_restore import restore
from napari_restore.core.errors import ModelError
from napari_restore.core.normalisation import Normalisation
from napari_restore.core.region import Region
from napari_restore.restoration.on_demand import restored_on_demand
from napari_restore.sources import open_image
from napari_restore.store.model import Model, build_method

RNG = np.random.default_rng(0)


def model(name: str, channels: int = 1, **settings) -> Model:
    method = build_method(name, settings, spatial="YX", channels=channels).eval()
    with torch.no_grad():
        for weight in method.parameters():
            weight.normal_(0, 0.05)
    return Model(name, method, Normalisation((100.0,) * channels, (10.0,) * channels))


@pytest.fixture(scope="module", params=["denoised", "finer"])
def case(request):
    if request.param == "denoised":
        stack = RNG.normal(100, 10, (3, 2, 37, 51)).astype(np.float32)
        return open_image(stack, axes="TCYX"), model("noise2noise", 2, width=4, blocks=1)
    stack = RNG.normal(100, 10, (2, 23, 31)).astype(np.uint16)
    return open_image(stack, axes="TYX"), model("supervised", factor=2, width=4, blocks=1)


def test_any_part_is_that_of_the_whole(case):
    image, trained = case
    found = restored_on_demand(image, trained, device=torch.device("cpu"))
    whole = restore(image, trained)
    assert (found.shape, found.axes) == (whole.shape, whole.axes)
    assert list(found.geometry.pixel_size) == list(whole.pixel_size.values())
    expected = found.read()
    assert np.asarray(whole) == pytest.approx(expected, abs=1 if image.dtype.kind == "u" else 1e-3)
    regions = []
    for _ in range(8):
        start = [int(RNG.integers(0, n)) for n in found.shape]
        stop = [int(RNG.integers(a + 1, n + 1)) for a, n in zip(start, found.shape, strict=True)]
        regions.append(Region(tuple(start), tuple(stop)))
    with ThreadPoolExecutor(3) as threads:
        for region, part in zip(regions, threads.map(found.read, regions), strict=True):
            assert part == pytest.approx(expected[region.slices], abs=1e-3)


def test_it_is_another_image_and_lies_nowhere(case):
    image, trained = case
    found = restored_on_demand(image, trained, device=torch.device("cpu"))
    assert (found.location, found.files, found.notes) == (None, (), ())
    assert found.dtype == np.float32 and image.name in found.name


def test_an_image_of_another_kind_is_refused():
    with pytest.raises(ModelError, match="2 channels"):
        restored_on_demand(
            open_image(np.zeros((2, 20, 20), np.float32), axes="CYX"), model("noise2noise"), device=torch.device("cpu")
        )
