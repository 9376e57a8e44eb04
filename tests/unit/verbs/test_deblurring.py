"""What is done to a measured PSF is said, by whichever door it comes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_restore.core.events import Note
from napari_restore.gui.restore.point_spread import PsfRequest, describe_psf, read
from napari_restore.operators import psf as psfs
from napari_restore.sources import open_image
from napari_restore.verbs.learning import prepare
from napari_restore.verbs.request import ask

GOOD = psfs.gaussian(1)


def said(psf: Any) -> list[str]:
    pixels = np.random.default_rng(0).normal(100, 5, (64, 64)).astype(np.float32)
    events = prepare(ask("deblur", pixels, psf=psf, noise=5), [open_image(pixels, axes="YX")])
    return [event.text for event in events if isinstance(event, Note) and "PSF" in event.text]


@pytest.mark.parametrize("scale", [1, 7])
def test_a_psf_off_its_middle_is_told_of_and_one_in_it_is_not(tmp_path: Path, scale: int) -> None:
    off = scale * np.pad(GOOD, ((0, 0), (4, 0)))
    np.save(tmp_path / "off.npy", off)
    for psf in (off, str(tmp_path / "off.npy"), tmp_path / "off.npy"):
        assert [text for text in said(psf) if "+2.0 px off the middle" in text]
    assert "+2.0 px off the middle" in describe_psf(read(PsfRequest(tmp_path / "off.npy"))), "the window says it, too"
    assert not said(scale * GOOD) and not said("gaussian:1")
