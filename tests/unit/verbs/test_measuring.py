"""Regions of a stack are measured in all the forms that people have them in; what does not fit is said."""

import csv
import json
import sys

import numpy as np
import pytest
import tifffile

from napari_restore import measure
from napari_restore.cli import main
from napari_restore.core.errors import RestoreError


@pytest.fixture
def pair():
    """Noisy and restored, TCYX: in channel 1 of time 2 a square of the result is brighter than what was measured."""
    rng = np.random.default_rng(0)
    clean = np.full((3, 2, 96, 112), 100.0, np.float32)
    noisy = (clean + rng.normal(0, 5, clean.shape)).astype(np.float32)
    clean[2, 1, 8:24, 8:24] += 10
    return noisy, clean


def labels():
    found = np.zeros((96, 112), np.uint16)
    found[8:24, 8:24], found[28:38, 30:44] = 3, 7
    return found


def test_labels_of_a_plane_are_measured_in_each_plane_and_channel(pair):
    rows = measure(*pair, labels(), axes="TCYX")
    assert [(r.t, r.channel, r.label) for r in rows] == [(t, c, n) for t in range(3) for c in range(2) for n in (3, 7)]
    (flagged,) = [r for r in rows if r.flagged]
    assert (flagged.t, flagged.channel, flagged.label, flagged.area) == (2, 1, 3, 256)
    assert flagged.difference == pytest.approx(10, abs=1)
    assert flagged.standard_error == pytest.approx(5 / 16, rel=0.2)


def test_labels_of_the_stack_are_regions_throughout_whatever_the_order_of_the_axes(pair):
    noisy, restored = (np.moveaxis(a, 1, -1) for a in pair)
    rows = measure(noisy, restored, np.stack([labels()] * 3), axes="TYXC")
    assert [(r.channel, r.label, r.area, r.t) for r in rows] == [
        (0, 3, 768, None), (0, 7, 420, None), (1, 3, 768, None), (1, 7, 420, None),
    ]  # fmt: skip
    assert [r.flagged for r in rows] == [False, False, True, False]


def test_a_grid_covers_the_plane_and_what_was_not_measured_does_not_count(pair):
    noisy, restored = (a[0, 0].copy() for a in pair)
    noisy[:5] = np.nan
    rows = measure(noisy, restored, grid=16)
    assert [r.label for r in rows] == list(range(1, 43))
    assert sum(r.area for r in rows) == 91 * 112
    assert not any(r.flagged for r in rows)


def test_shapes_are_drawn_in_the_image(pair):
    class Shapes:
        def to_labels(self, labels_shape):
            assert labels_shape == (96, 112)
            return labels().astype(int)

    assert [r.label for r in measure(pair[0][0, 0], pair[1][0, 0], Shapes())] == [3, 7]


def test_the_shell_writes_a_table_and_says_what_is_flagged(pair, tmp_path, monkeypatch, capsys):
    paths = [tmp_path / name for name in ("raw.tif", "restored.tif", "labels.tif", "table.csv")]
    for path, pixels in zip(paths[:3], (pair[0][2, 1], pair[1][2, 1], labels()), strict=True):
        tifffile.imwrite(path, pixels)
    words = ["measure", *map(str, paths[:2]), "--regions", str(paths[2])]

    def said(*more):
        monkeypatch.setattr(sys, "argv", ["napari-restore", *words, *more])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, capsys.readouterr()

    code, out = said("-o", str(paths[3]))
    assert code in (0, None) and "1 of 2 regions differ" in out.out and "region 3: 256 pixels" in out.out
    with paths[3].open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [(row["label"], row["flagged"]) for row in table] == [("3", "True"), ("7", "False")]
    _, out = said("--json")
    assert [row["label"] for row in json.loads(out.out)] == [3, 7]
    code, out = said("-o", str(paths[3]))
    assert code == 2 and "exists already" in out.err


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "either `regions` or `grid`"),
        ({"regions": np.ones((96, 112), int), "grid": 8}, "either `regions` or `grid`"),
        ({"grid": 1}, "Give a whole number of 2 or more"),
        ({"grid": 8.5}, "Give a whole number of 2 or more"),
        ({"regions": np.ones((97, 112), int)}, "labels of shape .*: those of image have"),
        ({"regions": np.ones((96, 112), np.float32)}, "labels are whole numbers"),
        ({"regions": np.full((96, 112), -1)}, "labels from -1 to -1"),
        ({"regions": np.zeros((96, 112), np.uint8)}, "no region has a pixel"),
        ({"grid": 8, "output": "table.txt"}, "ends in .csv"),
        ({"grid": 8, "output": "nowhere/table.csv"}, "does not exist"),
    ],
)
def test_what_does_not_fit_is_said(pair, given, words):
    with pytest.raises(RestoreError, match=words):
        measure(pair[0][0, 0], pair[1][0, 0], **given)
    with pytest.raises(RestoreError, match="with as many pixels"):
        measure(pair[0][0, 0], pair[1][0, 0, :-1], grid=8)
