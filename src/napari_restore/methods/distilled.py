"""Distilled: a small network that gives what a large model, its teacher, gives."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import PurePath
from typing import Annotated, Any, ClassVar, Literal, Self

import torch
from annotated_types import Interval
from pydantic import BeforeValidator
from torch import Tensor

from napari_restore import methods
from napari_restore.core.errors import RestoreError
from napari_restore.core.options import Effort
from napari_restore.losses.contrastive import contrastive
from napari_restore.losses.supervised import supervised
from napari_restore.losses.sure import Restore
from napari_restore.methods import METHODS
from napari_restore.methods.method import Batch, Fit, Method, Undone
from napari_restore.methods.neighbours import own
from napari_restore.methods.refining import Refining
from napari_restore.networks.features import Features
from napari_restore.sources import Image

_MOST_PLANES = 4
"""Of a batch that are looked at for the contrast; more cost time and tell the same."""

_NEARER = 0.8
"""Of its squared distance to the teacher, what similar patches have to leave at most to be worth their time.

Of eight photographs they left two thirds, and the copy's error fell; of a frame of cells nine tenths, and it rose.
"""

_FRESH = 0.5
"""Of the patches, those that are the teacher's with fresh noise."""

_CALM_RATE = 2e-3
"""Learning rate where there are such, which are harder to fit: with 0.005 one copy of three ended 0.15 dB lower."""

_BY_CHANNEL = ("sigma", "gain", "offset", "mean", "std", "correlation", "unexplained", "alike")


def _frozen(value: Any) -> Any:
    """Lists, which is what a file has, as tuples."""
    return tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value


@dataclass(frozen=True)
class DistilledConfig:
    """Settings of a distilled model.

    Attributes
    ----------
    contrast
        Weight of the contrastive loss, beside the squared distance to the teacher in units of the image's variance; 0
        for none. A copy of the posterior mean of six noisy pictures ended 0.09 dB above one without, after 150 steps.
    negatives
        Degraded pixels of other places that each patch is to be unlike, as many as the paper's.
    features
        What the contrast is seen through: ``own`` for filters learned from what the teacher gives, or the
        ``.safetensors`` file of a VGG network's weights, by their names in torchvision.
    similar
        Whether patches that look alike restore what the copy gives. They take most of its time; ``"auto"``: where they
        do so for its teacher, and bring the copy much nearer to it.
    student
        Settled from the teacher: the name of the method whose network it is.
    settled
        Settled from the teacher: that method's settings, as names and values.
    teacher
        Settled from the teacher: the name of its method.
    unlike
        Settled after training: the mean squared distance to the teacher at held-out pixels, and that of the teacher to
        what there would be without learning, in units of the image's variance.
    """

    contrast: Annotated[float, Interval(ge=0, le=100)] = 0.03
    negatives: Annotated[int, Interval(ge=1, le=64)] = 10
    features: str = "own"
    similar: Literal["auto", "no"] = "auto"
    student: tuple[str, ...] = ()
    settled: tuple[tuple[str, Annotated[Any, BeforeValidator(_frozen)]], ...] = ()
    teacher: tuple[str, ...] = ()
    unlike: tuple[Annotated[float, Interval(ge=0)], ...] = ()


