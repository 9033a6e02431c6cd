"""How long the integer programme takes on problems of a codec's size, and whether it is right: results/allocation.tsv.

Large problems: --layers layers of 30 options under three budgets at a share of the way from the least to the most, one
for each seed, solved within the default time and within --patience. proven: those with gap 0; gap_worst: how far above
its bound the worst answer may be, in per cent. clock and cpu: seconds; the limit is of the clock, so on a crowded core
fewer are proven in it, while the processor's seconds to the proof hardly change. greedy_median: how far greedy descent
lies above the answer, in per cent.

Small problems: --small random ones of 2 to 5 layers with up to 6 options, every budget by itself, ties and pair terms
in half of them each, against trying every choice. equal: the same zeta, to 1e-9, or both find none possible
(impossible).

usage: measure_allocation.py --out results/allocation.tsv [--seeds 10] [--small 500]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
from provenance import comment

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from lab.allocate.problems import KEYS, legal_choices, network, within
from quaver.errors import UsageError
from quaver.evaluate.points import write_table
from quaver.lab.allocate.baselines import greedy
from quaver.lab.allocate.problem import Pair, Problem, Solution, Tie
from quaver.lab.allocate.programme import solve

HEADER = (
    "problems", "count", "limit_s", "clock_median", "clock_worst", "cpu_median", "cpu_worst", "proven", "gap_worst",
    "greedy_median", "equal", "impossible",
)  # fmt: skip
LIMIT = 4.0  # seconds, the default of `solve`


def small(seed: int) -> Problem:
    """A problem whose every choice can be tried."""
    rng = np.random.default_rng(seed)
    options = {
        name: [own[place] for place in rng.choice(len(own), int(rng.integers(1, 7)), replace=False)]
        for name, own in network(int(rng.integers(2, 6)), seed).items()
    }
    ends = [within(options, Fraction(end)) for end in (0, 1)]
    share = {key: Fraction(int(rng.integers(1, 11)), 10) for key in KEYS}
    budgets = {key: ends[0][key] + (ends[1][key] - ends[0][key]) * share[key] for key in KEYS}
    first, second, *_ = options
    ties, pairs = (), list[Pair]()
    if rng.random() < 0.5:
        ties = (Tie("wa"[rng.integers(2)], (first, second)),)
    if rng.random() < 0.5:
        size = max(option.zeta for option in options[first])
        for _ in range(3):
            w, other = (int(bits) for bits in rng.integers(2, 8, 2))
            pairs.append(Pair((first, "w", w), (second, "w", other), float(rng.normal()) * size))
    return Problem(options, budgets, {KEYS[0]: Fraction(7)}, ties, tuple(pairs))


def right(problem: Problem) -> tuple[bool, bool]:
    """(as good as the best of all choices, whether there is none)"""
    best = min((problem.zeta(choice) for choice in legal_choices(problem)), default=None)
    try:
        found = solve(problem)
    except UsageError:
        return best is None, best is None
    legal = not problem.excess(found.choice) and problem.tied(found.choice)
    return best is not None and legal and abs(found.zeta - best) <= 1e-9, False


def timed(problem: Problem, limit: float) -> tuple[Solution, float, float]:
    """An answer, and its seconds by the clock and of the processor."""
    clock, processor = time.perf_counter(), time.process_time()
    found = solve(problem, limit)
    return found, time.perf_counter() - clock, time.process_time() - processor


def large(layers: int, share: Fraction, seeds: int, limit: float) -> list[object]:
    """A row of the table."""
    clocks, processors, gaps, above = [], [], [], []
    for seed in range(seeds):
        options = network(layers, seed)
        problem = Problem(options, within(options, share))
        found, clock, processor = timed(problem, limit)
        assert not problem.excess(found.choice)
        clocks.append(clock)
        processors.append(processor)
        gaps.append(found.gap)
        above.append(greedy(problem).zeta / found.zeta - 1)
    figures = [statistics.median(clocks), max(clocks), statistics.median(processors), max(processors)]
    named = f"{layers} layers x 30 options x 3 budgets at {float(share):.0%}"
    proven = sum(gap == 0 for gap in gaps)
    shares = f"{100 * max(gaps):.4f}", f"{100 * statistics.median(above):.2f}"
    return [named, seeds, f"{limit:g}", *(f"{value:.2f}" for value in figures), proven, *shares, "", ""]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--layers", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--small", type=int, default=500)
    parser.add_argument("--patience", type=float, default=30.0, help="seconds, in place of the default")
    arguments = parser.parse_args()
    note, rows = comment(), list[list[object]]()

    def add(row: list[object]) -> None:
        rows.append(row)
        print(*row, sep="\t", flush=True)

    outcomes = [right(small(seed)) for seed in range(arguments.small)]
    equal, impossible = (sum(outcome[place] for outcome in outcomes) for place in (0, 1))
    add(["2 to 5 layers x 1 to 6 options x 3 budgets", arguments.small, f"{LIMIT:g}", *[""] * 7, equal, impossible])
    for share in (Fraction(3, 10), Fraction(1, 2), Fraction(7, 10)):
        for limit in (LIMIT, arguments.patience):
            add(large(arguments.layers, share, arguments.seeds, limit))
    write_table(arguments.out, HEADER, rows, note)


if __name__ == "__main__":
    main()
