"""Predicting a smooth integer map from itself, coarse to fine: motion averages, intra DC.

Positions are visited on grids of spacing 16, 8, 4, 2, 1. The coarsest take the temporal value (or 0); each
finer grid takes first the centres of its squares, then the middles of their sides, and predicts a position as
the median of its four known neighbours and the temporal value. Neighbours outside the map repeat the nearest
one inside. Every step is one array operation, unlike a raster predictor. See docs/format/arithmetic.md.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

COARSEST = 16

Map = NDArray[np.int32]
Step = tuple[NDArray[np.intp], NDArray[np.intp], int, bool]  # rows, columns, distance, diagonal neighbours


def residual(values: Map, temporal: Map | None) -> Map:
    """What is coded of `values` (..., h, w): their difference from the prediction."""
    result = np.empty_like(values)
    for step in _steps(*values.shape[-2:]):
        rows, columns = step[:2]
        result[..., rows, columns] = values[..., rows, columns] - _prediction(values, temporal, step)
    return result


def reconstruct(coded: Map, temporal: Map | None) -> Map:
    """The inverse of `residual`."""
    values = np.empty_like(coded)
    for step in _steps(*coded.shape[-2:]):
        rows, columns = step[:2]
        values[..., rows, columns] = coded[..., rows, columns] + _prediction(values, temporal, step)
    return values


def _steps(height: int, width: int) -> Iterator[Step]:
    yield *_grid(height, width, 0, 0, COARSEST), 0, False
    spacing = COARSEST
    while spacing > 1:
        half = spacing // 2
        yield *_grid(height, width, half, half, spacing), half, True
        yield *_grid(height, width, 0, half, spacing), half, False
        yield *_grid(height, width, half, 0, spacing), half, False
        spacing = half


def _grid(height: int, width: int, top: int, left: int, spacing: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    rows, columns = np.meshgrid(np.arange(top, height, spacing), np.arange(left, width, spacing), indexing="ij")
    return rows, columns


def _prediction(values: Map, temporal: Map | None, step: Step) -> Map:
    rows, columns, distance, diagonal = step
    past = temporal[..., rows, columns] if temporal is not None else None
    if distance == 0:
        return past if past is not None else np.zeros((*values.shape[:-2], *rows.shape), np.int32)
    height, width = values.shape[-2:]

    def neighbour(down: int, right: int) -> Map:
        r, c = rows + down * distance, columns + right * distance
        # Outside: the neighbour on the other side. A map with neither side has a known one across.
        r = np.where((r < 0) | (r >= height), rows - down * distance, r)
        c = np.where((c < 0) | (c >= width), columns - right * distance, c)
        across_columns, across_rows = (r < 0) | (r >= height), (c < 0) | (c >= width)
        r, c = (
            np.where(across_columns, rows, np.where(across_rows, rows - distance, r)),
            np.where(across_rows, columns, np.where(across_columns, columns - distance, c)),
        )
        return values[..., r, c]

    if diagonal:
        around = [neighbour(-1, -1), neighbour(-1, 1), neighbour(1, -1), neighbour(1, 1)]
    else:
        around = [neighbour(-1, 0), neighbour(1, 0), neighbour(0, -1), neighbour(0, 1)]
    if past is not None:
        return np.sort(np.stack([*around, past]), axis=0)[2]
    ordered = np.sort(np.stack(around), axis=0)
    return (ordered[1] + ordered[2] + 1) >> 1
