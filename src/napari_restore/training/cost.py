"""How much memory training will take, before it starts: foreseen from shapes, said, and kept to."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import ceil, prod

import torch
from torch import nn
from torch.func import functional_call

from napari_restore.core.errors import RestoreError
from napari_restore.core.sizes import describe_bytes
from napari_restore.methods.allocated import HEAP, DecidesByValueError, peak_of, peak_without_computing
from napari_restore.methods.apply import Precision, autocast
from napari_restore.methods.free import free_memory, free_on
from napari_restore.methods.method import Batch, Method
from napari_restore.networks.layout import channels_last
from napari_restore.sources import Image
from napari_restore.training.session import held_out_patches, usual_batch
from napari_restore.training.settings import TrainingSettings, fit_patch

_BYTES_A_VALUE = 5
"""Of the pool: float32, and a byte that says what the pixel is used for."""

_BOUND = 4
"""Times what all layers give, if none made its image smaller: no method's step takes as much."""

_UNSAID = 2**31
"""Where the bound stays below, nobody has to wait for the measurement."""


@dataclass(frozen=True)
class StepPlan:
    """Patches of a step, and what the step takes.

    Attributes
    ----------
    patch
        Pixels along each spatial axis.
    batch
        Patches a step.
    step
        Bytes at its highest, or an upper bound of them where not ``measured``.
    besides
        Bytes of the pool of patches, the average of the weights and the optimiser.
    limit
        Bytes that all may take.
    measured
        Whether ``step`` was, from shapes.
    """

    patch: tuple[int, ...]
    batch: int
    step: int
    besides: int
    limit: int
    measured: bool = True

    @property
    def total(self) -> int:
        """Bytes of all."""
        return self.step + self.besides

    @property
    def fits(self) -> bool:
        """Whether they may be taken."""
        return self.total <= self.limit

    def __str__(self) -> str:
        return (
            f"a training step takes about {describe_bytes(self.step)} ({self.batch} x "
            f"{' x '.join(map(str, self.patch))} px), with {describe_bytes(self.besides)} for what is learned from; "
            f"{describe_bytes(self.limit)} may be used"
        )


def plan_step(
    method: Method,
    images: Sequence[Image],
    settings: TrainingSettings,
    *,
    device: torch.device,
    precision: Precision = "float32",
    partners: bool = False,
    exact: bool = False,
) -> tuple[StepPlan, StepPlan]:
    """The patches that would be taken, and those that fit into the share of the free memory; often the same.

    What the user asks for, as patch or batch, stays. Otherwise the batch is made smaller first, then the patch, down to
    the method's ``least_patch``.

    Parameters
    ----------
    images
        Patches have to lie inside all of them; the pool is for all of them.
    precision
        What layers compute in.
    partners
        Whether each image has another one to go with it.
    exact
        Measure also where an upper bound is small.

    Raises
    ------
    RestoreError
        If a patch does not fit the images, or nothing that may be taken fits the memory, in numbers.
    """
    patch = fit_patch(
        images,
        spatial=method.spatial,
        grid=method.as_graph().grid,  # what comes after a network learns nothing
        asked=settings.patch,
        usual=method.patch,
        beside=method.neighbours,
    )
    batch = settings.batch or method.batch or usual_batch(patch)
    card = device.type != "cpu"
    limit = int(settings.memory_share * (free_on(device) if card else free_memory()))
    pool = pool_bytes(images, images_apiece=1 + partners, memory=settings.memory)
    besides = pool + 3 * sum(p.numel() * p.element_size() for p in method.parameters())
    seen = prod(patch) // patch[0] * (patch[0] - 2 * method.neighbours)  # planes beside one are channels of it
    pixels = sum(prod(image.shape) for image in images) // method.channels
    held_out = partial(held_out_patches, pixels=pixels, beside=method.neighbours)
    bound = _bound(method, max(batch, held_out(patch, batch)) * seen)
    plan = StepPlan(patch, batch, bound, besides, limit, measured=False)
    if not exact and bound <= _UNSAID and plan.fits:
        return plan, plan

    def measured(patch: tuple[int, ...], batch: int) -> StepPlan:
        judged = held_out(patch, batch)
        taken = step_bytes(method, patch, batch, judged=judged, precision=precision, partners=partners)
        return StepPlan(patch, batch, taken if card else ceil(HEAP * taken), besides, limit)

    plan = first = measured(patch, batch)
    while not plan.fits:
        less = _less(plan, method, settings)
        if less is None:
            raise RestoreError(
                f"{plan}. That is too much, with as little at once as can be: close other programs, or allow a larger "
                f"`memory_share` than {settings.memory_share:g}{_what_else(settings)}."
            )
        plan = measured(less.patch, less.batch)
    return first, plan


