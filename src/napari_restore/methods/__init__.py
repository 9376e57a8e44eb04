"""Methods by name, and what each of them is. A method is one file and one row here; no row loads torch.

Other packages add theirs by an entry point of the group ``napari_restore.methods`` that gives a row, too.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any

from napari_restore.core.errors import RestoreError
from napari_restore.core.options import Effort
from napari_restore.methods.listed import Listed

if TYPE_CHECKING:
    from napari_restore.methods.method import Method

ENTRY_POINTS = "napari_restore.methods"

MOST_FINER = 8
"""Pixels for one of the image along an axis, at most."""

MOST_THICK = 2.0
"""Distances between planes that a plane is thick, at most: with more there is nothing left to see between them."""

_USUAL: Mapping[Effort, float] = {"quick": 20, "normal": 60, "thorough": 600}
_UNDOING: Mapping[Effort, float] = {"quick": 20, "normal": 55, "thorough": 900}
_CHOOSING: Mapping[Effort, float] = {"instant": 5}
_SCANVIC = (
    "Scanvic J, Davies M, Abry P, Tachella J (2026). Scale-Equivariant Imaging: Self-Supervised Learning for Image "
    "Super-Resolution and Deblurring. IEEE Transactions on Computational Imaging. arXiv:2312.11232"
)
_CHEN = (
    "Chen D, Tachella J, Davies ME (2022). Robust Equivariant Imaging: a fully unsupervised framework for learning to "
    "image from noisy and partial measurements. CVPR. doi:10.1109/CVPR52688.2022.00556"
)

_CADIOU = (
    "Cadiou A, Dervishi M. Self-supervised methods for low-level vision. ENS Paris-Saclay. After Lehtinen J, et al. "
    "(2018). Noise2Noise: Learning Image Restoration without Clean Data. ICML. arXiv:1803.04189"
)

METHODS: dict[str, Listed] = {
    "posterior": Listed(
        where="napari_restore.methods.posterior:Posterior",
        label="Posterior mean",
        citation="Laine S, Karras T, Lehtinen J, Aila T (2019). High-Quality Self-Supervised Deep Image Denoising. "
        "NeurIPS. arXiv:1901.10277",
        seconds={"quick": 5, "normal": 40, "thorough": 600},
        tip="For noise that is independent from pixel to pixel and can be measured: the sharpest without a second "
        "image.",
        along_z=True,
    ),
    "noise2void2": Listed(
        where="napari_restore.methods.noise2void2:Noise2Void2",
        label="Noise2Void2",
        citation="Hoeck E, Buchholz T-O, Brachmann A, Jug F, Freytag A (2022). N2V2 - Fixing Noise2Void Checkerboard "
        "Artifacts with Modified Sampling Strategies and a Tweaked Network Architecture. ECCV Workshops. "
        "doi:10.1007/978-3-031-25069-9_33",
        seconds=_USUAL,
        tip="For noise that is independent from pixel to pixel, of whatever kind.",
        along_z=True,
    ),
    "noise2void": Listed(
        where="napari_restore.methods.noise2void:Noise2Void",
        label="Noise2Void",
        citation="Krull A, Buchholz T-O, Jug F (2019). Noise2Void - Learning Denoising From Single Noisy Images. "
        "CVPR. doi:10.1109/CVPR.2019.00223",
        seconds=_USUAL,
        tip="As Noise2Void2, and the one that asks for the fewest pixels.",
        along_z=True,
    ),
    "struct_noise2void": Listed(
        where="napari_restore.methods.struct_noise2void:StructNoise2Void",
        label="Structured Noise2Void",
        citation="Broaddus C, Krull A, Weigert M, Schmidt U, Myers G (2020). Removing Structured Noise with "
        "Self-Supervised Blind-Spot Networks. ISBI. doi:10.1109/ISBI45749.2020.9098336",
        seconds=_USUAL,
        tip="For noise in stripes: pixels along a row are hidden together.",
        along_z=True,
    ),
    "recorrupted": Listed(
        where="napari_restore.methods.recorrupted:Recorrupted",
        label="Recorrupted",
        citation="Pang T, Zheng H, Quan Y, Ji H (2021). Recorrupted-to-Recorrupted: Unsupervised Deep Learning for "
        "Image Denoising. CVPR. doi:10.1109/CVPR46437.2021.00208",
        seconds={"quick": 10, "normal": 30, "thorough": 300},
        tip="For noise that neighbouring pixels share, alike in all directions, as after resampling.",
        along_z=True,
    ),
    "zero_shot": Listed(
        where="napari_restore.methods.zero_shot:ZeroShot",
        label="Zero-shot",
        citation="Mansour Y, Heckel R (2023). Zero-Shot Noise2Noise: Efficient Image Denoising without any Data. CVPR. "
        "arXiv:2303.11253",
        seconds={"quick": 5, "normal": 10, "thorough": 60},
        tip="A tiny network in seconds, for a first look and for single small images.",
    ),
    "noise2noise": Listed(
        where="napari_restore.methods.noise2noise:Noise2Noise",
        label="Noise2Noise",
        citation="Lehtinen J, Munkberg J, Hasselgren J, Laine S, Karras T, Aittala M, Aila T (2018). Noise2Noise: "
        "Learning Image Restoration without Clean Data. ICML. arXiv:1803.04189",
        seconds=_USUAL,
        needs=("second",),
        tip="The same scene taken twice, with other noise.",
        along_z=True,
    ),
    "supervised_denoising": Listed(
        where="napari_restore.methods.supervised_denoising:SupervisedDenoising",
        label="Supervised denoising",
        citation="Gurrola-Ramos J, Dalmau O, Alarcon T E (2021). A Residual Dense U-Net Neural Network for Image "
        "Denoising. IEEE Access 9. doi:10.1109/ACCESS.2021.3061062",
        seconds=_USUAL,
        needs=("target",),
        tip="The same scene without noise, to learn from.",
        along_z=True,
    ),
    "dropout_unet": Listed(
        where="napari_restore.methods.dropout_unet:DropoutUNet",
        label="U-Net with dropout",
        citation="Mishra S, Chide M, Manmode A, Pandita R, Bhonsle M (2022). Inverse Imaging: Reconstructing "
        "High-Resolution Images from Degraded Images. EasyChair. After Ronneberger O, Fischer P, Brox T (2015). "
        "U-Net. MICCAI. doi:10.1007/978-3-319-24574-4_28",
        seconds=_USUAL,
        needs=("target",),
        tip="To compare with: 15 million weights, for a GPU or for hours.",
        along_z=True,
    ),
    "scale_equivariant": Listed(
        where="napari_restore.methods.scale_equivariant:ScaleEquivariant",
        label="Scale-equivariant imaging",
        citation=_SCANVIC,
        seconds=_UNDOING,
        takes=("second",),
        tip="For blur and for pixels that are too coarse: details of a smaller copy tell what was lost.",
        does="undo",
    ),
    "richardson_lucy": Listed(
        where="napari_restore.methods.richardson_lucy:RichardsonLucy",
        label="Richardson-Lucy",
        citation="Dey N, Blanc-Feraud L, Zimmer C, Roux P, Kam Z, Olivo-Marin J-C, Zerubia J (2006). Richardson-Lucy "
        "algorithm with total variation regularization for 3D confocal microscope deconvolution. Microscopy Research "
        "and Technique 69:260. doi:10.1002/jemt.20294",
        seconds=_CHOOSING,
        tip="For blur, in seconds and without training: classical deconvolution that knows about photons.",
        does="undo",
        learns=False,
    ),
    "learned_richardson_lucy": Listed(
        where="napari_restore.methods.learned_richardson_lucy:LearnedRichardsonLucy",
        label="Learned Richardson-Lucy",
        citation="Efron B (1979). Bootstrap methods: another look at the jackknife. The Annals of Statistics 7:1. "
        "doi:10.1214/aos/1176344552",
        seconds={"quick": 60, "normal": 240, "thorough": 900},
        tip="For blur, on top of Richardson-Lucy: learns from its result, measured again, what it leaves wrong.",
        does="undo",
    ),
    "wiener": Listed(
        where="napari_restore.methods.wiener:Wiener",
        label="Wiener filter",
        citation="Field DJ (1987). Relations between the statistics of natural images and the response properties of "
        "cortical cells. Journal of the Optical Society of America A 4:2379. doi:10.1364/JOSAA.4.002379",
        seconds={"instant": 1},
        tip="For blur, at once: one linear filter. To compare with, and where grey values have to stay in proportion.",
        does="undo",
        learns=False,
    ),
    "total_variation": Listed(
        where="napari_restore.methods.total_variation:TotalVariation",
        label="Total variation",
        citation="Rudin LI, Osher S, Fatemi E (1992). Nonlinear total variation based noise removal algorithms. "
        "Physica D 60:259. doi:10.1016/0167-2789(92)90242-F",
        seconds=_CHOOSING,
        tip="To compare with: flat parts and edges, without training.",
        does="undo",
        learns=False,
    ),
    "deep_image_prior": Listed(
        where="napari_restore.methods.deep_image_prior:DeepImagePrior",
        label="Deep image prior",
        citation="Ulyanov D, Vedaldi A, Lempitsky V (2018). Deep Image Prior. CVPR. doi:10.1109/CVPR.2018.00984. "
        "Chen S, Xu S, Chen X, Li F (2021). Image Denoising Using a Novel Deep Generative Network with Multiple Target "
        "Images and Adaptive Termination Condition. Applied Sciences 11:4803. doi:10.3390/app11114803",
        seconds=_CHOOSING,
        tip="To compare with: a network made anew for each window while restoring; slow.",
        does="undo",
        learns=False,
    ),
    "finer_planes": Listed(
        where="napari_restore.methods.finer_planes:FinerPlanes",
        label="Finer planes",
        citation="Zhao C, Dewey BE, Pham DL, Calabresi PA, Reich DS, Prince JL (2021). SMORE: A self-supervised "
        "anti-aliasing and super-resolution algorithm for MRI using deep learning. IEEE Transactions on Medical "
        "Imaging 40:805. doi:10.1109/TMI.2020.3037187",
        seconds=_USUAL,
        tip="For stacks that are coarse along Z: what thick planes are made of, and what lies between them.",
        does="undo",
    ),
    "inpainting": Listed(
        where="napari_restore.methods.inpainting:Inpainting",
        label="Inpainting",
        citation="Lehtinen J, Munkberg J, Hasselgren J, Laine S, Karras T, Aittala M, Aila T (2018). Noise2Noise: "
        "Learning Image Restoration without Clean Data. ICML. arXiv:1803.04189",
        seconds=_USUAL,
        tip="For missing pixels, lines and planes: interpolation, and what the image itself teaches to add to it.",
        does="undo",
        along_z=True,
    ),
    "interpolation": Listed(
        where="napari_restore.methods.interpolation:Interpolation",
        label="Interpolation",
        citation="Damelin SB, Hoang NS (2018). On Surface Completion and Image Inpainting by Biharmonic Functions: "
        "Numerical Aspects. International Journal of Mathematics and Mathematical Sciences. "
        "doi:10.1155/2018/3950312. Similar patches: Yu G, Sapiro G, Mallat S (2012). Solving Inverse Problems with "
        "Piecewise Linear Estimators. IEEE Transactions on Image Processing 21(5). doi:10.1109/TIP.2011.2176743",
        seconds=_CHOOSING,
        tip="For missing pixels, without training: smooth surfaces, lines along Z, patches that look alike.",
        does="undo",
        learns=False,
        along_z=True,
    ),
    "distilled": Listed(
        where="napari_restore.methods.distilled:Distilled",
        label="Distilled",
        citation="Wang Y, Lin S, Qu Y, Wu H, Zhang Z, Xie Y, Yao A (2021). Towards Compact Single Image "
        "Super-Resolution via Contrastive Self-distillation. IJCAI. doi:10.24963/ijcai.2021/155, arXiv:2105.11683. "
        "After Meher G, Mandhani A, Akilandeshwari P (2023). IJRASET. doi:10.22214/ijraset.2023.51850",
        seconds=_USUAL,
        needs=("target",),
        tip="A smaller and faster copy of another model, made by `distill`.",
        does="copy",
    ),
    "careamics": Listed(
        where="napari_restore.methods.careamics:Careamics",
        label="CAREamics",
        citation="Krull A, Buchholz T-O, Jug F (2019). Noise2Void - Learning Denoising From Single Noisy Images. CVPR. "
        "doi:10.1109/CVPR.2019.00223. As in CAREamics, https://careamics.github.io",
        seconds=_USUAL,
        tip="A network that CAREamics trained, from the package that it exports.",
        does="copy",
    ),
    "sure": Listed(
        where="napari_restore.methods.sure:Sure",
        label="SURE",
        citation="Metzler CA, Mousavi A, Heckel R, Baraniuk RG (2018). Unsupervised Learning with Stein's Unbiased "
        "Risk Estimator. arXiv:1805.10531",
        seconds=_UNDOING,
        takes=("second",),
        tip="To compare with: fits the measured image without its noise, and says nothing of what was lost.",
        does="undo",
    ),
    "equivariant_shift": Listed(
        where="napari_restore.methods.equivariant:EquivariantShift",
        label="Equivariant imaging (shift)",
        citation=_CHEN,
        seconds=_UNDOING,
        takes=("second",),
        tip="To compare with: shifted images instead of smaller ones.",
        does="undo",
    ),
    "equivariant_rotation": Listed(
        where="napari_restore.methods.equivariant:EquivariantRotation",
        label="Equivariant imaging (rotation)",
        citation=_CHEN,
        seconds=_UNDOING,
        takes=("second",),
        tip="To compare with: rotated images instead of smaller ones; of use where the blur is not round.",
        does="undo",
    ),
    "two_exposures": Listed(
        where="napari_restore.methods.two_exposures:TwoExposures",
        label="Two exposures",
        citation="Lehtinen J, Munkberg J, Hasselgren J, Laine S, Karras T, Aittala M, Aila T (2018). Noise2Noise: "
        "Learning Image Restoration without Clean Data. ICML. arXiv:1803.04189. With " + _SCANVIC,
        seconds=_UNDOING,
        needs=("second",),
        tip="For two exposures of one scene with different known blurs: each sees what the other has lost.",
        does="undo",
    ),
    "fourier_noise2noise": Listed(
        where="napari_restore.methods.fourier_noise2noise:FourierNoise2Noise",
        label="Noise2Noise in Fourier space",
        citation=_CADIOU,
        seconds=_UNDOING,
        tip="To compare with: blur taken for noise of the Fourier coefficients, in four variants. Learn from sharp "
        "images.",
        does="undo",
        along_z=True,
    ),
    "denoised_upsampling": Listed(
        where="napari_restore.methods.denoised_upsampling:DenoisedUpsampling",
        label="Denoised upsampling",
        citation=_CADIOU,
        seconds=_UNDOING,
        tip="To compare with: the interpolated image, noised and denoised. It ends below interpolation.",
        does="undo",
    ),
    "srcnn": Listed(
        where="napari_restore.methods.srcnn:Srcnn",
        label="SRCNN",
        citation="Dong C, Loy CC, He K, Tang X (2016). Image Super-Resolution Using Deep Convolutional Networks. IEEE "
        "TPAMI 38:295. doi:10.1109/TPAMI.2015.2439281",
        seconds=_UNDOING,
        needs=("target",),
        tip="To compare with: three layers on the interpolated image, from sharp images.",
        does="undo",
    ),
    "srgan": Listed(
        where="napari_restore.methods.srgan:Srgan",
        label="SRGAN",
        citation="Ledig C, Theis L, Huszar F, Caballero J, Cunningham A, Acosta A, et al. (2017). Photo-Realistic "
        "Single Image Super-Resolution Using a Generative Adversarial Network. CVPR. doi:10.1109/CVPR.2017.19",
        seconds=_UNDOING,
        needs=("target",),
        tip="To compare with: looks sharp, and invents detail. Not for images that are measured.",
        does="undo",
    ),
    "ssirn": Listed(
        where="napari_restore.methods.ssirn:Ssirn",
        label="SSIRN",
        citation="Sushir RD. Exploring Novel Self-Supervised Learning Techniques for Image Reconstruction Tasks. "
        "After Shocher A, Cohen N, Irani M (2018). Zero-Shot Super-Resolution using Deep Internal Learning. CVPR. "
        "doi:10.1109/CVPR.2018.00329",
        seconds=_UNDOING,
        tip="One network for coarse pixels, missing ones and noise, from the image alone.",
        does="undo",
    ),
    "css": Listed(
        where="napari_restore.methods.css:Css",
        label="Measured image as clean",
        citation="Shocher A, Cohen N, Irani M (2018). Zero-Shot Super-Resolution using Deep Internal Learning. CVPR. "
        "doi:10.1109/CVPR.2018.00329",
        seconds=_UNDOING,
        tip="To compare with: right where noise is small, since it learns to restore the noise, too.",
        does="undo",
    ),
    "supervised": Listed(
        where="napari_restore.methods.supervised:Supervised",
        label="Supervised",
        citation="Zhang K, Li Y, Zuo W, Zhang L, Van Gool L, Timofte R (2022). Plug-and-Play Image Restoration with "
        "Deep Denoiser Prior. IEEE TPAMI 44(10). doi:10.1109/TPAMI.2021.3088914",
        seconds=_UNDOING,
        needs=("target",),
        tip="To compare with: learns from the sharp image, which is what the others do without.",
        does="undo",
    ),
}
"""Those that denoise in the order in which they are offered."""


def names() -> list[str]:
    """Every method's name, those of other packages last, without loading any."""
    return list(dict.fromkeys([*METHODS, *(entry.name for entry in entry_points(group=ENTRY_POINTS))]))


