"""Every method whose network sees all pixels: what the loop, the tiler and the store count on."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from napari_restore import methods, train
from napari_restore.core.errors import ImageError, RestoreError
from napari_restore.core.normalisation import Normalisation
from napari_restore.core.region import Region
from napari_restore.methods.apply import restore_region
from napari_restore.methods.denoiser import Denoiser
from napari_restore.methods.method import Batch
from napari_restore.sources import open_image
from napari_restore.store.model import Model, build_method, load_model

CPU = torch.device("cpu")
KEPT = Normalisation((0.0,), (1.0,))
BLIND = {"posterior", "noise2void", "noise2void2", "struct_noise2void"}  # have tests of their own
OTHERS = {"fourier_noise2noise", "dropout_unet"}  # are among CASES with settings of their own
DENOISERS = [
    name for name in methods.names() if issubclass(methods.find(name), Denoiser) and name not in BLIND | OTHERS
]
CASES = [
    *((name, {"network": "residual_unet"}) for name in DENOISERS),
    ("zero_shot", {"network": "small", "halves": "diagonals", "consistency": 1}),
    ("supervised_denoising", {"network": "unet", "depth": 2}),
    ("supervised_denoising", {"network": "rdunet"}),
    ("supervised_denoising", {"network": "unet", "depth": 2, "dimensions": "3"}),
    ("dropout_unet", {"depth": 2}),
    ("fourier_noise2noise", {"variant": "convolve", "network": "residual_unet"}),
    ("noise2noise", {"network": "rdunet", "dimensions": "3"}),
    ("noise2noise", {"dimensions": "3"}),
]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def made(name, config, *, channels=1, shape=(6, 64, 72)):
    """A method as after training: none of its weights is zero."""
    kind = methods.find(name)
    pixels = np.random.default_rng(0).normal(size=(*([channels] if channels > 1 else []), *shape))
    image = open_image(pixels.astype(np.float32))
    blocks = config.get("network") not in ("unet", "small") and "blocks" in {each.name for each in fields(kind.Config)}
    settings = {"width": 4, **({"blocks": 1} if blocks else {}), **config}
    fit = kind.fit_to(methods.configure(name, settings), [image])
    torch.manual_seed(0)
    method = build_method(name, fit.config, spatial=fit.spatial, channels=channels)
    with torch.no_grad():
        for weight in method.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
        for module in method.modules():
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                module.running_mean.normal_(std=0.1)
                module.running_var.uniform_(0.5, 1.5)
    return method.eval()


def batch_for(method, *, size=16, count=3, seed=0):
    shape = [3 if a == "Z" else size for a in method.spatial]
    pixels = torch.randn(count, method.channels, *shape, generator=generator(seed))
    partner = torch.randn(pixels.shape, generator=generator(seed + 1)) if method.listed.needs else None
    return Batch(pixels, torch.ones(count, 1, *shape, dtype=torch.bool), None, partner)


def test_there_are_methods_to_test():
    assert {"noise2noise", "supervised_denoising", "zero_shot"} <= set(DENOISERS)


@pytest.mark.parametrize(("name", "config"), CASES)
def test_a_step_reaches_every_weight(name, config):
    method = made(name, config).train()
    loss = method(batch_for(method), generator())
    assert loss.shape == () and torch.isfinite(loss)
    loss.backward()
    for where, weight in method.named_parameters():
        assert weight.grad is not None and weight.grad.abs().max() > 0, where


@pytest.mark.parametrize(("name", "config"), CASES)
def test_a_restored_pixel_sees_itself_and_nothing_past_the_radius(name, config):
    method = made(name, config)
    size = [2 * (r + 2 * g) // g * g + g for r, g in zip(method.radius, method.grid, strict=True)]
    pixels = torch.randn(1, 1, *size, generator=generator()).requires_grad_()
    middle = [n // 2 for n in size]
    (gradient,) = torch.autograd.grad(method.restore(pixels)[(0, 0, *middle)], pixels)
    assert gradient[(0, 0, *middle)] != 0, "every pixel is shown: nothing is hidden from the network"
    seen = gradient[0, 0].nonzero()
    for axis, (m, r) in enumerate(zip(middle, method.radius, strict=True)):
        assert max(m - int(seen[:, axis].min()), int(seen[:, axis].max()) - m) <= r


@pytest.mark.parametrize(("name", "config"), [c for c in CASES if c[1].get("network") != "rdunet"])
def test_a_part_restored_alone_is_that_part_of_the_whole(name, config):
    method = made(name, config)
    image = open_image(np.random.default_rng(0).normal(size=(3, 37, 45)).astype(np.float32), axes="ZYX")
    region = Region((1, 9, 13), (3, 30, 44))
    whole = restore_region(method, image, Region.of_shape(image.shape), normalisation=KEPT, device=CPU)
    part = restore_region(method, image, region, normalisation=KEPT, device=CPU)
    assert np.abs(part - whole[region.slices]).max() < 1e-4 * whole.std()


@pytest.mark.parametrize(("name", "config"), CASES)
def test_what_restores_sooner_gives_the_same_pixels(name, config):
    method = made(name, config)
    pixels = batch_for(method).pixels
    with torch.no_grad():
        wanted, sooner = method.restore(pixels), method.for_restoring()
        assert (sooner.restore(pixels) - wanted).abs().max() < 1e-5 * wanted.std()
    assert not any(p.requires_grad for p in sooner.parameters())
    assert any(p.requires_grad for p in method.parameters()), "the method itself has changed"
    assert (sooner.radius, sooner.grid) == (method.radius, method.grid)


@pytest.mark.parametrize("name", DENOISERS)
def test_channels_do_not_see_each_other(name):
    method = made(name, {}, channels=3)
    pixels = batch_for(method).pixels
    changed = pixels.clone()
    changed[:, 1] += 1
    with torch.no_grad():
        before, after = method.restore(pixels), method.restore(changed)
    assert torch.equal(before[:, [0, 2]], after[:, [0, 2]])
    assert not torch.allclose(before[:, 1], after[:, 1])


@pytest.mark.parametrize(("name", "config"), CASES)
def test_pixels_that_are_no_targets_do_not_count(name, config):
    """Values that only a target could carry into the loss: the partner's, or without one an image that is not seen."""
    method = made(name, {**config, **({"directions": "forward"} if name == "noise2noise" else {})})
    given = batch_for(method)
    nothing = method(given._replace(target=torch.zeros_like(given.target)), generator())
    assert nothing == 0
    if given.partner is None:
        return
    target, wild = given.target.clone(), given.partner.clone()
    target[..., 3:5], wild[..., 3:5] = False, 1e6
    usual = method(given._replace(target=target), generator())
    assert torch.equal(method(given._replace(target=target, partner=wild), generator()), usual)
    assert method(given._replace(partner=wild), generator()) > 1e6


