"""Which loader reads a path: one row a format, chosen by magic bytes and folder contents, never by name."""

from __future__ import annotations

import importlib
import os
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple
from urllib.parse import unquote, urlparse

from napari_restore.core.errors import ImageError
from napari_restore.sources.described import Described, Wanted
from napari_restore.sources.locations import without_secrets
from napari_restore.sources.marks import ZARR_MARKS

HEAD = 4096
"""Bytes of a file that a sniffer may look at."""


Kind = Literal["stack", "folder", "plain"]
"""A file that napari is to open with us, a folder, or a file that every viewer opens by itself."""


class Format(NamedTuple):
    """One kind of file or folder.

    ``sniff(path, head)`` is cheap; ``head`` is the first bytes of a file, None for a folder. ``loader`` is
    ``"module:function"`` in this room, a function of path and ``Wanted``, imported when it is needed. ``endings`` are
    those of usual names, in small letters: for patterns and lists, never to choose the loader. ``title`` is for lists
    that users read, where the name says too little.
    """

    name: str
    sniff: Callable[[Path, bytes | None], bool]
    loader: str
    kind: Kind
    endings: tuple[str, ...] = ()
    title: str = ""


def _starts(*magics: bytes) -> Callable[[Path, bytes | None], bool]:
    return lambda path, head: head is not None and head.startswith(magics)


def _has(*names: str) -> Callable[[Path, bytes | None], bool]:
    return lambda path, head: head is None and any((path / name).is_file() for name in names)


def _is_dicom(path: Path, head: bytes | None) -> bool:
    """The mark behind the preamble, or a first element of group 2 or 8 with a known type or a sane length."""
    if head is None:
        return False
    if head[128:132] == b"DICM":
        return True
    group, element = head[:2], int.from_bytes(head[2:4], "little")
    explicit = re.fullmatch(rb"UI|UL|CS|SH|LO|DA|TM|OB|PN", head[4:6]) is not None
    implicit = len(head) > 8 and int.from_bytes(head[4:8], "little") <= 64
    return group in (b"\x02\x00", b"\x08\x00") and element <= 0x70 and len(head) > 128 and (explicit or implicit)


def _is_ome_xml(path: Path, head: bytes | None) -> bool:
    """The text beside the files of an OME-TIFF that describes them."""
    return head is not None and head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<") and b"openmicroscopy.org" in head


def _is_zipped_zarr(path: Path, head: bytes | None) -> bool:
    if head is None or not head.startswith(b"PK\x03\x04"):
        return False
    import zipfile

    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.rsplit("/", 1)[-1] in ZARR_MARKS for name in archive.namelist()[:1000])
    except (OSError, zipfile.BadZipFile, ValueError, RuntimeError, LookupError, EOFError, struct.error):
        return False


def _holds(*formats: str) -> Callable[[Path, bytes | None], bool]:
    """A folder whose files are of these formats; the first few files decide."""

    def sniff(path: Path, head: bytes | None) -> bool:
        return head is None and any(format_of_file(file) in formats for file in visible_files(path)[:8])

    return sniff


SLICE_FORMATS = ("TIFF", "PNG", "JPEG", "BMP")
"""Formats of which a folder can be a stack."""

