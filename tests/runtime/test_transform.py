"""The integer DCT against sums written out, with Python's integers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from quaver.runtime import transform
from quaver.runtime.transform import Planes


def _basis(size: int, v: int, u: int, y: int, x: int) -> int:
    """round(4096 * D) of one coefficient and one sample."""

    def one(k: int, n: int) -> float:
        return math.sqrt((1 if k == 0 else 2) / size) * math.cos(math.pi * (2 * n + 1) * k / (2 * size))

    return round(4096 * one(v, y) * one(u, x))


MATRIX = {
    size: [
        [_basis(size, v, u, y, x) for y in range(size) for x in range(size)] for v in range(size) for u in range(size)
    ]
    for size in (4, 8)
}
PLANES = ((8, slice(0, 64)), (4, slice(64, 80)), (4, slice(80, 96)))


def _forward(planes: Planes) -> np.ndarray:
    rows, columns = planes[0].shape[0] // 8, planes[0].shape[1] // 8
    result = np.zeros((96, rows, columns), np.int32)
    for plane, (size, channels) in zip(planes, PLANES, strict=True):
        for row in range(rows):
            for column in range(columns):
                block = plane[row * size : (row + 1) * size, column * size : (column + 1) * size].ravel().tolist()
                result[channels, row, column] = [
                    (sum(a * s for a, s in zip(basis, block, strict=True)) + 2048) >> 12 for basis in MATRIX[size]
                ]
    return result


def _inverse(coefficients: np.ndarray) -> list[np.ndarray]:
    _, rows, columns = coefficients.shape
    result = []
    for size, channels in PLANES:
        plane = np.zeros((rows * size, columns * size), np.int32)
        for row in range(rows):
            for column in range(columns):
                block = [min(max(c, -(2**15)), 2**15 - 1) for c in coefficients[channels, row, column].tolist()]
                samples = [
                    (sum(MATRIX[size][k][n] * block[k] for k in range(size * size)) + 2048) >> 12
                    for n in range(size * size)
                ]
                plane[row * size : (row + 1) * size, column * size : (column + 1) * size] = np.reshape(
                    samples, (size, size)
                )
        result.append(plane)
    return result


def _planes(rng: np.random.Generator, limit: int, height: int = 16, width: int = 24) -> Planes:
    def plane(rows: int, columns: int) -> np.ndarray:
        return rng.integers(-limit, limit + 1, (rows, columns)).astype(np.int32)

    return plane(height, width), plane(height // 2, width // 2), plane(height // 2, width // 2)


@pytest.mark.parametrize("size", [4, 8])
def test_matrix(size: int) -> None:
    np.testing.assert_array_equal(transform.dct_matrix(size), MATRIX[size])


@pytest.mark.parametrize("limit", [3, 300, 4080])
def test_forward(limit: int) -> None:
    planes = _planes(np.random.default_rng(limit), limit)
    np.testing.assert_array_equal(transform.forward(planes), _forward(planes))


@pytest.mark.parametrize("limit", [3, 3000, 1 << 17])
def test_inverse(limit: int) -> None:
    coefficients = np.random.default_rng(limit).integers(-limit, limit + 1, (96, 2, 3)).astype(np.int32)
    for got, wanted in zip(transform.inverse(coefficients), _inverse(coefficients), strict=True):
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("size", [4, 8])
def test_sums_fit_32_bits(size: int) -> None:
    matrix = np.abs(transform.dct_matrix(size))
    assert matrix.sum(1).max() * 4080 + 2048 < 2**31
    assert matrix.sum(0).max() * 2**15 + 2048 < 2**31


def test_inverse_at_the_signs_that_add_up() -> None:
    matrix = transform.dct_matrix(8)
    coefficients = np.zeros((96, 1, 1), np.int32)
    coefficients[:64, 0, 0] = np.where(matrix[:, 0] > 0, 2**15 - 1, -(2**15))
    for got, wanted in zip(transform.inverse(coefficients), _inverse(coefficients), strict=True):
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("seed", range(3))
def test_eight_bit_differences_survive_both_ways(seed: int) -> None:
    planes = tuple(plane << 4 for plane in _planes(np.random.default_rng(seed), 255, 64, 64))
    for got, wanted in zip(transform.inverse(transform.forward(planes)), planes, strict=True):
        np.testing.assert_array_equal((got + 8) >> 4, wanted >> 4)


def test_nothing_comes_of_nothing() -> None:
    assert not any(plane.any() for plane in transform.inverse(np.zeros((96, 2, 3), np.int32)))


def test_a_constant_is_its_dc() -> None:
    planes = np.full((8, 8), 160, np.int32), np.full((4, 4), -80, np.int32), np.full((4, 4), 16, np.int32)
    coefficients = transform.forward(planes)[:, 0, 0]
    assert coefficients[[0, 64, 80]].tolist() == [160 * 8, -80 * 4, 16 * 4]
    assert np.count_nonzero(coefficients) == 3
