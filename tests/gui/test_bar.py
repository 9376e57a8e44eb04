from __future__ import annotations

import pytest
from qtpy.QtWidgets import QProgressBar

from napari_restore.gui.parts.bar import Bar


class Painted(Bar):
    """Counts how often it was painted."""

    times = 0

    def paintEvent(self, event):  # noqa: N802
        self.times += 1
        super().paintEvent(event)


@pytest.fixture
def bar(qtbot):
    bar = Painted()
    bar.setRange(0, 1000)
    bar.setValue(300)
    qtbot.addWidget(bar)
    with qtbot.waitExposed(bar):
        bar.show()
    qtbot.waitUntil(lambda: bar.times > 0)
    qtbot.wait(100)
    bar.times = 0
    return bar


@pytest.mark.parametrize(("name", "given"), [("setValue", (700,)), ("setRange", (0, 5)), ("setRange", (0, 0))])
def test_it_is_painted_soon_and_not_at_once(qtbot, bar, name, given):
    getattr(bar, name)(*given)
    assert bar.times == 0, "nothing waits for the window"
    qtbot.waitUntil(lambda: bar.times > 0)


def test_many_values_are_one_picture(qtbot, bar):
    for value in range(1, 1000):
        bar.setValue(value)
    qtbot.waitUntil(lambda: bar.times > 0)
    assert bar.times < 5 and bar.value() == 999 and bar.updatesEnabled()


def test_hidden_it_takes_values_too(qtbot, bar):
    bar.hide()
    bar.setValue(3)
    assert bar.isHidden() and bar.value() == 3 and isinstance(bar, QProgressBar)
