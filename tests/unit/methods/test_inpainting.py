"""Inpainting and interpolation: what is hidden, what is chosen by it, and what holds of every result."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
import torch
from scipy import ndimage

from napari_restore.core.errors import RestoreError
from napari_restore.methods import configure, interpolation
from napari_restore.methods.hiding import DEEPEST, SIDE, Shapes, Window, depth_in_gaps, hidden, weights_by_depth
from napari_restore.methods.inpainting import Inpainting, _share
from napari_restore.methods.interpolation import Interpolation
from napari_restore.methods.method import Batch
from napari_restore.methods.similar_patches import THOROUGH
from napari_restore.methods.without_gaps import closed
from napari_restore.metrics.noise_level import estimate
from napari_restore.sources import open_image
from napari_restore.store.model import build_method


def texture(shape: tuple[int, ...] = (64, 72)) -> np.ndarray:
    y, x = np.meshgrid(*(np.arange(n) for n in shape[-2:]), indexing="ij")
    plane = 100 + 20 * np.sin(y / 5.0) * np.cos(x / 7.0)
    return np.broadcast_to(plane, shape).astype(np.float32).copy()


def gapped(shape: tuple[int, ...] = (64, 72), share: float = 0.2) -> np.ndarray:
    image = texture(shape)
    image[np.random.default_rng(0).random(shape) < share] = np.nan
    return image


def built(image: np.ndarray, axes: str, name: str = "inpainting", **settings: object) -> Interpolation:
    kind = Inpainting if name == "inpainting" else Interpolation
    fit = kind.fit_to(configure(name, settings), [open_image(image, axes=axes)])
    channels = image.shape[axes.index("C")] if "C" in axes else 1
    method = build_method(name, fit.config, spatial=fit.spatial, channels=channels, seed=0)
    assert isinstance(method, Interpolation)
    return method


def units(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy((image - 100) / 20)[None, None]


def woken(method: Interpolation) -> Interpolation:
    """With a network that adds something: its last layer begins at 0."""
    torch.manual_seed(1)
    torch.nn.init.normal_(method.network.head.weight, std=0.1)
    return method.eval().requires_grad_(False)


@pytest.mark.parametrize(("axes", "shape"), [("YX", (64, 72)), ("ZYX", (7, 40, 44))])
@pytest.mark.parametrize("name", ["inpainting", "interpolation"])
def test_what_is_there_stays_and_what_is_missing_is_filled(axes: str, shape: tuple[int, ...], name: str) -> None:
    image = gapped(shape)
    method = built(image, axes, name, dimensions=len(axes))
    pixels = units(image)
    if name == "inpainting":
        woken(method)
    found = method.restore(pixels)
    known = torch.isfinite(pixels)
    assert torch.isfinite(found).all()
    assert torch.equal(found[known], pixels[known])
    assert not torch.equal(found, method.plain(pixels)) or name == "interpolation"


def test_an_untrained_network_is_the_interpolation() -> None:
    image = gapped()
    pixels = units(image)
    assert torch.equal(built(image, "YX").restore(pixels), built(image, "YX", "interpolation").restore(pixels))


def test_a_hidden_pixel_never_sees_itself() -> None:
    """Not by value: another one in its place changes nothing of what is predicted."""
    method = woken(built(gapped(), "YX"))
    pixels = units(texture())
    known = torch.from_numpy(np.random.default_rng(3).random(pixels.shape) < 0.7)
    other = torch.where(known, pixels, pixels + 5)
    for one, two in zip(method._parts(pixels, known), method._parts(other, known), strict=True):
        assert torch.equal(one, two)


def noisy(seed: int = 0, noise: float = 8.0) -> np.ndarray:
    """A quarter of the pixels missing, and noise of 0.4 of the deviation in the others."""
    rng = np.random.default_rng(seed)
    image = texture((96, 104)) + rng.normal(0, noise, (96, 104)).astype(np.float32)
    return np.where(rng.random(image.shape) < 0.25, np.float32(np.nan), image)


def test_where_noise_counts_a_denoiser_predicts_and_elsewhere_a_network_adds() -> None:
    counts, none = built(noisy(), "YX"), built(gapped(), "YX")
    assert counts.denoiser is not None and counts.network is None
    assert none.denoiser is None and none.network is not None
    settled = dict(counts.config.denoiser)
    assert settled["sigma"][0] == pytest.approx(8, rel=0.15) and settled["combine"] == "yes"


def test_patches_that_look_alike_are_left_out_of_denoising_too_where_that_is_asked() -> None:
    settled = built(noisy(), "YX", denoise=True, similar="no").config
    assert settled.similar == "no" and dict(settled.denoiser)["similar"] == "no"


def test_noise_is_taken_away_only_when_asked() -> None:
    image = noisy()
    kept, denoised = (built(image, "YX", denoise=each) for each in (False, True))
    assert kept.keeps and not denoised.keeps
    pixels, clean, known = units(image), units(texture((96, 104))), torch.isfinite(units(image))
    same, found = (method.requires_grad_(False).restore(pixels) for method in (kept, denoised))
    assert torch.equal(same[known], pixels[known]) and torch.isfinite(same).all()
    before, after = (float((each - clean)[known].square().mean()) for each in (pixels, found))
    assert after < 0.3 * before


def test_a_plane_of_a_stack_is_denoised_as_it_is_alone() -> None:
    stack = np.stack([noisy(k) for k in range(7)])
    method = built(stack, "ZYX", dimensions=3, denoise=True)
    planes = torch.from_numpy(np.nan_to_num(stack - 100) / 20)[None, None]
    assert method.denoiser is not None
    over = method._over_planes(method.denoiser.restore, planes)
    assert over.shape == planes.shape
    assert torch.allclose(over[:, :, 3], method.denoiser.restore(planes[:, :, 3]), atol=1e-5)
    assert method.restore(torch.from_numpy((stack - 100) / 20)[None, None]).isfinite().all()


def test_what_was_learned_of_noisy_pixels_is_used_as_far_as_it_comes_nearer() -> None:
    method = built(noisy(), "YX").requires_grad_(False)
    pixels = units(noisy()).repeat(6, 1, 1, 1)
    held = torch.from_numpy(np.random.default_rng(5).random((6, 1, 96, 104)) < 0.3) & torch.isfinite(pixels)
    method.finish(Batch(pixels, held))
    (share,) = method.config.trust
    assert 0 < share <= 1 and method.config.contrasts == ()
    assert dict(method.config.denoiser)["told"]  # what is settled after training is kept with its settings
    assert any("by a share of" in note.text for note in method.remarks())


@pytest.mark.parametrize("share", [0.02, 0.25, 0.5])
@pytest.mark.parametrize("gain", [0.0, 4.0])
def test_noise_is_measured_whatever_is_missing(share: float, gain: float) -> None:
    """Among gaps, in which no block of pixels is whole, as in the whole image."""
    rng = np.random.default_rng(7)
    clean = np.repeat(np.repeat(rng.uniform(20, 200, (8, 8)), 32, 0), 32, 1)
    image = (gain * rng.poisson(clean / gain) if gain else clean + rng.normal(0, 6, clean.shape)).astype(np.float32)
    gone = rng.random(image.shape) < share
    window = Window(np.where(gone, np.float32(np.nan), image)[None], gone[None])
    (found,) = closed([window])
    assert np.array_equal(found[0, 0][~gone], image[~gone]) and np.isfinite(found).all()
    whole, among = (estimate([plane]) for plane in (image, found[0, 0]))
    assert among.reliable and among.white and among.sigma == pytest.approx(whole.sigma, rel=0.06)
    assert (among.gain > 0) == (gain > 0)


@pytest.mark.parametrize("deep", [False, True])
def test_hidden_shapes_are_those_of_what_is_missing(deep: bool) -> None:
    """A row stays a row, wherever it is moved."""
    masks = np.zeros((1, 7 if deep else 1, SIDE, SIDE), bool)
    masks[0, :, 10:14] = True
    size = (7, 48, 80) if deep else (48, 80)
    found = hidden(torch.from_numpy(masks), 20, size, torch.Generator().manual_seed(0)).numpy()
    assert found.shape == (20, 1, *size) and found.any()
    assert np.array_equal(found.any(-1), found.all(-1))


def test_shapes_survive_the_model_file() -> None:
    method = built(gapped(), "YX")
    config = method.config
    again = configure("inpainting", json.loads(json.dumps(asdict(config))))
    assert again == config
    masks = Shapes.unpacked(config.shapes).masks
    assert Shapes(masks).packed() == config.shapes and masks.any()


def test_the_rule_is_the_one_that_misses_hidden_pixels_least() -> None:
    rng = np.random.default_rng(0)
    smooth, noisy = gapped(), gapped() * 0 + rng.normal(0, 20, (64, 72)).astype(np.float32)
    assert built(smooth, "YX", "interpolation").config.rule == "biharmonic"
    assert built(noisy, "YX", "interpolation").config.rule == "harmonic"
    stack = texture((9, 40, 44))
    stack[[2, 6]] = np.nan
    lost = built(stack, "ZYX", "interpolation")
    assert (lost.spatial, lost.config.rule) == ("ZYX", "between")


def _batch(method: Interpolation) -> Batch:
    pixels = units(gapped()).repeat(6, 1, 1, 1)
    held = torch.from_numpy(np.random.default_rng(5).random((6, 1, 64, 72)) < 0.3) & torch.isfinite(pixels)
    return Batch(pixels, held)


def test_a_network_that_makes_it_worse_is_not_used() -> None:
    method = woken(built(gapped(), "YX"))
    method.finish(_batch(method))
    assert set(method.config.trust) == {0.0}
    pixels = units(gapped())
    assert torch.equal(method.restore(pixels), method.plain(pixels))


def test_a_correction_is_used_where_it_helps_and_not_elsewhere() -> None:
    left, further, patch = torch.ones(100), torch.full((100,), 2.0), torch.arange(100) // 5
    alike = torch.ones(100)
    assert _share(left, further, alike, patch) == pytest.approx(0.5)
    assert _share(left, -further, alike, patch) == 0
    assert _share(left, further, alike, patch // 5) == 0  # too few patches to tell


def test_pixels_of_one_patch_are_one_witness() -> None:
    """A gain in one of nine patches, however many pixels that has, is chance."""
    left, patch = torch.zeros(900), torch.arange(900) // 100
    left[:100], further = 2.0, torch.ones(900)
    assert _share(left, further, torch.ones(900), patch) == 0
    assert _share(left, further, torch.ones(900), torch.arange(900)) > 0


def test_hidden_pixels_count_by_how_deep_they_lie() -> None:
    """Where only shallow ones help, and few of the missing pixels are shallow, nothing is used."""
    further, patch = torch.ones(1000), torch.arange(1000) // 10
    shallow = torch.arange(1000) % 10 < 7
    left = torch.where(shallow, 1.0, -1.0)
    depth = torch.where(shallow, 1, 2)
    count = depth.bincount(minlength=DEEPEST + 1)[1:].double()
    weights = [weights_by_depth(count, d)[depth - 1] for d in ((), (0.2, 0.8, *(0.0,) * 6))]
    plain, by_depth = (_share(left, further, w, patch) for w in weights)
    assert plain > 0.3 and by_depth == 0


def test_depth_in_gaps_is_the_distance_of_a_king() -> None:
    missing = np.random.default_rng(1).random((3, 40, 44)) < 0.9
    wanted = [ndimage.distance_transform_cdt(each, metric="chessboard").clip(max=DEEPEST) for each in missing]
    assert np.array_equal(depth_in_gaps(torch.from_numpy(missing)).numpy(), np.stack(wanted))


def test_patches_that_look_alike_are_used_where_they_come_nearer() -> None:
    y, x = np.mgrid[:128, :128]
    ripples = (100 + 20 * np.sin(y * 1.9) * np.cos(x * 1.6)).astype(np.float32)  # too fine for a smooth surface
    image = np.where(np.random.default_rng(0).random(ripples.shape) < 0.25, np.float32(np.nan), ripples)
    used, unused = (built(image, "YX", "interpolation", similar=each) for each in ("auto", "no"))
    assert used.patches and not unused.patches
    assert used.radius[0] > unused.radius[0] and used.grid == (THOROUGH.step, THOROUGH.step) and unused.grid == (1, 1)
    gone = torch.from_numpy(~np.isfinite(image))
    errors = [float((m.restore(units(image)) - units(ripples))[0, 0][gone].square().mean()) for m in (used, unused)]
    assert errors[0] < 0.5 * errors[1]


def test_large_images_are_not_searched_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interpolation, "_QUICKLY", 64 * 72 - 1)
    fit = Interpolation.fit_to(configure("interpolation", {}), [open_image(gapped(), axes="YX")])
    assert fit.config.similar == "no" and any("`similar` yes" in note.text for note in fit.notes)


def test_nothing_missing_is_refused_with_what_to_do() -> None:
    for name, kind in (("inpainting", Inpainting), ("interpolation", Interpolation)):
        with pytest.raises(RestoreError, match=r"nothing is missing.*`mask`"):
            kind.fit_to(configure(name, {}), [open_image(texture(), axes="YX")])


def test_wide_gaps_are_said_to_be_bridged_only() -> None:
    image = texture((200, 200))
    image[20:150, 30:160] = np.nan
    fit = Interpolation.fit_to(configure("interpolation", {}), [open_image(image, axes="YX")])
    assert any("only bridged" in note.text for note in fit.notes)
