"""The front: zeta against one budget for every method, the uniform widths in the same picture."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from functools import partial
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING

from quaver.errors import UsageError
from quaver.lab.allocate import baselines
from quaver.lab.allocate.problem import Problem, Solution
from quaver.lab.allocate.programme import smallest, solve

if TYPE_CHECKING:
    from matplotlib.figure import Figure

VERSION = 1
METHODS: Mapping[str, Callable[[Problem], Solution]] = {
    "ilp": solve,
    "greedy": baselines.greedy,
    "random": baselines.random,
    "uniform": baselines.uniform,
}


@dataclass(frozen=True, slots=True)
class FrontPoint:
    """method: one of `METHODS`; of "uniform" the label says which width. limit: the budget, None where there was none.
    gap: of "ilp", how far from proven optimal."""

    method: str
    label: str
    limit: float | None
    zeta: float
    costs: Mapping[str, float]
    gap: float = 0.0


@dataclass(frozen=True, slots=True)
class Front:
    """axis: the budget that was swept; others: those that held all along."""

    axis: str
    others: Mapping[str, float]
    points: tuple[FrontPoint, ...]
    model_hash: str = ""
    version: int = VERSION

    def of(self, method: str) -> list[FrontPoint]:
        """By cost."""
        return sorted((p for p in self.points if p.method == method), key=lambda point: point.costs[self.axis])

    def save(self, path: Path) -> None:
        """JSON, written beside and renamed."""
        part = path.with_name(path.name + ".part")
        part.write_text(json.dumps(asdict(self), indent=1) + "\n")
        part.replace(path)

    def figure(self, unit: str = "") -> Figure:
        """zeta, logarithmic, against the swept cost; costs that no choice changes are in it. Uniform widths that
        another one beats in both are drawn small and without a name."""
        from matplotlib.figure import Figure
        from matplotlib.ticker import EngFormatter

        figure = Figure(figsize=(7, 4.5), layout="constrained")
        axes = figure.add_subplot()
        styles = {"ilp": ("C0", "o-", "integer programme"), "greedy": ("C1", "s--", "greedy")}
        for method, (color, style, label) in styles.items():
            points = self.of(method)
            axes.plot(
                [p.costs[self.axis] for p in points], [p.zeta for p in points], style, color=color, label=label, ms=4
            )
        chance = self.of("random")
        axes.plot(
            [p.costs[self.axis] for p in chance], [p.zeta for p in chance], ".", color="0.6", label="random", zorder=0
        )
        least = inf
        for point in sorted(self.of("uniform"), key=lambda point: (point.costs[self.axis], point.zeta)):
            best, least = point.zeta < least, min(least, point.zeta)
            axes.plot(point.costs[self.axis], point.zeta, "D", color="C3", ms=5 if best else 2)
            if best:
                place = point.costs[self.axis], point.zeta
                axes.annotate(point.label, place, (5, 4), textcoords="offset points", fontsize=7)
        axes.plot([], [], "D", color="C3", ms=5, label="uniform")
        axes.set_yscale("log" if all(point.zeta > 0 for point in self.points) else "symlog")
        axes.set_xlabel(f"{self.axis}{unit}")
        axes.xaxis.set_major_formatter(EngFormatter())
        axes.set_ylabel("predicted loss zeta, share of the rate")
        axes.grid(alpha=0.3)
        axes.legend()
        return figure


def sweep(
    problem: Problem,
    axis: str,
    count: int = 9,
    seeds: int = 3,
    model_hash: str = "",
    show: Callable[[int, int], None] = lambda done, of: None,
) -> Front:
    """`count` budgets of `axis` from the smallest that can be kept to the cost of the least zeta; other budgets of the
    problem hold. Every uniform width is a point, budgets or not."""
    others = {key: limit for key, limit in problem.budgets.items() if key != axis}
    least = smallest(problem, axis, keep_others=True)
    if least is None:
        raise UsageError("the other budgets cannot be kept, whatever this one is")
    ample = solve(replace(problem, budgets={**others, axis: Fraction(10) ** 30}))
    most = replace(problem, budgets={**problem.budgets, axis: Fraction(1)}).costs(ample.choice)[axis]
    points = [
        FrontPoint("uniform", label, None, problem.zeta(choice), _plain(problem.costs(choice)))
        for label, choice in baselines.uniform_points(problem).items()
    ]
    for number in range(count):
        show(number, count)
        limit = least + (most - least) * number / max(1, count - 1)
        limited = replace(problem, budgets={**problem.budgets, axis: limit})
        points += _solved(limited, limit, seeds)
    show(count, count)
    return Front(axis, {key: float(limit) for key, limit in others.items()}, tuple(points), model_hash)


def _solved(problem: Problem, limit: Fraction, seeds: int) -> Sequence[FrontPoint]:
    methods: list[tuple[str, Callable[[Problem], Solution]]] = [("ilp", solve), ("greedy", baselines.greedy)]
    methods += [("random", partial(baselines.random, seed=seed)) for seed in range(seeds)]
    points = []
    for name, method in methods:
        try:
            found = method(problem)
        except UsageError:  # a baseline may fail where the programme does not
            if name == "ilp":
                raise
            continue
        gap = found.gap if name == "ilp" else 0.0
        points.append(FrontPoint(name, name, float(limit), found.zeta, _plain(found.costs), gap))
    return points


def _plain(costs: Mapping[str, Fraction]) -> dict[str, float]:
    return {key: float(cost) for key, cost in costs.items()}
