"""What we write, read by those who define and use the formats."""

import numpy as np
import pytest
import tensorstore
import tifffile
import zarr
from ome_zarr.io import parse_url
from ome_zarr.reader import Reader
from ome_zarr_models import v04, v05

from napari_restore.core.channel import Channel
from napari_restore.core.geometry import Geometry
from napari_restore.core.options import Writing
from napari_restore.core.region import split
from napari_restore.store import output

UNITS = {"T": "second", "Z": "micrometer", "Y": "micrometer", "X": "micrometer"}
SIZE = {"T": 1.5, "Z": 0.5, "Y": 0.25, "X": 0.2}


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch):
    monkeypatch.setattr("os.fsync", lambda _: None)


def save(path, geometry, *, dtype="uint16", block=256, version="0.5", **words):
    rng = np.random.default_rng(0)
    pixels = (rng.random(geometry.shape) * 1000).astype(dtype)
    chunks = (*(1,) * (len(geometry.shape) - 2), block, block)
    facts = {"fingerprint": {}, "name": "cells", "provenance": {}, **words}
    writing = Writing(version=version)
    writer = output.create(path, geometry=geometry, dtype=dtype, chunks=chunks, writing=writing, **facts)
    with writer:
        for index, region in enumerate(split(geometry.shape, chunks)):
            writer.write(index, region, pixels[region.slices])
        writer.finish()
    return pixels


@pytest.fixture(params=["TCZYX", "CYX", "ZYX", "YX", "TYX"])
def geometry(request):
    shape = {"T": 2, "C": 2, "Z": 2, "Y": 301, "X": 257}
    axes = request.param
    return Geometry.of(axes, [shape[a] for a in axes], pixel_size=SIZE, units=UNITS, origin={"Y": 7.0, "X": -0.5})


@pytest.mark.parametrize(("version", "model"), [("0.5", v05.Image), ("0.4", v04.Image)])
def test_models_accept_it(tmp_path, geometry, version, model):
    save(tmp_path / "x.zarr", geometry, provenance={"method": "n2v"}, version=version)
    group = zarr.open_group(tmp_path / "x.zarr", mode="r")
    image = model.from_zarr(group)
    multiscale = (image.ome_attributes if version == "0.5" else image.attributes).multiscales[0]
    axes = [(axis.name, axis.type, axis.unit) for axis in multiscale.axes]
    kinds = {"T": ("time", "second"), "C": ("channel", None)}
    assert axes == [(a.lower(), *kinds.get(a, ("space", "micrometer"))) for a in geometry.axes]
    scale, translation = multiscale.datasets[0].coordinateTransformations
    assert tuple(scale.scale) == geometry.pixel_size
    assert tuple(translation.translation) == geometry.origin
    scale, translation = multiscale.datasets[1].coordinateTransformations
    assert tuple(scale.scale)[-2:] == (0.5, 0.4)
    assert tuple(translation.translation)[-2:] == pytest.approx((7.125, -0.4))
    assert group.attrs["napari_restore"] == {"method": "n2v", "fingerprint": {}}
    if version == "0.5":
        assert group["0"].metadata.dimension_names == tuple(geometry.axes.lower())


@pytest.mark.parametrize("version", ["0.5", "0.4"])
def test_ome_zarr_py_reads_it(tmp_path, geometry, version):
    pixels = save(tmp_path / "x.zarr", geometry, provenance={}, version=version)
    node = next(iter(Reader(parse_url(str(tmp_path / "x.zarr"), mode="r"))()))
    np.testing.assert_array_equal(np.asarray(node.data[0]), pixels)
    assert node.data[1].shape[-2:] == (151, 129)
    assert [axis["name"] for axis in node.metadata["axes"]] == list(geometry.axes.lower())
    assert node.metadata["coordinateTransformations"][0][0]["scale"] == list(geometry.pixel_size)
    low, high = node.metadata["contrast_limits"][0]
    assert 0 <= low < 100
    assert 900 < high <= 1000


NAMED = (Channel("DAPI", "0000FF"), Channel("GFP", ""))


@pytest.mark.parametrize(("version", "model"), [("0.5", v05.Image), ("0.4", v04.Image)])
def test_others_read_the_channels(tmp_path, version, model):
    save(tmp_path / "x.zarr", Geometry.of("CYX", (2, 20, 30)), channels=NAMED, version=version)
    group = zarr.open_group(tmp_path / "x.zarr", mode="r")
    image = model.from_zarr(group)
    if version == "0.4":
        assert [(each.color, each.model_extra["label"]) for each in image.attributes.omero.channels] == [
            ("0000FF", "DAPI"),
            ("00FF00", "GFP"),
        ]
    node = next(iter(Reader(parse_url(str(tmp_path / "x.zarr"), mode="r"))()))
    assert node.metadata["channel_names"] == ["DAPI", "GFP"]
    assert node.metadata["colormap"][0] == [[0, 0, 0], [0, 0, 1]]


def test_tifffile_reads_the_channels(tmp_path):
    save(tmp_path / "x.ome.tif", Geometry.of("CYX", (2, 20, 30)), channels=NAMED)
    with tifffile.TiffFile(tmp_path / "x.ome.tif") as file:
        channels = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]["Pixels"]["Channel"]
    assert [(each["Name"], each.get("Color")) for each in channels] == [("DAPI", 0x0000FFFF), ("GFP", None)]