FORMATS: tuple[Format, ...] = (
    # DICOM before TIFF: the preamble of a DICOM file may be that of a TIFF.
    Format("DICOM", _is_dicom, "dicom:open_dicom", "stack", (".dcm", ".dicom", ".ima")),
    Format(
        "TIFF",
        _starts(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
        "tiff:open_tiff",
        "stack",
        (".tif", ".tiff", ".btf", ".tf8", ".lsm", ".stk"),
        "TIFF (ImageJ, OME, BigTIFF, LSM, STK)",
    ),
    Format("OME-XML", _is_ome_xml, "tiff:open_companion", "stack", (".companion.ome",)),
    Format("Zarr", _has(*ZARR_MARKS), "zarrs:open_zarr", "folder", (".zarr",), "OME-Zarr and Zarr"),
    Format("zipped Zarr", _is_zipped_zarr, "zarrs:open_zipped_zarr", "stack", (".zarr.zip", ".ozx")),
    Format("PNG", _starts(b"\x89PNG\r\n\x1a\n"), "pictures:open_png", "plain", (".png",)),
    Format("JPEG", _starts(b"\xff\xd8\xff"), "pictures:open_jpeg", "plain", (".jpg", ".jpeg")),
    Format("BMP", _starts(b"BM"), "pictures:open_bmp", "plain", (".bmp",)),
    Format("NPY", _starts(b"\x93NUMPY"), "npy:open_npy", "plain", (".npy",)),
    Format("DICOM series", _holds("DICOM"), "dicom:open_series", "folder"),
    Format(
        "folder of slices",
        _holds(*SLICE_FORMATS),
        "slices:open_slices",
        "folder",
        title=f"a folder of {', '.join(SLICE_FORMATS[:-1])} or {SLICE_FORMATS[-1]} slices",
    ),
)

_URL_LOADER = "zarrs:open_url"
"""As in a row: what is behind a URL is a Zarr, whatever its name."""

_SCHEMES = ("http", "https", "s3", "gs", "gcs", "az", "abfs")

_CRUSHED = re.compile(rf"({'|'.join(_SCHEMES)}):[/\\]([^/\\].*)", re.IGNORECASE | re.DOTALL)
"""What a ``Path`` makes of a URL."""

_KNOWN = ", ".join(format.title or format.name for format in FORMATS)


_PLAIN = Wanted()


def endings(*kinds: Kind) -> tuple[str, ...]:
    """How the names of files and folders of these kinds usually end, with the dot."""
    return tuple(ending for format in FORMATS if format.kind in kinds for ending in format.endings)


def open_location(given: str | os.PathLike[str], wanted: Wanted = _PLAIN) -> Described:
    """Open a path or a URL with the loader of its format."""
    location = os.fsdecode(given)
    crushed = None if isinstance(given, str) else _CRUSHED.fullmatch(location)
    if crushed:
        location = f"{crushed[1]}://{crushed[2].replace(os.sep, '/')}"
    if "://" in location:
        return _open_url(location, wanted)
    path = _at_home(location)
    format = _format_of(path, *_look(path))
    return _load(format.loader, path, wanted)


def _at_home(location: str) -> Path:
    """A path with ``~`` as the home folder, if there is one."""
    try:
        return Path(location).expanduser()
    except RuntimeError:
        return Path(location)


def recognises(path: object) -> str | None:
    """The name of the format if there is a loader for this path; None otherwise. Cheap, and never raises."""
    try:
        location = Path(str(path)).expanduser()
        format = _find(location, _head(location))
    except (OSError, ValueError, RuntimeError):
        return None
    return format.name if format else None


def format_of_file(path: Path) -> str | None:
    """The name of the format of a file, or None."""
    format = _find(path, _head(path)) if path.is_file() else None
    return format.name if format else None


def visible_files(folder: Path) -> list[Path]:
    """The files of a folder in natural order (``z2`` before ``z10``), without hidden ones."""
    files = [file for file in folder.iterdir() if not file.name.startswith(".") and file.is_file()]
    return sorted(files, key=lambda file: natural(file.name))


def natural(name: str) -> list[tuple[int, str]]:
    """A key to sort names by as people do: ``z2`` before ``z10``."""
    return [(int(p), "") if p.isdigit() else (-1, p) for p in _parts(name)]


def _parts(name: str) -> list[str]:
    return [part for part in re.split(r"(\d+)", name.lower()) if part]


def _find(path: Path, head: bytes | None) -> Format | None:
    return next((format for format in FORMATS if format.sniff(path, head)), None)


def _look(path: Path) -> tuple[bytes | None]:
    """The head of a file, None for a folder; what is not there is an ``ImageError``."""
    try:
        return (_head(path),)
    except FileNotFoundError:
        raise ImageError(f"{path} does not exist. Check the path.") from None
    except (OSError, ValueError) as error:
        raise ImageError(f"{path} cannot be read: {error}. Check that the file is readable.") from None


def _head(path: Path) -> bytes | None:
    if path.is_dir():
        return None
    if path.exists() and not path.is_file():
        raise OSError("it is neither a file nor a folder")
    with path.open("rb") as file:
        return file.read(HEAD)


def _format_of(path: Path, head: bytes | None) -> Format:
    format = _find(path, head)
    if format is not None:
        return format
    if head is None:
        raise ImageError(f"{path} is a folder without images that can be opened. Supported: {_KNOWN}.")
    if not head:
        raise ImageError(f"{path} is an empty file (0 bytes). Copy it again.")
    if path.suffix.lower() in (".tif", ".tiff"):
        raise ImageError(f"{path.name} is not a TIFF: it starts with {head[:8]!r}. Check how it was written or copied.")
    raise ImageError(f"{path.name} is of an unknown format: it starts with {head[:8]!r}. Supported: {_KNOWN}.")


def _open_url(url: str, wanted: Wanted) -> Described:
    scheme = url.split("://", 1)[0].lower()
    if scheme == "file":
        return open_location(unquote(urlparse(url).path), wanted)
    if scheme not in _SCHEMES:
        raise ImageError(
            f"{without_secrets(url)}: {scheme}:// is not supported. Give a path, or an http, https, s3 or gs URL of a "
            "Zarr."
        )
    return _load(_URL_LOADER, url, wanted)


def _load(loader: str, location: Path | str, wanted: Wanted) -> Described:
    """What a loader of this room makes of a path, or of a URL; its module is imported now."""
    module, function = loader.split(":")
    load = getattr(importlib.import_module(f"napari_restore.sources.{module}"), function)
    described: Described = load(location, wanted)
    return described
