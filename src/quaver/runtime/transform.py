"""Integer DCT: 8x8 of Y, 4x4 of U and V, 96 coefficients per 8x8 luma block.

A = round(4096 * D) where D is the orthonormal two-dimensional DCT-II as one matrix; coefficients and samples
carry 4 fractional bits and each direction rounds once: ``(sum + 2048) >> 12``. Sums stay below 2**31 for
coefficients in [-2**15, 2**15), so any language can hold them in 32 bits; here they are float64 matrix
products, exact below 2**53. Source: docs/format/arithmetic.md, Transform.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from quaver.runtime import native

CHANNELS = 96  # 64 of Y, 16 of U, 16 of V
FRACTION = 4  # fractional bits of coefficients and samples
COEFFICIENT_MIN, COEFFICIENT_MAX = -(1 << 15), (1 << 15) - 1

Planes = tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]


def dct_matrix(size: int) -> NDArray[np.float64]:
    """(size**2, size**2) integers as float64; row = coefficient (v, u), column = sample (y, x)."""
    one = [
        [math.sqrt((1 if k == 0 else 2) / size) * math.cos(math.pi * (2 * n + 1) * k / (2 * size)) for n in range(size)]
        for k in range(size)
    ]
    return np.rint(4096 * np.kron(np.array(one), np.array(one)))


_LUMA, _CHROMA = dct_matrix(8), dct_matrix(4)
_INTEGERS = {8: _LUMA.astype(np.int32), 4: _CHROMA.astype(np.int32)}  # the same, for kernels


def forward(planes: Planes) -> NDArray[np.int32]:
    """Samples with 4 fractional bits, Y (H, W), U, V (H/2, W/2), to coefficients (96, H/8, W/8)."""
    y, u, v = planes
    result = np.empty((CHANNELS, y.shape[0] // 8, y.shape[1] // 8), np.int32)
    _analyse(y, 8, _LUMA, result[:64])
    _analyse(u, 4, _CHROMA, result[64:80])
    _analyse(v, 4, _CHROMA, result[80:])
    return result


def inverse(coefficients: NDArray[np.int32]) -> Planes:
    """Coefficients (96, h, w), clamped to [-2**15, 2**15), to samples with 4 fractional bits."""
    return (
        _synthesise(coefficients[:64], 8, _LUMA),
        _synthesise(coefficients[64:80], 4, _CHROMA),
        _synthesise(coefficients[80:], 4, _CHROMA),
    )


def _analyse(plane: NDArray[np.int32], size: int, matrix: NDArray[np.float64], result: NDArray[np.int32]) -> None:
    """Fill `result` (size**2, rows, columns)."""
    _, rows, columns = result.shape
    if native.kernels is not None:
        plane = np.ascontiguousarray(plane, np.int32)
        if native.kernels.forward_transform(plane, _INTEGERS[size], result):
            return
    blocks = plane.reshape(rows, size, columns, size).transpose(1, 3, 0, 2).reshape(size * size, -1)
    result[:] = _rounded(matrix @ blocks).reshape(result.shape)


def _synthesise(channels: NDArray[np.int32], size: int, matrix: NDArray[np.float64]) -> NDArray[np.int32]:
    _, rows, columns = channels.shape
    if native.kernels is not None:
        plane = np.empty((rows * size, columns * size), np.int32)
        native.kernels.inverse_transform(np.ascontiguousarray(channels, np.int32), _INTEGERS[size], plane)
        return plane
    clamped = np.clip(channels, COEFFICIENT_MIN, COEFFICIENT_MAX)
    blocks = _rounded(matrix.T @ clamped.reshape(size * size, -1))
    return blocks.reshape(size, size, rows, columns).transpose(2, 0, 3, 1).reshape(rows * size, columns * size)


def _rounded(sums: NDArray[np.float64]) -> NDArray[np.int32]:
    return (sums.astype(np.int32) + 2048) >> 12
