"""The integer programme as columns and rows for HiGHS: one column per option and pair, rows for layers, budgets, ties
and pairs. HiGHS's tolerances are absolute: budget rows count from each layer's cheapest option and are divided by
their largest entry, the objective by its and then by what the answer is about worth.

What is branched on are not options but steps: a layer has the k-th of its options, in the order of their costs, or a
later one (`Ladder`). Forbidding one option of thirty changes little, "at least so much" halves the rest; proofs take
half of the time. An ordered set of alternatives is branched on so since Beale and Tomlin, 1970.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, linprog, milp
from scipy.sparse import csr_array, vstack

from quaver.lab.allocate.problem import Option, Problem

Vector = NDArray[np.float64]
_LARGE = 100  # what an answer's value is to HiGHS


@dataclass(frozen=True, slots=True)
class Found:
    """A choice, its objective value (scaled), and what the solver proved no choice to be below (not scaled)."""

    choice: dict[str, int]
    value: float
    bound: float


@dataclass(frozen=True, slots=True, eq=False)
class Relaxed:
    """The linear relaxation: its value (scaled), how much each column costs beyond the best (its reduced cost,
    scaled), and what a unit of each budget is worth."""

    value: float
    reduced: Vector
    prices: dict[str, float]


class Columns:
    """kept: by call site the numbers of options that can be part of an answer. choices: columns of options; those of
    pairs follow. scale: what the objective was divided by."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.kept = {name: _undominated(problem, name) for name in problem.options}
        self._start: dict[str, int] = {}
        self.choices = 0
        for name, places in self.kept.items():
            self._start[name] = self.choices
            self.choices += len(places)
        zeta = np.array([option.zeta for option in self._options()] + [pair.zeta for pair in problem.pairs])
        self.scale = float(np.abs(zeta).max(initial=0.0)) or 1.0
        self.objective: Vector = zeta / self.scale
        self._least = {key: self._cheapest(key) for key in problem.budgets}
        self._largest = {key: max(self._above(key), default=Fraction(0)) or Fraction(1) for key in problem.budgets}
        self._budgets = csr_array(np.array([self.costs(key) for key in problem.budgets]).reshape(-1, len(zeta)))
        self._rows, self._lower, self._upper = self._structure()

    def costs(self, budget: str) -> Vector:
        """One budget's costs by column, beyond the layer's cheapest option, 1 at most."""
        own = [float(cost / self._largest[budget]) for cost in self._above(budget)]
        return np.array(own + [0.0] * len(self.problem.pairs))

    def tolerance(self, budget: str) -> Fraction:
        """By how much HiGHS may break a budget without noticing."""
        return self._largest[budget] / 10**6

    def minimise(
        self,
        objective: Vector,
        slack: Mapping[str, Fraction],
        gap: float,
        time_limit: float,
        allowed: NDArray[np.bool_] | None = None,
        unit: float = 1.0,
        prices: Mapping[str, float] | None = None,
    ) -> Found | None:
        """The best choice of `allowed` columns, to a relative `gap`; None where none was found in time. unit: about as
        much as the answer's value, beside which HiGHS's tolerances, and the gap of 1e-6 that it stops at, shall be
        little. prices: by which options are ordered; without them every budget counts alike."""
        use = np.ones(len(objective), bool) if allowed is None else allowed
        worth = {key: float(self._largest[key]) * price for key, price in (prices or {}).items()}
        order = self._budgets.T @ np.array([worth.get(key, 0.0 if worth else 1.0) for key in self.problem.budgets])
        ladder = Ladder.of([use[start : start + count] for start, count in self._places()], order, len(objective))
        if ladder is None:
            return None
        rows = [LinearConstraint(ladder.rows, -np.inf, 0)] if ladder.rows.shape[0] else []
        if self.problem.budgets:
            rows.append(LinearConstraint(self._budgets @ ladder.columns, -np.inf, self._room(slack)))
        if self._rows.shape[0] > len(self.kept):  # one option per layer holds by itself
            more = slice(len(self.kept), None)
            rows.append(LinearConstraint((self._rows @ ladder.columns)[more], self._lower[more], self._upper[more]))
        pairs = len(objective) - self.choices
        with _quiet():
            result = milp(
                (objective * (_LARGE / unit)) @ ladder.columns,
                integrality=np.arange(ladder.columns.shape[1]) < ladder.columns.shape[1] - pairs,
                bounds=Bounds(ladder.least, 1),
                constraints=rows,
                options={"time_limit": time_limit, "mip_rel_gap": gap},
            )
        if result.x is None:
            return None
        bound = result.mip_dual_bound
        back = unit / _LARGE
        return Found(
            self._choice(ladder.columns @ result.x),
            float(result.fun) * back,
            -np.inf if bound is None else float(bound) * back * self.scale,
        )

    def relax(self, slack: Mapping[str, Fraction], unit: float = 1.0) -> Relaxed | None:
        """None where not even fractions of options keep the budgets. unit: as above."""
        equal = self._lower == self._upper
        above, below = np.isfinite(self._lower) & ~equal, np.isfinite(self._upper) & ~equal
        rows = vstack([self._budgets, self._rows[below], -self._rows[above]], format="csr")
        limits = np.concatenate([self._room(slack), self._upper[below], -self._lower[above]])
        with _quiet():
            result = linprog(
                self.objective * (_LARGE / unit),
                A_ub=rows if rows.shape[0] else None,
                b_ub=limits if rows.shape[0] else None,
                A_eq=self._rows[equal],
                b_eq=self._lower[equal],
                bounds=(0, 1),
                method="highs",
            )
        if result.status != 0:
            return None
        back = unit / _LARGE
        prices = {
            key: max(0.0, float(-marginal * back * self.scale / float(self._largest[key])))
            for key, marginal in zip(self.problem.budgets, np.asarray(result.ineqlin.marginals), strict=False)
        }
        reduced = np.asarray(result.lower.marginals, np.float64) * back
        reduced[self.choices :] = 0.0  # pairs follow their options
        return Relaxed(float(result.fun) * back, reduced, prices)

    def _places(self) -> Iterator[tuple[int, int]]:
        """(first column, number of columns) of each layer."""
        return ((self._start[name], len(places)) for name, places in self.kept.items())

    def _options(self) -> Iterator[Option]:
        return (self.problem.options[name][place] for name, places in self.kept.items() for place in places)

    def _cheapest(self, budget: str) -> dict[str, Fraction]:
        options = self.problem.options
        return {name: min(options[name][place].costs[budget] for place in places) for name, places in self.kept.items()}

    def _above(self, budget: str) -> list[Fraction]:
        options, least = self.problem.options, self._least[budget]
        return [
            options[name][place].costs[budget] - least[name] for name, places in self.kept.items() for place in places
        ]

    def _room(self, slack: Mapping[str, Fraction]) -> Vector:
        rooms = []
        for key, limit in self.problem.budgets.items():
            spent = self.problem.fixed.get(key, Fraction(0)) + sum(self._least[key].values(), Fraction(0))
            rooms.append(float((limit - spent - slack[key]) / self._largest[key]))
        return np.array(rooms)

    def _choice(self, x: Vector) -> dict[str, int]:
        return {
            name: places[int(np.argmax(x[self._start[name] : self._start[name] + len(places)]))]
            for name, places in self.kept.items()
        }

    def _structure(self) -> tuple[Any, Vector, Vector]:
        """(rows, lower, upper): one option per layer, ties, and what makes a pair's column the product of its two."""
        rows: list[tuple[dict[int, float], float, float]] = []
        for name, places in self.kept.items():
            rows.append(({self._start[name] + i: 1.0 for i in range(len(places))}, 1, 1))
        for tie in self.problem.ties:
            first = tie.call_sites[0]
            for other in tie.call_sites[1:]:
                for bits in {*self._bits(first, tie.kind), *self._bits(other, tie.kind)}:
                    here = dict.fromkeys(self._with(first, tie.kind, bits), 1.0)
                    rows.append((here | dict.fromkeys(self._with(other, tie.kind, bits), -1.0), 0, 0))
        for number, pair in enumerate(self.problem.pairs):
            y = {self.choices + number: -1.0}
            one, two = (dict.fromkeys(self._with(*side), 1.0) for side in (pair.first, pair.second))
            rows += [(one | y, 0, np.inf), (two | y, 0, np.inf), (one | two | y, -np.inf, 1)]
        entries = [(i, j, value) for i, (row, _, _) in enumerate(rows) for j, value in row.items()]
        at, columns, values = zip(*entries, strict=True) if entries else ((), (), ())
        matrix = csr_array((values, (at, columns)), shape=(len(rows), len(self.objective)))
        return matrix, np.array([float(row[1]) for row in rows]), np.array([float(row[2]) for row in rows])

    def _bits(self, name: str, kind: str) -> list[int | None]:
        return [self.problem.options[name][place].bits(kind) for place in self.kept[name]]

    def _with(self, name: str, kind: str, bits: int | None) -> list[int]:
        return [self._start[name] + i for i, own in enumerate(self._bits(name, kind)) if own == bits]


