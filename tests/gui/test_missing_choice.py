"""The window asks for what is missing: a layer of labels or shapes, a file, a look; and copies it as a script."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtWidgets import QWidget

from napari_restore.gui.parts.links import Links
from napari_restore.gui.parts.named import label_of
from napari_restore.gui.restore.editors import EDITORS
from napari_restore.gui.restore.missing_choice import MaskChoice
from napari_restore.sources.missing import rules_of


@pytest.fixture
def marked() -> Any:
    from napari.components import ViewerModel

    viewer = ViewerModel()
    viewer.add_image(np.zeros((40, 50)), name="cells")
    viewer.add_labels(np.eye(40, 50, dtype=int), name="dust")
    viewer.add_shapes([np.array([[5, 5], [5, 20], [10, 20], [10, 5]])], name="scratches")
    viewer.add_points(np.zeros((1, 2)), name="points")
    return viewer


def test_layers_that_can_mark_pixels_are_offered_and_not_the_image_itself(qtbot: Any, marked: Any) -> None:
    choice = MaskChoice(marked, Links())
    qtbot.addWidget(choice)
    choice.show_layer(marked.layers["cells"])
    offered = [choice.box.itemData(k) for k in range(choice.box.count())]
    assert offered == [None, "scratches", "dust", "file"]
    assert choice.value is None
    choice.choose("dust")
    assert choice.value is marked.layers["dust"]
    marked.layers.remove("dust")
    assert choice.value is None


def test_a_file_is_a_mask(qtbot: Any, marked: Any, tmp_path: Path) -> None:
    choice = MaskChoice(marked, Links())
    qtbot.addWidget(choice)
    choice.take_file(tmp_path / "mask.tif")
    assert choice.value == tmp_path / "mask.tif"
    choice.take_file(None)
    assert choice.value is None


def test_every_look_that_is_offered_is_one(qtbot: Any) -> None:
    looks, switch = EDITORS["missing"].make(None), EDITORS["denoise"].make(None)
    qtbot.addWidget(looks)
    qtbot.addWidget(switch)
    for k in range(looks.box.count()):
        looks.box.setCurrentIndex(k)
        assert rules_of(looks.value)
    assert switch.value is False
    with qtbot.waitSignal(switch.changed):
        switch.box.setChecked(True)
    assert switch.value is True


def test_a_plain_box_is_made_once_it_is_wanted_and_has_the_name_of_its_row(qtbot: Any) -> None:
    row = EDITORS["missing"].make(None)
    qtbot.addWidget(row)
    label = label_of("Missin&g", row)
    assert not row.findChildren(QWidget) and label.buddy() is row
    row.show()
    assert row.box.isVisible() and row.box.accessibleName() == "Missing" and row.focusProxy() is row.box


@pytest.mark.parametrize("name", ["dust", "scratches"])
def test_layers_of_napari_are_masks(marked: Any, name: str) -> None:
    from napari_restore.sources import open_image
    from napari_restore.sources.missing import checksum_of, with_gaps

    layer = marked.layers[name]
    missing = np.isnan(np.asarray(with_gaps(open_image(np.ones((40, 50))), mask=layer)))
    wanted = layer.data > 0 if name == "dust" else layer.to_labels((40, 50)) > 0
    assert wanted.any() and np.array_equal(missing, wanted)
    assert len(checksum_of(layer)) == 16
