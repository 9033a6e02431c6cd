"""Twin of `quaver.runtime.warp`, batched, differentiable in the reference picture; vectors are integers."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

from quaver.lab.twin.rounding import floor_ste
from quaver.lab.twin.transform import Planes
from quaver.runtime.warp import CHROMA_TAPS, LUMA_TAPS


def compensate(reference: Planes, vectors: Tensor) -> Planes:
    """Y, U, V (4 fractional bits) from a reference of 8-bit samples by vectors (B, h8, w8, 2), integers."""
    y, u, v = reference
    return _predict(y, vectors, 8), _predict(u, vectors, 4), _predict(v, vectors, 4)


@cache
def _bands(size: int) -> Tensor:
    """(phases, size, size + taps - 1): for each phase, row i holds the filter that makes output sample i."""
    taps = torch.from_numpy(LUMA_TAPS if size == 8 else CHROMA_TAPS).float()
    bands = torch.zeros(len(taps), size, size + taps.shape[1] - 1)
    for row in range(size):
        bands[:, row, row : row + taps.shape[1]] = taps
    return bands


def _predict(plane: Tensor, vectors: Tensor, size: int) -> Tensor:
    bands = _bands(size)
    phases, _, window = bands.shape
    taps = window - size + 1
    before, margin = taps // 2 - 1, 2 * size + taps
    batch, rows, columns = vectors.shape[:3]
    height, width = plane.shape[-2:]
    padded = F.pad(plane[:, None], (margin,) * 4, mode="replicate")[:, 0]
    dx, dy = vectors[..., 0].long(), vectors[..., 1].long()
    block_x, block_y = torch.arange(columns)[None, None], torch.arange(rows)[None, :, None]
    whole_x, whole_y = dx.div(phases, rounding_mode="floor"), dy.div(phases, rounding_mode="floor")
    left = (block_x * size + whole_x).clamp(-2 * size, width + size) + margin - before
    top = (block_y * size + whole_y).clamp(-2 * size, height + size) + margin - before
    reach = torch.arange(window)
    stride = padded.shape[-1]
    index = (top[..., None, None] + reach[:, None]) * stride + left[..., None, None] + reach
    patches = padded.reshape(batch, -1).gather(1, index.reshape(batch, -1)).reshape(-1, window, window)
    vertical, horizontal = bands[dy.remainder(phases).flatten()], bands[dx.remainder(phases).flatten()]
    sums = vertical @ patches.float() @ horizontal.transpose(1, 2)
    blocks = floor_ste((sums + 128) / 256).reshape(batch, rows, columns, size, size)
    return blocks.permute(0, 1, 3, 2, 4).reshape(batch, height, width)