@dataclass(frozen=True, slots=True, eq=False)
class Ladder:
    """Steps in place of options: options = columns @ steps. The first step is 1 (`least`: lower bounds), then each
    layer's, where one implies the one before (`rows` @ steps <= 0), then pairs as they are."""

    columns: Any
    rows: Any
    least: Vector

    @classmethod
    def of(cls, allowed: Sequence[NDArray[np.bool_]], order: Vector, total: int) -> Ladder | None:
        """allowed: of each layer's options; order: of all columns, `total` in number. None where a layer has none."""
        entries: list[tuple[int, int, float]] = []
        above: list[tuple[int, int]] = []
        start, step = 0, 1
        for own in allowed:
            places = start + np.flatnonzero(own)
            if not len(places):
                return None
            places = places[np.argsort(order[places], kind="stable")]
            entries.append((int(places[0]), 0, 1.0))
            for number, (lower, upper) in enumerate(pairwise(places.tolist())):
                entries += [(lower, step, -1.0), (upper, step, 1.0)]
                if number:
                    above.append((step - 1, step))
                step += 1
            start += len(own)
        entries += [(start + number, step + number, 1.0) for number in range(total - start)]
        steps = step + total - start
        at, columns, values = zip(*entries, strict=True)
        places_of = np.array(above, int).reshape(-1, 2)
        row = np.repeat(np.arange(len(above)), 2)
        implied = np.tile([-1.0, 1.0], len(above))  # the later step minus the one before
        rows = csr_array((implied, (row, places_of.ravel())), shape=(len(above), steps))
        least = np.zeros(steps)
        least[0] = 1
        return cls(csr_array((values, (at, columns)), shape=(total, steps)), rows, least)


