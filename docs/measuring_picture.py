"""Make the picture of docs/measuring.md: cells of a noisy stack measured before and after, in a real viewer.

xvfb-run -a -s "-screen 0 1600x1000x24 +extension GLX" python docs/measuring_picture.py
"""

from __future__ import annotations

import napari
import numpy as np
from pictures import WINDOW, folder_asked_for, pump, shoot, wait
from scipy.ndimage import gaussian_filter
from skimage.filters import threshold_otsu
from skimage.measure import label

from napari_restore import denoise
from napari_restore.gui.compare.widget import CompareWidget
from napari_restore.sources.samples import sample_image


def main() -> None:
    output = folder_asked_for(__doc__)
    stack = sample_image("microscopy")
    raw = stack.read()
    result = np.asarray(denoise(raw, axes=stack.axes, method="noise2void2", steps=60, device="cpu", seed=0))
    middle = gaussian_filter(raw[len(raw) // 2].astype(float), 4)
    cells = label(middle > threshold_otsu(middle)).astype(np.uint16)
    viewer = napari.Viewer(show=True, show_welcome_screen=False, title="napari")
    viewer.window.resize(*WINDOW)
    viewer.add_image(raw, name="stack", axis_labels=tuple(stack.axes.lower()))
    viewer.add_image(result, name="stack_denoised", axis_labels=tuple(stack.axes.lower()))
    viewer.add_labels(cells, name="cells", opacity=0.4)
    _, dock = viewer.window.add_plugin_dock_widget("napari-restore", "Restore")
    compare = dock if isinstance(dock, CompareWidget) else dock.findChild(CompareWidget)
    tabs = compare.parentWidget().parentWidget()
    tabs.setCurrentWidget(compare)
    compare.controls.regions.setCurrentText("cells")
    compare.measure_regions()
    wait(compare.controls.regions_button.isEnabled, 120)
    compare.regions.table.view.selectRow(0)
    pump(1)
    shoot(viewer, output / "measure_regions.png")
    compare.leave()
    viewer.close()


if __name__ == "__main__":
    main()