def test_unknown_units_are_left_out(tmp_path):
    save(tmp_path / "x.zarr", Geometry.of("ZYX", (1, 20, 30), units={"Z": "furlong"}), provenance={})
    axes = zarr.open_group(tmp_path / "x.zarr", mode="r").attrs["ome"]["multiscales"][0]["axes"]
    assert all("unit" not in axis for axis in axes)


@pytest.mark.parametrize("unit", ["micrometer", "angstrom", "nanometer", "inch", "yottameter", "decimeter"])
def test_units_of_the_specification_are_kept(tmp_path, unit):
    save(tmp_path / "x.zarr", Geometry.of("YX", (20, 30), units={"Y": unit, "X": unit}), provenance={})
    axes = zarr.open_group(tmp_path / "x.zarr", mode="r").attrs["ome"]["multiscales"][0]["axes"]
    assert [axis["unit"] for axis in axes] == [unit, unit]


def test_a_flipped_bit_is_noticed(tmp_path):
    save(tmp_path / "x.zarr", Geometry.of("YX", (64, 64)), provenance={})
    chunk = tmp_path / "x.zarr/0/c/0/0"
    data = bytearray(chunk.read_bytes())
    data[len(data) // 2] ^= 1
    chunk.write_bytes(data)
    with pytest.raises(ValueError, match="checksum"):
        zarr.open_array(tmp_path / "x.zarr/0", mode="r")[:]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "int32"])
def test_tifffile_reads_it(tmp_path, geometry, dtype):
    pixels = save(tmp_path / "x.ome.tif", geometry, dtype=dtype, provenance={"method": "n2v"})
    with tifffile.TiffFile(tmp_path / "x.ome.tif") as file:
        assert file.is_ome
        assert file.series[0].axes == geometry.axes
        np.testing.assert_array_equal(file.asarray(), pixels)
        content = tifffile.xml2dict(file.ome_metadata)["OME"]
    header = content["Image"]["Pixels"]
    assert (header["PhysicalSizeY"], header["PhysicalSizeYUnit"]) == (0.25, "µm")
    assert header["PhysicalSizeX"] == 0.2
    assert ("Z" in geometry.axes) == (header.get("PhysicalSizeZ") == 0.5)
    assert ("T" in geometry.axes) == ((header.get("TimeIncrement"), header.get("TimeIncrementUnit")) == (1.5, "s"))
    planes = header["Plane"] if isinstance(header["Plane"], list) else [header["Plane"]]
    assert {(p["PositionY"], p["PositionX"]) for p in planes} == {(7.0, -0.5)}
    if "Z" in geometry.axes:
        assert all(p["PositionZ"] == 0.5 * p["TheZ"] for p in planes)
    assert "n2v" in str(content["StructuredAnnotations"])


def test_large_tiffs_become_bigtiff(tmp_path, monkeypatch):
    from napari_restore.store import tiff

    save(tmp_path / "small.tif", Geometry.of("YX", (20, 30)), provenance={})
    monkeypatch.setattr(tiff, "_CLASSIC_LIMIT", 100)
    pixels = save(tmp_path / "big.tif", Geometry.of("YX", (20, 30)), provenance={})
    with tifffile.TiffFile(tmp_path / "small.tif") as small, tifffile.TiffFile(tmp_path / "big.tif") as big:
        assert (small.is_bigtiff, big.is_bigtiff) == (False, True)
        np.testing.assert_array_equal(big.asarray(), pixels)


@pytest.mark.parametrize(("version", "driver"), [("0.5", "zarr3"), ("0.4", "zarr")])
@pytest.mark.parametrize("block", [256, 1024])
def test_tensorstore_reads_every_level(tmp_path, version, driver, block):
    geometry = Geometry.of("ZYX", (2, 1100, 700))
    pixels = save(tmp_path / "x.zarr", geometry, version=version, block=block)
    group = zarr.open_group(tmp_path / "x.zarr", mode="r")
    assert (group["0"].shards is not None) == (version == "0.5" and block == 1024)
    for level in sorted(group.array_keys()):
        spec = {"driver": driver, "kvstore": {"driver": "file", "path": str(tmp_path / "x.zarr" / level)}}
        found = tensorstore.open(spec, read=True).result().read().result()
        np.testing.assert_array_equal(found, pixels if level == "0" else group[level][:])


def test_ome_zarr_py_reads_shards(tmp_path):
    geometry = Geometry.of("ZYX", (2, 1100, 700), pixel_size=SIZE, units=UNITS)
    pixels = save(tmp_path / "x.zarr", geometry, block=1024)
    node = next(iter(Reader(parse_url(tmp_path / "x.zarr"))()))
    np.testing.assert_array_equal(np.asarray(node.data[0]), pixels)


def test_a_flipped_bit_in_a_shard_is_found(tmp_path):
    save(tmp_path / "x.zarr", Geometry.of("YX", (1024, 1024)), block=1024)
    shard = tmp_path / "x.zarr" / "0" / "c" / "0" / "0"
    content = bytearray(shard.read_bytes())
    content[len(content) // 3] ^= 1
    shard.write_bytes(content)
    with pytest.raises(ValueError, match="checksum"):
        zarr.open_group(tmp_path / "x.zarr", mode="r")["0"][:]
