"""Weights in files: each output channel with as many bits as its largest weight needs.

A row (one output channel) of b bits holds two's complement numbers of b bits, most significant bit first; b = 0: all
are zero and nothing is stored. Rows follow one another without gaps; the last byte is filled with zeros.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quaver.errors import ModelError

Weights = NDArray[np.int8]  # (O, ...)


def row_bits(weights: Weights) -> NDArray[np.uint8]:
    """(O,) the least bits in which every row's numbers fit: 0, or 2 to 8."""
    rows = weights.reshape(len(weights), -1).astype(np.int32)
    reach = np.maximum(rows.max(1, initial=0), -1 - rows.min(1, initial=0))
    needed = 1 + np.ceil(np.log2(reach + 1)).astype(np.uint8)
    return np.where(rows.any(1), np.maximum(needed, 2), 0).astype(np.uint8)


def pack(weights: Weights) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """(payload, bits per row)."""
    bits = row_bits(weights)
    streams = [_to_bits(row, int(width)) for row, width in zip(weights.reshape(len(weights), -1), bits, strict=True)]
    return np.packbits(np.concatenate(streams or [np.zeros(0, np.uint8)])), bits


def unpack(payload: NDArray[np.uint8], bits: NDArray[np.uint8], shape: tuple[int, ...]) -> Weights:
    """The inverse; ModelError where payload, bits and shape do not belong together."""
    if payload.dtype != np.uint8 or bits.dtype != np.uint8 or bits.shape != shape[:1] or payload.ndim != 1:
        raise ModelError("packed weights: wrong arrays")
    if len(bits) and (bits.max() > 8 or (bits == 1).any()):
        raise ModelError("packed weights: rows have 0 or 2 to 8 bits")
    length = int(np.prod(shape[1:], dtype=np.int64))
    if len(payload) != -(-int(bits.astype(np.int64).sum()) * length // 8):
        raise ModelError("packed weights: the payload's length does not fit its rows")
    # A number begins at some bit of a byte and ends in that byte or the next: both as 16 bits, what comes before it
    # shifted out to the left, and back to the right with its sign.
    width = bits.astype(np.int64)
    starts = np.concatenate([[0], np.cumsum(width * length)[:-1]]) if len(bits) else width
    first = starts[:, None] + width[:, None] * np.arange(length)
    padded = np.concatenate([payload, np.zeros(2, np.uint8)]).astype(np.uint16)
    pairs = padded[:-1] << 8 | padded[1:]
    found = (pairs[first >> 3] << (first & 7).astype(np.uint16)).view(np.int16)
    rows = (found >> (16 - np.maximum(width, 2))[:, None].astype(np.int16)).astype(np.int8)
    rows[width == 0] = 0
    return rows.reshape(shape)


def pack_arrays(arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Arrays as a file holds them: each int8 array NAME becomes NAME.packed, NAME.bits and NAME.shape."""
    result: dict[str, NDArray[Any]] = {}
    for name, array in arrays.items():
        if array.dtype != np.int8:
            result[name] = array
            continue
        result[f"{name}.packed"], result[f"{name}.bits"] = pack(array)
        result[f"{name}.shape"] = np.array(array.shape, np.int32)
    return result


def unpack_arrays(arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """The inverse of `pack_arrays`; ModelError for damage."""
    result = dict(arrays)
    for key in arrays:
        if not key.endswith(".packed"):
            continue
        name = key.removesuffix(".packed")
        payload, bits, shape = (result.pop(f"{name}.{part}", None) for part in ("packed", "bits", "shape"))
        if payload is None or bits is None or shape is None or shape.shape != (4,) or shape.min() < 1:
            raise ModelError(f"packed weights {name!r} are not whole")
        sizes = tuple(shape.astype(np.int64).tolist())
        result[name] = unpack(payload, bits, sizes)
    return result


def _to_bits(row: NDArray[np.int8], width: int) -> NDArray[np.uint8]:
    return np.unpackbits(row.view(np.uint8)[:, None], axis=1)[:, 8 - width :].ravel()
