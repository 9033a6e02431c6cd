"""One round of the motion search: every block, or every area, takes a candidate where it costs less."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from quaver.codec.motion_rate import MotionRate
from quaver.runtime.interpolate import phase_planes
from quaver.runtime.picture import Plane
from quaver.runtime.warp import VECTOR_LIMIT

Vectors = NDArray[np.int16]  # (h8, w8, 2): dx, dy in quarter samples
Costs = NDArray[np.float32]  # (h8, w8)

MARGIN = 16  # replicated samples around the phase planes
SQUARE = ((-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1))  # down, right
# Bits of a component's magnitude, half of them: about the code length of a signed Exp-Golomb code.
SIZES = np.log2(np.arange(1, 2 * VECTOR_LIMIT + 2, dtype=np.float32))


class Rounds:
    """The pictures and costs that stay the same through one search. `NativeRounds` is its twin in C."""

    def __init__(self, current: Plane, reference: Plane, previous: Vectors | None, bit_cost: float) -> None:
        self.shape = current.shape[0] // 8, current.shape[1] // 8
        self.current, self.planes = current, phase_planes(reference, MARGIN)
        self.previous = np.zeros((*self.shape, 2), np.int16) if previous is None else previous
        self.bit_cost = np.float32(bit_cost)

    def cost(self, vectors: Vectors) -> Costs:
        """Distortion plus rate, each block against its neighbours."""
        return self._cost(vectors, vectors)

    def improve(
        self, best: Vectors, cost: Costs, candidate: Vectors, right: int = 0, down: int = 0
    ) -> tuple[Vectors, Costs]:
        """`best` and its `cost`, with `candidate` moved by (right, down) where that costs less against the
        neighbours in `best`."""
        candidate = np.clip(candidate + np.array([right, down], np.int16), -VECTOR_LIMIT, VECTOR_LIMIT)
        tried = self._cost(candidate, best)
        better = tried < cost
        return np.where(better[..., None], candidate, best), np.where(better, tried, cost)

    def median(self, field: Vectors) -> Vectors:
        """Median of the left, upper, right and lower neighbours and the block itself, per component."""
        padded = with_edges(field)
        around = np.stack([padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:], field])
        middle: Vectors = np.partition(around, 2, axis=0)[2]
        return middle

    def settle(self, best: Vectors, rate: MotionRate, reach: int) -> Vectors:
        """Each 16x16 area's four vectors, or what of `_arrangements` costs less, by the rate of Haar latents."""
        result, lowest = best, self._area_cost(best, rate)
        for candidate in _arrangements(best, rate.predicted, reach):
            tried = self._area_cost(candidate, rate)
            better = tried < lowest
            lowest = np.where(better, tried, lowest)
            result = np.where(_per_block(better[..., None]), candidate, result)
        return result

    def _cost(self, vectors: Vectors, field: Vectors) -> Costs:
        around = self.median(field)
        bits: Costs = np.minimum(_bits(vectors - around), _bits(vectors - self.previous) + 1)
        total: Costs = self._distortion(vectors) + bits * self.bit_cost
        return total

    def _area_cost(self, vectors: Vectors, rate: MotionRate) -> Costs:
        blocks = self._distortion(vectors)
        total: Costs = blocks[::2, ::2] + blocks[1::2, ::2] + blocks[::2, 1::2] + blocks[1::2, 1::2]
        return total + self.bit_cost * rate.bits(vectors)

    def _distortion(self, vectors: Vectors) -> Costs:
        """Squared errors, integers below 2**24 also when four are summed."""
        height, width = self.current.shape
        top, left = np.mgrid[0:height:8, 0:width:8]
        dx, dy = vectors[..., 0], vectors[..., 1]
        rows = np.clip(top + (dy >> 2), -16, height + 8) + MARGIN
        columns = np.clip(left + (dx >> 2), -16, width + 8) + MARGIN
        windows = sliding_window_view(self.planes, (8, 8), axis=(1, 2))
        blocks = self.current.reshape(self.shape[0], 8, self.shape[1], 8).transpose(0, 2, 1, 3)
        difference = windows[(dy & 3) * 4 + (dx & 3), rows, columns] - blocks.astype(np.int16)
        flat = difference.reshape(*self.shape, 64).astype(np.float32)
        total: Costs = np.einsum("ijk,ijk->ij", flat, flat)
        return total


def _arrangements(best: Vectors, predicted: NDArray[np.int32], reach: int) -> Iterator[Vectors]:
    """Other fields to try in every area: one vector of its four for all, two for its halves, the predicted average,
    what areas at distance `reach` have, and all four a quarter sample away."""
    corners = [[best[row::2, column::2] for column in (0, 1)] for row in (0, 1)]
    for row in (0, 1):
        for column in (0, 1):
            yield _per_block(corners[row][column])
    for side in (0, 1):
        yield _alternate(corners[0][side], corners[1][side], 0).repeat(2, 1)
        yield _alternate(corners[side][0], corners[side][1], 1).repeat(2, 0)
    yield _per_block(np.clip(predicted.transpose(1, 2, 0), -VECTOR_LIMIT, VECTOR_LIMIT).astype(np.int16))
    rows, columns = predicted.shape[1:]
    padded = np.pad(corners[0][0], ((reach, reach), (reach, reach), (0, 0)), mode="edge")
    for down, right in SQUARE[:4]:
        yield _per_block(padded[reach * (1 + down) :, reach * (1 + right) :][:rows, :columns])
    for down, right in SQUARE[:4]:
        yield np.clip(best + np.array([right, down], np.int16), -VECTOR_LIMIT, VECTOR_LIMIT)


def _per_block(areas: NDArray[Any]) -> NDArray[Any]:
    """(h16, w16, ...) to (h8, w8, ...)."""
    return areas.repeat(2, 0).repeat(2, 1)


def _alternate(even: Vectors, odd: Vectors, axis: int) -> Vectors:
    shape = list(even.shape)
    shape[axis] *= 2
    return np.stack([even, odd], axis + 1).reshape(shape)


def _bits(difference: Vectors) -> Costs:
    """Estimated bits of a vector difference."""
    total: Costs = np.float32(0.5) + 2 * SIZES[np.abs(difference)].sum(-1)
    return np.where((difference == 0).all(-1), np.float32(0.25), total)


def with_edges(field: NDArray[Any]) -> NDArray[Any]:
    """(h, w, ...) with its border repeated once on every side; np.pad takes far longer on small arrays."""
    height, width = field.shape[:2]
    result = np.empty((height + 2, width + 2, *field.shape[2:]), field.dtype)
    result[1:-1, 1:-1] = field
    result[0, 1:-1], result[-1, 1:-1] = field[0], field[-1]
    result[:, 0], result[:, -1] = result[:, 1], result[:, -2]
    return result
