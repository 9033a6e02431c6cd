"""The encoder's motion search: quarter-sample vectors per 8x8 luma block by rate and distortion.

All blocks move together: a coarse search at quarter resolution, then rounds in which every block tries the
vectors of its neighbours and small steps around its own, rated against the neighbours' median and the previous
frame's vector; then rounds in which every 16x16 area chooses its four vectors again by the rate of the Haar
latents they become. Distortion is the squared error of luma, predicted as the codec predicts it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from quaver.codec.motion_rate import MotionRate
from quaver.runtime import haar
from quaver.runtime.interpolate import phase_planes
from quaver.runtime.picture import Plane
from quaver.runtime.warp import VECTOR_LIMIT

Vectors = NDArray[np.int32]  # (h8, w8, 2): dx, dy in quarter samples
Costs = NDArray[np.floating]  # (h8, w8)

_MARGIN = 24  # replicated samples around the phase planes
_COARSE_RANGE = 12  # samples at quarter resolution: 48 at full
_SETTLING = 6  # rounds
_SQUARE = ((-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1))


def search_motion(
    current: Plane, reference: Plane, previous: NDArray[np.int16] | None, bit_cost: float
) -> NDArray[np.int16]:
    """Vectors (h8, w8, 2) that predict `current` (Hp, Wp) from `reference`, both padded luma.

    `previous`: the vectors of the frame before, which make equal vectors cheaper. `bit_cost`: the squared
    error one bit must save, about 1.3 / lambda.
    """
    search = _Search(current, reference, previous, bit_cost)
    best = np.zeros((*search.shape, 2), np.int32)
    cost = search.cost(best, best)
    coarse = _coarse_search(current, reference) * 4
    if previous is not None:
        best, cost = search.improve(best, cost, search.previous)
    best, cost = search.improve(best, cost, coarse)
    for step in (8, 4):
        best, cost = search.refine(best, cost, step)
    best, cost = search.propagate(best, cost)
    best, cost = search.refine(best, cost, 4)
    best, cost = search.refine(best, cost, 2)
    best, cost = search.refine(best, cost, 1)
    best, cost = search.propagate(best, cost)
    best = search.settle(best)
    return best.astype(np.int16)


class _Search:
    """The pictures and costs that stay the same through one search."""

    def __init__(self, current: Plane, reference: Plane, previous: NDArray[np.int16] | None, bit_cost: float) -> None:
        height, width = current.shape
        self.shape = height // 8, width // 8
        self.blocks = _as_blocks(current).astype(np.int16)
        self.windows = sliding_window_view(phase_planes(reference, _MARGIN), (8, 8), axis=(1, 2))
        self.top, self.left = np.mgrid[0:height:8, 0:width:8]
        self.previous = np.zeros((*self.shape, 2), np.int32) if previous is None else previous.astype(np.int32)
        self.bit_cost = np.float32(bit_cost)

    def distortion(self, vectors: Vectors) -> Costs:
        dx, dy = vectors[..., 0], vectors[..., 1]
        rows = np.clip(self.top + (dy >> 2), -16, self.shape[0] * 8 + 8) + _MARGIN
        columns = np.clip(self.left + (dx >> 2), -16, self.shape[1] * 8 + 8) + _MARGIN
        difference = self.windows[(dy & 3) * 4 + (dx & 3), rows, columns] - self.blocks
        flat = difference.reshape(*self.shape, 64).astype(np.float32)
        total: Costs = np.einsum("ijk,ijk->ij", flat, flat)
        return total

    def cost(self, vectors: Vectors, field: Vectors) -> Costs:
        """Distortion plus rate, each block against its neighbours in `field`."""
        around = _median(field)
        bits = np.minimum(_bits(vectors - around), _bits(vectors - self.previous) + 1)
        return self.distortion(vectors) + bits * self.bit_cost

    def improve(self, best: Vectors, cost: Costs, candidate: Vectors) -> tuple[Vectors, Costs]:
        candidate = np.clip(candidate, -VECTOR_LIMIT, VECTOR_LIMIT)
        tried = self.cost(candidate, best)
        better = tried < cost
        return np.where(better[..., None], candidate, best), np.where(better, tried, cost)

    def refine(self, best: Vectors, cost: Costs, step: int) -> tuple[Vectors, Costs]:
        centre = best
        for down, right in _SQUARE:
            best, cost = self.improve(best, cost, centre + np.array([right * step, down * step]))
        return best, cost

    def propagate(self, best: Vectors, cost: Costs) -> tuple[Vectors, Costs]:
        cost = self.cost(best, best)  # the neighbours have moved since it was last computed
        padded = _with_edges(best)
        height, width = self.shape
        for down, right in _SQUARE[:4]:
            best, cost = self.improve(best, cost, padded[1 + down : 1 + down + height, 1 + right : 1 + right + width])
        return self.improve(best, cost, _median(best))

    def settle(self, best: Vectors) -> Vectors:
        """Choose each 16x16 area's four vectors again, by the rate of the Haar latents they become."""
        past_average = haar.forward(self.previous)[0]
        for number in range(_SETTLING):
            rate = MotionRate.around(best, past_average)
            result, lowest = best, self._area_cost(best, rate)
            for candidate in _arrangements(best, rate.predicted, 1 << number % 3):
                tried = self._area_cost(candidate, rate)
                better = tried < lowest
                lowest = np.where(better, tried, lowest)
                result = np.where(_per_block(better[..., None]), candidate, result)
            best = result
        return best

    def _area_cost(self, vectors: Vectors, rate: MotionRate) -> Costs:
        total: Costs = _area_sum(self.distortion(vectors)) + self.bit_cost * rate.bits(vectors)
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
    yield _per_block(np.clip(predicted.transpose(1, 2, 0), -VECTOR_LIMIT, VECTOR_LIMIT))
    rows, columns = predicted.shape[1:]
    padded = np.pad(corners[0][0], ((reach, reach), (reach, reach), (0, 0)), mode="edge")
    for down, right in _SQUARE[:4]:
        yield _per_block(padded[reach * (1 + down) :, reach * (1 + right) :][:rows, :columns])
    for down, right in _SQUARE[:4]:
        yield np.clip(best + np.array([right, down]), -VECTOR_LIMIT, VECTOR_LIMIT)


