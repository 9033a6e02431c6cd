"""Bits in training are those of the coder, for symbols of any size, and their slopes stay finite."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from quaver.bitstream.symbols import SymbolEncoder
from quaver.lab.models.rate import MAGNITUDES, code_lengths, table_bits
from quaver.runtime.model import load_model

TABLES = load_model("skeleton").tables
LENGTHS = code_lengths(TABLES)


@pytest.mark.parametrize("reach", [3, 60, 1000, 32767])
@pytest.mark.parametrize("table", range(1, len(TABLES.frequencies), 7))
def test_lengths_are_the_coders(table: int, reach: int) -> None:
    rng = np.random.default_rng(reach)
    magnitudes = np.floor(np.exp(rng.uniform(0, np.log(reach + 1), 3000))).astype(np.int32)
    symbols = magnitudes * rng.choice([-1, 1], len(magnitudes)).astype(np.int32)
    coder = SymbolEncoder()
    coder.put(symbols, np.full(symbols.shape, table, np.uint8), TABLES)
    bits = LENGTHS[table, magnitudes].sum(dtype=np.float64)
    assert 8 * len(coder.finish()) == pytest.approx(bits, rel=1e-4, abs=48)  # the coder ends with a word


def test_lengths_are_the_encoders_where_nothing_escapes() -> None:
    coarse = load_model("skeleton").code_lengths
    for table, support in enumerate(TABLES.supports):
        count = min(int(support), coarse.shape[1] - 1) + 1
        np.testing.assert_array_equal(LENGTHS[table, :count], coarse[table, :count])


def test_bits_are_exact_and_slopes_finite() -> None:
    lengths = torch.from_numpy(LENGTHS)
    tables = len(LENGTHS) - 2
    magnitudes = torch.tensor([0, 1, 63, 64, 500, 4000, 32767, MAGNITUDES])
    symbols = magnitudes.repeat(tables)
    indices = torch.arange(1, tables + 1).repeat_interleave(len(magnitudes)).float().requires_grad_()
    offset = (symbols.float() + 0.25).requires_grad_()
    bits = table_bits(-symbols, offset, indices, lengths)
    np.testing.assert_array_equal(bits.detach().numpy(), LENGTHS[indices.detach().int().numpy(), symbols.numpy()])
    bits.sum().backward()
    for value in (indices, offset):
        assert value.grad is not None and torch.isfinite(value.grad).all() and value.grad.abs().max() < 100
