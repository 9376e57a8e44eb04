"""What long work says while it runs: small frozen facts that survive JSON.

napari, the progress bars, JSON lines and scripts are consumers of the same generators of these.
"""

from __future__ import annotations

import base64
import json
import typing
import zlib
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_restore.core.region import Region


@dataclass(frozen=True)
class Note:
    """Something the user should know: a choice that was made for them and why, or a warning."""

    text: str
    level: typing.Literal["info", "warning"] = "info"


@dataclass(frozen=True)
class TrainingStarted:
    """Training is set up; the first step comes next.

    ``floor`` is the held-out loss that noise alone makes, of a perfect result; None where that is not known.
    """

    method: str
    device: str
    precision: str
    parameters: int
    patch: tuple[int, ...]
    batch: int
    steps: int | None
    seconds: float | None
    floor: float | None = None


@dataclass(frozen=True)
class Measured:
    """How training goes. ``loss`` and ``validation`` are in units of the image's variance."""

    step: int
    seconds: float
    loss: float
    validation: float | None
    learning_rate: float
    fraction: float
    remaining: float | None


@dataclass(frozen=True, eq=False)
class Preview:
    """The plane in view restored by the network as it is now, in the units of the image.

    ``region`` says which part of the image, in its pixels and in the order of its axes; ``pixels`` has the region's
    shape, or where the method refines the image a whole multiple of it along each axis. ``across`` says that it is the
    plane that cuts the one in view.
    """

    step: int
    region: Region
    pixels: NDArray[np.float32]
    across: bool = False


@dataclass(frozen=True)
class Checkpointed:
    """A checkpoint is on disk; training can be resumed from it."""

    step: int
    path: str


@dataclass(frozen=True)
class Trained:
    """Training reached its budget."""

    step: int
    seconds: float
    validation: float | None


@dataclass(frozen=True)
class RestorationStarted:
    """The plan is made and the output exists; ``path`` can be shown while it fills in.

    ``tile`` and ``halo`` are in image pixels. ``rate`` and ``centred`` say how the output's pixels lie in those of the
    image, as in ``Geometry.refined``. All four have one entry an axis, in the order of the image's axes; an empty
    ``rate`` stands for the image's own pixels. ``suffix`` is what the result is called after the image's name, and
    ``method`` the name of what makes it.
    ``memory`` is what this process will hold at its highest, ``device_memory`` what the run takes on a graphics card,
    in bytes; None where other processes do the work.
    """

    path: str
    array: str
    tiles: int
    done: int
    tile: tuple[int, ...]
    halo: tuple[int, ...]
    batch: int
    dtype: str
    device: str
    precision: str
    rate: tuple[int, ...] = ()
    centred: tuple[bool, ...] = ()
    suffix: str = "denoised"
    method: str = ""
    memory: int | None = None
    device_memory: int | None = None


@dataclass(frozen=True)
class TileDone:
    """One tile is written and in the journal. ``region`` is in the output's pixels."""

    index: int
    done: int
    tiles: int
    region: Region
    seconds: float
    remaining: float | None


@dataclass(frozen=True)
class Compared:
    """The learned result beside classical ones of the same part of the image, judged without the truth.

    ``rows`` are name, estimated error in units of the image (SURE, root mean square, as the measured image sees it),
    structure left in the residual (0 for none), and the residual over the noise (near 1 where only noise was left
    out). The first is the learned result; ``best`` is the name of the row with the least error.
    """

    rows: tuple[tuple[str, float, float, float], ...]
    best: str


@dataclass(frozen=True)
class Saved:
    """A finished file or folder is in its place under its final name."""

    path: str
    what: typing.Literal["model", "image", "picture", "report"]


@dataclass(frozen=True)
class Stopped:
    """The user asked for a stop; what there is has been kept and can be resumed."""

    what: typing.Literal["training", "restoration", "batch"]
    step: int
    path: str | None


@dataclass(frozen=True)
class FileState:
    """One of several files that are worked on is in another state now; each is said to be waiting first.

    ``reason`` is one line that says why a file was skipped or failed; ``output`` is where its result is or will be.
    ``redo`` says that it failed only because the image, or how it is restored, has changed since its result was made.
    """

    index: int
    files: int
    path: str
    output: str
    state: typing.Literal["waiting", "running", "done", "skipped", "failed"]
    reason: str = ""
    redo: bool = False


@dataclass(frozen=True)
class Failed:
    """Work ended with an error; for consumers into which no exception may escape."""

    kind: str
    message: str


Event = (
    Note
    | TrainingStarted
    | Measured
    | Preview
    | Checkpointed
    | Trained
    | RestorationStarted
    | TileDone
    | Compared
    | Saved
    | Stopped
    | FileState
    | Failed
)

_KINDS: dict[str, type] = {kind.__name__: kind for kind in typing.get_args(Event)}


def to_json(event: Event) -> str:
    """One line of JSON that ``from_json`` turns back into an equal event."""
    content = {f.name: _plain(getattr(event, f.name)) for f in fields(event)}
    return json.dumps({"event": type(event).__name__, **content})


def from_json(line: str) -> Event:
    """The event a line of JSON stands for."""
    content = json.loads(line)
    kind = _KINDS[content.pop("event")]
    event: Event = kind(**{name: _rich(value) for name, value in content.items()})
    return event


def _plain(value: Any) -> Any:
    if isinstance(value, Region):
        return {"region": asdict(value)}
    if isinstance(value, np.ndarray):
        data = base64.b64encode(zlib.compress(np.ascontiguousarray(value).tobytes(), 1)).decode()
        return {"array": data, "dtype": str(value.dtype), "shape": list(value.shape)}
    return value


def _rich(value: Any) -> Any:
    if isinstance(value, dict) and "region" in value:
        return Region(tuple(value["region"]["start"]), tuple(value["region"]["stop"]))
    if isinstance(value, dict) and "array" in value:
        data = zlib.decompress(base64.b64decode(value["array"]))
        return np.frombuffer(data, value["dtype"]).reshape(value["shape"])
    return tuple(_rich(v) for v in value) if isinstance(value, list) else value
