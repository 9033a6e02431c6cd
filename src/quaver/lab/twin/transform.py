"""Twin of `quaver.runtime.transform`, batched. Integers as float64, in which every sum is exact."""

from __future__ import annotations

import torch
from torch import Tensor

from quaver.lab.twin.rounding import floor_ste
from quaver.runtime.transform import COEFFICIENT_MAX, COEFFICIENT_MIN, dct_matrix

Planes = tuple[Tensor, Tensor, Tensor]  # Y (B, H, W), U, V (B, H/2, W/2)

_LUMA, _CHROMA = torch.from_numpy(dct_matrix(8)), torch.from_numpy(dct_matrix(4))


def forward(planes: Planes) -> Tensor:
    """Samples with 4 fractional bits to coefficients (B, 96, h8, w8), float64."""
    y, u, v = planes
    return torch.cat([_analyse(y, 8, _LUMA), _analyse(u, 4, _CHROMA), _analyse(v, 4, _CHROMA)], 1)


def inverse(coefficients: Tensor) -> Planes:
    """Coefficients (B, 96, h8, w8) to samples with 4 fractional bits, float64."""
    clamped = coefficients.double().clamp(COEFFICIENT_MIN, COEFFICIENT_MAX)
    return (
        _synthesise(clamped[:, :64], 8, _LUMA),
        _synthesise(clamped[:, 64:80], 4, _CHROMA),
        _synthesise(clamped[:, 80:], 4, _CHROMA),
    )


def _analyse(plane: Tensor, size: int, matrix: Tensor) -> Tensor:
    batch, height, width = plane.shape
    rows, columns = height // size, width // size
    blocks = plane.double().reshape(batch, rows, size, columns, size).permute(0, 2, 4, 1, 3)
    return _rounded(matrix @ blocks.reshape(batch, size * size, -1)).reshape(batch, -1, rows, columns)


def _synthesise(channels: Tensor, size: int, matrix: Tensor) -> Tensor:
    batch, _, rows, columns = channels.shape
    blocks = _rounded(matrix.T @ channels.reshape(batch, size * size, -1))
    blocks = blocks.reshape(batch, size, size, rows, columns).permute(0, 3, 1, 4, 2)
    return blocks.reshape(batch, rows * size, columns * size)


def _rounded(sums: Tensor) -> Tensor:
    return floor_ste((sums + 2048) / 4096)
