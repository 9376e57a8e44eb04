"""A network on top of Richardson-Lucy: it begins as its base, is that of its tiles, and is used where it pays."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from napari_restore import deblur, deblur_events, load_model, restore, train, train_events
from napari_restore.core.events import Note
from napari_restore.methods import learned_richardson_lucy
from napari_restore.methods.method import Batch
from napari_restore.store.model import build_method
from napari_restore.verbs.deblurring import Deblur

LIGHT, OFFSET, READ = 60.0, 90.0, 2.0
GIVEN = {"psf": "gaussian:1.5", "iterations": 5, "weight": 0.004}
SETTLED = {
    **GIVEN,
    "noise": 5.0,
    "photon": (2.0,),
    "zero": (88.0,),
    "dark": (90.0,),
    "mean": (130.0,),
    "std": (40.0,),
}


def scene(shape=(96, 100), *, seed=0):
    """Spots, brightest of all, in photons."""
    found = gaussian_filter((np.random.default_rng(seed).random(shape) < 0.01).astype(np.float32), 1.2)
    return LIGHT * found / np.percentile(found, 99.5)


def measured(shape=(96, 100), *, blur=1.5, seed=0):
    rng = np.random.default_rng(seed)
    photons = rng.poisson(gaussian_filter(scene(shape, seed=seed), blur))
    return (2 * photons + rng.normal(OFFSET, READ, shape)).astype(np.float32)


def built(spatial="YX", **settings):
    return build_method("learned_richardson_lucy", {**SETTLED, **settings}, spatial=spatial, channels=1).eval()


def woken(method):
    """With a network that adds something: its last layer begins at 0."""
    torch.manual_seed(1)
    torch.nn.init.normal_(method.network.head.weight, std=0.05)
    return method


def patch(shape=(64, 72), *, seed=0):
    return torch.from_numpy((measured(shape, seed=seed) - 130) / 40)[None, None]


def batch(shape=(64, 72)):
    pixels = patch(shape)
    return Batch(pixels, torch.ones_like(pixels, dtype=torch.bool))


@torch.inference_mode()
def test_what_has_not_learned_is_shown_without_asking_the_network(monkeypatch):
    method = built()
    pixels = patch()
    monkeypatch.setattr(method.network, "forward", lambda seen: pytest.fail("the network was asked"))
    shown = method.untaught()
    assert torch.equal(shown.restore(pixels), method.plain(pixels))
    assert method.config.trust == (), "what is shown is a copy"


@torch.inference_mode()
def test_it_begins_as_its_base_and_returns_to_it_where_nothing_is_trusted():
    pixels = patch()
    classical = build_method("richardson_lucy", SETTLED, spatial="YX", channels=1).restore(pixels)
    assert torch.equal(built().restore(pixels), classical)
    assert torch.equal(woken(built(trust=(0.0,))).restore(pixels), classical)
    whole, half = (woken(built(trust=(share,))).restore(pixels) - classical for share in (1.0, 0.5))
    assert float(whole.abs().max()) > 0.01
    assert torch.allclose(whole, 2 * half, atol=1e-5)


@pytest.mark.parametrize(
    ("psf", "shape", "tile"), [("gaussian:1", (131, 101), (48, 52)), ("gaussian:0.6,1,1", (11, 37, 40), (8, 24, 20))]
)
def test_tiles_are_the_whole_to_a_thousandth_of_the_noise(psf, shape, tile):
    y, axes = measured(shape), "ZYX"[-len(shape) :]
    given = {**GIVEN, "psf": psf, "width": 4, "blocks": 1, "axes": axes, "steps": 1, "precision": "float32"}
    model = train(y, "learned_richardson_lucy", **given)
    woken(model.method).config = type(model.method.config)(**{**vars(model.method.config), "trust": (0.7,)})
    whole = np.asarray(restore(y, model, axes=axes))
    tiled = np.asarray(restore(y, model, axes=axes, tile=tile))
    assert np.abs(whole - np.asarray(y)).max() > 1
    assert np.abs(tiled - whole).max() < 1e-3 * float(np.sqrt(model.method.undoes.noise[0].at(y).mean()))


def test_of_whatever_seed_it_begins_with_what_instant_gives():
    y = measured(seed=3)
    instant = deblur(y, psf="gaussian:1.5", effort="instant", axes="YX")
    model = train(y, "learned_richardson_lucy", psf="gaussian:1.5", axes="YX", steps=1, seed=1, width=4, blocks=1)
    model.method.config = replace(model.method.config, trust=(0.0,))
    begun = np.asarray(restore(y, model, axes="YX"))
    assert np.abs(begun - np.asarray(instant)).max() < 1e-3
    assert np.abs(begun - y).max() > 1


def test_of_a_rehearsal_the_truth_is_known():
    method = built()
    rng = torch.Generator().manual_seed(0)
    (found,) = method._rehearsals(patch(), rng)
    seen, base, sharp = found[:, None, None] * 40 + 130
    light = (sharp - 90) / 2
    assert float(light.min()) >= -1e-4
    expected = method.endless(light) + 1
    noise = (seen - 88) / 2 - expected
    assert abs(float(noise.mean())) < 0.1
    assert float((noise.square() / expected).mean()) == pytest.approx(1, abs=0.1)
    again = method.restore((seen - 130) / 40) * 40 + 130
    assert torch.allclose(base, again, atol=1e-2)


@pytest.mark.parametrize(("kind", "least", "most"), [("truth", 0.6, 1.0), ("noise", 0.0, 0.0), ("wrong", 0.0, 0.0)])
def test_a_correction_is_used_as_far_as_it_leads_to_the_truth(kind, least, most, monkeypatch):
    method = built()
    truth = torch.from_numpy((2 * scene((128, 128)) + 90 - 130) / 40)[None, None].float()
    given = batch((128, 128))
    wrong = truth - method.plain(given.pixels).detach()
    chance = wrong.flatten()[torch.randperm(wrong.numel(), generator=torch.Generator().manual_seed(0))]
    corrections = {
        "truth": lambda pixels, base: truth - base,
        "wrong": lambda pixels, base: base - truth,
        "noise": lambda pixels, base: (chance - chance.mean()).view_as(base),
    }
    monkeypatch.setattr(method, "_added", corrections[kind])
    method.finish(given)
    assert least <= method.config.trust[0] <= most
    (said,) = method.remarks()
    assert (said.level == "warning") == (most == 0) and ("does not pay" in said.text) == (most == 0)


def test_it_learns_by_name_and_its_file_holds_all(tmp_path, monkeypatch):
    monkeypatch.setattr(learned_richardson_lucy, "_EVERY", 3)
    y = measured()
    events, model = train_events(y, "learned_richardson_lucy", **GIVEN, width=8, axes="YX", steps=8), None
    told = []
    while model is None:
        try:
            told.append(next(events))
        except StopIteration as end:
            model = end.value
    assert any("used" in e.text or "does not pay" in e.text for e in told if isinstance(e, Note))
    assert len(model.method.config.trust) == 1
    model.save(tmp_path / "m.safetensors")
    kept = load_model(tmp_path / "m.safetensors")
    assert kept.method.config == model.method.config
    assert np.array_equal(*(np.asarray(restore(y, each, axes="YX")) for each in (model, kept)))


DEEP = {
    "words": "theory:NA=1.2,wavelength=520,pixel=108,z=300,n=1.33",
    "numbers": "gaussian:1,1,1",
    "array": np.ones((3, 5, 5)),
}
FLAT = {"words": "theory:NA=1.2,wavelength=520,pixel=108", "numbers": "gaussian:1,1", "array": np.ones((1, 5, 5))}


@pytest.mark.parametrize("kind", DEEP)
def test_a_psf_that_reaches_along_z_is_undone_from_the_classical_result_on(kind):
    assert Deblur(psf=DEEP[kind]).settled_method == "learned_richardson_lucy"
    assert Deblur(psf=FLAT[kind]).settled_method == "scale_equivariant"
    assert Deblur(psf=DEEP[kind], method="wiener").settled_method == "wiener"


def test_which_method_was_chosen_for_a_stack_is_said():
    y = measured((10, 24, 24), blur=1)
    given = {"iterations": 4, "weight": 0.004, "noise": 5.0, "width": 4, "blocks": 1}
    said = []
    run = deblur_events(y, psf=np.ones((3, 3, 3)) / 27, axes="ZYX", steps=1, **given)
    while True:
        try:
            said.append(next(run))
        except StopIteration as end:
            assert end.value.model.name == "learned_richardson_lucy"
            break
    assert [event for event in said if isinstance(event, Note) and "learned_richardson_lucy was chosen" in event.text]


def test_what_was_rehearsed_goes_on_after_a_stop():
    one, other = built(width=4).train(), built(width=4).train()
    rng = torch.Generator().manual_seed(0)
    for _ in range(6):
        one(batch(), rng)
    other.load_state_dict(one.state_dict())
    other.recall(one.memory())
    again = torch.Generator()
    again.set_state(rng.get_state())
    assert [float(one(batch(), rng).detach()) for _ in range(12)] == [
        float(other(batch(), again).detach()) for _ in range(12)
    ]


def test_steps_bring_rehearsals_nearer_to_what_they_were_made_from():
    torch.manual_seed(0)
    method = built(width=8).train()
    optimizer = torch.optim.Adam(method.parameters(), lr=2e-3)
    rng, losses = torch.Generator().manual_seed(0), []
    for _ in range(40):
        loss = method(batch(), rng)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:10])
