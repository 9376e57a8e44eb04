"""One training under way: it learns a step, measures itself, keeps a checkpoint."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from napari_restore.core.errors import RestoreError
from napari_restore.core.events import Checkpointed, Measured
from napari_restore.methods.apply import Precision, autocast
from napari_restore.methods.method import Batch, never
from napari_restore.sources import Image
from napari_restore.training.lesson import Lesson
from napari_restore.training.levelling import line_to_measured
from napari_restore.training.pool import PatchPool, cut_blocks
from napari_restore.training.ranks import ALONE, Ranks
from napari_restore.training.settings import TrainingSettings, learning_rate_at
from napari_restore.training.state import TrainingState
from napari_restore.training.thumbnail import thumbnail

_HELD_OUT_PATCHES, _HELD_OUT_PIXELS, _HELD_OUT_BATCHES = 48, 2**20, 16
_TIMES_LOOKED_AT, _FEWEST_PATCHES = 3, 4
_FREEZE_AT = 0.15
_HELD_OUT_SEED = 2019
_BFLOAT16_COST = 0.02


@dataclass(frozen=True)
class Terms:
    """What was left open and is settled before the first step, for this process.

    Attributes
    ----------
    patch
        Pixels of a patch along each spatial axis.
    batch
        Patches a step.
    device
        Of this rank.
    precision
        What layers compute in.
    ranks
        The processes that train together.
    """

    patch: tuple[int, ...]
    batch: int
    device: torch.device
    precision: Precision
    ranks: Ranks = ALONE


class Session:
    """Ties a training state to its pool, its clock and its held-out patches.

    Parameters
    ----------
    name
        Of the method.
    state
        What changes.
    pool, judge
        Patches to learn from, and to be judged on; often the same.
    settings, terms
        What was asked for, and what it came to.
    """

    def __init__(
        self,
        name: str,
        *,
        state: TrainingState,
        pool: PatchPool,
        judge: PatchPool,
        settings: TrainingSettings,
        terms: Terms,
    ) -> None:
        self.name, self.state, self.pool, self.settings, self.terms = name, state, pool, settings, terms
        rng = torch.Generator().manual_seed(_HELD_OUT_SEED)
        beside = state.method.neighbours
        count = held_out_patches(terms.patch, terms.batch, pixels=judge.pixels, beside=beside)
        self._held_out: Batch = judge.draw_held_out(count, terms.patch, rng)
        self._began = time.perf_counter() - state.seconds
        self._loss: Tensor | None = None
        self._losses = 0
        self._last_loss = 0.0
        self._frozen = False
        self.validation: float | None = None
        self.trace: list[tuple[float, float]] = []

    @property
    def seconds(self) -> float:
        """Time spent training, earlier runs included."""
        return time.perf_counter() - self._began

    @property
    def fraction(self) -> float:
        """Part of the budget that is spent."""
        return self.settings.budget.fraction(self.state.step, self.seconds)

    @property
    def learning_rate(self) -> float:
        """Of the step to come."""
        return learning_rate_at(self.fraction, peak=self.peak)

    @property
    def peak(self) -> float:
        """The highest learning rate."""
        return self.settings.learning_rate or self.state.method.learning_rate

    def learn(self, fraction: float) -> None:
        """One step, with this part of the budget spent.

        The loss is summed on the device and read only when somebody wants to see it.
        """
        if not self._frozen and fraction >= _FREEZE_AT:
            self.state.freeze_statistics()
            self._frozen = True
        self.pool.advance(self.state.step)
        batch = self.pool.draw(self.terms.batch, self.terms.patch, self.state.rng, turn=self.state.method.turns)
        loss = self.state.learn(batch, learning_rate=learning_rate_at(fraction, peak=self.peak))
        self._loss = loss if self._loss is None else self._loss + loss
        self._losses += 1

    def validate(self) -> float:
        """Loss of the averaged weights on the held-out pixels, always the same ones."""
        self.validation = self.state.held_out_loss(self._held_out, seed=_HELD_OUT_SEED)
        self.trace.append((self.fraction, self.validation))
        return self.validation

    def measure(self) -> Measured:
        """Mean loss since the last time, and where training stands."""
        if self._loss is not None:
            self._last_loss = float(self._loss) / self._losses
        loss, self._loss, self._losses = self._last_loss, None, 0
        seconds, fraction = self.seconds, self.fraction
        remaining = seconds * (1 - fraction) / fraction if fraction > 0 else None
        return Measured(self.state.step, seconds, loss, self.validation, self.learning_rate, fraction, remaining)

    def checkpoint(self, folder: Path) -> Checkpointed:
        """Write everything needed to go on from here."""
        self.state.seconds = self.seconds
        path = self.state.save(folder, fingerprint=self.fingerprint())
        return Checkpointed(self.state.step, str(path))

    def resume(self, folder: Path) -> bool:
        """Go on from the newest checkpoint in a folder, if there is one.

        Raises
        ------
        RestoreError
            If another rank read another checkpoint, or none.
        """
        found = self.state.load(folder, fingerprint=self.fingerprint()) is not None
        ranks = self.terms.ranks
        first = ranks.broadcast(self.state.step)
        if first != self.state.step:
            raise RestoreError(
                f"{folder}: process {ranks.index} would go on from step {self.state.step}, process 0 from step "
                f"{first}. Put the run folder where all machines see the same files."
            )
        if not found:
            return False
        self.pool.skip(self.state.step)
        self._began = time.perf_counter() - self.state.seconds
        return True

    def fingerprint(self) -> dict[str, Any]:
        """What must be the same for a checkpoint to be continued."""
        method = self.state.method
        return {
            # Methods that undo the same operator have the same settings and weights of the same names.
            "method": self.name,
            # As it comes back from a checkpoint, where a tuple is a list.
            "config": json.loads(json.dumps(asdict(method.config))),
            "spatial": method.spatial,
            "channels": method.channels,
            "patch": list(self.terms.patch),
            "batch": self.terms.batch,
            "seed": self.settings.seed,
            "learning_rate": self.peak,
            "memory": self.settings.memory,
            "partners": self.pool.paired,
            "mean": list(self.pool.normalisation.mean),
            "std": list(self.pool.normalisation.std),
        }

    def finish(self, images: Sequence[Image], *, enough: Callable[[], bool] = never) -> Precision:
        """Let the method settle what only its predictions tell; gives the precision to restore with.

        Held-out patches differ between ranks: what rank 0 finds is what all end with.

        Parameters
        ----------
        images
            That it was trained on: results are to have their mean.
        enough
            Whether somebody waits for the end: the mean is told by less of the images then.
        """
        average = self.state.average
        with torch.inference_mode():
            average.finish(self._held_out)
        self.terms.ranks.align(average.buffers())
        found = average.config, self.validation, self._restoring_precision()
        average.config, self.validation, precision = self.terms.ranks.broadcast(found)
        if average.keeps_mean:
            self._keep_mean(images, precision, enough)
        return precision

    def _keep_mean(self, images: Sequence[Image], precision: Precision, enough: Callable[[], bool]) -> None:
        """As it will be restored, in that precision: bfloat16 rounds some tenths of a percent of few photons away."""
        average, constants = self.state.average, self.pool.normalisation
        line = average.mean_line
        line[0], line[1] = 1, 0  # a model that training goes on from had one
        device = self.terms.device
        found = line_to_measured(
            average.for_restoring(), images, normalisation=constants, device=device, precision=precision, enough=enough
        )
        line.copy_(torch.from_numpy(found))
        self.terms.ranks.align([line])

    def thumbnail(self, precision: Precision) -> bytes:
        """What the model does, as a small PNG of a held-out patch: no pixel is read for it."""
        picture = b""
        if self.terms.ranks.first:
            with autocast(self.terms.device, precision):
                picture = thumbnail(self.state.average, self._held_out.pixels)
        return self.terms.ranks.broadcast(picture)

    def _restoring_precision(self) -> Precision:
        """bfloat16 if it changes the result by less than 2 % of what the method removes from the image."""
        if self.terms.precision == "float32":
            return "float32"
        network = self.state.average.as_graph()  # what comes after is computed in float32 either way
        off, taken = [], []
        with torch.inference_mode():
            for pixels in torch.split(self._held_out.pixels, self.terms.batch):  # all at once take more than any step
                exact = network.restore(pixels)
                taken.append(exact - network.plain(pixels))
                with autocast(self.terms.device, "bfloat16"):
                    off.append(network.restore(pixels) - exact)
        cost = torch.cat(off).std() / torch.cat(taken).std().clamp(min=1e-12)
        return "bfloat16" if float(cost) < _BFLOAT16_COST else "float32"


class Timer:
    """Says when something is due: every so many seconds, and never more than a share of all time."""

    def __init__(self, every: float, *, share: float = 1.0) -> None:
        self._every, self._share = every, share
        self._next = time.perf_counter() + every

    def due(self) -> bool:
        """Whether it is time."""
        return time.perf_counter() >= self._next

    def done(self, *, cost: float = 0.0) -> None:
        """It was done and took ``cost`` seconds."""
        self._next = time.perf_counter() + max(self._every, cost / self._share)


def held_out_patches(patch: Sequence[int], batch: int, *, pixels: int | None = None, beside: int = 0) -> int:
    """How many patches the held-out loss is measured on, all at once: 48, or a million pixels' worth, and at least 2.

    And no more than 16 batches, where memory leaves room for small ones only. Of planes with few pixels no more than
    look at each of them three times, and 4 at least: others tell nothing new, and what follows the last step takes as
    long as they are many. Patches of volumes are few, and smaller ones that covered them as often could take more
    memory.

    48 patches of 24 x 84 x 84, which a microscope's PSF in 3-D asks for, take ten times the memory of a step.

    Parameters
    ----------
    pixels
        Of all images, one channel of them; None for as many as one likes.
    beside
        Planes at either end of a patch that are only seen.
    """
    most = min(_HELD_OUT_PATCHES, _HELD_OUT_PIXELS // math.prod(patch), _HELD_OUT_BATCHES * batch)
    if pixels is not None and len(patch) == 2 + bool(beside):
        judged = math.prod(patch) // patch[0] * (patch[0] - 2 * beside)
        most = min(most, max(_FEWEST_PATCHES, -(-_TIMES_LOOKED_AT * pixels // judged)))
    return max(2, most)


def usual_batch(patch: Sequence[int]) -> int:
    """Patches a step: 32768 pixels' worth, 8 of 64 x 64, and at least 2.

    Many small steps: on the 8 benchmark images 540 steps of 8 patches end 0.4 dB above 270 of 16.
    """
    size = 1
    for n in patch:
        size *= n
    return max(2, min(64, round(32768 / size)))


def facts(session: Session) -> Mapping[str, Any]:
    """What a model remembers of its training."""
    together = {} if session.terms.ranks.alone else {"processes": session.terms.ranks.count}
    return {
        "steps": session.state.step,
        "seconds": round(session.seconds, 1),
        "held_out_loss": session.validation,
        "patch": list(session.terms.patch),
        "batch": session.terms.batch,
        "learning_rate": session.peak,
        "seed": session.settings.seed,
        "precision": session.terms.precision,
        **together,
    }


def judging_pool(lesson: Lesson, settings: TrainingSettings, terms: Terms, *, held_out: float) -> PatchPool:
    """Patches by which it is found out what to train, with so many of their pixels held out; whoever asks closes it."""
    method = lesson.method
    return PatchPool(
        cut_blocks(lesson.images, spatial=method.spatial, patch=terms.patch),
        spatial=method.spatial,
        memory=settings.memory,
        seed=settings.seed,
        device=terms.device,
        normalisation=lesson.normalisation,
        gaps=method.gap,
        compress=method.compresses,
        beside=method.neighbours,
        held_out=held_out,
    )
