"""Everything that processors cannot show, on one graphics card in at most 8 minutes; --dry-run tries it all on a CPU.

Parts: the tests marked `gpu`; steps a second of each precision, with TF32 and without, with torch.compile, with CUDA
graphs and without; the share of a bare loop of steps that training reaches; how long a preview takes; Mpx/s of each
method that learns from one image, restoring; PSNR of
the eight images against seconds; a stack deblurred; memory planned against the peak; what happens where memory does not
suffice. A part that fails says why, and the others go on. What is over the limit is left out and named.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import reporting
from images import eight_images, psnr_255

Facts = dict[str, Any]
DENOISERS = ("posterior", "noise2void2")
"""Those that are put to the eight images, and of which memory is planned."""
RESTORED: dict[str, dict[str, Any]] = {
    "posterior": {},
    "noise2void2": {},
    "noise2void": {},
    "struct_noise2void": {},
    "recorrupted": {},
    "zero_shot": {},
    "scale_equivariant": {"psf": "gaussian:1", "noise": 10.0},
    "equivariant_shift": {"factor": 2, "noise": 10.0},
    "inpainting": {},
}
"""Each that learns from one image alone, and what it needs beside it; the image of the last has gaps."""


@dataclass(frozen=True)
class Run:
    """How large everything is, and where it runs."""

    device: str
    side: int
    seconds: float
    stack: tuple[int, int, int]
    dry: bool


def main() -> None:
    parser = reporting.parser(__doc__)
    parser.add_argument("--dry-run", action="store_true", help="small, on the CPU: shows that every part runs")
    parser.add_argument("--minutes", type=float, default=8.0, help="no part begins after so many (default 8)")
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    given = parser.parse_args()
    machine = reporting.begin(given.threads)
    run = Run("cpu", 128, 1.0, (4, 48, 48), True) if given.dry_run else Run("cuda", 4096, 8.0, (48, 512, 512), False)
    machine["device"] = reporting.device_name(run.device)
    began, results, left_out = time.monotonic(), {}, []
    for name in given.parts:
        if time.monotonic() - began > 60 * given.minutes:
            left_out.append(name)
            continue
        start = time.monotonic()
        try:
            results[name] = PARTS[name](run)
        except Exception:  # noqa: BLE001  one part that fails must not end the others
            results[name] = {"failed": traceback.format_exc(limit=3)}
        results[name] |= {"seconds": round(time.monotonic() - start, 1)}
        reporting.progress(f"{name}: {results[name]}")
    settings = {"dry_run": run.dry, "minutes": given.minutes, "left_out": left_out}
    reporting.finish(machine, results=results, settings=settings, out=given.out)


def marked(run: Run) -> Facts:
    """The tests that need a card."""
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-m", "gpu", "tests/integration/test_gpu.py"]
    if run.dry:
        command.append("--collect-only")
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent.parent, check=False)
    return {"status": done.returncode, "said": done.stdout.strip().splitlines()[-1:]}


def steps(run: Run) -> Facts:
    """Steps a second by precision, as trained and as a bare loop on one batch; and with the network compiled."""
    import torch

    from napari_restore import train
    from napari_restore.methods.apply import autocast

    noisy, facts = eight_images()[1], {}
    for precision in ("float32", "bfloat16"):
        model = train(
            noisy,
            "noise2void2",
            axes="TYX",
            neighbours="0",
            device=run.device,
            precision=precision,
            seconds=run.seconds,
        )
        told, method = model.provenance, model.method.to(run.device).train().requires_grad_(True)
        batch = _batch(told["batch"], told["patch"], run.device)
        optimiser = torch.optim.AdamW(method.parameters())
        rng = torch.Generator().manual_seed(0)

        def step(optimiser=optimiser, method=method, batch=batch, rng=rng, bits=precision) -> None:
            with autocast(batch.pixels.device, bits):
                loss = method(batch, rng)
            loss.backward()
            optimiser.step()
            optimiser.zero_grad()

        bare = _rate(step, run)
        trained = told["steps"] / told["seconds"]
        facts[precision] = {"trained": round(trained, 1), "bare": round(bare, 1), "share": round(trained / bare, 3)}
        plain = method.networks
        for name, mode in (("bare_compiled", "default"), ("bare_cuda_graphs", "reduce-overhead")):
            way: dict[str, str] = {"backend": "eager"} if run.dry else {"mode": mode}  # nothing is compiled for a trial
            method.networks = torch.nn.ModuleList(torch.compile(network, **way) for network in plain)
            facts[precision][name] = round(_rate(step, run), 1)
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    facts["without_tf32"] = steps_of_float32(run)
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before
    return facts


def steps_of_float32(run: Run) -> float:
    """Steps a second as trained, whatever the card is told of TF32."""
    from napari_restore import train

    noisy = eight_images()[1]
    options = {"axes": "TYX", "neighbours": "0", "device": run.device, "precision": "float32", "seconds": run.seconds}
    told = train(noisy, "noise2void2", **options).provenance
    return round(told["steps"] / told["seconds"], 1)


def _batch(count: int, patch: list[int], device: str) -> Any:
    import torch

    from napari_restore.methods.method import Batch

    pixels = torch.randn(count, 1, *patch, device=device)
    return Batch(pixels, torch.ones_like(pixels, dtype=torch.bool))


def _rate(step: Callable[[], None], run: Run) -> float:
    """How often a second, after a few that do not count."""
    import torch

    def wait() -> None:
        if run.device == "cuda":
            torch.cuda.synchronize()

    for _ in range(2 if run.dry else 20):
        step()
    wait()
    done, start = 0, time.perf_counter()
    while time.perf_counter() - start < run.seconds / 2:
        for _ in range(1 if run.dry else 20):
            step()
        done += 1 if run.dry else 20
        wait()
    return done / (time.perf_counter() - start)


def restoring(run: Run) -> Facts:
    """Mpx/s of each method, measured pixels to OME-Zarr, in each precision; how far bfloat16 is from float32.

    That is told of a corner, in deviations of the image.
    """
    from napari_restore import restore, train

    large = np.random.default_rng(0).normal(100, 10, (run.side, run.side)).astype(np.float32)
    gapped = large.copy()
    gapped[::8, ::8] = np.nan
    speeds: Facts = {}
    apart: Facts = {}
    for name, needs in RESTORED.items():
        image = gapped if name == "inpainting" else large
        steps = 2 if run.dry else 200
        model = train(image[:256, :256], name, axes="YX", steps=steps, device=run.device, **needs)
        corners = []
        for precision in ("float32", "bfloat16"):
            start = time.perf_counter()
            result = restore(image, model, axes="YX", device=run.device, precision=precision)
            speeds[f"{name} {precision}"] = float(f"{large.size / 1e6 / (time.perf_counter() - start):.3g}")
            corners.append(np.asarray(result)[:256, :256])
            shutil.rmtree(result.path.parent)
        apart[name] = float(f"{np.sqrt(np.mean((corners[1] - corners[0]) ** 2)) / 10:.2g}")
    return {"mpx_per_second": speeds, "bfloat16_from_float32": apart}


def preview(run: Run) -> Facts:
    """Seconds that training stands still for the plane in view, restored by the network as it is."""
    from napari_restore import train
    from napari_restore.core.job import PreviewRequest
    from napari_restore.core.region import Region
    from napari_restore.training.previews import Previews

    plane = np.random.default_rng(0).normal(100, 10, (run.side // 4, run.side // 4)).astype(np.float32)
    asked, through, took = PreviewRequest(Region.of_shape(plane.shape), every=0.01), Previews._restored, []

    def timed(*given: Any) -> Any:
        start = time.perf_counter()
        shown = through(*given)
        took.append(time.perf_counter() - start)
        return shown

    Previews._restored = timed  # type: ignore[method-assign]
    try:
        train(plane, "noise2void2", axes="YX", seconds=run.seconds, device=run.device, preview=asked)
    finally:
        Previews._restored = through  # type: ignore[method-assign]
    return {
        "side": plane.shape[0],
        "previews": len(took),
        "first": round(took[0], 4),
        "median": round(float(np.median(took)), 4),
    }


def quality(run: Run) -> Facts:
    """The eight images after some seconds of training."""
    from napari_restore import restore, train

    clean, noisy = eight_images()
    facts: Facts = {}
    for name in DENOISERS[:2]:
        for seconds in (run.seconds / 8, run.seconds):
            model = train(noisy, name, axes="TYX", neighbours="0", seconds=seconds, device=run.device)
            result = restore(noisy, model, axes="TYX", device=run.device)
            steps = model.provenance["steps"]
            facts[f"{name}, {seconds:g} s"] = {"psnr": round(psnr_255(np.asarray(result), clean), 2), "steps": steps}
            shutil.rmtree(result.path.parent)
    return facts


def deblurring(run: Run) -> Facts:
    """A stack by the PSF of a microscope: classical, and learned on it."""
    from napari_restore import deblur

    stack = np.random.default_rng(0).poisson(50, run.stack).astype(np.uint16)
    psf = "gaussian:1.5" if run.dry else "theory:NA=1.2,wavelength=520,pixel=108,z=300,n=1.33"
    facts: Facts = {}
    for name in ("richardson_lucy", "learned_richardson_lucy"):
        start = time.perf_counter()
        learns = {"steps": 2 if run.dry else 100} if name.startswith("learned") else {}
        result = deblur(stack, psf=psf, axes="ZYX", method=name, device=run.device, **learns)
        np.asarray(result)
        facts[name] = {"seconds": round(time.perf_counter() - start, 2), "mpx": round(stack.size / 1e6, 2)}
        shutil.rmtree(result.path.parent)
    return facts


def memory(run: Run) -> Facts:
    """What was planned for training and restoring, and the most that the card held."""
    import torch

    from napari_restore import estimate_cost, restore, train

    stack = np.random.default_rng(0).normal(100, 10, run.stack).astype(np.float32)
    facts: Facts = {}
    for name in DENOISERS[:2]:
        planned = estimate_cost(stack, name, axes="ZYX", device=run.device, steps=2)
        if run.device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        model = train(stack, name, axes="ZYX", steps=2 if run.dry else 100, device=run.device)
        result = restore(stack, model, axes="ZYX", device=run.device)
        peak = torch.cuda.max_memory_allocated() if run.device == "cuda" else None
        facts[name] = {"planned_bytes": planned.device_memory or planned.memory, "peak_bytes": peak}
        shutil.rmtree(result.path.parent)
    return facts


def too_little(run: Run) -> Facts:
    """Restoring where hardly any memory may be used: smaller tiles or a refusal in numbers, never a crash."""
    from napari_restore import restore, train
    from napari_restore.core.errors import RestoreError

    large = np.random.default_rng(0).normal(100, 10, (run.side, run.side)).astype(np.float32)
    model = train(large[:128, :128], "noise2void2", axes="YX", steps=2, device=run.device)
    try:
        result = restore(large, model, axes="YX", device=run.device, memory_share=0.001)
    except RestoreError as error:
        return {"refused": str(error)}
    shutil.rmtree(result.path.parent)
    return {"restored": list(result.shape)}


PARTS: dict[str, Callable[[Run], Facts]] = {
    "tests": marked,
    "steps": steps,
    "preview": preview,
    "restoring": restoring,
    "quality": quality,
    "deblurring": deblurring,
    "memory": memory,
    "too_little": too_little,
}

if __name__ == "__main__":
    main()
