"""A pool of whole blocks from which many patches are cut, so that a chunk is decoded once for many patches.

Blocks are read in the background and put in at fixed steps, so that the same seed gives the same patches
however fast the disk is.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, islice
from math import prod
from typing import Any, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.quasirandom import SobolEngine

from napari_restore.core.layout import to_samples
from napari_restore.core.normalisation import Normalisation, compressed
from napari_restore.core.plan import reflected
from napari_restore.core.region import Region
from napari_restore.methods.method import Batch
from napari_restore.sources import Image
from napari_restore.sources.retrying import read_again

LEARN, HELD_OUT, NEVER = 0, 1, 2
"""What a pixel is for: a target, a target of validation only, or (not measured, an outlier) no target at all."""

HELD_OUT_FRACTION = 0.01
_MOST_HIDDEN = 0.05
_BLOCK_BYTES = 64 * 2**20
_FIRST_BYTES = 64 * 2**20
_FLOAT = 4  # bytes
_STEPS_A_BLOCK = 8
_AHEAD = 2


@dataclass(frozen=True)
class Block:
    """A part of one image, as large as every other block of the pool.

    ``partner`` is the image's second acquisition or clean version, which has ``rate`` pixels for one of the image.
    """

    number: int
    image: Image
    region: Region
    partner: Image | None = None


@dataclass(frozen=True, eq=False)
class Sample:
    """A block and its pixels ``(1, C, *S)``, in the image's units; its partner's ``(1, C, *(S * rate))``.

    ``outliers`` are among the pixels, which show what lies around them. ``unusable`` pixels were not finite as stored.
    """

    block: Block
    pixels: NDArray[Any]
    partner: NDArray[Any] | None = None
    outliers: NDArray[np.bool_] | None = None
    unusable: int = 0


@dataclass(frozen=True, eq=False)
class _Places:
    """Where patches lie in the pool's blocks, and how they are turned; one entry a patch, ``corners`` in pixels."""

    block: Tensor
    corners: Tensor
    flips: Tensor
    swap: Tensor | None


class Blocks(Sequence[Block]):
    """Blocks that cover images, made when asked for: 95 000 of them, as of 50 GB, would take seconds to list."""

    def __init__(self, covers: Sequence[tuple[Image, Image | None, Sequence[int]]]) -> None:
        self._covers = [(image, partner, shape, _starts(image.shape, shape)) for image, partner, shape in covers]
        self._ends = np.cumsum([prod(map(len, starts)) for *_, starts in self._covers]).tolist()

    def __len__(self) -> int:
        return int(self._ends[-1])

    @overload
    def __getitem__(self, index: int) -> Block: ...
    @overload
    def __getitem__(self, index: slice) -> list[Block]: ...
    def __getitem__(self, index: int | slice) -> Block | list[Block]:
        """A block by its number, or several as a list."""
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        number = int(index) % len(self)
        which = bisect_right(self._ends, number)
        image, partner, shape, starts = self._covers[which]
        place = np.unravel_index(number - (self._ends[which - 1] if which else 0), [len(s) for s in starts])
        corner = tuple(s[i] for s, i in zip(starts, place, strict=True))
        return Block(number, image, Region(corner, tuple(a + b for a, b in zip(corner, shape, strict=True))), partner)


def cut_blocks(
    images: Sequence[Image], *, spatial: str, patch: Sequence[int], partners: Sequence[Image] | None = None
) -> Blocks:
    """Equal blocks that cover all images: whole chunks where possible, and several patches wide."""
    shapes = [_block_shape(image, spatial=spatial, patch=patch) for image in images]
    along = {a: min(s[image.axes.index(a)] for s, image in zip(shapes, images, strict=True)) for a in spatial}
    mates: Sequence[Image | None] = partners or [None] * len(images)
    return Blocks(
        [
            (image, mate, [along.get(a, n if a == "C" else 1) for a, n in zip(image.axes, image.shape, strict=True)])
            for image, mate in zip(images, mates, strict=True)
        ]
    )


