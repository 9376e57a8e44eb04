"""What is recorded of a call for `same_bytes.py`: results, events, errors, files, without what no two runs share."""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import io
import json
import os
import re
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import zarr
from numpy.typing import NDArray

import napari_restore

TIMED = frozenset({"Measured", "Preview", "Checkpointed"})
VOLATILE = frozenset(
    {
        "seconds", "remaining", "date", "versions", "card_sha256", "memory", "device_memory", "restoring_seconds",
        "memory_limit", "device_limit", "changed",
    }
)  # fmt: skip
ADVICE = ("the held-out error ", "the error beyond the noise still fell")
LITTER = "torchinductor_"
"""Begins the names of folders that torch makes by itself."""

SPOKEN = (
    (r"\x1b\[[0-9;?]*[A-Za-z]", ""),
    (r"about [^:]* of memory: .*? that may be used(; and .*? on the graphics card)?", "<memory>"),
    (r"trained (\d+) steps in [\d.]+ s", r"trained \1 steps in <seconds> s"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[\d.:+Z]*", "<date>"),
    (r"(seconds(?:'|\"|&quot;|\\\"): )[\d.e-]+", r"\1<seconds>"),
    (r"(versions(?:'|\"|&quot;|\\\"): )\{.*?\}", r"\1<versions>"),
    (r"(card_sha256\W+)[0-9a-f]{64}", r"\1<card_sha256>"),
    (r"napari-restore-[a-z0-9_]{8}\b", "napari-restore-<random>"),
    (r"0x[0-9a-f]{6,}", "<address>"),
    (r"urn:uuid:[0-9a-f-]+", "<uuid>"),
    (r"(?m)^\S+\.py:\d+: (\w*Warning: .*)\n  .*$", r"<source>: \1"),
)
STOPPED = (
    (r"at step \d+", "at step <n>"),
    (r"after \d+ tiles", "after <n> tiles"),
    (r"checkpoint-\d+", "checkpoint-<n>"),
)
LIKE_AN_OPTION = (
    (r"--([a-z][a-z-]*)", lambda found: f"<{found[1].replace('-', '_')}>"),
    (r"`([a-z_]+)`", r"<\1>"),
)


def cleaned(text: str, more: Sequence[tuple[str, Any]] = ()) -> str:
    """Text without what no two runs share."""
    for folder in {str(Path.cwd()), os.path.realpath(Path.cwd())}:
        text = text.replace(folder, "<work>")
    for pattern, instead in (*SPOKEN, *more):
        text = re.sub(pattern, instead, text)
    return text


def plain(value: Any) -> Any:
    """JSON of whatever a verb gives back."""
    kind = type(value).__name__
    if kind == "Restored":
        return restored_facts(value)
    if kind == "Model":
        return model_facts(value)
    if is_dataclass(value) and not isinstance(value, type):
        named = {f.name: getattr(value, f.name) for f in fields(value)}
        return plain({"event": kind, **named} if kind in event_kinds() else named)
    if isinstance(value, Mapping):
        volatile = VOLATILE - ({"seconds"} if value.get("event") == "TrainingStarted" else set())
        return {cleaned(str(k)): f"<{k}>" if k in volatile else plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray):
        return digest(value)
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(each) for each in (sorted(value) if isinstance(value, set | frozenset) else value)]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return value if np.isfinite(value) else str(value)
    if value is None or isinstance(value, bool | int):
        return value
    return cleaned(str(value))


def event_kinds() -> frozenset[str]:
    """Names of the events, which are part of the file format."""
    return TIMED | {
        "Note", "TrainingStarted", "Trained", "RestorationStarted", "TileDone", "Compared", "Saved", "Stopped",
        "FileState", "Failed",
    }  # fmt: skip


def digest(pixels: NDArray[Any]) -> dict[str, Any]:
    content = np.ascontiguousarray(pixels)
    return {
        "sha256": hashlib.sha256(content.tobytes()).hexdigest(),
        "shape": list(content.shape),
        "dtype": str(content.dtype),
    }


def restored_facts(restored: Any) -> dict[str, Any]:
    names = ("path", "geometry", "axes", "shape", "pixel_size", "units", "scale", "translate", "dtype", "report")
    more = ("complete", "name", "suffix", "contrast_limits", "layer_kwargs", "model")
    facts = {name: plain(getattr(restored, name)) for name in (*names, *more)}
    if not restored.complete:
        return facts  # how many of its pixels are there already, the clock decides
    return {**facts, "pixels": digest(np.asarray(restored)), "levels": [digest(np.asarray(n)) for n in restored.levels]}


