"""The main job on samples the package makes itself: no network, no Qt, three minutes on a laptop."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Picture
from PIL import ImageDraw, ImageFont
from rich.console import Console
from rich.table import Table

from napari_restore import denoise_events
from napari_restore.core.errors import OutputError
from napari_restore.core.events import Note, Saved
from napari_restore.core.job import Events
from napari_restore.metrics.similarity import psnr, ssim
from napari_restore.sources.samples import ct_slices, microscopy_stack, sample_image

_ZOOM = 2
_MARGIN = 28
_TITLES = ("noisy", "restored", "what was removed")


def demo_events(
    folder: Path, *, seconds: float, device: str = "auto", seed: int = 0, stop: threading.Event | None = None
) -> Events[list[dict[str, Any]]]:
    """Restore both samples into a folder; returns a row of figures for each.

    Raises
    ------
    OutputError
        If the folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be made: {error.strerror}. Give another --output.") from None
    rows: list[dict[str, Any]] = []
    panels = []
    for name, (clean, noisy) in {"microscopy": microscopy_stack(), "ct": ct_slices()}.items():
        yield Note(f"{name}: a stack of {' x '.join(map(str, noisy.shape))} made by a formula, with noise")
        output = folder / f"{name}.ome.zarr"
        options: dict[str, Any] = {"device": device, "seed": seed, "stop": stop, "overwrite": True}
        image = replace(sample_image(name), notes=())  # type: ignore[arg-type]
        result = yield from denoise_events(image, seconds=seconds, output=output, **options)
        if result is None or not result.complete:
            return rows
        restored = np.asarray(result)
        rows.append({"sample": name, **_figures(clean, noisy, restored)})
        panels.append(_panel(clean, noisy, restored))
    picture = folder / "before_after.png"
    montage(panels, [row["sample"] for row in rows]).save(picture)
    yield Saved(str(picture), "picture")
    return rows


def table(rows: Sequence[dict[str, Any]]) -> None:
    """Print the figures."""
    shown = Table("sample", "PSNR noisy", "PSNR restored", "gain", "SSIM noisy", "SSIM restored", box=None)
    for row in rows:
        before, after = row["psnr_noisy"], row["psnr_restored"]
        shown.add_row(
            row["sample"], f"{before:.2f} dB", f"{after:.2f} dB", f"{after - before:+.2f} dB",
            f"{row['ssim_noisy']:.3f}", f"{row['ssim_restored']:.3f}",
        )  # fmt: skip
    Console().print(shown)


def _figures(clean: NDArray[Any], noisy: NDArray[Any], restored: NDArray[Any]) -> dict[str, float]:
    return {
        "psnr_noisy": psnr(noisy, clean),
        "psnr_restored": psnr(restored, clean),
        "ssim_noisy": ssim(noisy, clean),
        "ssim_restored": ssim(restored, clean),
    }


def _panel(clean: NDArray[Any], noisy: NDArray[Any], restored: NDArray[Any]) -> list[NDArray[np.uint8]]:
    """The middle plane before, after, and the difference, which should look like noise and nothing else."""
    z = len(clean) // 2
    low, high = np.percentile(clean[z], (0.5, 99.8))
    before, after = (_gray(a[z].astype(np.float32), low, high) for a in (noisy, restored))
    removed = noisy[z].astype(np.float32) - restored[z].astype(np.float32)
    span = 3 * float(removed.std()) or 1.0
    return [before, after, _gray(removed, -span, span)]


def _gray(plane: NDArray[np.float32], low: float, high: float) -> NDArray[np.uint8]:
    return ((plane - low) / max(high - low, 1e-12) * 255).clip(0, 255).astype(np.uint8)


def montage(panels: Sequence[Sequence[NDArray[np.uint8]]], names: Sequence[str]) -> Picture.Image:
    """A row of pictures for each sample, with a title over each."""
    height, width = (n * _ZOOM for n in panels[0][0].shape)
    columns = len(panels[0])
    canvas = Picture.new("L", (columns * (width + 4) - 4, len(panels) * (height + _MARGIN)), 255)
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(16)
    for row, (pictures, name) in enumerate(zip(panels, names, strict=True)):
        for column, (pixels, title) in enumerate(zip(pictures, _TITLES, strict=True)):
            left, top = column * (width + 4), row * (height + _MARGIN)
            draw.text((left + 4, top + 5), f"{name}: {title}", fill=0, font=font)
            canvas.paste(
                Picture.fromarray(pixels).resize((width, height), Picture.Resampling.NEAREST), (left, top + _MARGIN)
            )
    return canvas
