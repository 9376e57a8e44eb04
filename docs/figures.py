"""Write the figures of tables in the README and the docs from benchmarks/results: ``python docs/figures.py``.

A table of which the figures are measured stands under a line ``<!-- figures: NAME -->``. NAME is a row of ``TABLES``
here: for each of its rows, by the first cell, the cells after it. None leaves a cell as it is; rows that are not here
are words. ``docs/papers.md`` is written whole, by ``papers.py``; both are compared with what is in the pages by
``tests/unit/test_docs.py``.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from pathlib import Path
from statistics import mean
from typing import Any

DOCS = Path(__file__).resolve().parent
RESULTS = DOCS.parent / "benchmarks" / "results"
PAGES = (DOCS.parent / "README.md", *sorted(DOCS.glob("*.md")))
MARK = re.compile(r"^<!-- figures: (\w+) -->\n\n((?:\|.*\n)+)", re.MULTILINE)

Rows = Mapping[str, Sequence[str | None]]


def main() -> None:
    sys.path.insert(0, str(DOCS))
    import papers

    papers.main()
    for page in PAGES:
        text = page.read_text("utf-8")
        if (filled := fill(text)) != text:
            page.write_text(filled, "utf-8")
            print(f"{page.name}: figures changed")


def fill(page: str) -> str:
    """A page with its figures as the results have them."""
    return MARK.sub(lambda found: f"<!-- figures: {found[1]} -->\n\n{_filled(found[2], TABLES[found[1]]())}", page)


def _filled(table: str, rows: Rows) -> str:
    lines, met = [], set()
    for line in table.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        key = cells[0] if cells[0] in rows else " ".join(cells[:2])
        told = rows.get(key)
        if told is not None:
            met.add(key)
            assert len(told) == len(cells) - 1, f"{cells[0]}: {len(told)} figures for {len(cells) - 1} cells"
            cells[1:] = [cell if figure is None else figure for cell, figure in zip(cells[1:], told, strict=True)]
            line = "| " + " | ".join(cells).replace("|  |", "| |") + " |"
            line = line.replace("|  |", "| |")
        lines.append(line)
    assert met == set(rows), f"no row is called {sorted(set(rows) - met)}"
    return "\n".join(lines) + "\n"


@cache
def found(name: str) -> Any:
    """The results of a file of benchmarks/results."""
    whole = json.loads((RESULTS / f"{name}.json").read_text("utf-8"))
    return whole.get("results", whole) if isinstance(whole, dict) else whole


def hundredths(value: float) -> str:
    """Rounded as people do: the results have three digits, and binary fractions lie beside them."""
    return str(Decimal(str(value)).quantize(Decimal("0.01"), ROUND_HALF_UP))


def decibels(value: float) -> str:
    return f"{hundredths(value)} dB"


def best_bold(values: Sequence[float | None], *, first: int = 0) -> list[str]:
    """Figures with the highest of those from ``first`` on in bold."""
    highest = max(round(each, 2) for each in values[first:] if each is not None)
    shown = []
    for place, value in enumerate(values):
        text = "" if value is None else hundredths(value)
        shown.append(f"**{text}**" if value is not None and place >= first and round(value, 2) == highest else text)
    return shown


# The tables.


def quality() -> Rows:
    def ours(file: str, method: str) -> list[str]:
        return [decibels(each["psnr_median"]) for each in found(file)["methods"][method]]

    curve = found("careamics_n2v")["runs"][0]["curve"]
    near = [min(curve, key=lambda point: abs(point["seconds"] - wanted))["psnr"] for wanted in (10, 30, 110)]
    return {
        "napari-restore, posterior mean (what it chooses here)": ours("denoise_quality_time_start", "posterior"),
        "the same from this image alone (`--start none`)": ours("denoise_quality_time_posterior", "posterior"),
        "napari-restore, N2V2": ours("denoise_quality_time", "noise2void2"),
        "CAREamics N2V": [f"{decibels(near[0])} (10 s)", *map(decibels, near[1:])],
    }


def real_noise() -> Rows:
    peers = {
        name: each for part in found("careamics_real_noise")["frames"].values() for name, each in part["images"].items()
    }
    referee = {name.partition("/")[2]: each for name, each in found("bm3d_frames")["frames"].items()}
    values = {}
    for part in found("real_noise"):
        for name, each in part["psnr_fitted"].items():
            stem = name.removesuffix(".tif").replace("_", " ")
            label = f"FMD {stem}" if part["pair"].startswith("fmd") else f"W2S {stem.replace(' ', ', ')}"
            ways = [each[way] for way in ("noisy", "median", "nlm", "wavelet", "total_variation")]
            judged = [referee[name][way] for way in ("bm3d_estimated", "gat_bm3d_measured", "gat_bm3d_told")]
            values[label] = [*ways, peers[name]["careamics_n2v"], *judged, each["auto"]]
    means = [mean(column) for column in zip(*values.values(), strict=True)]
    return {label: best_bold(row) for label, row in values.items()} | {"mean": [hundredths(each) for each in means]}


def correlated() -> Rows:
    names = {
        "blurred by 0.6 px (neighbours alike by 0.45)": ("correlated_blurred", "blurred 0.6"),
        "blurred by 1.0 px (0.78)": ("correlated_blurred", "blurred 1.0"),
        "blurred by 1.5 px (0.90)": ("correlated_blurred", "blurred 1.5"),
        "zoomed 1.5 times (0.57)": ("correlated_others", "zoom 1.5"),
        "JPEG of quality 50 (0.17)": ("correlated_others", "jpeg 50"),
        "filtered backprojection (0.13)": ("correlated_others", "ct"),
    }
    rows = {}
    for label, (file, part) in names.items():
        each = found(file)[part]
        ways = [each[way] for way in ("noisy", "median", "nlm", "total_variation")]
        learned = [each.get("noise2void2", {}).get("psnr"), each["auto"]["psnr"]]
        rows[label] = [*best_bold([*ways, *learned], first=1), f"`{each['auto']['took']}`"]
    return rows


def photographs() -> Rows:
    classical = {int(each["sigma"]): each["classical"] for each in found("denoise_bsd68_classical")}
    files = {
        15: ["denoise_bsd68_15", "denoise_bsd68_15_noise2void2"],
        50: ["denoise_bsd68_50", "denoise_bsd68_50_noise2void2"],
    }
    files[25] = [f"denoise_bsd68_25_{each}" for each in ("noise2void2", "posterior", "pairs")]
    rows = {}
    for sigma, names in sorted(files.items()):
        learned = {each["method"]: each["psnr"] for name in names for part in found(name) for each in part["learned"]}
        ways = [classical[sigma][way]["psnr"] for way in ("median", "mean", "wavelet", "nlm", "total_variation")]
        networks = ("noise2void2", "posterior", "noise2noise", "supervised_denoising")
        rows[str(sigma)] = [hundredths(each) for each in [*ways, *(learned[network] for network in networks)]]
    return rows


def neighbours() -> Rows:
    names = {
        "the package's microscopy sample, 24 planes": "microscopy", "its tissue sample": "tissue", "its movie": "movie",
        "CT series of 20 slices, noise of 60 HU": "series", "the movie, its light bleaching to a fifth": "bleaching",
        "the movie, its light flickering by a third": "flicker", "the movie's frames in disorder": "movie_shuffled",
        "objects that jump 3 to 8 diameters a frame, before a still texture": "jumping_before_still",
        "the same before nothing": "jumping", "eight pictures of different things": "pictures",
        "the microscopy sample's planes in disorder": "microscopy_shuffled",
    }  # fmt: skip
    return {
        label: [*(hundredths(found("neighbours")[part][way]["psnr"]) for way in ("0", "auto")), None]
        for label, part in names.items()
    }


def deconvolution() -> Rows:
    rows: dict[str, list[str | None]] = {}
    for each in found("deconvolution"):
        ways = each.get("own"), each["own_by_total_variation"], each["best_by_truth"]
        values = [decibels(way["db"]) if way else "" for way in ways]
        rows[f"{SCENES[each['scene']]} {each['photons']} photons"] = [None, decibels(each["measured_db"]), *values]
    return rows


def ways() -> Rows:
    """What each way makes of one stack: PSNR, seconds of one core, memory at its peak."""
    (ours,), (others,) = map(found, ("deconvolution_ways", "deconvolution_cells"))
    learned = next(each for each in found("deconvolution_learned") if each["scene"] == "cells")
    names = {
        "Wiener filter, `--method wiener`": ours["wiener"],
        "Richardson-Lucy, flat patches, `--set prior=total_variation`": ours["richardson_lucy,prior=total_variation"],
        "Richardson-Lucy, its own choice, `--effort instant`": ours["richardson_lucy"],
        "a network on top, `--method learned_richardson_lucy`": learned["learned"],
    }
    rows: dict[str, list[str | None]] = {
        label: [None, decibels(way["db"]), f"{way['processor_seconds']:.0f} s"] for label, way in names.items()
    }
    rows["as measured"] = [None, decibels(ours["measured_db"]), None]
    rows["scikit-image's Richardson-Lucy, stopped by the truth"] = [None, decibels(others["skimage"]["db"]), None]
    return rows


def learned_deconvolution() -> Rows:
    return {
        SCENES[each["scene"]]: [
            decibels(each["measured_db"]),
            *(decibels(each["learned"][name]) for name in ("base_db", "db")),
            f"{100 * each['learned']['trust']:.0f} %",
        ]
        for each in found("deconvolution_learned")
    }


def imaging(files: Mapping[str, str], *, more: int = 0) -> Rows:
    """What a blur or coarse pixels leave, the method, and the same network from clean images."""
    rows: dict[str, list[str | None]] = {}
    for label, file in files.items():
        of = {(row["method"], row["told_noise"]): row["psnr_mean"] for row in found(file)["rows"]}
        clean = [mean for (method, _), mean in of.items() if method == "supervised"]
        ours = next(mean for (method, _), mean in of.items() if method == "scale_equivariant")
        values = [found(file)["interpolated_or_input"], ours, *clean[:1]]
        rows[label] = [*map(decibels, values), *[None] * (3 - len(values) + more)]
    return rows


def scale() -> Rows:
    hours = {each["workers"]: each for each in found("scale")["teravoxel"]}
    return {
        str(workers): [
            f"{each['tasks']}",
            duration(each["tiles_seconds"]),
            f"{100 * each['efficiency_tiles']:.0f} %",
            f"{100 * each['caller_busy']:.3g} %",
            duration(each["tiles_seconds"] + each["pyramid_seconds"]),
            f"{each['repeated']:.0f}",
        ]
        for workers, each in hours.items()
    }


def scale_held() -> Rows:
    return {
        f"{each['workers']} {each['case']}": [
            None,
            f"{each['real_seconds']:.1f} s", f"{each['simulated_seconds']:.1f} s", f"{each['off_percent']:+.1f} %"
        ]
        for each in found("scale")["held_against"]
    }  # fmt: skip


def duration(seconds: float) -> str:
    hours = seconds / 3600
    return f"{hours:.1f} h" if hours < 48 else f"{hours / 24:.1f} days"


SCENES = {
    "cells": "cells", "filaments": "filaments", "nuclei": "nuclei with texture", "beads": "beads of 3 px radius",
}  # fmt: skip
BLURS = {
    "Gaussian, 1 px": "sei_deblur_1", "Gaussian, 2 px (3 seeds)": "sei_deblur_2", "Gaussian, 3 px": "sei_deblur_3",
    "box, 5 x 5": "sei_deblur_box_2", "box, 7 x 7": "sei_deblur_box_3", "box, 9 x 9": "sei_deblur_box_4",
}  # fmt: skip
FACTORS = {"2 × finer (3 seeds)": "sei_sr_2", "3 × finer": "sei_sr_3", "4 × finer": "sei_sr_4"}

TABLES: dict[str, Callable[[], Rows]] = {
    "quality": quality,
    "real_noise": real_noise,
    "correlated": correlated,
    "photographs": photographs,
    "neighbours": neighbours,
    "deblurring": lambda: imaging(BLURS, more=1),
    "super_resolution": lambda: imaging(FACTORS),
    "deconvolution": deconvolution,
    "deconvolution_ways": ways,
    "deconvolution_learned": learned_deconvolution,
    "scale": scale,
    "scale_held": scale_held,
}

if __name__ == "__main__":
    main()
