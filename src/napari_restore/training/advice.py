"""Was the training long enough? Told by the held-out loss, and by how much of it is noise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from napari_restore.core.events import Note

_FALLING = 0.06
_LEAST_EXCESS = 0.05
_FEWEST = 4


def advice(trace: Sequence[tuple[float, float]], *, floor: float) -> Iterator[Note]:
    """Say whether more training would help, where the trace can tell.

    The learning rate falls to nothing over the budget, and the loss with it: a flat end says nothing. What tells is how
    much of the error was still being lost in the second half. On the 8 benchmark images more than 6 % meant that four
    times the budget gained 0.9 to 3.7 dB, and less that it gained 0.2 dB or nothing.

    Parameters
    ----------
    trace
        Fraction of the budget and held-out loss, in the order of time.
    floor
        The part of the loss that is the noise of the targets.
    """
    earlier = [loss for fraction, loss in trace if fraction <= 0.5]
    if len(trace) < _FEWEST or not earlier:
        return
    half, end = earlier[-1], trace[-1][1]
    if end - floor < _LEAST_EXCESS * floor:
        yield Note("the held-out error is about that of the noise itself: more training would gain little")
    elif half - end > _FALLING * (half - floor):
        yield Note(
            f"the error beyond the noise still fell by {100 * (half - end) / (half - floor):.0f} % in the second half "
            "of the training: more effort would make the result better"
        )
    else:
        yield Note("the held-out error has levelled off: more training would gain little")
