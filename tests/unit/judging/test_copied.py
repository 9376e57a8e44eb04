"""What is said of a copy beside its teacher, and when it is a warning."""

from dataclasses import replace

import numpy as np
import pytest

from napari_restore import train
from napari_restore.judging.copied import Copied, compare
from napari_restore.sources import open_image

GOOD = Copied(weights=0.25, seconds=0.2, alike=25.0, lost=0.03, enough=20.0)


def test_it_says_what_it_costs_and_saves():
    note = GOOD.note
    assert note.level == "info"
    for part in ("20% of its teacher's time", "25% of its weights", "25.0 dB", "loses 0.03 dB by its own estimate"):
        assert part in note.text


@pytest.mark.parametrize(
    ("copied", "words"),
    [
        (replace(GOOD, lost=0.21), "train it longer, or give a larger `ratio`"),
        (replace(GOOD, lost=None, alike=19.0), "train it longer"),
        (replace(GOOD, seconds=1.2), "no faster, keep the teacher"),
    ],
)
def test_one_that_loses_much_or_saves_nothing_is_warned_of(copied, words):
    assert copied.note.level == "warning" and words in copied.note.text


@pytest.mark.parametrize(
    "copied", [replace(GOOD, alike=5.0), replace(GOOD, lost=None), replace(GOOD, lost=None, alike=None, weights=None)]
)
def test_what_cannot_be_told_is_left_out_and_the_estimate_has_the_last_word(copied):
    assert copied.note.level == "info" and "None" not in copied.note.text


def test_a_copy_that_has_learned_nothing_is_found_out():
    """Its result is the noisy image: beside any denoiser it loses what that gains, by its own estimate."""
    from napari_restore import distill

    rng = np.random.default_rng(0)
    y, x = np.mgrid[:80, :80]
    noisy = (100 + 30 * np.sin(y / 7) * np.cos(x / 9) + rng.normal(0, 10, (80, 80))).astype(np.float32)
    teacher = train(noisy, "posterior", steps=30, width=8, device="cpu")
    copy = distill(noisy, teacher, steps=1, learning_rate=1e-9, patch=(32, 32), similar="no", device="cpu")
    found = compare(open_image(noisy), teacher, copy, device="cpu")
    assert found.lost is not None and found.lost > 1 and found.note.level == "warning"
    assert found.alike == pytest.approx(0, abs=0.5)
    same = compare(open_image(noisy), teacher, replace(teacher, method=_as_copy(teacher)), device="cpu")
    assert same.lost == 0 and same.weights == 1


def _as_copy(teacher):
    import copy

    found = copy.deepcopy(teacher.method)
    found.config = replace_config(found.config)
    return found


def replace_config(config):
    """With nothing measured of its teacher."""
    from types import SimpleNamespace

    return SimpleNamespace(**{name: getattr(config, name) for name in config.__dataclass_fields__}, unlike=())
