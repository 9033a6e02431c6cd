"""Small line charts as SVG text, coloured by the page that holds them (classes series-0, series-1, ...)."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

Points = Sequence[tuple[float, float]]

_WIDTH, _HEIGHT = 440, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 36, 18, 10, 40


@dataclass(frozen=True, slots=True)
class Series:
    """A named line; a single point is drawn as a dot. ``marked``: draw dots on a line as well."""

    name: str
    points: Points
    marked: bool = False


def line_chart(series: Sequence[Series], x_label: str, y_label: str) -> str:
    """One <svg>. Axes are linear and span what is drawn; each series has at least one point."""
    xs, ys = ([point[axis] for line in series for point in line.points] for axis in (0, 1))
    x_ticks, y_ticks = ticks(min(xs), max(xs)), ticks(min(ys), max(ys))

    def at(point: tuple[float, float]) -> tuple[float, float]:
        x = (point[0] - x_ticks[0]) / (x_ticks[-1] - x_ticks[0])
        y = (point[1] - y_ticks[0]) / (y_ticks[-1] - y_ticks[0])
        return _LEFT + x * (_WIDTH - _LEFT - _RIGHT), _HEIGHT - _BOTTOM - y * (_HEIGHT - _TOP - _BOTTOM)

    parts = []
    for value in y_ticks:
        (left, y), (right, _) = at((x_ticks[0], value)), at((x_ticks[-1], value))
        parts.append(f'<line class="grid" x1="{left:.0f}" y1="{y:.1f}" x2="{right:.0f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{left - 6:.0f}" y="{y + 4:.0f}" text-anchor="end">{value:g}</text>')
    for value in x_ticks:
        x, y = at((value, y_ticks[0]))
        parts.append(f'<text x="{x:.0f}" y="{y + 16:.0f}" text-anchor="middle">{value:g}</text>')
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(f'<text x="{middle:.0f}" y="{_HEIGHT - 6}" text-anchor="middle">{html.escape(x_label)}</text>')
    for number, line in enumerate(series):
        places = [at(point) for point in line.points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline class="series-{number}" points="{path}"/>')
        if line.marked or len(places) == 1:
            size = 3 if line.marked else 5
            dots = (f'<circle class="series-{number}" cx="{x:.1f}" cy="{y:.1f}" r="{size}"/>' for x, y in places)
            parts += dots
    named = ", ".join(line.name for line in series)
    label = html.escape(f"{y_label} over {x_label}: {named}", quote=True)
    return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{label}">{"".join(parts)}</svg>'


def ticks(low: float, high: float) -> list[float]:
    """Three to eight round numbers, evenly spaced, from at most `low` to at least `high`."""
    span = max(high - low, abs(high) * 1e-3, 1e-6)
    step = 10.0 ** math.floor(math.log10(span / 2))
    step *= next(factor for factor in (1, 2, 5, 10) if span / (step * factor) <= 5)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(number * step, 12) for number in range(first, max(last, first + 1) + 1)]
