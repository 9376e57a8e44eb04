"""Blur by a point spread function, with mirrored borders or none; never circular."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.fft import next_fast_len
from torch import Tensor

from napari_restore.core.errors import RestoreError
from napari_restore.core.plan import reflected
from napari_restore.operators.matrices import apply_along, filter_matrix
from napari_restore.operators.operator import Border, Operator, interior

_SEPARABLE = 1e-6


class Blur(Operator):
    """Convolution with a kernel; ``rate`` 1.

    Parameters
    ----------
    kernel
        Odd along each of the last two or three axes. A PSF is non-negative and sums to 1; a filter need not.
    border
        ``"reflect"``: the image goes on mirrored. ``"valid"``: the result is smaller by the margin on each side.

    Attributes
    ----------
    powers_of_two
        Whether its Fourier transforms have such lengths alone; else those that are quick in torch.
    """

    powers_of_two = False

    def __init__(self, kernel: NDArray[np.floating], *, border: Border = "reflect") -> None:
        super().__init__()
        kernel = np.asarray(kernel, np.float64)
        if kernel.ndim not in (2, 3) or any(n % 2 == 0 for n in kernel.shape):
            raise RestoreError(
                f"a kernel of shape {kernel.shape}: it needs two or three axes of odd length, so that it has a centre."
            )
        self.border: Border = border
        self.rate = (1,) * kernel.ndim
        self.margin = tuple(n // 2 for n in kernel.shape)
        self._taps = separated(kernel)
        self.register_buffer("_kernel", torch.from_numpy(kernel).float(), persistent=False)
        self._kernel: Tensor
        self._spectra: dict[tuple[int, ...], Tensor] = {}

    @property
    def padding(self) -> tuple[int, ...]:
        """Pixels that are added to either side meanwhile: none where it is done axis by axis."""
        return self.margin if self._taps is None and self.border == "reflect" else (0,) * len(self.margin)

    def forward(self, x: Tensor) -> Tensor:
        """Blurred ``(B, C, *S)``; S less twice the margin with valid borders."""
        if self._taps is not None:
            return apply_along(x, self._matrices(x.shape[2:], x))
        if self.border == "reflect":
            x = mirrored(x, self.margin)
        return _crop(self._filtered(x, adjoint=False), self.margin)

    def adjoint(self, y: Tensor) -> Tensor:
        """The correlation with the same kernel, and what lies past the border folded back inside."""
        size = [n + 2 * m * (self.border == "valid") for n, m in zip(y.shape[2:], self.margin, strict=True)]
        if self._taps is not None:
            return apply_along(y, [None if m is None else m.T for m in self._matrices(size, y)])
        padding = [p for m in reversed(self.margin) for p in (m, m)]
        wide = self._filtered(torch.nn.functional.pad(y, padding), adjoint=True)
        return folded(wide, self.margin) if self.border == "reflect" else wide

    def _matrices(self, size: tuple[int, ...] | list[int] | torch.Size, like: Tensor) -> list[Tensor | None]:
        assert self._taps is not None
        return [
            None
            if taps == (1.0,)
            # A convolution lays its kernel mirrored over the image.
            else filter_matrix(taps[::-1], step=1, length=n, border=self.border, device=like.device, dtype=like.dtype)
            for taps, n in zip(self._taps, size, strict=True)
        ]

    def _filtered(self, x: Tensor, *, adjoint: bool) -> Tensor:
        """Convolved (or correlated); what wraps around is within ``margin`` of the borders, and of no use there.

        Pixels that near are cropped by who asks, or what wraps into them are the zeros that were padded with.
        """
        dims = tuple(range(2, x.ndim))
        least = (max(n, 2 * m + 1) for n, m in zip(x.shape[2:], self.margin, strict=True))
        size = tuple(1 << (n - 1).bit_length() if self.powers_of_two else next_fast_len(n, real=True) for n in least)
        spectrum = self._spectrum(size, x.device)
        with torch.autocast(x.device.type, enabled=False):
            product = torch.fft.rfftn(x.float(), s=size, dim=dims).mul_(spectrum.conj() if adjoint else spectrum)
            whole = torch.fft.irfftn(product, s=size, dim=dims)
        kept: Tensor = whole[(..., *(slice(n) for n in x.shape[2:]))]
        return kept.to(x.dtype)

    def _spectrum(self, size: tuple[int, ...], device: torch.device) -> Tensor:
        if size not in self._spectra or self._spectra[size].device != device:
            with torch.inference_mode(False):  # see `filter_matrix`
                self._spectra = {size: self._transfer(size, device), **dict(list(self._spectra.items())[:7])}
        return self._spectra[size]

    def _transfer(self, size: tuple[int, ...], device: torch.device) -> Tensor:
        padded = torch.zeros(size, device=device)
        padded[tuple(slice(n) for n in self._kernel.shape)] = self._kernel.to(device)
        spectrum: Tensor = torch.fft.rfftn(padded.roll([-m for m in self.margin], tuple(range(len(size)))))
        return spectrum


def separated(kernel: NDArray[np.floating]) -> tuple[tuple[float, ...], ...] | None:
    """One filter an axis whose outer product is the kernel; None where there are none."""
    total = kernel.sum()
    if abs(total) < 1e-12:
        return None
    axes = range(kernel.ndim)
    taps = [kernel.sum(tuple(a for a in axes if a != axis)) / total for axis in axes]
    product = total * (np.einsum("i,j->ij", *taps) if kernel.ndim == 2 else np.einsum("i,j,k->ijk", *taps))
    if np.abs(product - kernel).max() > _SEPARABLE * np.abs(kernel).max():
        return None
    taps[-1] = taps[-1] * total
    return tuple(tuple(float(v) for v in t) for t in taps)


def mirrored(x: Tensor, width: tuple[int, ...]) -> Tensor:
    """``x`` continued by so many pixels on each side of each of the last axes, mirrored as often as needed."""
    if all(w < n for w, n in zip(width, x.shape[-len(width) :], strict=True)):
        return torch.nn.functional.pad(x, [w for along in reversed(width) for w in (along, along)], mode="reflect")
    for axis, w in enumerate(width, start=x.ndim - len(width)):
        if w:
            n = x.shape[axis]
            x = x.index_select(axis, torch.from_numpy(reflected(-w, n + w, n)).to(x.device))
    return x


def folded(x: Tensor, width: tuple[int, ...]) -> Tensor:
    """The adjoint of ``mirrored``: what lies past the border added to the pixels it mirrors."""
    for axis, w in enumerate(width, start=x.ndim - len(width)):
        if w:
            n = x.shape[axis] - 2 * w
            shape = [*x.shape[:axis], n, *x.shape[axis + 1 :]]
            index = torch.from_numpy(reflected(-w, n + w, n)).to(x.device)
            x = x.new_zeros(shape).index_add_(axis, index, x)
    return x


def _crop(x: Tensor, width: tuple[int, ...]) -> Tensor:
    return x[(..., *interior(x.shape[-len(width) :], width))]
