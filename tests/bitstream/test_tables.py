import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quaver.bitstream.tables import TOTAL, TableSet, frequencies_from_probabilities, laplace_tables
from quaver.errors import ModelError

EMPTY = np.zeros(0, np.uint32)


def u32(*values: int) -> np.ndarray:
    return np.array(values, np.uint32)


def equal(a: TableSet, b: TableSet) -> bool:
    pairs = zip(a.frequencies, b.frequencies, strict=True)
    return all(x.dtype == y.dtype == np.uint32 and np.array_equal(x, y) for x, y in pairs)


@given(st.lists(st.floats(0, 1e12), min_size=2, max_size=400).filter(lambda w: sum(w) > 1e-300))
def test_frequencies_sum_exactly(weights):
    table = frequencies_from_probabilities(np.array(weights))
    assert table.dtype == np.uint32
    assert int(table.sum()) == TOTAL
    assert table.min() >= 1


def test_frequencies_follow_probabilities():
    probabilities = np.random.default_rng(1).dirichlet(np.ones(50))
    assert np.abs(frequencies_from_probabilities(probabilities) / TOTAL - probabilities).max() < 60 / TOTAL


@pytest.mark.parametrize("weights", [[], [1.0], [0.0, 0.0], [1.0, -1.0], [1.0, np.nan], [1.0, np.inf]])
def test_impossible_weights_are_refused(weights):
    with pytest.raises(ValueError):
        frequencies_from_probabilities(np.array(weights))


def test_laplace_tables():
    scales = [0.01, 0.3, 2.0, 50.0, 1e6]
    tables = laplace_tables(scales, max_support=300)
    assert tables.supports.tolist() == [0, 1, 3, 22, 300, 300]
    for scale, table, support in zip(scales, tables.frequencies[1:], tables.supports[1:], strict=True):
        coded = table[:-1].astype(np.int64)
        assert np.array_equal(coded, coded[::-1]), "symmetric"
        assert coded[support] == coded.max()
        inside = -np.expm1(-0.5 / scale)
        assert abs(coded[support] / TOTAL - inside) < 1e-4
        assert abs(table[-1] / TOTAL - np.exp(-(support + 0.5) / scale)) < 1e-4


def test_arrays_round_trip():
    for tables in (laplace_tables([0.1, 1.0, 10.0]), laplace_tables([]), laplace_tables([1.0] * 255)):
        arrays = tables.to_arrays()
        assert {k: v.dtype for k, v in arrays.items()} == {"supports": np.uint16, "frequencies": np.uint32}
        assert equal(TableSet.from_arrays(arrays), tables)


def test_tables_cannot_change():
    source = u32(TOTAL - 1, 1)
    tables = TableSet((EMPTY, source))
    source[0] = 7
    assert tables.frequencies[1].tolist() == [TOTAL - 1, 1]
    with pytest.raises(ValueError):
        tables.frequencies[1][0] = 7


@pytest.mark.parametrize(
    ("tables", "reason"),
    [
        ((), "0 frequency tables"),
        ((EMPTY,) * 257, "257 frequency tables"),
        ((u32(TOTAL, 1),), "table 0 is not empty"),
        ((EMPTY, u32(TOTAL)), "1 entries"),
        ((EMPTY, EMPTY), "0 entries"),
        ((EMPTY, u32(1, 2, TOTAL - 3)), "3 entries"),
        ((EMPTY, u32(TOTAL, 0)), ">= 1"),
        ((EMPTY, u32(TOTAL, 1)), "not 16777217"),
        ((EMPTY, np.array([TOTAL + 1, -1])), ">= 1"),
        ((EMPTY, np.array([TOTAL - 1.0, 1.0])), "not a list of integers"),
        ((EMPTY, u32(TOTAL - 1, 1)[None]), "not a list of integers"),
        ((EMPTY, u32(*[1] * (2**16 + 1), TOTAL)), "65538 entries"),
    ],
)
def test_illegal_tables_are_named(tables, reason):
    with pytest.raises(ModelError, match=reason):
        TableSet(tables)


@pytest.mark.parametrize(
    "arrays",
    [
        {},
        {"supports": np.zeros(1, np.uint16)},
        {"supports": np.zeros(1, np.int16), "frequencies": u32(TOTAL - 1, 1)},
        {"supports": np.zeros(1), "frequencies": u32(TOTAL - 1, 1)},
        {"supports": np.zeros((1, 1), np.uint16), "frequencies": u32(TOTAL - 1, 1)},
        {"supports": np.zeros(2, np.uint16), "frequencies": u32(TOTAL - 1, 1)},
        {"supports": np.zeros(0, np.uint16), "frequencies": u32(TOTAL - 1, 1)},
        {"supports": np.full(300, 0, np.uint16), "frequencies": np.tile(u32(TOTAL - 1, 1), 300)},
        {"supports": np.array([2**63], np.uint64), "frequencies": u32(TOTAL - 1, 1)},
    ],
)
def test_illegal_arrays_are_refused(arrays):
    with pytest.raises(ModelError):
        TableSet.from_arrays(arrays)
