"""Pyramid prediction against a walk over positions that may only look at what is known."""

from __future__ import annotations

import numpy as np
import pytest

from quaver.runtime import pyramid

SHAPES = [(1, 1), (1, 40), (40, 1), (2, 3), (5, 16), (17, 17), (23, 40)]


def _order(height: int, width: int) -> list[tuple[int, int, int, bool]]:
    """(row, column, distance, diagonal) in coding order."""
    positions = [(row, column, 0, False) for row in range(0, height, 16) for column in range(0, width, 16)]
    for spacing in (16, 8, 4, 2):
        half = spacing // 2
        for top, left, diagonal in ((half, half, True), (0, half, False), (half, 0, False)):
            positions += [
                (row, column, half, diagonal)
                for row in range(top, height, spacing)
                for column in range(left, width, spacing)
            ]
    return positions


def _neighbour(
    known: dict[tuple[int, int], int], shape: tuple[int, int], row: int, column: int, down: int, right: int, reach: int
) -> int:
    """A neighbour; KeyError where it has not been decoded yet."""
    height, width = shape
    r, c = row + down * reach, column + right * reach
    if not 0 <= r < height:
        r = row - down * reach
    if not 0 <= c < width:
        c = column - right * reach
    if not 0 <= r < height:  # the map ends on both sides: a known one across
        r, c = row, column - reach
    elif not 0 <= c < width:
        r, c = row - reach, column
    return known[r, c]


def _residual(values: np.ndarray, past: np.ndarray | None) -> np.ndarray:
    shape = values.shape
    known: dict[tuple[int, int], int] = {}
    result = np.zeros_like(values)
    for row, column, reach, diagonal in _order(*shape):
        before = None if past is None else int(past[row, column])
        if reach == 0:
            predicted = before or 0
        else:
            ways = [(-1, -1), (-1, 1), (1, -1), (1, 1)] if diagonal else [(-1, 0), (1, 0), (0, -1), (0, 1)]
            around = sorted(_neighbour(known, shape, row, column, *way, reach) for way in ways)
            predicted = (around[1] + around[2] + 1) >> 1 if before is None else sorted([*around, before])[2]
        known[row, column] = int(values[row, column])
        result[row, column] = values[row, column] - predicted
    assert len(known) == values.size
    return result


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("temporal", [False, True])
def test_residual(shape: tuple[int, int], temporal: bool) -> None:
    rng = np.random.default_rng(sum(shape))
    values = rng.integers(-2000, 2000, (2, *shape)).astype(np.int32)
    past = rng.integers(-2000, 2000, (2, *shape)).astype(np.int32) if temporal else None
    coded = pyramid.residual(values, past)
    for component in range(2):
        before = None if past is None else past[component]
        np.testing.assert_array_equal(coded[component], _residual(values[component], before))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("temporal", [False, True])
def test_reconstruction(shape: tuple[int, int], temporal: bool) -> None:
    rng = np.random.default_rng(sum(shape))
    values = rng.integers(-(2**15), 2**15, (3, *shape)).astype(np.int32)
    past = rng.integers(-(2**15), 2**15, (3, *shape)).astype(np.int32) if temporal else None
    np.testing.assert_array_equal(pyramid.reconstruct(pyramid.residual(values, past), past), values)


def test_the_largest_symbols_stay_far_from_32_bits() -> None:
    """A hostile stream can make every difference extreme; sums grow by one symbol per step."""
    for symbol in (-(2**15), 2**15 - 1):
        values = pyramid.reconstruct(np.full((2, 40, 40), symbol, np.int32), np.full((2, 40, 40), symbol, np.int32))
        assert np.abs(values).max() <= 2**15 * 14


def test_smooth_maps_cost_nothing_but_their_corners() -> None:
    values = np.full((1, 33, 33), 9, np.int32)
    assert np.count_nonzero(pyramid.residual(values, None)) == 9
    assert not pyramid.residual(values, values).any()
