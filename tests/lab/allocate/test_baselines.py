"""Baselines keep what the programme keeps, and are never better than it."""

from __future__ import annotations

import time
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quaver.errors import UsageError
from quaver.lab.allocate import baselines
from quaver.lab.allocate.problem import Option, Problem, Tie
from quaver.lab.allocate.programme import solve
from quaver.lab.quant.plan import LayerPlan

from .problems import network, problems, within


@settings(deadline=None, max_examples=40)
@given(problems(ties=True))
def test_never_better_than_the_optimum(problem: Problem) -> None:
    for method in (baselines.greedy, baselines.random, baselines.uniform):
        try:
            found = method(problem)
        except UsageError:
            continue
        assert problem.tied(found.choice) and not problem.excess(found.choice)
        assert found.zeta >= solve(problem).zeta - 1e-9


def test_order_on_a_network() -> None:
    """The programme before greed before chance; ties hold."""
    options = network(30, seed=4)
    problem = Problem(
        options, within(options, Fraction(1, 2)), ties=(Tie("a", ("l0", "l1", "l2")), Tie("w", ("l2", "l3")))
    )
    best, greedy, chance = (method(problem).zeta for method in (solve, baselines.greedy, baselines.random))
    assert best < greedy < chance
    assert baselines.random(problem, 1).choice != baselines.random(problem, 2).choice
    assert baselines.random(problem, 1) == baselines.random(problem, 1)


@settings(deadline=None, max_examples=60)
@given(problems(ties=True), st.integers(0, 3))
def test_chance_spends_its_budgets(problem: Problem, seed: int) -> None:
    """No layer alone can take what costs more of a budget and no less of any."""
    try:
        choice = baselines.random(problem, seed).choice
    except UsageError:
        return
    assert problem.tied(choice) and not problem.excess(choice)
    before = problem.costs(choice)
    for name, own in problem.options.items():
        for place in range(len(own)):
            after = choice | {name: place}
            costs = problem.costs(after)
            if costs != before and all(costs[key] >= before[key] for key in costs) and problem.tied(after):
                assert problem.excess(after), (name, place)


def test_chance_spends_in_a_large_network() -> None:
    """Within a hundredth of a per cent, tied layers together; at 200 layers of 30 options in little time."""
    options = network(200, seed=1)
    ties = (Tie("a", ("l0", "l1", "l2")), Tie("w", ("l2", "l3")))
    for share in (Fraction(1, 4), Fraction(4, 5)):
        limit = within(options, share)["bops"]
        began = time.process_time()
        found = baselines.random(Problem(options, {"bops": limit}, ties=ties))
        assert time.process_time() - began < 5
        assert Fraction(9999, 10000) * limit < found.costs["bops"] <= limit


def test_tied_layers_rise_together() -> None:
    own = [Option(LayerPlan(2, a), 0.0, {"bops": Fraction(a)}) for a in (4, 6, 8)]
    problem = Problem({"x": own, "y": own}, {"bops": Fraction(13)}, ties=(Tie("a", ("x", "y")),))
    for seed in range(5):
        assert baselines.random(problem, seed).choice == {"x": 1, "y": 1}


def test_uniform_widths() -> None:
    options = network(5, seed=2)
    problem = Problem(options, within(options, Fraction(1)))
    points = baselines.uniform_points(problem)
    assert len(points) == 30 and points["W2A4"] == dict.fromkeys(options, 0)
    assert baselines.uniform(problem).zeta == min(problem.zeta(choice) for choice in points.values())
    # A layer that does not offer a width takes it from all.
    fewer = replace(problem, options=options | {"l0": options["l0"][:5]})
    assert set(baselines.uniform_points(fewer)) == {"W2A4", "W2A5", "W2A6", "W2A7", "W2A8"}


def test_what_cannot_be_kept() -> None:
    own = [Option(LayerPlan(2, 8), 0.0, {"bytes": Fraction(10)})]
    problem = Problem({"a": own}, {"bytes": Fraction(9)})
    for method in (baselines.greedy, baselines.random, baselines.uniform):
        with pytest.raises(UsageError):
            method(problem)
