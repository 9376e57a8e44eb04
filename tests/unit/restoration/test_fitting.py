"""Less at once through the network gives the same result; what does not fit is refused with numbers."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_restore.core.errors import RestoreError
from napari_restore.core.events import Note, RestorationStarted
from napari_restore.core.job import Events, drain
from napari_restore.core.normalisation import Normalisation
from napari_restore.core.options import Computing, Restoring, Writing
from napari_restore.core.watch import Watch
from napari_restore.methods import free
from napari_restore.methods.allocated import peak_of
from napari_restore.restoration import engine, local, memory, pipeline, work
from napari_restore.restoration.fitting import Fitting
from napari_restore.restoration.memory import Appetite, appetite, plan_memory
from napari_restore.restoration.plan import tiles_over
from napari_restore.restoration.result import Restored
from napari_restore.restoration.work import TileJob, read_tile, restore_together
from napari_restore.sources import Image, open_image
from napari_restore.store.model import Model, build_method

MIB = 2**20
CLOSE = 1e-5 * 20  # of the deviation of the image


def model(*, dimensions: str = "2", name: str = "noise2void", **config: object) -> Model:
    torch.manual_seed(0)
    settled = {"width": 4, "depth": 1, "dimensions": dimensions, **config}
    spatial = "ZYX" if dimensions == "3" else "YX"
    method = build_method(name, settled if name == "noise2void" else config, spatial=spatial, channels=1)
    return Model(name, method.eval(), Normalisation((100.0,), (20.0,)))


def job_of(
    shape: tuple[int, ...], tile: tuple[int, ...], made: Model, *, batch: int = 1, region: object = None
) -> TileJob:
    pixels = np.random.default_rng(0).normal(100, 20, shape).astype(np.float32)
    image = open_image(pixels, axes="ZYX"[-len(shape) :])
    return TileJob(
        image=image,
        method=made.method.for_restoring(),
        normalisation=made.normalisation,
        plan=tiles_over(image, made.method, Restoring(tile=tile, region=region)),
        batch=batch,
        dtype=np.dtype(np.float32),
        device=torch.device("cpu"),
        precision="float32",
    )


def inside(job: TileJob, restored: torch.Tensor) -> np.ndarray:
    """What a restored read owns."""
    index = [job.image.axes.index(a) for a in job.method.spatial]
    own = [
        slice(job.plan.before[i] * r, (job.plan.before[i] + job.plan.tile[i]) * r)
        for i, r in zip(index, job.method.rate, strict=True)
    ]
    return restored[(..., *own)].numpy()


@settings(deadline=None, max_examples=25)
@given(st.integers(9, 90), st.integers(9, 90), st.integers(1, 4), st.integers(1, 3), st.integers(0, 8))
def test_pieces_of_a_tile_are_the_tile(height: int, width: int, down: int, across: int, first: int) -> None:
    job = job_of((height, width), (height, width), model(), region={"Y": (first, height)})
    samples = read_tile(job, 0).samples
    cut = Fitting(job)
    cut.pieces = (down, across)
    whole = inside(job, restore_together(job, samples))
    np.testing.assert_allclose(inside(job, cut.restore(samples)), whole, rtol=0, atol=CLOSE)


def test_pieces_of_a_block_and_of_a_finer_result() -> None:
    finer = model(name="scale_equivariant", factor=2, noise=5.0, width=8)
    for job, pieces in (
        (job_of((20, 33, 17), (20, 33, 17), model(dimensions="3")), (2, 3, 1)),
        (job_of((61, 47), (61, 47), finer), (2, 3)),
        (job_of((61, 47), (61, 47), finer, region="Y=7:,X=3:46"), (2, 3)),
    ):
        samples = read_tile(job, 0).samples
        cut = Fitting(job)
        cut.pieces = pieces
        whole = inside(job, restore_together(job, samples))
        found = inside(job, cut.restore(samples))
        assert found.shape == whole.shape
        np.testing.assert_allclose(found, whole, rtol=0, atol=CLOSE)


def hungry(job: TileJob, most: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let memory run out over so many voxels at once; what goes through is kept."""
    through: list[int] = []
    real = work.restore_tensor

    def restore(method: object, samples: torch.Tensor, **constants: object) -> torch.Tensor:
        if samples.numel() > most:
            raise torch.OutOfMemoryError(f"CUDA out of memory. Tried to allocate {samples.numel()} bytes")
        through.append(samples.numel())
        return real(method, samples, **constants)  # type: ignore[arg-type]

    monkeypatch.setattr(work, "restore_tensor", restore)
    return through


