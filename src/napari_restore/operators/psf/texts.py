"""A PSF as a text, which the shell takes and a model file can hold."""

from __future__ import annotations

import base64
import math
import re
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_restore.core.errors import RestoreError
from napari_restore.operators.psf.formulas import box, gaussian, motion
from napari_restore.operators.psf.kernel import Kernel, check_ndim, check_size, normalised
from napari_restore.operators.psf.microscope import IMMERSIONS, theory


def parse(text: str, *, ndim: int = 2) -> Kernel:
    """The PSF that a text stands for.

    Parameters
    ----------
    text
        ``gaussian:STD``, ``gaussian:STDY,STDX``, ``gaussian:STDZ,STDY,STDX``, ``box:RADIUS``,
        ``motion:LENGTH,ANGLE`` (within planes), ``theory:NA=..,wavelength=..,pixel=..``, or ``inline:..`` as ``inline``
        writes it. Pixels, degrees, and one unit of length for theory, which takes all that ``theory`` does: ``n``
        (refractive index) or ``immersion=oil``, ``mode``, ``z`` (step), ``excitation``, ``emission``, ``pinhole``,
        ``sheet``, ``depth``, ``ns`` and ``ng`` (index of sample and glass), ``glass`` (its excess).
    ndim
        2 or 3, the axes of the kernel.

    Raises
    ------
    RestoreError
        If the text is of no such kind (a caller that allows files has looked for one before), or has a wrong value.
    """
    check_ndim(ndim)
    kind, _, rest = text.strip().partition(":")
    reader = _READERS.get(kind.strip().lower())
    if reader is None:
        raise RestoreError(
            f"PSF {text!r}: there is no such kind, so it would be taken for the path of an image file. Give "
            f"a file that exists, or one of {', '.join(_FORMS.values())}; for example gaussian:2."
        )
    if not rest.strip():
        raise RestoreError(f"PSF {text!r}: nothing follows {kind!r}. Write it as {_FORMS[kind.strip().lower()]}.")
    return reader(text.strip(), rest.strip(), ndim)


def theory_keys(text: str) -> dict[str, str]:
    """What ``theory:NA=1.4,pixel=0.1`` says, by key in small letters; nothing where nothing follows ``theory``.

    Raises
    ------
    RestoreError
        If there is no such key, or it is there twice.
    """
    _, _, rest = text.partition(":")
    given: dict[str, str] = {}
    for part in rest.split(",") if rest.strip() else []:
        key, equals, value = (p.strip() for p in part.partition("="))
        if not equals or key.lower() not in _THEORY:
            raise RestoreError(f"PSF {text!r}: {part.strip()!r} is none of {', '.join(f'{k}=..' for k in _THEORY)}.")
        if key.lower() in given:
            raise RestoreError(f"PSF {text!r}: {key} is there twice: give it once.")
        given[key.lower()] = value
    return given


def axes_of(psf: str) -> int:
    """2 or 3: along how many axes a PSF's text says something."""
    kind, _, rest = psf.strip().lower().partition(":")
    match kind.strip():
        case "inline":
            deep = rest.partition(":")[0].count("x") == 2
        case "gaussian":
            deep = rest.count(",") == 2
        case _:
            deep = re.search(r"(^|,)\s*z\s*=", rest) is not None
    return 3 if deep else 2


def sweep(text: str) -> list[str]:
    """Three texts, narrow to wide, for one with a range: ``gaussian:1.5..2.5`` gives those for 1.5, 2 and 2.5.

    One number of ``gaussian`` or ``box``, or the length of ``motion``, may be a range; a box of 1..2 gives two texts,
    as its radius is whole. Any other text is given back alone.

    Raises
    ------
    RestoreError
        If there are several ranges, or one where no number of these kinds is.
    """
    kind, _, rest = text.strip().partition(":")
    kind = kind.strip().lower()
    if ".." not in rest or kind not in _FORMS:
        return [text]
    values = rest.split(",")
    ranges = [i for i, value in enumerate(values) if ".." in value]
    if len(ranges) > 1 or kind not in ("gaussian", "box", "motion") or (kind == "motion" and ranges != [0]):
        raise RestoreError(
            f"PSF {text!r}: one number of gaussian or box, or the length of motion, may be a range, "
            "such as gaussian:1.5..2.5."
        )
    place = ranges[0]
    low, high = sorted(_number(part, text) for part in values[place].split("..", 1))
    widths = [low, low / 2 + high / 2, high]
    if kind == "box":
        widths = [float(math.floor(w)) if w == widths[1] else w for w in widths]
    each = [[*values[:place], f"{width:.10g}", *values[place + 1 :]] for width in dict.fromkeys(widths)]
    return [f"{kind}:{','.join(value.strip() for value in one)}" for one in each]


def inline(kernel: NDArray[np.floating]) -> str:
    """A text that holds the kernel itself: ``inline:13x13:`` and its float32, compressed, in base64; see ``parse``."""
    shape = "x".join(str(n) for n in kernel.shape)
    data = zlib.compress(np.ascontiguousarray(kernel, "<f4").tobytes(), 9)
    return f"inline:{shape}:{base64.b64encode(data).decode('ascii')}"


def _number(text: str, whole: str) -> float:
    try:
        value = float(text)
    except ValueError:
        hint = "a range is of no use here; give one number of it" if ".." in text else "give a number there"
        raise RestoreError(f"PSF {whole!r}: {text.strip()!r} is not a number: {hint}.") from None
    if not math.isfinite(value):
        raise RestoreError(f"PSF {whole!r}: {text.strip()!r} is not finite: give a number there.")
    return value


