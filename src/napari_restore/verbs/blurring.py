"""What blurs an image: the PSF that a request asks for, as a text that a model file holds, and what was done for it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_restore.core.errors import RestoreError
from napari_restore.core.events import Note
from napari_restore.core.job import Events
from napari_restore.sources import Image, open_image
from napari_restore.verbs.optics import theory_text

if TYPE_CHECKING:
    from napari_restore.operators.psf import Kernel

_ALIKE = 0.02
"""Pixel sizes that differ by less are one."""

_MOST_PIXELS = 2**26
"""Of a file that is read for a PSF: beads fit in a few planes."""


@dataclass(frozen=True)
class SettledPsf:
    """A PSF that nothing is left open of but a range.

    Attributes
    ----------
    text
        As ``operators.psf.parse`` reads it.
    notes
        What was taken from the image's metadata, or done to pixels, in words.
    """

    text: str
    notes: tuple[str, ...] = ()


def with_psf(own: Any, image: Image) -> Events[Any]:
    """A verb's own options with their PSF settled for an image, and a word about how; those without one as they are.

    Raises
    ------
    RestoreError
        If it is no PSF, or something it needs is known to nobody.
    """
    if getattr(own, "psf", None) is None:
        return own
    settled = settle_psf(own.psf, image, finer=getattr(own, "by_axis", {}))
    for text in settled.notes:
        yield Note(text)
    return replace(own, psf=settled.text)


def settle_psf(psf: Any, image: Image | None, *, finer: Mapping[str, int] | None = None) -> SettledPsf:
    """A PSF as a text: theory filled in from the image's metadata, pixels of files, arrays and beads inlined.

    Parameters
    ----------
    psf
        A text (also ``theory`` alone, and ``beads:FILE`` or ``beads:FILE,radius=8``), an image file, an array, a layer.
    image
        None where there is none to ask.
    finer
        Fine pixels to one of the image, by axis: a PSF is one on the fine grid.

    Raises
    ------
    RestoreError
        If it is no PSF, or something it needs is known to nobody.
    """
    from napari_restore.operators import psf as psfs

    finer = finer or {}
    if isinstance(psf, str) and in_words(psf):
        text, notes = psf, tuple[str, ...]()
        if image is not None and psf.strip().lower().partition(":")[0] == "theory":
            text, notes = theory_text(psf.strip(), image, finer=finer)
        narrowest = psfs.sweep(text)[0]
        psfs.parse(narrowest, ndim=psfs.axes_of(narrowest))
        return SettledPsf(text, notes)
    beads = beads_of(psf)
    measured = open_image(beads[0] if beads else psf)
    pixels = small_pixels(measured)
    found = psfs.average_beads(pixels, radius=beads[1]) if beads else psfs.take(pixels)
    kernel, resampled = on_grid(found.kernel, measured, image, finer=finer)
    return SettledPsf(psfs.inline(kernel), tuple(filter(None, [found.said, *resampled])))


def in_words(psf: Any) -> bool:
    """Whether a PSF is a text that needs no file."""
    return isinstance(psf, str) and beads_of(psf) is None and (psf.startswith("inline:") or not _exists(psf))


def beads_of(psf: Any) -> tuple[Path, int | None] | None:
    """The file of ``beads:FILE`` and its radius, where one is given; None for any other PSF."""
    if not isinstance(psf, str) or _exists(psf):
        return None
    found = re.fullmatch(r"\s*beads:(.+?)(?:,\s*radius\s*=\s*([0-9]+))?\s*", psf, re.DOTALL | re.IGNORECASE)
    if found is None:
        return None
    return Path(found[1].strip()).expanduser(), int(found[2]) if found[2] else None


def on_grid(
    kernel: Kernel, measured: Image, image: Image | None, *, finer: Mapping[str, int]
) -> tuple[Kernel, tuple[str, ...]]:
    """A measured PSF with pixels as large as those of the result, where both sizes are known, and a word about it."""
    if image is None:
        return kernel, ()
    from napari_restore.operators import psf as psfs

    ratio, said, unknown = [1.0] * kernel.ndim, [], []
    for i, axis in enumerate("ZYX"[-kernel.ndim :]):
        if kernel.shape[i] == 1:
            continue
        own, its = measured.geometry.micrometres(axis), image.geometry.micrometres(axis)
        if own is None or its is None:
            if its is not None and any(measured.geometry.micrometres(a) for a in "YX"):
                unknown.append(axis)
            continue
        its /= finer.get(axis, 1)
        if abs(own / its - 1) > _ALIKE:
            ratio[i] = own / its
            said.append(f"{own:.4g} µm for {its:.4g} along {axis}")
    notes = [f"the PSF's pixels are {', '.join(said)}: it was brought to the image's"] if said else []
    notes += [
        f"how far apart the PSF's pixels are along {axis} is not known: taken for as far as the image's"
        for axis in unknown
    ]
    return (psfs.resampled(kernel, ratio) if said else kernel), tuple(notes)


def small_pixels(image: Image) -> Any:
    """All of a small image, without axes of one pixel."""
    if "C" in image.axes and image.geometry.length("C") > 1:
        raise RestoreError(f"{image.name} has {image.geometry.length('C')} channels: a PSF is of one; give its pixels.")
    if image.nbytes // image.dtype.itemsize > _MOST_PIXELS:
        raise RestoreError(
            f"{image.name} has {' x '.join(map(str, image.shape))} px, too many for a picture of a PSF: cut out "
            "the part with the beads."
        )
    return image.read().squeeze()


def _exists(text: str) -> bool:
    try:
        return Path(text).exists()
    except (OSError, ValueError):  # longer than any name
        return False
