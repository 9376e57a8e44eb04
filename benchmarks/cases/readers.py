"""Files as microscopes, scanners and people leave them: several positions, channels in turn, stopped, slides, names."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import tifffile
from scipy.ndimage import gaussian_filter

from napari_restore import denoise, denoise_events, open_image, restore_folder, train

OME = 'xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"'
TINY: dict[str, Any] = {"steps": 5, "width": 4, "depth": 1, "patch": (32, 32), "batch": 2, "device": "cpu"}
SMALL: dict[str, Any] = {"method": "noise2void", **TINY}


def said(work: Callable[[], str]) -> str:
    """Its figure, or the error that it ends in: of a refusal its words, of all else that it is one."""
    try:
        return work()
    except ValueError as error:
        own = type(error).__module__.startswith("napari_restore")
        return f"{'refused' if own else 'TRACEBACK ' + type(error).__name__}: {str(error)[:160]}"
    except Exception as error:  # noqa: BLE001  what a user would see as a traceback
        return f"TRACEBACK {type(error).__name__}: {str(error)[:120]}"


def shown(image: Any) -> str:
    return f"{image.axes} {'x'.join(map(str, image.shape))}"


def pages(path: Path, planes: Sequence[Any], first: str | None, **options: Any) -> Path:
    with tifffile.TiffWriter(path, bigtiff="software" in options) as tif:
        for i, plane in enumerate(planes):
            tif.write(plane, description=None if i else first, metadata=None, contiguous=False, **options)
    return path


def position_set(folder: Path, count: int = 3) -> list[Path]:
    """An OME-TIFF of stage positions, a file each, every one with the description of all; the mean tells which."""
    images = "".join(
        f'<Image ID="Image:{p}" Name="Site {p}"><Pixels ID="Pixels:{p}" DimensionOrder="XYZCT" Type="uint16" '
        f'SizeX="72" SizeY="64" SizeZ="1" SizeC="1" SizeT="4"><Channel ID="Channel:{p}:0" SamplesPerPixel="1"/>'
        + "".join(
            f'<TiffData FirstT="{t}" IFD="{t}" PlaneCount="1"><UUID FileName="run_{p}.ome.tif">urn:uuid:{p}</UUID>'
            "</TiffData>"
            for t in range(4)
        )
        + "</Pixels></Image>"
        for p in range(count)
    )
    files = []
    for p in range(count):
        planes = np.random.default_rng(p).poisson(500 * (p + 1), (4, 64, 72)).astype(np.uint16)
        xml = f'<?xml version="1.0" encoding="UTF-8"?><OME {OME} UUID="urn:uuid:{p}">{images}</OME>'
        files.append(pages(folder / f"run_{p}.ome.tif", planes, xml))
    return files


def positions(folder: Path) -> str:
    means = [float(np.asarray(open_image(file)).mean()) for file in position_set(folder)]
    return f"means {', '.join(f'{mean:.0f}' for mean in means)} of files with 500, 1000, 1500"


def batch_of_positions(folder: Path) -> str:
    raw = folder / "raw"
    raw.mkdir()
    files = position_set(raw)
    model = train(files[0], "noise2void", **TINY)
    restore_folder(raw, model, output=folder / "out")
    results = [np.asarray(open_image(file)).tobytes() for file in sorted((folder / "out").glob("*.tif"))]
    return f"{len(results)} results, {len(set(results))} of them different"


def scanimage(folder: Path) -> str:
    header = (
        "SI.VERSION_MAJOR = '2019b'\nSI.hChannels.channelSave = [1;2]\nSI.hStackManager.framesPerSlice = 15\n"
        "SI.hStackManager.numSlices = 1\nSI.hFastZ.enable = false\n"
    )
    planes = np.random.default_rng(0).poisson(20, (30, 64, 72)).astype(np.int16)
    planes[1::2] += 500
    return shown(open_image(pages(folder / "two.tif", planes, "frameNumbers = 1\n", software=header)))


def folder_of(names: Sequence[str]) -> Callable[[Path], str]:
    def work(folder: Path) -> str:
        for i, name in enumerate(names):
            tifffile.imwrite(folder / f"{name}.tif", np.full((64, 72), i, np.uint16))
        return shown(open_image(folder))

    return work


def light(shape: tuple[int, ...], seed: int, low: float, high: float) -> Any:
    made = gaussian_filter(np.random.default_rng(seed).normal(size=shape), 3)
    return low + (high - low) * (made - made.min()) / np.ptp(made)


def in_turn(folder: Path) -> str:
    """Dim planes (5 to 40 photons) and bright ones (500 to 8000) in turn, opened as they are: what is said of them?"""
    clean = np.stack([light((96, 96), k, *((5, 40), (500, 8000))[k % 2]) for k in range(24)])
    noisy = np.random.default_rng(1).poisson(clean).astype(np.uint16)
    notes, events = [], denoise_events(noisy, axes="ZYX", seconds=15)
    while True:
        try:
            event = next(events)
        except StopIteration as end:
            result = np.asarray(end.value, np.float64)
            break
        notes += [f"[{event.level}] {event.text}"] if type(event).__name__ == "Note" else []
    rmse = [float(np.sqrt(np.square(x - clean)[::2].mean())) for x in (noisy, result)]
    told = [note for note in notes if re.search(r"channels|stay noisy|dB more", note)]
    return f"dim planes {rmse[0]:.2f} -> {rmse[1]:.2f}; said: {' / '.join(note[:90] for note in told)}"


def stopped(kind: str) -> Callable[[Path], str]:
    def work(folder: Path) -> str:
        planes = np.random.default_rng(0).integers(100, 200, (6, 64, 72)).astype(np.uint16)
        blocks = {
            "every": "".join(f'<TiffData FirstT="{t}" IFD="{t}" PlaneCount="1"/>' for t in range(10)),
            "those there": "".join(f'<TiffData FirstT="{t}" IFD="{t}" PlaneCount="1"/>' for t in range(6)),
            "one": "<TiffData/>",
        }
        xml = (
            f'<?xml version="1.0" encoding="UTF-8"?><OME {OME}><Image ID="Image:0"><Pixels ID="Pixels:0" '
            'DimensionOrder="XYZCT" Type="uint16" SizeX="72" SizeY="64" SizeZ="1" SizeC="1" SizeT="10">'
            f'<Channel ID="Channel:0:0" SamplesPerPixel="1"/>{blocks.get(kind)}</Pixels></Image></OME>'
        )
        imagej = "ImageJ=1.54f\nimages=10\nframes=10\nunit=micron\nloop=false\n"
        return shown(open_image(pages(folder / "a.ome.tif", planes, imagej if kind == "ImageJ" else xml)))

    return work


def used(folder: Path) -> str:
    """The option that the older tree lacks."""
    planes = np.random.default_rng(0).integers(100, 200, (7, 64, 72)).astype(np.uint16)
    path = pages(folder / "a.tif", planes, "ImageJ=1.54f\nimages=12\nchannels=2\nframes=6\nunit=micron\n")
    return shown(open_image(path, incomplete="use"))


def taken_apart(folder: Path) -> str:
    """The other one."""
    return shown(open_image(np.zeros((40, 64, 72), np.uint16), axes="TC(2)YX"))


def slide(folder: Path) -> str:
    from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    whole = np.random.default_rng(0).integers(0, 255, (400, 600, 3)).astype(np.uint8)
    padded = np.pad(whole, ((0, 112), (0, 168), (0, 0)))
    tiles = [padded[y : y + 256, x : x + 256] for y in range(0, 512, 256) for x in range(0, 768, 256)]
    meta = FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPInstanceUID = ExplicitVRLittleEndian, generate_uid()
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.77.1.6"
    data = FileDataset("a", {}, file_meta=meta, preamble=b"\0" * 128)
    facts = {
        "Modality": "SM", "Rows": 256, "Columns": 256, "NumberOfFrames": len(tiles), "SamplesPerPixel": 3,
        "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0, "BitsAllocated": 8, "BitsStored": 8, "HighBit": 7,
        "PixelRepresentation": 0, "SeriesInstanceUID": generate_uid(), "DimensionOrganizationType": "TILED_FULL",
        "TotalPixelMatrixRows": 400, "TotalPixelMatrixColumns": 600,
    }  # fmt: skip
    for word, value in facts.items():
        setattr(data, word, value)
    measures, shared = Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [0.0005, 0.0005], 0.001
    shared.PixelMeasuresSequence, data.SharedFunctionalGroupsSequence = [measures], [shared]
    data.PixelData = np.stack(tiles).tobytes()
    data["PixelData"].VR = "OB"
    data.save_as(folder / "slide.dcm", enforce_file_format=True)
    image = open_image(folder / "slide.dcm")
    same = image.shape == whole.shape and np.array_equal(image.read(), whole)
    return f"{shown(image)}, {'the pixels of the slide' if same else 'other pixels'}"


def unknown_length(folder: Path) -> str:
    import dask.array as da

    frames = da.ones((8, 64, 72), chunks=(2, 64, 72))
    return shown(open_image(frames[frames.mean((1, 2)) > 0]))


def long_file(folder: Path) -> str:
    path = folder / f"{'胚の時系列_' * 14}.tif"
    tifffile.imwrite(path, np.random.default_rng(0).poisson(100, (64, 72)).astype(np.uint16))
    return f"a name of {len(path.name.encode())} bytes: {denoise(path, **SMALL).shape}"


def long_output(folder: Path) -> str:
    path = folder / f"{'b' * 240}.ome.zarr"
    denoise(np.random.default_rng(0).poisson(100, (64, 72)).astype(np.uint16), output=path, axes="YX", **SMALL)
    return f"a name of {len(path.name)} bytes: {open_image(path).shape}"


def long_layer(folder: Path) -> str:
    from napari.layers import Image

    layer = Image(np.random.default_rng(0).poisson(100, (64, 72)).astype(np.uint16), name="layer " * 50)
    return f"a name of {len(layer.name)} letters: {denoise(layer, **SMALL).shape}"


def case(work: Callable[[Path], str]) -> Callable[[], str]:
    """In a folder of its own, which is removed."""

    def run() -> str:
        with TemporaryDirectory(prefix="napari-restore-cases-") as folder:
            return said(lambda: work(Path(folder)))

    return run


MICROMANAGER = [f"img_channel{c:03d}_position000_time{t:09d}_z000" for c in range(2) for t in range(5)]
LEICA = [f"Series001_z{z:02d}_ch{c:02d}" for z in range(4) for c in range(2)]

CASES: dict[str, Callable[[], str]] = {
    "1 three positions, each file with the XML of all": case(positions),
    "1 batch over these files": case(batch_of_positions),
    "4 ScanImage, two channels in turn, 30 pages": case(scanimage),
    "4 folder of Micro-Manager, 2 channels x 5 times": case(folder_of(MICROMANAGER)),
    "4 folder of Leica, 4 planes x 2 channels": case(folder_of(LEICA)),
    "4 dim and bright planes in turn, as ZYX": case(in_turn),
    "4 axes TC(2)YX of 40 planes (new)": case(taken_apart),
    "5 OME, 6 of 10 times, TiffData for each of 10": case(stopped("every")),
    "5 OME, 6 of 10 times, TiffData for those there": case(stopped("those there")),
    "5 OME, 6 of 10 times, one TiffData": case(stopped("one")),
    "5 ImageJ, 6 of 10 images": case(stopped("ImageJ")),
    "5 ImageJ, 7 of 12 images of 2 channels, used (new)": case(used),
    "6 slide of 400 x 600 in tiles of 256 (TILED_FULL)": case(slide),
    "11 dask array of unknown length": case(unknown_length),
    "11 TIFF with a long name in Japanese": case(long_file),
    "11 output with a name of 249 bytes": case(long_output),
    "11 layer with a name of 300 letters": case(long_layer),
}
"""By the number of the point in issue 14."""