def rows() -> dict[str, Listed]:
    """Every method by its name, those of other packages last.

    Warns
    -----
    UserWarning
        Of a row of another package that cannot be had, which is left out.
    """
    found = dict(METHODS)
    for name in names()[len(METHODS) :]:
        try:
            found[name] = listed(name)
        except RestoreError as error:
            warnings.warn(str(error), stacklevel=2)
    return found


def listed(name: str) -> Listed:
    """What a method is.

    Raises
    ------
    RestoreError
        If there is no method of that name, or another package has it and its row cannot be had.
    """
    if name in METHODS:
        return METHODS[name]
    others = {entry.name: entry for entry in entry_points(group=ENTRY_POINTS)}
    if name not in others:
        raise RestoreError(f"There is no method {name!r}: choose from {', '.join(sorted(names()))}.")
    return _row_of(others[name])


def find(name: str) -> type[Method]:
    """The class of a method; loads torch.

    Raises
    ------
    RestoreError
        If there is no method of that name.
    """
    return listed(name).load()


def list_methods() -> list[dict[str, str]]:
    """What there is to restore with: name, label, needs and citation."""
    return [
        {"name": name, "label": row.label, "needs": ", ".join(row.needs) or "-", "citation": row.citation}
        for name, row in sorted(rows().items())
    ]


