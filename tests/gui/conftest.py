"""Viewer tests need a display: pytest-xvfb gives them one wherever xvfb is installed; elsewhere they are skipped."""

from __future__ import annotations

import gc
import os
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import zarr
from qtpy.QtCore import QSettings

from napari_restore import methods
from napari_restore.core.cost import Cost
from napari_restore.core.events import (
    Compared,
    Measured,
    Note,
    Preview,
    RestorationStarted,
    Saved,
    Stopped,
    TileDone,
    Trained,
    TrainingStarted,
)
from napari_restore.core.options import Training
from napari_restore.core.region import Region
from napari_restore.core.watch import Watch
from napari_restore.gui.restore.work import package_engine
from napari_restore.methods.method import Interrupted
from napari_restore.metrics.noise_level import NoiseLevel
from napari_restore.verbs.request import Request, ask
from napari_restore.verbs.words import asked

_HERE = Path(__file__).parent
_NEEDED = "xvfb libgl1 libegl1 libxkbcommon-x11-0 libxcb-cursor0 libxcb-icccm4 libxcb-keysyms1 libxcb-image0"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    reason = missing_display()
    if reason is None:
        return
    skip = pytest.mark.skip(reason=reason)
    for item in items:
        if _HERE in item.path.parents and {"qtbot", "qapp"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(skip)


def missing_display() -> str | None:
    """Why no window can be opened here, and what to install; None where one can."""
    if not sys.platform.startswith("linux") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        return None
    if shutil.which("Xvfb"):
        return "no display: install pytest-xvfb (pip install '.[test]'), or run under xvfb-run"
    return f"no display: apt-get install {_NEEDED}"


class PretendEngine:
    """Says what the real engine says, without a network: the restored image is the raw one plus one.

    Attributes
    ----------
    calls
        What was asked for: the verb, and what was said that is not so anyway.
    requests
        The same, as it came.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.method = ""
        self.slow = self.slow_estimate = False
        self.cut_off = 0
        self.steps = 5
        self.pause = 0.01
        self.gain = 0.0
        self.rate: int | None = None
        self.raises: BaseException | None = None
        self.calls: list[tuple[str, dict]] = []
        self.requests: list[Request] = []
        self.closed = 0
        self.estimated: list[tuple[str, dict]] = []
        self.threads: set[str] = set()

    def describe_device(self):
        return "pretended device"

    def load_model(self, path):
        return SimpleNamespace(**vars(self._model()), path=path)

    def estimate_noise(self, image):
        self.calls.append(("estimate_noise", {"image": image.name}))
        time.sleep(self.pause)
        if self.raises is not None:
            raise self.raises
        return NoiseLevel(10.0, 0.05, 0.0, self.gain, 0.0, 10.0, reliable=True)

    def preferring(self, request):
        return request

    def estimate(self, request, stopping):
        self.estimated.append((request.verb, bound(request)))
        while self.slow_estimate:
            time.sleep(self.pause)
            if stopping():
                self.cut_off += 1
                raise Interrupted
        if self.raises is not None:
            raise self.raises
        return Cost("auto", 40.0, 7.0, 480 * 2**20, 18 * 2**30)

    def baselines(self, image, model, region, stopping):
        self.calls.append(("baselines", {"region": region}))
        pixels = image.read(region).astype(np.float32)
        yield "Bicubic interpolation", pixels.repeat(2, -1).repeat(2, -2)
        while self.slow:
            time.sleep(self.pause)
            if stopping():
                raise Interrupted
        yield "Wiener filter", pixels

    def report(self, request, result, path):
        raise NotImplementedError

    def check(self, model, image):
        raise NotImplementedError

    def run(self, request, watch):
        assert isinstance(watch, Watch)
        self.requests.append(request)
        self.calls.append((request.verb, bound(request)))
        return {"train": self._only_train, "distill": self._only_train, "restore": self._with_model}.get(
            request.verb, self._image
        )(request, watch)

    def _only_train(self, request, watch):
        model, _ = yield from self._train(request.image, watch.preview, watch.stop)
        return model

    def _with_model(self, request, watch):
        given = request.own.model
        model = self.load_model(given) if isinstance(given, str | Path) else given
        return (yield from self._restore(request, model, watch.stop, rate=self.rate))

    def _image(self, request, watch):
        model = request.restoring.model
        if model is None:
            model, stopped = yield from self._train(request.image, watch.preview, watch.stop)
            if stopped:
                return model
        finer = getattr(request.own, "factor", None)
        undoes = hasattr(request.own, "psf")
        rate = (2 if finer is not None else 1) if undoes else self.rate
        result = yield from self._restore(request, model, watch.stop, rate=rate)
        if undoes and result.complete:
            yield Compared((("learned", 1.25, 0.01, 1.02), ("richardson_lucy", 2.5, 0.2, 0.9)), "learned")
        return result

    def _train(self, image, preview, stop):
        yield Note("channels are independent")
        yield TrainingStarted("noise2void", "cpu", "float32", 1234, (64, 64), 8, self.steps, None)
        try:
            for step in range(1, self.steps + 1):
                time.sleep(self.pause)
                if self.raises is not None:
                    raise self.raises
                if stop.is_set():
                    yield Stopped("training", step, None)
                    return self._model(), True
                held_out = 1 / step if step % 5 == 0 else None
                yield Measured(step, step * 0.1, 1 / step, held_out, 1e-3, step / self.steps, 0.1 * (self.steps - step))
                for region in filter(None, (preview.region, preview.across)):
                    pixels = image.read(region).astype(np.float32) + 1
                    yield Preview(step, region, pixels, region is preview.across)
        finally:
            self.closed += 1
        yield Trained(self.steps, 1.0, 0.1)
        return self._model(), False

    def _model(self):
        method = SimpleNamespace(spatial="YX", centred=(True, True), radius=(5, 5), grid=(4, 4))
        return SimpleNamespace(save=lambda path: Path(path).write_bytes(b"model"), method=method)

    def _restore(self, request, model, stop, rate=None):
        image, fine = request.image, rate or 1
        part = request.restoring.region or Region.of_shape(image.shape)
        order = [image.axes.index(a) for a in "TCZYX" if a in image.axes]
        shape = tuple(part.shape[i] * (fine if image.axes[i] in "YX" else 1) for i in order)
        final = request.writing.output or self.folder / f"{image.name}_{len(self.calls)}.zarr"
        partial = final.with_name(f"{final.name}.partial")
        group = zarr.open_group(partial, mode="w")
        array = group.create_array("0", shape=shape, chunks=(1, *shape[1:]), dtype=image.dtype)
        result = SimpleNamespace(
            name="raw", model=model, path=partial, complete=False, layer_kwargs={"metadata": {"made": "up"}}
        )
        result.levels = [array]
        yield RestorationStarted(
            str(partial), "0", shape[0], 0, (1, *shape[1:]), (0,) * len(shape), 1, "x", "cpu", "x",
            suffix="denoised" if rate is None else "superresolved" if rate > 1 else "deblurred", method=self.method,
        )  # fmt: skip
        for index in range(shape[0]):
            if stop.wait(self.pause):
                yield Stopped("restoration", index, str(final))
                return result
            pixels = image.read(part).transpose(order)[index : index + 1].repeat(fine, -1).repeat(fine, -2)
            array[index : index + 1] = pixels + 1
            yield TileDone(index, index + 1, shape[0], Region((index,), (index + 1,)), 0.1, 1.0)
        partial.rename(final)
        yield Saved(str(final), "image")
        result.levels, result.path, result.complete = [zarr.open_array(final / "0", mode="r")], final, True
        return result


class BriefEngine:
    """The real engine with a budget of its own; what would go to a temporary folder goes to one of the test."""

    def __init__(self, folder: Path, *, method: str = "auto", **budget) -> None:
        self._real = package_engine(device="cpu")
        self._folder, self._method, self._budget = folder, method, budget

    def __getattr__(self, name: str):
        return getattr(self._real, name)

    def run(self, request, watch):
        if Training in request.row.groups:
            own = request.own if self._method == "auto" else replace(request.own, method=self._method)
            request = replace(request, own=own, training=replace(request.training, **self._budget))
        if request.row.gives == "image" and request.writing.output is None:
            output = self._folder / f"{request.image.name} {sum(1 for _ in self._folder.iterdir())}.zarr"
            request = replace(request, writing=replace(request.writing, output=output))
        return self._real.run(request, watch)


def bound(request: Request) -> dict:
    """What a request says that is not so anyway, once the real verb, and the method where it has settings, take it."""
    said = asked(request)
    ask(request.verb, request.image, **said)
    if request.config:
        method = getattr(request.own, "settled_method", None) or request.own.method
        methods.configure("posterior" if method == "auto" else method, request.config)  # what the noise may choose
    return said


@pytest.fixture(autouse=True, scope="session")
def curves_loaded() -> None:
    """What draws them takes seconds to load on a busy machine, once: not within the time that a test waits."""
    import napari_restore.gui.restore.plot  # noqa: F401


@pytest.fixture(autouse=True, scope="module")
def libraries_not_looked_through() -> None:
    """napari's fixture collects garbage after each viewer: half a second of it goes to libraries, which are none."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def own_settings(tmp_path: Path) -> None:
    """What the widget remembers is kept with the test, and not with the user."""
    QSettings.setPath(QSettings.Format.IniFormat, QSettings.Scope.UserScope, str(tmp_path / "settings"))


@pytest.fixture
def engine(tmp_path) -> PretendEngine:
    return PretendEngine(tmp_path)


@pytest.fixture
def brief(tmp_path) -> Callable[..., BriefEngine]:
    """The real engine, as brief as is said."""
    return partial(BriefEngine, tmp_path)


@pytest.fixture
def stack() -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.poisson(100, (6, 40, 50)).astype(np.uint16)
