"""Bits of symbols under the model's tables, with useful slopes."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from quaver.bitstream.symbols import PREFIX_FREQUENCIES
from quaver.bitstream.tables import PRECISION, TableSet

MAGNITUDES = 1 << 15  # symbols are int16
_NEVER = 1e6  # bits of what table 0, a certain zero, cannot code


@lru_cache(maxsize=4)
def code_lengths(tables: TableSet) -> NDArray[np.float32]:
    """(tables, 2**15 + 1) bits that the range coder spends on a symbol of magnitude 0, 1, ..., escapes as
    `quaver.bitstream.symbols` codes them. `IntegerModel.code_lengths`, by which the encoder decides, ends at 63 and is
    smooth where symbols escape."""
    lengths = np.full((len(tables.frequencies), MAGNITUDES + 1), _NEVER, np.float32)
    lengths[0, 0] = 0
    excess = np.arange(1, MAGNITUDES + 1)
    prefix = np.frexp(excess)[1] - 1
    escaped = PRECISION - np.log2(PREFIX_FREQUENCIES)[prefix] + prefix + 1  # the suffix with its sign
    for row, frequencies, support in zip(lengths[1:], tables.frequencies[1:], tables.supports[1:], strict=True):
        bits = PRECISION - np.log2(frequencies)
        row[: support + 1] = bits[support : 2 * support + 1]
        row[support + 1 :] = bits[-1] + escaped[: MAGNITUDES - support]
    return lengths


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
    soft = offset.clamp(0, longest)
    floor = soft.detach().floor().long().clamp(max=longest - 1)
    here, there = lengths[table, floor], lengths[table, floor + 1]
    slope = here + (there - here) * (soft - floor)
    return bits + (slope - slope.detach())
