"""The same verbs in the shell. Exit 0 done; 2 bad input, with one line that says what to do; 130 stopped."""

from __future__ import annotations

import json
import logging
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.exceptions import TyperException

from napari_restore import __version__
from napari_restore.core.errors import InterruptedWorkError, OutputError, RestoreError
from napari_restore.core.events import Event, Saved, Stopped, to_json
from napari_restore.core.job import Events, drain

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Clear images from noisy stacks, without clean training data.",
)

Input = Annotated[str, typer.Argument(metavar="IN", help="TIFF, folder of slices, DICOM series, OME-Zarr, NPY ...")]
Inputs = Annotated[list[Path], typer.Argument(metavar="IN...", help="Images with the same axes and channels.")]
Output = Annotated[Path, typer.Option("-o", "--output", metavar="OUT", help="A name ending in .zarr, .tif or .tiff.")]
MethodName = Annotated[str, typer.Option("--method", metavar="M", help="A name from `methods`, or auto.")]
Second = Annotated[Path | None, typer.Option("--second", metavar="IN2", help="Another acquisition of the same.")]
Target = Annotated[
    Path | None, typer.Option("--target", metavar="CLEAN", help="The clean image, for methods that want it.")
]
Effort = Annotated[Literal["quick", "normal", "thorough"], typer.Option(help="Size of the network and time to train.")]
Seconds = Annotated[float | None, typer.Option(metavar="S", help="Train for so many seconds.")]
Steps = Annotated[int | None, typer.Option(metavar="N", help="Train for so many steps.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")]
Precision = Annotated[str, typer.Option(help="auto, float32 or bfloat16.")]
Seed = Annotated[int, typer.Option(help="Same seed, same result.")]
Axes = Annotated[
    str | None, typer.Option(help="What the axes are, one letter of TCZYX each, where the file does not say.")
]
Channel = Annotated[int | None, typer.Option(help="The one channel to take, counted from 0.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with an unfinished output or run.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the output if it exists.")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A setting of the method; may be given often.")
]
PointSpread = typer.Option(
    metavar="PSF",
    help="gaussian:STD, box:RADIUS, motion:LENGTH,ANGLE, theory:NA=..,wavelength=..,pixel=.. or an image file; "
    "gaussian:1.5..2.5 tries three.",
)
Noise = Annotated[str, typer.Option(metavar="auto|SIGMA", help="Standard deviation of the noise, in grey values.")]
SaveModel = Annotated[Path | None, typer.Option(metavar="M.safetensors", help="Also keep the trained model.")]
ImagingMethod = Annotated[str, typer.Option("--method", metavar="M", help="scale_equivariant, sure, css ...")]
UseModel = Annotated[Path | None, typer.Option(metavar="M", help="Restore with this model instead of training.")]
Version = Annotated[Literal["0.5", "0.4"], typer.Option("--ome-zarr", help="Version of an OME-Zarr output.")]
Json = Annotated[bool, typer.Option("--json", help="JSON on stdout: an event a line, or one object.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Say nothing but errors.")]
_ANSWER = 10
"""Seconds in which a dask scheduler has to answer."""


def main() -> None:
    """Run the shell command, and turn what the user got wrong into one line and exit code 2."""
    # What these libraries log is said again, better, by our own errors and events.
    for library in ("tifffile", "pydicom"):
        logging.getLogger(library).setLevel(logging.CRITICAL)
    try:
        sys.exit(app(standalone_mode=False))
    except TyperException as error:
        said = error.format_message() if hasattr(error, "format_message") else str(error)
        # Called without a command, it has printed its help already.
        _fail(f"{said} Try napari-restore --help.") if said else sys.exit(2)
    except InterruptedWorkError as error:
        print(f"napari-restore: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(130)
    except RestoreError as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"{error.filename or 'the system'}: {error.strerror or error}")
    except KeyboardInterrupt:
        sys.exit(130)