def _numbers(text: str, rest: str, *, kind: str, count: tuple[int, ...]) -> list[float]:
    values = [_number(part, text) for part in rest.split(",")]
    if len(values) not in count:
        allowed = " or ".join(str(c) for c in count)
        raise RestoreError(f"PSF {text!r}: {len(values)} numbers, where {allowed} can be. Write it as {_FORMS[kind]}.")
    return values


def _read_gaussian(text: str, rest: str, ndim: int) -> Kernel:
    return gaussian(_numbers(text, rest, kind="gaussian", count=(1, ndim)), ndim=ndim)


def _read_box(text: str, rest: str, ndim: int) -> Kernel:
    (radius,) = _numbers(text, rest, kind="box", count=(1,))
    if radius != int(radius):
        raise RestoreError(f"PSF {text!r}: a radius of {radius:g} px: give a whole number of 0 or more.")
    return box(int(radius), ndim=ndim)


def _read_motion(text: str, rest: str, ndim: int) -> Kernel:
    length, angle = _numbers(text, rest, kind="motion", count=(2,))
    return _with_axes(motion(length, angle), ndim, text)


_THEORY = {
    "na": "na",
    "wavelength": "wavelength",
    "pixel": "pixel",
    "n": "refractive_index",
    "mode": "mode",
    "z": "z_step",
    "excitation": "excitation",
    "emission": "emission",
    "immersion": "immersion",
    "pinhole": "pinhole",
    "sheet": "sheet",
    "depth": "depth",
    "ns": "sample_index",
    "ng": "glass_index",
    "glass": "glass_excess",
}
"""What a key is called in Python; ``immersion`` is a name for ``n``."""

_NEEDED = {"na": {"na"}, "wavelength": {"wavelength", "excitation", "emission"}, "pixel": {"pixel"}}


def _read_theory(text: str, rest: str, ndim: int) -> Kernel:
    given = theory_keys(text)
    values: dict[str, Any] = {}
    for key, value in given.items():
        if key == "immersion":
            values["refractive_index"] = _index_of(value, text, given)
        else:
            values[_THEORY[key]] = value.lower() if key == "mode" else _number(value, text)
    if missing := [key for key, names in _NEEDED.items() if not given.keys() & names]:
        raise RestoreError(
            f"PSF {text!r}: {', '.join(missing)} missing; for example theory:NA=1.4,wavelength=0.52,pixel=0.1,n=1.515 "
            "with wavelength and pixel in micrometres."
        )
    return theory(**values, ndim=ndim)


def _index_of(immersion: str, text: str, given: Mapping[str, str]) -> float:
    if "n" in given:
        raise RestoreError(f"PSF {text!r}: immersion and n are one thing: give one of them.")
    index = IMMERSIONS.get(immersion.lower())
    if index is None:
        raise RestoreError(f"PSF {text!r}: an immersion {immersion!r}: give {', '.join(IMMERSIONS)}, or n=NUMBER.")
    return index


def _read_inline(text: str, rest: str, ndim: int) -> Kernel:
    name = text if len(text) < 40 else f"{text[:40]}..."
    size, _, data = rest.partition(":")
    if not re.fullmatch(r"\d{0,3}[13579](x\d{0,3}[13579]){1,2}", size, re.ASCII):
        raise RestoreError(f"PSF {name!r}: a size of {size!r}: it needs 2 or 3 odd numbers, such as 13x13.")
    shape = tuple(int(n) for n in size.split("x"))
    check_size(shape, f"PSF {name!r}")
    expected = 4 * math.prod(shape)
    try:
        # Bounded, as a model file may come from anybody.
        raw = zlib.decompressobj().decompress(base64.b64decode(data, validate=True), expected + 1)
    except (ValueError, zlib.error):  # of base64: letters that are not its own, also beyond ASCII
        raw = b""
    if len(raw) != expected:
        raise RestoreError(f"PSF {name!r}: its data are not {size} numbers: it is cut short or changed; write it anew.")
    kernel: Kernel = np.frombuffer(raw, "<f4").reshape(shape).astype(np.float64)
    if not (np.isfinite(kernel).all() and float(kernel.min()) >= 0 and float(kernel.sum()) > 0):
        raise RestoreError(f"PSF {name!r}: its numbers are not finite, negative or all 0: give a PSF, not a filter.")
    return _with_axes(normalised(kernel), ndim, name)


def _with_axes(kernel: Kernel, ndim: int, text: str) -> Kernel:
    """A kernel within planes for a stack, or the only plane of a kernel for an image."""
    if kernel.ndim > ndim and kernel.shape[0] > 1:
        raise RestoreError(f"PSF {text!r}: it has {kernel.ndim} axes, the image {ndim}: give a PSF of one plane.")
    return kernel.reshape((1,) * (ndim - kernel.ndim) + kernel.shape[-ndim:])


_READERS: dict[str, Callable[[str, str, int], Kernel]] = {
    "gaussian": _read_gaussian,
    "box": _read_box,
    "motion": _read_motion,
    "theory": _read_theory,
    "inline": _read_inline,
}


_FORMS = {
    "gaussian": "gaussian:STD (px)",
    "box": "box:RADIUS (px)",
    "motion": "motion:LENGTH,ANGLE (px, degrees)",
    "theory": "theory:NA=..,wavelength=..,pixel=.. (one unit)",
    "inline": "inline:SIZExSIZE:DATA",
}
