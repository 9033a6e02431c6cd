"""Bits of symbols under the model's tables, with useful slopes."""

from __future__ import annotations

import torch
from torch import Tensor

from quaver.bitstream.record import FrameKind
from quaver.codec.decisions import ROUNDING


def coded_bits(
    latents: Tensor,
    symbols: Tensor,
    means: Tensor,
    indices: Tensor,
    coded: Tensor,
    lengths: Tensor,
    kind: FrameKind,
) -> Tensor:
    """Bits (B,) of the coefficient symbols (B, 96, h, w) with table `indices`, where `coded` (bool)."""
    where = coded.nonzero(as_tuple=True)
    offset = (latents[where] - means[where]).abs().float() - (0.5 - ROUNDING[kind])
    bits = table_bits(symbols[where], offset, indices[where], lengths)
    return torch.zeros(symbols.shape[0], dtype=bits.dtype).index_add(0, where[0], bits)


def table_bits(symbols: Tensor, offset: Tensor, indices: Tensor, lengths: Tensor) -> Tensor:
    """Bits (n,) of `symbols` (n,) coded with table `indices` (n,).

    The value is exact for integer indices. Its slope in the index is that of the line between two tables; its
    slope in `offset`, the distance of latent and mean less what the dead zone takes, that of the code length there.
    """
    tables, longest = lengths.shape[0] - 2, lengths.shape[1] - 1
    index = indices.float().clamp(1, tables)
    magnitude = symbols.abs().clamp(max=longest).long()
    low = index.detach().floor().clamp(max=tables - 1).long()
    below, above = lengths[low, magnitude], lengths[low + 1, magnitude]
    bits = below + (above - below) * (index - low)
    soft = offset.clamp(0, longest - 1e-3)
    floor = soft.detach().floor().long()
    table = index.detach().round().long()
    here, there = lengths[table, floor], lengths[table, floor + 1]
    slope = here + (there - here) * (soft - floor)
    return bits + (slope - slope.detach())
