"""Fabric for one training: its device, its bits, and nothing that another training in the process could notice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from napari_restore.methods.apply import Precision
from napari_restore.training.ranks import Ranks

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def make_fabric(device: torch.device, precision: Precision, ranks: Ranks) -> Fabric:
    """What runs a method on a device, in so many bits, with the other ranks."""
    from lightning_fabric import Fabric  # it loads torch's compiler, which restoring never needs: 1.3 s

    return Fabric(**ranks.fabric(device), plugins=_lean(device.type) if precision == "bfloat16" else None)


def _lean(kind: str) -> Any:
    from lightning_fabric.plugins import Precision as Plugin

    class Lean(Plugin):  # type: ignore[misc]
        """Layers run in bfloat16; what they are compared with does not: 8 bits are fewer than most images have.

        Fabric's own ``MixedPrecision`` has each backward pass look at a flag of the whole process, which trainings
        side by side take from each other; bfloat16 needs no scaler, so there is nothing for it to watch over.
        """

        precision = "bf16-mixed"

        def convert_module(self, module: nn.Module) -> nn.Module:
            self.casts = Casts(module)
            return module

        @contextmanager
        def forward_context(self) -> Iterator[None]:
            try:
                with torch.autocast(kind, torch.bfloat16, cache_enabled=False):
                    yield
            finally:
                self.casts.forget()

        def convert_output(self, data: Tensor) -> Tensor:
            return data.float()

    return Lean()


class Casts:
    """Weights of layers in fewer bits: cast once a step, however often the step uses a layer.

    ``torch.autocast`` keeps such casts too, but one store of them for the whole process, which is emptied whenever a
    thread leaves autocast. A network that a step uses twice (equivariance, SURE) then sums its gradients in another
    order, and ends with other weights, because something else was restored or trained meanwhile.

    Parameters
    ----------
    module
        Whose convolutions and linear layers are lent casts of their weights, wherever autocast is on when they run.
    """

    def __init__(self, module: nn.Module) -> None:
        self._kept: dict[int, Tensor] = {}
        for layer in module.modules():
            if isinstance(layer, nn.modules.conv._ConvNd | nn.Linear):
                layer.register_forward_pre_hook(self._lend)
                layer.register_forward_hook(self._take_back, always_call=True)

    def forget(self) -> None:
        """The step is over: the weights will change."""
        self._kept.clear()

    def _lend(self, layer: nn.Module, given: tuple[Tensor, ...]) -> None:
        kind = given[0].device.type
        if not (torch.is_autocast_enabled(kind) and torch.is_grad_enabled()):
            return
        for name, weight in layer._parameters.items():
            if weight is not None:
                # An entry of its own hides what nn.Module finds; the parameter stays what it is for everybody else.
                vars(layer)[name] = self._cast(weight, torch.get_autocast_dtype(kind))

    def _cast(self, weight: Tensor, bits: torch.dtype) -> Tensor:
        if id(weight) not in self._kept:
            self._kept[id(weight)] = weight.to(bits)
        return self._kept[id(weight)]

    def _take_back(self, layer: nn.Module, *_: Any) -> None:
        for name in layer._parameters:
            vars(layer).pop(name, None)
