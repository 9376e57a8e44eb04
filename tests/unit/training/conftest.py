import threading

import numpy as np
import pytest

from napari_restore import methods
from napari_restore.core.events import Event
from napari_restore.core.watch import Watch
from napari_restore.sources import open_image
from napari_restore.store.model import build_method
from napari_restore.training.lesson import Lesson
from napari_restore.training.loop import train_events
from napari_restore.training.settings import Budget, TrainingSettings


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch):
    """A killed process loses nothing the kernel has; only a power cut would, and no test can pull the plug."""
    monkeypatch.setattr("os.fsync", lambda _: None)


@pytest.fixture
def noisy():
    """A smooth picture under white noise of its own size: half of its variance can be learned."""

    def make(shape=(40, 56), axes="YX", seed=0, scale=1.0, offset=0.0):
        rng = np.random.default_rng(seed)
        along = np.meshgrid(*[np.arange(n) for n in shape], indexing="ij")
        signal = np.sin(along[-1] / 4) * np.cos(along[-2] / 5) * 2
        return open_image((scale * (signal + rng.normal(size=shape)) + offset).astype(np.float32), axes=axes)

    return make


class StopAfter(threading.Event):
    """Set once it has been looked at so many times: once a step."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self.looks = looks

    def is_set(self) -> bool:
        self.looks -= 1
        return self.looks < 0


@pytest.fixture
def stop_after():
    return StopAfter


@pytest.fixture
def train():
    """Train a tiny network for a few steps, as it was published; gives the model and the events."""

    def run(images, *, steps=20, seed=0, spatial="YX", validation=(), stop=None, preview=None, config=None, **options):
        images = images if isinstance(images, list) else [images]
        settled = {"width": 4, "depth": 1, "keep": "no", **(config or {})}
        channels = images[0].geometry.length("C")
        method = build_method("noise2void", settled, spatial=spatial, channels=channels, seed=seed)
        usual = {"patch": (16,) * len(spatial), "batch": 4, "precision": "float32", "device": "cpu", "seed": seed}
        settings = TrainingSettings(Budget(steps=steps), **{**usual, **options})
        seen: list[Event] = []
        lesson = Lesson(name="noise2void", method=method, images=images, validation=validation)
        events = train_events(lesson, settings, Watch(stop, preview))
        while True:
            try:
                seen.append(next(events))
            except StopIteration as end:
                return end.value, seen

    return run


@pytest.fixture
def often(monkeypatch):
    """Everything that happens every so many seconds happens at every step."""
    for name in ("_MEASURE_EVERY", "_VALIDATE_EVERY", "_CHECKPOINT_EVERY"):
        monkeypatch.setattr(f"napari_restore.training.loop.{name}", 0.0)


@pytest.fixture
def train_imaging():
    """Train a tiny network that undoes an operator, for a few steps; gives the model and the events."""

    def run(image, *, name="sure", steps=5, seed=0, config=None, stop=None, **options):
        lent = {k: options.pop(k) for k in ("partners", "validation", "validation_partners") if k in options}
        kind = methods.find(name)
        asked = {"width": 4, "blocks": 1, "factor": 2, **(config or {})}
        settled = methods.configure(name, {k: v for k, v in asked.items() if v is not None})
        fit = kind.fit_to(settled, [image])
        channels = image.geometry.length("C")
        method = build_method(name, fit.config, spatial=fit.spatial, channels=channels, seed=seed)
        usual = {"precision": "float32", "device": "cpu", "seed": seed}
        settings = TrainingSettings(Budget(steps=steps), **{**usual, **options})
        lesson = Lesson(name=name, method=method, images=[image], normalisation=fit.normalisation, **lent)
        events = train_events(lesson, settings, Watch(stop))
        seen: list[Event] = []
        while True:
            try:
                seen.append(next(events))
            except StopIteration as end:
                return end.value, seen

    return run
