"""Solving the integer programme, and saying what is impossible."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction

from quaver.errors import UsageError
from quaver.lab.allocate.baselines import greedy
from quaver.lab.allocate.columns import Columns, Found
from quaver.lab.allocate.problem import TOLERANCE, Problem, Solution

_ROUGH = 1e-4  # of zeta, relatively: good enough to tell which options can still matter
_FEW = 400  # options that need no preparation
_CORE = 1.5  # options per layer, the most promising ones, that the rough answer is found among
_LEAST = 1e-4  # of the largest zeta: answers below are solved as if they were worth that much
_FREE = Fraction(10) ** 30
_FAR = 0.01  # gap from which greed is asked


def solve(problem: Problem, time_limit: float = 4.0) -> Solution:
    """The choice with the least zeta; where `time_limit` seconds do not suffice for the proof, the best one found,
    whose `gap` then is not 0. UsageError where budgets cannot be kept, with the smallest that can.
    """
    start = time.perf_counter()
    columns = Columns(problem)
    slack = dict.fromkeys(problem.budgets, Fraction(0))
    for _ in range(5):
        found, prices = _search(columns, slack, start + time_limit)
        if found is None:
            raise _impossible(problem, time_limit)
        excess = problem.excess(found.choice)
        if not excess:
            zeta = problem.zeta(found.choice)
            seconds = time.perf_counter() - start
            bound = min(zeta, found.bound)
            solution = Solution(found.choice, zeta, problem.costs(found.choice), bound, prices, seconds)
            return _no_worse_than_greed(problem, solution)
        # The solver's tolerance let a budget pass: ask for that much less, and for enough that it notices.
        slack |= {key: slack[key] + 2 * max(over, columns.tolerance(key)) for key, over in excess.items()}
    raise UsageError("the solver's rounding breaks the budgets; make them a little wider")


def smallest(problem: Problem, budget: str, keep_others: bool = False) -> Fraction | None:
    """The least reachable value of one budget, other budgets kept or left aside; None where there is no choice."""
    others = {key: limit for key, limit in problem.budgets.items() if key != budget} if keep_others else {}
    free = replace(problem, budgets={budget: _FREE} | others)
    columns = Columns(free)
    found = columns.minimise(columns.costs(budget), {key: Fraction(0) for key in free.budgets}, TOLERANCE, 10.0)
    return None if found is None else free.costs(found.choice)[budget]


def _no_worse_than_greed(problem: Problem, solution: Solution) -> Solution:
    """The limit is of the clock: on a busy machine it may end far from the proof, where greed does better."""
    if solution.gap < _FAR:
        return solution
    try:
        other = greedy(problem)
    except UsageError:
        return solution
    if other.zeta >= solution.zeta:
        return solution
    return replace(solution, choice=other.choice, zeta=other.zeta, costs=other.costs)


def _search(columns: Columns, slack: Mapping[str, Fraction], end: float) -> tuple[Found | None, dict[str, float]]:
    """Until `end`: linear relaxation, a rough answer, then the programme over the options that can be part of a better
    one. An option whose reduced cost exceeds the difference between the two cannot."""
    relaxed = columns.relax(slack)
    if relaxed is None:
        return None, {}
    unit = max(abs(relaxed.value), _LEAST)
    relaxed = columns.relax(slack, unit) or relaxed
    rough, reach = None, math.inf
    if columns.choices > _FEW:
        reduced = sorted(relaxed.reduced[: columns.choices])
        core = reduced[min(len(reduced) - 1, int(_CORE * len(columns.kept)))]
        allowed = relaxed.reduced <= core
        rough = columns.minimise(columns.objective, slack, _ROUGH, _left(end) / 4, allowed, unit, relaxed.prices)
        if rough is not None:
            reach = (rough.value - relaxed.value) * (1 + 1e-9) + 1e-12
    allowed = relaxed.reduced <= reach
    found = columns.minimise(columns.objective, slack, TOLERANCE / 2, _left(end), allowed, unit, relaxed.prices)
    if found is None or (rough is not None and rough.value < found.value):
        if rough is None:
            return None, {}
        found = replace(rough, bound=found.bound if found is not None else -math.inf)
    # Options that were left out only make values above the rough one.
    bound = max(found.bound, relaxed.value * columns.scale)
    return replace(found, bound=min(bound, found.value * columns.scale)), relaxed.prices


def _left(end: float) -> float:
    return max(0.1, end - time.perf_counter())


def _impossible(problem: Problem, time_limit: float) -> UsageError:
    """Why there is no choice."""
    for key, limit in problem.budgets.items():
        least = smallest(problem, key)
        if least is None:
            return UsageError("the ties leave no choice: their call sites have no bits in common")
        if least > limit:
            return UsageError(f"budget {key}={float(limit):g} is impossible; the smallest is {_up(least)}")
    reachable = {key: smallest(problem, key, keep_others=True) for key in problem.budgets}
    parts = [f"{key}={_up(least)}" for key, least in reachable.items() if least is not None]
    if any(least is not None and least <= problem.budgets[key] for key, least in reachable.items()):
        return UsageError(f"no choice within the budgets was found in {time_limit:g} seconds; allow more")
    wanted = ", ".join(f"{key}={float(limit):g}" for key, limit in problem.budgets.items())
    return UsageError(f"budgets {wanted} are impossible together; with the others as they are: {' or '.join(parts)}")


def _up(value: Fraction) -> str:
    """Rounded up, so that the printed value is feasible."""
    return str(math.ceil(value)) if value > 1000 else f"{math.ceil(value * 10000) / 10000:g}"
