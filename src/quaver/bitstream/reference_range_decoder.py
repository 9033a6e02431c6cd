"""The entropy decoder of docs/format/entropy.md in plain integers, to read and to check others against.

No speed, no imports: Quaver itself decodes with `symbols.py`; tests hold the two equal.
"""

from __future__ import annotations

from collections.abc import Sequence

WORD = 2**32
STATE = 2**64  # all state arithmetic is modulo 2**64
PREFIX = [2 ** (23 - k) for k in range(15)] + [2**9]  # Exp-Golomb prefixes 0..15


class ReferenceDecoder:
    """Decodes one payload; `get` mirrors `SymbolDecoder.get` with lists for arrays."""

    def __init__(self, payload: bytes) -> None:
        self.payload = payload
        self.position = 0
        self.lower = 0
        self.range = STATE - 1
        self.point = self.word() * WORD + self.word()

    def word(self) -> int:
        """The next little-endian 32-bit word; missing bytes are zero."""
        data = self.payload[self.position : self.position + 4]
        self.position += 4
        return int.from_bytes(data, "little")

    def symbol(self, frequencies: Sequence[int]) -> int:
        """The number of the next symbol in an alphabet with these frequencies, whose sum is 2**24."""
        scale = self.range >> 24
        quantile = (self.point - self.lower) % STATE // scale
        if quantile >= 2**24:
            raise ValueError("not a range coder's output")
        number = left = 0
        while quantile >= left + frequencies[number]:
            left += frequencies[number]
            number += 1
        self.lower = (self.lower + scale * left) % STATE
        self.range = scale * frequencies[number]
        if self.range < WORD:
            self.range *= WORD
            self.lower = self.lower * WORD % STATE
            self.point = self.point * WORD % STATE + self.word()
        return number

    def get(self, indices: Sequence[int], tables: Sequence[Sequence[int]]) -> list[int]:
        """Symbols for the flattened `indices`; `tables[k]` are the frequencies of -S..S and the escape."""
        symbols = [0] * len(indices)
        order = [(k, i) for k in range(1, len(tables)) for i in range(len(indices)) if indices[i] == k]
        escaped = []
        for k, i in order:
            support = len(tables[k]) // 2 - 1
            symbols[i] = self.symbol(tables[k]) - support
            if symbols[i] > support:
                escaped.append((i, support))
        prefixes = [self.symbol(PREFIX) for _ in escaped]
        for (i, support), prefix in zip(escaped, prefixes, strict=True):
            suffix = self.symbol([2 ** (23 - prefix)] * 2 ** (prefix + 1))
            magnitude = support + 2**prefix + suffix // 2
            symbols[i] = -magnitude if suffix % 2 else magnitude
            if not -(2**15) <= symbols[i] < 2**15:
                raise ValueError("a symbol does not fit 16 bits")
        return symbols
