"""deepinv 0.5: milliseconds a training step of scale-equivariant imaging takes, with our network.

Runs in an environment of its own, see README.md here. Its physics, losses and transform, and a step as its Trainer
takes it; loading data, metrics and the progress bar are left out. `sei_step_speed.py` starts it beside ours and says
what to train on.
"""

from __future__ import annotations

import json
import sys
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))  # the network, and the filters it starts from
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import reporting
from sei_step_speed import times

DEBLUR = {
    "blur_std": 2.0,  # 0 for none
    "blur_size": 13,
    "factor": 1,
    "sigma": 0.1,
    "tau": 0.05,
    "scales": [0.75, 0.6],
    "weight": 2.0,
    "patch": [96, 96],
    "batch": 2,
    "learning_rate": 1.5e-3,
    "network": {
        "ndim": 2,
        "channels_in": 2,
        "channels_out": 1,
        "width": 24,
        "depth": [1, 1],
        "blocks": 2,
        "fold": [2, 2],
        "rate": [1, 1],
    },
}


def main() -> None:
    parser = reporting.parser(__doc__)
    parser.add_argument("--setup", type=json.loads, default=DEBLUR, metavar="JSON", help="as DEBLUR in this file")
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32", help="as its Trainer has it")
    parser.add_argument("--channels-last", action="store_true", help="weights and pixels; the default is torch's")
    parser.add_argument("--warm-up", type=int, default=5, help="steps not counted (default 5)")
    parser.add_argument("--steps", type=int, default=20, help="steps counted (default 20)")
    given = parser.parse_args()
    machine = reporting.begin(given.threads)
    import_deepinv(given.threads)
    step, parameters = make_step(given.setup, precision=given.precision, channels_last=given.channels_last)
    took = times(step, warm_up=given.warm_up, steps=given.steps)
    results = {**took, "parameters": parameters, "deepinv": version("deepinv")}
    settings = {"setup": given.setup, "precision": given.precision, "channels_last": given.channels_last}
    reporting.finish(machine, results=results, settings=settings, out=given.out)


def import_deepinv(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)
    warnings.filterwarnings("ignore")
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        # PyPI has torchvision compiled for CUDA, which beside a torch without it lacks its own operators. deepinv
        # imports it at once but needs none of them here.
        for name in ("nms", "qnms"):
            torch.library.define(f"torchvision::{name}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import deepinv  # noqa: F401


def make_step(setup: dict[str, Any], *, precision: str, channels_last: bool) -> tuple[Any, int]:
    """A function that takes one step on a batch, and the number of weights."""
    import deepinv as dinv
    import torch

    torch.manual_seed(0)
    physics = make_physics(setup)
    model = make_model(setup, channels_last=channels_last)
    trainer = dinv.Trainer(
        model,
        physics,
        optimizer=torch.optim.AdamW(model.parameters(), lr=setup["learning_rate"]),
        train_dataloader=[],
        losses=[
            dinv.loss.SureGaussianLoss(sigma=setup["sigma"], tau=setup["tau"]),
            # Without no_grad, its default, the gradient also goes through the transformed image.
            dinv.loss.EILoss(dinv.transform.Scale(factors=setup["scales"]), weight=setup["weight"], no_grad=True),
        ],
        mixed_precision=precision if precision != "float32" else False,
        device="cpu",
        metrics=None,
        save_path=None,
        verbose=False,
    )
    trainer.setup_train()
    y = torch.randn(setup["batch"], 1, *setup["patch"])

    def step() -> None:
        trainer.compute_loss(physics, None, y, train=True, epoch=0, step=True)

    return step, sum(p.numel() for p in model.parameters())


def make_physics(setup: dict[str, Any]) -> Any:
    import deepinv as dinv

    noise = dinv.physics.GaussianNoise(setup["sigma"])
    if setup["factor"] > 1:
        fine = tuple(n * setup["factor"] for n in setup["patch"])
        return dinv.physics.Downsampling(
            img_size=(1, *fine), filter="bicubic", factor=setup["factor"], padding="reflect", noise_model=noise
        )
    return dinv.physics.Blur(gaussian(setup), padding="reflect", noise_model=noise)


def gaussian(setup: dict[str, Any]) -> Any:
    from deepinv.physics.functional import gaussian_blur

    return gaussian_blur(psf_size=(setup["blur_size"],) * 2, sigma=(setup["blur_std"],) * 2)


def make_model(setup: dict[str, Any], *, channels_last: bool) -> Any:
    """Our network on our start from physics, as a deepinv model."""
    import deepinv as dinv
    import torch

    from napari_restore.networks.residual_unet import ResidualUNet
    from napari_restore.operators.blur import Blur
    from napari_restore.operators.inverse import CubicUpsampling, wiener

    layout = torch.channels_last if channels_last else torch.contiguous_format

    class Model(dinv.models.Reconstructor):
        def __init__(self) -> None:
            super().__init__()
            self.network = ResidualUNet(**setup["network"]).to(memory_format=layout)
            self.start = CubicUpsampling((setup["factor"],) * 2, centred=(True, True))
            if setup["blur_std"]:
                kernel = gaussian(setup)[0, 0].double().numpy()
                self.start = Blur(wiener(kernel / kernel.sum(), setup["sigma"]))

        def forward(self, y: torch.Tensor, physics: Any, **_: Any) -> torch.Tensor:
            start = self.start(y)
            seen = torch.cat([y, start], 1) if setup["network"]["channels_in"] == 2 else y
            return start + self.network(seen.contiguous(memory_format=layout))

    return Model()


if __name__ == "__main__":
    main()
