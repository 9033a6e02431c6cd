"""Bits and groups found together: dear operations leave few of either."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from functools import cache

import pytest
import torch

from lab.analyse.toy import ToyAdapter, toy_clips
from quaver.errors import UsageError
from quaver.lab.allocate.joint import JointSearch
from quaver.lab.allocate.search import SearchConfig

from .test_search import toy_layers


@cache
def searched(price: float, groups: float | None = None) -> tuple[int, int]:
    """(bits of inputs, groups), added over layers."""
    torch.set_num_threads(1)
    config = SearchConfig(steps=40, batch=2, frames=3, error_price=0.0, rate=0.3)
    config = replace(config, cost_price=price, group_price=groups)
    plans = JointSearch(ToyAdapter(), toy_clips(), toy_layers(), config).run().values()
    return sum(plan.activation_bits or 0 for plan in plans), sum(max(plan.groups or (0,)) + 1 for plan in plans)


def test_dear_operations_leave_few_bits_and_few_groups() -> None:
    (many, grouped), (few, one) = searched(0.0), searched(1000.0)
    assert few < many and one < grouped
    assert one == len(toy_layers())


def test_groups_may_have_a_price_of_their_own() -> None:
    """Dear groups and cheap bits: none of the groups, most of the bits."""
    (bits, groups), (many, _) = searched(0.0, 1000.0), searched(0.0)
    assert groups == len(toy_layers()) and bits > many / 2


def test_budgets_are_refused() -> None:
    with pytest.raises(UsageError, match="not under budgets"):
        JointSearch(ToyAdapter(), toy_clips(), toy_layers(), SearchConfig(steps=1), {"bops": Fraction(10**9)}).run()


def test_the_plan_depends_on_the_seed_alone() -> None:
    config = SearchConfig(steps=6, batch=2, frames=3, error_price=0.0, rate=0.3, cost_price=0.0)
    plans = []
    for state in (1, 2):
        torch.manual_seed(state)  # what ran before
        plans.append(JointSearch(ToyAdapter(), toy_clips(), toy_layers(), config).run())
    assert plans[0] == plans[1]
