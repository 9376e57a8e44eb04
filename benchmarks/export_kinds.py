"""A model of each method that learns, exported and put to the BioImage Model Zoo's own test: ``bioimageio test``.

Without a network: start it with `unshare -n`, or it says that there is one. Each method learns two steps, with the
settings that `tests/integration/test_every_method.py` has for it. `passed` is the status of the command, `apart` the
largest difference between ONNX and the method, in units of the largest value. `export_seconds` are processor time.
"""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

import reporting

EVERY = Path(__file__).parents[1] / "tests" / "integration" / "test_every_method.py"


def main() -> None:
    parser = reporting.parser(__doc__)
    parser.add_argument("--kinds", nargs="+", help="only these methods; what --out has of the others is kept")
    given = parser.parse_args()
    machine = reporting.begin(given.threads)
    spec = importlib.util.spec_from_file_location("every", EVERY)
    assert spec is not None and spec.loader is not None
    every = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(every)
    from napari_restore import methods

    network = any(name != "lo" for _, name in socket.if_nameindex())
    kinds = given.kinds or [name for name in every.EVERY if methods.listed(name).learns]
    results = kept(given.out) if given.kinds else {}
    with tempfile.TemporaryDirectory(prefix="napari-restore-bench-") as folder:
        os.environ["BIOIMAGEIO_CACHE_PATH"] = f"{folder}/cache"
        for name in kinds:
            results[name] = kind(every, name, Path(folder))
            reporting.progress(f"{name}: {results[name]}")
    results = {name: results[name] for name in every.EVERY if name in results}
    reporting.finish(machine, results=results, settings={"network": network}, out=given.out)


def kept(out: Path | None) -> dict[str, Any]:
    """What a file of results has already."""
    return json.loads(out.read_text("utf-8"))["results"] if out is not None and out.exists() else {}


def kind(every: Any, name: str, folder: Path) -> dict[str, Any]:
    """Export a model of a method, and what the test says of it."""
    from napari_restore import export
    from napari_restore.core.errors import ModelError

    model, package = every.trained(name), folder / f"{name}.zip"
    began = time.process_time()
    try:
        export(model, package, every.image_of(name), axes=every.axes_of(name), authors=["A"])
    except ModelError as error:
        return {"refused": str(error)}
    seconds = time.process_time() - began
    return {"passed": passed(package), "apart": apart(model, package), "export_seconds": round(seconds, 1)}


def passed(package: Path) -> bool:
    """What ``bioimageio test PACKAGE`` ends with."""
    from bioimageio.core import __main__ as command

    given, sys.argv = sys.argv, ["bioimageio", "test", str(package)]
    try:
        command.main()
    except SystemExit as ended:
        return not ended.code
    finally:
        sys.argv = given
    return True


def apart(model: Any, package: Path) -> float:
    """The largest difference between ONNX and the method, for noise of the size of the package's test image.

    Those that fill gaps are shown one.
    """
    import numpy as np
    import onnxruntime
    import torch

    from napari_restore.methods.apply import in_units, shown

    with zipfile.ZipFile(package) as files:
        graph = onnxruntime.InferenceSession(files.read("weights.onnx"))
        with files.open("test_image.npy") as file:
            shape = np.load(file).shape
    method = model.portable.method.eval()  # without what a graph has no word for: patches that look alike
    pixels = torch.randn(1, method.channels, *shape[-len(method.spatial) :], generator=torch.Generator().manual_seed(0))
    if method.fills:
        pixels[..., 20:24, 30:50] = torch.nan
    with torch.no_grad():
        ours = in_units(method, method.restore(shown(method, pixels.clone())), pixels).numpy()
    (theirs,) = graph.run(None, {"image": pixels.numpy()})
    return float(f"{np.abs(theirs - ours).max() / max(1.0, np.abs(ours).max()):.2g}")


if __name__ == "__main__":
    main()
