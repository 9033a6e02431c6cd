"""One interface for writing and reading symbols, so that encoder and decoder share one description of a frame.

Code that runs in both directions passes the symbols it knows (encoder) or None (decoder) and goes on with what
`code` returns.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from quaver.bitstream.symbols import SymbolDecoder, SymbolEncoder
from quaver.errors import StreamError
from quaver.runtime.model import IntegerModel

Symbols = NDArray[np.int32]

_SHIFTS = 33  # a correction moves a table by -16..16


class SymbolCoder(Protocol):
    """Codes symbols with the frequency tables of a model."""

    model: IntegerModel

    def code(self, symbols: Symbols | None, indices: NDArray[np.uint8]) -> Symbols:
        """The symbols, in the shape of `indices`; index 0 is a certain zero."""


class SymbolWriter:
    """Encodes what it is given."""

    def __init__(self, model: IntegerModel) -> None:
        self.model = model
        self._encoder = SymbolEncoder()

    def code(self, symbols: Symbols | None, indices: NDArray[np.uint8]) -> Symbols:
        assert symbols is not None
        self._encoder.put(symbols, indices, self.model.tables)
        return symbols

    def finish(self) -> bytes:
        return self._encoder.finish()


class SymbolReader:
    """Decodes a frame's payload."""

    def __init__(self, model: IntegerModel, payload: bytes) -> None:
        self.model = model
        self._decoder = SymbolDecoder(payload)

    def code(self, symbols: Symbols | None, indices: NDArray[np.uint8]) -> Symbols:
        return self._decoder.get(indices, self.model.tables)

    def finish(self) -> None:
        self._decoder.finish()


def code_by_class(
    coder: SymbolCoder,
    symbols: Symbols | None,
    classes: NDArray[np.uint8],
    count: int,
    index: NDArray[np.uint8] | None = None,
) -> Symbols:
    """Code symbols whose table depends on a class 0..count-1 that both sides know; the encoder chooses the
    cheapest table of each class, which is coded first. `index`: a network's corrections of the tables."""
    selector = coder.model.selector
    choice: NDArray[Any] | None = None
    if symbols is not None:
        choice = cheapest_tables(coder.model, symbols, classes, count, index) - selector // 2
    chosen = coder.code(choice, np.full(count, selector, np.uint8)) + selector // 2
    if chosen.min() < 0 or chosen.max() >= selector:
        raise StreamError(f"tables {chosen.min()}..{chosen.max()} are named; 0..{selector - 1} are legal")
    tables = chosen.astype(np.uint8)[classes]
    return coder.code(symbols, tables if index is None else corrected_indices(tables, index, coder.model))


def corrected_indices(base: NDArray[np.uint8], index: NDArray[np.uint8], model: IntegerModel) -> NDArray[np.uint8]:
    """Table indices after a network's correction in eighths of a table; a certain zero stays one."""
    return _moved(base, _shifts(index), model).astype(np.uint8)


def _shifts(index: NDArray[np.uint8]) -> NDArray[np.int32]:
    return (index.astype(np.int32) - 128 + 4) >> 3


def _moved(base: NDArray[Any], shift: NDArray[Any] | np.intp, model: IntegerModel) -> NDArray[np.int32]:
    return np.where(base > 0, np.clip(base + shift, 1, model.selector - 1), 0)


def cheapest_tables(
    model: IntegerModel,
    symbols: Symbols,
    classes: NDArray[np.uint8],
    count: int,
    index: NDArray[np.uint8] | None = None,
) -> NDArray[np.int32]:
    """(count,) tables that code `symbols` with the fewest bits, one for each class, corrections included."""
    lengths = model.code_lengths[: model.selector]
    magnitudes = np.minimum(np.abs(symbols), lengths.shape[1] - 1)
    shifts = np.zeros_like(magnitudes) if index is None else _shifts(index)
    keys = ((classes.astype(np.intp) * _SHIFTS + shifts + _SHIFTS // 2) * lengths.shape[1] + magnitudes).ravel()
    shape = count, _SHIFTS, lengths.shape[1]
    histograms = np.bincount(keys, minlength=int(np.prod(shape))).reshape(shape).astype(np.float32)
    tables, result = np.arange(len(lengths)), np.zeros(count, np.int32)
    for number, by_shift in enumerate(histograms):
        cost = np.zeros(len(lengths), np.float32)
        for shift in np.flatnonzero(by_shift.any(1)):
            cost += lengths[_moved(tables, shift - _SHIFTS // 2, model)] @ by_shift[shift]
        result[number] = np.argmin(cost)
    return result
