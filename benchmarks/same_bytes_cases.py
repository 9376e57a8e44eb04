"""The images and the cases of `same_bytes.py`: each verb by each door. A case runs in a folder with its own images."""

from __future__ import annotations

import inspect
import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import zarr
from numpy.typing import NDArray
from same_bytes_facts import StopAt, call, interrupted, opened_facts, plain, shell, without_names_of_options

import napari_restore as nr

STEPS = 20
AT_LEAST = "at least: "
"""Begins the names of lists of which the later record may have more."""

FLAGS = r"(?m)^[│|*\s]*((?:--?[a-z][a-z-]*[ ,]*)+)"
"""Where a line of help begins."""


def make_images(folder: Path) -> None:
    """The inputs of all cases: from a seed, and written by other libraries than ours."""
    rng = np.random.default_rng(12)
    z, y, x = np.ogrid[:3, :64, :72]
    clean = 600 + 250 * np.sin(y / 9) * np.cos(x / 11) + 40 * z
    first, second = (clean + rng.normal(0, 30, clean.shape) for _ in range(2))
    scaled = {"axes": "ZYX", "PhysicalSizeX": 0.2, "PhysicalSizeY": 0.2, "PhysicalSizeZ": 0.5}
    for name, pixels in {"stack": first, "second": second, "clean": clean}.items():
        _write(folder / f"{name}.tif", pixels.round().astype(np.uint16), scaled)
    y, x = np.ogrid[:128, :128]
    white = rng.normal(0, 30, (128, 128))
    stripes = 600 + 100 * np.sin(y / 30) * np.cos(x / 40) + (white + np.roll(white, 1, axis=1)) / np.sqrt(2)
    _write(folder / "stripes.tif", stripes.round().astype(np.uint16), {"axes": "YX"})
    two = np.stack([first[0], 2000 - second[1]]).round().astype(np.uint16)
    _write(folder / "two.tif", two, {"axes": "CYX"})
    y, x = np.ogrid[:96, :96]
    sharp = 100 + 80 * ((y // 12 + x // 16) % 2) + 20 * np.sin(x / 3)
    blurred = _blurred(sharp, 1.5) + rng.normal(0, 5, sharp.shape)
    _write(folder / "blurred.tif", blurred.astype(np.float32), {"axes": "YX"})
    _write(folder / "sharp.tif", sharp.astype(np.float32), {"axes": "YX"})
    holes = first.astype(np.float32)
    holes[1, 10:20, 30:50] = np.nan
    np.save(folder / "holes.npy", holes)
    zarr.create_array(folder / "torn.zarr", data=first.round().astype(np.uint16), chunks=(1, 32, 36))
    chunk = folder / "torn.zarr" / "c" / "0" / "1" / "1"
    chunk.write_bytes(bytes(20) + chunk.read_bytes()[20:])
    np.save(folder / "psf.npy", _blurred(np.pad([[1.0]], 5), 1.5))
    whole = (folder / "stack.tif").read_bytes()
    (folder / "cut.tif").write_bytes(whole[: len(whole) // 2])
    (folder / "text.tif").write_text("this is not a picture")
    tifffile.imwrite(folder / "constant.tif", np.full((64, 64), 7, np.uint8))


def _write(path: Path, pixels: NDArray[Any], metadata: dict[str, Any]) -> None:
    """OME-TIFF, always the same bytes: a batch notes the checksum of its inputs."""
    tifffile.imwrite(path, pixels, metadata=metadata, ome=True)
    path.write_bytes(re.sub(rb"urn:uuid:[0-9a-f-]{36}", b"urn:uuid:" + b"0" * 36, path.read_bytes()))


def _blurred(pixels: NDArray[np.float64], std: float) -> NDArray[np.float64]:
    """Gaussian, by hand: no release of another library shall change the inputs."""
    kernel = np.exp(-0.5 * (np.arange(-6, 7) / std) ** 2)
    kernel /= kernel.sum()
    for axis in (0, 1):
        pixels = np.apply_along_axis(
            lambda line: np.convolve(np.pad(line, 6, "reflect"), kernel, "valid"), axis, pixels
        )
    return pixels


def denoise_auto() -> Any:
    """And another image with the model that was kept."""
    options: dict[str, Any] = {"effort": "quick", "steps": STEPS, "save_model": "m.safetensors"}
    return {
        "trained": call(nr.denoise_events, "stack.tif", output="o.zarr", **options),
        "with its model": call(nr.denoise_events, "second.tif", model="m.safetensors", output="p.tif"),
    }


def denoise_noise2void() -> Any:
    """An array, along Z too, to a temporary folder."""
    return call(
        nr.denoise_events, tifffile.imread("stack.tif"), method="noise2void", steps=STEPS, seed=3, axes="ZYX",
        pixel_size={"Z": 2.0}, precision="float32", dimensions="3", width=8, tile=(3, 32, 32),
    )  # fmt: skip


def denoise_noise2void2() -> Any:
    """Both channels, to OME-Zarr 0.4."""
    options: dict[str, Any] = {
        "method": "noise2void2",
        "effort": "quick",
        "steps": STEPS,
        "output": "o.ome.zarr",
        "version": "0.4",
    }
    return call(nr.denoise_events, "two.tif", **options)


def denoise_struct_noise2void() -> Any:
    """Chosen by the noise, to OME-TIFF."""
    return call(nr.denoise_events, "stripes.tif", effort="quick", steps=STEPS, output="o.tif")


def denoise_posterior() -> Any:
    """With pixels that are not finite."""
    return call(
        nr.denoise_events, "holes.npy", method="posterior", effort="quick", steps=STEPS, axes="ZYX", output="o.zarr"
    )


def denoise_zero_shot() -> Any:
    """One channel, through the call that waits; then in the background."""
    options: dict[str, Any] = {"method": "zero_shot", "steps": STEPS, "channel": 1}
    waited = call(nr.denoise, "two.tif", output="o.zarr", **options)
    return {"waited": waited, "submitted": call(nr.submit("denoise", "two.tif", output="s.zarr", **options).result)}


def denoise_noise2noise() -> Any:
    options: dict[str, Any] = {"second": "second.tif", "effort": "quick", "steps": STEPS}
    chosen = call(nr.denoise_events, "stack.tif", output="o.zarr", **options)
    return {"chosen": chosen, "named": call(nr.denoise_events, "stack.tif", method="noise2noise", seed=1, **options)}


def denoise_supervised() -> Any:
    options: dict[str, Any] = {
        "method": "supervised_denoising",
        "target": "clean.tif",
        "effort": "quick",
        "steps": STEPS,
    }
    return call(nr.denoise_events, "stack.tif", output="o.tiff", **options)


def denoise_resumed() -> Any:
    """Stopped while it trains, and while it restores; the same call goes on. Then done again, and replaced."""
    options: dict[str, Any] = {
        "method": "noise2void",
        "effort": "quick",
        "steps": STEPS,
        "output": "o.zarr",
        "tile": (32, 32),
    }
    stops: dict[str, StopAt] = {"training": StopAt("TrainingStarted"), "restoring": StopAt("TileDone", 2)}
    record = {k: call(nr.denoise_events, "stack.tif", see=s, stop=s.stop, **options) for k, s in stops.items()}
    record["another seed"] = call(nr.denoise_events, "stack.tif", seed=1, **options)
    record["gone on"] = call(nr.denoise_events, "stack.tif", see=lambda _: None, **options)
    record["there already"] = call(nr.denoise_events, "stack.tif", **options)
    record["overwritten"] = call(nr.denoise_events, "stack.tif", overwrite=True, seed=1, **options)
    return record


def super_resolve() -> Any:
    options: dict[str, Any] = {"effort": "quick", "steps": STEPS}
    return {
        "2": call(nr.super_resolve_events, "blurred.tif", factor=2, psf="gaussian:1.5", output="o.zarr", **options),
        "Z": call(nr.super_resolve_events, "stack.tif", factor={"Z": 2}, output="z.zarr", **options),
        "css": call(nr.super_resolve, "blurred.tif", method="css", noise=2.0, output="c.tif", **options),
    }


def deblur() -> Any:
    return call(
        nr.deblur_events, "blurred.tif", psf="gaussian:1.5", noise="auto", effort="quick", steps=STEPS,
        output="o.zarr", save_model="m.safetensors",
    )  # fmt: skip


def deblur_others() -> Any:
    """A PSF in a file, and a range of which the best is taken."""
    options: dict[str, Any] = {"effort": "quick", "steps": STEPS // 2}
    return {
        "file": call(nr.deblur, "blurred.tif", psf="psf.npy", noise=2.0, method="sure", output="f.zarr", **options),
        "range": call(nr.deblur_events, "blurred.tif", psf="gaussian:1..2", output="r.zarr", **options),
        "supervised": call(
            nr.deblur_events, "blurred.tif", psf="gaussian:1.5", method="supervised", target="sharp.tif",
            output="s.tif", **options,
        ),
    }  # fmt: skip


def train() -> Any:
    """On several images with others to judge by, in a run folder; gone on with; and from a model."""
    images = ["stack.tif", "second.tif"]
    options: dict[str, Any] = {
        "method": "noise2void",
        "effort": "quick",
        "patch": (32, 32),
        "batch": 4,
        "learning_rate": 1e-3,
    }
    judged: dict[str, Any] = {**options, "validation": ["clean.tif"], "run": "run"}
    first = StopAt("TrainingStarted")
    record = {
        "begun": call(nr.train_events, images, steps=STEPS // 2, **judged),
        "held already": call(nr.train_events, images, steps=STEPS, **judged),
        "gone on": call(nr.train_events, images, steps=STEPS, resume=True, **judged),
        "stopped": call(nr.train_events, images, steps=STEPS, see=first, stop=first.stop, **options),
        "auto": call(nr.train, "clean.tif", steps=2, effort="quick"),
    }
    nr.train(images, steps=2, **options).save("m.safetensors")
    started: dict[str, Any] = {"start": "m.safetensors", "steps": STEPS // 2}
    return {**record, "from": call(nr.train_events, "second.tif", **started)}


def restore() -> Any:
    model = nr.train("stack.tif", "noise2void", effort="quick", steps=STEPS)
    model.save("m.safetensors")
    tiled: dict[str, Any] = {"tile": (32, 32)}
    # What goes through the network at once was called as the patches of a step are.
    two = {"together" if "together" in inspect.signature(nr.restore_events).parameters else "batch": 2}
    stops: dict[str, StopAt] = {"before a tile": StopAt("RestorationStarted"), "after two": StopAt("TileDone", 2)}
    record = {
        "zarr": call(nr.restore_events, "stack.tif", model, output="o.zarr", **tiled),
        "tif": call(nr.restore_events, "stack.tif", "m.safetensors", output="o.tif", memory_share=0.5),
        "float32": call(nr.restore_events, "stack.tif", model, output="f.zarr", precision="float32", **two, **tiled),
        "bfloat16": call(nr.restore_events, "stack.tif", model, output="b.zarr", precision="bfloat16", **tiled),
        "matched": call(nr.restore, "two.tif", model, channel=1, match_intensity=True),
        "holes": call(nr.restore_events, "holes.npy", model, axes="ZYX", output="h.tif"),
        "torn": call(nr.restore_events, "torn.zarr", model, axes="ZYX", output="t.zarr"),
        "filled": call(nr.restore_events, "torn.zarr", model, axes="ZYX", output="u.zarr", unreadable="fill"),
        "there already": call(nr.restore_events, "stack.tif", model, output="o.zarr"),
        "replaced": call(nr.restore_events, "second.tif", model, output="o.zarr", overwrite=True, version="0.4"),
    }
    resumed: dict[str, Any] = {"output": "s.zarr", **tiled}
    for name, stop in stops.items():
        record[name] = call(nr.restore_events, "stack.tif", model, see=stop, stop=stop.stop, **resumed)
    record["another tile"] = call(nr.restore_events, "stack.tif", model, output="s.zarr", tile=(48, 48))
    record["not resumed"] = call(nr.restore_events, "stack.tif", model, resume=False, **resumed)
    return {**record, "gone on": call(nr.restore_events, "stack.tif", model, see=lambda _: None, **resumed)}


def restore_folder() -> Any:
    """One of three files is damaged; again, nothing is left to do; a stop before the first."""
    Path("in").mkdir()
    for name in ("stack", "second", "cut"):
        shutil.copy(f"{name}.tif", "in")
    np.save("in/holes.npy", np.load("holes.npy"))
    model = nr.train("stack.tif", "noise2void", effort="quick", steps=2)
    stop = StopAt("FileState")
    options: dict[str, Any] = {"pattern": "*.tif", "output": "out"}
    return {
        "first": call(nr.restore_folder_events, "in", model, **options),
        "again": call(nr.restore_folder_events, "in", model, **options),
        "overwritten": call(nr.restore_folder, "in", model, overwrite=True, suffix="clear", format="zarr", **options),
        "listed": call(nr.restore_folder_events, ["in/holes.npy"], model, output="in", axes="ZYX", precision="float32"),
        "stopped": call(nr.restore_folder_events, "in", model, output="other", see=stop, stop=stop.stop),
    }


def measures() -> Any:
    model = nr.train("stack.tif", "noise2void", effort="quick", steps=STEPS)
    imaging = nr.train("blurred.tif", "scale_equivariant", effort="quick", steps=2, psf="gaussian:1.5", factor=1)
    return {
        "alone": call(nr.evaluate, "stack.tif"),
        "reference": call(nr.evaluate, "stack.tif", "clean.tif"),
        "named": call(nr.evaluate, "stack.tif", "clean.tif", measures=["psnr", "ssim"]),
        "channel": call(nr.evaluate, "two.tif", channel=1),
        "model": call(nr.evaluate, "stack.tif", model=model),
        "imaging model": call(nr.evaluate, "blurred.tif", model=imaging),
        "unknown": call(nr.evaluate, "stack.tif", measures=["beauty"]),
        "shape": call(nr.evaluate, "stack.tif", "sharp.tif"),
        "noise": {name: call(nr.estimate_noise, f"{name}.tif") for name in ("stack", "clean", "stripes", "blurred")},
        "cost": call(nr.estimate_cost, "stack.tif"),
        "cost of one": call(nr.estimate_cost, "stack.tif", "noise2void", effort="thorough", steps=5, width=8),
        "cost of none": call(nr.estimate_cost, "stack.tif", effort="much"),
        "opened": {name: plain(opened_facts(Path(name))) for name in ("stack.tif", "two.tif", "blurred.tif")},
        "methods": call(nr.list_methods),
    }


def refusals() -> Any:
    """What is wrong in a call, and what is said about it."""
    Path("there.zarr").mkdir()
    model = nr.train("stack.tif", "noise2void", effort="quick", steps=1)
    flat = np.zeros((3, 64, 72), np.float32)
    calls: dict[str, tuple[Any, ...]] = {
        "no file": (nr.denoise, "missing.tif", {}),
        "axes": (nr.denoise, "stack.tif", {"axes": "QQ"}),
        "axes of other length": (nr.denoise, "stack.tif", {"axes": "YX"}),
        "constant": (nr.denoise, flat, {"steps": 1}),
        "method": (nr.denoise, "stack.tif", {"method": "magic"}),
        "setting": (nr.denoise, "stack.tif", {"method": "noise2void", "magic": 1}),
        "bounds": (nr.denoise, "stack.tif", {"method": "noise2void", "masked": 7}),
        "effort": (nr.denoise, "stack.tif", {"effort": "much"}),
        "second": (nr.denoise, "stack.tif", {"method": "noise2void", "second": "second.tif"}),
        "both": (nr.denoise, "stack.tif", {"second": "second.tif", "target": "clean.tif"}),
        "needed": (nr.denoise, "stack.tif", {"method": "noise2noise"}),
        "partner's shape": (nr.denoise, "stack.tif", {"second": "sharp.tif"}),
        "ending": (nr.denoise, "stack.tif", {"output": "o.png"}),
        "folder": (nr.denoise, "stack.tif", {"output": "nowhere/o.zarr"}),
        "exists": (nr.denoise, "stack.tif", {"output": "there.zarr"}),
        "channel": (nr.denoise, "two.tif", {"channel": 7}),
        "device": (nr.denoise, "stack.tif", {"device": "tpu", "steps": 1}),
        "steps": (nr.denoise, "stack.tif", {"steps": -3}),
        "one plane": (nr.denoise, "blurred.tif", {"method": "noise2void", "dimensions": 3}),
        "factor": (nr.super_resolve, "blurred.tif", {"factor": 0}),
        "planes of one": (nr.super_resolve, "blurred.tif", {"factor": {"Z": 2}}),
        "psf": (nr.deblur, "blurred.tif", {"psf": "gauss:1"}),
        "noise": (nr.deblur, "blurred.tif", {"psf": "gaussian:1", "noise": "loud"}),
        "no images": (nr.train, [], {}),
        "unlike": (nr.train, ["stack.tif", "two.tif"], {}),
        "judged apart": (nr.train, "stack.tif", {"second": "second.tif", "validation": "clean.tif"}),
        "another method": (nr.train, "stack.tif", {"start": model, "method": "posterior"}),
        "no model": (nr.restore, "stack.tif", {"model": "missing.safetensors"}),
        "not a model": (nr.restore, "stack.tif", {"model": "text.tif"}),
        "channels": (nr.restore, "two.tif", {"model": model}),
        "empty folder": (nr.restore_folder, "there.zarr", {"model": model, "output": "out"}),
        "format": (nr.restore_folder, ["stack.tif"], {"model": model, "output": "out", "format": "png"}),
        "verb": (nr.submit, "magic", {}),
        "model file": (nr.load_model, "cut.tif", {}),
    }
    return {name: call(verb, image, **options) for name, (verb, image, options) in calls.items()}


def doors() -> Any:
    """Public names and their parameters with defaults, and the shell's flags: none may be lost."""
    generators = [name for name in nr.__all__ if name.endswith("_events")]
    named = [*generators, "evaluate", "estimate_noise", "estimate_cost", "load_model", "list_methods", "submit"]
    parameters = {name: inspect.signature(getattr(nr, name)).parameters.values() for name in named}
    empty, rest = inspect.Parameter.empty, (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    verbs = ("denoise", "super-resolve", "deblur", "train", "restore", "batch", "evaluate", "info", "methods", "demo")
    return {
        f"{AT_LEAST}names": sorted(nr.__all__),
        "parameters": {
            f"{AT_LEAST}{name}": sorted(
                p.name if p.default is empty else f"{p.name}={p.default!r}" for p in found if p.kind not in rest
            )
            for name, found in parameters.items()
        },
        "flags": {
            f"{AT_LEAST}{verb}": sorted(
                {flag for line in re.findall(FLAGS, shell(verb, "--help", here=True)["out"]) for flag in line.split()}
            )
            for verb in verbs
        },
    }


def shell_denoise() -> Any:
    quick = ("--effort", "quick", "--steps", str(STEPS), "--seed", "0")
    return {
        "json": shell("denoise", "stack.tif", "-o", "o.zarr", *quick, "--save-model", "m.safetensors", "--json"),
        "plain": shell("denoise", "two.tif", "-o", "t.tif", *quick, "--method", "noise2void", "--set", "width=8"),
        "model": shell("denoise", "second.tif", "-o", "m.zarr", "--model", "m.safetensors", "--ome-zarr", "0.4"),
        "second": shell(
            "denoise", "stack.tif", "--second", "second.tif", "--output", "s.zarr", *quick, "--quiet", "--precision",
            "float32",
        ),
        "version": shell("--version"),
        "nothing": shell()["exit"],
        "methods": shell("methods", here=True),
        "methods in json": shell("methods", "--json", here=True),
    }  # fmt: skip


def shell_imaging() -> Any:
    quick = ("--effort", "quick", "--steps", str(STEPS // 2))
    return {
        "json": shell(
            "super-resolve", "blurred.tif", "-o", "o.zarr", "--factor", "2", "--noise", "2", *quick, "--json"
        ),
        "planes": shell("super-resolve", "stack.tif", "-o", "z.zarr", "--factor", "Z=2", *quick),
        "deblur in json": shell("deblur", "blurred.tif", "-o", "d.tif", "--psf", "gaussian:1.5", *quick, "--json"),
        "deblur": shell("deblur", "blurred.tif", "-o", "e.zarr", "--psf", "psf.npy", "--method", "sure", *quick),
    }


def shell_models() -> Any:
    """From training to measuring."""
    quick = ("--effort", "quick", "--steps", str(STEPS), "--method", "noise2void")
    Path("in").mkdir()
    for name in ("stack", "second", "cut"):
        shutil.copy(f"{name}.tif", "in")
    model = ("--model", "m.safetensors")
    return {
        "train": shell("train", "stack.tif", "second.tif", "-o", "m.safetensors", *quick, "--run", "run", "--json"),
        "from": shell("train", "second.tif", "-o", "n.safetensors", "--from", "m.safetensors", "--steps", "5"),
        "restore": shell("restore", "stack.tif", *model, "-o", "o.zarr", "--json"),
        "plain": shell(
            "restore", "two.tif", *model, "--channel", "1", "-o", "o.tif", "--match-intensity", "--memory-share", "0.5"
        ),
        "filled": shell("restore", "torn.zarr", *model, "-o", "u.zarr", "--axes", "ZYX", "--unreadable", "fill"),
        "batch": shell("batch", "in", *model, "-o", "out", "--json"),
        "batch again": shell("batch", "in", *model, "-o", "out", "--pattern", "s*.tif"),
        "evaluate": shell("evaluate", "o.zarr", "--reference", "clean.tif", "--json"),
        "evaluate plain": shell("evaluate", "stack.tif", here=True),
        "evaluate model": shell("evaluate", "stack.tif", *model, here=True),
        "info model": shell("info", "m.safetensors", "--json", here=True),
        "info model plain": shell("info", "m.safetensors", here=True),
        "info image": shell("info", "o.zarr", "--json", here=True),
        "info image plain": shell("info", "stack.tif", here=True),
    }


def shell_refusals() -> Any:
    """Exit codes and the one line of wrong calls."""
    nr.train("stack.tif", "noise2void", effort="quick", steps=1).save("m.safetensors")
    Path("there.zarr").mkdir()
    Path("empty").mkdir()
    calls = {
        "no file": "denoise missing.tif -o o.zarr",
        "not a picture": "denoise text.tif -o o.zarr",
        "cut": "denoise cut.tif -o o.zarr",
        "constant": "denoise constant.tif -o o.zarr",
        "no output": "denoise stack.tif",
        "ending": "denoise stack.tif -o o.png",
        "folder": "denoise stack.tif -o nowhere/o.zarr",
        "exists": "denoise stack.tif -o there.zarr",
        "axes": "denoise stack.tif -o o.zarr --axes QQ",
        "channel": "denoise two.tif -o o.zarr --channel 7",
        "method": "denoise stack.tif -o o.zarr --method magic",
        "setting": "denoise stack.tif -o o.zarr --method noise2void --set magic=1",
        "bounds": "denoise stack.tif -o o.zarr --method noise2void --set masked=2",
        "no value": "denoise stack.tif -o o.zarr --set masked",
        "effort": "denoise stack.tif -o o.zarr --effort much",
        "steps": "denoise stack.tif -o o.zarr --steps -3",
        "no number": "denoise stack.tif -o o.zarr --steps few",
        "device": "denoise stack.tif -o o.zarr --device tpu",
        "second": "denoise stack.tif -o o.zarr --method noise2void --second second.tif",
        "needed": "denoise stack.tif -o o.zarr --method noise2noise",
        "dimensions": "denoise blurred.tif -o o.zarr --method noise2void --set dimensions=3",
        "factor": "super-resolve blurred.tif -o o.zarr --factor two",
        "no psf": "deblur blurred.tif -o o.zarr",
        "psf": "deblur blurred.tif -o o.zarr --psf gauss:1",
        "noise": "deblur blurred.tif -o o.zarr --psf gaussian:1 --noise loud",
        "name of a model": "train stack.tif -o m.bin",
        "nothing to go on with": "train stack.tif -o n.safetensors --resume",
        "unlike": "train stack.tif two.tif -o n.safetensors",
        "no model": "restore stack.tif --model missing.safetensors -o o.zarr",
        "not a model": "restore stack.tif --model text.tif -o o.zarr",
        "channels": "restore two.tif --model m.safetensors -o o.zarr",
        "model exists": "restore stack.tif --model m.safetensors -o there.zarr",
        "share": "restore stack.tif --model m.safetensors -o o.zarr --memory-share 2",
        "unreadable": "restore stack.tif --model m.safetensors -o o.zarr --unreadable skip",
        "ome-zarr": "restore stack.tif --model m.safetensors -o o.zarr --ome-zarr 0.6",
        "no images": "batch empty --model m.safetensors -o out",
        "shape": "evaluate stack.tif --reference sharp.tif",
        "info": "info missing.tif",
        "command": "frobnicate",
        "flag": "denoise stack.tif -o o.zarr --frobnicate",
    }
    return {name: shell(*line.split(), here=True) for name, line in calls.items()}


def shell_stopped() -> Any:
    """Ctrl-C in a training, with a run folder and without, and an unfinished output that is gone on with."""
    model = nr.train("stack.tif", "noise2void", effort="quick", steps=2)
    model.save("m.safetensors")
    for name, stop in {"o": StopAt("TileDone", 2), "r": StopAt("RestorationStarted")}.items():
        tile = (32, 32) if name == "o" else None
        call(nr.restore_events, "stack.tif", model, output=f"{name}.zarr", tile=tile, see=stop, stop=stop.stop)
    restoring = ("restore", "stack.tif", "--model", "m.safetensors", "-o")
    train = ("train", "stack.tif", "-o", "n.safetensors", "--effort", "quick", "--steps", "1000000")
    return {
        "train": interrupted(*train, "--run", "run", "--json"),
        "train without a run": interrupted(*train),
        "denoise": interrupted("denoise", "stack.tif", "-o", "d.zarr", "--effort", "quick", "--steps", "1000000"),
        "not resumed": shell(*restoring, "o.zarr", here=True),
        "other tiles": shell(*restoring, "o.zarr", "--resume", here=True),
        "overwritten": shell(*restoring, "o.zarr", "--overwrite", here=True),
        "resumed": shell(*restoring, "r.zarr", "--resume", here=True),
    }


CASES = (
    denoise_auto, denoise_noise2void, denoise_noise2void2, denoise_struct_noise2void, denoise_posterior,
    denoise_zero_shot, denoise_noise2noise, denoise_supervised, denoise_resumed, super_resolve, deblur, deblur_others,
    train, restore, restore_folder, measures, refusals, doors, shell_denoise, shell_imaging, shell_models,
    shell_refusals, shell_stopped,
)  # fmt: skip


def main() -> None:
    """`images` makes them here and names the cases; a case runs here and writes what came to a file."""
    name, *out = sys.argv[1:] or ["images"]
    wanted = Path(os.environ["PYTHONPATH"]).resolve()
    assert wanted in Path(nr.__file__).resolve().parents, f"{nr.__file__} is not in {wanted}"
    if not out:
        make_images(Path.cwd())
        print("\n".join(case.__name__ for case in CASES))
        return
    found = {case.__name__: case for case in CASES}[name]()
    as_said = name.startswith(("shell", "doors"))
    Path(out[0]).write_text(json.dumps(found if as_said else without_names_of_options(found)))


if __name__ == "__main__":
    main()
