"""The plans of a front: by every method, under every budget, in the order in which they are made."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from front_bench import WORKLOAD, Bench

from quaver.lab.allocate import baselines, programme
from quaver.lab.allocate.candidates import CLIPS, with_pruned
from quaver.lab.allocate.command import Allocation, prepare
from quaver.lab.allocate.measured import observed
from quaver.lab.allocate.problem import Problem, Solution
from quaver.lab.allocate.search import SearchConfig
from quaver.lab.allocate.search_command import Searcher
from quaver.lab.analyse.clips import choose_clips
from quaver.lab.analyse.quaver_adapter import QuaverAdapter
from quaver.lab.costs.codec import codec_layers
from quaver.lab.quant.plan import LayerPlan, QuantPlan

BITS = ("4", "3", "5", "6", "3.5")
SHARES = ("50%", "65%", "80%")
TIMES = ("95%", "93%")
PRICES = (0.03, 0.1, 0.3, 1.0)  # of bit operations
GROUP_PRICES = (0.003, 0.03, 0.3, 3.0)  # mu, of groups' operations, at the second of these


@dataclass(frozen=True)
class Wanted:
    """A plan to make: `make` is called when it is its turn."""

    method: str
    budget: str
    seed: int
    make: Callable[[], QuantPlan]

    @property
    def key(self) -> tuple[str, str, str]:
        return self.method, self.budget, str(self.seed)


def plans(bench: Bench, arguments: argparse.Namespace) -> Iterator[Wanted]:
    """In the order of what a table that ends early should hold."""
    table = arguments.table is not None
    searcher = Searcher(bench.codec(), choose_clips(bench.to_use, 12, 3, 64, 1), WORKLOAD)
    for bits in BITS:
        if "." not in bits:
            yield uniform(bench, int(bits), 8, f"avg_bits={bits}")
        if table:
            yield from allocated(arguments, f"avg_bits={bits}")
        if arguments.search:
            yield searched(searcher, f"avg_bits={bits}")
    for share, widths in zip(SHARES, ((4, 5), (5, 6), (5, 8)), strict=True):
        yield uniform(bench, *widths, f"bops={share}")
        if table:
            yield from allocated(arguments, f"bops={share}")
        if arguments.search:
            yield searched(searcher, f"bops={share}")
    if arguments.search:
        yield from (priced(searcher, price) for price in PRICES)
        yield from (priced(searcher, PRICES[1], groups) for groups in GROUP_PRICES)
    yield uniform(bench, 7, 8, "")
    if table:
        yield from (pruned(bench, arguments, f"ms={share}") for share in TIMES)


def uniform(bench: Bench, w: int, a: int, budget: str) -> Wanted:
    return Wanted(f"uniform W{w}A{a}", budget, 0, lambda: QuantPlan.uniform(bench.sites, w, a))


def allocated(arguments: argparse.Namespace, budget: str) -> Iterator[Wanted]:
    """Of the programme, greed and chance under one budget, and with bits per channel at the programme's size and bit
    operations."""

    def allocation(*budgets: str, channels: int = 0) -> Allocation:
        found = prepare(
            arguments.table, arguments.checkpoint, list(budgets), arguments.profile, channel_points=channels
        )
        return with_unscored(found, fewest(budget))

    def plan(found: Allocation, method: str, solver: Callable[[Problem], Solution]) -> QuantPlan:
        problem = found.problem
        if budget.startswith("avg_bits"):
            problem = wide_inputs(problem)
        return found.plan(problem, solver(problem), method)

    def per_channel(shuffled: bool = False) -> QuantPlan:
        whole = plan(allocation(budget), "ilp", solve).predicted
        limits = [f"bytes={int(whole['bytes'])}", f"bops={int(whole['bops'])}"]
        found = allocation(*limits, channels=8)
        return plan(with_shuffled(found) if shuffled else found, "channels", solve)

    yield Wanted("ilp", budget, 0, lambda: plan(allocation(budget), "ilp", solve))
    for seed in range(arguments.draws):
        yield Wanted("random", budget, seed, lambda seed=seed: plan(  # type: ignore[misc]
            allocation(budget), "random", lambda problem: baselines.random(problem, seed)))  # fmt: skip
    yield Wanted("greedy", budget, 0, lambda: plan(allocation(budget), "greedy", baselines.greedy))
    if arguments.channels:
        yield Wanted("channels", budget, 0, per_channel)
        yield Wanted("shuffled", budget, 0, lambda: per_channel(shuffled=True))


def solve(problem: Problem) -> Solution:
    """With time for the proof: the limit is of the clock, and this machine is busy."""
    return programme.solve(problem, 90.0)


def fewest(budget: str) -> int:
    """Weight bits of layers that no clip calls, such as the motion estimator's: as many as uniform plans give them, or
    the comparison would be of budgets."""
    return int(float(budget.partition("=")[2])) if budget.startswith("avg_bits") else 7


def with_unscored(found: Allocation, bits: int) -> Allocation:
    only = {site: [(LayerPlan(bits, 8), 0.0)] for site in found.unscored}
    return replace(found, choices=replace(found.choices, candidates=only))


def with_shuffled(found: Allocation) -> Allocation:
    """The control of bits per channel: every layer's channels have each other's scores, at all widths alike."""
    rng, scores = np.random.default_rng(0), found.choices.scores
    channels = {}
    for key, widths in scores.channels.items():
        order = rng.permutation(len(next(iter(widths.values()))))
        channels[key] = {bits: tuple(np.array(values)[order].tolist()) for bits, values in widths.items()}
    return replace(found, choices=replace(found.choices, scores=replace(scores, channels=channels)))


def priced(searcher: Searcher, price: float, groups: float | None = None) -> Wanted:
    """A point of the front that the search's lambda_c draws; with groups of channels in the same search, at mu."""
    config = SearchConfig(steps=120, cost_price=price, group_price=groups)
    if groups is None:
        return Wanted("search", f"price={price:g}", 0, lambda: searcher.plan(config))
    return Wanted("search groups", f"price={price:g} mu={groups:g}", 0, lambda: searcher.plan(config))