@pytest.mark.parametrize("name", DENOISERS)
def test_the_same_random_numbers_give_the_same_loss(name):
    method = made(name, {})
    given = batch_for(method, count=8)
    with torch.no_grad():
        assert torch.equal(method(given, generator(4)), method(given, generator(4)))
        others = {float(method(given, generator(seed))) for seed in range(4)}
    assert (len(others) > 1) == (name != "supervised_denoising")


@pytest.mark.parametrize(("name", "config"), CASES)
def test_a_model_from_its_file_restores_to_the_same_bits(name, config, tmp_path):
    method = made(name, config)
    model = Model(name, method, KEPT, "float32", {})
    loaded = load_model(model.save(tmp_path / "m.safetensors"))
    pixels = batch_for(method).pixels
    assert loaded.method.config == method.config
    with torch.no_grad():
        both = [m.method.for_restoring().restore(pixels) for m in (model, loaded)]
    assert torch.equal(*both)


def test_supervised_is_the_squared_error_towards_the_clean_image():
    method = made("supervised_denoising", {})
    given = batch_for(method)
    with torch.no_grad():
        wanted = F.mse_loss(method.restore(given.pixels), given.partner)
        assert method(given, generator()).item() == pytest.approx(wanted.item(), rel=1e-5)


def test_an_untrained_residual_network_gives_its_input():
    for name in DENOISERS:
        method = build_method(name, methods.configure(name, {"width": 4}), spatial="YX", channels=1)
        pixels = batch_for(method).pixels
        assert torch.equal(method.restore(pixels), pixels)