@app.command()
def denoise(
    image: Input,
    output: Output,
    method: MethodName = "auto",
    second: Second = None,
    target: Target = None,
    model: UseModel = None,
    effort: Effort = "normal",
    seconds: Seconds = None,
    steps: Steps = None,
    save_model: SaveModel = None,
    setting: Settings = None,
    device: Device = "auto",
    precision: Precision = "auto",
    seed: Seed = 0,
    axes: Axes = None,
    channel: Channel = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    version: Version = "0.5",
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train on a noisy image and restore it."""
    from napari_restore import denoise_events

    with _stoppable() as stop:
        _show(
            denoise_events(
                image, second=second, target=target, method=method, model=model, effort=effort, seconds=seconds,
                steps=steps, output=output, save_model=save_model, device=device, precision=precision, seed=seed,
                axes=axes, channel=channel, resume=resume, overwrite=overwrite, version=version, stop=stop,
                **_settings(setting),
            ),
            as_json=as_json, quiet=quiet,
        )  # fmt: skip


@app.command("super-resolve")
def super_resolve(
    image: Input,
    output: Output,
    factor: Annotated[str, typer.Option(metavar="N|AXIS=N", help="Pixels for one in Y and X; Z=4 for planes.")] = "2",
    psf: Annotated[str | None, PointSpread] = None,
    noise: Noise = "auto",
    method: ImagingMethod = "auto",
    second: Second = None,
    target: Target = None,
    model: UseModel = None,
    effort: Effort = "normal",
    seconds: Seconds = None,
    steps: Steps = None,
    save_model: SaveModel = None,
    setting: Settings = None,
    device: Device = "auto",
    precision: Precision = "auto",
    seed: Seed = 0,
    axes: Axes = None,
    channel: Channel = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    version: Version = "0.5",
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train on an image and make its pixels finer."""
    from napari_restore import super_resolve_events

    with _stoppable() as stop:
        _show(
            super_resolve_events(
                image, factor=_factor(factor), psf=psf, noise=noise, second=second, target=target, method=method,
                model=model, effort=effort, seconds=seconds, steps=steps, output=output, save_model=save_model,
                device=device, precision=precision, seed=seed, axes=axes, channel=channel, resume=resume,
                overwrite=overwrite, version=version, stop=stop, **_settings(setting),
            ),
            as_json=as_json, quiet=quiet,
        )  # fmt: skip


@app.command()
def deblur(
    image: Input,
    output: Output,
    psf: Annotated[str, PointSpread],
    noise: Noise = "auto",
    method: ImagingMethod = "auto",
    second: Second = None,
    target: Target = None,
    model: UseModel = None,
    effort: Effort = "normal",
    seconds: Seconds = None,
    steps: Steps = None,
    save_model: SaveModel = None,
    setting: Settings = None,
    device: Device = "auto",
    precision: Precision = "auto",
    seed: Seed = 0,
    axes: Axes = None,
    channel: Channel = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    version: Version = "0.5",
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train on an image and undo its blur."""
    from napari_restore import deblur_events

    with _stoppable() as stop:
        _show(
            deblur_events(
                image, psf=psf, noise=noise, second=second, target=target, method=method, model=model,
                effort=effort, seconds=seconds, steps=steps, output=output, save_model=save_model, device=device,
                precision=precision, seed=seed, axes=axes, channel=channel, resume=resume, overwrite=overwrite,
                version=version, stop=stop, **_settings(setting),
            ),
            as_json=as_json, quiet=quiet,
        )  # fmt: skip


@app.command()
def train(
    images: Inputs,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="M.safetensors", help="Where to put the model.")],
    method: MethodName = "auto",
    second: Second = None,
    target: Target = None,
    start: Annotated[
        Path | None, typer.Option("--from", metavar="M.safetensors", help="Go on from this model, on these images.")
    ] = None,
    effort: Effort = "normal",
    seconds: Seconds = None,
    steps: Steps = None,
    run: Annotated[Path | None, typer.Option(metavar="DIR", help="Keep events and checkpoints here.")] = None,
    resume: Resume = False,
    setting: Settings = None,
    device: Device = "auto",
    precision: Precision = "auto",
    seed: Seed = 0,
    axes: Axes = None,
    channel: Channel = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a method on images and keep the model."""
    from napari_restore import train_events
    from napari_restore.training.ranks import find_ranks

    speaks = find_ranks().first  # of the processes of torchrun, one prints and saves
    if resume and run is None:
        raise RestoreError("--resume needs --run DIR, the folder with the checkpoints.")
    _check_model_path(output)
    with _stoppable() as stop:
        events = train_events(
            list(images), method, second=second, target=target, start=start, effort=effort, seconds=seconds,
            steps=steps, run=run, resume=resume, device=device, precision=precision, seed=seed, axes=axes,
            channel=channel, stop=stop, **_settings(setting),
        )  # fmt: skip
        _show(_saving(events, output) if speaks else events, as_json=as_json and speaks, quiet=quiet or not speaks)


@app.command()
def restore(
    image: Input,
    model: Annotated[Path, typer.Option(metavar="M.safetensors", help="From `train` or --save-model.")],
    output: Output,
    resume: Resume = False,
    overwrite: Overwrite = False,
    version: Version = "0.5",
    match_intensity: Annotated[
        bool, typer.Option("--match-intensity", help="Bring IMAGE to the mean and deviation the model was trained on.")
    ] = False,
    unreadable: Annotated[
        Literal["fail", "fill"],
        typer.Option(help="Where a chunk of IMAGE cannot be read: end there, resumable, or take 0 for its pixels."),
    ] = "fail",
    memory_share: Annotated[
        float, typer.Option(metavar="SHARE", help="Part of the free memory that may be used, over 0 and at most 1.")
    ] = 0.8,
    dask: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="A dask scheduler, or its scheduler file: its workers do it.")
    ] = None,
    device: Device = "auto",
    precision: Precision = "auto",
    seed: Seed = 0,
    axes: Axes = None,
    channel: Channel = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Restore an image with a trained model."""
    from napari_restore import restore_events

    with _stoppable() as stop, _cluster(dask) as client:
        _show(
            restore_events(
                image, model, output=output, resume=resume, overwrite=overwrite, device=device, precision=precision,
                axes=axes, channel=channel, version=version, match_intensity=match_intensity, client=client,
                unreadable=unreadable, memory_share=memory_share, stop=stop,
            ),
            as_json=as_json, quiet=quiet,
        )  # fmt: skip


@app.command()
def batch(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="With images, each of which is restored by itself.")],
    model: Annotated[Path, typer.Option(metavar="M.safetensors", help="From `train` or --save-model.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="OUTDIR", help="Made where it is missing.")],
    pattern: Annotated[str, typer.Option(metavar="'*.tif'", help="Which files; in quotes.")] = "*",
    suffix: Annotated[str | None, typer.Option(metavar="WORD", help="For the names of the results.")] = None,
    format: Annotated[
        Literal["auto", "zarr", "tiff"], typer.Option(help="auto: OME-TIFF for TIFF, OME-Zarr for all else.")
    ] = "auto",
    overwrite: Overwrite = False,
    version: Version = "0.5",
    device: Device = "auto",
    precision: Precision = "auto",
    axes: Axes = None,
    channel: Channel = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Restore each image of a folder with a trained model; again, it does what is not done yet."""
    from napari_restore import restore_folder_events

    with _stoppable() as stop:
        states = _show(
            restore_folder_events(
                folder, model, output=output, pattern=pattern, suffix=suffix, format=format, overwrite=overwrite,
                version=version, device=device, precision=precision, axes=axes, channel=channel, stop=stop,
            ),
            as_json=as_json, quiet=quiet,
        )  # fmt: skip
    if failed := [state for state in states if state.state == "failed"]:
        first = f"{Path(failed[0].path).name}: {failed[0].reason}"
        raise RestoreError(f"{len(failed)} of {len(states)} images failed, the others are done. {first}")


@app.command()
def evaluate(
    image: Annotated[Path, typer.Argument(metavar="IMAGE")],
    reference: Annotated[Path | None, typer.Option(metavar="REF", help="The truth, of the same shape.")] = None,
    model: Annotated[
        Path | None, typer.Option(metavar="MODEL", help="Judge what this denoiser makes of IMAGE, without a truth.")
    ] = None,
    axes: Axes = None,
    channel: Channel = None,
    as_json: Json = False,
) -> None:
    """Measure an image: by itself, against a reference, or what a model makes of it."""
    from napari_restore import evaluate as measure

    values = measure(image, reference, model=model, axes=axes, channel=channel)
    _tell(values, as_json=as_json)


@app.command()
def info(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="An image or a model.")],
    axes: Axes = None,
    as_json: Json = False,
) -> None:
    """Say what an image or a model is."""
    if path.suffix == ".safetensors" or _looks_like_model(path):
        from napari_restore.store.weights import read_card

        _tell({"kind": "model", **read_card(path)}, as_json=as_json)
        return
    from napari_restore.sources import open_image

    opened = open_image(path, axes=axes)
    _tell(
        {
            "kind": "image",
            "name": opened.name,
            **asdict(opened.geometry),
            "dtype": str(opened.dtype),
            "chunks": opened.chunks,
            "bytes": opened.nbytes,
            "notes": opened.notes,
        },
        as_json=as_json,
    )


