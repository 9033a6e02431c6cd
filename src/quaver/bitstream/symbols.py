"""Arrays of integers to and from the bytes of one range coder. See docs/format/entropy.md.

The order on the wire: within one `put`, positions by table index ascending and inside an index in C order,
all table symbols first; then, in the same order, the prefixes of all escaped symbols; then their suffixes
with signs.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quaver.bitstream.tables import TableSet, exact_model
from quaver.errors import StreamError

INT16 = np.iinfo(np.int16)
# Prefix k of the Exp-Golomb code has probability 2**-(k+1), the last one as much as the one before.
PREFIX_FREQUENCIES = np.array([1 << (23 - k) for k in range(15)] + [1 << 9], np.uint32)


class SymbolEncoder:
    """Codes any number of arrays into one payload; `finish()` once at the end."""

    def __init__(self) -> None:
        import constriction

        self._coder = constriction.stream.queue.RangeEncoder()

    def put(self, symbols: NDArray[np.integer[Any]], indices: NDArray[np.uint8], tables: TableSet) -> None:
        """Code `symbols` (any shape, int16 range) with the tables that `indices` (same shape) choose.

        Raises ValueError where shapes differ, an index has no table, a symbol exceeds int16, or a symbol at
        index 0 is not zero.
        """
        if symbols.shape != indices.shape:
            raise ValueError(f"symbols {symbols.shape} and indices {indices.shape} differ in shape")
        positions, groups, supports = _wire_order(indices, tables)
        flat = symbols.reshape(-1)
        chosen = flat[positions]
        if np.count_nonzero(flat) != np.count_nonzero(chosen):
            raise ValueError("a symbol at table index 0 is not zero")
        if chosen.size and not INT16.min <= chosen.min() <= chosen.max() <= INT16.max:
            raise ValueError("a symbol does not fit int16")
        values = chosen.astype(np.int32)
        magnitudes = np.abs(values)
        escaped = magnitudes > supports
        coded = np.where(escaped, 2 * supports + 1, values + supports)
        for table, start, stop in groups:
            self._coder.encode(coded[start:stop], tables.models[table])
        if escaped.any():
            self._put_escapes(values[escaped], magnitudes[escaped] - supports[escaped])

    def finish(self) -> bytes:
        """The payload: words in little-endian order, without the zero bytes at its end."""
        words: NDArray[np.uint32] = self._coder.get_compressed()
        return words.astype("<u4").tobytes().rstrip(b"\0")

    def _put_escapes(self, values: NDArray[np.int32], excess: NDArray[np.int32]) -> None:
        """`excess` = |value| - S >= 1 as Exp-Golomb: floor(log2) is the prefix, the lower bits the suffix."""
        prefixes = np.frexp(excess.astype(np.float64))[1].astype(np.int32) - 1
        self._coder.encode(prefixes, _prefix_model())
        suffixes = 2 * (excess - (1 << prefixes)) + (values < 0)
        self._coder.encode(suffixes.astype(np.int32), _uniform_models(), 2 << prefixes)


class SymbolDecoder:
    """Decodes a payload with the same sequence of indices and tables that it was coded with."""

    def __init__(self, payload: bytes) -> None:
        """Raises StreamError for a payload that ends in a zero byte, which no encoder writes."""
        import constriction

        if payload.endswith(b"\0"):
            raise StreamError("the payload ends in a zero byte")
        words = np.frombuffer(payload + bytes(-len(payload) % 4), "<u4").astype(np.uint32)
        self._coder = constriction.stream.queue.RangeDecoder(words)

    def get(self, indices: NDArray[np.uint8], tables: TableSet) -> NDArray[np.int32]:
        """Symbols in the shape of `indices`. Raises StreamError for bytes that no encoder writes.

        Time and memory depend on `indices` alone. Past the payload's end zero bytes are decoded; `finish()`
        notices most of it and the checksum of the picture the rest.
        """
        positions, groups, supports = _wire_order(indices, tables)
        values = np.empty(len(positions), np.int32)
        for table, start, stop in groups:
            values[start:stop] = self._decode(tables.models[table], stop - start)
        values -= supports
        escaped = np.flatnonzero(values > supports)
        if escaped.size:
            values[escaped] = self._get_escapes(supports[escaped])
        symbols = np.zeros(indices.shape, np.int32)
        symbols.reshape(-1)[positions] = values
        return symbols

    def finish(self) -> None:
        """Raise StreamError unless the payload ends where the last symbol does, as far as that shows."""
        if not self._coder.maybe_exhausted():
            raise StreamError("the payload does not end with its last symbol")

    def _get_escapes(self, supports: NDArray[np.int32]) -> NDArray[np.int32]:
        prefixes = self._decode(_prefix_model(), len(supports))
        suffixes = self._decode(_uniform_models(), 2 << prefixes)
        magnitudes = supports + (1 << prefixes) + (suffixes >> 1)
        values: NDArray[np.int32] = np.where(suffixes & 1, -magnitudes, magnitudes).astype(np.int32)
        if values.min() < INT16.min or values.max() > INT16.max:
            raise StreamError("an escaped symbol does not fit int16")
        return values

    def _decode(self, model: Any, count_or_sizes: int | NDArray[np.int32]) -> NDArray[np.int32]:
        try:
            decoded: NDArray[np.int32] = self._coder.decode(model, count_or_sizes)
        except AssertionError as error:  # how constriction reports a point outside the coder's interval
            raise StreamError("the payload is not a range coder's output") from error
        return decoded


def _wire_order(
    indices: NDArray[np.uint8], tables: TableSet
) -> tuple[NDArray[np.intp], list[tuple[int, int, int]], NDArray[np.int32]]:
    """Flat positions of coded symbols in wire order, its runs (table, start, stop), and their supports."""
    if indices.dtype != np.uint8:
        raise ValueError(f"table indices are uint8, not {indices.dtype}")
    flat = indices.reshape(-1)
    positions = np.flatnonzero(flat != 0)  # ten times faster than of bytes
    chosen = flat[positions]
    order = np.argsort(chosen, kind="stable")
    counts = np.bincount(chosen, minlength=1)
    if len(counts) > len(tables.frequencies):
        raise ValueError(f"table index {len(counts) - 1}; there are {len(tables.frequencies)} tables")
    return positions[order], list(_runs(counts)), np.repeat(tables.supports[: len(counts)], counts)


def _runs(counts: NDArray[np.intp]) -> Iterator[tuple[int, int, int]]:
    stop = 0
    for table in np.flatnonzero(counts).tolist():
        start, stop = stop, stop + int(counts[table])
        yield table, start, stop


@cache
def _prefix_model() -> Any:
    return exact_model(PREFIX_FREQUENCIES)


@cache
def _uniform_models() -> Any:
    """Uniform distributions whose size, here always a power of two, is given symbol by symbol."""
    import constriction

    return constriction.stream.model.Uniform()
