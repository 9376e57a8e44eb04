"""How much a Zarr may give: metadata, chunks and what is unpacked from them, each stopped at what it can honestly be.

Zarr's own stores read whole files, and its codecs unpack whole chunks, whatever comes out of them: 6 kB of gzip in gzip
in place of a chunk of 8 kB are gigabytes. Here a store looks at a size before it reads, and a codec stops at the bytes
that the shape of its chunk can hold.
"""

from __future__ import annotations

import asyncio
import bz2
import gzip
import io
import lzma
import math
import stat
import zlib
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import zarr
from numcodecs.abc import Codec as Numcodec
from zarr.abc.codec import BytesBytesCodec, Codec
from zarr.abc.store import OffsetByteRequest, RangeByteRequest, Store, SuffixByteRequest
from zarr.codecs import ShardingCodec
from zarr.storage import WrapperStore

from napari_restore.core.errors import ImageError
from napari_restore.sources.described import MIB, most_from

if TYPE_CHECKING:
    from zarr.abc.store import ByteRequest
    from zarr.core.array_spec import ArraySpec
    from zarr.core.buffer import Buffer, BufferPrototype

MOST_METADATA = 8 * MIB
"""Of one ``zarr.json``, ``.zattrs`` or list of a folder, in bytes. Parsed JSON takes up to 27 times its length, so this
is at most 300 MB; the metadata of an image take kilobytes, those of one with a thousand labels under a megabyte."""

_METADATA = frozenset({"zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata"})

_PACKED_LONGER = 2
_SPARE = 1 * MIB
"""What does not compress becomes longer by packing: by some bytes in thousands, by half with the worst codecs."""

_INDEX_ENTRY = 16
_MOST_IN_SHARD = 2**22
"""Chunks in a shard: their index, which is read with the first of them, takes 16 bytes each, 64 MiB."""

_WIDENED = 8
"""Filters of Zarr 2 store what they are given in another type: at most as float64 what was a byte."""

ABSENT = -1

MOST: ContextVar[int] = ContextVar("MOST", default=MOST_METADATA)
"""Bytes that the request under way may be answered with, for stores that learn the length only as they read."""

_BLOSC_HEADER = 16

_S = TypeVar("_S", bound=Store)


class BoundedStore(WrapperStore[_S]):
    """A store that gives metadata up to ``MOST_METADATA`` and other keys up to ``most`` bytes, and no more.

    ``sizes`` tells the length of what lies at a key, ``ABSENT`` where nothing does, None where that is not known before
    it is read.
    """

    def __init__(self, store: _S, sizes: Callable[[str], int | None], most: int = 0) -> None:
        super().__init__(store)
        self._sizes, self._most = sizes, most

    def _with_store(self, store: _S) -> BoundedStore[_S]:
        return BoundedStore(store, self._sizes, self._most)

    def with_most(self, most: int) -> BoundedStore[_S]:
        """The same store for an array whose chunks take at most so many bytes."""
        return BoundedStore(self._store, self._sizes, most)

    @property
    def root(self) -> Path | None:
        """The folder of a local store."""
        return getattr(self._store, "root", None)

    @property
    def _shown(self) -> str:
        place = self.root or getattr(self._store, "path", None)
        return place.name if isinstance(place, Path) else str(self._store)

    def __str__(self) -> str:
        return str(self._store)

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        """The bytes of a key, or None where it is not there.

        Raises
        ------
        ImageError
            If they are more than it may have, before they are read where their number is known.
        """
        most = MOST_METADATA if key.rpartition("/")[2] in _METADATA else self._most
        size = self._sizes(key)
        if size == ABSENT:
            return None
        if _asked(byte_range, size) > most:
            raise ImageError(too_long(f"{self._shown}/{key}", most))
        token = MOST.set(most)
        try:
            return await self._store.get(key, prototype, byte_range)
        finally:
            MOST.reset(token)

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """Parts of keys."""
        return list(await asyncio.gather(*(self.get(key, prototype, part) for key, part in key_ranges)))


def too_long(what: str, most: int) -> str:
    """One line: what holds more than so many bytes."""
    return f"{what} holds more than the {most} bytes that it may have: it is damaged, or no such image. Copy it again."


def _asked(part: ByteRequest | None, size: int | None) -> int:
    """How many bytes a request is answered with; 0 where nobody knows."""
    match part:
        case RangeByteRequest(start, end):
            return end - start if size is None else min(end, size) - start
        case SuffixByteRequest(suffix):
            return suffix if size is None else min(suffix, size)
        case OffsetByteRequest(offset):
            return 0 if size is None else size - offset
    return size or 0


