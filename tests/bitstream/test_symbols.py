import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quaver.bitstream import (
    SymbolDecoder,
    SymbolEncoder,
    TableSet,
    frequencies_from_probabilities,
    laplace_tables,
)
from quaver.bitstream.tables import TOTAL
from quaver.errors import StreamError

EMPTY = np.zeros(0, np.uint32)
TABLES = laplace_tables(np.geomspace(0.05, 40, 40).tolist())
SCALES = np.r_[0.0, np.geomspace(0.05, 40, 40)]


def draw(seed: int, shape: tuple[int, ...], density: float = 0.3, stretch: float = 1.0):
    """Indices and symbols that fit them; stretch > 1 makes escapes."""
    rng = np.random.default_rng(seed)
    coded = rng.random(shape) < density
    indices = np.where(coded, rng.integers(1, len(SCALES), shape), 0).astype(np.uint8)
    symbols = np.rint(rng.laplace(0, 1, shape) * SCALES[indices] * stretch).clip(-32768, 32767)
    return indices, symbols.astype(np.int32)


def encode(*parts) -> bytes:
    encoder = SymbolEncoder()
    for symbols, indices, tables in parts:
        encoder.put(symbols, indices, tables)
    return encoder.finish()


@settings(max_examples=60)
@given(
    st.integers(0, 2**32),
    st.integers(0, 12),
    st.integers(1, 20),
    st.floats(0, 1),
    st.sampled_from([1.0, 5.0, 1e5]),
)
def test_round_trip(seed, channels, width, density, stretch):
    first = draw(seed, (channels, 5, width), density, stretch)
    second = draw(seed + 1, (width,), 1 - density, stretch)
    other = laplace_tables(SCALES[1:].tolist(), max_support=2)
    payload = encode((first[1], first[0], TABLES), (second[1], second[0], other))
    decoder = SymbolDecoder(payload)
    for (indices, symbols), tables in ((first, TABLES), (second, other)):
        got = decoder.get(indices, tables)
        assert got.dtype == np.int32
        assert np.array_equal(got, symbols)
    decoder.finish()


@pytest.mark.parametrize("support", [0, 1, 7])
def test_escapes_reach_all_of_int16(support):
    tables = TableSet((EMPTY, frequencies_from_probabilities(np.ones(2 * support + 2))))
    edges = 2 ** np.arange(16)
    magnitudes = np.unique(np.concatenate([edges - 1, edges, edges + 1, edges + support, [32767]]))
    symbols = np.concatenate([magnitudes, -magnitudes]).clip(-32768, 32767)
    indices = np.ones(symbols.shape, np.uint8)
    for values in (symbols, symbols[-1:]):
        decoder = SymbolDecoder(encode((values, indices[: len(values)], tables)))
        assert np.array_equal(decoder.get(indices[: len(values)], tables), values)
        decoder.finish()


def test_nothing_coded_is_no_bytes():
    zeros = np.zeros((3, 4, 5), np.int32)
    assert encode((zeros, zeros.astype(np.uint8), TABLES)) == b""
    decoder = SymbolDecoder(b"")
    assert not decoder.get(zeros.astype(np.uint8), TABLES).any()
    decoder.finish()
    assert SymbolEncoder().finish() == b""


def test_layout_of_arrays_does_not_matter():
    indices, symbols = draw(3, (6, 7, 8))
    turned = np.asfortranarray(indices), np.asfortranarray(symbols.astype(np.int16))
    payload = encode((symbols, indices, TABLES))
    assert encode((turned[1], turned[0], TABLES)) == payload
    assert np.array_equal(SymbolDecoder(payload).get(turned[0], TABLES), symbols)


def test_overhead_is_at_most_a_word():
    indices, symbols = draw(4, (96, 45, 80), density=0.1)
    bits = 0.0
    for k in np.unique(indices[indices > 0]):
        values, support = symbols[indices == k], int(TABLES.supports[k])
        escaped = np.abs(values) > support
        entries = np.where(escaped, 2 * support + 1, values + support)
        bits -= np.log2(TABLES.frequencies[k][entries] / TOTAL).sum()
        bits += (2 * np.floor(np.log2(np.abs(values[escaped]) - support)) + 2).sum()
    payload = encode((symbols, indices, TABLES))
    assert bits / 8 <= len(payload) <= bits / 8 * 1.0005 + 5


@pytest.mark.parametrize(
    ("symbol", "index", "reason"),
    [(1, 0, "index 0 is not zero"), (32768, 3, "int16"), (-32769, 3, "int16"), (2**32, 3, "int16")],
)
def test_illegal_symbols_are_refused(symbol, index, reason):
    with pytest.raises(ValueError, match=reason):
        encode((np.array([0, symbol]), np.array([3, index], np.uint8), TABLES))


def test_illegal_indices_are_refused():
    with pytest.raises(ValueError, match="differ in shape"):
        encode((np.zeros(3, int), np.zeros(4, np.uint8), TABLES))
    with pytest.raises(ValueError, match="there are 41 tables"):
        SymbolDecoder(b"").get(np.full(3, 41, np.uint8), TABLES)
    with pytest.raises(ValueError, match="uint8"):
        SymbolDecoder(b"").get(np.zeros(3, np.int32), TABLES)


def test_trailing_zero_byte_is_refused():
    with pytest.raises(StreamError, match="zero byte"):
        SymbolDecoder(b"\x01\x00")


def decode(payload: bytes, indices: np.ndarray) -> np.ndarray | None:
    try:
        decoder = SymbolDecoder(payload)
        symbols = decoder.get(indices, TABLES)
        decoder.finish()
    except StreamError:
        return None
    assert np.abs(symbols).max(initial=0) <= 32768
    return symbols


@settings(max_examples=150)
@given(st.binary(max_size=120), st.integers(0, 100))
def test_random_bytes_raise_nothing_but_stream_errors(payload, seed):
    decode(payload, draw(seed, (4, 6, 8), density=1.0)[0])
    decode(b"\xff" * len(payload), draw(seed, (4, 6, 8), density=1.0)[0])


def test_truncation_and_surplus_are_mostly_noticed():
    indices, symbols = draw(5, (8, 16, 16))
    payload = encode((symbols, indices, TABLES))
    wrong = [payload[:n] for n in range(len(payload) - 8)] + [payload + b"\1" * n for n in range(5, 50)]
    noticed = sum(decode(p, indices) is None for p in wrong)
    assert noticed > 0.9 * len(wrong)


def test_escape_storm_takes_little_time_and_memory():
    """All positions escaped by a hostile payload: a constant number of calls, no loop over symbols."""
    tables = TableSet((EMPTY, np.array([1, TOTAL - 1], np.uint32)))
    indices = np.ones((96, 45, 80), np.uint8)
    with pytest.raises(StreamError):
        decoder = SymbolDecoder(np.random.default_rng(6).bytes(1000) + b"\1")
        decoder.get(indices, tables)
        decoder.finish()
