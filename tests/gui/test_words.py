from __future__ import annotations

import numpy as np
import pytest

from napari_restore.core.events import Measured, Note, RestorationStarted, TileDone
from napari_restore.core.geometry import Geometry
from napari_restore.core.region import Region
from napari_restore.gui.parts.describe import (
    IN_WINDOW,
    Status,
    describe_image,
    describe_time,
    for_widget,
    status_of,
    unbroken,
    verdict_of,
)
from napari_restore.sources import open_image
from napari_restore.sources.image import Image
from napari_restore.verbs import VERBS
from napari_restore.verbs.request import options_of


def test_a_stack_in_one_line():
    sizes, units = {"Z": 0.2, "Y": 0.13, "X": 0.13}, dict.fromkeys("ZYX", "micrometer")
    geometry = Geometry.of("ZYX", (18, 512, 512), pixel_size=sizes, units=units)
    image = Image("golgi", geometry, np.dtype("uint16"), (1, 512, 512), lambda region: np.empty(region.shape))
    assert describe_image(image) == "18 × 512 × 512 ZYX, 0.2 × 0.13 × 0.13 µm, 16 bit"


def test_what_is_not_known_is_not_said():
    assert describe_image(open_image(np.zeros((9, 9), np.float32), axes="YX")) == "9 × 9 YX, 32 bit float"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-1, "0 s"),
        (7.6, "8 s"),
        (60, "1 min"),
        (75, "1 min 15 s"),
        (600, "10 min"),
        (1000, "17 min"),
        (3599, "60 min"),
        (7300, "2 h 1 min"),
    ],
)
def test_time_in_words(seconds, words):
    assert describe_time(seconds) == words


@pytest.mark.parametrize("unit", ["%", "dB", "s", "min", "h", "µm", "px", "MiB", "GiB"])
def test_no_line_ends_between_a_number_and_its_unit(unit):
    assert unbroken(f"in 3 {unit} of it, 4 {unit}; 5 {unit}") == f"in 3\u00a0{unit} of it, 4\u00a0{unit}; 5\u00a0{unit}"


def test_other_words_may_begin_a_line():
    said = "4 of 8 tiles, 3 simpler ways, 2 hours, 18 × 512"
    assert unbroken(said) == said


def test_the_guess_names_the_box_in_the_widget():
    note = open_image(np.zeros((9, 20, 20))).notes[0]
    assert "`axes`" in note and "type over them above" in for_widget(note)


def test_options_that_a_message_names_are_said_in_the_words_of_the_window():
    said = for_widget("name them with `axes`; give `overwrite` again, `tile` less, or `seed` 3; no `some_word`")
    assert said == (
        "name them with the Axes box; give the box Overwrite in the tab Batch again, Tile under Advanced less, "
        "or Seed under Advanced 3; no some word"
    )


def test_the_window_has_words_for_options_that_there_are():
    assert set(IN_WINDOW) <= {option.name for verb in VERBS for option in options_of(verb)}


def test_what_the_progress_bar_says():
    assert status_of(Measured(5, 1.0, 0.5, None, 1e-3, 0.25, 35.2)) == Status(0.25, "Training, 35 s left")
    started = RestorationStarted("p", "0", 8, 2, (1,), (0,), 1, "uint16", "cpu", "float32")
    assert status_of(started) == Status(0.25, "Restoring")
    done = TileDone(3, 4, 8, Region((0,), (1,)), 0.1, None)
    assert status_of(done) == Status(0.5, "Restoring, 4 of 8 tiles")
    assert status_of(Note("hello")) is None


def checked(**known):
    usual = {"psnr": 30.0, "psnr_at_least": 29.0, "psnr_before": 21.5, "structure": 0.0, "trusted": True}
    return {"checked": {**usual, **known}}


def compared(*sure, better=True):
    names = ("learned", "wiener", "rl")
    rows = [{"name": n, "label": f"The {n}", "sure": s} for n, s in zip(names, sure, strict=False)]
    return {"compared": {"rows": rows, "learned_is_better": better}}


@pytest.mark.parametrize(
    ("report", "words"),
    [
        ({}, "Done"),
        (checked(), "Done: +8.5 dB estimated"),
        (checked(psnr=None), "Done: +7.5 dB at least"),
        (checked(psnr=None, psnr_at_least=None), "Done: how much was gained cannot be told"),
        (checked(psnr_at_least=21.0), "Done: perhaps no better than the image itself, train longer"),
        (
            checked(structure=0.031, trusted=False),
            "Done: +8.5 dB estimated; detail may be lost in 3 % of the image",
        ),
        (checked(trusted=False), "Done: +8.5 dB estimated; read below what to look at"),
        (compared(1.25, 2.5, 2.0), "Done: estimated error 1.25, of the best simpler way 2"),
        (compared(0.0, 0.0), "Done: no warning sign was found"),
        (compared(1.0), "Done: no warning sign was found"),
        (compared(2.5, 2.0, 3.0, better=False), "Done, but look at it: The wiener may be as good"),
    ],
)
def test_the_verdict_is_one_sentence(report, words):
    assert verdict_of(report) == words and "\n" not in words and len(words) < 80