def searched(searcher: Searcher, budget: str) -> Wanted:
    config = SearchConfig(steps=120)
    if not budget.startswith("avg_bits"):
        return Wanted("search", budget, 0, lambda: searcher.plan(config, [budget]))

    def weights_alone() -> QuantPlan:
        rows = [row for row in codec_layers(searcher.codec, WORKLOAD) if row.planned]
        called = set(observed(QuaverAdapter(searcher.codec), searcher.clips, [row.call_site for row in rows]))
        others = [row for row in rows if row.call_site not in called]
        bits = fewest(budget)
        wider = (7 - bits) * sum(row.weights for row in others) / sum(row.weights for row in rows)
        limit = f"avg_bits={float(budget.partition('=')[2]) + wider:.6f}"
        found = searcher.plan(replace(config, activation_bits=range(7, 9)), [limit])
        layers = {name: replace(layer, activation_bits=8) for name, layer in found.layers.items()}
        return replace(found, layers=layers | {row.call_site: LayerPlan(bits, 8) for row in others}, predicted={})

    return Wanted("search", budget, 0, weights_alone)


def pruned(bench: Bench, arguments: argparse.Namespace, budget: str) -> Wanted:
    """Channels that the programme prunes to keep a budget of milliseconds."""

    def make() -> QuantPlan:
        found = prepare(arguments.table, arguments.checkpoint, [budget], arguments.profile, channel_points=0)
        found = with_pruned(found, choose_clips(bench.to_use, *CLIPS, 1), (1 / 6, 1 / 3, 1 / 2))
        problem = found.problem
        return found.plan(problem, solve(problem), "ilp pruned")

    return Wanted("ilp pruned", budget, 0, make)


def wide_inputs(problem: Problem) -> Problem:
    """Only options whose inputs have 8 bits: the budget is of weights."""
    options = {
        name: [option for option in own if option.plan.activation_bits == 8] for name, own in problem.options.items()
    }
    return replace(problem, options=options)
