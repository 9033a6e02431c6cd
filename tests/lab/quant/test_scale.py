"""Grids: from data to codes and back, for channels, groups and split channels."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from quaver.errors import UsageError
from quaver.lab.quant.scale import Scale

number = torch.tensor


@given(st.integers(0, 2**31), st.integers(2, 16))
def test_fake_quantization_is_quantization_and_back(seed: int, bits: int) -> None:
    x = 3 * torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(seed))
    scale = Scale.activation([0.1, 0.03, 0.5], [3, 0, 1], bits)
    assert torch.equal(scale.dequantize(scale.quantize(x)), scale.fake_quantize(x))
    assert scale.bits == bits


def test_a_site_of_the_codec() -> None:
    scale = Scale.activation(1 / 64, 128, 8)
    assert scale.fake_quantize(number([[[-9.0, 0.3, 9.0]]])).tolist() == [[[-2, 19 / 64, 127 / 64]]]


@given(st.integers(0, 2**31))
def test_a_split_channel_has_twice_the_range_at_the_same_step(seed: int) -> None:
    """As the sum of two codes that are each taken of half the value, a quarter of a step up and down."""
    x = 30 * torch.randn(1, 2, 50, 1, generator=torch.Generator().manual_seed(seed)).double()
    plain = Scale.activation(0.5, 5, 4)
    split = Scale(plain.scale, plain.zero, plain.low, plain.high, split=number([False, True]))
    assert torch.equal(split.quantize(x)[:, 0], plain.quantize(x)[:, 0])
    step = 0.5
    halves = plain.fake_quantize(x / 2 - step / 4) + plain.fake_quantize(x / 2 + step / 4)
    torch.testing.assert_close(split.fake_quantize(x)[:, 1], halves[:, 1], rtol=0, atol=1e-12)


def test_what_does_not_fit_is_refused() -> None:
    scale = Scale.activation([0.1, 0.2], 0, 8)
    for shape in ((1, 3, 4, 4), (2,)):
        with pytest.raises(UsageError, match="2 channels"):
            scale.fake_quantize(torch.zeros(shape))


def test_double_stays_double() -> None:
    assert Scale.activation(0.1, 0, 8).fake_quantize(torch.ones(1).double()).dtype == torch.float64
