"""Zarr and OME-Zarr: axes, pixel sizes, levels and names arrive; only needed chunks are read; nothing outside is."""

import functools
import http.server
import json
import threading
import zipfile

import numpy as np
import pytest
import zarr
from zarr.storage import MemoryStore, WrapperStore

from napari_restore.core.channel import Channel
from napari_restore.core.errors import ImageError
from napari_restore.core.region import Region
from napari_restore.sources import open_image, recognises

PIXELS = np.arange(2 * 4 * 17 * 23, dtype=np.uint16).reshape(2, 4, 17, 23)
AXES = [
    {"name": "c", "type": "channel"},
    {"name": "z", "type": "space", "unit": "micrometer"},
    {"name": "y", "type": "space", "unit": "nanometer"},
    {"name": "x", "type": "space"},
]


def multiscale(path="0", **more):
    scale = {"type": "scale", "scale": [1, 0.5, 100, 2]}
    shift = {"type": "translation", "translation": [0, 1, 50, 3]}
    return {"axes": AXES, "datasets": [{"path": path, "coordinateTransformations": [scale, shift]}], **more}


def scaled(scale):
    transformations = [{"type": "scale", "scale": scale}]
    return multiscale() | {"datasets": [{"path": "0", "coordinateTransformations": transformations}]}


def ome_zarr(folder, version="0.5", image=None, **more):
    group = zarr.open_group(folder, mode="w", zarr_format=2 if version == "0.4" else 3)
    group.create_array("0", data=PIXELS, chunks=(1, 2, 8, 8))
    content = {"multiscales": [image or multiscale()], **more}
    group.attrs.update({"ome": {"version": version, **content}} if version >= "0.5" else content)
    return folder


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_ome_zarr_says_axes_sizes_units_origin_and_names(tmp_path, version):
    folder = ome_zarr(tmp_path / "cells.ome.zarr", version, omero={"channels": [{"label": "DAPI"}, {"label": "GFP"}]})
    image = open_image(folder)
    assert recognises(folder) == "Zarr"
    assert (image.name, image.axes, image.chunks) == ("cells", "CZYX", (1, 2, 8, 8))
    assert image.geometry.pixel_size == (1, 0.5, 100, 2)
    assert image.geometry.units == ("pixel", "micrometer", "nanometer", "pixel")
    assert image.geometry.origin == (0, 1, 50, 3)
    assert np.array_equal(image.read(), PIXELS)
    assert np.array_equal(open_image(folder, channel="GFP").read(), PIXELS[1])


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_ome_zarr_says_colours_and_a_number_is_no_name(tmp_path, version):
    told = [{"label": "DAPI", "color": "0000ff"}, {"label": "cells 1", "color": "nonsense"}]
    named = multiscale(name="cells")
    folder = ome_zarr(tmp_path / "a", version, image=named, omero={"channels": told})
    assert open_image(folder).channels == (Channel("DAPI", "0000FF"), Channel())
    gray = {"channels": told, "rdefs": {"model": "greyscale"}}
    assert open_image(ome_zarr(tmp_path / "b", version, image=named, omero=gray)).channels[0] == Channel("DAPI")
    for odd in (None, [], 3, {"channels": 3}, {"channels": told[:1]}, {"channels": ["x", 3]}):
        assert open_image(ome_zarr(tmp_path / "c", version, omero=odd)).channels == ()


def test_transformations_of_the_whole_come_after_those_of_the_level(tmp_path):
    whole = [{"type": "scale", "scale": [1, 2, 2, 2]}, {"type": "translation", "translation": [0, 0, 0, 5]}]
    geometry = open_image(ome_zarr(tmp_path / "a", image=multiscale(coordinateTransformations=whole))).geometry
    assert geometry.pixel_size == (1, 1.0, 200, 4)
    assert geometry.origin == (0, 2, 100, 11)


def test_a_group_that_is_open_already(tmp_path):
    image = open_image(zarr.open_group(ome_zarr(tmp_path / "a"), mode="r"))
    assert image.axes == "CZYX"


def test_a_zipped_zarr(tmp_path):
    folder = ome_zarr(tmp_path / "a.zarr")
    for root in ("", "a.zarr/"):
        with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
            for file in sorted(folder.rglob("*")):
                if file.is_file():
                    archive.write(file, root + str(file.relative_to(folder)))
        assert recognises(tmp_path / "b.zip") == "zipped Zarr"
        assert np.array_equal(open_image(tmp_path / "b.zip").read(), PIXELS)


@pytest.mark.parametrize("path", ["../b/0", "/etc", "x/../../b/0", "C:/x", "..\\b\\0", 7])
def test_a_dataset_outside_is_not_opened(tmp_path, path):
    ome_zarr(tmp_path / "b")
    with pytest.raises(ImageError, match="not a path inside"):
        open_image(ome_zarr(tmp_path / "a", image=multiscale(path)))


@pytest.mark.parametrize(
    ("image", "words"),
    [
        ("nonsense", "multiscales are empty"),
        ({"datasets": []}, "no datasets"),
        (multiscale("nowhere"), "nowhere"),
        (multiscale(axes=AXES[1:]), "3 axes"),
        (multiscale(axes=[*AXES[:3], {"name": "q"}]), "'q'"),
        (scaled([1]), "1 numbers"),
        (scaled([1, 1, 0, 1]), "axis Y"),
    ],
)
def test_metadata_that_cannot_be_are_refused(tmp_path, image, words):
    with pytest.raises(ImageError, match=words) as caught:
        open_image(ome_zarr(tmp_path / "a", image=image))
    assert "\n" not in str(caught.value)


