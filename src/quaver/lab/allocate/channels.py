"""Bits per channel inside a layer: the widths of its output channels, or of groups of its input's channels, with the
least zeta for their total.

Channels count as independent. The points on the lower convex hull are exact: raising the channel that gains most per
bit, again and again, never passes a better choice with the same total.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from quaver.errors import UsageError
from quaver.lab.quant.grouping import Groups, runs_of


@dataclass(frozen=True, slots=True)
class Point:
    """bits of each member; total: their sum weighted by size; zeta: the sum of theirs."""

    bits: tuple[int, ...]
    total: int
    zeta: float


def pareto_points(scores: Mapping[int, Sequence[float]], sizes: Sequence[int] | None = None) -> list[Point]:
    """From the fewest bits to the most.

    scores: by bits (0: pruned), zeta of every member: output channels for weights, groups of input channels for
    activations. sizes: what one bit of a member costs, such as a group's channels; by default 1. Negative zeta counts
    as 0: it is noise, and would reward an error.
    """
    widths = sorted(scores)
    count = len(scores[widths[0]]) if widths else 0
    sizes = [1] * count if sizes is None else list(sizes)
    if not count or any(len(values) != count for values in scores.values()) or len(sizes) != count:
        raise UsageError("channel scores must hold every channel at every width")
    steps = []
    for member in range(count):
        hull = _hull([(bits, max(0.0, scores[bits][member])) for bits in widths])
        for (low, worse), (high, better) in pairwise(hull):
            steps.append(((better - worse) / ((high - low) * sizes[member]), member, high, better - worse))
    steps.sort()
    bits = [widths[0]] * count
    zeta = sum(max(0.0, value) for value in scores[widths[0]])
    points = [Point(tuple(bits), sum(b * s for b, s in zip(bits, sizes, strict=True)), zeta)]
    for _, member, width, gain in steps:
        bits[member] = width
        zeta += gain
        points.append(Point(tuple(bits), sum(b * s for b, s in zip(bits, sizes, strict=True)), zeta))
    return points


def calibrated(channels: Mapping[int, Sequence[float]], layer: Mapping[int, float]) -> dict[int, tuple[float, ...]]:
    """Scores of channels at every width that the layer was scored at.

    Channels are scored one at a time, at few widths, and their errors add up differently: each takes its share, at the
    nearest width, of what the whole layer loses, and no less than with more bits. Pruning (0 bits) is kept where it was
    scored, scaled alike.
    """
    widths = [bits for bits in channels if bits > 0]
    if not widths:
        raise UsageError("channels were scored at no width but 0")
    result = {}
    for bits, zeta in layer.items():
        values = [max(0.0, value) for value in channels[_nearest(widths, bits)]]
        total = sum(values)
        shares = [value / total for value in values] if total > 0 else [1 / len(values)] * len(values)
        result[bits] = tuple(share * max(0.0, zeta) for share in shares)
    for more, few in pairwise(sorted(result, reverse=True)):  # shares change from width to width
        result[few] = tuple(max(pair) for pair in zip(result[few], result[more], strict=True))
    if 0 in channels:
        near = _nearest(list(layer), 0)
        total = sum(max(0.0, value) for value in channels[_nearest(widths, near)])
        factor = max(0.0, layer[near]) / total if total > 0 else 1.0
        result[0] = tuple(max(0.0, value) * factor for value in channels[0])
    return result


def grouped_points(scores: Mapping[int, Sequence[float]], count: int, points: int) -> Iterator[tuple[Groups, Point]]:
    """Of an input's channels in `count` groups at most, at most `points` ways to give each group bits of its own.

    scores: by bits, zeta of every channel (`calibrated`). With zeta = c 4^-b the best bits of a channel are log2(c) / 2
    and a constant, so channels of one group are those with like log2(c). That a group of its own has a finer scale too
    is not counted.
    """
    least = np.array(scores[min(scores)], np.float64)
    floor = max(float(least.max()), 1e-30) * 4.0**-8  # what 8 bits less make of the largest: all below are alike
    logs = np.log2(np.maximum(least, floor))
    groups = runs_of(logs, min(count, len(np.unique(logs))))
    sizes = np.bincount(groups).tolist()
    shared = {bits: np.bincount(groups, values).tolist() for bits, values in scores.items()}
    for point in spread(pareto_points(shared, sizes), points):
        if len(set(point.bits)) > 1:
            yield groups, point


def _nearest(widths: Sequence[int], bits: int) -> int:
    return min(widths, key=lambda width: (abs(width - bits), width))


def spread(points: Sequence[Point], count: int) -> list[Point]:
    """At most `count` of them, evenly over the totals, both ends included."""
    if len(points) <= count:
        return list(points)
    low, high = points[0].total, points[-1].total
    wanted = [low + (high - low) * i / (count - 1) for i in range(count)]
    chosen = {min(range(len(points)), key=lambda i: abs(points[i].total - target)) for target in wanted}
    return [points[i] for i in sorted(chosen)]


def _hull(points: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """The lower convex hull from the first point on, as long as it falls."""
    hull: list[tuple[int, float]] = []
    for x, y in points:
        while len(hull) > 1 and _above(hull[-2], hull[-1], (x, y)):
            hull.pop()
        hull.append((x, y))
    least = min(range(len(hull)), key=lambda i: (hull[i][1], hull[i][0]))
    return hull[: least + 1]


def _above(a: tuple[int, float], b: tuple[int, float], c: tuple[int, float]) -> bool:
    """Whether b lies on or above the line from a to c."""
    return (b[1] - a[1]) * (c[0] - a[0]) >= (c[1] - a[1]) * (b[0] - a[0])
