"""A page of HTML that needs nothing else: text, tables, pictures and charts inside it, no script and no network."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 60em; padding: 0 1em; color: #1a1a1a; }
h1 { font-size: 1.5em; } h2 { font-size: 1.15em; border-bottom: 1px solid #ccc; margin-top: 2em; }
table { border-collapse: collapse; margin: .6em 0; } th, td { text-align: left; padding: .15em .9em .15em 0; }
th { font-weight: 600; } td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
figure { display: inline-block; margin: .5em .8em .5em 0; vertical-align: top; }
figure img { width: 256px; image-rendering: pixelated; } figcaption { font-size: .85em; max-width: 256px; }
figure.chart figcaption { max-width: 380px; } pre { background: #f4f4f4; padding: .6em; white-space: pre-wrap; }
.flag { border-left: 4px solid #b45309; padding-left: .7em; }
.good { border-left: 4px solid #2f7d32; padding-left: .7em; }
"""
_WIDTH, _HEIGHT, _LEFT, _BELOW = 380, 250, 48, 40
_COLOURS = ("#1f5fa8", "#c2571a", "#5b8a2d", "#7a4a9e")
_TICKS = 5


def page(title: str, parts: Iterable[str]) -> str:
    """The whole of it."""
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{escape(title)}</h1>\n" + "\n".join(parts) + "\n</body></html>\n"
    )


def heading(text: str) -> str:
    """Of a section."""
    return f"<h2>{escape(text)}</h2>"


def paragraph(text: str, *, kind: str = "") -> str:
    """Plain text; of the kind ``flag`` or ``good`` it has a mark at its side."""
    return f"<p{f' class={chr(34)}{kind}{chr(34)}' if kind else ''}>{escape(text)}</p>"


def verbatim(text: str) -> str:
    """Text as it is, such as a command."""
    return f"<pre>{escape(text)}</pre>"


def facts(values: Mapping[str, Any]) -> str:
    """Names and values, a row each."""
    rows = (f"<tr><th>{escape(name)}</th><td>{escape(worded(value))}</td></tr>" for name, value in values.items())
    return f"<table>{''.join(rows)}</table>"


def table(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Rows under names; all columns but the first are numbers."""

    def line(cells: Iterable[Any], tag: str) -> str:
        kinds = ("", *[' class="number"'] * (len(names) - 1))
        return "".join(f"<{tag}{k}>{escape(worded(c))}</{tag}>" for c, k in zip(cells, kinds, strict=True))

    body = "".join(f"<tr>{line(row, 'td')}</tr>" for row in rows)
    return f"<table><tr>{line(names, 'th')}</tr>{body}</table>"


def picture(plane: NDArray[Any], caption: str, *, limits: tuple[float, float] | None = None) -> str:
    """A plane ``(Y, X)`` in greys, between limits or nearly all of its values; what is not finite is black."""
    known = plane[np.isfinite(plane)]
    low, high = limits or ((0.0, 1.0) if known.size == 0 else tuple(map(float, np.percentile(known, (0.2, 99.8)))))
    grey = np.nan_to_num(np.clip((plane.astype(np.float64) - low) / max(high - low, 1e-30), 0, 1))
    png = b64encode(_png(np.rint(255 * grey).astype(np.uint8))).decode()
    text = escape(caption)
    return f'<figure><img alt="{text}" src="data:image/png;base64,{png}"><figcaption>{text}</figcaption></figure>'


def chart(
    curves: Mapping[str, Sequence[tuple[float, float]]],
    caption: str,
    *,
    along: str,
    up: str,
    log: bool = False,
    diagonal: bool = False,
) -> str:
    """Lines through points by name, as SVG; ``log`` along X, ``diagonal`` with the line on which both are equal."""
    points = np.array([point for curve in curves.values() for point in curve], float).reshape(-1, 2)
    points = points[np.isfinite(points).all(1)]
    if not len(points):
        return ""
    x = np.log(points[:, 0]) if log else points[:, 0]
    box = float(x.min()), float(x.max()), min(0.0, float(points[:, 1].min())), max(1.0, float(points[:, 1].max()))

    def at(px: float, py: float) -> tuple[float, float]:
        across = ((np.log(px) if log else px) - box[0]) / max(box[1] - box[0], 1e-12)
        upward = (py - box[2]) / max(box[3] - box[2], 1e-12)
        return _LEFT + across * (_WIDTH - _LEFT - 12), _HEIGHT - _BELOW - upward * (_HEIGHT - _BELOW - 12)

    ticks = sorted({p for curve in curves.values() for p, _ in curve}) if log else np.linspace(box[0], box[1], _TICKS)
    drawn = [*_axes(at, ticks, np.linspace(box[2], box[3], _TICKS), along, up)]
    if diagonal:
        ends = at(max(box[0], box[2]), max(box[0], box[2])), at(min(box[1], box[3]), min(box[1], box[3]))
        drawn.append(_line(ends, "#999", dashed=True))
    for number, (name, curve) in enumerate(curves.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        drawn.append(_line([at(*point) for point in curve if np.isfinite(point).all()], colour))
        if name:
            place = f'x="{_WIDTH - 14}" y="{_HEIGHT - _BELOW - 10 - 15 * number}" text-anchor="end"'
            drawn.append(f'<text {place} fill="{colour}">{escape(name)}</text>')
    text = escape(caption)
    return (
        f'<figure class="chart"><svg role="img" aria-label="{text}" width="{_WIDTH}" height="{_HEIGHT}" '
        f'font-size="11" fill="#333">{"".join(drawn)}</svg><figcaption>{text}</figcaption></figure>'
    )


def worded(value: Any) -> str:
    """A value for people."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "-"}[value]
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {worded(each)}" for name, each in value.items())
    return ", ".join(map(worded, value)) if isinstance(value, list | tuple) else str(value)


def _axes(at: Any, across: Iterable[float], upward: Iterable[float], along: str, up: str) -> Iterable[str]:
    bottom = _HEIGHT - _BELOW
    yield _line(((_LEFT, 12), (_LEFT, bottom), (_WIDTH - 12, bottom)), "#333")
    for value in across:
        px = at(value, 0)[0]
        yield f'<text x="{px:.1f}" y="{bottom + 14}" text-anchor="middle">{value:.3g}</text>'
    for value in upward:
        py = at(1.0, value)[1]
        yield f'<text x="{_LEFT - 5}" y="{py + 4:.1f}" text-anchor="end">{value:.2g}</text>'
    yield f'<text x="{(_LEFT + _WIDTH) / 2}" y="{_HEIGHT - 6}" text-anchor="middle">{escape(along)}</text>'
    middle = bottom / 2
    yield f'<text x="12" y="{middle}" text-anchor="middle" transform="rotate(-90 12 {middle})">{escape(up)}</text>'


def _line(points: Iterable[tuple[float, float]], colour: str, *, dashed: bool = False) -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dashes = ' stroke-dasharray="4 3"' if dashed else ""
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"{dashes}/>'


def _png(grey: NDArray[np.uint8]) -> bytes:
    import imagecodecs

    return bytes(imagecodecs.png_encode(np.ascontiguousarray(grey), level=9))
