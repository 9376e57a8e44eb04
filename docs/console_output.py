"""Run what docs/console.md shows, and print it with what came of it: ``python docs/console_output.py``.

The page is written by hand from this; temporary folders are named as such. A minute on two cores, and no window.
"""

from __future__ import annotations

import ast
import os
import re
import tempfile
import time
from typing import Any

from napari.components import ViewerModel
from napari.plugins import _initialize_plugins

BLOCKS = (
    """
viewer.open_sample("napari-restore", "microscopy")
viewer.layers[0].name = "raw"
viewer.layers["raw"].data.shape, viewer.layers["raw"].units
""",
    """
from napari_restore import denoise
r = denoise(viewer.layers["raw"], steps=200)
r
viewer.add_image(r, **r.layer_kwargs)
""",
    """
r.axes, r.pixel_size
r[12].shape
sorted(r.report)
""",
    """
from napari_restore import submit
job = submit("denoise", viewer.layers["raw"], steps=600)
job
wait(6)
job
r = job.result()
job
viewer.add_image(r, **r.layer_kwargs)
""",
    """
job = submit("denoise", viewer.layers["raw"], effort="thorough")
wait(5)
job.stop()
wait(2)
job
job.result() is None
""",
    """
from napari_restore import train, restore
model = train(viewer.layers["raw"], "noise2void", steps=200)
model.save("microscope.safetensors")
r = restore(viewer.layers["raw"], "microscope.safetensors", output="clean.ome.zarr")
r
""",
    """
from napari_restore import denoise_events
for event in denoise_events(viewer.layers["raw"], steps=100):
    if type(event).__name__ == "Note":
        print(event.text)
""",
    """
from napari_restore import estimate_cost
cost = estimate_cost(viewer.layers["raw"])
cost.training_seconds, round(cost.restoring_seconds), round(cost.memory / 2**20), cost.fits
""",
    """
from napari_restore import estimate_noise
estimate_noise(viewer.layers["raw"]).sigma
import numpy as np
raw = viewer.layers["raw"]
viewer.add_image(np.asarray(raw.data, float) - np.asarray(r), name="removed", scale=raw.scale, units=raw.units)
""",
    """
denoise(viewer.layers["raw"], method="noise2void", masked=0.9)
""",
)


def main() -> None:
    _initialize_plugins()
    names: dict[str, Any] = {"viewer": ViewerModel(), "wait": time.sleep}
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for block in BLOCKS:
            print("-" * 20)
            show(block, names)
        os.chdir(tempfile.gettempdir())


def show(block: str, names: dict[str, Any]) -> None:
    """Each statement, and its value, as a console has them."""
    for statement in ast.parse(block).body:
        print(">>>", ast.get_source_segment(block, statement))
        try:
            if isinstance(statement, ast.Expr):
                value = eval(compile(ast.Expression(statement.value), "console", "eval"), names)
                if value is not None:
                    print(named(repr(value)))
            else:
                exec(compile(ast.Module([statement], []), "console", "exec"), names)
        except Exception as error:  # noqa: BLE001  as a console would, whatever it is
            print(f"{type(error).__name__}: {error}")


def named(text: str) -> str:
    """Without the names of this machine's folders."""
    return re.sub(rf"{re.escape(tempfile.gettempdir())}/napari-restore-\w+", "TEMPORARY", text)


if __name__ == "__main__":
    main()
