"""constriction with our tables against the integer arithmetic of docs/format/entropy.md, bit for bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quaver.bitstream import SymbolDecoder, SymbolEncoder, TableSet, frequencies_from_probabilities
from quaver.bitstream.reference_range_decoder import PREFIX, ReferenceDecoder
from quaver.bitstream.symbols import PREFIX_FREQUENCIES
from quaver.bitstream.tables import TOTAL
from quaver.errors import StreamError

EMPTY = np.zeros(0, np.uint32)


def table(*values: int) -> np.ndarray:
    return np.array(values, np.uint32)


def edge_table(size: int, at: int) -> np.ndarray:
    """All frequencies 1 but one."""
    values = np.ones(size, np.uint32)
    values[at] = TOTAL - size + 1
    return values


def random_table(rng: np.random.Generator, support: int, sharpness: float) -> np.ndarray:
    return frequencies_from_probabilities(rng.dirichlet(np.full(2 * support + 2, sharpness)) + 1e-30)


EXTREMES = TableSet(
    (
        EMPTY,
        table(1, TOTAL - 1),
        table(TOTAL - 1, 1),
        table(TOTAL // 2, TOTAL // 2),
        edge_table(4, 0),
        edge_table(4, 1),
        edge_table(256, 0),
        edge_table(256, 127),
        edge_table(256, 255),
        table(*[TOTAL // 1024] * 1024),
        table(*range(1, 2049), TOTAL - 2049 * 1024 - 1, 1),
    )
)


def both(payload: bytes, parts: list[np.ndarray], tables: TableSet) -> list[np.ndarray] | None:
    """Decode with Quaver and with the reference, insist on equality; None when both refuse."""
    plain = [t.tolist() for t in tables.frequencies]
    fast, slow = SymbolDecoder(payload), ReferenceDecoder(payload)
    results = []
    for indices in parts:
        try:
            expected = slow.get(indices.reshape(-1).tolist(), plain)
        except ValueError:
            with pytest.raises(StreamError):
                fast.get(indices, tables)
            return None
        got = fast.get(indices, tables)
        assert got.reshape(-1).tolist() == expected
        results.append(got)
    return results


def check(parts: list[tuple[np.ndarray, np.ndarray]], tables: TableSet) -> None:
    encoder = SymbolEncoder()
    for symbols, indices in parts:
        encoder.put(symbols, indices, tables)
    results = both(encoder.finish(), [indices for _, indices in parts], tables)
    assert results is not None
    for got, (symbols, _) in zip(results, parts, strict=True):
        assert np.array_equal(got, symbols)


def test_the_prefix_table_is_the_same():
    assert PREFIX_FREQUENCIES.tolist() == PREFIX
    assert sum(PREFIX) == TOTAL


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32),
    st.integers(0, 20),
    st.sampled_from([0.01, 0.3, 3.0]),
    st.sampled_from([0.0, 0.05, 1.0]),
)
def test_random_tables(seed, support, sharpness, escapes):
    rng = np.random.default_rng(seed)
    tables = TableSet((EMPTY, *(random_table(rng, int(s), sharpness) for s in rng.integers(0, support + 1, 6))))
    parts = []
    for shape in ((3, 4, 5), (30,)):
        indices = rng.integers(0, 7, shape).astype(np.uint8)
        symbols = rng.integers(-tables.supports[indices], tables.supports[indices] + 1)
        wide = rng.integers(-32768, 32768, shape)
        symbols = np.where((rng.random(shape) < escapes) & (indices > 0), wide >> rng.integers(0, 16, shape), symbols)
        parts.append((symbols, indices))
    check(parts, tables)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32))
def test_extreme_tables(seed):
    rng = np.random.default_rng(seed)
    indices = rng.integers(0, len(EXTREMES.frequencies), 60).astype(np.uint8)
    supports = EXTREMES.supports[indices]
    end = rng.integers(0, 3, 60)
    symbols = np.choose(end, [-supports, supports, rng.integers(-supports, supports + 1)])
    check([(symbols, indices)], EXTREMES)
    escaped = np.where(indices > 0, (supports + 1) * rng.choice([-1, 1], 60), 0)
    check([(escaped, indices), (symbols, indices)], EXTREMES)


@pytest.mark.parametrize("k", range(1, len(EXTREMES.frequencies)))
def test_every_frequency_of_a_table_is_exact(k):
    """constriction's cumulatives read back by decoding: quantiles at both ends of every entry's interval.

    The first symbol's quantile is (first word * 2**32 + second word) // (2**40 - 1).
    """
    import constriction

    frequencies = EXTREMES.frequencies[k].astype(np.int64)
    left = np.cumsum(frequencies) - frequencies
    for quantiles in (left, left + frequencies - 1):
        for entry, quantile in enumerate(quantiles.tolist()):
            for point in (quantile * (2**40 - 1), (quantile + 1) * (2**40 - 1) - 1):
                words = np.array([point >> 32, point & 0xFFFFFFFF], np.uint32)
                decoder = constriction.stream.queue.RangeDecoder(words)
                assert decoder.decode(EXTREMES.models[k]) == entry


def test_largest_table():
    rng = np.random.default_rng(7)
    tables = TableSet((EMPTY, random_table(rng, 32767, 1.0)))
    symbols = np.r_[-32767, 32767, 0, -32768, rng.integers(-32767, 32768, 10)]
    check([(symbols, np.ones(14, np.uint8))], tables)


def test_runs_of_carries():
    """Symbols at the upper end keep the coder's interval just below a carry for many words."""
    tables = TableSet((EMPTY, table(TOTAL // 2 - 1, 1, TOTAL // 2 - 1, 1)))
    for symbols in ([1] * 200, [1] * 100 + [-1] * 100, [-1, 1] * 100, [-1] * 200, [0] * 100, [1, 0] * 50):
        check([(np.array(symbols), np.ones(len(symbols), np.uint8))], tables)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60).filter(lambda b: not b.endswith(b"\0")), st.integers(0, 1000))
def test_equal_on_random_bytes_and_past_the_end(payload, seed):
    rng = np.random.default_rng(seed)
    tables = TableSet((EMPTY, *(random_table(rng, s, 0.3) for s in (0, 1, 5))))
    parts = [rng.integers(0, 4, 50).astype(np.uint8) for _ in range(2)]
    both(payload, parts, tables)
    both(b"\xff" * len(payload), parts, tables)
