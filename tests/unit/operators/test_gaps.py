"""What lies in gaps: against the exact solution, and what holds for any shape."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.restoration import inpaint_biharmonic

from napari_restore.methods.llvm import keep_llvms_apart
from napari_restore.operators import gaps


def filled(image: np.ndarray, missing: np.ndarray, rule: str) -> np.ndarray:
    pixels = torch.from_numpy(np.where(missing, np.nan, image).astype(np.float32))[None, None]
    return gaps.fill(pixels, torch.isfinite(pixels), rule)[0, 0].numpy()


def smooth_image(shape: tuple[int, ...]) -> np.ndarray:
    axes = np.meshgrid(*(np.linspace(0, 3, n) for n in shape), indexing="ij")
    return sum(np.sin(a + k) for k, a in enumerate(axes))


@pytest.mark.parametrize("kind", ["random", "lines", "blob"])
def test_biharmonic_is_that_of_scikit_image(kind: str) -> None:
    rng = np.random.default_rng(0)
    image = smooth_image((60, 52)) + 0.1 * rng.normal(size=(60, 52))
    missing = rng.random(image.shape) < 0.25 if kind == "random" else np.zeros(image.shape, bool)
    if kind == "lines":
        missing[20:24] = missing[40] = True
    if kind == "blob":
        missing[20:26, 20:26] = True
    exact = inpaint_biharmonic(image, missing)
    found = filled(image, missing, "biharmonic")
    assert missing.any()
    assert np.sqrt(np.mean((found - exact)[missing] ** 2)) < 0.02 * image.std()


def test_harmonic_lies_between_the_values_around_it() -> None:
    rng = np.random.default_rng(0)
    image = rng.normal(size=(40, 40))
    missing = np.zeros(image.shape, bool)
    missing[10:15, 8:30] = True
    found = filled(image, missing, "harmonic")
    assert image.min() <= found[missing].min() and found[missing].max() <= image.max()


@pytest.mark.parametrize("rule", ["harmonic", "biharmonic"])
def test_a_graph_fills_alike_and_has_its_steps_in_a_loop(rule: str) -> None:
    class Fills(torch.nn.Module):
        def forward(self, pixels: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
            return gaps.fill(pixels, known, rule)

    image = smooth_image((3, 23))
    missing = np.zeros(image.shape, bool)
    missing[:2, :5] = missing[1, 9:14] = missing[:, -1] = True
    given = torch.from_numpy(image)[None, None].float(), torch.from_numpy(~missing)[None, None]
    keep_llvms_apart()  # a viewer may have been drawn in this process
    graph = torch.export.export(Fills(), given, strict=False).module()
    assert np.abs(graph(*given)[0, 0].numpy() - filled(image, missing, rule)).max() <= 1e-5
    assert len(list(graph.graph.nodes)) < 400, "of steps one by one there are a thousand"


@settings(max_examples=25, deadline=None)
@given(
    st.tuples(st.integers(1, 4), st.integers(1, 23), st.integers(1, 23)),
    st.sampled_from(["biharmonic", "harmonic", "between"]),
    st.floats(0, 1),
    st.integers(0, 99),
)
def test_known_pixels_stay_and_constants_are_continued(
    shape: tuple[int, ...], rule: str, share: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    missing = rng.random(shape) < share
    image = rng.normal(size=shape).astype(np.float32)
    found = filled(image, missing, rule)
    assert np.isfinite(found).all()
    assert np.array_equal(found[~missing], image[~missing])
    if not missing.all():
        flat = filled(np.full(shape, 3.0), missing, rule)
        assert np.all((np.abs(flat - 3) < 1e-3) | (missing & (flat == 0)))


def test_lost_planes_are_on_the_line_between_their_neighbours() -> None:
    image = np.arange(7, dtype=np.float32)[:, None, None] * np.ones((7, 9, 9), np.float32)
    missing = np.zeros(image.shape, bool)
    missing[[2, 3]] = True
    for rule in ("between", "biharmonic"):  # over Y and X there is nothing to go by
        assert np.allclose(filled(image, missing, rule), image, atol=1e-5)


@pytest.mark.parametrize("rule", ["biharmonic", "harmonic"])
def test_no_pixel_looks_farther_than_the_reach(rule: str) -> None:
    """Of gaps that are not wider than that."""
    rng = np.random.default_rng(0)
    image = rng.normal(size=(180, 40))
    missing = rng.random(image.shape) < 0.3
    missing[100:108] = True
    whole = filled(image, missing, rule)
    part = slice(90, 120)
    seen = slice(90 - gaps.REACH, 120 + gaps.REACH)
    cut = filled(image[seen], missing[seen], rule)[gaps.REACH : gaps.REACH + 30]
    assert np.abs(cut - whole[part]).max() < 1e-4