def configure(name: str, settings: Mapping[str, Any]) -> Any:
    """A method's config from settings given by name, checked against its bounds.

    Raises
    ------
    RestoreError
        On an unknown setting or a value outside its bounds, with the name, the value and the limit.
    """
    from pydantic import ValidationError

    row = listed(name)
    config = row.load().Config
    try:
        return _checker_of(config).validate_python(dict(settings))
    except ValidationError as error:
        first = error.errors()[0]
        setting = ".".join(map(str, first["loc"]))
        if first["type"] == "unexpected_keyword_argument":
            there = ", ".join(field.name for field in fields(config))
            raise RestoreError(f"{row.label} has no setting {setting!r}; there are {there}.") from None
        raise RestoreError(f"{row.label}: {setting} = {repr(first['input'])[:60]}: {first['msg']}.") from None


@cache
def _checker_of(config: type) -> Any:
    """What checks settings for a config; making one takes longer than using it a hundred times."""
    from pydantic import ConfigDict, TypeAdapter, with_config

    return TypeAdapter(with_config(ConfigDict(extra="forbid", allow_inf_nan=False))(config))


def _row_of(entry: EntryPoint) -> Listed:
    """The row that another package gives."""
    told = f"method {entry.name!r} of another package ({entry.value})"
    try:
        row = entry.load()
    except (ImportError, AttributeError) as error:
        raise RestoreError(f"{told} cannot be loaded: {error}. Update that package, or uninstall it.") from error
    if not isinstance(row, Listed):
        raise RestoreError(
            f"{told} is a {type(row).__name__}, and a row is wanted: `napari_restore.methods.listed.Listed`. Update "
            "that package, or uninstall it."
        )
    return row
