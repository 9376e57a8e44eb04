"""Write the figures of tables in the README and the docs from benchmarks/results: ``python docs/figures.py``.

A table of which the figures are measured stands under a line ``<!-- figures: NAME -->``. NAME is a row of ``TABLES``
here: for each of its rows, by the first cell, the cells after it. None leaves a cell as it is; rows that are not here
are words. A sentence with measured figures is in ``SENTENCES``, by its page and with ``{}`` for each figure.
``docs/papers.md`` is written whole, by ``papers.py``; all are compared with what is in the pages by
``tests/unit/test_docs.py``, and a figure that is in neither has its script or its results named beside it.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from decimal import ROUND_CEILING, ROUND_HALF_UP, Decimal
from functools import cache
from pathlib import Path
from statistics import mean, median
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
        if (filled := fill(text, page.name)) != text:
            page.write_text(filled, "utf-8")
            print(f"{page.name}: figures changed")


def fill(page: str, name: str) -> str:
    """The page of this name with its figures as the results have them."""
    page = MARK.sub(lambda found: f"<!-- figures: {found[1]} -->\n\n{_filled(found[2], TABLES[found[1]]())}", page)
    for words, figures in SENTENCES.get(name, {}).items():
        found, told = sentence(words, page), figures()
        assert found.re.groups == len(told), f"{len(told)} figures for {words!r}"
        for place, figure in reversed(list(enumerate(told, 1))):
            page = page[: found.start(place)] + figure + page[found.end(place) :]
    return page


def sentence(words: str, page: str) -> re.Match[str]:
    """Where such a sentence stands in a page, once, whatever its figures and the ends of its lines are."""
    parts = [r"\s+".join(map(re.escape, re.split(r"\s+", part))) for part in words.split("{}")]
    [found] = re.finditer(r"(-?\d+(?:\.\d+)?)".join(parts), page)
    return found


UNIT = re.compile(r"\d\*{0,2} (?:dB|Mpx/s|s of (?:a|one)(?: core| processor))")
PLACE = re.compile(r"`[^`]*\.(?:py|json)\b|benchmarks/results|in\s+no\s+file\s+of\s+results")


def unsourced(page: str, name: str) -> list[str]:
    """Paragraphs with a measured figure that neither a table nor a sentence has, and that name no place of it.

    A table may have its place in the paragraph before it, or after.
    """
    page = re.sub(r"^```.*?^```", "", page, flags=re.MULTILINE | re.DOTALL)
    page = MARK.sub("", page)
    for words in SENTENCES.get(name, {}):
        found = sentence(words, page)
        page = page[: found.start()] + re.sub(r"\d", "", found[0]) + page[found.end() :]
    parts = re.split(r"\n\s*\n|\n(?=- |#)", page)
    around = ["\n".join(parts[max(0, i - 1) : i + 2]) if each.startswith("|") else each for i, each in enumerate(parts)]
    return [each for each, near in zip(parts, around, strict=True) if UNIT.search(each) and not PLACE.search(near)]


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
        "the same from this image alone (`--start none`, `similar=no`)": ours(
            "denoise_quality_time_posterior", "posterior"
        ),
        "napari-restore, N2V2 (`similar=no`)": ours("denoise_quality_time", "noise2void2"),
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
            label = frame_label(f"{part['pair'].partition('/')[0]}/{name}")
            ways = [each[way] for way in ("noisy", "median", "nlm", "wavelet", "total_variation")]
            judged = [referee[name][way] for way in ("bm3d_estimated", "gat_bm3d_measured", "gat_bm3d_told")]
            values[label] = [*ways, peers[name]["careamics_n2v"], *judged, each["auto"]]
    means = [mean(column) for column in zip(*values.values(), strict=True)]
    return {label: best_bold(row) for label, row in values.items()} | {"mean": [hundredths(each) for each in means]}


def unseen_frames() -> Rows:
    """Of each frame: noisy, the referee, and medians of the seeds after fewer and more steps."""
    referee, ours = found("bm3d_frames_unseen")["frames"], found("start_frames_unseen")
    values = {
        frame_label(name): [
            *(referee[name][way] for way in ("noisy", "gat_bm3d_measured", "gat_bm3d_told")),
            *(median(each[f"{steps} auto {seed}"]["psnr"] for seed in range(3)) for steps in (400, 1500)),
        ]
        for name, each in ours.items()
    }
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
    automatic, truth = found("correlated_auto") | found("correlated_auto_1200"), found("correlated_truth")
    rows = {}
    for label, (file, part) in names.items():
        each, auto = found(file)[part], automatic[part]["auto"]
        ways = [each[way] for way in ("noisy", "median", "nlm", "total_variation")]
        learned = [each.get("noise2void2", {}).get("psnr"), auto["psnr"]]
        taught = hundredths(truth[part]["supervised_denoising"]["psnr"]) if part in truth else None
        rows[label] = [*best_bold([*ways, *learned], first=1), f"`{auto['took']}`", taught]
    return rows


def photographs() -> Rows:
    classical = {int(each["sigma"]): each["classical"] for each in found("denoise_bsd68_classical")}
    files = {
        15: ["denoise_bsd68_15", "denoise_bsd68_15_noise2void2"],
        50: ["denoise_bsd68_50", "denoise_bsd68_50_noise2void2"],
    }
    files[25] = [f"denoise_bsd68_25_{each}" for each in ("noise2void2", "pairs")]
    posterior = {int(each["sigma"]): each["learned"][0]["psnr"] for each in found("denoise_bsd68_posterior")}
    rows = {}
    for sigma, names in sorted(files.items()):
        learned = {each["method"]: each["psnr"] for name in names for part in found(name) for each in part["learned"]}
        learned["posterior"] = posterior[sigma]
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
    """Four scenes at three levels of light: by the truth where it was asked, classical, and learned on top of that."""
    rows: dict[str, list[str | None]] = {}
    for each in found("deconvolution"):
        learned, best = each["learned"], each.get("best_by_truth")
        values = [each["measured_db"], best and best["db"], learned["base_db"], learned["db"]]
        told = ["" if value is None else decibels(value) for value in values]
        rows[f"{SCENES[each['scene']]} {each['photons']} photons"] = [None, *told, f"{100 * learned['trust']:.0f} %"]
    return rows


def ways() -> Rows:
    """What each way makes of one stack, whatever photons came: mean PSNR, seconds of one core."""
    runs, [others] = found("deconvolution_ways"), found("deconvolution_cells")
    names = {
        "Wiener filter, `--method wiener`": "wiener",
        "Richardson-Lucy, flat patches, `--set prior=total_variation`": "richardson_lucy,prior=total_variation",
        "Richardson-Lucy, its own choice, `--effort instant`": "own",
        "the best of its settings by the truth": "best_by_truth",
        "a network on top, `--method learned_richardson_lucy`": "learned",
        "denoised first, see below": "denoised_first",
    }
    rows: dict[str, list[str | None]] = {}
    rows["as measured"] = [None, decibels(mean(each["measured_db"] for each in runs)), None]
    for label, way in names.items():
        seconds = [each[way].get("processor_seconds", 0.0) for each in runs]
        spent = f"{mean(seconds):.0f} s" if all(seconds) else None
        rows[label] = [None, decibels(mean(each[way]["db"] for each in runs)), spent]
    for label, way in (("scikit-image's", "skimage"), ("RedLionfish's", "RedLionfish")):
        rows[f"{label} Richardson-Lucy, stopped by the truth"] = [None, decibels(others[way]["db"]), None]
    return rows


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
            f"{each['real_seconds']:.1f} s", f"{each['simulated_seconds']:.1f} s", f"{each['off_percent'] + 0.0:+.1f} %"
        ]
        for each in found("scale")["held_against"]
    }  # fmt: skip


def frame_label(name: str) -> str:
    """What the pages call a frame of a collection."""
    collection, _, frame = name.removesuffix(".tif").replace("_", " ").partition("/")
    return f"FMD {frame}" if collection.startswith("fmd") else f"W2S {frame.replace(' ', ', ')}"


def starts() -> dict[str, list[float]]:
    """Of each frame: 100 steps without and with start weights, 1000 with, 60 s without, 3 s with all there is."""
    whole, quick = (
        {name: each["auto"] for part in found(file) for name, each in part["psnr_fitted"].items()}
        for file in ("real_noise_start_none", "real_noise_3_seconds")
    )
    return {
        frame_label(name): [
            *(each[way]["psnr"] for way in ("100 none 0", "100 auto 0", "1000 auto 0")),
            *(each[name.partition("/")[2]] for each in (whole, quick)),
        ]
        for name, each in found("start_frames").items()
    }


def similar_patches() -> Rows:
    made = {
        "microscopy": "the package's microscopy sample",
        "tissue": "its tissue sample",
        "movie": "its movie",
        "bleaching": "the movie, its light bleaching to a fifth",
        "jumping": "objects that jump before nothing",
        "pictures": "eight pictures of different things",
    }
    return {
        made.get(name) or frame_label(name): [
            *(hundredths(each[way]["psnr"]) for way in ("no", "yes")),
            ", ".join(map(hundredths, each["share"])),
        ]
        for name, each in found("similar_patches").items()
    }


def start_frames() -> Rows:
    values = starts()
    means = [mean(column) for column in zip(*values.values(), strict=True)]
    return {label: [hundredths(each) for each in row] for label, row in [*values.items(), ("mean", means)]}


def distillation() -> Rows:
    rows: Rows = {}
    for row in [*found("distillation_posterior"), *found("distillation_frames")]:
        name = row.get("frame", "the 8 images").replace("w2s/", "W2S ")
        seed = f", seed {row['seed']}" if row["seed"] else ""
        rows[f"{name}, copy of {row['steps']} steps{seed}"] = [
            decibels(row["teacher_psnr"]),
            decibels(row["copy_psnr"]),
            *map(hundredths, row["megapixels_a_second"]),
            tenth(row["times_as_fast"]),
        ]
    return rows


def kept() -> Rows:
    """Medians of the seeds."""
    names = {
        "six pictures of Set12, white noise of 5, N2V2": "white 5",
        "the same, white noise of 10": "white 10",
        "the same, white noise of 25": "white 25",
        "the same, noise of 25 alike along rows, structured Noise2Void": "rows 25",
        "the same, lines of 15 and white noise of 10": "lines 15, white 10",
        "a slice of sandstone, noise of 1 % that neighbours share": "Sandstone_Versa0000, 1 % of its range",
        "the same, noise of 5 %": "Sandstone_Versa0000, 5 % of its range",
        "a slice of foam, noise of 1 % that neighbours share": "recon_clean, 1 % of its range",
        "the same foam, noise of 5 %": "recon_clean, 5 % of its range",
        **{f"FMD {name}": f"frame {name.replace(' ', '_')}.tif" for name in ("BPAE G", "BPAE R", "mice")},
        "FMD BPAE B, N2V2": "frame BPAE_B.tif",
    }

    def row(case: str) -> list[str]:
        seeds = [each for each in found("kept") if each["case"] == case]
        psnrs = [hundredths(median(each[name] for each in seeds)) for name in ("psnr_noisy", "psnr_without", "psnr")]
        return [*psnrs, f"{100 * median(max(each['kept']) for each in seeds):.0f} %"]

    return {name: row(case) for name, case in names.items()}


def hardly_any_noise() -> Rows:
    """Some of its cases."""
    names = {
        "slice of a foam, {} %": ("recon_clean, {} %", ("0.3", "1", "3")),
        "made walls, sharp, {} %": ("sharp walls, {} %", ("0.3", "1", "3")),
        "made walls, blurred, {} %": ("walls, {} %", ("0.3", "1", "3")),
        "filaments of {} photons at most, read noise of 0.5": (
            "filaments, {} photons, read noise 0.5",
            ("20", "100", "500"),
        ),
    }
    cases = {
        name.format(each): found("hardly_any_noise")[case.format(each)]
        for name, (case, several) in names.items()
        for each in several
    }
    return {
        name: [*(hundredths(row[which]) for which in ("noisy", "restored", "least_gain")), told_gain(row["said"])]
        for name, row in cases.items()
    }


def told_gain(said: float | None) -> str:
    return "" if said is None else hundredths(said)


def distillation_super(file: str = "distillation_super", taught: str = "teacher, from sharp pictures") -> Rows:
    """Of each seed on Set12 and BSD68; weights and speed of the first."""
    seeds = found(file)
    weights, speed = map(str, seeds[0]["weights"]), map(hundredths, seeds[0]["megapixels_a_second"])

    def each(of: Callable[[Any], float]) -> list[str]:
        return [", ".join(hundredths(of(row[test])) for row in seeds) for test in ("set12", "bsd68")]

    return {
        "cubic interpolation": [None, *(hundredths(seeds[0][test]["bicubic"]) for test in ("set12", "bsd68")), None],
        taught: [next(weights), *each(lambda psnr: psnr["teacher"]), next(speed)],
        "its copy": [next(weights), *each(lambda psnr: psnr["copy"]), next(speed)],
        "as small, at the copy's learning rate": [
            None,
            *each(lambda psnr: psnr["same_without_teacher"]["rate_of_copy"]),
            None,
        ],
        "as small, at its own": [None, *each(lambda psnr: psnr["same_without_teacher"]["own_rate"]), None],
    }


def distillation_super_alone() -> Rows:
    return distillation_super("distillation_super_alone", "teacher, from the coarse pictures alone")


def inpainting() -> Rows:
    eight, unseen, ct = found("inpainting_eight"), found("inpainting_bsd68"), found("inpainting_ct_pixels")
    names = {
        "25 % of the pixels, no noise": eight["random"],
        "the same, noise of 10 of 255": eight["noisy"],
        "scratches of 4 pixels": eight["scratches"],
        "gaps of 4 lines, 23 % of the image": eight["lines"],
        "8 of BSD68: 25 % of the pixels, no noise": unseen["random"],
        "8 of BSD68: noise of 10 of 255": unseen["noisy"],
        "8 of BSD68: scratches": unseen["scratches"],
        "8 slices of a CT: 25 % of the pixels, no noise": ct["random"],
        "8 slices of a CT: noise of 10 of 255": ct["noisy"],
        "8 slices of a CT: scratches": ct["scratches"],
        "8 slices of a CT: gaps of 4 lines": ct["lines"],
        "one CT slice of four": found("inpainting_ct")["ct"],
    }
    rows = {}
    for label, each in names.items():
        others, then = each["others"], each["others"].get("biharmonic_then_denoised")
        first = (
            hundredths(others["biharmonic"])
            if "linear" not in others
            else f"{hundredths(others['linear'])} (line along Z)"
        )
        first += f" (then denoised {hundredths(then)})" if then else ""
        rows[label] = [first, hundredths(each["instant"]["psnr"]), hundredths(each["median"])]
    return rows


def finer_planes() -> Rows:
    names = {"tissue": "tissue", "microscopy": "microscopy", "CT, which looks otherwise along Z": "ct"}
    of = {(each["volume"], each["profile"]): each for each in found("finer_planes")}
    return {
        label: [decibels(of[volume, profile][way]) for profile in ("box", "gaussian") for way in ("psnr_cubic", "psnr")]
        for label, volume in names.items()
    }


def told(*files: str, method: str = "scale_equivariant") -> dict[tuple[str, str], float]:
    """PSNR by the noise and the PSF that a method was told."""
    rows = [row for file in files for row in found(file)["rows"] if row["method"] == method]
    return {(row["told_noise"], row["told_psf"]): row["psnr_mean"] for row in rows}


def wrong_noise() -> Rows:
    sure = told("sei_sr_2", "sei_sr_2_wrong_noise", "sei_sr_2_wrong_noise_less")
    other = told("sei_sr_2_r2r", "sei_sr_2_wrong_noise_r2r")
    noises = ("x0.5", "true", "x1.5", "x2", "x3")
    return {
        label: [decibels(of[noise, ""]) for noise in noises]
        for label, of in (("`risk=sure`, the default", sure), ("`risk=r2r`", other))
    }


def wrong_blur() -> Rows:
    of = told("sei_deblur_2", "sei_deblur_2_wrong_noise", "sei_deblur_2_wrong_psf")
    names = {
        "the truth": ("true", "gaussian:2"),
        "`--noise auto` (it found 5.10)": ("auto", "gaussian:2"),
        "half the noise": ("x0.5", "gaussian:2"),
        "twice the noise": ("x2", "gaussian:2"),
        "PSF 1.6 px": ("true", "gaussian:1.6"),
        "PSF 2.4 px": ("true", "gaussian:2.4"),
    }
    return {label: [hundredths(of[each]), None] for label, each in names.items()}


def speeds() -> list[str]:
    """Of a whole restoration, megapixels a second in float32 and in bfloat16."""
    of = {each["precision"]: each["restore_whole_mpx_per_s"] for each in found("restore_throughput")}
    return [hundredths(of[precision]) for precision in ("float32", "bfloat16")]


def teravoxel() -> Rows:
    rows = {}
    for speed, precision in zip(speeds(), ("float32", "bfloat16"), strict=True):
        seconds = 10**6 / float(speed)
        rows[f"{speed} Mpx/s: a core, {precision}, width 16 (measured)"] = [duration(seconds), hours(seconds / 8)]
    return rows


def export_kinds() -> Rows:
    """What the zoo's test says of each method's package, how far ONNX and method are apart, and seconds to export."""

    def of(each: Mapping[str, Any]) -> list[str]:
        if "refused" in each:
            return ["refused", "", ""]
        return ["passed" if each["passed"] else "failed", f"{each['apart']:.1e}", f"{each['export_seconds']:.0f}"]

    return {f"`{name}`": of(each) for name, each in found("export_kinds").items()}


def hours(seconds: float) -> str:
    return f"{seconds / 3600:.0f} h"


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


def kept_of_noise(name: str) -> Sequence[str]:
    """The least and the most of all frames and signals, in percent."""
    kept = [each[f"{signal}_kept"] for each in found(name) for signal in ("dark", "middle", "bright")]
    return [f"{100 * each:.1f}" for each in (min(kept), max(kept))]


def error_bars() -> Rows:
    rows = {}
    for name, each in found("error_bars")["rows"].items():
        if "/" not in name:  # made, or a picture
            continue
        held = f"{tenth(100 * each['holds'])} %"
        within = 0.87 <= each["holds"] <= 0.93
        part = f"{tenth(100 * each['mean_width'] / each['range'])} %"
        rows[frame_label(name)] = [held if within else f"**{held}**", part, hundredths(each["width_over_needed"])]
    return rows


def estimated() -> Rows:
    """Of each kind of case: how many, the median of what too much was promised, and the root of its mean square."""
    kinds = found("estimate")
    names = {
        "stacks": "stacks of eight pictures",
        "pictures": "single pictures",
        "samples": "samples",
        "frames": "frames",
    }
    rows = {name: kinds[kind] for kind, name in names.items()} | {"all": kinds["all"]}
    keys = ("median", "root_mean_square")
    return {name: [str(each["of"]), *(hundredths(each[key]) for key in keys)] for name, each in rows.items()}


TABLES: dict[str, Callable[[], Rows]] = {
    "quality": quality,
    "real_noise": real_noise,
    "unseen_frames": unseen_frames,
    "correlated": correlated,
    "photographs": photographs,
    "neighbours": neighbours,
    "deblurring": lambda: imaging(BLURS, more=1),
    "super_resolution": lambda: imaging(FACTORS),
    "deconvolution": deconvolution,
    "deconvolution_ways": ways,
    "scale": scale,
    "scale_held": scale_held,
    "quality_beside": quality,
    "similar_patches": similar_patches,
    "start_frames": start_frames,
    "hardly_any_noise": hardly_any_noise,
    "kept": kept,
    "distillation": distillation,
    "distillation_super": distillation_super,
    "distillation_super_alone": distillation_super_alone,
    "error_bars": error_bars,
    "estimated": estimated,
    "inpainting": inpainting,
    "finer_planes": finer_planes,
    "wrong_noise": wrong_noise,
    "wrong_blur": wrong_blur,
    "teravoxel": teravoxel,
    "export_kinds": export_kinds,
}


# The sentences.


def tenth(value: float) -> str:
    return str(Decimal(str(value)).quantize(Decimal("0.1"), ROUND_HALF_UP))


def noisy() -> list[str]:
    return [hundredths(found("denoise_quality_time")["psnr_noisy"])]


def finer_than_bicubic() -> list[str]:
    """Over bicubic, and within so much of the same network with clean images, which is rounded up."""
    clean = told("sei_sr_2", method="supervised")["true", ""]
    ours, bicubic = told("sei_sr_2")["true", ""], found("sei_sr_2")["interpolated_or_input"]
    return [tenth(ours - bicubic), str(Decimal(str(clean - ours)).quantize(Decimal("0.1"), ROUND_CEILING))]


def real_frames() -> list[str]:
    ways = ("median", "nlm", "wavelet", "total_variation")
    frames = [each for part in found("real_noise") for each in part["psnr_fitted"].values()]
    peers = [each for part in found("careamics_real_noise")["frames"].values() for each in part["images"].values()]
    referee = found("bm3d_frames")["frames"].values()
    return [
        hundredths(mean(each["auto"] for each in frames)),
        hundredths(mean(each["careamics_n2v"] for each in peers)),
        hundredths(mean(each["gat_bm3d_measured"] for each in referee)),
        tenth(mean(max(each[way] for way in ways) for each in frames)),
    ]


def fast() -> list[str]:
    return [tenth(float(speed)) for speed in reversed(speeds())]


def ten_million() -> list[str]:
    found_there = found("scale_journal")
    return [
        tenth(found_there["journal_bytes"] / 1e9),
        f"{found_there['journal_read_seconds']:.0f}",
        tenth(found_there["memory_bytes"] / 1e9),
    ]


def alone() -> list[str]:
    """Hours that the pyramid would take one process, and how many workers are as quick with all tiles; to fives."""
    one = found("scale")["teravoxel"][0]
    return [tenth(one["alone_seconds"] / 3600), f"{5 * round(one['tiles_seconds'] / one['alone_seconds'] / 5)}"]


def short_starts() -> list[str]:
    """What 100 steps on W2S fall short of 60 s by, and the farthest that 1000 steps lie below and above."""
    short = [row[3] - row[1] for label, row in starts().items() if label.startswith("W2S")]
    apart = [row[2] - row[3] for row in starts().values()]
    return [*map(hundredths, (min(short), max(short), -min(apart), max(apart)))]


def long_starts() -> list[str]:
    frames = [found("start_frames")[name] for name in ("fmd/BPAE_G.tif", "w2s/010_1.tif")]
    return [hundredths(each[f"1000 {way} 0"]["psnr"]) for way in ("auto", "none") for each in frames]


def ends(*methods: str, blur: str = "gaussian:2") -> list[str]:
    """Where methods end for the blur of 2 px; ``long`` is SURE after three times the steps."""
    shown = []
    for method in methods:
        files = ("sei_deblur_2_sure_long",) if method == "long" else ("sei_deblur_2", "sei_deblur_2_others")
        shown.append(hundredths(told(*files, method="sure" if method == "long" else method)["true", blur]))
    return shown


def supervised() -> list[str]:
    return [*ends("supervised"), hundredths(told("sei_sr_2", method="supervised")["true", ""])]


def scale_equivariant() -> list[str]:
    sharp, measured = found("sei_sr_2"), found("sei_deblur_2")
    finer = [told("sei_sr_2")["true", ""], sharp["interpolated_or_input"]]
    finer += [told("sei_sr_2", method="supervised")["true", ""]]
    own, clean = ends("scale_equivariant", "supervised")
    return [*map(hundredths, finer), own, hundredths(measured["interpolated_or_input"]), clean]


SENTENCES: dict[str, dict[str, Callable[[], Sequence[str]]]] = {
    "README.md": {
        "sigma 25 of 255, PSNR {} dB": noisy,
        "x 2 finer, {} dB over bicubic and within {} dB of the same network": finer_than_bicubic,
        "BM3D, told how strong the noise is, gives {} dB": lambda: [
            hundredths(found("bm3d_frames")["eight_images"]["mean_bm3d_told"])
        ],
        "one core: {} dB on average, CAREamics N2V {} dB in the same time, BM3D behind Anscombe's transform, with the "
        "noise as it is measured here, {} dB, and the best of median, NLM, wavelets and total variation, each tuned on "
        "the clean frame, {} dB": real_frames,
        "array to OME-Zarr, runs at {} Mpx/s on the same core (bfloat16; {} in float32)": fast,
    },
    "cluster.md": {
        "the calling process would take {} h for it, from about {} workers on": alone,
        "the journal has {} GB, and a run that goes on reads it in {} s of a processor and holds {} GB": ten_million,
    },
    "deblurring.md": {
        "the blurred images have {} dB": lambda: [hundredths(found("sei_deblur_2")["interpolated_or_input"])],
        "ways end at {} (equivariant to shifts), {} (SURE alone; {} after three times the steps) and {} dB": lambda: (
            ends("equivariant_shift", "sure", "long", "equivariant_rotation")
        ),
        "Richardson-Lucy, tuned on the truth, at {} dB": lambda: [
            hundredths(found("sei_deblur_2_baselines")["baselines"]["richardson_lucy"])
        ],
        "{} x {} x {} px at half its maximum to {} x {} x {} (": lambda: [
            f"{pixels:.1f}" for each in ("measured_px", "restored_px") for pixels in found("measured_psf")[each]
        ],
    },
    "measuring.md": {
        "kept {} to {} % of the deviation of noise alone": lambda: kept_of_noise("noise_alone"),
        "of these after 400 steps {} to {} %; before": lambda: kept_of_noise("noise_alone_400"),
    },
    "denoising.md": {
        "and {} to {} dB less on those of W2S; 1000 steps (14 to 17 s with everything) lie between {} dB below and "
        "{} above": short_starts,
        "as long without, {} and {} beside {} and {} (BPAE G, W2S 010)": long_starts,
    },
    "large-images.md": {"2048 x 2048, {} and {} Mpx/s, a busy machine": speeds},
    "methods.md": {
        "Gaussian noise of 25 of 255, {} dB": noisy,
        "noise of 5 of 255: 2 x finer {} dB (bicubic {}, the same network with clean images {}); Gaussian blur of "
        "2 px {} dB (measured {}, with clean images {})": scale_equivariant,
        "ends at {} dB, `scale_equivariant` at {} after the same time, and {} after three": lambda: ends(
            "sure", "scale_equivariant", "long"
        ),
        "the same blur ends at {} dB (shift) and {} dB (rotation), `scale_equivariant` at {}": lambda: ends(
            "equivariant_shift", "equivariant_rotation", "scale_equivariant"
        ),
        "learns to restore the noise, too. The same blur ends at {} dB": lambda: ends("css"),
        "to know the limit. Gaussian blur of 2 px ends at {} dB, 2 x finer at {} dB": supervised,
    },
    "super-resolution.md": {
        "80 images (bicubic: {} dB)": lambda: [hundredths(found("sei_sr_2")["interpolated_or_input"])],
        "`--noise auto` ended at {} dB": lambda: [hundredths(told("sei_sr_2_auto_noise")["auto", ""])],
    },
}
"""By page, what is said, with ``{}`` for a figure, and its figures."""

if __name__ == "__main__":
    main()
