"""Planes beside a plane are seen; of its own, a hidden pixel is not, and tiles are the whole."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from napari_restore import denoise, load_model, restore, train
from napari_restore.core.errors import ImageError, ModelError, RestoreError
from napari_restore.core.normalisation import Normalisation
from napari_restore.methods import configure, find
from napari_restore.methods.method import Batch
from napari_restore.methods.neighbours import axis_for, beside, in_place, own
from napari_restore.methods.noise2void import draw_hidden
from napari_restore.methods.posterior import _PHASES
from napari_restore.restoration.part import part_of
from napari_restore.sources import open_image
from napari_restore.store.model import Model, build_method

METHODS = ["posterior", "noise2void2"]
SHOWN = [*METHODS, "supervised_denoising"]
"""The last hides nothing."""


def built(name, count, *, spatial="ZYX", channels=1, seed=0):
    """With weights that are not zero anywhere, as after training."""
    settled = {"dimensions": "2", "neighbours": str(count), "depth": 1, "width": 4}
    if name == "posterior":
        numbers = {"sigma": 0.4, "gain": 0.0, "offset": 0.0, "mean": 0.0, "std": 1.0}
        settled |= {"combine": "yes", **{k: (v,) * channels for k, v in numbers.items()}}
    method = build_method(name, settled, spatial=spatial, channels=channels, seed=seed)
    torch.manual_seed(seed)
    for parameter in method.parameters():
        torch.nn.init.normal_(parameter, std=0.1 if name == "supervised_denoising" else 0.2)  # none as far as outliers
    return method.eval()


def stack(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("count", [1, 2])
def test_planes_come_with_their_neighbours_and_go_back_in_place(count):
    pixels = stack(2, 1, 7, 4, 6)
    planes = beside(pixels, count)
    assert planes.shape == (2 * (7 - 2 * count), 2 * count + 1, 4, 6)
    assert torch.equal(in_place(planes[:, count : count + 1], 2), own(pixels, count))
    for offset in range(-count, count + 1):
        wanted = pixels[:, :, count + offset : 7 - count + offset]
        assert torch.equal(in_place(planes[:, count + offset][:, None], 2), wanted)


@pytest.mark.parametrize("count", [1, 2])
def test_a_hidden_pixel_is_not_seen_and_all_of_the_planes_beside_it_are(count):
    method = built("posterior", count)
    y = stack(1, 1, 2 * count + 1, 12, 16).requires_grad_()
    for dy, dx in _PHASES:
        mean, variance = method.blind(0, y, (dy, dx))
        (gradient,) = torch.autograd.grad(mean.sum() + variance.sum(), y)
        assert (gradient[0, 0, count, dy::2, dx::2] == 0).all()
        assert (gradient[0, 0, [k for k in range(2 * count + 1) if k != count]] != 0).float().mean() > 0.8


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("planes", [0, 2])
def test_noise2void2_hides_in_the_plane_itself_alone(count, planes):
    method = built("noise2void2", count)
    y = stack(2, 1, 2 * count + 1 + planes, 12, 16).requires_grad_()
    pixels = own(y, count)
    shape = tuple(pixels.shape[2:])
    hidden = draw_hidden("stratified", 0.06, 2, shape, torch.Generator().manual_seed(1))
    assert hidden.shape[1] == pytest.approx(0.06 * np.prod(shape), rel=0.5)
    shown = method.shown(pixels, hidden, torch.Generator().manual_seed(2))
    for place in hidden[0, :4].tolist():
        predicted = method.predicted(y, shown)
        (gradient,) = torch.autograd.grad(predicted[0].flatten()[place], y, retain_graph=True)
        plane, row, column = np.unravel_index(place, shape)
        assert gradient[0, 0, plane + count, row, column] == 0
        assert gradient[0, 0, plane, row, column] != 0


@pytest.mark.parametrize("name", METHODS)
def test_positions_that_a_batch_brings_are_those_of_the_whole_patch(name):
    method, y, target = built(name, 1), stack(1, 1, 3, 8, 8), torch.zeros(1, 1, 3, 8, 8, dtype=torch.bool)
    target[0, 0, 1, 2, 4] = True
    batch = Batch(y, target, torch.tensor([[64 + 2 * 8 + 4]]))

    def largest():
        with torch.no_grad():
            return max(float(method(batch, torch.Generator().manual_seed(seed))) for seed in range(20))

    before = largest()
    y[0, 0, 1, 2, 4] += 100
    assert largest() > 100 * before


@pytest.mark.parametrize("name", SHOWN)
@pytest.mark.parametrize("count", [1, 2])
def test_the_radius_is_that_of_the_gradient_and_planes_at_the_ends_come_back(name, count):
    method = built(name, count)
    assert method.radius[0] == count
    y = stack(1, 1, 2 * count + 3, 8, 8).requires_grad_()
    result = method.restore(y)
    assert torch.equal(result[:, :, :count], y[:, :, :count])
    assert torch.equal(result[:, :, -count:], y[:, :, -count:])
    (gradient,) = torch.autograd.grad(result[0, 0, count].sum(), y)
    seen = gradient[0, 0].abs().amax((1, 2)) > 0
    assert seen.tolist() == [True] * (2 * count + 1) + [False] * 2


AXES = st.sampled_from(["ZYX", "TYX", "YXZ", "TZYX", "CZYX", "TCYX"])


@st.composite
def cases(draw):
    axes = draw(AXES)
    count = draw(st.sampled_from([1, 2]))
    along = draw(st.sampled_from([a for a in axes if a in "ZT"]))
    shape = tuple({"Y": 0, "X": 0, "C": 2}.get(a, draw(st.integers(2, 3))) or draw(st.integers(9, 31)) for a in axes)
    planes = draw(st.integers(count + 1, 11))
    shape = tuple(planes if a == along else n for a, n in zip(axes, shape, strict=True))
    tile = (draw(st.integers(1, planes)), draw(st.integers(7, 20)), draw(st.integers(7, 20)))
    return axes, shape, along, count, tile[draw(st.booleans()) :]


@pytest.mark.parametrize("name", SHOWN)
def test_tiles_equal_the_whole_and_no_plane_is_its_own_neighbour(name, tmp_path_factory):
    @settings(max_examples=4, deadline=None)
    @given(cases())
    def tried(case):
        axes, shape, along, count, tile = case
        folder = tmp_path_factory.mktemp("r")
        channels = 2 if "C" in axes else 1
        method = built(name, count, spatial=f"{along}YX", channels=channels)
        model = Model(name, method, Normalisation((100.0,) * channels, (20.0,) * channels))
        image = np.random.default_rng(0).normal(100, 20, shape).astype(np.float32)
        options = {"axes": axes, "precision": "float32"}
        tiled = restore(image, model, output=folder / "t.zarr", tile=tile, **options)
        wanted = by_hand(image, axes, along, model)
        # Untrained, the posterior mean predicts 30 deviations of the image off; pixels bear out the least part of that.
        close = 3e-5 * max(wanted.std(), 600 if name == "posterior" else 1)
        assert np.abs(np.asarray(tiled) - wanted).max() <= close
        place = part_of({along: (1, 2), "Y": (3, 8)}, open_image(image, axes=axes))
        part = restore(image, model, output=folder / "p.zarr", region=place, **options)
        assert np.abs(np.asarray(part) - wanted[place.slices]).max() <= close

    tried()


def by_hand(image, axes, along, model):
    """Each plane by itself: its neighbours, those from the other side or farther in where there are none."""
    method, k = model.method, model.method.neighbours
    rest = [a for a in axes if a not in f"C{along}YX"]
    order = [axes.index(a) for a in (*rest, *(["C"] if "C" in axes else []), along, "Y", "X")]
    moved = np.transpose(image, order).reshape(
        -1, method.channels, *(image.shape[axes.index(a)] for a in (along, *"YX"))
    )
    n, (height, width) = moved.shape[2], moved.shape[3:]
    margin = 4 * math.ceil(max(method.radius[-2:]) / 4)
    result = np.empty_like(moved)
    for plane in range(n):
        index = [plane + d for d in range(-k, k + 1)]
        index = [min(k - 1 - i, n - 1) if i < 0 else max(2 * n - 1 - k - i, 0) if i >= n else i for i in index]
        assert index.count(plane) == 1
        read = [np.pad(np.arange(m), (margin, margin + -m % 4), mode="reflect") for m in (height, width)]
        seen = torch.from_numpy((moved[:, :, index][..., read[0], :][..., read[1]] - 100) / 20)
        with torch.no_grad():
            restored = method.restore(seen)[:, :, k].numpy() * 20 + 100
        result[:, :, plane] = restored[..., margin : margin + height, margin : margin + width]
    shape = [image.shape[i] for i in order]
    return np.transpose(result.reshape(shape), np.argsort(order))


@pytest.mark.parametrize("name", METHODS)
def test_a_movie_is_learned_from_restored_and_kept_in_a_file(name, tmp_path):
    rng = np.random.default_rng(0)
    movie = rng.normal(100, 20, (3, 2, 24, 30)).astype(np.float32)
    model = train(movie, name, axes="TZYX", neighbours=2, steps=3)
    model.save(tmp_path / "m.safetensors")
    assert (model.method.spatial, model.method.config.neighbours) == ("TYX", "2")
    assert model.provenance["patch"][0] == 5
    again = load_model(tmp_path / "m.safetensors")
    options = {"axes": "TZYX", "precision": "float32"}
    first = np.asarray(restore(movie, model, output=tmp_path / "a.zarr", **options))
    assert np.array_equal(first, restore(movie, again, output=tmp_path / "b.zarr", **options))
    with pytest.raises(ModelError, match=r"2 planes along T.*neighbours 0"):
        restore(movie[:2], again, output=tmp_path / "c.zarr", axes="TZYX")


def test_patches_may_be_given_with_planes_or_without(tmp_path):
    stack = np.random.default_rng(1).normal(size=(4, 40, 40)).astype(np.float32)
    options = {"method": "posterior", "neighbours": 1, "steps": 1, "output": tmp_path / "r.zarr", "overwrite": True}
    for patch, found in (((16, 24), [3, 16, 24]), ((4, 16, 16), [4, 16, 16])):
        assert denoise(stack, patch=patch, **options).model.provenance["patch"] == found
    with pytest.raises(RestoreError, match="Give 3 or more"):
        denoise(stack, patch=(1, 16, 16), **options)


@pytest.mark.parametrize(
    ("axes", "shape", "asked", "found"),
    [
        ("ZYX", (2, 9, 9), "1", "Z"),
        ("TYX", (3, 9, 9), "2", "T"),
        ("TZYX", (3, 2, 9, 9), "2", "T"),
        ("YX", (9, 9), "0", ""),
    ],
)
def test_the_axis_is_one_with_planes_enough(axes, shape, asked, found):
    image = open_image(np.zeros(shape, np.float32), axes=axes)
    assert axis_for(asked, dimensions="2", images=[image]) == found


def test_of_two_axes_it_is_that_of_the_greater_resemblance():
    rng = np.random.default_rng(2)
    pictures = rng.normal(size=(5, 1, 40, 40)) + 0.1 * rng.normal(size=(5, 4, 40, 40))
    for axes, found in (("TZYX", "Z"), ("ZTYX", "T")):
        assert axis_for("1", dimensions="2", images=[open_image(pictures, axes=axes)]) == found


@pytest.mark.parametrize(("blur", "taken"), [((0, 0.7, 0.7), True), ((0.7, 0.7, 0.7), False)])
def test_planes_that_share_their_noise_are_no_neighbours(blur, taken):
    noise = gaussian_filter(np.random.default_rng(0).normal(size=(6, 64, 72)), blur, mode="wrap")
    image = open_image((100 + noise / noise.std()).astype(np.float32), axes="ZYX")
    config = configure("noise2void2", {})
    fit = find("noise2void2").fit_to(config, [image])
    assert (fit.config.neighbours, fit.rival is not None) == (("1", True) if taken else ("0", False))
    assert any("their noise is alike by 0.5" in note.text for note in fit.notes) != taken
    asked = find("noise2void2").fit_to(replace(config, neighbours="1"), [image])
    assert asked.config.neighbours == "1"
    assert any(note.level == "warning" for note in asked.notes) != taken


def test_a_network_of_one_plane_is_refused():
    with pytest.raises(RestoreError, match="rdunet takes one plane alone"):
        train(
            np.zeros((4, 16, 16)), "supervised_denoising", target=np.zeros((4, 16, 16)), network="rdunet", neighbours=1
        )


def test_without_planes_enough_and_along_three_axes_it_is_refused():
    image = open_image(np.zeros((2, 16, 16), np.float32), axes="ZYX")
    with pytest.raises(ImageError, match=r"neighbours 2 needs 3 planes along Z or T.*2 along Z"):
        axis_for("2", dimensions="2", images=[image])
    with pytest.raises(ImageError, match="for dimensions 2"):
        axis_for("1", dimensions="3", images=[image])
