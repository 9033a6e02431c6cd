"""Twin of `quaver.runtime.haar`, batched; float32 holds these integers exactly, gradients pass the roundings."""

from __future__ import annotations

import torch
from torch import Tensor

from quaver.lab.twin.rounding import floor_ste


def forward(vectors: Tensor) -> Tensor:
    """Vectors (B, h8, w8, 2) to latents (B, 4, 2, h16, w16): average, horizontal, vertical, diagonal."""
    v = vectors.permute(0, 3, 1, 2)
    low, high = _split(v[..., 0::2], v[..., 1::2])
    average, vertical = _split(low[:, :, 0::2], low[:, :, 1::2])
    horizontal, diagonal = _split(high[:, :, 0::2], high[:, :, 1::2])
    return torch.stack([average, horizontal, vertical, diagonal], 1)


def inverse(latents: Tensor) -> Tensor:
    """Latents (B, 4, 2, h16, w16) back to vectors (B, h8, w8, 2)."""
    average, horizontal, vertical, diagonal = latents.unbind(1)
    low = torch.stack(_merge(average, vertical), 3).flatten(2, 3)
    high = torch.stack(_merge(horizontal, diagonal), 3).flatten(2, 3)
    return torch.stack(_merge(low, high), 4).flatten(3, 4).permute(0, 2, 3, 1)


def _split(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    return floor_ste((a + b) / 2), a - b


def _merge(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    a = low + floor_ste((high + 1) / 2)
    return a, a - high
