"""Small random programmes, and every choice of them."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import product

import numpy as np
from hypothesis import strategies as st

from quaver.lab.allocate.problem import Option, Pair, Problem, Tie
from quaver.lab.quant.plan import LayerPlan

KEYS = ("bytes", "bops", "ms")


@st.composite
def problems(draw: st.DrawFn, ties: bool = False, pairs: bool = False) -> Problem:
    """Up to 4 layers of up to 4 options; budgets between the least and the most."""
    names = [f"l{i}" for i in range(draw(st.integers(2, 4)))]
    keys = KEYS[: draw(st.integers(1, 3))]
    cost = st.integers(0, 50).map(lambda n: Fraction(n, 3))
    widths = st.tuples(st.sampled_from([2, 3, 4]), st.sampled_from([4, 8]))
    options = {
        name: [
            Option(LayerPlan(*bits), draw(st.integers(0, 100)) / 100, {key: draw(cost) for key in keys})
            for bits in draw(st.lists(widths, min_size=1, max_size=4))
        ]
        for name in names
    }
    budgets = {}
    for key in keys:
        least, most = (sum(pick(o.costs[key] for o in own) for own in options.values()) for pick in (min, max))
        budgets[key] = least + (most - least) * Fraction(draw(st.integers(-1, 10)), 10)
    tied = (Tie(draw(st.sampled_from("wa")), (names[0], names[1])),) if ties else ()
    terms = ()
    if pairs:
        side = st.tuples(st.just("w"), st.sampled_from([2, 3, 4]))
        terms = tuple(
            Pair((names[0], *draw(side)), (names[1], *draw(side)), draw(st.integers(-50, 50)) / 100) for _ in range(3)
        )
    return Problem(options, budgets, {keys[0]: Fraction(draw(st.integers(0, 3)))}, tied, terms)


def legal_choices(problem: Problem) -> Iterator[dict[str, int]]:
    """Ties and budgets kept."""
    for places in product(*(range(len(own)) for own in problem.options.values())):
        choice = dict(zip(problem.options, places, strict=True))
        if problem.tied(choice) and not problem.excess(choice):
            yield choice


def network(layers: int, seed: int) -> dict[str, list[Option]]:
    """As a codec has them: sizes over two orders of magnitude, zeta that falls fourfold per bit with 30 % noise, 6 x 5
    widths, times that hardly depend on these."""
    rng = np.random.default_rng(seed)
    options = {}
    for number in range(layers):
        macs, weights = int(rng.lognormal(15, 1)), int(rng.lognormal(9, 1))
        of_weights, of_inputs = rng.lognormal(-1, 1.5), rng.lognormal(0, 1.5)
        own = []
        for w, a in product(range(2, 8), range(4, 9)):
            noise = rng.lognormal(0, 0.3, 2)
            zeta = of_weights * 4.0**-w * noise[0] + of_inputs * 4.0**-a * noise[1]
            ms = macs / 1e8 * (1 + 0.1 * (a < 8)) * (0.8 + 0.2 * rng.random())
            costs = {"bytes": Fraction(weights * w // 8), "bops": Fraction(macs * w * a), "ms": Fraction(ms)}
            own.append(Option(LayerPlan(w, a), float(zeta), costs))
        options[f"l{number}"] = own
    return options


def within(options: dict[str, list[Option]], share: Fraction) -> dict[str, Fraction]:
    """Budgets at a share of the way from the least to the most."""
    ends = [
        {key: sum((pick(o.costs[key] for o in own) for own in options.values()), Fraction(0)) for key in KEYS}
        for pick in (min, max)
    ]
    return {key: ends[0][key] + (ends[1][key] - ends[0][key]) * share for key in KEYS}
