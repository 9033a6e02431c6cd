"""Allocations to compare with: the same width everywhere, chance, and greed, under the same budgets."""

from __future__ import annotations

import random as chance
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from quaver.errors import UsageError
from quaver.lab.allocate.problem import KINDS, Problem, Solution

Choice = dict[str, int]


def uniform_points(problem: Problem) -> dict[str, Choice]:
    """By label, such as W4A8: every width that all layers offer, budgets left aside."""
    offers = [
        {option.plan.label: place for place, option in enumerate(options) if not option.plan.channel_bits}
        for options in problem.options.values()
    ]
    shared = set.intersection(*(set(offer) for offer in offers)) if offers else set()
    return {
        label: {name: offer[label] for name, offer in zip(problem.options, offers, strict=True)}
        for label in sorted(shared)
    }


def uniform(problem: Problem) -> Solution:
    """The uniform width with the least zeta that keeps the budgets; UsageError where none does."""
    fitting = [choice for choice in uniform_points(problem).values() if not problem.excess(choice)]
    if not fitting:
        raise UsageError("no width that is the same in all layers keeps the budgets")
    return _solution(problem, min(fitting, key=problem.zeta))


def random(problem: Problem, seed: int = 0, tries: int = 200) -> Solution:
    """Layers in random order; each takes any option that leaves the others room at their cheapest. Then what is left of
    the budgets is spent, also by chance. UsageError where `tries` orders do not end within the budgets."""
    rng = chance.Random(seed)
    cheapest = {
        name: {key: min(option.costs[key] for option in options) for key in problem.budgets}
        for name, options in problem.options.items()
    }
    start = {
        key: problem.fixed.get(key, Fraction(0)) + sum((least[key] for least in cheapest.values()), Fraction(0))
        for key in problem.budgets
    }
    for _ in range(tries):
        choice: Choice = {}
        spent = dict(start)
        for name in rng.sample(list(problem.options), len(problem.options)):
            own, least = problem.options[name], cheapest[name]
            room = [
                place
                for place, option in enumerate(own)
                if all(spent[k] + option.costs[k] - least[k] <= limit for k, limit in problem.budgets.items())
                and _fits_ties(problem, choice, name, place)
            ]
            if not room:
                break
            choice[name] = rng.choice(room)
            spent = {key: spent[key] + own[choice[name]].costs[key] - least[key] for key in spent}
        if len(choice) == len(problem.options) and not problem.excess(choice):
            return _solution(problem, _spend(problem, {name: choice[name] for name in problem.options}, rng))
    raise UsageError(f"{tries} random choices did not keep the budgets; they are close to the smallest possible")


def _spend(problem: Problem, choice: Choice, rng: chance.Random) -> Choice:
    """A choice that keeps the budgets, raised: layers in random order try their options in random order and take those
    that fit and are richer, again until none is. Richer is what takes a larger share of the budgets, summed over them;
    layers that are tied to the raised one follow it and count."""
    room = {key: problem.budgets[key] - cost for key, cost in problem.costs(choice).items()}
    raised = True
    while raised:
        raised = False
        for name in rng.sample(list(problem.options), len(problem.options)):
            own = len(problem.options[name])
            for place in rng.sample(range(own), own):
                moved = _moved(problem, choice, name, place)
                more = _added(problem, choice, moved)
                fits = all(more[key] <= left for key, left in room.items())
                if fits and sum(more[key] / (limit or 1) for key, limit in problem.budgets.items()) > 0:
                    choice, raised = choice | moved, True
                    room = {key: left - more[key] for key, left in room.items()}
    return choice


def _moved(problem: Problem, choice: Choice, name: str, place: int) -> Choice:
    """What changes where a layer takes an option and those tied to it follow; nothing where they cannot."""
    try:
        after = _follow_ties(problem, choice | {name: place}, name)
    except UsageError:
        return {}
    moved = {each: new for each, new in after.items() if new != choice[each]}
    return moved if len(moved) < 2 or problem.tied(after) else {}


def _added(problem: Problem, choice: Choice, moved: Choice) -> dict[str, Fraction]:
    """What a change of some layers adds to every budget's cost."""
    return {
        key: sum(
            (problem.options[name][new].costs[key] - problem.options[name][choice[name]].costs[key]
             for name, new in moved.items()), Fraction(0))
        for key in problem.budgets
    }  # fmt: skip


