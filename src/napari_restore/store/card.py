"""Everything that the card of a model may say, with its bounds: a file may come from anybody."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from annotated_types import Interval, Len
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from napari_restore.core.errors import ModelError

MOST_CHANNELS = 4096
"""Of an image: spectral cameras have hundreds."""

_MOST_PIXELS = 2**20
_MOST_PARAMETERS = 2**40

_BY_CHANNEL = ("sigma", "gain", "offset", "mean", "std")
_LATER = ("units", "unexplained", "errors", "told", "alike", "correlation")
"""Settings that methods settle for each channel of the images they learn from: before training, and after it."""

_NEEDS_NOISE = "posterior"
"""The method that restores nothing without knowing the noise; others may have measured none."""

Finite = Annotated[float, Interval(gt=-1e38, lt=1e38)]
"""In the range of float32, which images are restored in."""

Deviation = Annotated[float, Interval(ge=0, lt=1e38)]
Side = Annotated[int, Interval(ge=0, lt=_MOST_PIXELS)]


class _Said(BaseModel):
    """Strict: a text is no number, and nothing is NaN or infinite. What a newer release adds is left aside."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False, extra="ignore")


class Constants(_Said):
    """What pixels are brought to zero mean and unit deviation by, a channel. A constant channel has deviation 0."""

    mean: list[Finite]
    std: list[Deviation]


class Seen(_Said):
    """An image that the model was trained on."""

    name: str
    location: str | None = None
    axes: str
    shape: list[Annotated[int, Interval(ge=0)]]


class Past(_Said):
    """Where a model comes from; methods and front ends add more, which is shown and nothing else."""

    images: list[Seen] = []
    more_images: Annotated[int, Interval(ge=0)] = 0
    date: str = ""
    versions: dict[str, str] = {}


class Card(_Said):
    """A model in words and numbers.

    Attributes
    ----------
    config
        Checked by the method's own bounds once there is such a method.
    radius, grid
        Pixels along each axis of ``spatial``.
    """

    method: Annotated[str, Len(1, 100)]
    config: dict[str, Any]
    spatial: Literal["YX", "ZYX", "TYX"]
    channels: Annotated[int, Interval(ge=1, le=MOST_CHANNELS)]
    radius: list[Side] | None = None
    grid: list[Side] | None = None
    parameters: Annotated[int, Interval(ge=0, lt=_MOST_PARAMETERS)] | None = None
    normalisation: Constants
    precision: Literal["float32", "bfloat16"]
    provenance: Past

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        """Lengths: one entry a channel, or an axis."""
        beside = self.config.get("neighbours", "0") not in ("auto", "0")
        if self.spatial == ("YX" if beside else "TYX"):
            raise ValueError(f"neighbours {self.config.get('neighbours', 0)} do not go with the axes {self.spatial}")
        for name, axes in (("radius", self.radius), ("grid", self.grid)):
            if axes is not None and len(axes) != len(self.spatial):
                raise ValueError(f"{name} has {len(axes)} entries for the axes {self.spatial}")
        rows = {f"normalisation.{name}": getattr(self.normalisation, name) for name in ("mean", "std")}
        settled = {k: v for k, v in self.config.items() if k in (*_BY_CHANNEL, *_LATER) and isinstance(v, list)}
        needed = _BY_CHANNEL if self.method == _NEEDS_NOISE else ()
        rows |= {f"config.{k}": v for k, v in settled.items() if v or k in needed}
        for name, row in rows.items():
            if len(row) != self.channels:
                raise ValueError(f"{name} has {len(row)} entries for {self.channels} channels")
        if not any(self.normalisation.std):
            raise ValueError("normalisation.std is 0 throughout: it was trained on nothing")
        return self


def checked_card(path: Path, card: Mapping[str, Any]) -> Card:
    """What a card says, if it may.

    Raises
    ------
    ModelError
        With the first entry that may not be so, and what it may be.
    """
    try:
        return Card.model_validate(dict(card))
    except ValidationError as error:
        raise ModelError(f"{path} does not describe a model this release can build: {_first(error)}") from None


def _first(error: ValidationError) -> str:
    """The first thing that is wrong, on one line."""
    first = error.errors(include_url=False, include_context=False)[0]
    where, said = ".".join(map(str, first["loc"])), str(first["msg"]).removeprefix("Value error, ")
    if not where:
        return said
    given = "" if first["type"] == "missing" else f" = {repr(first['input'])[:60]}"
    return f"{where}{given}: {said}"
