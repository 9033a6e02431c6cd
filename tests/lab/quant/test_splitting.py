"""Split channels change nothing in floating point, and the ranking finds what splitting helps."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from quaver.errors import UsageError
from quaver.lab.models.sites import Site
from quaver.lab.quant.grouping import error_table, sharing_error
from quaver.lab.quant.importance import channel_importance
from quaver.lab.quant.observers import accumulate
from quaver.lab.quant.splitting import SplitErrors, rank_splits, split_layers


@pytest.mark.parametrize("seed", range(3))
def test_the_function_stays(seed: int) -> None:
    torch.manual_seed(seed)
    first, second = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 4, 3, padding=1, bias=False)
    for parameter in (*first.parameters(), *second.parameters()):
        parameter.data = (parameter * 64).round()  # whole numbers: no order of a sum changes it
    x = torch.randint(-9, 9, (2, 3, 5, 7)).float()
    maker, reader = split_layers(first, second, (1, 4))
    assert maker(x).shape[1] == 8
    torch.testing.assert_close(reader(maker(x).relu()), second(first(x).relu()), rtol=0, atol=0)
    a, b = split_layers(nn.Linear(3, 4), nn.Linear(4, 2), (0,))
    assert isinstance(a, nn.Linear) and isinstance(b, nn.Linear) and a.out_features == b.in_features == 5


@pytest.mark.parametrize("multiplier", [0.9, 0.11, 0.0173, 0.0003])
def test_two_codes_round_as_one_of_twice_the_range(multiplier: float) -> None:
    site = Site(1.0, 128, False)
    site.bits = 4
    site.set_channels(1, None, (0,))
    sums = torch.arange(-4000.0, 4000.0)[None, None, None]
    got = site.requantize(sums, torch.tensor([multiplier]))
    wanted = (sums * multiplier).round().clamp(-16, 14)
    # A quarter of a step is a whole number of the accumulator only nearly.
    assert float((got - wanted).abs().max()) <= 1 and float((got != wanted).float().mean()) < 0.05 + multiplier / 2


def test_the_outlier_is_split_first_unless_another_matters_more() -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 5, 40, 40) * torch.tensor([1.0, 1.0, 8.0, 1.0, 2.0])[:, None, None]
    stats = accumulate(None, x)
    found = rank_splits(stats, 4, 3)
    assert found[0].channel == 2
    assert all(split.gain > 0 for split in found)
    before = error_table(stats, 4).sum(0).min()
    left = error_table(stats, 4)
    left[2] = error_table(stats, 4, split=True)[2]
    assert found[0].gain == pytest.approx(float(before - left.sum(0).min()) / 1600)
    alone = rank_splits(stats, 4, 1, groups=(0, 0, 1, 0, 0), importance=torch.tensor([1.0, 1, 1e-9, 1, 1]))
    assert alone[0].channel == 4
    with pytest.raises(UsageError, match="importance"):
        rank_splits(stats, 4, 1, importance=torch.ones(2))


def test_ranked_by_frequency_whatever_that_gains() -> None:
    torch.manual_seed(0)
    stats = accumulate(None, torch.randn(1, 4, 20, 20) * torch.tensor([1.0, 1.0, 9.0, 1.0])[:, None, None])
    frequency = torch.tensor([0.1, 0.7, 0.2, 0.7])
    found = rank_splits(stats, 4, 3, rank="frequency", frequency=frequency)
    assert [split.channel for split in found] == [1, 3, 2]
    errors = SplitErrors.of(stats, 4)
    assert found[2].gain == pytest.approx((errors.least(None, (1, 3)) - errors.least(None, (1, 2, 3))) / 400)
    assert rank_splits(stats, 4, 1, errors=errors)[0].gain >= found[0].gain
    with pytest.raises(UsageError, match="frequency for each of 4 channels; given: none"):
        rank_splits(stats, 4, 1, rank="frequency")
    with pytest.raises(UsageError, match="effect and frequency"):
        rank_splits(stats, 4, 1, rank="size")  # type: ignore[arg-type]


@pytest.mark.parametrize("groups", [(0, 0, 0), (0, 1, 0)])
def test_errors_are_those_of_groups(groups: tuple[int, ...]) -> None:
    torch.manual_seed(1)
    stats = accumulate(None, torch.randn(1, 3, 20, 20) * torch.tensor([1.0, 5.0, 2.0])[:, None, None])
    errors = SplitErrors.of(stats, 5)
    assert errors.least(groups) / 1200 == pytest.approx(sharing_error(stats, groups, 5))
    assert errors.least(groups, (1,)) < errors.least(groups)


def test_depthwise_layers_are_refused() -> None:
    with pytest.raises(UsageError, match="without groups"):
        split_layers(nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(4, 4, 1), (0,))


def test_importance_is_what_an_error_costs() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 3, 1, bias=False))
    x = torch.randn(1, 2, 4, 4)
    with torch.no_grad():
        model[0].weight[:, 1] = 0

    def loss() -> torch.Tensor:
        return (3 * model(x)).sum()

    found = channel_importance(model, ["0"], [loss, loss])["0"]
    slope = float(3 * model[0].weight[:, 0].detach().sum())
    assert found.tolist() == pytest.approx([slope**2 * 16 / 2, 0])
    assert model[0].weight.grad is None
