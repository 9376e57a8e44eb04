"""Images made by formulas, for demos and tests, clean and noisy: fluorescence in 2-D, in 3-D and in time, and CT.

They need no download and no licence. Nothing in them is measured; the physics is that of textbooks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from napari_restore.core.geometry import Geometry
from napari_restore.core.region import Region
from napari_restore.sources.image import Image

_OFFSET = 100.0
_GAIN = 2.0
_READ_NOISE = 9.0
_PEAK_PHOTONS = 60.0
_BACKGROUND_PHOTONS = 6.0
_CT_NOISE = 50.0
BLUR = 2.0
"""Standard deviation in pixels of the Gaussian that ``blurred_cells`` is blurred with."""
BLURRED_NOISE = 8.0
"""Standard deviation in counts of the white noise of ``blurred_cells``."""

Floats = NDArray[np.float32]
SampleName = Literal["microscopy", "ct", "tissue", "blurred", "movie"]


def sample_image(name: SampleName) -> Image:
    """The noisy sample as an ``Image`` with pixel size and units."""
    return _image_of(name, _SAMPLES[name].make()[1])


def sample_with_truth(name: SampleName) -> tuple[Image, Image]:
    """The noisy sample, and what it would be without its noise, which is called after it."""
    clean, noisy = _SAMPLES[name].make()
    return _image_of(name, noisy), _image_of(name, clean, called=" truth")


def _image_of(name: SampleName, pixels: NDArray[Any], *, called: str = "") -> Image:
    sample = _SAMPLES[name]
    geometry = Geometry.of(sample.axes, pixels.shape, pixel_size=sample.pixel_size, units=sample.units)
    chunks = (*[1] * (pixels.ndim - 2), *pixels.shape[-2:])

    def read(region: Region) -> NDArray[Any]:
        return pixels[region.slices]

    notes = ("made by a formula, not measured", *sample.notes)
    return Image(f"{sample.title or f'{name} sample'}{called}", geometry, pixels.dtype, chunks, read, notes=notes)


def microscopy_stack(
    *, shape: tuple[int, int, int] = (24, 256, 256), seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.uint16]]:
    """A 3-D fluorescence stack: nuclei, a branching network and puncta, out of focus along Z.

    Returns
    -------
    clean, noisy
        Both in camera counts: ``offset 100 + gain 2 x photons``, 66 photons at the brightest; the noisy one with
        the Poisson noise of the photons and 9 counts (4.5 electrons) of Gaussian read noise.
    """
    rng = np.random.default_rng(seed)
    structure = _nuclei(shape, rng) + _network(shape, rng) + _puncta(shape, rng)
    blurred = ndimage.gaussian_filter(structure, (1.3, 1.0, 1.0)) + 0.25 * ndimage.gaussian_filter(structure, (4, 7, 7))
    photons = _BACKGROUND_PHOTONS + _PEAK_PHOTONS * np.minimum(blurred / np.percentile(blurred, 99.9), 1)
    clean = (_OFFSET + _GAIN * photons).astype(np.float32)
    counts = _OFFSET + _GAIN * rng.poisson(photons) + rng.normal(0, _READ_NOISE, shape)
    return clean, np.clip(np.rint(counts), 0, 65535).astype(np.uint16)


def ct_slices(
    *, shape: tuple[int, int, int] = (8, 256, 256), seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.int16]]:
    """CT-like slices of a chest in Hounsfield units: soft tissue, lungs with vessels, spongy bone.

    Returns
    -------
    clean, noisy
        The noisy one with white Gaussian noise of 50 HU, not cut off at the -1024 HU where scanners cut it, as that
        would shift the mean of air. (In a real scanner noise is correlated, too.)
    """
    rng = np.random.default_rng(seed)
    body = _chest(shape, rng)
    clean = ndimage.gaussian_filter(body, (0, 0.8, 0.8)).astype(np.float32)
    return clean, np.rint(clean + rng.normal(0, _CT_NOISE, shape)).astype(np.int16)


def tissue_stack(
    *, shape: tuple[int, int, int] = (24, 192, 192), seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.uint16]]:
    """A dim 3-D stack of a tissue: membranes of cells that touch, and bright vesicles, darker with depth.

    Returns
    -------
    clean, noisy
        Both in camera counts: ``offset 100 + gain 2 x photons``, about 20 photons on a membrane of the first planes
        and half as many in the last; the noisy one with the Poisson noise of the photons and 6 counts of Gaussian read
        noise, so that the variance is ``2 (clean - 100) + 36``.
    """
    rng = np.random.default_rng(seed)
    points = 0.9 * _membranes(shape, rng) + 2.5 * _puncta(shape, rng)
    blurred = ndimage.gaussian_filter(points, (0.9, 1.1, 1.1)) + 0.2 * ndimage.gaussian_filter(points, (3, 6, 6))
    depth = np.exp(-0.7 * np.linspace(0, 1, shape[0], dtype=np.float32))[:, None, None]
    photons = 3 + 18 * depth * np.minimum(blurred / np.percentile(blurred, 98), 2.5)
    clean = (_OFFSET + _GAIN * photons).astype(np.float32)
    return clean, _counted(photons, read_noise=6.0, rng=rng)


def blurred_cells(
    *, shape: tuple[int, int] = (256, 256), seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.uint16]]:
    """Nuclei, a network and vesicles in one plane, out of focus by a known amount.

    Returns
    -------
    sharp, blurred
        Both in camera counts; the blurred one is the sharp one convolved with a Gaussian of ``BLUR`` pixels standard
        deviation, mirrored at the borders, with white Gaussian noise of ``BLURRED_NOISE`` counts.
    """
    rng = np.random.default_rng(seed)
    thick = (5, *shape)
    structure = (_nuclei(thick, rng) + _network(thick, rng) + _puncta(thick, rng)).sum(0)
    fine = ndimage.gaussian_filter(structure, 0.8)
    sharp = (_OFFSET + 50 + 1500 * np.minimum(fine / np.percentile(fine, 99.8), 1)).astype(np.float32)
    counts = ndimage.gaussian_filter(sharp, BLUR) + rng.normal(0, BLURRED_NOISE, shape)
    return sharp, np.clip(np.rint(counts), 0, 65535).astype(np.uint16)


def particle_movie(
    *, shape: tuple[int, int, int] = (24, 192, 192), seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.uint16]]:
    """A short movie of a cell: vesicles that drift and tremble in front of a haze with a dark nucleus.

    Returns
    -------
    clean, noisy
        Both in camera counts: ``offset 100 + gain 2 x photons``; the noisy one with the Poisson noise of the photons
        and 6 counts of Gaussian read noise.
    """
    rng = np.random.default_rng(seed)
    cell = _cell(shape[1:], rng)
    photons = 3 + 9 * cell + 28 * _particles(shape, cell, rng)
    clean = (_OFFSET + _GAIN * photons).astype(np.float32)
    return clean, _counted(photons, read_noise=6.0, rng=rng)


@dataclass(frozen=True)
class _Sample:
    """How a sample is made, and what is told of it. Without a title it is called after its name."""

    make: Callable[[], tuple[NDArray[Any], NDArray[Any]]]
    axes: str
    pixel_size: Mapping[str, float]
    units: Mapping[str, str]
    title: str = ""
    notes: tuple[str, ...] = ()


_SAMPLES: Mapping[SampleName, _Sample] = {
    "microscopy": _Sample(
        microscopy_stack, "ZYX", {"Z": 0.3, "Y": 0.108, "X": 0.108}, dict.fromkeys("ZYX", "micrometer")
    ),
    "ct": _Sample(ct_slices, "ZYX", {"Z": 2.0, "Y": 0.7, "X": 0.7}, dict.fromkeys("ZYX", "millimeter")),
    "tissue": _Sample(
        tissue_stack,
        "ZYX",
        {"Z": 0.5, "Y": 0.13, "X": 0.13},
        dict.fromkeys("ZYX", "micrometer"),
        title="tissue z-stack",
    ),
    "blurred": _Sample(
        blurred_cells,
        "YX",
        {"Y": 0.1, "X": 0.1},
        dict.fromkeys("YX", "micrometer"),
        title=f"blurred cells, PSF gaussian {BLUR:g} px",
        notes=(f"PSF: gaussian:{BLUR:g}", f"white noise of {BLURRED_NOISE:g} counts"),
    ),
    "movie": _Sample(
        particle_movie,
        "TYX",
        {"T": 0.5, "Y": 0.11, "X": 0.11},
        {"T": "second", "Y": "micrometer", "X": "micrometer"},
        title="vesicle movie",
    ),
}


def _counted(photons: NDArray[Any], *, read_noise: float, rng: np.random.Generator) -> NDArray[np.uint16]:
    """What a camera says of so many photons a pixel."""
    counts = _OFFSET + _GAIN * rng.poisson(photons) + rng.normal(0, read_noise, photons.shape)
    return np.clip(np.rint(counts), 0, 65535).astype(np.uint16)


def _texture(shape: tuple[int, ...], scale: tuple[float, ...], rng: np.random.Generator) -> Floats:
    """Smooth random texture of zero mean and unit variance."""
    noise = ndimage.gaussian_filter(rng.standard_normal(shape, dtype=np.float32), scale)
    texture: Floats = ((noise - noise.mean()) / (noise.std() + 1e-9)).astype(np.float32)
    return texture


def _nuclei(shape: tuple[int, int, int], rng: np.random.Generator) -> Floats:
    """Ellipsoids with chromatin texture and dark nucleoli, some out of the middle plane."""
    depth, rows, columns = shape
    result = np.zeros(shape, np.float32)
    chromatin = 1 + 0.35 * _texture(shape, (1.0, 2.2, 2.2), rng) + 0.2 * _texture(shape, (1.5, 5, 5), rng)
    z, y, x = np.ogrid[:depth, :rows, :columns]
    for _ in range(max(2, rows * columns // 5500)):
        cz, cy, cx = rng.uniform((0.25 * depth, 0, 0), (0.75 * depth, rows, columns))
        rz, ry, rx = 0.22 * depth + 1, *rng.uniform(11, 19, 2)
        angle = rng.uniform(0, np.pi)
        u = (y - cy) * np.cos(angle) + (x - cx) * np.sin(angle)
        v = (x - cx) * np.cos(angle) - (y - cy) * np.sin(angle)
        inside = ((z - cz) / rz) ** 2 + (u / ry) ** 2 + (v / rx) ** 2
        result = np.maximum(result, np.clip(6 * (1 - inside), 0, 1).astype(np.float32) * rng.uniform(0.35, 0.6))
    nucleoli = np.clip(_texture(shape, (2, 3, 3), rng) - 1.4, 0, 1)
    nuclei: Floats = (result * np.clip(chromatin - 0.8 * nucleoli, 0.1, None)).astype(np.float32)
    return nuclei


def _network(shape: tuple[int, int, int], rng: np.random.Generator) -> Floats:
    """Filaments that wander, keep their direction for a while, and branch."""
    walkers = max(6, shape[1] * shape[2] // 1100)
    points = rng.uniform(0, shape, (walkers, 3))
    heading = rng.uniform(0, 2 * np.pi, walkers)
    bright = rng.uniform(0.5, 1.0, walkers)
    steps, tracks, weights = 420, [], []
    for _ in range(steps):
        heading = heading + rng.normal(0, 0.07, walkers)
        step = np.stack([rng.normal(0, 0.06, walkers), np.sin(heading), np.cos(heading)], 1) * 0.7
        points = points + step
        born = rng.random(walkers) < 0.004
        source = rng.integers(0, walkers, walkers)
        points = np.where(born[:, None], points[source], points)
        heading = np.where(born, heading[source] + rng.choice([-0.6, 0.6], walkers), heading)
        tracks.append(points.copy())
        weights.append(bright)
    return _splat(np.concatenate(tracks), 1.6 * np.concatenate(weights), shape)


def _puncta(shape: tuple[int, int, int], rng: np.random.Generator) -> Floats:
    """Vesicles: points of very different brightness."""
    count = max(12, int(np.prod(shape)) // 9000)
    return _splat(rng.uniform(0, shape, (count, 3)), rng.gamma(1.6, 4.0, count), shape)


def _splat(points: NDArray[Any], weights: NDArray[Any], shape: tuple[int, int, int]) -> Floats:
    """Points laid on the grid; those outside are lost."""
    index = np.floor(points).astype(int)
    inside = np.all((index >= 0) & (index < np.array(shape)), axis=1)
    flat = np.ravel_multi_index(tuple(index[inside].T), shape)
    grid = np.bincount(flat, weights[inside], minlength=int(np.prod(shape))).reshape(shape)
    splat: Floats = np.minimum(grid, 15.0).astype(np.float32)
    return splat


def _chest(shape: tuple[int, int, int], rng: np.random.Generator) -> Floats:
    """Hounsfield units of a chest: ellipses whose size changes a little from slice to slice."""
    depth, rows, columns = shape
    y = np.linspace(-1, 1, rows, dtype=np.float32)[None, :, None] * 1.15
    x = np.linspace(-1, 1, columns, dtype=np.float32)[None, None, :] * 1.15
    t = np.linspace(0, 1, depth, dtype=np.float32)[:, None, None]
    wobble = 0.03 * _texture(shape, (2, 14, 14), rng)

    def ellipse(cy: Any, cx: Any, ry: Any, rx: Any, rough: float = 0.0) -> NDArray[np.bool_]:
        inside: NDArray[np.bool_] = ((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 + rough * wobble < 1
        return inside

    image = np.full(shape, -1000, np.float32)
    image[ellipse(0, 0, 0.76, 1.02, 0.4)] = -95
    image[ellipse(0.0, 0, 0.69, 0.94, 1.2)] = 50
    for side in (-1, 1):
        lung = ellipse(-0.02, side * 0.47, 0.50 - 0.05 * t, 0.33 - 0.03 * t, 3.0)
        image[lung] = (-860 + 22 * _texture(shape, (1, 4, 4), rng))[lung]
        image[lung & (_vessels(shape, rng) > 0)] = 20
    image[ellipse(-0.14 + 0.03 * t, 0.10, 0.30, 0.28, 1.5)] = 45
    image[ellipse(-0.16 + 0.03 * t, 0.13, 0.17, 0.14, 1.5)] = 160
    image[ellipse(0.28, 0.14, 0.075, 0.075)] = 170
    image[ellipse(0.10, 0.0, 0.045, 0.055)] = -990
    return _bones(image, ellipse, rng)


def _bones(image: Floats, ellipse: Any, rng: np.random.Generator) -> Floats:
    """A vertebra, ribs and a breastbone: dense outside, spongy inside."""
    spongy = 230 + 90 * _texture(image.shape, (0.6, 1.2, 1.2), rng)
    parts = [(0.42, 0.0, 0.13, 0.17), (-0.62, 0.0, 0.045, 0.13)]
    parts += [
        (0.60 * np.sin(a), 0.86 * np.cos(a), 0.05, 0.065) for a in np.radians([-52, -18, 16, 48, 132, 164, 198, 232])
    ]
    for cy, cx, ry, rx in parts:
        image[ellipse(cy, cx, ry, rx, 0.8)] = 850
        inner = ellipse(cy, cx, ry * 0.72, rx * 0.78, 0.8)
        image[inner] = spongy[inner]
    image[ellipse(0.60, 0.0, 0.05, 0.055)] = 30
    image[ellipse(0.69, 0.0, 0.06, 0.03)] = 600
    return image


def _vessels(shape: tuple[int, int, int], rng: np.random.Generator) -> Floats:
    """Round and cut-along vessels of a lung, few large and many small."""
    fine = _texture(shape, (1.5, 1.4, 1.4), rng) > 2.05
    coarse = _texture(shape, (2.5, 3.0, 3.0), rng) > 1.95
    return (fine | coarse).astype(np.float32)


def _membranes(shape: tuple[int, int, int], rng: np.random.Generator) -> Floats:
    """Walls between cells: where the two nearest of some points are equally far away, in a space that is bent."""
    flatness = 3.0  # pixels along Z are longer
    size = np.array([flatness * shape[0], *shape[1:]], float)
    centres = rng.uniform(-0.1, 1.1, (max(8, int(np.prod(size)) // 42_000), 3)) * size
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1).astype(np.float32)
    grid *= (flatness, 1, 1)
    for axis, amount in enumerate((2.0, 3.0, 3.0)):
        grid[..., axis] += amount * _texture(shape, (2, 8, 8), rng)
    near, next_to = np.moveaxis(cKDTree(centres).query(grid, k=2)[0], -1, 0)
    uneven = np.clip(1 + 0.35 * _texture(shape, (1, 4, 4), rng), 0.2, None)
    walls: Floats = (np.exp(-(((next_to - near) / 2.0) ** 2)) * uneven).astype(np.float32)
    return walls


def _cell(shape: tuple[int, int], rng: np.random.Generator) -> Floats:
    """The haze of a flat cell, 0 outside it, about 1 inside, less in its nucleus."""
    y, x = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij")
    bent = 0.35 * _texture(shape, (18, 18), rng)
    body = np.clip(6 * (1 - (y / 0.8) ** 2 - (x / 0.9) ** 2 + bent), 0, 1)
    nucleus = np.clip(8 * (1 - ((y - 0.1) / 0.26) ** 2 - ((x + 0.15) / 0.33) ** 2), 0, 1)
    mottled = 1 + 0.25 * _texture(shape, (4, 4), rng)
    cell: Floats = np.clip(body * mottled * (1 - 0.75 * nucleus), 0, None).astype(np.float32)
    return cell


def _particles(shape: tuple[int, int, int], cell: Floats, rng: np.random.Generator) -> Floats:
    """Vesicles at places between pixels, 1 for a bright one: each with its own drift, and trembling."""
    times, rows, columns = shape
    starts = np.argwhere(cell > 0.5)
    starts = starts[rng.integers(0, len(starts), max(6, rows * columns // 600))]
    drift = rng.normal(0, 0.5, (len(starts), 2))
    steps = drift + rng.normal(0, 0.35, (times, len(starts), 2))
    places = starts + np.cumsum(steps, 0)
    bright = rng.gamma(3.0, 0.33, len(starts))
    along_y, along_x = (
        np.exp(-(((np.arange(n) - places[..., axis, None]) / 1.3) ** 2) / 2) for axis, n in enumerate((rows, columns))
    )
    movie: Floats = np.einsum("n,tny,tnx->tyx", bright, along_y, along_x, optimize=True).astype(np.float32)
    return movie
