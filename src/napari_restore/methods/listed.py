"""A row of the list of methods: what a method is, told without loading it, and torch with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Literal

from napari_restore.core.options import Effort

if TYPE_CHECKING:
    from napari_restore.methods.method import Method

Partner = Literal["second", "target"]
"""What goes with an image: another acquisition, or the clean image."""


@dataclass(frozen=True, kw_only=True)
class Listed:
    """What a method is, for whoever chooses one. Its class has this row as ``listed``, and repeats nothing of it.

    Attributes
    ----------
    where
        Its class, as ``"module:class"``.
    label
        Its name, for people.
    citation
        Its paper, with a DOI or an arXiv number.
    seconds
        Of training for each effort, where nobody says how long; of a method that does not learn, what choosing its
        settings takes, as ``instant``.
    needs
        What it learns from besides the noisy image.
    takes
        What it can use besides the noisy image, and does without.
    tip
        When to take it.
    does
        ``"denoise"`` leaves an image its pixels, ``"undo"`` undoes blur or coarse sampling,
        ``"copy"`` gives what another model gives.
    along_z
        Whether it can look at stacks plane by plane or in 3-D, as its setting ``dimensions`` says.
    learns
        Whether it has weights to train. One that does not is ready as soon as its settings are chosen.
    """

    where: str
    label: str
    citation: str
    seconds: Mapping[Effort, float]
    needs: tuple[Partner, ...] = ()
    takes: tuple[Partner, ...] = ()
    tip: str = ""
    does: Literal["denoise", "undo", "copy"] = "denoise"
    along_z: bool = False
    learns: bool = True

    def load(self) -> type[Method]:
        """The class of the method; loads torch."""
        module, _, attribute = self.where.partition(":")
        found: type[Method] = getattr(import_module(module), attribute)
        return found
