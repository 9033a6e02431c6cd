"""Scales chosen from statistics and from weights."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from quaver.errors import UsageError
from quaver.lab.quant.observers import BINS, accumulate
from quaver.lab.quant.scale import Scale
from quaver.lab.quant.selection import METHODS, Method, choose, choose_weight, search_by_loss

seeds, widths = st.integers(0, 2**31), st.integers(2, 16)
few = settings(max_examples=30)  # each with thousands of values


def heavy(seed: int, channels: int = 3, shape: str = "both") -> Tensor:
    """Heavy tails, where clipping pays."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(2, channels, 6, 7, generator=generator) ** 3
    return x * 2.0 ** torch.arange(channels)[:, None, None] if shape == "both" else x.abs()


def error(x: Tensor, scale: Scale) -> Tensor:
    return (scale.fake_quantize(x.double()) - x).square().sum((0, 2, 3))


@few
@given(seeds, st.integers(2, 8), st.sampled_from([None, (0, 1, 0), (0, 1, 2)]), st.booleans(), st.booleans())
def test_least_error_is_never_worse_than_min_max(
    seed: int, bits: int, groups: tuple[int, ...] | None, symmetric: bool, power_of_two: bool
) -> None:
    x = heavy(seed)
    stats = accumulate(None, x)
    best, full = (
        choose(stats, bits, method, groups, power_of_two, symmetric=symmetric) for method in ("mse", "minmax")
    )
    # A bin may lie across the edge between two codes: values there are known to a bin's width.
    width = 2.0 ** float(stats.exponent.max()) * 2 / BINS
    slack = x[:, 0].numel() * 3 * width * float(best.scale.max())
    for members in [[0, 1, 2]] if groups is None else [[c for c in range(3) if groups[c] == g] for g in set(groups)]:
        assert error(x, best)[members].sum() <= error(x, full)[members].sum() + slack


def test_clipping_pays_at_few_bits() -> None:
    x = heavy(1)
    stats = accumulate(None, x)
    assert error(x, choose(stats, 3, "mse")).sum() < 0.8 * error(x, choose(stats, 3, "minmax")).sum()


@few
@given(seeds, widths, st.sampled_from(METHODS), st.booleans())
def test_zero_is_code_zero_where_nothing_is_negative(seed: int, bits: int, method: Method, power_of_two: bool) -> None:
    stats = accumulate(None, heavy(seed, shape="relu"))
    assert not choose(stats, bits, method, (0, 1, 0), power_of_two).zero.any()


@few
@given(seeds, widths, st.sampled_from(METHODS))
def test_groups_of_one_are_channels_and_one_group_is_the_tensor(seed: int, bits: int, method: Method) -> None:
    x = heavy(seed)
    stats = accumulate(None, x)
    channels = choose(stats, bits, method, (0, 1, 2))
    assert channels.groups is None
    for c in range(3):
        alone = choose(accumulate(None, x[:, c : c + 1]), bits, method)
        assert channels.scale[c] == alone.scale and channels.zero[c] == alone.zero
    together, tensor = choose(stats, bits, method, (0, 0, 0)), choose(stats, bits, method)
    assert torch.equal(together.fake_quantize(x), tensor.fake_quantize(x))


def test_data_on_a_grid_stay_on_it() -> None:
    """Another layer's 8-bit codes: the least error is none, and min-max has some."""
    codes = torch.randint(-90, 110, (1, 4, 30, 30), generator=torch.Generator().manual_seed(3))
    x = codes / 64
    scale = choose(accumulate(None, x), 8)
    assert float(scale.scale) == 1 / 64 and torch.equal(scale.fake_quantize(x), x)


@few
@given(seeds, widths, st.sampled_from(METHODS))
def test_powers_of_two_and_zero_points(seed: int, bits: int, method: Method) -> None:
    stats = accumulate(None, heavy(seed))
    scale = choose(stats, bits, method, power_of_two=True)
    assert float(torch.frexp(scale.scale).mantissa) == 0.5
    assert float(choose(stats, bits, method, symmetric=True).zero) == 2 ** (bits - 1)


def test_split_channels_leave_finer_steps_to_the_others() -> None:
    x = torch.ones(1, 2, 1, 64) * torch.linspace(-1, 1, 64) * torch.tensor([1.0, 2.0])[:, None, None]
    stats = accumulate(None, x)
    plain, split = choose(stats, 8, "minmax"), choose(stats, 8, "minmax", split=(1,))
    assert float(split.scale) == pytest.approx(float(plain.scale) / 2)
    assert (split.fake_quantize(x) - x).abs().max() <= 0.51 * float(split.scale) * 2


@few
@given(seeds, st.integers(2, 8), st.booleans())
def test_weights_of_least_error_are_never_worse(seed: int, bits: int, power_of_two: bool) -> None:
    weight = heavy(seed)[0]
    full, best = (choose_weight(weight, bits, method, 0, power_of_two) for method in ("minmax", "mse"))
    errors = [(s.fake_quantize(weight) - weight).double().square().sum((1, 2)) for s in (full, best)]
    assert (errors[1] <= errors[0]).all()
    limit = 2 ** (bits - 1) - 1
    assert full.quantize(weight).abs().max() <= limit and best.bits == full.bits == bits
    if not power_of_two:
        assert (full.quantize(weight).abs().amax((1, 2)) == limit).all()


