"""From measured losses of patch classes to a table, by the integer programme, and tables to compare it with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from quaver.errors import UsageError
from quaver.lab.allocate import baselines
from quaver.lab.allocate.budgets import parse_budgets
from quaver.lab.allocate.patch_scores import Loss, PatchScores
from quaver.lab.allocate.problem import Option, Problem
from quaver.lab.allocate.programme import solve
from quaver.lab.allocate.scores import Scores
from quaver.lab.quant.plan import FLOAT
from quaver.runtime.graph import Concat, IntegerGraph
from quaver.runtime.model import IntegerModel
from quaver.runtime.patches import FULL, NETWORKS, PatchTable

METHODS = ("ilp", "uniform", "random")
BUDGETS = ("avg_bits", "bops")
_POSITIONS = {"inter.loop": 4 * 4}  # of a network's map in an 8x8 block, where that is not 1
_DRAWS = 40
_BELIEVED = 2  # standard errors beyond which a gain from leaving networks out counts


@dataclass(frozen=True)
class Operations:
    """Of a network per 8x8 block: multiplications in all, and those of the layers that read its ports."""

    macs: int
    first: int

    @classmethod
    def of(cls, name: str, graph: IntegerGraph) -> Operations:
        ports = {port.name for port in graph.inputs}
        ports |= {node.output for node in graph.nodes if isinstance(node, Concat) and ports.issuperset(node.inputs)}
        first = sum(conv.weight.size for conv in graph.convolutions() if conv.input in ports)
        positions = _POSITIONS.get(name, 1)
        return cls(positions * graph.macs(), positions * first)

    def bops(self, bits: int) -> int:
        """With 7-bit weights: the first layers at `bits`, the others at 8; none where nothing is read."""
        return 7 * (self.first * bits + (self.macs - self.first) * FULL) if bits else 0


@dataclass(frozen=True)
class Allocation:
    """table: bits of each class and network. predicted: the sum of measured losses. costs: `BUDGETS`, means over the
    patches that were measured: avg_bits of the inputs, networks weighed by their multiplications; bops per luma
    sample."""

    table: PatchTable
    predicted: float
    costs: Mapping[str, float]


def allocate(
    scores: PatchScores, model: IntegerModel, budgets: Iterable[str], method: str = "ilp", seed: int = 0
) -> Allocation:
    """The table with the least predicted loss within `budgets`, such as avg_bits=6 or bops=70%; or a baseline.
    UsageError where they cannot be kept."""
    if method not in METHODS:
        raise UsageError(f"method {method!r}: legal are {', '.join(METHODS)}")
    if scores.model_hash != model.hash.hex():
        raise UsageError(f"the scores are of another model ({scores.model_hash[:16]}) than {model.name!r}")
    problem, bits = _problem(scores, model, tuple(budgets))
    if method == "uniform":
        return _uniform(problem, bits, scores)
    choice = _random(problem, seed) if method == "random" else dict(solve(problem).choice)
    return _allocation(problem, bits, scores, choice)


def believed(scores: PatchScores) -> dict[tuple[int, str, int], float]:
    """zeta as the programme may use it: among 1 to 8 bits never negative and never growing with bits; of 0 bits, where
    the networks do not run at all, what was measured unless it is a gain that noise may have made."""
    narrow = {(f"{c} {name}", "a", bits): each.zeta for (c, name, bits), each in scores.losses.items() if bits}
    narrow |= {(site, kind, FULL): 0.0 for site, kind, _ in narrow}
    smooth = Scores(scores.model_hash, narrow).smoothed().layers
    found = {}
    for (c, name, bits), each in scores.losses.items():
        found[c, name, bits] = smooth[f"{c} {name}", "a", bits] if bits else _without(each)
    return found


def _without(loss: Loss) -> float:
    return loss.zeta if loss.zeta < -_BELIEVED * loss.stderr else max(0.0, loss.zeta)


Widths = dict[str, list[int]]  # bits of each option, by the option's name


def _problem(scores: PatchScores, model: IntegerModel, budgets: tuple[str, ...]) -> tuple[Problem, Widths]:
    """Options are named "class network"."""
    operations = {name: Operations.of(name, model.graphs[name]) for name in NETWORKS}
    macs = sum(each.macs for each in operations.values())
    block = 64  # luma samples
    full = {"avg_bits": Fraction(FULL), "bops": Fraction(sum(o.bops(FULL) for o in operations.values()), block)}
    limits = parse_budgets(budgets, full)
    for key in limits:
        if key not in BUDGETS:
            raise UsageError(f"budget {key!r}: of patches {' and '.join(BUDGETS)} are known")
    zeta = believed(scores)
    options: dict[str, list[Option]] = {}
    bits: Widths = {}
    for c, count in enumerate(scores.counts):
        if not count:
            continue
        share = Fraction(count, sum(scores.counts))
        for name, own in operations.items():
            key = f"{c} {name}"
            bits[key] = [*scores.widths, FULL]
            options[key] = []
            for b in bits[key]:
                costs = {
                    "avg_bits": share * own.macs * b / macs,
                    "bops": share * own.bops(b) / block,
                }
                options[key].append(Option(FLOAT, zeta.get((c, name, b), 0.0), costs))
    return Problem(options, limits | {key: 2 * full[key] for key in BUDGETS if key not in limits}), bits


def _uniform(problem: Problem, bits: Widths, scores: PatchScores) -> Allocation:
    """The most bits for all that keep the budgets."""
    for place in reversed(range(len(next(iter(bits.values()))))):
        choice = dict.fromkeys(bits, place)
        if not problem.excess(choice):
            return _allocation(problem, bits, scores, choice)
    raise UsageError("no bits that are the same for all classes keep the budgets")


def _random(problem: Problem, seed: int) -> dict[str, int]:
    """Of random choices within the budgets the one that is closest to them."""
    tried = (baselines.random(problem, seed * _DRAWS + number) for number in range(_DRAWS))
    return dict(max(tried, key=lambda s: max(s.costs[key] / limit for key, limit in problem.budgets.items())).choice)


def _allocation(problem: Problem, bits: Widths, scores: PatchScores, choice: Mapping[str, int]) -> Allocation:
    table = np.full((len(scores.counts), len(NETWORKS)), FULL, np.uint8)
    for key, place in choice.items():
        c, _, name = key.partition(" ")
        table[int(c), NETWORKS.index(name)] = bits[key][place]
    costs = {key: float(value) for key, value in problem.costs(choice).items()}
    return Allocation(PatchTable(scores.thresholds, table), problem.zeta(choice), costs)
