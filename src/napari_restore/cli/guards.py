"""What the guards found, as lines for the shell."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_restore.judging.guarded import Guarded


def in_lines(found: Guarded) -> Iterator[str]:
    """Noise alone, planted structures as a table, what the image bears out, and the flags."""
    kept = ", ".join(f"{100 * row.kept:.1f} % on a {row.name} signal" for row in found.null)
    yield f"noise alone keeps of its deviation: {kept} (5 % or less is flat)"
    contrasts = sorted({row.contrast for row in found.planted})
    yield "planted structures: restored over true brightness, and how many come back, by contrast over noise"
    yield " " * 8 + "".join(f"{contrast:>14g}" for contrast in contrasts)
    for size in found.detectable:
        rows = {row.contrast: row for row in found.planted if row.size == size}
        cells = (f"{rows[c].recovered:.2f} ({100 * rows[c].found:.0f} %)" for c in contrasts)
        yield f"{size:<8}" + "".join(f"{cell:>14}" for cell in cells)
    for size, contrast in found.detectable.items():
        told = "none of these contrasts" if contrast is None else f"{contrast:.2g} times the noise"
        yield f"{size} structures are detectable from {told} on"
    yield f"the image does not surely bear out {100 * found.unsupported:.1f} % of the places with structure"
    yield f"a restored pixel is {100 * found.own:.0f} % its own, and owes the rest to its surroundings"
    if found.judged is not None:
        yield found.judged.verdict
    yield from (f"flag: {flag}" for flag in found.flags)
    yield f"{len(found.flags)} flags"