def _undominated(problem: Problem, name: str) -> list[int]:
    """Numbers of the options that no other beats in everything; of equals the last, which has the most bits. Where
    ties or pairs look at a layer's bits, options with other bits are no rivals."""
    seen = {tie.kind for tie in problem.ties if name in tie.call_sites}
    seen |= {kind for pair in problem.pairs for site, kind, _ in (pair.first, pair.second) if site == name}
    options = problem.options[name]
    figures = np.array([[option.zeta, *(float(option.costs[key]) for key in problem.budgets)] for option in options])
    groups = [tuple(option.bits(kind) for kind in sorted(seen)) for option in options]
    kept: list[int] = []
    last_first = np.vstack([-np.arange(len(options)), figures.T[::-1]])
    for place in np.lexsort(last_first).tolist():  # by zeta, then costs: rivals come first
        rivals = [other for other in kept if groups[other] == groups[place]]
        if not (figures[rivals] <= figures[place]).all(1).any():
            kept.append(place)
    return sorted(kept)


@contextmanager
def _quiet() -> Iterator[None]:
    """HiGHS writes a debugging line to C's stdout now and then, between whatever the caller prints there."""
    sys.stdout.flush()
    try:
        kept = os.dup(1)
    except OSError:  # no stdout at all
        yield
        return
    try:
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), 1)
        yield
    finally:
        with suppress(OSError, AttributeError, TypeError):  # where C's library has another name the line may show
            ctypes.CDLL(None).fflush(None)
        os.dup2(kept, 1)
        os.close(kept)
