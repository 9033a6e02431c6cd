"""Packed weights come back, in no more bits than their rows need."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quaver.errors import ModelError
from quaver.runtime.packing import pack, pack_arrays, row_bits, unpack, unpack_arrays


@given(st.integers(0, 10**6), st.integers(1, 5), st.integers(1, 9), st.sampled_from([1, 3]))
def test_packing_and_unpacking(seed: int, rows: int, columns: int, kernel: int) -> None:
    rng = np.random.default_rng(seed)
    reach = rng.choice([0, 1, 3, 7, 31, 63, 64, 127], (rows, 1, 1, 1))
    weights = rng.integers(-reach, reach + 1, (rows, columns, kernel, kernel)).astype(np.int8)
    payload, bits = pack(weights)
    np.testing.assert_array_equal(unpack(payload, bits, weights.shape), weights)
    assert len(payload) == -(-int(bits.astype(int).sum()) * columns * kernel * kernel // 8)


def test_bits_of_rows() -> None:
    rows = np.array([[0, 0], [1, -2], [3, 0], [7, -7], [-8, 7], [63, -63], [-64, 0], [64, 0], [-128, 0]], np.int8)
    assert row_bits(rows).tolist() == [0, 2, 3, 4, 4, 7, 7, 8, 8]


@pytest.mark.parametrize("damage", ["short", "bits", "rows", "type"])
def test_damage_is_refused(damage: str) -> None:
    payload, bits = pack(np.full((2, 3, 1, 1), 5, np.int8))
    wrong = {
        "short": (payload[:-1], bits),
        "bits": (payload, bits + 6),
        "rows": (payload, bits[:1]),
        "type": (payload.astype(np.int32), bits),
    }[damage]
    with pytest.raises(ModelError, match="packed weights"):
        unpack(*wrong, (2, 3, 1, 1))


def test_arrays_of_a_model() -> None:
    arrays = {"a.weight": np.full((2, 1, 1, 1), -3, np.int8), "a.bias": np.zeros(2, np.int32)}
    packed = pack_arrays(arrays)
    assert set(packed) == {"a.weight.packed", "a.weight.bits", "a.weight.shape", "a.bias"}
    again = unpack_arrays(packed)
    assert again.keys() == arrays.keys()
    np.testing.assert_array_equal(again["a.weight"], arrays["a.weight"])
    with pytest.raises(ModelError, match="not whole"):
        unpack_arrays({key: value for key, value in packed.items() if not key.endswith("bits")})
    hostile = {**packed, "a.weight.shape": np.array([1 << 30, 1 << 30, 1, 1], np.int32)}
    with pytest.raises(ModelError, match="wrong arrays"):
        unpack_arrays(hostile)
