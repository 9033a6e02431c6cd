"""Bits of coefficients under the model's tables, with useful slopes."""

from __future__ import annotations

import torch
from torch import Tensor

from quaver.bitstream.record import FrameKind
from quaver.codec.decisions import ROUNDING
from quaver.lab.models.bridge import Known


def coded_bits(
    latents: Tensor,
    symbols: Tensor,
    means: Tensor,
    indices: Tensor,
    known: Known,
    lengths: Tensor,
    kind: FrameKind,
) -> Tensor:
    """Bits (B,) of `symbols` (B, 96, h, w) coded with table `indices`.

    The value is exact for integer indices. Its slope in the index is that of the line between two tables; its
    slope in latents and means that of the code length at |latent - mean|, moved by the dead zone.
    """
    tables, longest = lengths.shape[0] - 2, lengths.shape[1] - 1
    where = known.coded.nonzero(as_tuple=True)
    index = indices[where].float().clamp(1, tables)
    magnitude = symbols[where].abs().clamp(max=longest).long()
    low = index.detach().floor().clamp(max=tables - 1).long()
    below, above = lengths[low, magnitude], lengths[low + 1, magnitude]
    bits = below + (above - below) * (index - low)
    offset = (latents[where] - means[where]).abs().float()
    soft = (offset - (0.5 - ROUNDING[kind])).clamp(0, longest - 1e-3)
    floor = soft.detach().floor().long()
    table = index.detach().round().long()
    here, there = lengths[table, floor], lengths[table, floor + 1]
    slope = here + (there - here) * (soft - floor)
    bits = bits + (slope - slope.detach())
    batch = symbols.shape[0]
    return torch.zeros(batch, dtype=bits.dtype).index_add(0, where[0], bits)
