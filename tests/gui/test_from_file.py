"""Axes and pixel size of a layer that another reader opened come from its file, where that shows the same pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_restore.gui.restore.from_file import facts_of
from napari_restore.gui.restore.session import camera_of
from napari_restore.gui.restore.widget import RestoreWidget

ZYX = {"axes": "ZYX", "PhysicalSizeX": 0.1, "PhysicalSizeY": 0.1, "PhysicalSizeZ": 300, "PhysicalSizeZUnit": "nm"}


def written(path: Path, shape: tuple[int, ...], **metadata: Any) -> str:
    tifffile.imwrite(path, np.zeros(shape, np.uint16), ome=True, metadata=metadata, photometric="minisblack")
    return str(path)


def test_what_napari_reads_gets_its_axes_from_the_file(
    qtbot: Any, make_napari_viewer_proxy: Any, engine: Any, tmp_path: Path
) -> None:
    viewer = make_napari_viewer_proxy()
    path = written(tmp_path / "a.ome.tif", (5, 24, 32), **ZYX)
    widget = RestoreWidget(viewer, engine=engine)
    viewer.window.add_dock_widget(widget, name="Restore")
    subject = widget.form.subject
    (layer,) = viewer.open(path, plugin="napari")
    assert subject.layer.name == layer.name and layer.source.path == path
    qtbot.waitUntil(lambda: "axes and pixel size from the file" in subject.size.text(), timeout=10_000)
    assert subject.axes.text() == "ZYX" and "0.3 × 0.1 × 0.1 µm" in subject.size.text().replace("\u00a0", " ")
    assert "guessed" not in subject.size.text() and subject.give.isVisibleTo(widget)
    request = widget.form.request()
    assert request.image.geometry.pixel_size == pytest.approx((0.3, 0.1, 0.1))
    subject.axes.setText("TYX")
    subject.axes.editingFinished.emit()
    assert subject.opened().axes == "TYX", "what the user types is taken"
    subject.axes.setText("")
    subject.axes.editingFinished.emit()
    viewer.dims.set_current_step(0, 3)
    camera = camera_of(viewer.__wrapped__)
    camera.center, camera.zoom = (0, 7, 9), 5.0
    subject.give.click()
    assert viewer.dims.current_step[0] == 3, "the same plane, and the same part of it as large as before"
    np.testing.assert_allclose(camera.center[-2:], (0.7, 0.9))
    assert camera.zoom == pytest.approx(50)
    np.testing.assert_allclose(layer.scale, (0.3, 0.1, 0.1))
    assert (
        layer.axis_labels == ("z", "y", "x") and "0.3" in subject.size.text() and not subject.give.isVisibleTo(widget)
    )
    ours = viewer.add_image(np.zeros((5, 24, 32)), name="no file")
    assert subject.layer.name == ours.name and "from the file" not in subject.size.text()


def test_what_the_file_says_counts_where_the_pixels_are_its_own(tmp_path: Path) -> None:
    path = written(tmp_path / "a.ome.tif", (5, 24, 32), **ZYX)
    assert facts_of(path, (5, 24, 32)).axes == "ZYX"
    assert facts_of(path, (4, 24, 32)).words == "", "a part of it"
    thin = written(tmp_path / "b.ome.tif", (1, 3, 24, 32), axes="ZCYX", PhysicalSizeX=0.2)
    assert facts_of(thin, (3, 24, 32)).axes == "CYX", "axes of one pixel are left out by other readers"
    assert facts_of(thin, (3, 24, 32)).pixel_size == {"X": 0.2}
    tifffile.imwrite(tmp_path / "c.tif", np.zeros((7, 24, 32), np.uint16), photometric="minisblack", metadata=None)
    assert facts_of(str(tmp_path / "c.tif"), (7, 24, 32)).words == "", "a guess of ours is not from the file"
