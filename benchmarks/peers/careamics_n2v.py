"""CAREamics 0.3.5: PSNR of its Noise2Void against training seconds, on the same eight images.

Runs in an environment of its own, see README.md here. Time counts from the end of one training batch to the end of
the next; importing, setting up and evaluating are left out.
"""

from __future__ import annotations

import logging
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import reporting
from images import fingerprint, psnr_255

ENDLESS = 1_000_000


def main() -> None:
    parser = reporting.parser(__doc__)
    parser.add_argument("--data", type=Path, required=True, metavar="FILE.npz", help="from benchmarks/images.py")
    parser.add_argument("--seconds", type=float, default=120.0, help="of training (default 120)")
    parser.add_argument("--every", type=float, default=5.0, help="seconds of training between evaluations")
    parser.add_argument("--masked", type=float, metavar="PERCENT", help="of the pixels; its own default without this")
    parser.add_argument("--seeds", type=int, default=1)
    given = parser.parse_args()
    machine = reporting.begin(given.threads)
    machine["device"] = f"CPU, {given.threads} threads"
    quieten(given.threads)
    data = np.load(given.data)
    runs = [one_run(data["noisy"], data["clean"], seed, given) for seed in range(given.seeds)]
    results = {"psnr_noisy": round(psnr_255(data["noisy"], data["clean"]), 3), "data": fingerprint(data["noisy"])}
    reporting.finish(machine, results={**results, "runs": runs}, settings={"masked": given.masked}, out=given.out)


def quieten(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)


def one_run(noisy: np.ndarray, clean: np.ndarray, seed: int, given: Any) -> dict[str, Any]:
    from careamics import CAREamist

    clock = make_clock(noisy, clean, seconds=given.seconds, every=given.every)
    with tempfile.TemporaryDirectory() as folder:
        trainer = CAREamist(config(given.masked, seed), work_dir=folder, callbacks=[clock], enable_progress_bar=False)
        trainer.train(train_data=noisy)
        weights = sum(p.numel() for p in trainer.model.model.parameters())
    return {"seed": seed, "parameters": weights, "steps": clock.steps, "curve": clock.curve}


def config(masked: float | None, seed: int) -> Any:
    """Its defaults, with patches of 64 and batches of 16, and no epoch count in the way."""
    from careamics.config import create_advanced_n2v_config

    chosen = {} if masked is None else {"masked_pixel_percentage": masked}
    return create_advanced_n2v_config(
        experiment_name="benchmark",
        data_type="array",
        axes="SYX",
        patch_size=[64, 64],
        batch_size=16,
        num_epochs=ENDLESS,
        num_workers=0,
        seed=seed + 1,  # it refuses 0
        checkpoint_params={"every_n_epochs": ENDLESS, "save_last": False},
        **chosen,
    )


def make_clock(noisy: np.ndarray, clean: np.ndarray, *, seconds: float, every: float) -> Any:
    """A callback that counts training time, evaluates now and then, and ends the training."""
    import lightning
    import torch

    class Clock(lightning.Callback):
        def __init__(self) -> None:
            self.seconds, self.steps, self.due = 0.0, 0, every
            self.curve: list[dict[str, float]] = []

        def on_train_start(self, trainer: Any, module: Any) -> None:
            self.mark = time.perf_counter()

        def on_train_batch_end(self, trainer: Any, module: Any, *_: Any) -> None:
            self.seconds += time.perf_counter() - self.mark
            self.steps += 1
            over = self.seconds >= seconds
            if over or self.seconds >= self.due:
                self.evaluate(trainer, module)
                self.due += every
            if over:
                trainer.should_stop, trainer.limit_val_batches = True, 0
            self.mark = time.perf_counter()

        def evaluate(self, trainer: Any, module: Any) -> None:
            scale = trainer.datamodule.train_dataset.normalization
            module.eval()
            with torch.no_grad():
                restored = [module(torch.from_numpy(scale(image[None])[0])[None]) for image in noisy]
            module.train()
            value = psnr_255(np.stack([scale.denormalize(one).numpy()[0, 0] for one in restored]), clean)
            self.curve.append({"seconds": round(self.seconds, 2), "steps": self.steps, "psnr": round(value, 3)})
            reporting.progress(f"{self.seconds:.1f} s, {self.steps} steps: {value:.2f} dB")

    return Clock()


if __name__ == "__main__":
    main()
