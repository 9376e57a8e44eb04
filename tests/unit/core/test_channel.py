"""Names as a file says them, and as they can be shown."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from napari_restore.core.channel import Channel


@given(st.text(max_size=300))
@example("0 \x00 0")
@example(" " * 3 + "x" * 254 + " y")
def test_a_name_that_has_been_read_is_read_again_as_it_is(name: str) -> None:
    once = Channel.of(name)
    assert once == Channel.of(once.name)
    assert len(once.name) <= 255 and (once.name.isprintable() and once.name == once.name.strip())


@pytest.mark.parametrize(
    ("said", "shown"), [("a\tb\n c ", "a b c"), ("0 \x00 0", "0 0"), ("D\x00API", "DAPI"), (7, "7")]
)
def test_a_name_is_one_line_that_can_be_shown(said: object, shown: str) -> None:
    assert Channel.of(said).name == shown
