"""What decoding needs of constriction, in plain Python, for machines that constriction has no wheel for.

Only `verify_hosts.py --stand-in` uses it: the streams it decodes are right to the last symbol, so `maybe_exhausted`
does not look.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from types import SimpleNamespace

import numpy as np

from quaver.bitstream.reference_range_decoder import STATE, WORD, ReferenceDecoder


class Categorical:
    """Symbols with frequencies p + 1, as `quaver.bitstream.tables.exact_model` passes them."""

    def __init__(self, p: np.ndarray, perfect: bool) -> None:
        self.edges = [0, *accumulate(int(each) + 1 for each in p)]


class Uniform:
    """Alphabets whose sizes, powers of two, come with the call."""


class RangeDecoder:
    """Decodes 32-bit words."""

    def __init__(self, words: np.ndarray) -> None:
        self._coder = ReferenceDecoder(words.astype("<u4").tobytes())

    def decode(self, model: Categorical | Uniform, count: int | np.ndarray) -> np.ndarray:
        if isinstance(model, Categorical):
            return np.array([self._symbol(model.edges) for _ in range(int(count))], np.int32)
        assert isinstance(count, np.ndarray)
        return np.array([self._symbol(range(0, 2**24 + 1, 2**24 // int(size))) for size in count], np.int32)

    def maybe_exhausted(self) -> bool:
        return True

    def _symbol(self, edges: list[int] | range) -> int:
        """`ReferenceDecoder.symbol`, which walks through the table, with a search instead."""
        coder = self._coder
        scale = coder.range >> 24
        quantile = (coder.point - coder.lower) % STATE // scale
        assert quantile < 2**24
        number = bisect_right(edges, quantile) - 1
        coder.lower = (coder.lower + scale * edges[number]) % STATE
        coder.range = scale * (edges[number + 1] - edges[number])
        if coder.range < WORD:
            coder.range *= WORD
            coder.lower = coder.lower * WORD % STATE
            coder.point = coder.point * WORD % STATE + coder.word()
        return number


stream = SimpleNamespace(
    queue=SimpleNamespace(RangeDecoder=RangeDecoder), model=SimpleNamespace(Categorical=Categorical, Uniform=Uniform)
)