class Distilled(Method):
    """Contrastive self-distillation (Wang et al. 2021, arXiv:2105.11683; Meher et al. 2023).

    The student has the teacher's kind of network at a part of its width (a denoiser's is a residual U-Net that makes
    one pass, whatever the teacher makes) and the same physics before it. It learns to give what the teacher gives on
    the same pixels: their squared distance, and a contrast that draws it to the teacher's result and away from what is
    degraded, as features see them. What is shown as its loss is the squared distance alone. Where similar patches take
    part in the teacher's result, they restore the copy's, too, if that brings it much nearer. Where the noise of the
    image is known, half of what it sees is what the teacher restored with such noise drawn anew: copies of the
    posterior mean of the 8 benchmark images ended 0.03 dB above to level with it, without that 0.04 to 0.08 below.

    Without a teacher, the clean image is what it learns to give.
    """

    listed = METHODS["distilled"]
    Config: ClassVar[type] = DistilledConfig
    efforts: ClassVar[Mapping[Effort, Mapping[str, Any]]] = {"quick": {}, "normal": {}, "thorough": {}}
    learning_rate: float = 5e-3
    clip: ClassVar[float | None] = 1.0
    config: DistilledConfig

    def __init__(self, config: DistilledConfig, *, spatial: str, channels: int) -> None:
        super().__init__(config, spatial=spatial, channels=channels)
        self.inner = _student(config, spatial=spatial, channels=channels)
        self.suffix, self.compresses = self.inner.suffix, self.inner.compresses
        self.keeps_mean = bool(config.teacher) and methods.find(config.teacher[0]).keeps_mean
        self.features: Features | None = None
        if self._draws_noise:
            self.learning_rate = _CALM_RATE

    @property
    def _draws_noise(self) -> bool:
        return isinstance(self.inner, Refining) and self.inner.knows_noise

    @torch.no_grad()
    def split_from(self, teacher: Method) -> None:
        """Begin with the first features of each of the teacher's layers that has a layer of the same name here.

        A quarter of them is no good network, and a far better start than chance: on the 8 benchmark images a copy of
        the posterior mean, which had all of its features, was 1.7 dB higher after 200 steps. Fewer features are added
        up, so their weights are larger; of more, those that the teacher has not count for nothing in those that it has.
        The last layer, which begins at 0, stays so unless it is whole.
        """
        own = teacher.inner if isinstance(teacher, Distilled) else teacher
        theirs = dict(own.named_parameters())
        for name, weight in self.inner.named_parameters():
            whole = theirs.get(name)
            if whole is None or whole.ndim != weight.ndim or (".head." in f".{name}" and whole.shape != weight.shape):
                continue
            part = tuple(slice(min(n, m)) for n, m in zip(weight.shape, whole.shape, strict=True))
            if weight.ndim == 1:
                weight[part] = whole[part]
                continue
            weight[part[0]] = 0
            weight[part] = whole[part] * math.sqrt(max(1.0, whole.shape[1] / weight.shape[1]))

    @classmethod
    def fit_to(cls, config: DistilledConfig, images: Sequence[Image]) -> Fit:
        """Settle what the student's method settles; nothing is open where there is a teacher."""
        name = _name(config)
        kind = methods.find(name)
        fit = kind.fit_to(methods.configure(name, dict(config.settled)), images)
        settled = replace(config, student=(name,), settled=tuple(asdict(fit.config).items()))
        return replace(fit, config=settled)

    @property
    def label(self) -> str:
        """Its name with its teacher's."""
        teacher = self.config.teacher
        return f"{self.listed.label} {methods.listed(teacher[0]).label}" if teacher else self.listed.label

    @property
    def mean_line(self) -> Tensor:
        """Of the student."""
        return self.inner.mean_line

    @property
    def radius(self) -> tuple[int, ...]:
        """Of the student."""
        return self.inner.radius

    @property
    def neighbours(self) -> int:
        """Of the student, which is shown those of the teacher."""
        return self.inner.neighbours

    @property
    def border(self) -> tuple[int, ...]:
        """Of the student."""
        return self.inner.border

    @property
    def padding(self) -> tuple[int, ...]:
        """Of the student."""
        return self.inner.padding

    @property
    def tile(self) -> tuple[int, ...] | None:
        """Of the student."""
        return self.inner.tile

    @property
    def grid(self) -> tuple[int, ...]:
        """Of the student."""
        return self.inner.grid

    @property
    def rate(self) -> tuple[int, ...]:
        """Of the student, which is the teacher's."""
        return self.inner.rate

    @property
    def centred(self) -> tuple[bool, ...]:
        """Of the student, which is the teacher's."""
        return self.inner.centred

    @property
    def undoes(self) -> Undone | None:
        """What the teacher undoes."""
        return self.inner.undoes

    @property
    def turns(self) -> bool:
        """Of the student."""
        return self.inner.turns

    @property
    def patch(self) -> tuple[int, ...]:
        """Of the student."""
        return self.inner.patch

    @property
    def batch(self) -> int | None:
        """Of the student."""
        return self.inner.batch

    def student(self, ratio: float) -> tuple[str, dict[str, Any]]:
        """That of its own student."""
        return self.inner.student(ratio)

    @property
    def full(self) -> int:
        """Of the student."""
        return self.inner.full

    def as_graph(self) -> Self:
        """With the student so."""
        clone = copy.deepcopy(self)
        clone.inner = clone.inner.as_graph()
        return clone

    def plain(self, pixels: Tensor) -> Tensor:
        """Of the student."""
        return self.inner.plain(pixels)

    def restore(self, pixels: Tensor) -> Tensor:
        """The student's."""
        if not self.unread:
            return self.inner.restore(pixels)
        asked = copy.copy(self.inner)  # with the same weights
        asked.unread = self.unread
        return asked.restore(pixels)

    def forward(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """The squared distance to the teacher and, while it learns, the contrast; its value is the distance.

        What learns is the network alone: patches follow what it gives.
        """
        if self.training and self._draws_noise:
            batch = batch._replace(pixels=self._with_fresh_noise(batch, rng))
        distance, given, wanted = self._apart(self.inner.as_graph().restore, batch)
        if self.features is None or not self.training:
            return distance
        degraded = own(self.plain(batch.pixels), self.neighbours)
        chosen = _some(len(_planes(given)), rng).to(given.device)
        seen = [_planes(each.float())[chosen] for each in (given, wanted, degraded)]
        contrast = contrastive(self.features, *seen, negatives=self.config.negatives, rng=rng)
        learned = distance + self.config.contrast * contrast
        return learned + (distance - learned).detach()

    def _with_fresh_noise(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """About half of the patches as the teacher restored them, with such noise as the image's drawn anew.

        An image has one draw of noise, and a copy that sees no other learns it by heart. Planes that are only looked at
        stay as they are.
        """
        assert batch.partner is not None and isinstance(self.inner, Refining)
        k, pixels = self.neighbours, batch.pixels.clone()
        chosen = torch.rand(len(pixels), generator=rng).to(pixels.device) < _FRESH
        chosen = chosen.view(-1, *[1] * (pixels.ndim - 1))
        with torch.autocast(pixels.device.type, enabled=False):
            for c in range(self.channels):
                seen, clean = (own(values[:, c : c + 1], k) for values in (pixels, batch.partner))
                noisy = clean + self.inner.fresh_noise(c, self.inner.noise_at(c, clean.float()), rng)
                seen.copy_(torch.where(chosen & (seen != 0), noisy, seen))  # what was not measured is the mean
        return pixels

    def _apart(self, restore: Restore, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """How far what is restored is from the teacher's, and both: of planes that have all their neighbours."""
        assert batch.partner is not None
        k = self.neighbours
        wanted = own(batch.partner, k)
        distance, given = supervised(
            lambda pixels: own(restore(pixels), k), batch.pixels, wanted, weight=own(batch.target, k)
        )
        return distance, given, wanted

    @torch.no_grad()
    def finish(self, batch: Batch) -> None:
        """Measure how unlike its teacher it is, at pixels that were no target, and let go of the features.

        Similar patches that do not bring it much nearer are left out.
        """
        self.features = None
        if self.inner.full:
            self._keep_patches(batch)
        to_teacher, to_plain = (self._apart(restore, batch)[0] for restore in (self.restore, self.plain))
        seen_by = PurePath(self.config.features).name  # where a file lies is nobody's business
        self.config = replace(self.config, features=seen_by, unlike=(float(to_teacher), float(to_plain)))

    def _keep_patches(self, batch: Batch) -> None:
        """Where they bring it much nearer to its teacher, by the share that brings it nearest."""
        self.inner.finish(batch)
        with_patches, alone = (self._apart(each.restore, batch)[0] for each in (self, self.inner.as_graph()))
        if float(with_patches) > _NEARER * float(alone):
            self.inner.config = replace(self.inner.config, similar="no")
        found = {name: getattr(self.inner.config, name) for name in ("similar", "alike")}
        self.config = replace(self.config, settled=tuple({**dict(self.config.settled), **found}.items()))

    def for_restoring(self) -> Self:
        """As of every method, and without the features."""
        features, self.features = self.features, None
        try:
            return super().for_restoring()
        finally:
            self.features = features


def _name(config: DistilledConfig) -> str:
    return config.student[0] if config.student else "supervised_denoising"


def _student(config: DistilledConfig, *, spatial: str, channels: int) -> Method:
    """The method whose network it is.

    Raises
    ------
    RestoreError
        If its settings are not those of such a method, which only a file made by hand can have.
    """
    name, settings = _name(config), dict(config.settled)
    if config.similar == "no" and "similar" in settings:
        settings["similar"] = "no"
    kind = methods.find(name)
    if kind is Distilled or not methods.listed(name).learns:
        raise RestoreError(f"a distilled model has a student of the method {name}, which cannot be one.")
    for setting in _BY_CHANNEL:
        row = settings.get(setting)
        if isinstance(row, list | tuple) and len(row) not in (0, channels):
            raise RestoreError(f"{setting} of the student has {len(row)} entries for {channels} channels.")
    return kind(methods.configure(name, settings), spatial=spatial, channels=channels)


def _planes(pixels: Tensor) -> Tensor:
    """``(B, C, *S)`` as planes ``(N, 1, Y, X)``."""
    return pixels.reshape(-1, 1, *pixels.shape[-2:])


def _some(count: int, rng: torch.Generator) -> Tensor:
    return torch.randperm(count, generator=rng)[:_MOST_PLANES]
