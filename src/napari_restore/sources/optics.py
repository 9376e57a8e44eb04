"""What an image's metadata say about the microscope: objective, immersion, and the light of each channel."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree

from napari_restore.core.geometry import in_micrometres
from napari_restore.sources.naming import unit_name

Element = ElementTree.Element
Mode = Literal["widefield", "confocal", "lightsheet", "twophoton"]
ReadOptics = Callable[[], "Optics | None"]

_MOST_XML = 64 * 1024**2
"""Bytes of OME-XML that are read for a few words; beside a Zarr it is in a file of its own."""

_IMMERSIONS = {
    "air": "air",
    "water": "water",
    "waterdipping": "water",
    "oil": "oil",
    "glycerol": "glycerol",
}
"""Ours by those of OME: Multi and Other say nothing."""

_MODES: dict[str, Mode] = {
    "widefield": "widefield",
    "laserscanningconfocalmicroscopy": "confocal",
    "spinningdiskconfocal": "confocal",
    "slitscanconfocal": "confocal",
    "multiphotonmicroscopy": "twophoton",
    "spim": "lightsheet",
}
"""Ours by AcquisitionMode of OME; of all others there is no PSF here."""


@dataclass(frozen=True, kw_only=True)
class ChannelOptics:
    """The light of one channel.

    Attributes
    ----------
    name
        Of the channel, or empty.
    excitation, emission
        Wavelengths in micrometres.
    pinhole
        Its diameter in the instrument, in micrometres: at the specimen it is smaller by a magnification that is not
        said.
    mode
        The kind of microscope, where it is one that there is a PSF for.
    """

    name: str = ""
    excitation: float | None = None
    emission: float | None = None
    pinhole: float | None = None
    mode: Mode | None = None


@dataclass(frozen=True, kw_only=True)
class Optics:
    """What is known of the microscope; None is not known.

    Attributes
    ----------
    na
        Numerical aperture of the objective.
    immersion
        ``"oil"``, ``"water"``, ``"glycerol"`` or ``"air"``.
    refractive_index
        Of the immersion.
    magnification
        Of the objective.
    channels
        One entry a channel, in their order.
    """

    na: float | None = None
    immersion: str | None = None
    refractive_index: float | None = None
    magnification: float | None = None
    channels: tuple[ChannelOptics, ...] = ()

    @property
    def said(self) -> str:
        """In words: ``NA 1.4, oil, 63x; DAPI: excitation 405 nm, emission 461 nm, confocal``."""
        objective = [
            f"NA {self.na:g}" if self.na else "",
            self.immersion or "",
            f"n {self.refractive_index:g}" if self.refractive_index else "",
            f"{self.magnification:g}x" if self.magnification else "",
        ]
        words = [", ".join(filter(None, objective)), *(_said(c) for c in self.channels)]
        return "; ".join(filter(None, words))

    def of_channel(self, index: int) -> Optics:
        """The same for one channel."""
        return replace(self, channels=self.channels[index : index + 1])


def no_optics() -> None:
    """Of an image that says nothing about a microscope."""


def from_ome_xml(xml: str, *, image: int = 0) -> Optics | None:
    """What OME-XML says about one of its images; None where that is nothing, or it is no XML."""
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError:
        return None
    images = _all(root, "Image")
    return of_image(root, images[image]) if image < len(images) else None


def from_file(path: Path, *, image: int = 0) -> Optics | None:
    """The same of a file of OME-XML; None where there is none."""
    try:
        with path.open("rb") as file:
            xml = file.read(_MOST_XML + 1)
    except OSError:
        return None
    return from_ome_xml(xml.decode("utf-8", "replace"), image=image) if len(xml) <= _MOST_XML else None


def of_image(root: Element, image: Element) -> Optics | None:
    """What is said about an ``Image`` element."""
    settings = _first(image, "ObjectiveSettings")
    objective = _objective(root, image, settings)
    pixels = _first(image, "Pixels")
    channels = tuple(_channel(channel) for channel in (_all(pixels, "Channel") if pixels is not None else ()))
    found = Optics(
        na=_number(objective, "LensNA", most=2),
        immersion=_IMMERSIONS.get(_word(objective, "Immersion")) or _IMMERSIONS.get(_word(settings, "Medium")),
        refractive_index=_number(settings, "RefractiveIndex", least=1, most=4),
        magnification=_number(objective, "NominalMagnification", most=1e4),
        channels=channels,
    )
    unnamed = [replace(channel, name="") for channel in channels]
    return None if replace(found, channels=()) == Optics() and set(unnamed) <= {ChannelOptics()} else found


def alike(channels: Sequence[ChannelOptics]) -> bool:
    """Whether channels differ in nothing but their names."""
    return len({replace(channel, name="") for channel in channels}) <= 1


def _objective(root: Element, image: Element, settings: Element | None) -> Element | None:
    """The one that the settings name, else the only one of the image's instrument."""
    if settings is not None:
        return next((o for o in _all(root, "Objective") if o.get("ID") == settings.get("ID")), None)
    reference = _first(image, "InstrumentRef")
    instruments = [i for i in _all(root, "Instrument") if reference is None or i.get("ID") == reference.get("ID")]
    objectives = [objective for instrument in instruments for objective in _all(instrument, "Objective")]
    return objectives[0] if len(objectives) == 1 else None


def _channel(channel: Element) -> ChannelOptics:
    return ChannelOptics(
        name="".join(c for c in channel.get("Name", "") if c.isprintable())[:80],
        excitation=_length(channel, "ExcitationWavelength", "nm", least=0.1, most=10),
        emission=_length(channel, "EmissionWavelength", "nm", least=0.1, most=10),
        pinhole=_length(channel, "PinholeSize", "µm", least=0, most=1e5),
        mode=_MODES.get(_word(channel, "AcquisitionMode")),
    )


def _said(channel: ChannelOptics) -> str:
    words = [
        f"excitation {1000 * channel.excitation:.4g} nm" if channel.excitation else "",
        f"emission {1000 * channel.emission:.4g} nm" if channel.emission else "",
        channel.mode or "",
        f"pinhole {channel.pinhole:.4g} µm" if channel.pinhole else "",
    ]
    known = ", ".join(filter(None, words))
    return f"{channel.name}: {known}" if channel.name and known else known


def _all(element: Element, name: str) -> list[Element]:
    """Elements of a name, whatever the version of the schema."""
    return [each for each in element.iter() if isinstance(each.tag, str) and each.tag.rpartition("}")[2] == name]


def _first(element: Element, name: str) -> Element | None:
    return next(iter(_all(element, name)), None)


def _word(element: Element | None, name: str) -> str:
    return "" if element is None else element.get(name, "").strip().lower()


def _number(element: Element | None, name: str, *, least: float = 0, most: float) -> float | None:
    """An attribute that is a number above ``least`` (or that) and at most ``most``: files are full of others."""
    try:
        value = float(element.get(name, "")) if element is not None else math.nan
    except ValueError:
        return None
    return value if value > 0 and least <= value <= most else None


def _length(element: Element, name: str, unit: str, *, least: float, most: float) -> float | None:
    """An attribute with a unit beside it, in micrometres."""
    scale = in_micrometres(unit_name(element.get(f"{name}Unit", unit)))
    value = _number(element, name, most=math.inf)
    if value is None or scale is None or not math.isfinite(value):
        return None
    length = float(f"{value * scale:.9g}")  # 488 nm are 0.488
    return length if least <= length <= most else None
