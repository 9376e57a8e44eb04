"""Write docs/papers.md from what the scripts of benchmarks/papers found: ``python docs/papers.py``."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent
RESULTS = DOCS.parent / "benchmarks" / "results"

HEAD = """# Systems of five papers, and what they reach here

Each system is a method by name (`napari-restore methods`). What is here was measured by the scripts named, on one core
of a busy machine, in budgets that are small: read what is above what, not how far a system can go. *Paper* is the
figure that the paper gives, on its own data. This page is written by `docs/papers.py` from
`benchmarks/results/papers_*.json`.
"""

TAIL = """## Left out

**UNSURE** (Tachella, Davies, Jacques 2025, [arXiv:2409.01985](https://arxiv.org/abs/2409.01985)), SURE without the
noise level. It restricts the network to those of divergence 0, whose least squared error is MMSE / (1 - MMSE / variance
of the noise): by its own theorem dBs under SURE where noise is small, as measured (2 x finer 25.40 of 28.77 dB, noise 5
of 255, UNSURE below bicubic). `noise="auto"` measures the level, and ends at 28.76 dB.
"""


@dataclass(frozen=True)
class Table:
    """One part of a script's results, under a heading; ``said`` is what it shows, and what differs from the paper."""

    heading: str
    file: str
    part: str
    said: str


@dataclass(frozen=True)
class Paper:
    """A paper, its tables, and what cannot hold of what it says."""

    title: str
    tables: tuple[Table, ...]
    said: str = ""


PAPERS = (
    Paper(
        "Cadiou and Dervishi, *Self-supervised methods for low-level vision*",
        (
            Table(
                "Table 1: super-resolution as denoising",
                "papers_cadiou",
                "table_1",
                "As there, Noise2Noise is above Noise2Void and both are below bicubic interpolation: the mean of "
                "what is learned is the interpolated picture, which no longer training can pass. Their data are "
                "BSD300, noise is not told and is 25 of 255 here. Scale-equivariant imaging, which sees the same "
                "coarse pictures, is above all.",
            ),
            Table(
                "Section 4.2: deblurring by Noise2Noise",
                "papers_cadiou",
                "deblurring",
                "The blur is motion of 9 px across in the first exposure and down in the second, noise of 2 of 255; "
                "the first is restored. The four variants learn from sharp pictures and random kernels about a "
                "point, as described, and none gains on an instrument's blur. Of their own random blurs (*own blur*, "
                "before and after) only log-Fourier gains, which has the brightness of its kernels to take back; the "
                "second ends near the paper's 29 dB, where it says that a plateau is: below what it began with. *Two "
                "exposures* knows both kernels and sees no sharp picture: it ends dBs above the best of the four, "
                "most of which its Wiener filter gives, and the rest is learned. Their figures are of their own "
                "random kernels, on BSD300, after 20 000 and 100 000 steps.",
            ),
            Table(
                "Figure 2: denoising, noise of 25 of 255",
                "papers_cadiou_denoising",
                "denoising",
                "The order of the paper's figure, but for Noise2Void and the mean of 3 x 3, which needs more steps "
                "than these to be beaten by it: RDUNet (a small one here; 21 epochs there), Noise2Noise (300 000 "
                "steps there), then the others.",
            ),
        ),
    ),
    Paper(
        "Sushir, *Exploring Novel Self-Supervised Learning Techniques for Image Reconstruction Tasks* (SSIRN)",
        (
            Table(
                "Table 2: super-resolution",
                "papers_sushir",
                "super_resolution",
                "DIV2K there, factor and noise not told. SRCNN and SRGAN learn from sharp pictures. The paper has "
                "SSIRN, which sees none, 0.7 dB above SRCNN, which sees them: nothing in its text says how, and here "
                "it is below. The perceptual loss is within seeds of the pixels' alone, in all three measures. The "
                "adversarial one is stable over three seeds and worse in all three: the images that the judge sees "
                "have their noise. Both invent detail where they add some.",
            ),
            Table(
                "Table 3: inpainting",
                "papers_sushir",
                "inpainting",
                "An *accuracy* of an inpainted picture is not defined there; PSNR at the missing pixels stands here. "
                "Known pixels have noise of 10 of 255, which biharmonic interpolation keeps.",
            ),
            Table(
                "Table 4: denoising, noise of 25 of 255",
                "papers_sushir",
                "denoising",
                "Set14 there, noise not told. SSIRN sees no clean picture: here it is below SRCNN, which does; the "
                "paper has it above. Its network learns from noise that is independent of its target's (recorruption), "
                "which the paper does not say: with noise added to what it sees alone it ended 1.9 dB lower.",
            ),
        ),
        "Equations, architecture and budget are not given in the paper: relations between scales, context and noise "
        "are ours.",
    ),
    Paper(
        "Scanvic, Davies, Abry, Tachella, *Scale-Equivariant Imaging*",
        (
            Table(
                "Gaussian blur of 2 px, noise of 5 of 255",
                "papers_scanvic",
                "",
                "DIV2K, SwinIR of 11.5 million weights and 50 000 steps there. As there, SEI ends beside what learns "
                "from sharp pictures and above SURE, and with the gradient not stopped far below both. The deep image "
                "prior is judged on one picture, beside what that was measured as.",
            ),
        ),
        "Long budgets and three seeds, other blurs (Gaussian 1 and 3 px, boxes of 2, 3 and 4 px), factors 2, 3 and "
        "4, wrong levels and PSFs: [super-resolution](super-resolution.md), [deblurring](deblurring.md).",
    ),
    Paper(
        "Mishra et al., *Inverse Imaging*",
        (
            Table(
                "U-Net with dropout on pairs, blurred by 1 px, noise of 5",
                "papers_mishra",
                "pairs",
                "A narrower U-Net than theirs (`width=53` has its 15 million weights) and flowers there. An "
                "*accuracy* of 92.01 % is not a measure of restored pixels, and its being above that of the training "
                "data says that it was not measured on the same.",
            ),
            Table(
                "Deep image prior, noise of 25 of 255",
                "papers_mishra_prior",
                "prior",
                "The paper has no figure of it. One picture, few steps: what is to stop by the noise does not get "
                "there, so that both rows are the same; what is stopped by the risk is a network that sees the "
                "picture. Total variation is above all of them, in a hundredth of the time.",
            ),
        ),
    ),
    Paper(
        "Meher, Mandhani, Akilandeshwari, contrastive self-distillation",
        (
            Table(
                "2 x finer, Set12",
                "distillation_super",
                "copies",
                "EDSR and DIV2K there, 4 x finer: sixteen times fewer weights for 0.2 dB. Here a copy with 15.7 times "
                "fewer is 0.13 to 0.24 dB below its teacher (three seeds), and nearly 7 times as fast. Where there are "
                "sharp pictures, a network as small that learns from them at the copy's rate ends within 0.2 dB of the "
                "copy: a teacher adds little.",
            ),
            Table(
                "A denoiser of eight pictures, the posterior mean",
                "distillation_posterior",
                "copies",
                "Not in the paper: the copy makes one pass instead of four, looks for no patches, and sees half of its "
                "patches with noise drawn anew. Three seeds.",
            ),
            Table(
                "A denoiser that looks at neighbouring planes",
                "distillation_stack",
                "copies",
                "Not in the paper. The microscopy sample; the copy is shown the same planes.",
            ),
        ),
        "More: [distillation](distillation.md).",
    ),
)

COLUMNS = {
    "system": "system",
    "paper": "paper",
    "psnr": "PSNR (dB)",
    "ssim": "SSIM",
    "perceptual": "distance of features",
    "own_blur_before": "own blur, before",
    "own_blur": "own blur, after",
    "same_images_measured": "the same measured",
    "seed": "seed",
    "steps": "steps",
    "weights": "weights",
    "speed": "Mpx/s",
}


def main() -> None:
    (DOCS / "papers.md").write_text(page(), "utf-8")


def page() -> str:
    """What the page says."""
    return "\n".join([HEAD, *(line for paper in PAPERS for line in of_paper(paper)), TAIL])


def of_paper(paper: Paper) -> Iterator[str]:
    yield f"## {paper.title}\n"
    if paper.said:
        yield f"{fill(paper.said)}\n"
    for table in paper.tables:
        report = json.loads((RESULTS / f"{table.file}.json").read_text("utf-8"))
        rows = report["results"]
        if table.part:
            rows = copies(rows) if table.part == "copies" else rows[table.part]
        yield f"### {table.heading}\n"
        yield f"{in_columns(rows)}\n"
        yield f"{fill(table.said)}\n"
        others = "".join(f"; {row['system']}: `{row['command']}`" for row in rows if "command" in row)
        yield f"`{report['command']}`{others}, {report['date'][:10]}, {report['hardware']['cpu']}.\n"


def copies(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Teacher and copy of each run of ``benchmarks/distillation.py``, a row each."""
    rows: list[dict[str, Any]] = []
    for run in results:
        test = run.get("set12", {})
        found = [test.get("teacher", run.get("teacher_psnr")), test.get("copy", run.get("copy_psnr"))]
        for name, psnr, weights, speed in zip(
            ("teacher", "copy"), found, run["weights"], run["megapixels_a_second"], strict=True
        ):
            rows.append({"system": name, "psnr": round(psnr, 2), "weights": weights, "speed": speed})
        if test:
            rows.append({"system": "bicubic", "psnr": round(test["bicubic"], 2)})
            for rate, psnr in test["same_without_teacher"].items():
                name = f"as small, without a teacher, {rate.replace('_', ' ')}"
                rows.append({"system": name, "psnr": round(psnr, 2), "weights": run["weights"][1]})
    return rows


def fill(text: str) -> str:
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False)


def in_columns(rows: list[dict[str, Any]]) -> str:
    """A table of those columns that any row fills."""
    shown = [name for name in COLUMNS if any(row.get(name) is not None for row in rows)]
    lines = [[COLUMNS[name] for name in shown], ["---"] * len(shown)]
    lines += [["" if row.get(name) is None else str(row[name]) for name in shown] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    main()