def model_facts(model: Any) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        return model_file(model.save(Path(folder) / "m.safetensors"))


def model_file(path: Path) -> dict[str, Any]:
    """Tensors by name and the card, read without the package: the format is known."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header, body = json.loads(data[8 : 8 + length]), data[8 + length :]
    card = json.loads(header.pop("__metadata__")["napari_restore"])
    picture = card.pop("thumbnail", "")
    tensors = {
        name: [facts["dtype"], facts["shape"], hashlib.sha256(body[slice(*facts["data_offsets"])]).hexdigest()]
        for name, facts in sorted(header.items())
    }
    return {"tensors": tensors, "card": plain(card), "thumbnail": hashlib.sha256(picture.encode()).hexdigest()}


def described(path: Path) -> Any:
    """What lies there, down to its bytes where two runs can share them."""
    if path.name.endswith(".zarr"):
        return {**opened_facts(path), **zarr_facts(path)}
    if path.name.endswith(".partial"):
        return "unfinished"
    if path.is_dir():
        return {cleaned(each.name): described(each) for each in sorted(path.iterdir())}
    if path.suffix in (".tif", ".tiff"):
        return {**opened_facts(path), "description": tiff_description(path)}
    if path.suffix == ".safetensors":
        return model_file(path)
    if path.suffix == ".json":
        return plain(json.loads(path.read_text()))
    if path.name == "events.jsonl":
        return told([json.loads(line) for line in path.read_text().splitlines()])
    if path.name.endswith("-batch.jsonl"):
        return [{**plain(json.loads(line)), "size": "<size>"} for line in path.read_text().splitlines()]
    if path.suffix == ".journal":
        return journal_header(path)
    return "file"


def journal_header(path: Path) -> Any:
    """The first line, by which a later release goes on with what an earlier one began."""
    header = json.loads(path.read_text().splitlines()[0])
    header["fingerprint"]["image"]["state"] = "<state>"
    return plain(header)


def opened_facts(path: Path) -> dict[str, Any]:
    try:
        image = napari_restore.open_image(path)
    except Exception as error:  # noqa: BLE001  some inputs are damaged on purpose
        return {"error": f"{type(error).__name__}: {cleaned(str(error))}"}
    facts = {name: plain(getattr(image, name)) for name in ("name", "geometry", "dtype", "chunks", "notes")}
    return {**facts, "pixels": digest(image.read())}


def zarr_facts(path: Path) -> dict[str, Any]:
    group = zarr.open_group(path, mode="r")
    levels = {name: {**digest(np.asarray(array[...])), "chunks": list(array.chunks)} for name, array in group.arrays()}
    files = sorted(cleaned(str(f.relative_to(path))) for f in path.rglob("*") if f.is_file())
    return {
        "format": group.metadata.zarr_format,
        "attributes": plain(dict(group.attrs)),
        "levels": levels,
        "files": files,
    }


def tiff_description(path: Path) -> str:
    with tifffile.TiffFile(path) as file:
        return cleaned(file.ome_metadata or "")


def told(events: Sequence[Mapping[str, Any]], *, half_way: bool = False) -> dict[str, Any]:
    """Events as JSON without what the clock decides; ``half_way``: without how far a stopped run came."""
    kept: list[Any] = []
    measured = None
    for event in events:
        kind = event["event"]
        if kind == "Trained" and measured is not None:
            kept.append({"last": {k: v for k, v in plain(measured).items() if k != "loss"}})
        if kind in TIMED:
            measured = event if kind == "Measured" else measured
        elif not (kind == "Note" and event["text"].startswith(ADVICE)) and not (half_way and kind == "TileDone"):
            kept.append(plain(event))
    for event in kept if half_way else ():
        event.update({name: f"<{name}>" for name in ("done", "step") if name in event})
        event.update({name: cleaned(v, STOPPED) for name, v in event.items() if isinstance(v, str)})
    return {"by the clock": sorted({e["event"] for e in events if e["event"] in TIMED}), "in order": kept}


def without_names_of_options(value: Any) -> Any:
    """The same with what messages call an option in one spelling."""
    if isinstance(value, dict):
        return {k: without_names_of_options(v) for k, v in value.items()}
    if isinstance(value, list):
        return [without_names_of_options(v) for v in value]
    if isinstance(value, str):
        for pattern, instead in LIKE_AN_OPTION:
            value = re.sub(pattern, instead, value)
    return value


@contextlib.contextmanager
def noticing(record: dict[str, Any]) -> Iterator[None]:
    """Describe the files and folders that are new in the folder of the case, or not as they were."""
    before = {path: _state(path) for path in Path.cwd().iterdir()}
    yield
    after = [path for path in sorted(Path.cwd().iterdir()) if not path.name.startswith(LITTER)]
    changed = [path for path in after if before.get(path) != _state(path)]
    record["new files"] = {cleaned(path.name): described(path) for path in changed}
    record["gone files"] = sorted(cleaned(path.name) for path in before if not path.exists())


def _state(path: Path) -> list[tuple[str, int, int]]:
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return [(str(f), f.stat().st_size, f.stat().st_mtime_ns) for f in files if f.is_file()]


def call(verb: Callable[..., Any], *args: Any, see: Callable[[Any], None] | None = None, **options: Any) -> Any:
    """What a public function does: its result or error, its events where it is a generator, the files it leaves."""
    record: dict[str, Any] = {}
    events: list[Any] = []
    with noticing(record):
        try:
            result = verb(*args, **options)
            if inspect.isgenerator(result):
                result = _drained(result, events, see)
            record["result"] = plain(result)
        except Exception as error:  # noqa: BLE001  what is raised is what is recorded
            record["error"] = f"{type(error).__name__}: {cleaned(str(error))}"
    if events:
        record["events"] = told([_as_json(event) for event in events], half_way=see is not None)
    return record


def _drained(generator: Any, events: list[Any], see: Callable[[Any], None] | None) -> Any:
    while True:
        try:
            event = next(generator)
        except StopIteration as end:
            return end.value
        events.append(event)
        if see is not None:
            see(event)


def _as_json(event: Any) -> dict[str, Any]:
    return {"event": type(event).__name__, **{f.name: getattr(event, f.name) for f in fields(event)}}


class StopAt:
    """Sets a stop with the n-th event of a kind; is what looks at the events, too."""

    def __init__(self, kind: str, count: int = 1) -> None:
        self.stop = threading.Event()
        self._kind, self._left = kind, count

    def __call__(self, event: Any) -> None:
        self._left -= type(event).__name__ == self._kind
        if self._left <= 0:
            self.stop.set()


def shell(*words: str, here: bool = False) -> dict[str, Any]:
    """A call of the shell command: exit code, what it prints, the files it leaves. ``here``: in this very process."""
    record: dict[str, Any] = {}
    with noticing(record):
        code, out, err = in_this_process(words) if here else in_a_process(words)
    return {"exit": code, "out": printed(out), "err": spoken(err), **record}


def in_a_process(words: Sequence[str]) -> tuple[int, str, str]:
    done = subprocess.run([sys.executable, "-m", "napari_restore", *words], capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def in_this_process(words: Sequence[str]) -> tuple[Any, str, str]:
    """The same module run as the main one, without the seconds that a process takes to start."""
    out, err, given = io.StringIO(), io.StringIO(), sys.argv
    code: Any = 0
    sys.argv = ["napari-restore", *words]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            runpy.run_module("napari_restore", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = end.code or 0
    finally:
        sys.argv = given
    return code, out.getvalue(), err.getvalue()


def printed(text: str) -> Any:
    """Events, or one JSON object, or text."""
    with contextlib.suppress(ValueError, KeyError, TypeError):
        return (
            told([json.loads(line) for line in text.splitlines()])
            if text.startswith('{"event"')
            else plain(json.loads(text))
        )
    return cleaned(text)


def spoken(text: str) -> list[str]:
    return [line for line in cleaned(text).splitlines() if not line.startswith(ADVICE)]


def interrupted(*words: str) -> dict[str, Any]:
    """Ctrl-C a second after the training has said that it starts."""
    command = [sys.executable, "-u", "-m", "napari_restore", *words]
    pipe = subprocess.PIPE
    lines: dict[str, list[str]] = {"out": [], "err": []}
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
        readers = [
            threading.Thread(target=lambda stream=stream, name=name: lines[name].extend(stream))
            for name, stream in (("out", process.stdout), ("err", process.stderr))
        ]
        for reader in readers:
            reader.start()
        while process.poll() is None and not any(
            said.startswith(("training ", '{"event": "TrainingStarted"')) for said in [*lines["out"], *lines["err"]]
        ):
            time.sleep(0.05)
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        for reader in readers:
            reader.join()
    out, err = ("".join(lines[name]) for name in ("out", "err"))
    said = told([json.loads(line) for line in out.splitlines()], half_way=True) if out.startswith("{") else cleaned(out)
    return {"exit": process.returncode, "out": said, "err": [cleaned(line, STOPPED) for line in spoken(err)]}
