"""The same verbs in the shell. Exit 0 done; 2 bad input, with one line that says what to do; 130 stopped."""

from __future__ import annotations

import json
import logging
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.exceptions import TyperException

from napari_restore.cli.guards import in_lines
from napari_restore.cli.running import show, stoppable
from napari_restore.cli.verbs import Json, Quiet, add_commands
from napari_restore.core.errors import InterruptedWorkError, RestoreError, first_line, out_of_memory
from napari_restore.core.explained import explained, plain
from napari_restore.core.options import Computing, Opening
from napari_restore.core.version import __version__
from napari_restore.verbs.flags import in_shell, read_word

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Clear images from noisy stacks, without clean training data.",
)

_OPENING, _COMPUTING = explained(Opening), explained(Computing)
Axes = Annotated[str | None, typer.Option(metavar="TCZYX", help=plain(_OPENING["axes"]))]
Channel = Annotated[str | None, typer.Option(metavar="N|NAME", help=plain(_OPENING["channel"]))]
Series = Annotated[str | None, typer.Option(metavar="N|NAME", help=plain(_OPENING["series"]))]
Incomplete = Annotated[str, typer.Option(metavar="refuse|use", help=plain(_OPENING["incomplete"]))]
FillWord = Annotated[str, typer.Option("--fill", metavar="VALUE|auto|none", help=plain(_OPENING["fill"]))]
Device = Annotated[str, typer.Option(help=plain(_COMPUTING["device"]))]
Seed = Annotated[int, typer.Option(help=plain(_COMPUTING["seed"]))]


def main() -> None:
    """Run the shell command, and turn what the user got wrong into one line and exit code 2."""
    if sys.stderr is None:  # services close it: nobody is told, and the work is done all the same
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115  open as long as the process
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
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        _fail(
            f"memory ran out ({first_line(error)}): close other programs, allow less of it with `memory_share`, or "
            "take a part with `region`."
        )
    except KeyboardInterrupt:
        sys.exit(130)


add_commands(app)


@app.command()
def evaluate(
    image: Annotated[Path, typer.Argument(metavar="IMAGE")],
    reference: Annotated[Path | None, typer.Option(metavar="REF", help="The truth, of the same shape.")] = None,
    model: Annotated[
        Path | None, typer.Option(metavar="MODEL", help="Judge what this denoiser makes of IMAGE, without a truth.")
    ] = None,
    axes: Axes = None,
    channel: Channel = None,
    series: Series = None,
    fill: FillWord = "auto",
    as_json: Json = False,
) -> None:
    """Measure an image: by itself, against a reference, or what a model makes of it."""
    from napari_restore import evaluate as measure

    which = read_word("series", series) if series is not None else None
    value = read_word("fill", fill)
    values = measure(image, reference, model=model, axes=axes, channel=channel, series=which, fill=value)
    _tell(values, as_json=as_json)


@app.command()
def measure(
    raw: Annotated[Path, typer.Argument(metavar="RAW", help="The measured image.")],
    restored: Annotated[Path, typer.Argument(metavar="RESTORED", help="What was restored of it, of the same shape.")],
    regions: Annotated[
        Path | None, typer.Option(metavar="LABELS", help="Regions: whole numbers, 0 is none; of a plane or the stack.")
    ] = None,
    grid: Annotated[int | None, typer.Option(metavar="N", help="Squares of so many pixels instead.")] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", metavar="TABLE.csv", help="A new file.")] = None,
    axes: Axes = None,
    channel: Channel = None,
    series: Series = None,
    fill: FillWord = "auto",
    as_json: Json = False,
) -> None:
    """Compare the means of regions before and after: may the restored image be measured?"""
    from napari_restore import measure as measured

    which, value = read_word("series", series) if series is not None else None, read_word("fill", fill)
    opened = {"axes": axes, "channel": channel, "series": which, "fill": value}
    rows = measured(raw, restored, regions, grid=grid, output=output, **opened)
    if as_json:
        print(json.dumps([row.row() for row in rows], indent=1))  # noqa: T201
        return
    flagged = [row for row in rows if row.flagged]
    for row in flagged[:20]:
        print(  # noqa: T201
            f"region {row.label}{_place(row)}: {row.area} pixels, mean {row.raw:.5g} measured and {row.restored:.5g} "
            f"restored, {row.difference:+.3g} +- {row.standard_error:.2g} (z {row.z:+.1f})"
        )
    print(f"{len(flagged)} of {len(rows)} regions differ by 3 standard errors or more")  # noqa: T201


