"""How long runs took on this machine beside what was estimated: remembered, so that the next estimate is nearer."""

from __future__ import annotations

from napari_restore.gui.parts.remembered import Remembered

_UNTRIED = (1.0, 3.0)
"""Times the estimate, where no run of the method has ended here yet: loading, looking at the noise and judging are no
part of it, and weigh most where an image is small."""

_KEPT = 5
"""Runs of a method that are remembered, the newest ones."""


class Pace:
    """Of each method: what all but the training took, over the estimate of restoring.

    Parameters
    ----------
    remembered
        Where it is kept; the user's settings unless a test brings its own.
    """

    def __init__(self, remembered: Remembered | None = None) -> None:
        self._remembered = remembered or Remembered("pace")

    def keep(self, method: str, *, estimated: float, took: float) -> None:
        """A run has ended; both in seconds."""
        if estimated > 0 and took > 0:
            times = [*self._times(method), took / estimated][-_KEPT:]
            self._remembered.keep(**{method: " ".join(f"{one:.3g}" for one in times)})

    def expected(self, method: str, estimated: float) -> tuple[float, float]:
        """The least and the most seconds to expect."""
        times = self._times(method) or _UNTRIED
        return estimated * min(times), estimated * max(times)

    def _times(self, method: str) -> list[float]:
        """As remembered; a word that is no number, in a file that anybody may write, is left out."""
        found = []
        for word in self._remembered.text(method).split():
            try:
                found.append(float(word))
            except ValueError:
                continue
        return [one for one in found if 0 < one < 1e6]
