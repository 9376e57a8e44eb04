"""A model and an image put to the guards: noise alone, planted structures, what the image bears out, and its scale."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_restore.core.errors import ImageError
from napari_restore.judging import guards, words
from napari_restore.judging.denoised import Checked, check
from napari_restore.judging.guards import Null, Planted, Support
from napari_restore.judging.looked_at import Units, denoiser_of, part_looked_at
from napari_restore.methods.measuring import constants, noise_levels
from napari_restore.metrics.noise_level import NoiseLevel
from napari_restore.sources import Image
from napari_restore.sources.planes import planes_of_channels
from napari_restore.store.model import Model

_SIGNALS = {"dark": 0.1, "middle": 0.5, "bright": 0.95}
"""Quantiles of the restored part that noise is put on."""
_KEPT_AT_MOST = 0.2
_UNSUPPORTED_AT_MOST = 0.5
_PROPORTION = (0.8, 1.2)
_SCALE = 1.5
"""Times that an image may be as wide as what the model was trained on, or the other way round."""


@dataclass(frozen=True, eq=False)
class Guarded:
    """What the guards found out about a model on an image.

    Attributes
    ----------
    model, image
        Names.
    noise
        Deviation of the noise where the image is of middling brightness, of each channel, in units of the image.
    null
        What is left of noise alone, on a dark, a middling and a bright signal.
    planted
        What comes back of structures that were added: restored against true brightness, for dim and bright, small and
        large ones.
    detectable
        By size: the contrast, in deviations of the noise, from which nine of ten come back; None where they do not.
    unsupported
        Share of the places with structure in the result that the image does not bear out; at most some 5 % of what is
        made up passes for borne out.
    own
        Share of a restored pixel that comes of the pixel itself, the mean; the rest comes of its surroundings.
    judged
        What is told of the result without a truth, see ``denoised.Checked``.
    flags
        What is wrong, each in a sentence; empty where nothing is.
    maps
        ``measured``, ``restored``, ``own`` and ``borne_out`` (see ``guards.Support``) of the part that was looked at,
        ``(..., Y, X)`` with channels first.
    """

    model: str
    image: str
    noise: tuple[float, ...]
    null: tuple[Null, ...]
    planted: tuple[Planted, ...]
    detectable: dict[str, float | None]
    unsupported: float
    own: float
    judged: Checked | None
    flags: tuple[str, ...]
    maps: dict[str, NDArray[np.float32]]

    def report(self) -> dict[str, Any]:
        """All but the maps, as plain JSON values."""
        return {
            "model": self.model,
            "image": self.image,
            "noise": list(self.noise),
            "null": [{**asdict(row), "flat": row.flat} for row in self.null],
            "planted": [asdict(row) for row in self.planted],
            "detectable": self.detectable,
            "unsupported": self.unsupported,
            "own": self.own,
            "judged": None if self.judged is None else asdict(self.judged),
            "flags": list(self.flags),
        }


def guarded(image: Image, model: Model, *, size: int = 256, seed: int = 0, device: str = "auto") -> Guarded:
    """Put a denoiser to the guards, on the middle of an image. Some twenty restorations of that part.

    Parameters
    ----------
    size
        Pixels along Y and X of the part, at most; one plane, or 8 where the method looks along Z or T.
    seed
        Of the noise that is drawn, and of the probes.

    Raises
    ------
    ImageError
        If the model is no denoiser, or the part cannot be looked at, with the reason.
    """
    method = model.method
    if method.undoes is not None or max(method.rate) > 1 or method.fills:
        raise ImageError(f"{method.label} does not only take noise away: the guards are for denoisers.")
    along = method.spatial[:-2]
    seen = part_looked_at(image, along, size) if all(axis in image.axes for axis in along) else None
    if seen is None:
        raise ImageError(
            f"{image.name}: the guards look at 64 x 64 pixels or more that were measured, and the model along the axes "
            f"{method.spatial}. Give such an image."
        )
    order = sorted(range(image.ndim), key=lambda i: "CTZYX".index(image.axes[i]))
    denoise = _ordered(model, image, order, device)
    shown = np.where(np.isfinite(seen.measured), seen.measured, seen.values).astype(np.float64).transpose(order)
    levels = noise_levels([image])
    restored = denoise(shown)
    rng = np.random.default_rng(seed)
    by_channel = _ByChannel(levels, "C" in image.axes, shown.ndim)
    middling = by_channel.deviation(restored, _SIGNALS["middle"])
    signals = {n: (by_channel.signal(restored, q), by_channel.deviation(restored, q)) for n, q in _SIGNALS.items()}
    null = guards.null_test(denoise, signals, shown.shape, margin=max(method.radius[-2:]), rng=rng)
    planted = guards.planted_test(denoise, shown, restored, middling, depth="Z" in along)
    told = guards.support(denoise, shown, restored, by_channel.variance(restored), rng=rng)
    judged = check(image, model, size=size, seed=seed, device=device)
    found = Guarded(
        model=model.name,
        image=image.name,
        noise=tuple(float(each) for each in np.ravel(middling)),
        null=null,
        planted=planted,
        detectable={size: guards.detectable(planted, size) for size in guards.SIZES},
        unsupported=told.share,
        own=float(told.own.mean()),
        judged=judged,
        flags=(),
        maps=_maps(shown, restored, told),
    )
    return replace(found, flags=tuple(_flags(found, image, model, levels)))


def _maps(measured: NDArray[Any], restored: NDArray[Any], told: Support) -> dict[str, NDArray[np.float32]]:
    pixels = {"measured": measured, "restored": restored, "own": told.own, "borne_out": told.borne_out}
    return {name: np.asarray(each, np.float32) for name, each in pixels.items()}


def _ordered(model: Model, image: Image, order: Sequence[int], device: str) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """What the model makes of arrays with channels first, in units of the image."""
    units = Units.of(model.normalisation)
    through = denoiser_of(replace(model, normalisation=units.constants(model.normalisation)), image.axes, device)
    back = np.argsort(order)

    def denoise(y: NDArray[Any]) -> NDArray[np.float64]:
        return units.give(through(units.take(y.transpose(back)))).transpose(order)

    return denoise


@dataclass(frozen=True)
class _ByChannel:
    """Signals and noise of an array whose first axis is that of its channels, where it has any."""

    levels: Sequence[NoiseLevel]
    split: bool
    ndim: int

    def signal(self, restored: NDArray[Any], quantile: float) -> NDArray[np.float64]:
        """Of each channel, to broadcast."""
        within = tuple(range(1 if self.split else 0, self.ndim))
        return np.asarray(np.quantile(restored, quantile, axis=within, keepdims=True))

    def deviation(self, restored: NDArray[Any], quantile: float) -> NDArray[np.float64]:
        """Of the noise at that signal, to broadcast."""
        return np.sqrt(np.maximum(self.variance(self.signal(restored, quantile)), np.finfo(np.float32).tiny))

    def variance(self, signal: NDArray[Any]) -> NDArray[np.float64]:
        """Of the noise at each signal."""
        if not self.split:
            return self.levels[0].pixels.at(signal)
        return np.stack([level.pixels.at(each) for level, each in zip(self.levels, signal, strict=True)])


def _flags(found: Guarded, image: Image, model: Model, levels: Sequence[NoiseLevel]) -> list[str]:
    """What is wrong, in sentences."""
    flags = []
    if not all(level.reliable for level in levels if not level.constant):
        flags.append(words.unknown_noise())
    flags += _other_scale(image, model)
    worst = max(found.null, key=lambda row: row.kept)
    if worst.kept > _KEPT_AT_MOST:
        flags.append(words.noise_comes_back(worst.name, worst.kept, guards.LIMIT))
    large = [row.recovered for row in found.planted if row.size == "large" and row.contrast == guards.CONTRASTS[-1]]
    if not _PROPORTION[0] <= large[0] <= _PROPORTION[1]:
        flags.append(words.not_in_proportion(large[0]))
    if found.unsupported > _UNSUPPORTED_AT_MOST:
        flags.append(words.not_borne_out(found.unsupported))
    if found.judged is not None and not found.judged.trusted:
        flags.append(found.judged.verdict)
    return flags


def _other_scale(image: Image, model: Model) -> list[str]:
    """Where the image is far brighter, dimmer or wider than what the model was trained on."""
    own, was = constants(planes_of_channels([image]), image.name), model.normalisation
    for mean, std, mean_then, std_then in zip(own.mean, own.std, was.mean, was.std, strict=True):
        if std <= 0 or std_then <= 0:
            continue
        apart = abs(math.log(std / std_then)) > math.log(_SCALE) or abs(mean - mean_then) > std + std_then
        if apart:
            return [words.other_scale((mean, std), (mean_then, std_then))]
    return []
