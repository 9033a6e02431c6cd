"""Statistics: exact ranges, sums that add up over calls, channels and machines."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from quaver.errors import UsageError
from quaver.lab.quant.observers import BINS, SiteStats, accumulate

seeds = st.integers(0, 2**31)
few = settings(max_examples=30)  # each with thousands of values


def data(seed: int, calls: int = 3, channels: int = 4) -> list[Tensor]:
    """Ranges that differ by orders of magnitude between channels and calls, in both directions."""
    generator = torch.Generator().manual_seed(seed)
    scale = 10 ** (6 * torch.rand(calls, channels, generator=generator) - 3)
    return [torch.randn(2, channels, 3, 5, generator=generator) * each[:, None, None] for each in scale]


def seen(tensors: list[Tensor]) -> SiteStats:
    stats = None
    for x in tensors:
        stats = accumulate(stats, x)
    assert stats is not None
    return stats


def same(a: SiteStats, b: SiteStats) -> None:
    for name in ("lowest", "highest", "exponent", "counts"):
        assert torch.equal(getattr(a, name), getattr(b, name)), name
    torch.testing.assert_close(a.sums, b.sums, rtol=1e-4, atol=1e-3)


@few
@given(seeds)
def test_ranges_are_exact_and_every_value_counts(seed: int) -> None:
    tensors = data(seed)
    stats, rows = seen(tensors), torch.cat(tensors).transpose(0, 1).flatten(1)
    assert torch.equal(stats.lowest, rows.amin(1)) and torch.equal(stats.highest, rows.amax(1))
    assert (stats.counts.sum(1) == rows.shape[1]).all() and stats.calls == 3
    peak = rows.abs().amax(1)
    assert (peak < 2.0**stats.exponent).all() and (peak >= 2.0 ** (stats.exponent - 1)).all()
    torch.testing.assert_close(stats.mean, rows.mean(1), rtol=1e-4, atol=1e-3)


@few
@given(seeds)
def test_histograms_do_not_depend_on_the_order_of_calls(seed: int) -> None:
    tensors = data(seed)
    once = seen([torch.cat(tensors)])
    same(seen(tensors), once)
    same(seen(tensors[::-1]), once)
    same(seen(tensors[:1]).merge(seen(tensors[1:])), once)


@few
@given(seeds)
def test_a_group_is_as_one_channel(seed: int) -> None:
    tensors = data(seed)
    stats = seen(tensors)
    for groups in (None, [0, 1, 0, 1], [0, 1, 2, 3]):
        grouped, names = stats.grouped(groups), groups or [0] * 4
        for group in sorted(set(names)):
            members = [c for c in range(4) if names[c] == group]
            alone = seen([x[:, members].reshape(2, 1, -1, 5) for x in tensors])
            assert grouped.lowest[group] == alone.lowest[0] and grouped.highest[group] == alone.highest[0]
            assert torch.equal(grouped.counts[group], alone.counts[0])


def test_split_channels_count_as_their_halves() -> None:
    stats = accumulate(None, torch.tensor([[[[1.0]], [[8.0]]]]))
    halved = stats.grouped(None, split=[1])
    assert (float(halved.lowest), float(halved.highest)) == (1, 4)
    assert float(halved.counts.sum()) == 2 and float(halved.sums.sum()) == 5


@few
@given(seeds, st.sampled_from([90.0, 99.0, 100.0]))
def test_percentiles(seed: int, percent: float) -> None:
    x = torch.randn(1, 3, 20, 20, generator=torch.Generator().manual_seed(seed))
    stats = accumulate(None, x)
    low, high = stats.percentile(percent)
    width = 2.0 * 2.0**stats.exponent / BINS
    rows = x[0].flatten(1)
    share = percent / 100
    assert (low >= stats.lowest).all() and (high <= stats.highest).all()
    assert ((rows > high[:, None]).float().mean(1) <= 1 - share + 1e-6).all()
    assert ((rows < low[:, None]).float().mean(1) <= 1 - share + 1e-6).all()
    assert ((rows > (high - width)[:, None]).float().mean(1) > 1 - share - 1e-6).all()


def test_linear_layers_have_their_channels_last() -> None:
    x = torch.arange(24.0).reshape(2, 4, 3)
    assert accumulate(None, x, -1).highest.tolist() == [21, 22, 23]


def test_extremes_and_constants() -> None:
    stats = seen([torch.zeros(1, 1, 2, 2), torch.full((1, 1, 2, 2), 1e-30), torch.full((1, 1, 2, 2), -1e15)])
    assert float(stats.counts.sum()) == 12 and float(stats.lowest) == pytest.approx(-1e15)


@pytest.mark.parametrize("wrong", [torch.nan, torch.inf])
def test_values_that_are_not_finite_are_refused(wrong: float) -> None:
    with pytest.raises(UsageError, match="not finite"):
        accumulate(None, torch.tensor([1.0, wrong]).reshape(1, 1, 1, 2))


def test_other_channels_are_refused() -> None:
    stats = accumulate(None, torch.zeros(1, 3, 2, 2))
    with pytest.raises(UsageError, match="4 channels after 3"):
        accumulate(stats, torch.zeros(1, 4, 2, 2))
    with pytest.raises(UsageError, match="groups for 2"):
        stats.grouped([0, 1])


def test_values_stand_for_equal_shares() -> None:
    x = torch.tensor([[0.0] * 6 + [0.5, 4.0], [-1.0, -1.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0]])
    values = seen([x[None, :, :, None]]).values(4)
    assert values.tolist() == [[0.0, 0.0, 0.0, 0.5], [-1.0, 3.0, 3.0, 3.0]]
    stats = seen(data(5))
    many = stats.values(1000)
    assert bool((many.diff(dim=1) >= 0).all())
    torch.testing.assert_close(many.mean(1), stats.mean, rtol=0.1, atol=0.1 * float(stats.highest.max()))
