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


def code_by_class(coder: SymbolCoder, symbols: Symbols | None, classes: NDArray[np.uint8], count: int) -> Symbols:
    """Code symbols whose table depends on a class 0..count-1 that both sides know; the encoder chooses the
    cheapest table of each class, which is coded first."""
    selector = coder.model.selector
    choice: NDArray[Any] | None = None
    if symbols is not None:
        choice = _cheapest_tables(coder.model, symbols, classes, count) - selector // 2
    chosen = coder.code(choice, np.full(count, selector, np.uint8)) + selector // 2
    if chosen.min() < 0 or chosen.max() >= selector:
        raise StreamError(f"a frequency table {chosen.max()} is named; 0..{selector - 1} are legal")
    return coder.code(symbols, chosen.astype(np.uint8)[classes])


def _cheapest_tables(
    model: IntegerModel, symbols: Symbols, classes: NDArray[np.uint8], count: int
) -> NDArray[np.int32]:
    lengths = model.code_lengths[: model.selector]
    magnitudes = np.minimum(np.abs(symbols), lengths.shape[1] - 1)
    result = np.zeros(count, np.int32)
    for number in range(count):
        histogram = np.bincount(magnitudes[classes == number], minlength=lengths.shape[1])
        result[number] = np.argmin(lengths @ histogram.astype(np.float32))
    return result
