"""What changes while training: weights, their average, the optimizer, the step. Saved whole, resumed whole."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from napari_restore.core.errors import ModelError, OtherRunError
from napari_restore.methods.method import Batch, Method
from napari_restore.networks.layout import channels_last
from napari_restore.store.weights import read_card, read_weights, write_weights
from napari_restore.training.ranks import ALONE, Ranks
from napari_restore.training.settings import TrainingSettings

if TYPE_CHECKING:
    from lightning_fabric import Fabric

_KEPT = 2


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in a run folder, the newest last."""
    return sorted(folder.glob("checkpoint-*.safetensors"))


def cards(folder: Path) -> Iterator[Mapping[str, Any]]:
    """What the checkpoints in a run folder say of the run, the newest first, without those that cannot be read."""
    for path in reversed(checkpoints(folder)):
        with suppress(ModelError):
            yield read_card(path)


class TrainingState:
    """A method in training. ``average`` is the exponential moving average of its weights, the one that is used."""

    def __init__(self, method: Method, settings: TrainingSettings, fabric: Fabric, ranks: Ranks = ALONE) -> None:
        self._fabric, self._ranks, self._seed = fabric, ranks, settings.seed
        method = channels_last(method.to(fabric.device))
        self.average: Method = copy.deepcopy(method).eval().requires_grad_(False)
        # Fused AdamW is one pass over the weights instead of a dozen.
        self.optimizer: Any = torch.optim.AdamW(
            method.parameters(),
            lr=settings.learning_rate or method.learning_rate,
            betas=(0.9, 0.99),
            weight_decay=0.0 if method.begun else method.weight_decay,
            fused=True,
        )
        self._decay = method.weight_decay
        self._began = [p.detach().clone() for p in method.parameters()] if method.begun else []
        self.method = method.train()
        self._wrapped, self._optimizer = fabric.setup(method, self.optimizer)
        self.rng = torch.Generator().manual_seed(ranks.seed(settings.seed))
        self.step = 0
        self.seconds = 0.0

    def learn(self, batch: Batch, *, learning_rate: float) -> Tensor:
        """One step; gives the loss without waiting for it."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        loss: Tensor = self._wrapped(batch, self.rng)
        self._optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)  # Fabric's own sets a flag of the whole process; see `bits`
        if self.method.clip is not None:
            # All at once where the device can. To ask for that with foreach=True is an error on MPS.
            torch.nn.utils.clip_grad_norm_(self.method.parameters(), self.method.clip)
        self._optimizer.step()
        self._keep_near(learning_rate)
        self.step += 1
        self._follow()
        return loss.detach()

    def _keep_near(self, learning_rate: float) -> None:
        """Bring the weights a little nearer to those they began with: what one image cannot teach is kept.

        Li, Grandvalet, Davoine 2018 (ICML, arXiv:1802.01483), decoupled as AdamW's decay is.
        """
        if self._began:
            with torch.no_grad():
                weights = [p.detach() for p in self.method.parameters()]
                torch._foreach_lerp_(weights, self._began, min(1.0, learning_rate * self._decay))

    def held_out_loss(self, batch: Batch, *, seed: int) -> float:
        """The averaged weights' loss, with the same random numbers every time."""
        rng = torch.Generator().manual_seed(seed)
        with torch.inference_mode(), self._fabric.autocast():
            return float(self.average(batch, rng))

    def _follow(self) -> None:
        decay = min(0.98, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            weights = [p.detach() for p in self.method.parameters()]
            torch._foreach_lerp_(list(self.average.parameters()), weights, 1 - decay)
            for mine, theirs in zip(self.average.buffers(), self.method.buffers(), strict=True):
                mine.copy_(theirs)

    def freeze_statistics(self) -> None:
        """From here on batch normalisation is the affine map it will be when restoring.

        A network that normalises each batch by itself to the end is another network when it restores with
        running averages. Frozen after 15 % of the budget, 485 steps on the 8 benchmark images end at 27.7 dB
        instead of 26.5-27.2 (seeds 0 and 1), and every later step is cheaper.
        """
        for module in self.method.modules():
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                module.eval()

    def save(self, folder: Path, *, fingerprint: Mapping[str, Any]) -> Path:
        """Write a checkpoint; the two newest are kept."""
        path = folder / f"checkpoint-{self.step:08d}.safetensors"
        write_weights(path, self._tensors(), {**fingerprint, "step": self.step, "seconds": self.seconds})
        for old in checkpoints(folder)[:-_KEPT]:
            old.unlink()
        return path

    def load(self, folder: Path, *, fingerprint: Mapping[str, Any]) -> Path | None:
        """Continue from the newest checkpoint that is whole; None where there is none."""
        damage: ModelError | None = None
        for path in reversed(checkpoints(folder)):
            try:
                card, tensors = read_weights(path)
            except ModelError as error:
                damage = damage or error
                continue
            for name, value in fingerprint.items():
                if card.get(name) != value:
                    raise OtherRunError(
                        f"{path}: was trained with {name} = {card.get(name)!r}, now it is {value!r}. "
                        "Use the same settings, or another run folder."
                    )
            self._restore(tensors)
            self.step, self.seconds = int(card["step"]), float(card["seconds"])
            if not self._ranks.first:  # the checkpoint has the random numbers of rank 0
                self.rng.manual_seed(self._ranks.seed(self._seed, step=self.step))
            return path
        if damage is not None:
            raise damage
        return None

    def _tensors(self) -> dict[str, Tensor]:
        state = self.optimizer.state_dict()["state"]
        slots = {f"optimizer.{i}.{k}": v for i, slot in state.items() for k, v in slot.items()}
        groups = itertools.chain(
            ((f"method.{k}", v) for k, v in self.method.state_dict().items()),
            ((f"average.{k}", v) for k, v in self.average.state_dict().items()),
            ((f"memory.{k}", v) for k, v in self.method.memory().items()),
            slots.items(),
        )
        return {**{k: v.detach().cpu().contiguous() for k, v in groups}, "rng": self.rng.get_state()}

    def _restore(self, tensors: Mapping[str, Tensor]) -> None:
        def part(prefix: str) -> dict[str, Tensor]:
            return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

        self.method.load_state_dict(part("method."))
        self.average.load_state_dict(part("average."))
        self.method.recall(part("memory."))
        weights = list(self.method.parameters())
        slots: dict[int, dict[str, Tensor]] = {}
        for key, value in part("optimizer.").items():
            index, _, name = key.partition(".")
            slots.setdefault(int(index), {})[name] = _laid_out_like(weights[int(index)], value)
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": slots})
        self.rng.set_state(tensors["rng"])


def _laid_out_like(weight: Tensor, value: Tensor) -> Tensor:
    """A moment with its numbers in the order of its weight's in memory: fused AdamW goes by memory, not by index."""
    return torch.empty_like(weight).copy_(value) if value.shape == weight.shape else value