@app.command()
def methods(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="One of them: what it is and can be set.")] = None,
    as_json: Json = False,
) -> None:
    """List what there is to restore with, or tell of one method what can be set."""
    if name is not None:
        from napari_restore.cli.method_help import in_lines, method_facts

        facts = method_facts(name)
        print(json.dumps(facts, indent=1) if as_json else in_lines(facts))  # noqa: T201
        return
    from napari_restore import list_methods

    rows = list_methods()
    if as_json:
        print(json.dumps(rows, indent=1))  # noqa: T201
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("name", "method", "needs", "citation", box=None, pad_edge=False)
    for row in rows:
        table.add_row(*row.values())
    Console().print(table)


@app.command()
def demo(
    output: Annotated[Path, typer.Option("--output", metavar="DIR", help="Where the results go.")] = Path(
        "napari-restore-demo"
    ),
    seconds: Annotated[float, typer.Option(metavar="S", help="Seconds of training for each of the two samples.")] = 40,
    device: Device = "auto",
    seed: Seed = 0,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Restore two noisy samples the package makes itself, and show what it gains."""
    from napari_restore.cli.demo import demo_events, table

    with _stoppable() as stop:
        rows = _show(
            demo_events(output, seconds=seconds, device=device, seed=seed, stop=stop), as_json=as_json, quiet=quiet
        )
    if as_json:
        print(json.dumps({"demo": rows}))  # noqa: T201
    elif not quiet:
        table(rows)


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, typer.Option("--version", help="Say the version and leave.")] = False) -> None:
    if version:
        print(__version__)  # noqa: T201
        raise typer.Exit


@contextmanager
def _stoppable() -> Iterator[threading.Event]:
    """Ctrl-C and SIGTERM set the event; the work ends at its next step. A second Ctrl-C ends it at once."""
    stop = threading.Event()

    def ask(number: int, _: Any) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        print("stopping at the next step ...", file=sys.stderr)  # noqa: T201

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _cluster(address: str | None) -> AbstractContextManager[Any]:
    """The client of a dask scheduler, closed afterwards; None without an address."""
    if address is None:
        return nullcontext()
    try:
        from distributed import Client
    except ImportError:
        raise RestoreError('--dask needs dask.distributed: pip install "napari-restore[cluster]".') from None
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    where = {"scheduler_file": address} if address.endswith(".json") else {"address": address}
    try:
        client: AbstractContextManager[Any] = Client(**where, timeout=_ANSWER)
    except (OSError, ValueError) as error:
        raise RestoreError(
            f"--dask {address}: no dask scheduler answers there within {_ANSWER} s ({type(error).__name__}). Give what "
            "it says on starting, as in tcp://host:8786, or its scheduler file."
        ) from None
    return client


def _saving(events: Events[Any], path: Path) -> Events[Any]:
    model = yield from events
    yield Saved(str(model.save(path)), "model")
    return model


def _show(events: Events[Any], *, as_json: bool, quiet: bool) -> Any:
    """Run long work with JSON lines, progress bars or plain lines; exit with 130 when it was stopped."""
    from napari_restore.cli.progress import Bars, Lines

    stopped: list[Stopped] = []
    consumer = None if as_json else Bars() if sys.stderr.isatty() and not quiet else Lines(quiet=quiet)

    def see(event: Event) -> None:
        if isinstance(event, Stopped):
            stopped.append(event)
        if consumer is None:
            print(to_json(event), flush=True)  # noqa: T201
        else:
            consumer.see(event)

    with consumer or nullcontext():
        result = drain(events, see)
    if stopped:
        if not quiet and not as_json:
            print(_how_to_go_on(stopped[-1]), file=sys.stderr)  # noqa: T201
        raise typer.Exit(130)
    return result


def _how_to_go_on(event: Stopped) -> str:
    if event.what == "batch":
        return f"stopped after {event.step} images; the same command goes on"
    reached = f"training at step {event.step}" if event.what == "training" else f"restoring after {event.step} tiles"
    said = "the same command with --resume goes on" if event.path else "it cannot be resumed without --run"
    return f"stopped {reached}; {said}"


def _settings(given: list[str] | None) -> dict[str, Any]:
    """Settings of the method from NAME=VALUE; the method's config checks them."""
    settings: dict[str, Any] = {}
    for item in given or []:
        name, equals, value = item.partition("=")
        if not equals:
            raise RestoreError(f"--set {item}: write NAME=VALUE, for example --set masked=0.05.")
        settings[name] = value
    return settings


def _factor(given: str) -> int | dict[str, int]:
    """2 from ``2``, and {"Z": 4} from ``Z=4``."""
    try:
        if "=" not in given:
            return int(given)
        return {axis.strip().upper(): int(n) for axis, _, n in (part.partition("=") for part in given.split(","))}
    except ValueError:
        raise RestoreError(f"--factor {given}: give a whole number such as 2, or an axis with one, Z=4.") from None


def _looks_like_model(path: Path) -> bool:
    """Whether a file begins as safetensors files do: a length in eight bytes, then JSON."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(9)[8:] == b"{"


def _check_model_path(path: Path) -> None:
    """Refuse at once what could not be saved after hours of training."""
    if path.suffix != ".safetensors":
        raise OutputError(f"{path.name!r} ends in {path.suffix or 'nothing'!r}: name the model M.safetensors.")
    if not path.parent.is_dir():
        raise OutputError(f"the folder {path.parent} does not exist: make it, or choose another output.")
    if path.is_dir():
        raise OutputError(f"{path} is a folder: choose another name for the model.")


def _tell(values: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(values, indent=1, default=str))  # noqa: T201
        return
    for name, value in values.items():
        shown = f"{value:.4g}" if isinstance(value, float) else _flat(value)
        print(f"{name:>14}  {shown}")  # noqa: T201


def _flat(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _fail(message: str) -> None:
    print(f"napari-restore: {' '.join(message.split())}", file=sys.stderr)  # noqa: T201
    sys.exit(2)
