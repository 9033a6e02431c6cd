"""Quantization as pure functions: what holds for any data, scale, width and granularity."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from quaver.errors import UsageError
from quaver.lab.quant import primitives as p

values = st.lists(st.floats(-1000, 1000, width=32), min_size=1, max_size=40).map(torch.tensor)
widths = st.integers(2, 16)
ranges = st.tuples(st.floats(-100, 0, width=32), st.floats(0, 100, width=32))


def grid(ends: tuple[float, float], bits: int) -> tuple[Tensor, Tensor, int, int]:
    scale, zero = p.affine(torch.tensor(ends[0]), torch.tensor(ends[1]), bits)
    return scale, zero, *p.activation_range(bits)


def on_grid(x: Tensor, parts: tuple[Tensor, Tensor, int, int]) -> Tensor:
    return p.dequantize(p.quantize(x, *parts), parts[0], parts[1])


@given(values, ranges, widths)
def test_codes_are_integers_in_range(x: Tensor, ends: tuple[float, float], bits: int) -> None:
    codes = p.quantize(x, *grid(ends, bits))
    assert torch.equal(codes, codes.round()) and codes.min() >= 0 and codes.max() <= 2**bits - 1


@given(values, ranges, widths)
def test_quantizing_twice_changes_nothing(x: Tensor, ends: tuple[float, float], bits: int) -> None:
    once = on_grid(x, grid(ends, bits))
    assert torch.equal(on_grid(once, grid(ends, bits)), once)


@given(values, ranges, widths)
def test_order_is_kept(x: Tensor, ends: tuple[float, float], bits: int) -> None:
    x = x.sort().values
    assert (on_grid(x, grid(ends, bits)).diff() >= 0).all()


@given(values, ranges, widths)
def test_error_is_half_a_step_inside_the_range(x: Tensor, ends: tuple[float, float], bits: int) -> None:
    parts = scale, zero, low, high = grid(ends, bits)
    x = x.double()
    inside = (x >= scale.double() * (low - zero)) & (x <= scale.double() * (high - zero))
    error = (on_grid(x, parts) - x).abs()[inside]
    assert (error <= scale.double() / 2 * (1 + 1e-9)).all()


@given(ranges, widths)
def test_zero_is_exact_and_the_ends_are_half_a_step_away(ends: tuple[float, float], bits: int) -> None:
    scale, zero, low, high = grid(ends, bits)
    assert float(on_grid(torch.zeros(1), (scale, zero, low, high))) == 0
    assert ends[0] < 0 or float(zero) == 0
    slack = 0.5001 * float(scale)
    assert float(scale * (low - zero)) <= ends[0] + slack and float(scale * (high - zero)) >= ends[1] - slack


@given(st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=40).map(torch.tensor))
def test_sixteen_bits_are_nearly_exact(x: Tensor) -> None:
    scale, zero = p.affine(x.min(), x.max(), 16)
    span = max(float(x.max()), 0) - min(float(x.min()), 0)
    error = (on_grid(x, (scale, zero, 0, 65535)) - x).abs().max()
    assert float(error) <= max(span / 65535 * 1.01, 2.0**-80)  # below that there are no scales


@given(st.integers(1, 5), widths, st.integers(0, 2**31))
def test_granularities_agree_where_they_mean_the_same(channels: int, bits: int, seed: int) -> None:
    x = torch.randn(2, channels, 3, 4, generator=torch.Generator().manual_seed(seed))
    scale, low, high = torch.rand(channels) + 0.01, *p.weight_range(bits)
    zero = torch.zeros(())

    def codes(scales: Tensor, groups: list[int] | None) -> Tensor:
        names = None if groups is None else torch.tensor(groups)
        return p.quantize(x, p.spread(scales, names, -3, x.ndim), zero, low, high)

    per_channel = codes(scale, None)
    assert torch.equal(codes(scale, list(range(channels))), per_channel)
    assert torch.equal(codes(scale[:1], [0] * channels), codes(scale[0], None))
    for c in range(channels):
        assert torch.equal(per_channel[:, c], p.quantize(x[:, c], scale[c], zero, low, high))


@given(st.floats(2.0**-60, 2.0**60, width=32))
def test_powers_of_two(value: float) -> None:
    scale = torch.tensor(value)
    up, nearest = (float(p.power_of_two(scale, up)) for up in (True, False))
    for each in (up, nearest):
        numerator, denominator = Fraction(each).as_integer_ratio()
        assert numerator & (numerator - 1) == 0 and denominator & (denominator - 1) == 0
    assert up / 2 < value <= up
    assert 0.7071 < nearest / value < 1.4143


def test_half_rounds_to_even() -> None:
    codes = p.quantize(torch.tensor([0.5, 1.5, 2.5, -0.5]), torch.tensor(1.0), torch.tensor(8.0), 0, 15)
    assert codes.tolist() == [8, 10, 10, 8]


def test_half_precisions_are_quantized_in_float32() -> None:
    x = torch.tensor([1.0, 200.0]).bfloat16()
    codes = p.quantize(x, torch.tensor(1 / 64), torch.tensor(0.0), 0, 65535)
    assert codes.dtype == torch.float32 and codes.tolist() == [64, 12800]


def test_all_zero_data_have_a_scale() -> None:
    scale, zero = p.affine(torch.zeros(2), torch.zeros(2), 8)
    assert scale.tolist() == [1, 1] and zero.tolist() == [0, 0]
    assert p.symmetric(torch.tensor([0.0, 6.0]), torch.tensor([7.0, 0.0])).tolist() == [1, 1]


@pytest.mark.parametrize("bits", [1, 17])
def test_other_widths_are_refused(bits: int) -> None:
    for ends in (p.weight_range, p.activation_range):
        with pytest.raises(UsageError, match="2 to 16"):
            ends(bits)
