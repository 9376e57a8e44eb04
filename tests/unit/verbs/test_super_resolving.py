"""What super-resolving asks of finer planes: how thick planes are, and what comes of it."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import numpy as np
import pytest

from napari_restore import super_resolve
from napari_restore.core.errors import RestoreError
from napari_restore.methods.finer_planes import settled_thickness
from napari_restore.operators.downsample import Downsample
from napari_restore.operators.inverse import CubicUpsampling
from napari_restore.sources import open_image
from napari_restore.sources.optics import ChannelOptics, Optics
from napari_restore.sources.samples import microscopy_stack
from napari_restore.verbs.super_resolving import SuperResolve, in_planes, with_thickness

STACK = np.random.default_rng(0).normal(100, 5, (4, 40, 44)).astype(np.float32)
SIZED = open_image(STACK, axes="ZYX", pixel_size={"Z": 0.5, "Y": 0.1, "X": 0.1})


@pytest.mark.parametrize(
    ("given", "planes"),
    [(1, 1), (0, 0), ("0.75", 0.75), ("1e0", 1), ("0.8um", 1.6), ("500 nm", 1), (" .25 µm ", 0.5), ("0.001 mm", 2)],
)
def test_a_thickness_is_a_number_of_planes_or_a_length(given, planes):
    assert in_planes(given, SIZED) == pytest.approx(planes)
    asked = with_thickness(SuperResolve(factor={"Z": 2}, thickness=given), SIZED).lesson()
    assert asked == ("finer_planes", {"factor": {"Z": 2}, "noise": "auto", "thickness": pytest.approx(planes)})


@pytest.mark.parametrize("given", ["thick", "-1", "2 parsnips", "um", "1;2", "nan"])
def test_what_is_no_thickness_is_refused_with_what_is_one(given):
    with pytest.raises(RestoreError, match=f"`thickness` {re.escape(repr(given))}: .* 0.8um or 5mm"):
        in_planes(given, SIZED)


def test_a_length_needs_planes_of_known_distance():
    with pytest.raises(RestoreError, match=r"how far apart the planes .* not known\. Give `pixel_size`"):
        in_planes("5mm", open_image(STACK, axes="ZYX"))


def test_a_thickness_past_what_there_is_to_see_is_refused():
    with pytest.raises(RestoreError, match=r"`thickness` 2\.5: 2\.5 distances between planes, and at most 2"):
        super_resolve(STACK, factor={"Z": 2}, axes="ZYX", thickness=2.5, steps=1)
    with pytest.raises(RestoreError, match="`thickness` 9um: 18 distances"):
        in_planes("9um", SIZED)


@pytest.mark.parametrize("factor", [2, {"Z": 2, "Y": 2}])
def test_it_is_of_planes_that_become_finer_along_z_alone(factor):
    with pytest.raises(RestoreError, match="`thickness` 1 with `factor`"):
        SuperResolve(factor=factor, thickness=1).lesson()
    assert "thickness" not in SuperResolve(factor=factor).lesson()[1]


def test_metadata_say_how_thick_planes_are_or_they_touch():

    thickness, (said,) = settled_thickness("auto", replace(SIZED, thickness=0.3))
    assert thickness == pytest.approx(0.6) and "by the metadata" in said.text
    optics = Optics(na=0.8, immersion="air", channels=(ChannelOptics(emission=0.6), ChannelOptics(emission=0.5)))
    thickness, (said,) = settled_thickness(
        "auto", replace(open_image(STACK, axes="ZYX", pixel_size=(1.0, 0.1, 0.1)), read_optics=lambda: optics)
    )
    assert (
        thickness == pytest.approx(math.sqrt((0.88 * 0.5 / 0.4) ** 2 - (0.51 * 0.5 / 0.8) ** 2), abs=1e-3)
        and "by the metadata" in said.text
    )
    thickness, (said,) = settled_thickness("auto", SIZED)
    assert thickness == 1 and "give `thickness`" in said.text
    assert settled_thickness(0.0, replace(SIZED, thickness=0.3)) == (0, ())


def test_thick_planes_come_back_better_than_by_cubic_interpolation():
    """In a hundred steps; the mean of its finer planes is the measured plane."""
    import torch

    clean = microscopy_stack(shape=(32, 64, 64), seed=5)[0]
    measured = Downsample((4, 1, 1), sampling="area")(torch.from_numpy(clean)[None, None])
    cubic = CubicUpsampling((4, 1, 1), centred=(True, True, True))(measured)[0, 0].numpy()
    result = super_resolve(
        measured[0, 0].numpy(), factor={"Z": 4}, axes="ZYX", steps=100, noise=0, width=12, blocks=1, device="cpu"
    )
    found = np.asarray(result)
    error, plain = (np.mean((each - clean)[4:-4] ** 2) for each in (found, cubic))
    assert 10 * np.log10(plain / error) > 1.5
    off = found.reshape(8, 4, 64, 64).mean(1) - measured[0, 0].numpy()
    assert np.std(off) < 0.02 * np.std(clean)
    assert result.model.method.config.thickness == 1
