"""What a user may say about a piece of work, in five groups. Each option is explained here, once, for all doors.

The text under *Attributes* is what ``help(denoise)``, ``napari-restore denoise --help`` and a tooltip say.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Interval, Lt

from napari_restore.core.checked import check

Effort = Literal["instant", "quick", "normal", "thorough"]
Precision = Literal["auto", "float32", "bfloat16"]
Unreadable = Literal["fail", "fill"]
Incomplete = Literal["refuse", "use"]
Version = Literal["0.5", "0.4"]
Outliers = Literal["keep", "replace"]
Fill = float | Literal["auto", "none"]

Count = Annotated[int, Gt(0), Lt(2**31)]
Positive = Annotated[float, Gt(0), Lt(math.inf)]


@dataclass(frozen=True, kw_only=True)
class Opening:
    """How an image is opened.

    Attributes
    ----------
    axes
        What the axes of the image are, one letter of TCZYX each, where the file does not say, or says it wrongly. Where
        one axis of the file is several, a number in brackets says of how many planes: ``TC(2)YX`` has 2 channels in
        turn at each time, ``C(2)TYX`` first all times of one channel, then those of the other.
    pixel_size
        Distance between pixels by letter, ``{"Z": 0.3, "Y": 0.1, "X": 0.1}``, or one number an axis, or an axis of
        space: in the image's own unit, in micrometers where it has none.
    channel
        The one channel to take: its index, counted from 0, or its name.
    series
        The image to take where a file holds several (positions, wells, angles), or belongs to files that do: its index,
        counted from 0, or its name, as ``napari-restore info`` lists them. Where not given, the one whose pixels lie in
        the file.
    incomplete
        Of an acquisition that was stopped, ``refuse`` it, or ``use`` the whole time points that are there; the whole
        planes where there are no times.
    fill
        The value of pixels that were not measured, such as -3024 around a CT: they are neither learned from nor
        changed. ``auto`` takes what the file says, and large areas of one exact value; ``none`` takes all for measured.
    """

    axes: str | None = None
    pixel_size: Mapping[str, Positive] | Sequence[Positive] | None = None
    channel: int | str | None = None
    series: int | str | None = None
    incomplete: Incomplete = "refuse"
    fill: Fill = "auto"

    def __post_init__(self) -> None:
        # A list of letters is as good as a text, and an array as a row of numbers.
        object.__setattr__(self, "axes", _joined(self.axes))
        object.__setattr__(self, "pixel_size", _row(self.pixel_size))
        check(self)


@dataclass(frozen=True, kw_only=True)
class Computing:
    """Where a run computes, and what its chances are.

    Attributes
    ----------
    device
        ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``: auto takes a graphics card where there is one.
    precision
        ``auto``, ``float32`` or ``bfloat16``. Bfloat16 is faster where the device has it, which is when auto takes it,
        and where a trained model was found to stand it.
    seed
        Where all chance comes from: the same seed, budget in steps and machine give the same result.
    """

    device: str = "auto"
    precision: Precision = "auto"
    seed: Annotated[int, Ge(0), Lt(2**63)] = 0

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, kw_only=True)
class Training:
    """What a method learns from besides the image, and for how long.

    Attributes
    ----------
    second
        Another acquisition of the same, for methods that want one.
    target
        The clean image, for methods that want it.
    start
        What a network begins with. ``auto``: weights that were learned from pictures made by formulas, where the method
        has such and they predict pixels of this image; ``none``: nothing, so that all is learned from this image alone;
        or a trained model, or its file, to go on from with its method and its settings: a budget of seconds brings it
        to new images of the same kind.
    effort
        ``quick``, ``normal`` or ``thorough``: how long to train, and how large the network is. ``instant`` trains
        nothing: a classical method takes seconds, where there is one for what is asked (``deblur``).
    steps
        Train for so many steps, instead of the effort's time. With seconds as well, whichever comes first.
    seconds
        Train for so many seconds, instead of the effort's time.
    patch
        Pixels of a patch along each spatial axis of the method, which chooses where none are given.
    batch
        Patches a step; the method's own number where not given.
    learning_rate
        At its peak; the method's own where not given.
    """

    second: Any = None
    target: Any = None
    start: Any = "auto"
    effort: Effort = "normal"
    steps: Count | None = None
    seconds: Positive | None = None
    patch: Sequence[Count] | None = None
    batch: Count | None = None
    learning_rate: Positive | None = None

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, kw_only=True)
class Restoring:
    """How an image is restored.

    Attributes
    ----------
    model
        A trained model, or its file, to restore with instead of training.
    tile
        Pixels restored at a time along each spatial axis of the method; chosen by the network where not given.
    together
        Tiles that go through the network at once; chosen by the device where not given.
    memory_share
        Part of the free memory, of this machine and of its graphics card, that may be used: over 0, at most 1. Where
        whole tiles do not fit, they go through the network in pieces, with the same result.
    unreadable
        What becomes of a chunk of the image that cannot be read, after it was tried again: ``fail`` ends the run, which
        can be resumed; with "fill" its pixels are taken for 0, which is said.
    region
        The part of the image to restore, in pixels by axis, ``{"Y": (0, 512), "X": (100, 612)}``; all of it where not
        given. Training looks at the whole image in any case.
    outliers
        What becomes of pixels that lie far from all others, such as hot ones: ``keep`` hands them on as they are,
        ``replace`` puts there what is predicted from around. They are never learned from.
    uncertainty
        Also give the standard deviation of each restored pixel, by methods that can tell it: a second image in the
        OME-Zarr, ``uncertainty.zarr``, or a file ``*_std`` beside the TIFF.
    client
        A dask ``distributed.Client`` whose workers restore the tiles, from and to files that all of them see.
    """

    model: Any = None
    tile: Sequence[Count] | None = None
    together: Count | None = None
    memory_share: Annotated[float, Interval(gt=0, le=1)] = 0.8
    unreadable: Unreadable = "fail"
    region: Any = None
    outliers: Outliers = "keep"
    uncertainty: bool = False
    client: Any = None

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, kw_only=True)
class Writing:
    """Where results go.

    Attributes
    ----------
    output
        Where to, a name ending in ``.zarr``, ``.tif`` or ``.tiff``; where not given a temporary folder, which is
        removed when nobody holds the result any more, or when the program ends.
    save_model
        Also keep the trained model, in this ``.safetensors`` file.
    resume
        Go on with an unfinished output of the same image and settings, its training too; one that is whole is done.
    overwrite
        Replace what lies at the output, once the new result is complete.
    version
        Of OME-Zarr: ``0.5`` or ``0.4``.
    report
        Also write one page of HTML with pictures: what was done, noise, error bars, guards against invented structure,
        settings, how to cite.
    """

    output: str | Path | None = None
    save_model: str | Path | None = None
    resume: bool = True
    overwrite: bool = False
    version: Version = "0.5"
    report: str | Path | None = None

    def __post_init__(self) -> None:
        check(self)


def _joined(axes: Any) -> Any:
    letters = isinstance(axes, list | tuple) and all(isinstance(each, str) for each in axes)
    return "".join(axes) if letters else axes


def _row(sizes: Any) -> Any:
    row = hasattr(sizes, "__len__") and hasattr(sizes, "__iter__") and not isinstance(sizes, str | bytes | Mapping)
    return tuple(sizes) if row else sizes


GROUPS = (Opening, Training, Computing, Restoring, Writing)
