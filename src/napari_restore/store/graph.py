"""What a model does to pixels as an ONNX graph: a file that any runtime can run, without this package or torch."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from napari_restore.core.errors import ModelError
from napari_restore.methods.apply import in_units, shown
from napari_restore.methods.llvm import keep_llvms_apart
from napari_restore.methods.method import Method
from napari_restore.operators.blur import Blur
from napari_restore.operators.matrices import filter_matrix

OPSET = 18
_MOST = 2**14
"""Pixels along an axis, at most."""


class _Restoring(nn.Module):
    """Pixels in units of the image's deviation as they are restored, in these units."""

    def __init__(self, method: Method) -> None:
        super().__init__()
        self.method = method

    def forward(self, pixels: Tensor) -> Tensor:
        return in_units(self.method, self.method.restore(shown(self.method, pixels)), pixels)


def any_size(method: Method) -> bool:
    """Whether its graph takes images of any size on its grid. What undoes an operator has matrices for one size."""
    return method.undoes is None and set(method.rate) == {1}


def write_graph(method: Method, path: Path, *, sides: Sequence[int], least: Sequence[int]) -> None:
    """Write what ``method.restore`` does for one image ``(1, C, *S)`` in units of its deviation.

    Parameters
    ----------
    sides
        Of the image, in whole steps of the method's grid: of every one where there is but one size, and otherwise of
        the one that the graph is traced with.
    least
        Of pixels along each spatial axis, where there is more than one size; below ``sides``.

    Raises
    ------
    ModelError
        If it does something that ONNX has no word for, or the libraries that write it are not installed.
    """
    keep_llvms_apart()  # an export asks for no device
    method = copy.deepcopy(method).eval().float().cpu()  # tracing leaves its own kind of tensors in what it touches
    for operator in method.modules():
        if isinstance(operator, Blur):
            operator.powers_of_two = True  # of other lengths onnxruntime's transforms are 500 times less exact: 5e-5
    shapes: tuple[dict[int, Any], ...] | None = None
    if any_size(method):
        steps = {}
        for axis, (name, grid, shortest) in enumerate(zip(method.spatial, method.grid, least, strict=True), start=2):
            count = torch.export.Dim(f"{name.lower()}_steps", min=shortest // grid, max=_MOST // grid)
            steps[axis] = grid * count if grid > 1 else count
        shapes = (steps,)
    example = torch.zeros(1, method.channels, *sides)
    try:
        with torch.no_grad(), _quietly():
            _Restoring(method)(example.clone())  # matrices of this size are made now, and become constants of the graph
            graph = torch.onnx.export(
                _Restoring(method),
                (example,),
                dynamo=True,
                dynamic_shapes=shapes,
                input_names=["image"],
                output_names=["restored"],
                opset_version=OPSET,
                verbose=False,
            )
        assert graph is not None
        graph.save(path, external_data=False)
    except ImportError as error:
        raise ModelError(
            f'{error.name or error} is not installed: a model is exported with pip install "napari-restore[export]".'
        ) from None
    except (torch.onnx.errors.OnnxExporterError, RuntimeError, TypeError, ValueError) as error:
        raise ModelError(
            f"{method.label} does what ONNX has no word for ({_first_cause(error)}): share its .safetensors file, "
            "which napari-restore reads."
        ) from None
    finally:
        filter_matrix.cache_clear()  # others of tracing's kind


def _first_cause(error: BaseException) -> str:
    """What it began with, in a line."""
    while error.__cause__ is not None:
        error = error.__cause__
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:120]


@contextmanager
def _quietly() -> Iterator[None]:
    """Without what the exporter says of itself, pages of it where it fails."""
    loggers = [logging.getLogger(name) for name in list(logging.root.manager.loggerDict) if name.startswith("torch")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