def test_weights_of_mixed_width_and_other_axes() -> None:
    weight = torch.randn(3, 4, 2, 2, generator=torch.Generator().manual_seed(0))
    mixed = choose_weight(weight, (8, 0, 2))
    codes = mixed.quantize(weight).abs().amax((1, 2, 3))
    assert codes.tolist() == [127, 0, 1] and not mixed.fake_quantize(weight)[1].any() and mixed.bits == 8
    assert choose_weight(weight, 8, axis=1).scale.shape == (4,) and choose_weight(weight, 8, axis=None).scale.ndim == 0
    with pytest.raises(UsageError, match="2 bits, 3 groups; the weight has 3"):
        choose_weight(weight, (8, 8))


@few
@given(seeds, widths, st.sampled_from(["minmax", "mse"]), st.booleans())
def test_groups_of_weights(seed: int, bits: int, method: Method, power_of_two: bool) -> None:
    weight = heavy(seed)[0]
    channels, each, one, tensor = (
        choose_weight(weight, bits, method, axis, power_of_two, groups)
        for axis, groups in ((0, None), (0, (0, 1, 2)), (0, (0, 0, 0)), (None, None))
    )
    assert torch.equal(channels.fake_quantize(weight), each.fake_quantize(weight))
    torch.testing.assert_close(one.fake_quantize(weight), tensor.fake_quantize(weight))
    two = choose_weight(weight, (bits, bits, 0), method, 0, power_of_two, (0, 0, 1))
    assert two.scale.shape == (2,) and not two.fake_quantize(weight)[2].any()
    with pytest.raises(UsageError, match="same bits"):
        choose_weight(weight, (bits, bits, 0), groups=(0, 1, 1))


@few
@given(seeds, widths, st.booleans(), st.sampled_from([None, (0, 1, 2), (0, 0, 1), "tensor"]))
def test_affine_weights(seed: int, bits: int, power_of_two: bool, groups: tuple[int, ...] | str | None) -> None:
    """As many codes as bits allow, zero exact, never more squared error than symmetric codes of the same bits."""
    weight = heavy(seed)[0]
    axis, groups = (None, None) if groups == "tensor" else (0, groups)

    def of(method: Method, affine: bool) -> tuple[Scale, Tensor]:
        scale = choose_weight(weight, bits, method, axis, power_of_two, groups, affine)
        error = (scale.fake_quantize(weight) - weight).double().square().sum((1, 2))
        names = torch.tensor((0, 0, 0) if axis is None else groups or (0, 1, 2))
        return scale, error.new_zeros(int(names.max()) + 1).index_add(0, names, error)

    (full, most), (best, least), (_, symmetric) = of("minmax", True), of("mse", True), of("mse", False)
    # Above 8 bits float32 rounds products by a noticeable part of a step.
    assert (least <= symmetric * (1 + 1e-6)).all() and (least <= most * (1 + 1e-6)).all()
    for scale in (full, best):
        codes = scale.quantize(weight)
        assert codes.min() >= 0 and codes.max() <= 2**bits - 1 and scale.bits == bits
        assert torch.equal(codes, codes.round()) and not scale.fake_quantize(torch.zeros_like(weight)).any()
        torch.testing.assert_close(scale.dequantize(codes), scale.fake_quantize(weight))
        assert not power_of_two or (torch.frexp(scale.scale).mantissa == 0.5).all()
    step = full.grid(weight.ndim)[0]
    assert ((full.fake_quantize(weight) - weight).abs() <= 1.001 * step).all()


def test_affine_weights_of_one_sign_have_half_the_step() -> None:
    weight = torch.tensor([[0.0, 1.0, 2.0], [-3.0, -1.0, 0.0], [-1.0, 0.0, 1.0]])
    scale = choose_weight(weight, (4, 4, 0), affine=True)
    torch.testing.assert_close(scale.scale, torch.tensor([2 / 15, 3 / 15, 1.0]))
    assert scale.zero.tolist() == [0, 15, 0] and scale.quantize(weight).tolist()[2] == [0, 0, 0]
    assert not scale.fake_quantize(weight)[2].any()


def test_search_by_loss_takes_what_the_loss_prefers() -> None:
    stats, asked = accumulate(None, heavy(5)), []

    def loss(scale: Scale) -> float:
        asked.append(float(scale.scale))
        return abs(float(scale.scale) - 0.011)

    best, value = search_by_loss(stats, 8, loss, shares=(0.5, 0.25, 0.125))
    assert value == min(abs(s - 0.011) for s in asked) and float(best.scale) in asked
    assert len(asked) >= 4


def test_unknown_methods_are_refused() -> None:
    stats = accumulate(None, heavy(0))
    with pytest.raises(UsageError, match="minmax, percentile, mse"):
        choose(stats, 8, "best")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="percentile 30"):
        choose(stats, 8, "percentile", percent=30)