def _per_block(areas: NDArray[Any]) -> NDArray[Any]:
    """(h16, w16, ...) to (h8, w8, ...)."""
    return areas.repeat(2, 0).repeat(2, 1)


def _alternate(even: Vectors, odd: Vectors, axis: int) -> Vectors:
    shape = list(even.shape)
    shape[axis] *= 2
    return np.stack([even, odd], axis + 1).reshape(shape)


def _bits(difference: Vectors) -> Costs:
    """Estimated bits of a vector difference: about the code length of a signed Exp-Golomb code."""
    size = np.log2(1 + np.abs(difference).astype(np.float32))
    total: Costs = 0.5 + 2 * size.sum(-1)
    return np.where((difference == 0).all(-1), np.float32(0.25), total).astype(np.float32)


def _median(field: Vectors) -> Vectors:
    """Median of the left, upper, right and lower neighbours and the block itself, per component."""
    padded = _with_edges(field)
    around = np.stack([padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:], field])
    middle: Vectors = np.partition(around, 2, axis=0)[2]
    return middle


def _area_sum(cost: Costs) -> Costs:
    total: Costs = cost[::2, ::2] + cost[1::2, ::2] + cost[::2, 1::2] + cost[1::2, 1::2]
    return total


def _as_blocks(plane: Plane) -> NDArray[np.uint8]:
    height, width = plane.shape
    return plane.reshape(height // 8, 8, width // 8, 8).transpose(0, 2, 1, 3)


def _coarse_search(current: Plane, reference: Plane) -> Vectors:
    """Full search at quarter resolution, absolute differences over 32x32 luma around each block; whole
    luma samples (h8, w8, 2)."""
    small, past = _shrink(current), _shrink(reference)
    rows, columns = current.shape[0] // 8, current.shape[1] // 8
    reach, (height, width) = _COARSE_RANGE, small.shape
    padded = np.pad(past, reach, mode="edge")
    sides = range(-reach, reach + 1)
    sums = np.empty((len(sides), len(sides), rows, columns), np.float32)
    for number, down in enumerate(sides):
        # One displacement down and all displacements to the right: (h, displacements, w).
        shifted = sliding_window_view(padded[reach + down : reach + down + height], width, axis=1)
        difference = np.abs(small[:, None] - shifted)
        blocks = difference[0::2] + difference[1::2]
        around = _with_edges((blocks[..., 0::2] + blocks[..., 1::2]).transpose(0, 2, 1))
        three = around[:-2] + around[1:-1] + around[2:]
        sums[number] = (three[:, :-2] + three[:, 1:-1] + three[:, 2:]).transpose(2, 0, 1)
    lengths = np.add.outer(np.abs(sides), np.abs(sides))
    # A little more for longer vectors, so that flat areas stay at rest; of equal ones the shortest.
    sums += np.float32(4) * lengths[..., None, None].astype(np.float32)
    order = np.argsort(lengths.ravel(), kind="stable")
    chosen = order[sums.reshape(len(order), rows, columns)[order].argmin(0)]
    down, right = np.divmod(chosen, len(sides))
    best: Vectors = np.stack([4 * (right - reach), 4 * (down - reach)], axis=-1).astype(np.int32)
    return best


def _shrink(plane: Plane) -> NDArray[np.float32]:
    height, width = plane.shape
    means: NDArray[np.float32] = plane.reshape(height // 4, 4, width // 4, 4).mean((1, 3), dtype=np.float32)
    return means


def _with_edges(field: NDArray[Any]) -> NDArray[Any]:
    """(h, w, ...) with its border repeated once on every side; np.pad takes far longer on small arrays."""
    height, width = field.shape[:2]
    result = np.empty((height + 2, width + 2, *field.shape[2:]), field.dtype)
    result[1:-1, 1:-1] = field
    result[0, 1:-1], result[-1, 1:-1] = field[0], field[-1]
    result[:, 0], result[:, -1] = result[:, 1], result[:, -2]
    return result
