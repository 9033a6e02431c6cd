"""Bits of symbols under the model's tables, with useful slopes."""

from __future__ import annotations

import torch
from torch import Tensor


def coded_bits(
    latents: Tensor,
    symbols: Tensor,
    means: Tensor,
    indices: Tensor,
    coded: Tensor,
    lengths: Tensor,
) -> Tensor:
    """Bits (B,) of the coefficient symbols (B, 96, h, w) with table `indices`, where `coded` (bool).

    Their slope does not know the dead zone: distortion's, straight through the quantizer, does not either, and without
    a rate to balance it inside the zone it would drive every latent to the zone's edge.
    """
    where = coded.nonzero(as_tuple=True)
    offset = (latents[where] - means[where]).abs().float()
    bits = table_bits(symbols[where], offset, indices[where], lengths)
    return torch.zeros(symbols.shape[0], dtype=bits.dtype).index_add(0, where[0], bits)


def table_bits(symbols: Tensor, offset: Tensor, indices: Tensor, lengths: Tensor) -> Tensor:
    """Bits (n,) of `symbols` (n,) coded with table `indices` (n,), whole numbers.

    The value is exact. Its slope in the index is that of the line between the tables on either side (one to the next
    alone would be steeper than what it stands for, and push every index down); its slope in `offset`, the distance of
    latent and mean, that of the code length there.
    """
    tables, longest = lengths.shape[0] - 2, lengths.shape[1] - 1
    index = indices.float().clamp(1, tables)
    magnitude = symbols.abs().clamp(max=longest).long()
    table = index.detach().round().long()
    below, above = lengths[(table - 1).clamp(min=1), magnitude], lengths[(table + 1).clamp(max=tables), magnitude]
    bits = lengths[table, magnitude] + (above - below) / 2 * (index - table)
    soft = offset.clamp(0, longest - 1e-3)
    floor = soft.detach().floor().long()
    here, there = lengths[table, floor], lengths[table, floor + 1]
    slope = here + (there - here) * (soft - floor)
    return bits + (slope - slope.detach())
