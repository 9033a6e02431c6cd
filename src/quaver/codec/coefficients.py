"""Quantized coefficients and their activity levels: the codec's classical entropy model.

Each 16x16 area has one level for luma and one for chroma, coded first (a hyperprior chosen by the encoder, not
learned); the level gives every coefficient of the area its frequency table. Level 0: all are zero.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quaver.codec.symbol_coder import SymbolCoder, Symbols, code_by_class
from quaver.errors import StreamError
from quaver.runtime import native, pyramid
from quaver.runtime.model import IntegerModel

Levels = NDArray[np.int32]  # (2, h16, w16): luma, chroma

DC_CHANNELS = [0, 64, 80]
PLANES = (slice(0, 64), slice(64, 96))
_LENGTH_UNIT = 1 << 16  # of a bit, in which code lengths are summed
_ILLEGAL = 1 << 30  # in those units, the length of what a table cannot code: more than an area ever costs
_CLASSES = 4  # of a past level: 0, 1, 2, more


def code_levels(coder: SymbolCoder, levels: Levels | None, past: Levels | None, shape: tuple[int, int]) -> Levels:
    """Levels (2, h16, w16), predicted by the pyramid from themselves and the last frame's."""
    reference = np.zeros((2, *shape), np.int32) if past is None else past
    classes = np.minimum(reference, _CLASSES - 1) + np.array([0, _CLASSES])[:, None, None]
    known = pyramid.residual(levels, past) if levels is not None else None
    coded = code_by_class(coder, known, classes.astype(np.uint8), 2 * _CLASSES)
    return pyramid.reconstruct(coded, past)


def table_indices(levels: Levels, table: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(96, h8, w8) frequency table of each coefficient, by its area's level in `table` (levels, 96)."""
    if levels.min() < 0 or levels.max() >= len(table):
        raise StreamError(f"activity levels {levels.min()}..{levels.max()} are coded; 0..{len(table) - 1} are legal")
    parts = []
    for plane, channels in zip(levels, PLANES, strict=True):
        blocks = plane.repeat(2, 0).repeat(2, 1)
        parts.append(table[:, channels].T[:, blocks])
    return np.concatenate(parts)


def code_dc(coder: SymbolCoder, values: Symbols | None, shape: tuple[int, int]) -> Symbols:
    """Intra DC symbols (3, h8, w8) of Y, U, V, predicted by the pyramid."""
    classes = np.repeat(np.arange(3, dtype=np.uint8), shape[0] * shape[1]).reshape(3, *shape)
    known = pyramid.residual(values, None) if values is not None else None
    return pyramid.reconstruct(code_by_class(coder, known, classes, 3), None)


def level_bits(symbols: Symbols, table: NDArray[np.uint8], model: IntegerModel) -> NDArray[np.float32]:
    """(2, levels, h16, w16) bits that `symbols` (96, h8, w8) cost in each area at each level of `table`; infinite
    at level 0 where they are not all zero."""
    _, rows, columns = symbols.shape
    lengths = np.minimum(np.rint(model.code_lengths * _LENGTH_UNIT), _ILLEGAL).astype(np.int32)
    sums = np.empty((2, len(table), rows // 2, columns // 2), np.int64)
    if native.kernels is not None:
        native.kernels.level_bits(np.ascontiguousarray(symbols), table, lengths, sums)
    else:
        _sum_lengths(symbols, table, lengths, sums)
    bits = sums.astype(np.float32) / np.float32(_LENGTH_UNIT)
    bits[:, 0] = np.where(sums[:, 0] < 0, np.inf, 0)
    return bits


def _sum_lengths(
    symbols: Symbols, table: NDArray[np.uint8], lengths: NDArray[np.int32], sums: NDArray[np.int64]
) -> None:
    """Fill `sums`; at level 0 with -1 where not all symbols are zero, else 0."""
    magnitudes = np.minimum(np.abs(symbols), lengths.shape[1] - 1)
    _, rows, columns = symbols.shape
    for plane, channels in enumerate(PLANES):
        part = magnitudes[channels]
        areas = part.reshape(len(part), rows // 2, 2, columns // 2, 2).transpose(1, 3, 0, 2, 4)
        own = lengths[table[:, channels]]  # (levels, channels, 64)
        busy = areas.any((2, 3, 4))
        sums[plane] = own[:, :, 0].sum(1, dtype=np.int64)[:, None, None] * 4
        sums[plane, 0] = -busy.astype(np.int64)
        chosen = areas[busy].reshape(-1, len(part), 4)
        positions = chosen + (np.arange(len(part)) * own.shape[2])[:, None]
        for level in range(1, len(table)):
            sums[plane, level, busy] = np.take(own[level], positions).sum((1, 2), dtype=np.int64)


def without_dc(symbols: Symbols) -> Symbols:
    """Intra symbols as the levels see them: DC is coded apart."""
    result = symbols.copy()
    result[DC_CHANNELS] = 0
    return result
