"""Train the weights that a posterior network starts from, on pictures that formulas make: nobody's data.

    python benchmarks/start/train.py --seconds 3000 --out src/napari_restore/methods/posterior.safetensors

Pictures are made first (two minutes a thousand). Each step draws patches of them, with noise of a random level, white,
of photons, or both, and trains the method's own network, which sees them in units of their noise, to predict hidden
pixels and how surely. It is told the clean pixel with a third of the noise's variance: the same network as by the noisy
one, sooner.

What is shipped took 49 minutes of a seventh of a core: 3700 steps of batches of 8 and 4 with noise of 0.03 to 3 of the
deviation, then 18 206 steps of 4 as it is here (`--begin`), at rate 0.0015, from the same thousand pictures.
"""

from __future__ import annotations

import argparse
import copy
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

import numpy as np
import torch
from pictures import picture
from torch import Tensor

from napari_restore.core.normalisation import Normalisation
from napari_restore.methods.posterior import PosteriorConfig, mean_around, predicted
from napari_restore.metrics.pixel_noise import PixelNoise
from napari_restore.store.model import Model, build_method, load_model

SIDE, PATCH, BATCH = 192, 88, 8
TOLD = 0.3  # of the variance of the noise, in what is told
LEAST, MOST = 0.12, 3.0  # deviation of the noise over that of the picture
PHOTONS = (0.3, 0.3)  # part of the patches with noise of photons alone, and with none of it


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=3000.0)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=17)
    parser.add_argument("--units", choices=["noise", "image"], default="noise")
    parser.add_argument("--bank", type=Path)
    parser.add_argument("--width", type=int, default=PosteriorConfig.width)
    parser.add_argument("--depth", type=int, default=PosteriorConfig.depth)
    parser.add_argument("--blocks", type=int, default=PosteriorConfig.blocks)
    parser.add_argument("--batch", type=int, default=BATCH)
    parser.add_argument("--begin", type=Path, help="weights to go on from")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    rng = np.random.default_rng(given.seed)
    if given.bank and given.bank.exists():
        bank = np.load(given.bank)
    else:
        bank = np.stack([picture(rng, SIDE) for _ in range(given.pictures)]).astype(np.float16)
    started(torch.from_numpy(bank), given)


def started(bank: Tensor, given: argparse.Namespace) -> None:
    """Train, and write the average of the weights now and then."""
    size = {"width": given.width, "depth": given.depth, "blocks": given.blocks}
    config = PosteriorConfig(
        dimensions="2",
        neighbours="0",
        combine="yes",
        **size,
        sigma=(1.0,),
        gain=(0.0,),
        offset=(0.0,),
        mean=(0.0,),
        std=(1.0,),
        units=(given.units,),
    )
    method = build_method("posterior", config, spatial="YX", channels=1, seed=given.seed)
    before = {}
    if given.begin:
        begun = load_model(given.begin)
        method.load_state_dict(begun.method.state_dict())
        before = {"before": {name: begun.provenance[name] for name in ("steps", "count", "seed")}}
    network = copy.deepcopy(method.networks[0]).to(memory_format=torch.channels_last)
    average = torch.optim.swa_utils.AveragedModel(
        network, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.999)
    )
    optimizer = torch.optim.AdamW(network.parameters(), lr=given.rate, betas=(0.9, 0.99), weight_decay=1e-4, fused=True)
    rng = torch.Generator().manual_seed(given.seed)
    began, step, shown, told = time.perf_counter(), 0, [], 60.0

    def keep() -> None:
        method.networks[0].load_state_dict(average.module.state_dict())
        made = {"made_by": "benchmarks/start/train.py", "steps": step, "count": len(bank), "seed": given.seed, **before}
        Model("posterior", method.eval(), Normalisation((0.0,), (1.0,)), "float32", made).save(given.out)

    while (part := (time.perf_counter() - began) / given.seconds) < 1:
        optimizer.param_groups[0]["lr"] = given.rate * min(1, step / 500 + 0.02) * (0.5 + 0.5 * np.cos(np.pi * part))
        loss = lost(network, *drawn(bank, rng, given.batch), units=given.units, rng=rng)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 0.5)
        optimizer.step()
        average.update_parameters(network)
        step += 1
        shown.append(loss.detach())
        if time.perf_counter() - began > told:
            print(f"{told:.0f} s, {step} steps: {float(torch.stack(shown).mean()):.4f}", flush=True)
            shown, told = [], told + 60
            keep()
    keep()


def drawn(bank: Tensor, rng: torch.Generator, count: int) -> tuple[Tensor, Tensor, PixelNoise]:
    """Clean and noisy patches ``(B, 1, PATCH, PATCH)`` in units of the noisy ones' deviation, and their noise."""
    which = torch.randint(len(bank), (count,), generator=rng)
    corners = torch.randint(SIDE - PATCH + 1, (count, 2), generator=rng)
    clean = torch.stack(
        [bank[i, y : y + PATCH, x : x + PATCH] for i, (y, x) in zip(which, corners.tolist(), strict=True)]
    )
    clean = clean.float()[:, None]
    clean = torch.where(uniform(rng, count) < 0.15, 1 - clean, clean).clamp(min=0)
    clean = clean + uniform(rng, count).square() * 0.3  # light behind it
    whole = bank[which].float().std((1, 2)).view(-1, 1, 1, 1).clamp(min=0.02)  # as dark patches of a picture have it
    level = whole * torch.exp(uniform(rng, count) * np.log(MOST / LEAST) + np.log(LEAST))
    kind, share = uniform(rng, count), uniform(rng, count)
    share = torch.where(kind < PHOTONS[0], 1.0, torch.where(kind > 1 - PHOTONS[1], 1e-6, share))
    gain = share * level.square() / clean.mean((2, 3), keepdim=True).clamp(min=0.02)
    read = ((1 - share) * level.square()).clamp(min=1e-8)
    noisy = gain * torch.poisson(clean / gain, generator=rng) + read.sqrt() * torch.randn(clean.shape, generator=rng)
    mean, std = noisy.mean((2, 3), keepdim=True), noisy.std((2, 3), keepdim=True)
    wrong = torch.exp(0.15 * torch.randn(count, 1, 1, 1, generator=rng))  # as an estimate of the noise is
    noise = PixelNoise(wrong * read / std**2, wrong * gain / std, -mean / std)
    return (clean - mean) / std, (noisy - mean) / std, noise


def lost(network: Any, clean: Tensor, noisy: Tensor, noise: PixelNoise, *, units: str, rng: torch.Generator) -> Tensor:
    """The negative log-likelihood of the hidden pixels, with little noise left in them."""
    seen = noisy.clone()
    around = mean_around(noisy)
    seen[..., ::2, ::2] = around
    mean, variance = predicted(network, seen, around, noise.smooth_at if units == "noise" else None)
    truth = clean[..., ::2, ::2]
    left = TOLD * noise.smooth_at(truth)
    error = (truth + left.sqrt() * torch.randn(truth.shape, generator=rng) - mean).square()
    total = variance + left
    return 0.5 * (total.log() - left.log() + error / total).mean()


def uniform(rng: torch.Generator, count: int) -> Tensor:
    return torch.rand(count, 1, 1, 1, generator=rng)


if __name__ == "__main__":
    main()