def test_when_memory_runs_out_first_the_batch_then_the_tile_is_taken_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    job = job_of((4, 96, 96), (96, 96), model(), batch=4)
    samples = np.concatenate([read_tile(job, i).samples for i in range(4)])
    whole = inside(job, restore_together(job, samples))
    cut = Fitting(job)
    cut.together = 4
    through = hungry(job, 72 * 72, monkeypatch)
    found = inside(job, cut.restore(samples))
    np.testing.assert_allclose(found, whole, rtol=0, atol=CLOSE)
    words = list(cut.news())
    assert [word.split(", in pieces of")[0].split("network ")[1][:1] for word in words] == ["2", "1", "1", "1"]
    assert "pieces" not in words[1] and "48 x 96" in words[2] and "48 x 48" in words[3]
    assert not list(cut.news()), "said once"
    cut.restore(samples)
    assert not list(cut.news()), "what was needed once is kept"
    assert max(through) <= 72 * 72


def test_when_not_even_the_least_fits_it_is_said_in_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    job = job_of((64, 64), (64, 64), model())
    hungry(job, 10, monkeypatch)
    with pytest.raises(RestoreError, match=r"single piece of 32 x 32 pixels .*out of memory"):
        Fitting(job).restore(read_tile(job, 0).samples)


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: 8 bytes")])
@pytest.mark.parametrize("doing", ["reading", "writing"])
def test_memory_that_runs_out_in_a_thread_is_said_as_elsewhere(
    doing: str, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_of((64, 64), (32, 32), model())

    def full(*_: object) -> int:
        raise error

    if doing == "reading":
        monkeypatch.setattr(pipeline, "read_tile", full)
    with (
        pytest.raises(RestoreError, match=rf"ran out {doing} tiles .*memory_share.*goes on from there"),
        pipeline.Pipeline(job, range(4), full) as ways,
    ):
        for batch in ways.batches():
            ways.finish(batch, Fitting(job).restore(batch.samples()))
        list(ways.rest())


def test_other_errors_are_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    job = job_of((64, 64), (64, 64), model())

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("no such operator")

    monkeypatch.setattr(work, "restore_tensor", broken)
    with pytest.raises(RuntimeError, match="no such operator"):
        Fitting(job).restore(read_tile(job, 0).samples)


def test_tensors_that_exist_at_once_are_counted() -> None:
    def work() -> None:
        a = torch.zeros(1000)
        b = a + 1
        del a
        c = b * 2
        c[:10].add_(1)

    assert peak_of(work) == 2 * 4000


def test_the_appetite_of_a_network_is_a_line_over_its_voxels() -> None:
    job = job_of((512, 512), (512, 512), model(width=8))
    line = appetite(job)
    samples = read_tile(job, 0).samples
    measured = peak_of(lambda: restore_together(job, samples))
    assert measured == pytest.approx(line.of(samples.shape[2:]), rel=0.05)


THEORY = "theory:NA=1.2,wavelength=520,pixel=160,z=500,n=1.33"


@pytest.mark.parametrize(
    ("name", "psf", "prior", "added"),
    [
        ("richardson_lucy", "gaussian:1,2,2", "hessian", False),
        ("richardson_lucy", THEORY, "total_variation", True),
        ("learned_richardson_lucy", "gaussian:1,2,2", "hessian", True),
    ],
)
def test_the_appetite_of_a_deconvolution_is_what_it_takes(name: str, psf: str, prior: str, added: bool) -> None:
    made = model(name=name, dimensions="3", psf=psf, updates=(3,), price=(0.002,), priced=(prior,))
    job = job_of((40, 120, 120), (40, 120, 120), made)
    assert any(job.method.padding) == added
    samples = read_tile(job, 0).samples
    measured = peak_of(lambda: restore_together(job, samples))
    assert 0.98 * measured < appetite(job).of(samples.shape[2:]) < 1.1 * measured


@pytest.mark.parametrize(("name", "shape"), [("noise2void", (320, 320)), ("posterior", (4, 160, 160))])
def test_the_appetite_of_patches_that_look_alike_is_what_they_take(name: str, shape: tuple[int, ...]) -> None:
    """Their groups are most of a small tile, and as large in any other."""
    noise = {"similar": "yes", "sigma": (10.0,), "gain": (0.0,), "offset": (0.0,), "mean": (100.0,), "std": (20.0,)}
    beside = {"neighbours": 1, "combine": "yes"} if name == "posterior" else {}
    torch.manual_seed(0)
    method = build_method(name, {"dimensions": "2", **noise, **beside}, spatial="ZYX"[-len(shape) :], channels=1)
    job = job_of(shape, shape, Model(name, method.eval(), Normalisation((100.0,), (20.0,))))
    assert job.method.full
    samples = read_tile(job, 0).samples
    measured = peak_of(lambda: restore_together(job, samples))
    assert 0.98 * measured < appetite(job).of(samples.shape[2:]) < measured + 10 * MIB


def planned(job: TileJob, **options: object) -> int:
    return plan_memory(job, Appetite(0, 400), together=1, pieces=(1, 1), share=1, now=0, **options).host


def test_a_larger_tile_is_planned_with_more_memory_and_a_larger_image_is_not() -> None:
    small, large = job_of((512, 512), (128, 128), model()), job_of((1024, 1024), (128, 128), model())
    assert planned(small) == planned(large)
    assert planned(job_of((512, 512), (512, 512), model())) > 8 * planned(small)


def restored(image: Image, made: Model, output: Path, restoring: Restoring | None = None) -> Events[Restored]:
    return engine.restore_events(
        image,
        made,
        output=output,
        restoring=restoring or Restoring(),
        computing=Computing(precision="float32"),
        writing=Writing(),
        watch=Watch(),
    )


def test_a_run_says_what_it_takes_before_it_begins(tmp_path: object) -> None:
    seen: list[object] = []
    pixels = np.random.default_rng(0).normal(100, 20, (96, 96)).astype(np.float32)
    drain(restored(open_image(pixels), model(), tmp_path / "o.zarr"), seen.append)  # type: ignore[operator]
    started = next(e for e in seen if isinstance(e, RestorationStarted))
    said = [e.text for e in seen[: seen.index(started)] if isinstance(e, Note)]
    assert any("restoring takes about" in text and "more than is held now" in text for text in said)
    assert started.memory is not None and started.memory > 50 * MIB and started.device_memory == 0


def test_with_little_memory_tiles_are_cut_and_with_less_the_run_is_refused(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = np.random.default_rng(0).normal(100, 20, (512, 512)).astype(np.float32)
    image, wide, options = open_image(pixels), model(width=16), Restoring(tile=(512, 512))
    whole = drain(restored(image, wide, tmp_path / "whole.zarr", options))  # type: ignore[operator]
    seen: list[object] = []
    monkeypatch.setattr(memory, "free_memory", lambda: 60 * MIB)
    cut = drain(restored(image, wide, tmp_path / "cut.zarr", options), seen.append)  # type: ignore[operator]
    assert any("in pieces of" in e.text for e in seen if isinstance(e, Note))
    np.testing.assert_allclose(np.asarray(cut), np.asarray(whole), rtol=0, atol=CLOSE)
    monkeypatch.setattr(memory, "free_memory", lambda: 2.5 * MIB)
    with pytest.raises(RestoreError, match=r"MiB more than .*, of 2 MiB that may be used.*smaller than 512 x 512"):
        drain(restored(image, wide, tmp_path / "none.zarr", options))  # type: ignore[operator]
    assert not list(tmp_path.glob("none*")), "nothing is left behind"  # type: ignore[attr-defined]


@pytest.mark.parametrize(("over", "times"), [(1, 4), (0, 0)])
def test_what_the_heap_keeps_goes_back_where_more_is_held_than_planned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, over: int, times: int
) -> None:
    released: list[int] = []
    monkeypatch.setattr(local, "held", lambda: over << 60)
    monkeypatch.setattr(local, "release_buffers", lambda: released.append(1))
    pixels = np.random.default_rng(0).normal(100, 20, (64, 64)).astype(np.float32)
    drain(restored(open_image(pixels), model(), tmp_path / "o.zarr", Restoring(tile=(32, 32))))
    assert len(released) == 1 + times, "once before it is planned, and after each tile"


@pytest.mark.parametrize("share", [0.0, -1.0, 1.5])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(RestoreError, match="over 0 and at most 1"):
        Restoring(memory_share=share)


def test_the_limit_of_a_control_group_counts(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    limit, used = tmp_path / "max", tmp_path / "current"  # type: ignore[operator]
    limit.write_text(f"{100 * MIB}\n")
    used.write_text(f"{70 * MIB}\n")
    monkeypatch.setattr(free, "_CGROUPS", ((str(limit), str(used)),))
    assert free.free_memory() == 30 * MIB
    limit.write_text("max\n")
    assert free.free_memory() > 30 * MIB


def test_the_limit_of_the_process_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    psutil = pytest.importorskip("psutil")
    if not hasattr(psutil, "RLIMIT_DATA"):
        pytest.skip("only Linux limits a process")
    now = psutil.Process().memory_info().data
    limits = {psutil.RLIMIT_DATA: now + 50 * MIB, psutil.RLIMIT_AS: psutil.RLIM_INFINITY}
    monkeypatch.setattr(psutil.Process, "rlimit", lambda self, which: (limits[which], psutil.RLIM_INFINITY))
    assert 40 * MIB < free.free_memory() <= 50 * MIB