def _block_shape(image: Image, *, spatial: str, patch: Sequence[int]) -> list[int]:
    wanted = dict(zip(spatial, patch, strict=True))
    shape = [
        min(n, max(chunk, 4 * wanted[a])) if a in spatial else (n if a == "C" else 1)
        for a, n, chunk in zip(image.axes, image.shape, image.chunks, strict=True)
    ]
    halved = [image.axes.index(a) for a in spatial]
    while prod(shape) * 4 > _BLOCK_BYTES:
        longest = max(halved, key=lambda i: shape[i])
        if shape[longest] <= 4 * wanted[image.axes[longest]]:
            break
        shape[longest] = -(-shape[longest] // 2)
    return shape


def _starts(shape: Sequence[int], block: Sequence[int]) -> list[list[int]]:
    """Along each axis, where boxes of exactly ``block`` start; the last one ends where the image does."""
    return [[*range(0, n - b, b), n - b] for n, b in zip(shape, block, strict=True)]


def held_out(
    shape: Sequence[int], corner: Sequence[int], *, seed: int, fraction: float = HELD_OUT_FRACTION
) -> NDArray[np.bool_]:
    """Which pixels of a box never are a target: a hash of their position, so that overlapping blocks agree."""
    key = np.full((1,) * len(shape), seed, dtype=np.uint64)
    for axis, (n, first) in enumerate(zip(shape, corner, strict=True)):
        along = np.arange(first, first + n, dtype=np.uint64).reshape(
            [-1 if a == axis else 1 for a in range(len(shape))]
        )
        # splitmix64 (Steele, Lea, Flood 2014, doi:10.1145/2660193.2660195), once an axis
        key = (key + along + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        key = (key ^ (key >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        key = (key ^ (key >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        key ^= key >> np.uint64(31)
    return key < np.uint64(int(fraction * 2**64))


class PatchPool:
    """Blocks in memory, normalised, on the training device.

    Parameters
    ----------
    blocks
        From ``cut_blocks``.
    spatial
        Axes of a patch.
    memory
        Bytes the pool may take. When all blocks fit, each is read once and stays.
    seed
        Fixes the order of blocks and which pixels are held out.
    normalisation
        Constants to use instead of those measured on the first blocks.
    rate
        Pixels of a partner to one of its image along each spatial axis; 1 where none are given.
    gaps
        What stands for a pixel that is not finite: 0, which is the mean, or NaN.
    compress
        Whether what lies far from all else is brought nearer, as the method says.
    beside
        Planes to either end of a patch, along its first axis, that are only looked at: the ends of the image are
        mirrored there, and no pixel of them is judged.
    held_out
        Fraction of the pixels that are no targets.
    """

    def __init__(
        self,
        blocks: Sequence[Block],
        *,
        spatial: str,
        memory: int,
        seed: int,
        device: torch.device,
        normalisation: Normalisation | None = None,
        rate: Sequence[int] = (),
        gaps: float = 0.0,
        compress: bool = False,
        beside: int = 0,
        held_out: float = HELD_OUT_FRACTION,
    ) -> None:
        self._held_out = held_out
        self._gaps, self._compressed, self._beside = gaps, compress, beside
        self._rate = tuple(rate) or (1,) * len(spatial)
        self._blocks, self._spatial, self._seed, self._device = blocks, spatial, seed, device
        rng = np.random.default_rng([seed, 1])
        self._order = self._endless(rng)
        start = self._read(next(self._order))
        first = start.pixels
        partner = _FLOAT * start.partner.size if start.partner is not None else 0
        self.capacity = int(min(len(blocks), max(1, memory // ((_FLOAT + 1) * first.size + partner))))
        count = int(min(self.capacity, max(1, _FIRST_BYTES // (_FLOAT * first.size + partner))))
        self._reader = ThreadPoolExecutor(2, thread_name_prefix="napari-restore read")
        samples = [start, *self._reader.map(self._read, islice(self._order, count - 1))]
        self.normalisation = normalisation or Normalisation.measure([s.pixels for s in samples])
        self.unusable = sum(s.unusable for s in samples)
        shape = (self.capacity, *first.shape[2:])
        self._pixels = torch.zeros((*shape, first.shape[1]), device=device)
        self._role = torch.full((*shape, 1), NEVER, dtype=torch.uint8, device=device)
        self._past = torch.zeros(2, self.capacity, dtype=torch.long)
        self._partner: Tensor | None = None
        if start.partner is not None:
            finer = (self.capacity, *start.partner.shape[2:], first.shape[1])
            self._partner = torch.zeros(finer, device=device)
        mirror = reflected(-beside, shape[1] + beside, shape[1], apart=max(1, beside))
        self._mirror = torch.from_numpy(mirror)
        self._filled, self._put = 0, 0
        for sample in samples:
            self._store(sample)
        self._coming: list[tuple[Block, Future[Sample]]] = []
        if not self.resident:
            self._coming = [self._request(block) for block in islice(self._order, _AHEAD)]

    @property
    def resident(self) -> bool:
        """Whether every block is in the pool, for good."""
        return self._filled == len(self._blocks)

    @property
    def paired(self) -> bool:
        """Whether images have partners."""
        return self._partner is not None

    @property
    def learnable(self) -> bool:
        """Whether any pixel is a target. Waits for the device."""
        return bool((self._role[: self._filled] != NEVER).any())

    @property
    def block_shape(self) -> tuple[int, ...]:
        """Pixels of a block along the spatial axes."""
        return tuple(self._pixels.shape[1:-1])

    @property
    def pixels(self) -> int:
        """Of one channel of all that it draws from, whether or not they are in it now."""
        return len(self._blocks) * prod(self.block_shape)

    def advance(self, step: int) -> None:
        """Put in the next block where it is time: every step while the pool fills, then one in eight."""
        filling = self._filled < self.capacity
        if self.resident or not (filling or step % _STEPS_A_BLOCK == 0):
            return
        _, coming = self._coming.pop(0)
        self._store(coming.result())
        if not self.resident:
            self._coming.append(self._request(next(self._order)))

    def skip(self, steps: int) -> None:
        """Be as a new pool is after ``advance`` at each of the first ``steps`` steps.

        What would have been replaced since is not read: going on after a long training costs one filling of the pool.
        """
        filling = min(steps, self.capacity - self._filled)
        puts = filling
        if self.capacity < len(self._blocks):
            puts += -(-steps // _STEPS_A_BLOCK) - -(-filling // _STEPS_A_BLOCK)
        for _, future in self._coming:
            future.cancel()
        order = chain([block for block, _ in self._coming], self._order)
        replaced = max(0, puts - self.capacity)
        self._put += len(list(islice(order, replaced)))
        for block in islice(order, puts - replaced):
            self._store(self._read(block))
        self._coming = [] if self.resident else [self._request(block) for block in islice(order, _AHEAD)]

    def draw(self, batch: int, patch: Sequence[int], rng: torch.Generator, *, turn: bool = True) -> Batch:
        """Random patches ``(B, C, *S)``, flipped and (in Y and X) rotated at random."""
        places = self._places(batch, patch, rng, turn=turn)
        index = self._pixels_at(places, patch)
        target = (self._role[index] == LEARN).movedim(-1, 1)
        return Batch(self._pixels[index].movedim(-1, 1), target, None, self._partners(places, patch))

    def draw_held_out(self, batch: int, patch: Sequence[int], rng: torch.Generator) -> Batch:
        """Patches whose targets are held-out pixels alone, and those hidden; they are spread over all there is."""
        places = self._spread(batch, patch, rng)
        index = self._pixels_at(places, patch)
        target = (self._role[index] == HELD_OUT).movedim(-1, 1)
        judged = prod(patch)
        if self._beside:
            target[:, :, : self._beside] = target[:, :, -self._beside :] = False
            judged = judged * (patch[0] - 2 * self._beside) // patch[0]
        count = max(1, int(min(self._held_out, _MOST_HIDDEN) * judged))
        # Random keys with the held-out pixels first: the same number is hidden in every patch.
        keys = torch.rand(batch, prod(patch), generator=rng) + target.flatten(1).cpu()
        if self._beside:
            ends = keys.view(batch, *patch)
            ends[:, : self._beside] = ends[:, -self._beside :] = -1
        hidden = keys.topk(count, dim=1).indices
        return Batch(self._pixels[index].movedim(-1, 1), target, hidden, self._partners(places, patch))

    def close(self) -> None:
        """Stop reading."""
        self._reader.shutdown(wait=True, cancel_futures=True)

    def _places(self, batch: int, patch: Sequence[int], rng: torch.Generator, *, turn: bool) -> _Places:
        block = torch.randint(self._filled, (batch,), generator=rng)
        axes = len(patch)
        inside = [max(1, n - p + 1) for n, p in zip(self.block_shape, patch, strict=True)]
        corners = torch.stack([torch.randint(n, (batch,), generator=rng) for n in inside])
        if self._beside:
            corners[0] = self._first_planes(block, patch, torch.rand(batch, generator=rng))
        flips = torch.randint(2, (axes, batch), generator=rng).bool() & turn
        square = turn and patch[-1] == patch[-2] and self._rate[-1] == self._rate[-2]
        swap = torch.randint(2, (batch,), generator=rng).bool() if square else None
        return _Places(block, corners, flips, swap)

    def _spread(self, batch: int, patch: Sequence[int], rng: torch.Generator) -> _Places:
        """Places as even as those of a net (Sobol 1967, doi:10.1016/0041-5553(67)90144-9), borders as often as others.

        A corner at random is seldom near a border, and few patches at random leave parts of an image out.
        """
        seed = int(torch.randint(2**31, (), generator=rng))
        engine = SobolEngine(1 + len(patch), scramble=True, seed=seed)  # type: ignore[no-untyped-call]
        at = engine.draw(batch).T
        lengths = zip(at[1:], self.block_shape, patch, strict=True)
        corners = torch.stack([(u * n - p / 2).round().long().clamp(0, max(0, n - p)) for u, n, p in lengths])
        block = (at[0] * self._filled).long()
        if self._beside:
            corners[0] = self._first_planes(block, patch, at[1])
        return _Places(block, corners, torch.zeros(len(patch), batch, dtype=torch.bool), None)

    def _first_planes(self, block: Tensor, patch: Sequence[int], at: Tensor) -> Tensor:
        """Where patches begin along the first axis, planes beyond a block that are only looked at counted; 0 to 1."""
        before, after = self._past[:, block]
        corners: Tensor = (at * (self.block_shape[0] - patch[0] + 1 + before + after)).long() - before
        return corners

    def _pixels_at(self, places: _Places, patch: Sequence[int]) -> tuple[Tensor, ...]:
        """Indices of the patches at these places."""
        return self._indices(places, patch, (1,) * len(patch))

    def _partners(self, places: _Places, patch: Sequence[int]) -> Tensor | None:
        """What lies at these places in the partners."""
        if self._partner is None:
            return None
        return self._partner[self._indices(places, patch, self._rate)].movedim(-1, 1)

    def _indices(self, places: _Places, patch: Sequence[int], rate: Sequence[int]) -> tuple[Tensor, ...]:
        """Indices into arrays with ``rate`` pixels for one along each axis."""
        axes, batch = len(patch), len(places.block)
        index = [places.block.view(-1, *[1] * axes)]
        for axis, (n, r) in enumerate(zip(patch, rate, strict=True)):
            length = n * r
            along = torch.arange(length).expand(batch, -1)
            along = torch.where(places.flips[axis][:, None], length - 1 - along, along)
            along = along + places.corners[axis][:, None] * r
            if axis == 0 and self._beside:
                along = self._mirror[along + self._beside]
            index.append(along.view(batch, *[-1 if a == axis else 1 for a in range(axes)]))
        if places.swap is not None:
            swap = places.swap.view(-1, *[1] * axes)
            rows, columns = index[-2], index[-1]
            index[-2] = torch.where(swap, rows.transpose(-1, -2), rows)
            index[-1] = torch.where(swap, columns.transpose(-1, -2), columns)
        return tuple(i.to(self._device, non_blocking=True) for i in index)

    def _endless(self, rng: np.random.Generator) -> Iterator[Block]:
        while True:
            for number in rng.permutation(len(self._blocks)):
                yield self._blocks[int(number)]

    def _request(self, block: Block) -> tuple[Block, Future[Sample]]:
        return block, self._reader.submit(self._read, block)

    def _read(self, block: Block) -> Sample:
        image = block.image
        # Without what lies around the block: chunks that are no part of it would have to be read for it.
        seen = image.rule.apply(read_again(image, block.region), image.axes)
        pixels = to_samples(seen.values, image.axes, self._spatial)
        outliers = None if seen.outliers is None else to_samples(seen.outliers, image.axes, self._spatial)
        unusable = _not_finite(seen.pixels)
        if block.partner is None:
            return Sample(block, pixels, None, outliers, unusable)
        rates = dict(zip(self._spatial, self._rate, strict=True))
        region = block.region.scale([rates.get(a, 1) for a in block.image.axes])
        mate = block.partner.rule.apply(read_again(block.partner, region), block.partner.axes)
        partner = to_samples(mate.measured, block.partner.axes, self._spatial)
        return Sample(block, pixels, partner, outliers, unusable + _not_finite(mate.pixels))

    def _store(self, read: Sample) -> None:
        slot = self._put % self.capacity
        block, sample = read.block, read.pixels
        finite = np.isfinite(sample[0]).all(0)
        if read.outliers is not None:
            finite &= ~read.outliers[0].any(0)
        if read.partner is not None and self._partner is not None:
            known = np.isfinite(read.partner[0]).all(0)
            for axis, rate in enumerate(self._rate):
                known = np.stack([known.take(range(k, known.shape[axis], rate), axis) for k in range(rate)]).all(0)
            finite &= known
            clean = np.where(np.isfinite(read.partner), self._shown(read.partner), 0)
            self._partner[slot] = torch.from_numpy(np.moveaxis(clean[0], 0, -1).copy()).to(self._device)
        if self._beside:
            at = block.image.axes.index(self._spatial[0])
            ends = block.region.start[at] == 0, block.region.stop[at] == block.image.shape[at]
            self._past[:, slot] = torch.tensor(ends) * self._beside
        corner = dict(zip(block.image.axes, block.region.start, strict=True))
        place = [corner[a] for a in self._spatial]
        held = held_out(finite.shape, place, seed=self._seed, fraction=self._held_out)
        role = np.where(finite, np.where(held, HELD_OUT, LEARN), NEVER).astype(np.uint8)
        pixels = np.where(np.isfinite(sample), self._shown(sample), np.float32(self._gaps))
        self._pixels[slot] = torch.from_numpy(np.moveaxis(pixels[0], 0, -1).copy()).to(self._device)
        self._role[slot, ..., 0] = torch.from_numpy(role).to(self._device)
        self._put += 1
        self._filled = min(self._put, self.capacity)

    def _shown(self, samples: NDArray[Any]) -> NDArray[np.float32]:
        """Samples as the network learns from them, with finite numbers for what is finite."""
        units = self.normalisation.apply(samples)
        return compressed(units) if self._compressed else units


def _not_finite(pixels: NDArray[Any]) -> int:
    return int(np.count_nonzero(~np.isfinite(pixels))) if pixels.dtype.kind == "f" else 0
