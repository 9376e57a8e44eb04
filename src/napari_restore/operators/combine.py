"""Operators made of operators, and the simplest one."""

from __future__ import annotations

from math import prod

from torch import Tensor, nn

from napari_restore.core.errors import RestoreError
from napari_restore.operators.operator import Operator


class Identity(Operator):
    """What is measured is what is there: plain denoising."""

    def __init__(self, ndim: int) -> None:
        super().__init__()
        self.rate, self.margin = (1,) * ndim, (0,) * ndim

    def forward(self, x: Tensor) -> Tensor:
        """``x``."""
        return x

    def adjoint(self, y: Tensor) -> Tensor:
        """``y``."""
        return y


class Composed(Operator):
    """One operator after another: ``Composed(blur, downsample)`` blurs first.

    Raises
    ------
    RestoreError
        If the operators have different numbers of spatial axes, or there is none.
    """

    def __init__(self, *operators: Operator) -> None:
        super().__init__()
        if not operators or len({len(o.rate) for o in operators}) != 1:
            found = ", ".join(f"{type(o).__name__} ({len(o.rate)}-D)" for o in operators) or "none"
            raise RestoreError(f"composing {found}: give operators of one number of axes.")
        self.operators = nn.ModuleList(operators)
        axes = range(len(operators[0].rate))
        self.rate = tuple(prod(o.rate[a] for o in operators) for a in axes)
        margin = [0 for _ in axes]
        for operator in operators:
            margin = [-(-m // r) + own for m, r, own in zip(margin, operator.rate, operator.margin, strict=True)]
        self.margin = tuple(margin)

    def forward(self, x: Tensor) -> Tensor:
        """All in their order."""
        for operator in self.operators:
            x = operator(x)
        return x

    def adjoint(self, y: Tensor) -> Tensor:
        """All adjoints in the opposite order."""
        for operator in reversed(self.operators):
            assert isinstance(operator, Operator)
            y = operator.adjoint(y)
        return y