def local_size(root: Path) -> Callable[[str], int | None]:
    """Lengths of the files of a folder. What is neither file nor folder is refused: reading a pipe would hang."""

    def size(key: str) -> int | None:
        try:
            facts = (root / key).stat()
        except (FileNotFoundError, NotADirectoryError):
            return ABSENT
        except (OSError, ValueError):
            return None  # the store says what it is
        if stat.S_ISDIR(facts.st_mode):
            return ABSENT
        if not stat.S_ISREG(facts.st_mode):
            raise ImageError(f"{root.name}/{key} is neither a file nor a folder. Take it out of the Zarr.")
        return facts.st_size

    return size


def bounded(array: Any, name: str) -> Any:
    """The same ``zarr.Array``, whose store and codecs stop where a chunk cannot be longer.

    Raises
    ------
    ImageError
        If it is packed in a way for which there is no limit here, such as by pickle, which would run code.
    """
    itemsize, shard = array.dtype.itemsize, array.shards or array.chunks
    inside = math.prod(n // c for n, c in zip(shard, array.chunks, strict=True))
    if inside > _MOST_IN_SHARD:
        raise ImageError(
            f"{name}: {inside} chunks in a shard; at most {_MOST_IN_SHARD} are read. Write it with larger chunks."
        )
    size = math.prod(shard) * itemsize
    most = _PACKED_LONGER * size + _SPARE + _INDEX_ENTRY * inside
    metadata = array.metadata
    if metadata.zarr_format == 2:
        compressor = metadata.compressor
        compressor = None if compressor is None else _bounded_numcodec(compressor, size, name)
        filters = tuple(_bounded_numcodec(each, size, name) for each in metadata.filters or ()) or None
        metadata, most = replace(metadata, compressor=compressor, filters=filters), most * _WIDENED
    else:
        metadata = replace(metadata, codecs=_bounded_codecs(metadata.codecs, name))
    place = array.store_path
    if isinstance(place.store, BoundedStore):
        place = type(place)(place.store.with_most(most), place.path)
    return zarr.Array(zarr.AsyncArray(metadata=metadata, store_path=place))


def _bounded_codecs(codecs: Iterable[Codec], name: str) -> tuple[Codec, ...]:
    return tuple(_bounded_codec(codec, name) for codec in codecs)


def _bounded_codec(codec: Codec, name: str) -> Codec:
    """A codec of Zarr 3 by its name; one that unpacks gets a limit, one inside a shard, too."""
    if isinstance(codec, ShardingCodec):
        inner, index = _bounded_codecs(codec.codecs, name), _bounded_codecs(codec.index_codecs, name)
        return replace(codec, codecs=inner, index_codecs=index)
    told: Any = codec.to_dict()
    kind = str(told["name"]).removeprefix("numcodecs.")
    if kind in _UNPACK and isinstance(codec, BytesBytesCodec):
        return _Bounded(codec, kind, told.get("configuration") or {})
    _refuse_unknown(kind, name)
    return codec


def _bounded_numcodec(codec: Any, size: int, name: str) -> Any:
    """A compressor or filter of Zarr 2."""
    kind = str(codec.codec_id)
    if kind in _UNPACK:
        return _BoundedNumcodec(codec, kind, size)
    _refuse_unknown(kind, name)
    return codec


def _refuse_unknown(kind: str, name: str) -> None:
    if kind not in _SAME_LENGTH:
        known = ", ".join(sorted(_UNPACK))
        raise ImageError(
            f"{name}: its chunks are packed by {kind!r}, for which there is no limit to what comes out; {known} are "
            "read. If you trust it, open it with zarr and give the array."
        )


@dataclass(frozen=True)
class _Bounded(BytesBytesCodec):
    """A codec that unpacks no more than a chunk can hold."""

    codec: BytesBytesCodec
    kind: str
    config: Mapping[str, Any] = field(hash=False)
    is_fixed_size = False

    def to_dict(self) -> dict[str, Any]:
        return self.codec.to_dict()

    def evolve_from_array_spec(self, array_spec: ArraySpec) -> _Bounded:
        return replace(self, codec=self.codec.evolve_from_array_spec(array_spec))

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: ArraySpec) -> int:
        return self.codec.compute_encoded_size(input_byte_length, chunk_spec)

    async def _decode_single(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> Buffer:
        size = math.prod(chunk_spec.shape) * chunk_spec.dtype.to_native_dtype().itemsize
        data = await asyncio.to_thread(_unpack, self.kind, chunk_data.as_numpy_array(), size, self.config)
        return chunk_spec.prototype.buffer.from_array_like(np.frombuffer(data, np.uint8))


class _BoundedNumcodec(Numcodec):  # type: ignore[misc]
    """The same for Zarr 2, whose codecs are told nothing of the chunk."""

    codec_id = "bounded"

    def __init__(self, codec: Any, kind: str, size: int) -> None:
        self._kind, self._codec, self._size = kind, codec, size

    def encode(self, buf: Any) -> Any:
        return self._codec.encode(buf)

    def decode(self, buf: Any, out: Any | None = None) -> Any:
        data = np.ascontiguousarray(buf).reshape(-1).view(np.uint8)
        return _unpack(self._kind, data, _WIDENED * self._size, self._codec.get_config())

    def get_config(self) -> Any:
        return self._codec.get_config()


def _unpack(kind: str, data: Any, size: int, config: Mapping[str, Any]) -> Any:
    """What a chunk of ``size`` bytes was packed to.

    Raises
    ------
    ValueError
        If more comes out than a chunk of that size can have been packed from.
    """
    most = most_from(len(data), _PACKED_LONGER * size + _SPARE)
    unpacked = _UNPACK[kind](data, most, config)
    if len(unpacked) > most:
        raise ValueError(f"{len(data)} bytes unpack to more than {most}, and its chunk has {size}")
    return unpacked


def _gzip(data: Any, most: int, config: Mapping[str, Any]) -> Any:
    return gzip.GzipFile(fileobj=io.BytesIO(data)).read(most + 1)


def _zlib(data: Any, most: int, config: Mapping[str, Any]) -> Any:
    unpacking = zlib.decompressobj()
    unpacked = unpacking.decompress(data, most + 1)
    if len(unpacked) <= most and not unpacking.eof:
        raise ValueError("it ends too early")
    return unpacked


def _bz2(data: Any, most: int, config: Mapping[str, Any]) -> Any:
    return bz2.BZ2File(io.BytesIO(data)).read(most + 1)


def _lzma(data: Any, most: int, config: Mapping[str, Any]) -> Any:
    container, filters = config.get("format", lzma.FORMAT_XZ), config.get("filters")
    if container != lzma.FORMAT_RAW:
        return lzma.LZMAFile(io.BytesIO(data), format=container).read(most + 1)
    return lzma.LZMADecompressor(container, filters=filters).decompress(data, most + 1)


def _zstd(data: Any, most: int, config: Mapping[str, Any]) -> Any:
    import imagecodecs

    try:
        return imagecodecs.zstd_decode(data, out=np.empty(most, np.uint8).data)
    except imagecodecs.ZstdError as error:
        full = f": it unpacks to more than {most} bytes" if "too small" in str(error) else ""
        raise ValueError(f"{error}{full}") from None


def _blosc(data: Any, most: int, config: Mapping[str, Any]) -> Any:
    from numcodecs.blosc import decompress

    # Its header: https://github.com/Blosc/c-blosc/blob/main/README_CHUNK_FORMAT.rst. Nobody else compares the length
    # that it tells with that of the data: c-blosc reads on behind them, and the process ends with SIGSEGV.
    if len(data) < _BLOSC_HEADER or int.from_bytes(bytes(data[12:16]), "little") != len(data):
        raise ValueError(f"it does not tell its own length, {len(data)} bytes")
    _refuse_told(data[4:8], most)
    return decompress(data)


def _lz4(data: Any, most: int, config: Mapping[str, Any]) -> Any:
    from numcodecs.lz4 import decompress

    _refuse_told(data[:4], most)
    return decompress(data)


def _refuse_told(length: Any, most: int) -> None:
    told = int.from_bytes(bytes(length), "little")
    if told > most:
        raise ValueError(f"it claims to unpack to {told} bytes, and its chunk has at most {most}")


_UNPACK: Mapping[str, Callable[[Any, int, Mapping[str, Any]], Any]] = {
    "gzip": _gzip,
    "zlib": _zlib,
    "bz2": _bz2,
    "lzma": _lzma,
    "zstd": _zstd,
    "blosc": _blosc,
    "lz4": _lz4,
}
"""Codecs that may give more than they get, by their names in Zarr 2 and 3."""

_SAME_LENGTH = frozenset(
    {
        "bytes", "transpose", "crc32c", "crc32", "adler32", "fletcher32", "jenkins_lookup3", "shuffle",
        "delta", "fixedscaleoffset", "quantize", "bitround", "packbits", "astype",
    }
)  # fmt: skip
"""Codecs that give about as much as they get: as many numbers, of at most 8 bytes."""
