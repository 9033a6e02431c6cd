"""Milliseconds of layers that were not measured, from those that were.

Kernels do not take time in proportion to operations: of 3x3 convolutions from 12 channels the one to 4 takes nearly as
long as the one to 12, since their input is arranged alike. So measurements of other channel counts come first, then
other sizes, and the rate of the kind last.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from math import exp, log
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from quaver.lab.costs.profile import Entry

Points = Sequence[tuple[int, float]]  # operations, milliseconds
_ONE_COUNT = ("depthwise", "entry", "add", "clip")  # as many outputs as inputs


def by_channels(op: str, shape: tuple[int, int, int], rows: Iterable[Entry]) -> Points:
    """At every measured size of the map, (its positions, milliseconds) of a layer of `shape` (inputs, outputs, taps),
    linear between measured numbers of channels: of outputs first, then of inputs. Fewer channels than any that were
    measured take as long as the fewest; sizes where only fewer were measured are left out."""
    inputs, outputs, taps = shape
    maps: dict[tuple[int, int], dict[int, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        if row.taps == taps:
            maps[row.rows, row.columns][row.inputs][0 if op in _ONE_COUNT else row.outputs] = row.ms
    found, matter = [], op not in _ONE_COUNT
    for (height, width), by_inputs in maps.items():
        lines = {number: _along(own, outputs if matter else 0) for number, own in by_inputs.items()}
        ms = _along({number: ms for number, ms in lines.items() if ms is not None}, inputs)
        if ms is not None:
            found.append((height * width, ms))
    return found


def _along(known: dict[int, float], count: int) -> float | None:
    """At a number of channels; None beyond the largest, and beside the only one that was measured."""
    if not known or count > max(known) or (len(known) == 1 and count not in known):
        return None
    numbers = sorted(known)
    return float(np.interp(count, numbers, [known[number] for number in numbers]))


def between(points: Points, amount: int) -> float:
    """Milliseconds by operations or positions, linear between measurements and in proportion outside."""
    points = sorted(points)
    place = bisect_left([at for at, _ in points], amount)
    if place == 0 or place == len(points):
        at, ms = points[min(place, len(points) - 1)]
        return ms * amount / at
    (few, least), (many, most) = points[place - 1], points[place]
    return least + (amount - few) / (many - few) * (most - least)


def rate(points: Points, operations: int) -> float:
    """Operations per millisecond, geometrically between measurements and constant outside."""
    speeds = sorted((count, count / ms) for count, ms in points)
    place = bisect_left([count for count, _ in speeds], operations)
    if place == 0 or place == len(speeds):
        return speeds[min(place, len(speeds) - 1)][1]
    (few, slow), (many, fast) = speeds[place - 1], speeds[place]
    share = log(operations / few) / log(many / few)
    return slow * exp(share * log(fast / slow))
