"""A second or clean image that does not fit is matched, told of or refused before the first step."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, shift

from napari_restore.core.errors import ImageError
from napari_restore.core.events import Note
from napari_restore.core.region import Region
from napari_restore.sources import open_image
from napari_restore.sources.matched import in_brightness_of, part_of
from napari_restore.verbs.learning import prepare
from napari_restore.verbs.request import ask

RNG = np.random.default_rng(0)
POINTS = (RNG.random((130, 140)) > 0.99) * RNG.random((130, 140))
WIDE = 100 + 60000 * gaussian_filter(POINTS, 2)
INNER = (slice(10, -10),) * 2
CLEAN = WIDE[INNER]


def seen(clean, seed=1):
    return np.random.default_rng(seed).poisson(np.maximum(clean, 0)).astype(np.uint16)


def prepared(image, other, *, role="second", axes="YX"):
    """The lesson, and what was said of the pair."""
    events = prepare(ask("denoise", image, axes=axes, **{role: other}), [open_image(image, axes=axes)])
    said = []
    while True:
        try:
            event = next(events)
        except StopIteration as end:
            return end.value.lesson, said
        named = f"the {'second' if role == 'second' else 'clean'} image"
        if isinstance(event, Note) and named in event.text:
            said.append(event)


def test_a_pair_that_fits_is_left_as_it_is():
    first, second = seen(CLEAN), seen(CLEAN, 2)
    lesson, said = prepared(first, second)
    assert not said
    np.testing.assert_array_equal(lesson.partners[0].read(), second)
    np.testing.assert_array_equal(lesson.images[0].read(), first)


@pytest.mark.parametrize(("gain", "offset"), [(0.6, 0), (1, 300), (0.3, 300), (5, -40)])
def test_a_second_of_another_brightness_is_brought_to_the_first_and_it_is_said(gain, offset):
    first = seen(CLEAN)
    lesson, said = prepared(first, seen(gain * CLEAN, 2).astype(np.float32) + offset)
    matched = lesson.partners[0].read()
    assert matched.mean() == pytest.approx(first.mean(), rel=0.004)
    assert np.std(gaussian_filter(matched, 3)) == pytest.approx(
        np.std(gaussian_filter(first.astype(float), 3)), rel=0.05
    )
    (note,) = said
    assert "brought to the brightness" in note.text and note.level == "info"


def test_few_photons_counted_in_floating_point_are_matched_too():
    dim = 0.3 * CLEAN / CLEAN.mean()
    lesson, said = prepared(seen(dim).astype(np.float32), seen(5 * dim, 2).astype(np.float32))
    assert len(said) == 1 and lesson.partners[0].read().mean() == pytest.approx(seen(dim).mean(), rel=0.02)


def test_channels_are_matched_each_by_its_own_line():
    first = np.stack([seen(CLEAN), seen(CLEAN, 3)])
    second = np.stack([seen(CLEAN, 2), seen(0.5 * CLEAN, 4) + 7])
    lesson, _ = prepared(first, second, axes="CYX")
    np.testing.assert_allclose(lesson.partners[0].read().mean((1, 2)), first.mean((1, 2)), rtol=0.004)


def test_a_second_moved_by_whole_pixels_is_learned_from_where_both_show_the_same():
    first, second = seen(CLEAN), seen(0.6 * WIDE[13:-7, 5:-15], 2)
    lesson, said = prepared(first, second)
    assert "-3, +5 px" in said[0].text
    image, partner = lesson.images[0].read(), lesson.partners[0].read()
    np.testing.assert_array_equal(image, first[3:, :-5])
    assert (
        np.corrcoef(gaussian_filter(image.astype(float), 2).ravel(), gaussian_filter(partner, 2).ravel())[0, 1] > 0.98
    )


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (seen(shift(WIDE, (0, 0.5), order=5)[INNER], 2), r"moved by \+0, \+0\.5 px.*Register.*`second`"),
        (seen(shift(WIDE, (3.5, 0), order=5)[INNER], 2), r"moved by \+3\.5, \+0 px"),
        (seen(CLEAN[::-1, ::-1], 2), "another scene"),
        (np.zeros_like(seen(CLEAN)), "every pixel looked at of the second image is 0"),
    ],
)
def test_what_cannot_be_matched_is_refused_with_its_cause(other, words):
    with pytest.raises(ImageError, match=words):
        prepared(seen(CLEAN), other)


def test_a_stack_that_drifts_or_has_moved_along_z_is_refused():
    turned = CLEAN[::-1, ::-1]
    stack = np.stack([w * CLEAN + (1 - w) * turned for w in np.linspace(0, 1, 8)])
    with pytest.raises(ImageError, match="along Z"):
        prepared(seen(stack[:-1]), seen(stack[1:], 2), axes="ZYX")
    drifting = np.stack([np.roll(plane, k, 1) for k, plane in enumerate(stack)])
    with pytest.raises(ImageError, match="differs from plane to plane"):
        prepared(seen(stack), seen(drifting, 2), axes="TYX")


def test_a_part_in_which_something_else_is_is_told():
    other = CLEAN.copy()
    other[:60, :60] = CLEAN[-60:, -60:]
    lesson, said = prepared(seen(CLEAN), seen(other, 2))
    (note,) = said
    assert note.level == "warning" and "differs by more than noise" in note.text
    assert lesson.partners[0].dtype == np.uint16, "the rest is not bent to fit"


def test_a_clean_image_keeps_its_brightness_and_is_told_of_but_not_when_it_has_moved():
    clean = (3 * CLEAN).astype(np.float32)
    lesson, said = prepared(seen(CLEAN), clean, role="target")
    assert "times 3" in said[0].text
    np.testing.assert_array_equal(lesson.partners[0].read(), clean)
    with pytest.raises(ImageError, match=r"clean image has moved by \+0, \+0\.5.*`target`"):
        prepared(seen(CLEAN), shift(WIDE, (0, 0.5), order=5)[INNER].astype(np.float32), role="target")


def test_a_part_in_another_brightness_reads_as_its_pixels():
    pixels = np.arange(2 * 5 * 7, dtype=np.uint16).reshape(2, 5, 7)
    image = open_image(pixels, axes="CYX", pixel_size={"Y": 2.0})
    part = part_of(image, Region((0, 1, 2), (2, 5, 6)))
    assert part.geometry.origin == (0, 2.0, 2)
    wanted = (pixels - np.array([1, 3]).reshape(2, 1, 1)) / np.array([2, 0.5]).reshape(2, 1, 1)
    matched = in_brightness_of(part, gain=(2, 0.5), offset=(1, 3))
    np.testing.assert_array_equal(matched.read(), wanted[:, 1:5, 2:6].astype(np.float32))
    np.testing.assert_array_equal(matched.read(Region((1, 2, 1), (2, 4, 3))), wanted[1:2, 3:5, 3:5].astype(np.float32))