def greedy(problem: Problem) -> Solution:
    """From the least zeta down: again and again the change that loses least for what it brings towards the budgets.
    UsageError where it ends before they are kept."""
    start = {name: min(range(len(own)), key=lambda i: own[i].zeta) for name, own in problem.options.items()}
    choice = _follow_ties(problem, start)
    table = _Moves(problem)
    while table.far(choice) > 0:
        choice = _first_that_helps(problem, table, choice)
    if problem.excess(choice):  # by less than floating point shows
        raise UsageError("greedy ends a rounding error above the budgets; make them a little wider")
    return _solution(problem, choice)


def _first_that_helps(problem: Problem, table: _Moves, choice: Choice) -> Choice:
    """The choice after the cheapest move that, ties followed, leads towards the budgets."""
    far = table.far(choice)
    for name, place in table.by_price(choice):
        moved = _follow_ties(problem, choice | {name: place}, name)
        if table.far(moved) < far:
            return moved
    raise UsageError("greedy ends before the budgets are kept; the method ilp says what is possible")


class _Moves:
    """Every option of every layer as floating-point rows; costs relative to the budgets, so that they can be summed."""

    def __init__(self, problem: Problem) -> None:
        self.moves = [(name, place) for name, own in problem.options.items() for place in range(len(own))]
        self._first = dict.fromkeys(problem.options, 0)
        for number, (name, place) in enumerate(self.moves):
            if place == 0:
                self._first[name] = number
        self._layer = np.repeat(np.arange(len(problem.options)), [len(own) for own in problem.options.values()])
        limits = {key: limit or Fraction(1, 10**9) for key, limit in problem.budgets.items()}
        options = [problem.options[name][place] for name, place in self.moves]
        self._zeta = np.array([option.zeta for option in options])
        self._costs = np.array([[float(o.costs[key] / limit) for key, limit in limits.items()] for o in options])
        self._fixed = np.array([float(problem.fixed.get(key, Fraction(0)) / limit) for key, limit in limits.items()])

    def far(self, choice: Choice) -> float:
        """How far a choice lies from its budgets; 0 where it keeps them, but for rounding."""
        totals = self._fixed + self._costs[self._now(choice)].sum(0)
        return float(np.where(totals > 1 + 1e-12, totals - 1, 0).sum())

    def by_price(self, choice: Choice) -> Iterator[tuple[str, int]]:
        """Moves that bring something, those that lose least for it first."""
        now = self._now(choice)
        totals = self._fixed + self._costs[now].sum(0)
        after = totals - self._costs[now][self._layer] + self._costs
        gain = np.maximum(totals - 1, 0).sum() - np.maximum(after - 1, 0).sum(1)
        price = np.where(gain > 0, (self._zeta - self._zeta[now][self._layer]) / np.where(gain > 0, gain, 1), np.inf)
        for number in np.argsort(price, kind="stable"):
            if not np.isfinite(price[number]):
                return
            yield self.moves[number]

    def _now(self, choice: Choice) -> NDArray[np.intp]:
        return np.array([self._first[name] + place for name, place in choice.items()])


def _fits_ties(problem: Problem, choice: Choice, name: str, place: int) -> bool:
    own = problem.options[name][place]
    return all(
        problem.options[other][choice[other]].bits(tie.kind) == own.bits(tie.kind)
        for tie in problem.ties
        if name in tie.call_sites
        for other in tie.call_sites
        if other in choice
    )


def _follow_ties(problem: Problem, choice: Choice, leader: str | None = None) -> Choice:
    """Layers tied to the leader (or to the first of each tie) take its bits, and of those options the one with least
    zeta that keeps the other kind's bits where it can."""
    result, waiting = dict(choice), [leader] if leader else [tie.call_sites[0] for tie in problem.ties]
    done: set[str] = set()
    while waiting:
        lead = waiting.pop()
        if lead in done:
            continue
        done.add(lead)
        for tie in problem.ties:
            if lead not in tie.call_sites:
                continue
            bits = problem.options[lead][result[lead]].bits(tie.kind)
            for name in tie.call_sites:
                own = problem.options[name]
                if name in done or own[result[name]].bits(tie.kind) == bits:
                    continue
                other = next(kind for kind in KINDS if kind != tie.kind)
                kept = own[result[name]].bits(other)
                legal = [i for i, option in enumerate(own) if option.bits(tie.kind) == bits]
                if not legal:
                    raise UsageError(f"{name} has no option with {bits} bits, which its tie asks for")
                result[name] = min(legal, key=lambda i: (own[i].bits(other) != kept, own[i].zeta))
                waiting.append(name)
    return result


def _solution(problem: Problem, choice: Choice) -> Solution:
    return Solution(choice, problem.zeta(choice), problem.costs(choice))
