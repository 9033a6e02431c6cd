"""Baselines keep what the programme keeps, and are never better than it."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given, settings

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
