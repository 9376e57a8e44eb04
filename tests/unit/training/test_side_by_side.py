"""Any number of trainings in one process: each ends with the very numbers that it ends with alone."""

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from napari_restore.core.events import Trained
from napari_restore.core.region import Region
from napari_restore.methods.apply import restore_region
from napari_restore.methods.method import Batch, Method
from napari_restore.networks.layout import channels_last
from napari_restore.store.model import load_model
from napari_restore.training.bits import make_fabric
from napari_restore.training.ranks import ALONE
from napari_restore.training.settings import Budget, TrainingSettings
from napari_restore.training.state import TrainingState

CPU = torch.device("cpu")


def in_a_thread(work):
    """What ``work`` gives in a thread of its own."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result()


def told(run):
    """What one training came to that does not depend on the clock, to be compared bit by bit."""
    model, events = run()
    ended = [(e.step, e.validation) for e in events if isinstance(e, Trained)]
    weights = b"".join(t.numpy().tobytes() for t in model.method.state_dict().values())
    return ended, model.precision, hashlib.sha256(weights).hexdigest()


@pytest.mark.parametrize("precision", ["bfloat16", "float32"])
def test_trainings_side_by_side_end_as_those_one_after_the_other(train, train_imaging, noisy, precision):
    """Networks that a step uses once, twice in one pass, and twice in two; one of them on a run of its own length."""
    image, options = noisy((64, 72)), {"precision": precision}
    jobs = [
        partial(train, image, steps=60, seed=1, **options),
        partial(train_imaging, image, name="scale_equivariant", steps=25, **options),
        partial(train_imaging, image, name="equivariant_rotation", steps=30, seed=2, **options),
        partial(train_imaging, image, name="sure", steps=30, **options),
    ]
    alone = [told(job) for job in jobs]
    for _ in range(2):
        with ThreadPoolExecutor(len(jobs)) as pool:
            assert list(pool.map(told, jobs)) == alone


def test_restoring_beside_a_training_changes_neither(train, train_imaging, noisy, tmp_path):
    """Models are read, built and run in both precisions all the while that others are built and trained."""
    image = noisy((64, 72))
    path = train(image, steps=5)[0].save(tmp_path / "m.safetensors")

    def restored(precision):
        model = load_model(path)
        return restore_region(
            model.method.for_restoring(), image, Region.of_shape(image.shape), normalisation=model.normalisation,
            device=CPU, precision=precision,
        )  # fmt: skip

    jobs = [
        partial(train_imaging, image, name="scale_equivariant", steps=8, seed=seed, precision="bfloat16")
        for seed in range(3)
    ]
    expected = {precision: restored(precision) for precision in ("float32", "bfloat16")}
    alone, over = [told(job) for job in jobs], threading.Event()

    def restore_until_over(precision):
        rounds = 0
        while not over.is_set() or not rounds:
            assert np.array_equal(restored(precision), expected[precision])
            rounds += 1
        return rounds

    with ThreadPoolExecutor(2) as beside, ThreadPoolExecutor(1) as pool:
        restoring = [beside.submit(restore_until_over, precision) for precision in expected]
        try:
            assert list(pool.map(told, jobs)) == alone
        finally:
            over.set()
        assert all(job.result() for job in restoring)


class Twice(Method):
    """Uses its layer twice in a step, with something else in between and when the gradient begins."""

    learning_rate = 0.1

    def __init__(self, *, between=lambda: None, before_the_gradient=lambda: None):
        super().__init__(None, spatial="YX", channels=1)
        self.layer = nn.Conv2d(1, 4, 3, padding=1)
        self.back = nn.Conv2d(4, 1, 3, padding=1)
        self.between, self.before_the_gradient = between, before_the_gradient

    def restore(self, pixels):
        return self.back(torch.relu(self.layer(pixels)))

    def forward(self, batch, rng):
        once = self.restore(batch.pixels)
        self.between()
        loss = (self.restore(once) - batch.pixels).float().square().mean()
        if loss.requires_grad:
            loss.register_hook(self._begin)
        return loss

    def _begin(self, _):
        self.before_the_gradient()

    def __deepcopy__(self, memo):
        copied = Twice()
        copied.load_state_dict(self.state_dict())
        return copied


def stepped(steps=3, **disturbed):
    """The weights of ``Twice`` in bfloat16 after some steps."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        method, pixels = Twice(**disturbed), torch.randn(4, 1, 16, 16)
    state = TrainingState(method, TrainingSettings(Budget(steps=steps)), make_fabric(CPU, "bfloat16", ALONE))
    for _ in range(steps):
        state.learn(Batch(pixels, torch.ones_like(pixels, dtype=torch.bool)), learning_rate=0.1)
    return [p.detach().clone() for p in method.parameters()]


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_casts_of_weights_are_the_trainings_own():
    """Autocast forgets the casts of the whole process when any thread leaves it; also one that computes in float32."""

    def leave_autocast():
        with torch.autocast("cpu", torch.bfloat16):
            pass

    def leave_a_part_without_it():
        with torch.autocast("cpu", enabled=False):
            pass

    alone = stepped()
    assert same(stepped(between=lambda: in_a_thread(leave_autocast)), alone)
    assert same(stepped(between=lambda: in_a_thread(leave_a_part_without_it)), alone)


def test_weights_are_cast_once_a_step_as_autocast_does_alone():
    """The gradient of a weight that is used twice is summed in bfloat16, whoever keeps the cast.

    Its weights lie as training lays them: otherwise sums run in another order, which shows without AVX-512.
    """
    method = channels_last(Twice())
    pixels = torch.randn(4, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    batch = Batch(pixels, torch.ones_like(pixels, dtype=torch.bool))
    with torch.autocast("cpu", torch.bfloat16):
        method(batch, None).backward()
    expected = [p.grad.clone() for p in method.parameters()]
    method.zero_grad()
    state = TrainingState(method, TrainingSettings(Budget(steps=1)), make_fabric(CPU, "bfloat16", ALONE))
    state.learn(batch, learning_rate=0.0)
    assert same([p.grad for p in method.parameters()], expected)
    assert all(p.dtype == torch.float32 for p in (*method.parameters(), *state.average.parameters()))
    assert not {"weight", "bias"} & vars(method.layer).keys(), "lent for the step, and taken back"


def test_the_gradients_of_one_training_do_not_stop_those_of_another():
    """Another step ends in another thread just when the gradient of this one begins."""
    assert same(stepped(before_the_gradient=lambda: in_a_thread(lambda: stepped(1))), stepped())


def test_a_training_of_the_users_own_with_fabric_goes_on_beside():
    from lightning_fabric import Fabric

    theirs = Fabric(accelerator="cpu", devices=1, precision="bf16-mixed")
    linear = nn.Linear(3, 1)
    layer, optimizer = theirs.setup(linear, torch.optim.SGD(linear.parameters(), lr=0.1))
    loss = layer(torch.ones(5, 3)).sum() * 2

    def meanwhile(_):
        in_a_thread(lambda: stepped(1))

    loss.register_hook(meanwhile)
    theirs.backward(loss)
    optimizer.step()
