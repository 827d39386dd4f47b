"""Bars as SVG: what stands side by side, on a logarithmic scale."""

import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

LABEL_WIDTH = 330
BAR_WIDTH = 420
VALUE_WIDTH = 110
BAR_HEIGHT = 16
ROW_HEIGHT = 22
DECADES_MIN = 1.0
"""Shown at least, so that like figures look alike."""


class Bar(NamedTuple):
    """One figure."""

    label: str
    value: float
    is_ours: bool


def bars(unit: str, figures: Sequence[Bar]) -> str:
    """Return an SVG with one bar for each figure; the scale begins a little below the smallest."""
    positive = [bar.value for bar in figures if bar.value > 0]
    low, high = (math.log10(min(positive)), math.log10(max(positive))) if positive else (0.0, 0.0)
    span = max(high - low, DECADES_MIN) * 1.15
    start = high - span
    height = ROW_HEIGHT * (len(figures) + 1)
    width = LABEL_WIDTH + BAR_WIDTH + VALUE_WIDTH
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">',
        _text(LABEL_WIDTH, 14, f"{unit}, logarithmic"),
    ]
    for place, bar in enumerate(figures, 1):
        share = (math.log10(bar.value) - start) / span if bar.value > 0 else 0.0
        length = max(1.0, BAR_WIDTH * share)
        top = place * ROW_HEIGHT
        baseline = top + BAR_HEIGHT - 4
        color = "#2a6f97" if bar.is_ours else "#b8b8b8"
        place_of = f'x="{LABEL_WIDTH}" y="{top}" width="{length:.1f}" height="{BAR_HEIGHT}"'
        parts.append(_text(LABEL_WIDTH - 8, baseline, bar.label, anchor="end"))
        parts.append(f'<rect {place_of} fill="{color}"/>')
        parts.append(_text(LABEL_WIDTH + length + 6, baseline, f"{bar.value:,.4g}"))
    return "\n".join([*parts, "</svg>"])


def _text(left: float, baseline: int, text: str, *, anchor: str = "start") -> str:
    place = f'x="{left:.1f}" y="{baseline}" text-anchor="{anchor}"'
    return f"<text {place}>{escape(text)}</text>"
