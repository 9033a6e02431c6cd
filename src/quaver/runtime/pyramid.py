"""Predicting a smooth integer map from itself, coarse to fine: motion averages, intra DC.

Positions are visited on grids of spacing 16, 8, 4, 2, 1. The coarsest take the temporal value (or 0); each
finer grid takes first the centres of its squares, then the middles of their sides, and predicts a position as
the median of its four known neighbours and the temporal value. Neighbours outside the map are mirrored at
the position. Every step is one array operation, unlike a raster predictor. See docs/format/arithmetic.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from quaver.runtime import native

COARSEST = 16

Map = NDArray[np.int32]
Index = NDArray[np.intp]

_DIAGONAL = ((-1, -1), (-1, 1), (1, -1), (1, 1))
_STRAIGHT = ((-1, 0), (1, 0), (0, -1), (0, 1))


@dataclass(frozen=True, slots=True, eq=False)
class _Step:
    """Positions that are predicted together, and the four known neighbours of each; none on the coarsest grid."""

    rows: Index
    columns: Index
    around: tuple[tuple[Index, Index], ...]


def residual(values: Map, temporal: Map | None) -> Map:
    """What is coded of `values` (..., h, w): their difference from the prediction."""
    result = np.empty(values.shape, np.int32)
    if native.kernels is not None:
        native.kernels.pyramid_residual(*_maps(values, temporal), _flat(result))
        return result
    for step in visits(*values.shape[-2:]):
        here = (..., step.rows, step.columns)
        result[here] = values[here] - _prediction(values, temporal, step)
    return result


def reconstruct(coded: Map, temporal: Map | None) -> Map:
    """The inverse of `residual`."""
    values = np.empty(coded.shape, np.int32)
    if native.kernels is not None:
        native.kernels.pyramid_reconstruct(*_maps(coded, temporal), _flat(values))
        return values
    for step in visits(*coded.shape[-2:]):
        here = (..., step.rows, step.columns)
        values[here] = coded[here] + _prediction(values, temporal, step)
    return values


def _maps(values: Map, temporal: Map | None) -> tuple[Map, Map | None]:
    """Both as (maps, h, w)."""
    past = np.broadcast_to(temporal, values.shape) if temporal is not None else None
    return _flat(values), _flat(past) if past is not None else None


def _flat(values: Map) -> Map:
    return np.ascontiguousarray(values, np.int32).reshape(-1, *values.shape[-2:])


def _prediction(values: Map, temporal: Map | None, step: _Step) -> Map:
    past = temporal[..., step.rows, step.columns] if temporal is not None else None
    if not step.around:
        return past if past is not None else np.zeros((*values.shape[:-2], *step.rows.shape), np.int32)
    around = [values[..., rows, columns] for rows, columns in step.around]
    if past is not None:
        return np.sort(np.stack([*around, past]), axis=0)[2]
    ordered = np.sort(np.stack(around), axis=0)
    return (ordered[1] + ordered[2] + 1) >> 1


@lru_cache(maxsize=16)
def visits(height: int, width: int) -> tuple[_Step, ...]:
    """The order of a map's positions; the same for every map of a size, and slow to find again for every frame."""
    steps = [_Step(*_grid(height, width, 0, 0, COARSEST), ())]
    spacing = COARSEST
    while spacing > 1:
        half = spacing // 2
        for top, left, directions in ((half, half, _DIAGONAL), (0, half, _STRAIGHT), (half, 0, _STRAIGHT)):
            rows, columns = _grid(height, width, top, left, spacing)
            around = tuple(
                _neighbour(rows, columns, height, width, down * half, right * half) for down, right in directions
            )
            steps.append(_Step(rows, columns, around))
        spacing = half
    return tuple(steps)


def _grid(height: int, width: int, top: int, left: int, spacing: int) -> tuple[Index, Index]:
    rows, columns = np.meshgrid(np.arange(top, height, spacing), np.arange(left, width, spacing), indexing="ij")
    return rows, columns


def _neighbour(rows: Index, columns: Index, height: int, width: int, down: int, right: int) -> tuple[Index, Index]:
    r, c = rows + down, columns + right
    # Outside: the neighbour on the other side. A map with neither side has a known one across.
    r = np.where((r < 0) | (r >= height), rows - down, r)
    c = np.where((c < 0) | (c >= width), columns - right, c)
    distance = max(abs(down), abs(right))
    no_row, no_column = (r < 0) | (r >= height), (c < 0) | (c >= width)
    return (
        np.where(no_row, rows, np.where(no_column, rows - distance, r)),
        np.where(no_column, columns, np.where(no_row, columns - distance, c)),
    )