@pytest.mark.parametrize(("n", "depth"), [(16, 2), (31, 2), (32, 3), (512, 4)])
@pytest.mark.parametrize("name", DENOISERS)
def test_small_images_get_a_shallow_network_that_a_patch_of_them_fits(name, n, depth):
    kind = methods.find(name)
    fit = kind.fit_to(methods.configure(name, {"depth": 4}), [open_image(np.zeros((n, 600), np.uint8))])
    assert fit.config.depth == depth
    method = build_method(name, fit.config, spatial=fit.spatial, channels=1)
    assert max(method.grid) <= n // (2 if name == "zero_shot" else 1)


@pytest.mark.parametrize(("name", "n", "least"), [("noise2noise", 7, 8), ("zero_shot", 15, 16)])
def test_images_without_surroundings_are_refused(name, n, least):
    kind = methods.find(name)
    with pytest.raises(ImageError, match=f"axis X has {n} pixels: {kind.listed.label}.*at least {least}"):
        kind.fit_to(kind.Config(), [open_image(np.zeros((100, n), np.uint8))])


def test_three_dimensions_need_a_stack():
    kind = methods.find("noise2noise")
    with pytest.raises(ImageError, match="dimensions 3 needs a stack"):
        kind.fit_to(kind.Config(dimensions="3"), [open_image(np.zeros((64, 64), np.uint8))])


def test_a_stack_is_not_halved_along_its_depth():
    for network in ("residual_unet", "rdunet"):
        assert made("noise2noise", {"dimensions": "3", "network": network}).grid[0] == 1


# One is left out that measures noise in flat parts, of which this scene has none.
@pytest.mark.parametrize("name", [name for name in DENOISERS if name != "recorrupted"])
def test_training_makes_the_image_better(name):
    """By name and through the pool, in few steps: what is learned is nearer to the truth than the noisy image is."""
    along = np.meshgrid(np.arange(64), np.arange(64), indexing="ij")
    truth = (np.sin(along[0] / 9) * np.cos(along[1] / 7) * 2).astype(np.float32)
    noise = np.random.default_rng(0).normal(size=(2, 64, 64)).astype(np.float32)
    image, second = open_image(truth + noise[0]), open_image(truth + noise[1])
    partner = {
        "noise2noise": {"second": second},
        "supervised_denoising": {"target": truth},
        "zero_shot": {},
    }[name]
    model = train(image, name, steps=40, batch=4, patch=(32, 32), device="cpu", width=8, blocks=1, **partner)
    whole = Region.of_shape(image.shape)
    restored = restore_region(model.method, image, whole, normalisation=model.normalisation, device=CPU)
    assert np.square(restored - truth).mean() < 0.4 * np.square(noise[0]).mean()


def test_the_published_zero_shot_network_has_its_number_of_weights():
    """9 * 48 + 48, 9 * 48 * 48 + 48, 48 + 1."""
    method = build_method(
        "zero_shot", methods.configure("zero_shot", {"network": "small", "width": 48}), spatial="YX", channels=1
    )
    assert sum(p.numel() for p in method.parameters()) == 21313


def test_a_patch_without_halves_is_refused():
    method = made("zero_shot", {})
    with pytest.raises(RestoreError, match=r"4 x 4 px has no halves.*at least 8 x 8 px"):
        method(batch_for(method, size=4), generator())
