"""The plot: how many times the rate of the reference this server reaches, as bars in an SVG.

Rule: the scale is logarithmic, so that twice and half are as long; bars begin at 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log2
from typing import Final
from xml.sax.saxutils import escape

_LABELS: Final = 130  # pixels, as all that follows
_WIDTH: Final = 560
_BAR: Final = 9
_GAP: Final = 8
_TOP: Final = 44
_LEAST: Final = 1 / 16
_MOST: Final = 16
_COLOURS: Final = ("#9ecae1", "#4292c6", "#08519c")


def plot(title: str, series: Sequence[object], rows: Mapping[str, Sequence[float | None]]) -> str:
    """An SVG with a group of bars for each row, one for each of the series."""
    group = len(series) * _BAR + _GAP
    bottom = _TOP + len(rows) * group
    parts = [_legend(title, series), *(_line(power, bottom) for power in range(-4, 5))]
    for at, (label, values) in enumerate(rows.items()):
        top = _TOP + at * group
        middle = top + len(series) * _BAR / 2 + 4
        parts.append(
            f'<text x="{_LABELS - 8}" y="{middle:g}" text-anchor="end">{escape(label)}</text>'
        )
        for number, value in enumerate(values):
            if value is not None:
                parts.append(_bar(value, top + number * _BAR, _COLOURS[number]))
    width, height = _LABELS + _WIDTH + 40, bottom + 24
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        'font-family="sans-serif" font-size="11">\n'
        '<rect width="100%" height="100%" fill="white"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _x(ratio: float) -> float:
    share = log2(min(max(ratio, _LEAST), _MOST) / _LEAST) / log2(_MOST / _LEAST)
    return round(_LABELS + share * _WIDTH, 1)


def _bar(ratio: float, top: float, colour: str) -> str:
    begin, end = sorted((_x(1), _x(ratio)))
    return (
        f'<rect x="{begin:g}" y="{top:g}" width="{end - begin:.1f}" height="{_BAR - 1}" '
        f'fill="{colour}"><title>{ratio:.2f}</title></rect>'
    )


def _line(power: int, bottom: float) -> str:
    x = _x(2.0**power)
    name = str(2**power) if power >= 0 else f"1/{2**-power}"
    colour = "#333" if power == 0 else "#ddd"
    return (
        f'<line x1="{x}" x2="{x}" y1="{_TOP - 4}" y2="{bottom}" stroke="{colour}"/>'
        f'<text x="{x}" y="{bottom + 14}" text-anchor="middle">{name}</text>'
    )


def _legend(title: str, series: Sequence[object]) -> str:
    parts = [f'<text x="8" y="16" font-weight="bold">{escape(title)}</text>']
    for number, name in enumerate(series):
        x = _LABELS + 90 * number
        parts.append(f'<rect x="{x}" y="24" width="9" height="9" fill="{_COLOURS[number]}"/>')
        parts.append(f'<text x="{x + 14}" y="33">{escape(str(name))}</text>')
    return "\n".join(parts)