def pool_bytes(images: Sequence[Image], *, images_apiece: int = 1, memory: int = TrainingSettings.memory) -> int:
    """Bytes of the pool of patches; ``images_apiece`` is 2 where each image has a partner."""
    return min(memory, sum(prod(image.shape) for image in images) * _BYTES_A_VALUE * images_apiece)


def step_bytes(
    method: Method,
    patch: Sequence[int],
    count: int,
    *,
    judged: int,
    precision: Precision = "float32",
    partners: bool = False,
) -> int:
    """Bytes of the tensors that exist at once in a step of ``count`` patches, or while ``judged`` are held out.

    They follow from the shapes; where a method decides by the values of its pixels, a step is made in short, and what
    it settles in the end.
    """
    import lightning_fabric  # noqa: F401  training loads it, and torch's compiler with it: 100 MB that are held from now

    learner = channels_last(method.in_short().cpu())
    weights: dict[str, torch.Tensor] = dict(learner.named_parameters())

    def loss(given: tuple[Batch, dict[str, torch.Tensor]], *, training: bool) -> torch.Tensor:
        batch, weights = given
        rng = torch.Generator().manual_seed(0)
        with autocast(torch.device("cpu"), precision):
            found: torch.Tensor = functional_call(learner.train(training), weights, (batch, rng))
        return found

    def learned(given: tuple[Batch, dict[str, torch.Tensor]]) -> None:
        torch.autograd.backward(loss(given, training=True))

    def looked_at(given: tuple[Batch, dict[str, torch.Tensor]]) -> None:
        with torch.no_grad():
            loss(given, training=False)

    def settled() -> None:
        with torch.inference_mode():
            copy.deepcopy(learner).eval().finish(held_out[0])

    def restored(given: tuple[Batch, dict[str, torch.Tensor]]) -> None:
        with torch.no_grad():
            learner.eval().restore(given[0].pixels)

    held_out = _batch(learner, patch, judged, partners=partners), weights
    batch = _batch(learner, patch, count, partners=partners), weights
    work = [(looked_at, held_out), (learned, batch)]
    if precision != "float32":  # how much that costs is looked at in the end, in full precision
        work.append((restored, batch))
    try:
        return max(peak_without_computing(each, given) for each, given in work)
    except DecidesByValueError:
        return max(*(peak_of(partial(each, given)) for each, given in work), peak_of(settled))


def _batch(method: Method, patch: Sequence[int], count: int, *, partners: bool) -> Batch:
    """Patches of noise: where values count, these are usual ones."""
    rate = method.rate if "target" in method.listed.needs else (1,) * len(patch)
    finer = [n * r for n, r in zip(patch, rate, strict=True)]
    rng = torch.Generator().manual_seed(0)

    def pixels(sides: Sequence[int]) -> torch.Tensor:
        return torch.randn((count, method.channels, *sides), generator=rng)

    target = torch.ones((count, 1, *patch), dtype=torch.bool)
    return Batch(pixels(patch), target, None, pixels(finer) if partners else None)


def _bound(method: Method, pixels: int) -> int:
    """Bytes that a step stays below, from the layers alone."""
    layers = sum(m.out_channels for m in method.modules() if isinstance(m, nn.Conv2d | nn.Conv3d))
    return 4 * _BOUND * pixels * prod(method.rate) * (layers + method.channels)


def _less(plan: StepPlan, method: Method, settings: TrainingSettings) -> StepPlan | None:
    """Half the batch, or three quarters of the patch along the axis with most to give; None where nothing is left."""
    if plan.batch > 1 and settings.batch is None:
        return replace(plan, batch=plan.batch // 2)
    if settings.patch is not None:
        return None
    room = [n / max(least, 1) for n, least in zip(plan.patch, method.least_patch, strict=True)]
    axis = room.index(max(room))
    if room[axis] <= 1:
        return None
    g, least = method.grid[axis], method.least_patch[axis]
    length = max(least, plan.patch[axis] * 3 // 4 // g * g)
    return replace(plan, patch=(*plan.patch[:axis], length, *plan.patch[axis + 1 :]))


def _what_else(settings: TrainingSettings) -> str:
    asked = [f"`{name}`" for name in ("patch", "batch") if getattr(settings, name) is not None]
    return f", or leave {' and '.join(asked)} out" if asked else ", or use a smaller network (`width`) or PSF"
