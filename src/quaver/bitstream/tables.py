"""Frequency tables of the range coder: integers, part of a model's data. See docs/format/entropy.md.

A decoder never computes a table. The generators here run once, when a model is made.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quaver.errors import ModelError

PRECISION = 24
TOTAL = 1 << PRECISION
MAX_TABLES = 256  # a table index is a uint8
MAX_SUPPORT = 32767


@dataclass(frozen=True, eq=False)
class TableSet:
    """Tables that symbols are coded with, chosen position by position by an index.

    frequencies[k], k >= 1: uint32 (2*S+2,), the frequencies of the symbols -S..S and, last, of the escape;
    each >= 1, their sum 2**24. frequencies[0] is empty: index 0 means a symbol that is certainly zero and not
    coded. Raises ModelError where that does not hold.
    """

    frequencies: tuple[NDArray[np.uint32], ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.frequencies) <= MAX_TABLES:
            raise ModelError(f"{len(self.frequencies)} frequency tables; 1..{MAX_TABLES} are legal")
        if len(self.frequencies[0]):
            raise ModelError("frequency table 0 is not empty: it stands for a certain zero")
        for number, table in enumerate(self.frequencies):
            problem = _problem(table) if number else None
            if problem:
                raise ModelError(f"frequency table {number}: {problem}")
        frozen = tuple(np.array(table, np.uint32) for table in self.frequencies)
        for table in frozen:
            table.setflags(write=False)
        object.__setattr__(self, "frequencies", frozen)

    @cached_property
    def supports(self) -> NDArray[np.int32]:
        """(tables,) the largest magnitude S of each table that needs no escape; 0 for table 0."""
        return np.array([max(0, len(table) // 2 - 1) for table in self.frequencies], np.int32)

    @cached_property
    def models(self) -> tuple[Any, ...]:
        """constriction's model of each table; None for table 0."""
        return (None, *(exact_model(table) for table in self.frequencies[1:]))

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """`supports`: uint16 (tables - 1,); `frequencies`: uint32, tables 1, 2, ... one after the other."""
        coded = self.frequencies[1:]
        flat = np.concatenate(coded) if coded else np.zeros(0, np.uint32)
        return {"supports": self.supports[1:].astype(np.uint16), "frequencies": flat}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> TableSet:
        """Inverse of `to_arrays`; raises ModelError for anything else."""
        for name in ("supports", "frequencies"):
            array = arrays.get(name)
            if array is None or array.ndim != 1 or array.dtype.kind != "u":
                raise ModelError(f"frequency tables: {name!r} is not a list of unsigned integers")
        supports, flat = arrays["supports"], arrays["frequencies"]
        if len(supports) >= MAX_TABLES or supports.max(initial=0) > MAX_SUPPORT:
            raise ModelError(f"frequency tables: {len(supports)} supports, or one above {MAX_SUPPORT}")
        ends = np.cumsum(2 * supports.astype(np.int64) + 2)
        if ends.max(initial=0) != len(flat):
            raise ModelError(f"frequency tables: {len(flat)} frequencies do not fit the supports")
        starts = ends - 2 * supports.astype(np.int64) - 2
        return cls((flat[:0], *(flat[start:end] for start, end in zip(starts, ends, strict=True))))


def exact_model(frequencies: NDArray[Any]) -> Any:
    """A constriction model whose 24-bit probabilities are exactly `frequencies`.

    `Categorical(p, perfect=False)` gives entry i of n the left cumulative floor(P_i * scale) + i, where P_i
    sums p_0..p_(i-1) in float64 and scale = (2**24 - n) / sum(p). With p_i = frequency_i - 1 the scale is
    exactly 1 and every sum an exact integer: the left cumulative is the sum of the frequencies before i.
    """
    import constriction

    return constriction.stream.model.Categorical(frequencies.astype(np.float64) - 1.0, perfect=False)


def frequencies_from_probabilities(probabilities: NDArray[np.floating[Any]]) -> NDArray[np.uint32]:
    """Scale (n,) non-negative weights to integers >= 1 that sum to 2**24; the largest takes the rounding."""
    weights = np.asarray(probabilities, np.float64)
    if weights.ndim != 1 or not 2 <= len(weights) <= 2 * MAX_SUPPORT + 2:
        raise ValueError(f"a table of shape {weights.shape}; 2..{2 * MAX_SUPPORT + 2} weights are legal")
    if not np.isfinite(weights).all() or weights.min() < 0 or weights.sum() <= 0:
        raise ValueError("weights must be finite, not negative, and not all zero")
    free = TOTAL - len(weights)
    extra = np.floor(weights / weights.sum() * free).astype(np.int64)
    extra[np.argmax(weights)] += free - int(extra.sum())
    frequencies: NDArray[np.uint32] = (extra + 1).astype(np.uint32)
    return frequencies


def laplace_tables(scales: Sequence[float], tail: float = 2.0**-16, max_support: int = 1023) -> TableSet:
    """Tables 1, 2, ... for integers rounded from Laplace distributions exp(-|x|/b)/(2b), b in `scales`.

    Each support is the smallest S >= 1 with at most `tail` probability beyond, or `max_support`; the escape
    gets what lies beyond. Table 0 is the certain zero.
    """
    if not 0 < tail < 1 or not 1 <= max_support <= MAX_SUPPORT:
        raise ValueError(f"tail {tail} or max_support {max_support} is out of range")
    tables = [np.zeros(0, np.uint32)]
    for scale in scales:
        if not (math.isfinite(scale) and scale > 0):
            raise ValueError(f"scale {scale} is not positive")
        support = min(max_support, max(1, math.ceil(scale * math.log(1 / tail) - 0.5)))
        # Probability beyond the edges 0.5, 1.5, ..., S + 0.5 on both sides together.
        beyond = np.exp(-(np.arange(support + 1) + 0.5) / scale)
        side = -np.diff(beyond) / 2
        weights = np.concatenate([side[::-1], [-np.expm1(-0.5 / scale)], side, [beyond[-1]]])
        tables.append(frequencies_from_probabilities(weights))
    return TableSet(tuple(tables))


def _problem(table: NDArray[Any]) -> str | None:
    """Why `table` cannot be coded with; None when it can."""
    if table.ndim != 1 or table.dtype.kind not in "iu":
        return f"not a list of integers (shape {table.shape}, {table.dtype})"
    if len(table) % 2 or not 2 <= len(table) <= 2 * MAX_SUPPORT + 2:
        return f"{len(table)} entries; -S..S and an escape make 2*S + 2, S at most {MAX_SUPPORT}"
    if int(table.min()) < 1 or int(table.sum(dtype=np.int64)) != TOTAL:
        return f"entries must be >= 1 and sum to 2**24, not {int(table.sum(dtype=np.int64))}"
    return None
