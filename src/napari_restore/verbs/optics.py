"""What ``theory`` leaves out, filled in from the image's metadata: a PSF's text that is whole, and a word about it."""

from __future__ import annotations

from collections.abc import Mapping

from napari_restore.core.errors import RestoreError
from napari_restore.sources import Image
from napari_restore.sources.optics import ChannelOptics, Optics, alike

_LIGHTS = ("wavelength", "excitation", "emission")
_MAIN = {"widefield": "emission", "lightsheet": "emission", "confocal": "excitation", "twophoton": "excitation"}
_UNITS = (1.0, 1e-3, 1e6)
"""Micrometres, nanometres and metres, in micrometres."""


def theory_text(text: str, image: Image, *, finer: Mapping[str, int]) -> tuple[str, tuple[str, ...]]:
    """A PSF by theory with all it needs, and what was taken from where.

    What the text says stays. NA, the index of the immersion, the light, the mode and the pixel are taken from the
    image where they are left out; the step in Z of a stack too, unless NA, light and pixel are all given: that is the
    PSF in the plane.

    Raises
    ------
    RestoreError
        If something is left out that the image does not say, its channels differ in it, or the unit is not clear.
    """
    from napari_restore.operators.psf import theory_keys

    given = theory_keys(text)
    known = _known(given, image, finer=finer)
    filled = {key: value for key, value in known.items() if not _said(key, given)}
    whole = {**given, **filled}
    if lacking := _lacking(whole):
        raise RestoreError(
            f"PSF {text!r}: {', '.join(lacking)} missing, and the metadata of {image.name} do not say: give what is "
            "missing, for example theory:NA=1.4,n=1.515,emission=0.52,pixel=0.1,z=0.3, all lengths in micrometres."
        )
    if not filled:
        return text, ()
    written = "theory:" + ",".join(f"{'NA' if key == 'na' else key}={value}" for key, value in whole.items())
    of = ", ".join(f"{'NA' if key == 'na' else key} {value}" for key, value in filled.items())
    notes = [f"PSF {written}: {of} from the metadata of {image.name}"]
    if "mode" not in whole:
        notes.append("the metadata do not say what kind of microscope it was: widefield is taken for granted (mode=..)")
    if whole.get("mode", "").lower() == "confocal" and "pinhole" not in whole:
        notes.append(
            "the pinhole is taken for much smaller than the Airy disc: give its size in Airy units (pinhole=1)"
        )
    return written, tuple(notes)


def channel_of(optics: Optics | None, image: Image) -> ChannelOptics:
    """The light of an image's channels, where they are alike.

    Raises
    ------
    RestoreError
        If they are not.
    """
    channels = optics.channels if optics is not None else ()
    if not alike(channels):
        each = "; ".join(filter(None, (Optics(channels=(channel,)).said for channel in channels)))
        raise RestoreError(
            f"the channels of {image.name} differ in their light ({each}): one PSF is not that of all. Restore one at "
            "a time with `channel`, or give the light in the PSF."
        )
    return channels[0] if channels else ChannelOptics()


def index_of(optics: Optics) -> float | None:
    """Refractive index of the immersion, as measured or as its kind has it."""
    from napari_restore.operators.psf import IMMERSIONS

    return optics.refractive_index or IMMERSIONS.get(optics.immersion or "")


def _known(given: Mapping[str, str], image: Image, *, finer: Mapping[str, int]) -> dict[str, str]:
    """What the image says of what theory takes, in the unit of what is given."""
    optics = image.optics or Optics()
    index = {} if (n := index_of(optics)) is None else {"n": f"{n:.6g}"}
    if {"na", "pixel"} <= given.keys() and given.keys() & set(_LIGHTS):
        return index
    mode = given.get("mode", "").lower() or ("" if "wavelength" in given else _mode_of(optics))
    lengths: dict[str, float | None] = {"pixel": _square_pixel(image, finer)} if "pixel" not in given else {}
    if image.geometry.length("Z") > 1 and "z" not in given and (z := image.geometry.micrometres("Z")) is not None:
        lengths["z"] = z / finer.get("Z", 1)
    lengths |= _lights(given, mode or "widefield", image)
    measured = {key: length for key, length in lengths.items() if length is not None}
    unit = _unit(given, image, finer) if measured else 1.0
    numbers = {**({"na": optics.na} if optics.na else {}), **{key: length / unit for key, length in measured.items()}}
    return {**{key: f"{number:.6g}" for key, number in numbers.items()}, **index, **({"mode": mode} if mode else {})}


def _mode_of(optics: Optics) -> str:
    """The kind of microscope, where it is that of all channels."""
    modes = {channel.mode for channel in optics.channels}
    return (modes.pop() or "") if len(modes) == 1 else ""


def _lights(given: Mapping[str, str], mode: str, image: Image) -> dict[str, float | None]:
    """Wavelengths that the mode needs and the text does not give."""
    main = _MAIN.get(mode, "emission")
    if "wavelength" in given or main in given:
        return {}
    light = channel_of(image.optics, image)
    if mode == "confocal" and "emission" not in given:
        return {"excitation": light.excitation, "emission": light.emission}
    return {main: getattr(light, main)}


def _square_pixel(image: Image, finer: Mapping[str, int]) -> float | None:
    """Side of a pixel of the result in micrometres, where it is known."""
    y, x = (image.geometry.micrometres(axis) for axis in "YX")
    if x is None or y is None:
        return None
    y, x = y / finer.get("Y", 1), x / finer.get("X", 1)
    if abs(y / x - 1) > 0.01:
        raise RestoreError(
            f"the pixels of {image.name} are {y:.4g} x {x:.4g} µm, and theory is for square ones: give a measured PSF."
        )
    return x


def _unit(given: Mapping[str, str], image: Image, finer: Mapping[str, int]) -> float:
    """Micrometres of the unit that the text has its lengths in: light is of some hundred nanometres."""
    for key in _LIGHTS:
        if (value := _number(given.get(key))) is not None:
            return next((unit for unit in _UNITS if 0.1 <= value * unit <= 10), 1.0)
    for key, axis in (("pixel", "X"), ("z", "Z")):
        value, its = _number(given.get(key)), image.geometry.micrometres(axis)
        if value is not None:
            fits = [unit for unit in _UNITS if its and 0.2 < value * unit * finer.get(axis, 1) / its < 5]
            if len(fits) == 1:
                return fits[0]
            raise RestoreError(
                f"a PSF with {key}={given[key]}, whose other lengths are to come from the metadata: in which unit is "
                f"not clear. Give the light too, such as emission=0.52, or leave {key} out."
            )
    return 1.0


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text is not None else 0.0
    except ValueError:  # it is refused, in words, where the whole text is read
        return None
    return value if value > 0 else None


def _said(key: str, given: Mapping[str, str]) -> bool:
    """Whether the text says it, maybe by another key."""
    return key in given or (key == "n" and "immersion" in given)


def _lacking(whole: Mapping[str, str]) -> list[str]:
    main = _MAIN.get(whole.get("mode", "widefield").lower(), "emission")
    needed = {"NA": {"na"}, main: {"wavelength", main}, "pixel": {"pixel"}}
    return [name for name, keys in needed.items() if not whole.keys() & keys]