def test_newer_versions_plates_and_wells_are_refused_in_words(tmp_path):
    with pytest.raises(ImageError, match=r"OME-Zarr 0\.6"):
        open_image(ome_zarr(tmp_path / "a", version="0.6"))
    plate = zarr.open_group(tmp_path / "p.zarr", mode="w")
    plate.attrs["ome"] = {"version": "0.5", "plate": {"wells": [{"path": "B/03"}]}}
    with pytest.raises(ImageError, match=r"plate of many images: .* p/B/03/0"):
        open_image(tmp_path / "p.zarr")


def test_a_plain_group(tmp_path):
    group = zarr.open_group(tmp_path / "g", mode="w")
    with pytest.raises(ImageError, match="without images"):
        open_image(tmp_path / "g")
    group.create_array("only", data=PIXELS, dimension_names=("time", "z", "y", "x"))
    image = open_image(tmp_path / "g")
    assert image.axes == "TZYX"
    group.create_array("other", data=PIXELS)
    with pytest.raises(ImageError, match="only, other"):
        open_image(tmp_path / "g")


def test_a_level_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ImageError, match="level 1 does not exist"):
        open_image(ome_zarr(tmp_path / "a"), level=1)


def test_an_array_without_any_chunk_is_said(tmp_path):
    zarr.create_array(tmp_path / "a", shape=(17, 23), dtype="u2", fill_value=7)
    assert any("no chunk of it is there" in note for note in open_image(tmp_path / "a").notes)


@pytest.mark.parametrize("layout", [{}, {"zarr_format": 2}, {"shards": (1, 4, 16, 16)}])
def test_missing_chunks_are_counted(tmp_path, layout):
    zarr.create_array(tmp_path / "a", data=PIXELS + 1, chunks=(1, 2, 8, 8), **layout)
    assert not any("missing" in note for note in open_image(tmp_path / "a").notes)
    files = [p for p in (tmp_path / "a").rglob("*") if p.is_file() and not p.name.startswith((".z", "zarr.json"))]
    for file in files[:3]:
        file.unlink()
    noted = [note for note in open_image(tmp_path / "a").notes if "missing" in note]
    kind = "shards" if "shards" in layout else "chunks"
    assert noted == [f"3 of its {len(files)} {kind} are missing: their pixels read as the fill value 0"]


def test_chunks_of_gigabytes_are_refused(tmp_path):
    zarr.create_array(tmp_path / "a", shape=(10**6, 10**6), dtype="u2", chunks=(10**5, 10**5))
    with pytest.raises(ImageError, match="smaller chunks"):
        open_image(tmp_path / "a")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"zarr_format": 9}', '{"zarr_format": 3, "node_type": "array"}'])
def test_metadata_that_are_no_metadata_are_refused(tmp_path, content):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "zarr.json").write_text(content)
    with pytest.raises(ImageError) as caught:
        open_image(tmp_path / "a")
    assert "\n" not in str(caught.value)


def test_a_damaged_chunk_is_an_error_in_words(tmp_path):
    zarr.create_array(tmp_path / "a", data=PIXELS[0], chunks=(1, 17, 23))
    chunk = tmp_path / "a" / "c" / "2" / "0" / "0"
    chunk.write_bytes(chunk.read_bytes()[:20])
    image = open_image(tmp_path / "a")
    image.read(Region((0, 0, 0), (2, 17, 23)))
    with pytest.raises(ImageError, match="cannot be read"):
        image.read()


class CountingStore(WrapperStore):
    keys: list[str] = []  # noqa: RUF012

    async def get(self, key, prototype, byte_range=None):
        if "/c/" in f"/{key}":
            CountingStore.keys.append(key)
        return await super().get(key, prototype, byte_range)


def test_only_the_chunks_of_a_region_are_read():
    memory = MemoryStore()
    zarr.create_array(memory, data=PIXELS[0], chunks=(1, 8, 8))
    image = open_image(zarr.open_array(CountingStore(memory), mode="r"))
    CountingStore.keys.clear()
    image.read(Region((2, 3, 9), (3, 8, 20)))
    assert sorted(CountingStore.keys) == ["c/2/0/1", "c/2/0/2"]


def test_a_zarr_behind_http(tmp_path):
    pytest.importorskip("aiohttp")
    ome_zarr(tmp_path / "a.zarr")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    handler = functools.partial(Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/a.zarr"
        image = open_image(url)
        assert (image.name, image.location, image.axes) == ("a", url, "CZYX")
        assert np.array_equal(image.read(), PIXELS)
        with pytest.raises(ImageError, match="cannot be read as a Zarr"):
            open_image(url + "x")
        server.shutdown()


def test_zarr_2_written_by_hand(tmp_path):
    (tmp_path / "a").mkdir()
    meta = {"zarr_format": 2, "shape": [2, 3], "chunks": [2, 3], "dtype": ">u2", "compressor": None}
    (tmp_path / "a" / ".zarray").write_text(json.dumps({**meta, "fill_value": 0, "order": "C", "filters": None}))
    (tmp_path / "a" / "0.0").write_bytes(np.arange(6, dtype=">u2").tobytes())
    image = open_image(tmp_path / "a")
    assert image.dtype == np.dtype("=u2")
    assert image.read().tolist() == [[0, 1, 2], [3, 4, 5]]
