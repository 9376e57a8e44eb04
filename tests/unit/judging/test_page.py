"""A page is whole HTML by itself, whatever is in it."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from napari_restore.judging import page

_ALONE = {"meta", "img"}


class Tags(HTMLParser):
    """Every tag that is opened is closed, in its order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.said = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        if tag not in _ALONE:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.said += data


def whole(*parts):
    found = Tags(page.page("A <title> & more", parts))
    assert not found.open
    return found


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"])))
def test_words_stay_words(text):
    found = whole(page.paragraph(text), page.heading(text), page.verbatim(text), page.facts({text: text}))
    assert "script" not in found.seen and found.said.count(text) >= 5
    whole(page.picture(np.zeros((4, 5)), text), page.chart({text: [(1, 1), (2, 0.5)]}, text, along=text, up=text))


@pytest.mark.parametrize("value", [True, None, 0.123456, [1, 2.0], {"a": None}, "x", np.float64(3)])
def test_values_are_told_to_people(value):
    assert whole(page.facts({"name": value}), page.table(("a", "b"), [("r", value)])).said


@pytest.mark.parametrize("plane", [np.arange(30.0).reshape(5, 6), np.full((5, 6), np.nan), np.full((5, 6), 7)])
def test_a_picture_is_a_png_of_the_plane(plane):
    (data,) = re.findall(r"base64,([^\"]+)", page.picture(plane, "p"))
    grey = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
    assert grey.shape == plane.shape and (np.ptp(grey) > 250) == (np.ptp(np.nan_to_num(plane)) > 0)


def test_points_of_a_chart_lie_in_it_and_rise_with_their_values():
    text = page.chart({"a": [(0.5, 0.2), (1, 0.4), (8, np.nan), (8, 1.0)]}, "c", along="x", up="y", log=True)
    line = re.findall(r'points="([^"]+)"', text)[-1]
    x, y = np.array([[float(n) for n in point.split(",")] for point in line.split()]).T
    assert len(x) == 3 and (np.diff(x) > 0).all() and (np.diff(y) < 0).all()
    assert x.min() >= 0 and x.max() <= 380 and y.min() >= 0 and y.max() <= 250
    assert page.chart({"a": []}, "none", along="x", up="y") == ""
