"""The PSF that the user asks for: the kinds there are with their numbers, and how one is read. No Qt, no torch."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_restore.core.errors import RestoreError
from napari_restore.sources.image import Image
from napari_restore.sources.optics import ChannelOptics, alike
from napari_restore.verbs.blurring import on_grid, settle_psf, small_pixels
from napari_restore.verbs.optics import index_of

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Number:
    """A number the user sets.

    ``special`` are the words for its least value; ``stack`` shows it for stacks alone, ``modes`` for these alone;
    ``sized`` is what the size of the image's pixels says.
    """

    label: str
    value: float
    least: float
    most: float
    digits: int = 2
    unit: str = " px"
    tip: str = ""
    special: str = ""
    stack: bool = False
    modes: tuple[str, ...] = ()
    sized: bool = False


@dataclass(frozen=True)
class Options:
    """One of several values, by their labels; ``stack``, ``modes`` and ``sized`` as of a ``Number``."""

    label: str
    choices: Mapping[str, Any]
    tip: str = ""
    stack: bool = False
    modes: tuple[str, ...] = ()
    sized: bool = False


@dataclass(frozen=True)
class Formula:
    """A PSF with a formula: what the user sets, and the text that these values give."""

    label: str
    fields: Mapping[str, Number | Options]
    write: Callable[[Values], str]


@dataclass(frozen=True, eq=False)
class Beads:
    """A picture of beads, and how far in pixels the light of one reaches; 0 for a picture of a single one."""

    image: Image
    radius: int


@dataclass(frozen=True, eq=False)
class PsfRequest:
    """A PSF as the user asked for it; complete before a thread reads it.

    Attributes
    ----------
    source
        A text as for ``operators.psf.parse``, the path of an image, or beads.
    axes
        Of the image it is for: 2, or 3 where that is a stack.
    image
        That it is for, whose metadata and pixel size count.
    finer
        So many times finer along Y and X are the pixels that it has.
    """

    source: str | Path | Beads
    axes: int = 2
    image: Image | None = None
    finer: int = 1


@dataclass(frozen=True, eq=False)
class PsfSeen:
    """A PSF that was read: its kernel, how many of them a range stands for, and what was done to its pixels."""

    kernel: NDArray[np.float64] = field(repr=False)
    count: int = 1
    said: str = ""


def read(request: PsfRequest) -> PsfSeen:
    """Work out the PSF; slow for theory in 3-D, for files and for beads.

    Raises
    ------
    RestoreError
        If it cannot be read, or has more axes than the image.
    """
    from napari_restore.operators import psf

    finer, count = {"Y": request.finer, "X": request.finer}, 1
    if isinstance(request.source, Beads):
        kernel, notes = _of_beads(request.source, request.image, finer)
    else:
        settled = settle_psf(request.source, request.image, finer=finer)
        each, notes = psf.sweep(settled.text), settled.notes
        kernel, count = psf.parse(each[len(each) // 2], ndim=axes_of(settled.text, request.axes)), len(each)
    if kernel.ndim == 3 and len(kernel) > 1 and request.axes == 2:
        raise RestoreError(f"the PSF has {len(kernel)} planes and the image only one: choose a PSF of one plane.")
    return PsfSeen(kernel, count, "\n".join(notes))


def _of_beads(
    beads: Beads, image: Image | None, finer: Mapping[str, int]
) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """The PSF of a layer's beads, with pixels as large as the image's, and what was done for it."""
    from napari_restore.operators import psf

    pixels = small_pixels(beads.image)
    found = psf.average_beads(pixels, radius=beads.radius) if beads.radius else psf.take(pixels)
    kernel, notes = on_grid(found.kernel, beads.image, image, finer=finer)
    return kernel, tuple(filter(None, [found.said, *notes]))


def axes_of(text: str, most: int) -> int:
    """2 or 3, and at most ``most``: along how many axes the text of a PSF says something."""
    kind, _, rest = (part.strip() for part in text.lower().partition(":"))
    deep = (
        (kind == "gaussian" and rest.count(",") == 2)
        or (kind == "theory" and re.search(r"(^|,)\s*z\s*=", rest) is not None)
        or (kind == "inline" and rest.partition(":")[0].count("x") == 2)
    )
    return 3 if deep and most == 3 else 2


def widths(kernel: NDArray[np.float64]) -> tuple[float, ...]:
    """Standard deviation of the light along each axis, in pixels."""
    found = []
    for axis, n in enumerate(kernel.shape):
        profile = kernel.sum(tuple(a for a in range(kernel.ndim) if a != axis))
        found.append(float(np.sqrt(np.average((np.arange(n) - n // 2) ** 2, weights=profile))))
    return tuple(found)


def describe_psf(seen: PsfSeen, *, finer: bool = False) -> str:
    """Its size and width in words; ``finer`` where its pixels are those of the result."""
    shape = " × ".join(str(n) for n in seen.kernel.shape)
    said = f"{shape} px{' of the result' if finer else ''}, deviation "
    said += " × ".join(f"{w:.2g}" for w in dict.fromkeys(round(w, 3) for w in widths(seen.kernel))) + " px"
    said = said.replace(" × ", "\u00a0×\u00a0").replace(" px", "\u00a0px")
    said += f"\nthe middle one of {seen.count} that are tried" if seen.count > 1 else ""
    return said + (f"\n{seen.said}" if seen.said else "")


def _write_gaussian(values: Values) -> str:
    std, z = values["std"], values.get("z", 0)
    return f"gaussian:{z:g},{std:g},{std:g}" if z else f"gaussian:{std:g}"


def _write_theory(values: Values) -> str:
    text = "theory:" + ",".join(f"{key}={values[key]:g}" for key in ("NA", "wavelength", "pixel", "n"))
    text += f",mode={values['mode']}" if values["mode"] != "widefield" else ""
    keys = ["emission", "pinhole", "z"]
    if values.get("z"):
        keys += ["sheet", "depth", *(["ns"] if values.get("depth") else [])]
    return text + "".join(f",{key}={values[key]:g}" for key in keys if values.get(key))


def known_of(image: Image, *, finer: int) -> dict[str, Any]:
    """What an image says of the numbers of ``theory``, by their names here."""
    known: dict[str, Any] = {}
    if (pixel := image.geometry.micrometres("X")) is not None:
        known["pixel"] = pixel / finer
    if image.geometry.length("Z") > 1 and (step := image.geometry.micrometres("Z")) is not None:
        known["z"] = step
    if (optics := image.optics) is None:
        return known
    light = optics.channels[0] if optics.channels and alike(optics.channels) else ChannelOptics()
    main = light.excitation if light.mode in ("confocal", "twophoton") else light.emission
    known |= {"NA": optics.na, "n": _nearest_index(index_of(optics)), "mode": light.mode, "wavelength": main}
    known["emission"] = light.emission
    return {name: value for name, value in known.items() if value is not None}


def _nearest_index(index: float | None) -> float | None:
    """The immersion that is offered with about this refractive index."""
    offered = IMMERSIONS.values()
    return min(offered, key=lambda each: abs(each - index)) if index is not None else None


IMMERSIONS = {"oil": 1.515, "glycerol": 1.47, "water": 1.33, "air": 1.0}
SAMPLES = {"water": 1.33, "cells": 1.37, "tissue": 1.4, "glycerol": 1.47, "hard mounting medium": 1.515}
MODES = {"widefield": "widefield", "confocal": "confocal", "light sheet": "lightsheet", "two-photon": "twophoton"}

FORMULAS: Mapping[str, Formula] = {
    "gaussian": Formula(
        "Gaussian",
        {
            "std": Number("Sigma", 1.5, 0, 100, tip="Standard deviation along Y and X."),
            "z": Number(
                "Along Z", 0, 0, 50, special="none", stack=True,
                tip="Standard deviation along Z. With it the network looks along Z too, which takes longer.",
            ),
        },
        _write_gaussian,
    ),
    "box": Formula(
        "Box",
        {"radius": Number("Radius", 1, 0, 100, digits=0, tip="The mean over 2 × radius + 1 pixels along Y and X.")},
        lambda values: f"box:{values['radius']:g}",
    ),
    "motion": Formula(
        "Motion",
        {
            "length": Number("Length", 9, 1, 400, digits=1, tip="Of the way during the exposure."),
            "angle": Number("Angle", 0, -180, 180, digits=1, unit="°", tip="Counter-clockwise from the right."),
        },
        lambda values: f"motion:{values['length']:g},{values['angle']:g}",
    ),
    "theory": Formula(
        "Microscope",
        {
            "NA": Number("NA", 1.4, 0.01, 2, unit="", tip="Numerical aperture of the objective."),
            "n": Options("Immersion", IMMERSIONS, "Gives the refractive index."),
            "wavelength": Number(
                "Light", 0.52, 0.05, 50, digits=3, unit=" µm",
                tip="Wavelength in vacuum of the light detected; for confocal and two-photon that of the excitation.",
            ),
            "emission": Number(
                "Detected", 0, 0, 50, digits=3, unit=" µm", special="the same", modes=("confocal",),
                tip="Wavelength in vacuum of the light detected.",
            ),
            "pixel": Number(
                "Pixel", 0.1, 0.0005, 1000, digits=4, unit=" µm", sized=True,
                tip="Of the result: to super-resolve, the image's pixel divided by the factor.",
            ),
            "mode": Options("Mode", MODES, "The kind of microscope."),
            "pinhole": Number(
                "Pinhole", 1, 0, 10, unit=" AU", special="tiny", modes=("confocal",),
                tip="Its diameter in Airy units (1.22 wavelengths / NA of the light detected).",
            ),
            "z": Number(
                "Z step", 0, 0, 1000, digits=3, unit=" µm", special="in focus", stack=True, sized=True,
                tip="From plane to plane, as the layer says. With it the blur along Z counts too, which takes longer; "
                "at 0 every plane is taken for one in focus.",
            ),
            "sheet": Number(
                "Sheet", 4, 0.05, 1000, unit=" µm", stack=True, modes=("lightsheet",),
                tip="Thickness of the light sheet: the full width at half its maximum.",
            ),
            "depth": Number(
                "Depth", 0, 0, 1000, digits=1, unit=" µm", special="at glass", stack=True,
                tip="How far below the cover glass the middle of the stack is; counts with the sample's index.",
            ),
            "ns": Options("Sample", SAMPLES, "Gives the refractive index where depth counts.", stack=True),
        },
        _write_theory,
    ),
}  # fmt: skip
