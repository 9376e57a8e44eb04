"""What a method is: a module that turns a batch into a loss, and noisy pixels into restored ones."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_restore.core.errors import RestoreError
from napari_restore.core.events import Note
from napari_restore.core.normalisation import Normalisation
from napari_restore.core.options import Effort
from napari_restore.methods.listed import Listed
from napari_restore.metrics.pixel_noise import PixelNoise
from napari_restore.networks.features import Features
from napari_restore.networks.layout import channels_last
from napari_restore.networks.unet import fold_batch_norm
from napari_restore.operators.operator import Operator
from napari_restore.sources import Image


class Interrupted(Exception):  # noqa: N818  it is no error
    """A method was asked to stop in the middle of something."""


def never() -> bool:
    """Nobody asks to stop."""
    return False


class Batch(NamedTuple):
    """Patches to learn from. S are the spatial axes; pixels and target share a device.

    Attributes
    ----------
    pixels
        ``(B, C, *S)`` float32, in units of the image's deviation; where the image is not finite 0, or NaN for a method
        that ``fills``.
    target
        ``(B, 1, *S)`` bool: pixels whose value may be predicted. Not finite, padded and held-out pixels may not.
    hidden
        ``(B, K)`` positions in the flattened S to hide, in host memory, or None for the method to draw them.
    partner
        The same places in the second acquisition, ``(B, C, *S)``, or in the clean image, ``(B, C, *(S * rate))``, in
        the same units; None where the method was given neither.
    """

    pixels: Tensor
    target: Tensor
    hidden: Tensor | None = None
    partner: Tensor | None = None


@dataclass(frozen=True)
class Fit:
    """A config settled for the images at hand.

    Attributes
    ----------
    config
        Without anything left to ``"auto"``.
    spatial
        Axes the method is to look along, such as ``"YX"``.
    normalisation
        Constants the config counts on, or None for training to measure them.
    notes
        What was found out or decided, for the user.
    rival
        The same without neighbouring planes, where training is to find out which is better.
    """

    config: Any
    spatial: str
    normalisation: Normalisation | None = None
    notes: tuple[Note, ...] = ()
    rival: Fit | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class Undone:
    """What a method undoes, and the noise it takes its image to have: what its result can be judged by.

    Attributes
    ----------
    operator
        From the fine grid to the measured one, on the method's device.
    psf
        What the operator blurs with, on the fine grid; None where nothing.
    centred
        As ``Method.centred``.
    noise
        Of the pixels, one entry a channel, in units of the image.
    covariance
        Of the noise with its neighbours, odd along all its axes, about its middle, in squared units of the image; None
        for white noise.
    step
        Of a finite difference of ``restore``, in units of the image.
    """

    operator: Operator
    psf: NDArray[np.float64] | None
    centred: tuple[bool, ...]
    noise: tuple[PixelNoise, ...]
    covariance: NDArray[np.float64] | None = None
    step: float = 1.0


class Method(nn.Module):
    """Base of all methods. A method is this class, a frozen config dataclass, and a row.

    Attributes
    ----------
    listed
        Its row in ``METHODS``: label, citation, what it needs, seconds of training.
    Config
        The frozen dataclass of its settings, with ``Annotated`` bounds.
    efforts
        Settings for ``quick``, ``normal`` and ``thorough``, where they are others than those of ``Config``.
    learning_rate
        At its peak, where the user gives none.
    begins_with
        A file beside the methods with weights that training may begin with, which pictures made by formulas gave;
        empty where there is none.
    clip
        Gradients longer than this are cut to it; None leaves them as they are.
    weight_decay
        Of the weights at each step, times the learning rate (AdamW): towards those that training began with where it
        ``begun`` with any, else towards 0.
    compresses
        Whether its network sees, and gives, what lies far from all else by its logarithm (``compressed``).
    noisy_targets
        Whether the loss is the squared error towards noisy pixels, so that it ends at the variance of the noise.
    keeps_mean
        Whether a result is to have the mean of its image: training ends with measuring ``line`` for that.
    narrower
        Width of its student over its own, where the user gives none: a quarter has a sixteenth of the weights.
    same_blur
        Whether a second image is to be blurred as the first is: only then are the two compared before training.
    chooses
        Whether it has settings that it chooses for the images itself, see ``chosen``, which takes seconds.
    fills
        Whether it gives values to pixels that are not finite: it is then shown NaN in their place, else the mean.
    suffix
        What a result is called after its image's name; with more pixels than the image it is ``"superresolved"``.
    tells_deviations
        Whether it can say how sure each restored pixel is.
    gives_deviations
        Whether ``restore`` gives that, in units of the image's deviation, in the place of the pixels.
    unread
        Pixels along each spatial axis, at either end of what ``restore`` is shown, whose result nobody asks for, as of
        a tile's halo; none where it is empty.
    stopping
        Whether somebody asks to stop; looked at by a ``restore`` that takes long, which then raises ``Interrupted``.
    """

    listed: ClassVar[Listed]
    Config: ClassVar[type]
    efforts: ClassVar[Mapping[Effort, Mapping[str, Any]]]
    begins_with: ClassVar[str] = ""
    learning_rate: float = 2e-3
    clip: ClassVar[float | None] = None
    weight_decay: float = 1e-4
    begun: bool = False
    compresses: bool = False
    noisy_targets: ClassVar[bool] = False
    keeps_mean: bool = False
    same_blur: ClassVar[bool] = True
    chooses: ClassVar[bool] = False
    fills: ClassVar[bool] = False
    narrower: ClassVar[float] = 0.25
    tells_deviations: ClassVar[bool] = False

    gives_deviations: bool = False
    unread: tuple[int, ...] = ()
    config: Any
    spatial: str
    channels: int
    features: Features | None
    suffix: str = "denoised"
    stopping: Callable[[], bool]

    def __init__(self, config: Any, *, spatial: str, channels: int) -> None:
        super().__init__()
        self.stopping = never
        self.config, self.spatial, self.channels = config, spatial, channels

    @classmethod
    def fit_to(cls, config: Any, images: Sequence[Image]) -> Fit:
        """Settle everything the config leaves to ``"auto"`` for these images."""
        raise NotImplementedError

    @classmethod
    def beginning(cls, fit: Fit, known: Any) -> Fit | None:
        """The settings for beginning with ``weights``, whose own are ``known``; None where these do not fit."""
        return None

    def begin_with(self, weights: Mapping[str, Tensor]) -> None:
        """Take ``weights`` for what training begins with.

        Raises
        ------
        RestoreError
            Of a method that has none.
        """
        raise RestoreError(f"{self.label} has no weights to begin with: give `start` none.")

    @classmethod
    def partners(cls, config: Any, images: Sequence[Image], given: Sequence[Image]) -> Sequence[Image]:
        """What goes with the images while it learns, of those ``given`` as second acquisition or as clean image."""
        return given

    @property
    def label(self) -> str:
        """Its name, for people."""
        return self.listed.label

    @property
    def radius(self) -> tuple[int, ...]:
        """Receptive radius along each spatial axis, in pixels."""
        raise NotImplementedError

    @property
    def neighbours(self) -> int:
        """Planes to either side that its network, which has two axes, is shown beside each plane.

        They lie along the first of its three spatial axes. As many planes at either end of what ``restore`` is shown
        are only looked at, and come back as they were.
        """
        return 0

    @property
    def apart(self) -> tuple[int, ...]:
        """Along each spatial axis, which pixel stands for the one before the first (``core.plan.reflected``).

        A plane must not be its own neighbour: what is hidden in it would be seen there.
        """
        return (max(1, self.neighbours), *(1,) * (len(self.spatial) - 1))

    @property
    def border(self) -> tuple[int, ...]:
        """How far past the image's own border ``restore`` has to be shown the mirrored image, in pixels.

        Less than the radius where it mirrors for itself what it is shown whole along an axis.
        """
        return self.radius

    @property
    def padding(self) -> tuple[int, ...]:
        """Pixels that ``restore`` itself adds to either side while it works: they take memory, too."""
        return (0,) * len(self.spatial)

    @property
    def tile(self) -> tuple[int, ...] | None:
        """A good size of tiles along each spatial axis, or None for one that suits the radius of a network."""
        return None

    @property
    def grid(self) -> tuple[int, ...]:
        """Inputs of ``restore`` start on, and are as long as, multiples of this along each spatial axis."""
        raise NotImplementedError

    @property
    def rate(self) -> tuple[int, ...]:
        """Restored pixels to one pixel of the image along each spatial axis."""
        return (1,) * len(self.spatial)

    @property
    def centred(self) -> tuple[bool, ...]:
        """Along each spatial axis: whether an image pixel lies in the middle of its ``rate`` restored pixels.

        True where a pixel is a mean over its area, False where it is a point sample, on the first of them.
        """
        return (True,) * len(self.spatial)

    def student(self, ratio: float) -> tuple[str, dict[str, Any]]:
        """The name and the settings of a smaller method that can learn to give what this one gives.

        Parameters
        ----------
        ratio
            Width of its network over the width of this one's.

        Raises
        ------
        RestoreError
            If there is none.
        """
        raise RestoreError(
            f"{self.label} cannot be distilled: there is no smaller network that learns what it does. Keep the model."
        )

    @property
    def gap(self) -> float:
        """What it is shown in the place of a pixel that is not finite, in units of the image's deviation."""
        return math.nan if self.fills else 0.0

    @property
    def wants_features(self) -> bool:
        """Whether its loss compares images by features: its ``features`` are then given to it before it learns."""
        return False

    @property
    def undoes(self) -> Undone | None:
        """The operator that the result is judged through; None for what takes noise away and nothing else."""
        return None

    @property
    def keeps(self) -> bool:
        """Whether pixels that are finite stay as they are, to the bit, in their own type."""
        return False

    @property
    def mean_line(self) -> Tensor:
        """Of a method that ``keeps_mean``: gain and offset ``(2, channels)``, for training to measure."""
        return self.get_buffer("line")

    @property
    def turns(self) -> bool:
        """Whether flipped and rotated patches are as good to learn from as upright ones."""
        return True

    @property
    def patch(self) -> tuple[int, ...]:
        """A good size for patches along each spatial axis, where the user gives none."""
        return {2: (64, 64), 3: (16, 48, 48)}[len(self.spatial)]

    @property
    def least_patch(self) -> tuple[int, ...]:
        """The smallest patch that it is made to learn from where memory is short, in whole steps of the grid."""
        short = {axis: 4 if axis == "Z" else 32 for axis in self.spatial}
        if self.neighbours:  # a plane cannot do with fewer of them
            short[self.spatial[0]] = self.patch[0]
        each = zip(self.spatial, self.patch, self.grid, strict=True)
        return tuple(min(n, -(-short[axis] // g) * g) for axis, n, g in each)

    def untaught(self) -> Self:
        """A copy that restores as this does before it has learned anything, without what adds nothing yet."""
        return copy.deepcopy(self)

    def in_short(self) -> Self:
        """A copy whose steps and restorations take as much memory, and less time where that can be."""
        return copy.deepcopy(self)

    @property
    def full(self) -> int:
        """Pixels along Y and X from which it holds no more beside its network, ``as_graph``; 0 if it holds nothing."""
        return 0

    def timed(self) -> tuple[Self, float]:
        """A copy whose time on a few pixels tells that of this one, and how many times as long this one takes.

        Of what stops by the values of its pixels: as if it never did.
        """
        return self, 1.0

    def usual(self, sides: Sequence[int]) -> NDArray[np.float32]:
        """Pixels ``(1, C, *sides)`` that take as long as those of an image."""
        return np.zeros((1, self.channels, *sides), np.float32)

    @property
    def batch(self) -> int | None:
        """A good number of patches a step, or None for one that suits the size of the patches."""
        return None

    def plain(self, pixels: Tensor) -> Tensor:
        """What there would be without learning, on the grid of ``restore``'s result."""
        return pixels

    def in_two(self, batch: Batch, rng: torch.Generator) -> Batch:
        """Patches with a partner of noise of its own, made of the same pixels; as they are, of methods that hide some.

        By these it is told whether planes beside a plane help to predict it, before anything is learned.
        """
        return batch

    def forward(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """The loss, a scalar.

        Raises
        ------
        RestoreError
            Of a method that learns nothing.
        """
        raise RestoreError(f"{self.label} has nothing to train: restore with it as it is.")

    def chosen(
        self, images: Sequence[Image], *, rng: np.random.Generator, stopping: Callable[[], bool]
    ) -> tuple[Self, tuple[Note, ...]]:
        """Itself with settings that suit the images, and what to say: before training, or in place of it.

        Raises
        ------
        Interrupted
            If ``stopping`` says so.
        """
        return self, ()

    def choosing_bytes(self, images: Sequence[Image]) -> int:
        """Bytes of the tensors that exist at once while it is ``chosen``, as far as that can be told in a second."""
        return 0

    def memory(self) -> Mapping[str, Tensor]:
        """What training goes on from besides weights and random numbers: kept in checkpoints, not in models."""
        return {}

    def recall(self, memory: Mapping[str, Tensor]) -> None:
        """Go on from what ``memory`` gave."""
        return

    def finish(self, batch: Batch) -> None:
        """Settle what can be told only after training, from held-out patches; most methods have nothing."""
        return

    def remarks(self) -> Iterator[Note]:
        """What the user is told of that."""
        yield from ()

    def restore(self, pixels: Tensor) -> Tensor:
        """Restored ``(B, C, *(S * rate))`` from ``(B, C, *S)``, both in units of the image's deviation."""
        raise NotImplementedError

    def foretold(self, pixels: Tensor) -> tuple[Tensor, Tensor] | None:
        """What each pixel of ``(B, C, *S)`` is foretold to be measured as, from the others alone, and its deviation.

        Noise and prediction together; None of a method that does not foretell.
        """
        return None

    def deviations(self) -> Self | None:
        """A copy whose ``restore`` gives the standard deviation of each restored pixel; None where it cannot tell."""
        if not self.tells_deviations:
            return None
        clone = copy.deepcopy(self)
        clone.gives_deviations, clone.suffix = True, "std"
        return clone

    def mean_squared_error(self, pixels: Tensor) -> NDArray[np.float64] | None:
        """Of what ``restore`` makes of ``(B, C, *S)``, of each channel, told without a truth; None where it cannot.

        In squared units of the image's deviation, as the pixels are; nan of a channel that has none.
        """
        return None

    @property
    def has_graph(self) -> bool:
        """Whether its ``restore`` can be a graph, where no value of a pixel chooses a step and no number is complex."""
        return True

    def as_graph(self) -> Self:
        """Itself, or a copy without the steps that no graph of a network can hold."""
        return self

    def for_restoring(self) -> Self:
        """A copy whose ``restore`` gives the same pixels sooner: batch normalisation is folded into the convolutions.

        Its weights lie as the pixels do: otherwise a model from a file would differ in the last bit from the one in
        memory, and channels_first convolutions take twice the time on a CPU.
        """
        clone = channels_last(copy.deepcopy(self))
        fold_batch_norm(clone)
        return clone.requires_grad_(False)