@app.command()
def check(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A trained denoiser.")],
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="A noisy image.")],
    output: Annotated[Path | None, typer.Option("-o", "--output", metavar="FOUND.json", help="A new file.")] = None,
    axes: Axes = None,
    channel: Channel = None,
    series: Series = None,
    fill: FillWord = "auto",
    device: Device = "auto",
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Guards against invented structure: may what a model makes of an image be believed?"""
    from napari_restore import check as checked

    which, value = read_word("series", series) if series is not None else None, read_word("fill", fill)
    opened = {"axes": axes, "channel": channel, "series": which, "fill": value}
    found = checked(model, image, output=output, device=device, seed=seed, **opened)
    print(json.dumps(found.report(), indent=1) if as_json else "\n".join(in_lines(found)))  # noqa: T201


def _place(row: Any) -> str:
    at = {"channel": row.channel, "t": row.t, "z": row.z_plane}
    return "".join(f", {name} {number}" for name, number in at.items() if number is not None)


@app.command()
def export(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A trained model.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="PACKAGE.zip", help="A new file.")],
    image: Annotated[
        Path | None, typer.Option(metavar="IMAGE", help="Its middle becomes the test image and the cover; else noise.")
    ] = None,
    name: Annotated[str | None, typer.Option(metavar="TEXT", help="Of the model; by default its method's.")] = None,
    author: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Who made it; may be given often.")] = None,
    licence: Annotated[str, typer.Option(metavar="SPDX", help="Of the model.")] = "CC-BY-4.0",
    axes: Axes = None,
    channel: Channel = None,
    series: Series = None,
) -> None:
    """Write a model as a package of the BioImage Model Zoo, for other programs to run."""
    from napari_restore import export as exported

    which = read_word("series", series) if series is not None else None
    opened = {"axes": axes, "channel": channel, "series": which}
    package = exported(model, output, image, name=name, authors=author or (), licence=licence, **opened)
    print(f"{package}: {package.stat().st_size / 1e6:.1f} MB")  # noqa: T201


@app.command()
def info(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="An image or a model.")],
    axes: Axes = None,
    series: Series = None,
    incomplete: Incomplete = "refuse",
    as_json: Json = False,
) -> None:
    """Say what an image or a model is, and which images a file holds."""
    if path.suffix == ".safetensors" or _looks_like_model(path):
        from napari_restore.store.weights import read_card

        _tell({"kind": "model", **read_card(path)}, as_json=as_json)
        return
    if path.suffix == ".zip" and path.is_file():
        from napari_restore.store.packaged import open_model

        _tell({"kind": "model", **open_model(path).card()}, as_json=as_json)
        return
    from napari_restore.sources import open_as

    number = read_word("series", series) if series is not None else None
    opened = open_as(path, Opening(axes=axes, series=number, incomplete=incomplete))  # type: ignore[arg-type]
    place = {key: value for key, value in asdict(opened.geometry).items() if key != "placement"}
    channels = [
        asdict(each) if as_json else f"{each.name or number} {each.colour}".strip()
        for number, each in enumerate(opened.channels)
    ]
    _tell(
        {
            "kind": "image",
            "name": opened.name,
            **place,
            "dtype": str(opened.dtype),
            "chunks": opened.chunks,
            "bytes": opened.nbytes,
            **_optics(opened, as_json=as_json),
            "channels": channels,
            "notes": opened.notes,
            **({"series": [_held(each, as_json=as_json) for each in opened.series]} if opened.series else {}),
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
        from napari_restore.cli import method_help

        facts = method_help.method_facts(name)
        print(json.dumps(facts, indent=1) if as_json else method_help.in_lines(facts))  # noqa: T201
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

    with stoppable() as stop:
        rows = show(
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


def _looks_like_model(path: Path) -> bool:
    """Whether a file begins as safetensors files do: a length in eight bytes, then JSON."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(9)[8:] == b"{"


def _optics(image: Any, *, as_json: bool) -> dict[str, Any]:
    """What is known of the microscope; lengths in micrometres."""
    optics = image.optics
    if as_json:
        return {"optics": asdict(optics) if optics is not None else None}
    return {"optics": optics.said} if optics is not None else {}


def _held(held: Any, *, as_json: bool) -> Any:
    """One of the images of a file: its facts, or in a few words."""
    if as_json:
        return {**asdict(held), "files": [Path(file).name for file in held.files]}
    size = "x".join(map(str, held.shape))
    return f"{held} {size} {held.axes or ''}{'' if held.files else ' not there'}{' opened' if held.opened else ''}"


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
    print(f"napari-restore: {' '.join(in_shell(message).split())}", file=sys.stderr)  # noqa: T201
    sys.exit(2)
