"""The integer programme: one option per layer, the least zeta, budgets kept.

A multiple-choice knapsack with several budgets, ties and pair terms. HiGHS solves it (`columns.py`); every answer is
checked again in exact fractions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from quaver.errors import UsageError
from quaver.lab.quant.plan import LayerPlan

TOLERANCE = 1e-6  # of zeta, relatively: what counts as proven

KINDS = {"w": "weight_bits", "a": "activation_bits"}


@dataclass(frozen=True, slots=True)
class Option:
    """A way to compute one layer: what it is, what it loses, what it costs (by budget)."""

    plan: LayerPlan
    zeta: float
    costs: Mapping[str, Fraction]

    def bits(self, kind: str) -> int | None:
        """Of weights ("w"), of activations ("a"), or of both where they are the same ("wa")."""
        if kind == "wa":
            return self.bits("w") if self.bits("w") == self.bits("a") else None
        value: int | None = getattr(self.plan, KINDS[kind])
        return value


@dataclass(frozen=True, slots=True)
class Tie:
    """Call sites that must have the same "w" or "a" bits, such as readers of one tensor."""

    kind: str
    call_sites: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Pair:
    """zeta that comes on top where two call sites have these bits: ((call site, kind, bits), the other, zeta). kind: as
    for `Option.bits`."""

    first: tuple[str, str, int]
    second: tuple[str, str, int]
    zeta: float


@dataclass(frozen=True, slots=True)
class Problem:
    """options: by call site, each with every budget's cost. budgets: upper limits. fixed: costs that no choice
    changes."""

    options: Mapping[str, Sequence[Option]]
    budgets: Mapping[str, Fraction]
    fixed: Mapping[str, Fraction] = field(default_factory=dict)
    ties: tuple[Tie, ...] = ()
    pairs: tuple[Pair, ...] = ()

    def __post_init__(self) -> None:
        for name, choices in self.options.items():
            if not choices:
                raise UsageError(f"{name}: no option is left")
        for tie in self.ties:
            for name in tie.call_sites:
                if name not in self.options:
                    raise UsageError(f"a tie names {name!r}, which is not to be allocated")

    def costs(self, choice: Mapping[str, int]) -> dict[str, Fraction]:
        """Exact, by budget."""
        return {
            key: self.fixed.get(key, Fraction(0))
            + sum((self.options[name][place].costs[key] for name, place in choice.items()), Fraction(0))
            for key in self.budgets
        }

    def zeta(self, choice: Mapping[str, int]) -> float:
        """The sum over layers and pairs."""
        single = math.fsum(self.options[name][place].zeta for name, place in choice.items())
        return single + math.fsum(pair.zeta for pair in self.pairs if self._has(choice, pair))

    def excess(self, choice: Mapping[str, int]) -> dict[str, Fraction]:
        """Budgets that a choice breaks, and by how much."""
        costs = self.costs(choice)
        return {key: costs[key] - limit for key, limit in self.budgets.items() if costs[key] > limit}

    def tied(self, choice: Mapping[str, int]) -> bool:
        """Whether every tie holds."""
        return all(
            len({self.options[name][choice[name]].bits(tie.kind) for name in tie.call_sites}) == 1 for tie in self.ties
        )

    def _has(self, choice: Mapping[str, int], pair: Pair) -> bool:
        return all(self.options[s][choice[s]].bits(kind) == bits for s, kind, bits in (pair.first, pair.second))


@dataclass(frozen=True, slots=True)
class Solution:
    """choice: of each call site its option's number. bound: no choice has less zeta than this. prices: by budget, how
    much zeta one more unit would save at the margin of the linear relaxation."""

    choice: Mapping[str, int]
    zeta: float
    costs: Mapping[str, Fraction]
    bound: float = -math.inf
    prices: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def gap(self) -> float:
        """How far above the bound, relatively: 0 where it is proven optimal."""
        excess = self.zeta - self.bound
        return 0.0 if excess <= TOLERANCE * abs(self.zeta) + 1e-15 else excess / max(abs(self.zeta), 1e-15)
