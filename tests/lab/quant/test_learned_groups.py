"""A search goes from one group to one for each channel as groups get cheaper, and puts like to like."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from quaver.errors import UsageError
from quaver.lab.quant import grouping
from quaver.lab.quant.attach import quantized
from quaver.lab.quant.learned_groups import GroupSearch, Price, RelaxedGroups, search_groups
from quaver.lab.quant.plan import LayerPlan, QuantPlan
from quaver.lab.quant.ptq import calibrate

RANGES = torch.tensor([1.0, 20.0, 1.2, 24.0, 5.0, 22.0, 0.9, 5.5])
CHANNELS, BITS = len(RANGES), 4


def layer() -> tuple[nn.Sequential, Tensor]:
    """A layer that weighs its channels alike, whatever their range, and its input."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(CHANNELS, 16, 1))
    with torch.no_grad():
        model[0].weight.div_(RANGES[None, :, None, None])
    return model, torch.rand(2, CHANNELS, 12, 12) * RANGES[:, None, None]


def found(mu: float, steps: int = 80) -> tuple[QuantPlan, float]:
    """The plan of a search, and the squared error with it."""
    model, x = layer()
    wanted = model(x).detach()
    plan = QuantPlan({"0": LayerPlan(None, BITS, groups=grouping.per_channel(CHANNELS))})
    scales = calibrate(model, plan, lambda: model(x))
    torch.manual_seed(1)
    with quantized(model, plan, scales) as attached:
        search = search_groups(attached, {"0": Price(1.0)})
        optimizer = torch.optim.Adam(search.rates())
        for step in range(steps):
            search.anneal(step / steps)
            search.sample()
            loss = (model(x) - wanted).square().mean() + mu * search.loss_cost()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    plan = search.harden(plan)
    with quantized(model, plan, scales), torch.no_grad():
        return plan, float((model(x) - wanted).square().mean())


def lost(groups: grouping.Groups) -> float:
    """The squared error with other groups."""
    model, x = layer()
    wanted = model(x).detach()
    plan = QuantPlan({"0": LayerPlan(None, BITS, groups=groups)})
    with quantized(model, plan, calibrate(model, plan, lambda: model(x))), torch.no_grad():
        return float((model(x) - wanted).square().mean())


def count(plan: QuantPlan) -> int:
    return max(plan.layers["0"].groups or (0,)) + 1


def test_a_sweep_of_mu_goes_from_one_group_to_one_per_channel() -> None:
    swept = [found(mu) for mu in (1.0, 0.001, 0.0001, 0.0)]
    counts, errors = [count(plan) for plan, _ in swept], [error for _, error in swept]
    assert counts == sorted(counts) and counts[0] == 1 and counts[-1] == CHANNELS
    assert any(1 < number < CHANNELS for number in counts)
    assert errors[0] > errors[1] > errors[-1]


def test_groups_found_lose_less_than_as_many_others() -> None:
    plan, error = found(0.001)
    number = count(plan)
    assert 1 < number < CHANNELS
    others = [grouping.contiguous(CHANNELS, number), *(grouping.shuffled(CHANNELS, number, seed) for seed in range(4))]
    assert error < 0.5 * min(lost(groups) for groups in others)


@pytest.mark.parametrize("members", [(0, 0, 0, 0), (0, 1, 1, 0), (0, 1, 2, 3)])
def test_hard_groups_of_one_size_are_counted(members: tuple[int, ...]) -> None:
    relaxed = RelaxedGroups(torch.tensor([1.0, 3.0, 4.0, 16.0]))
    with torch.no_grad():
        relaxed.logits.copy_(99 * torch.nn.functional.one_hot(torch.tensor(members), 4))
    groups, steps = relaxed.harden()
    assert groups == members
    assert float(relaxed.number().detach()) == pytest.approx(max(members) + 1, abs=0.01)
    relaxed.sample(noisy=False)
    torch.testing.assert_close(relaxed.steps().detach(), steps[list(groups)])


def test_cost_of_one_group_is_nothing() -> None:
    search = GroupSearch({"a": torch.ones(4)}, {"a": Price(2.0, 7.0)})
    plan = QuantPlan({"a": LayerPlan(4, 4, groups=(0, 1, 0, 1))})
    with torch.no_grad():
        search.site("a").favour[0] = 99
        assert float(search.loss_cost()) == pytest.approx(0, abs=0.05)
        assert search.harden(plan).layers["a"].groups is None
        search.site("a").favour[0] = 0
        search.site("a").logits.copy_(torch.tensor([[0.0, -99, -99, -99]] * 2 + [[-99.0, 0, -99, -99]] * 2))
    assert float(search.loss_cost().detach()) == pytest.approx(2 + 7, abs=0.05)
    with pytest.raises(UsageError, match="no price"):
        GroupSearch({"b": torch.ones(2)}, {})
    with pytest.raises(UsageError, match="positive"):
        RelaxedGroups(torch.zeros(3))
