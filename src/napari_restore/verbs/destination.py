"""Where a result goes: where it was asked for, which is ours until it is there, or into a temporary folder."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from napari_restore.restoration.result import Restored
from napari_restore.restoration.temporary import TemporaryFolder
from napari_restore.sources import Image
from napari_restore.store import output as outputs
from napari_restore.store.names import fitting, plain
from napari_restore.verbs.ahead import place_of


class Destination:
    """The place of a result, as a context manager: outside of it nothing is held, and no empty folder is left.

    Parameters
    ----------
    output
        That was asked for; None for a temporary folder, which is made when it is first needed.

    Attributes
    ----------
    asked
        The path that was asked for.
    """

    def __init__(self, output: str | Path | None) -> None:
        self.asked = place_of(output)
        self._claim: outputs.Claim | None = None
        self._folder: TemporaryFolder | None = None
        self._held = ExitStack()

    def claim(self) -> None:
        """Take the output from now on, before anything is done for it."""
        if self.asked is not None:
            self._claim = self._held.enter_context(outputs.claim(self.asked))

    def check(self, *, overwrite: bool) -> None:
        """Refuse at once an output that could not be begun once a model is trained for it."""
        if self._claim is not None:
            outputs.check_destination(self._claim, overwrite=overwrite, resume=False)

    def output(self, image: Image, suffix: str) -> Path | outputs.Claim:
        """Where the result of an image goes."""
        if self.asked is not None:
            return self._claim or self.asked
        self._folder = TemporaryFolder()
        return self._folder.path / fitting(plain(image.name), f"_{suffix}.ome.zarr")

    def holding(self, result: Restored) -> Restored:
        """The result, which holds the folder that it lies in."""
        if self._folder is None:
            return result
        with_it = None if result.uncertainty is None else replace(result.uncertainty, folder=self._folder)
        return replace(result, folder=self._folder, uncertainty=with_it)

    def __enter__(self) -> Destination:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._held.close()
        if kind is not None and self._folder is not None:
            self._folder.remove()
