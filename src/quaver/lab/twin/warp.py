"""Twin of `quaver.runtime.warp`, batched, differentiable in the reference picture and, where asked, in the vectors.

Vectors are whole quarter samples; a prediction's slope in a vector is its central difference over one quarter sample
to either side.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from quaver.lab.twin.rounding import floor_ste
from quaver.lab.twin.transform import Planes
from quaver.runtime.warp import CHROMA_TAPS, LUMA_TAPS


def compensate(reference: Planes, vectors: Tensor) -> Planes:
    """Y, U, V (4 fractional bits) from a reference of 8-bit samples by vectors (B, h8, w8, 2), integers."""
    y, u, v = (_predict(plane, vectors, size) for plane, size in zip(reference, (8, 4, 4), strict=True))
    if vectors.requires_grad:
        parts = zip((y, u, v), reference, (8, 4, 4), strict=True)
        y, u, v = (_ThroughVectors.apply(p, plane.detach(), vectors, size) for p, plane, size in parts)
    return y, u, v


class _ThroughVectors(torch.autograd.Function):
    """A prediction as it is, with a gradient for the vectors that made it."""

    @staticmethod
    def forward(ctx: Any, prediction: Tensor, reference: Tensor, vectors: Tensor, size: int) -> Tensor:
        ctx.save_for_backward(reference, vectors)
        ctx.size = size
        return prediction.view_as(prediction)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, Tensor, None]:
        reference, vectors = ctx.saved_tensors
        batch, rows, columns, _ = vectors.shape
        slopes = []
        for step in torch.eye(2):
            after = _predict(reference, vectors + step, ctx.size)
            before = _predict(reference, vectors - step, ctx.size)
            blocks = (gradient * (after - before) / 2).reshape(batch, rows, ctx.size, columns, ctx.size)
            slopes.append(blocks.sum((2, 4)))
        return gradient, None, torch.stack(slopes, -1).to(vectors.dtype), None


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
    # Autocast would multiply in bfloat16, whose 8 bits do not hold these integers.
    with torch.autocast(plane.device.type, enabled=False):
        sums = vertical @ patches.float() @ horizontal.transpose(1, 2)
    blocks = floor_ste((sums + 128) / 256).reshape(batch, rows, columns, size, size)
    return blocks.permute(0, 1, 3, 2, 4).reshape(batch, height, width)
