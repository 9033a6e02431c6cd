"""Plans under budgets by every method, predicted and measured: results/front.tsv, a row as soon as it is there.

Methods: uniform; the integer programme with bits per layer (ilp) and per channel (channels); greedy; random; the
differentiable search. Budgets are mean weight bits (inputs then have 8 everywhere) and shares of W7A8's bit operations.
Plans that are there already are left alone: run it again to go on. --qat trains the plans that are there and measures
them again. Scores, calibration and training use one part of the training clips, zeta_meas the other.

usage: measure_front.py CHECKPOINT --table ANALYSIS --train DIR --work DIR --out results/front.tsv [--qat RECIPE]
"""

from __future__ import annotations

import argparse
import datetime
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from clips_apart import halves
from provenance import comment

from quaver.errors import UsageError
from quaver.evaluate.points import read_table, write_table
from quaver.lab.allocate import baselines, programme
from quaver.lab.allocate.command import Allocation, prepare
from quaver.lab.allocate.measured import observed
from quaver.lab.allocate.problem import Problem, Solution
from quaver.lab.allocate.prune import pruned_outputs
from quaver.lab.allocate.scores import Scores
from quaver.lab.allocate.search import SearchConfig
from quaver.lab.allocate.search_command import Searcher
from quaver.lab.analyse.clips import choose_clips
from quaver.lab.analyse.estimate import amplification
from quaver.lab.analyse.quaver_adapter import QuaverAdapter
from quaver.lab.analyse.score import float_curves, score
from quaver.lab.analyse.table import SensitivityTable
from quaver.lab.costs.codec import codec_layers
from quaver.lab.costs.measure import Timing, graph_ms, skeleton_entry
from quaver.lab.costs.workload import Workload
from quaver.lab.data.cache import build_cache
from quaver.lab.lower.model import bring_to, layer_inputs, lower
from quaver.lab.models.codec import Codec
from quaver.lab.models.weights import read_codec, weights_hash
from quaver.lab.models.wiring import wiring
from quaver.lab.quant.plan import LayerPlan, QuantPlan
from quaver.lab.train.loop import sequence_at, train
from quaver.lab.train.recipes import Stage, load_recipe
from quaver.runtime.model import IntegerModel, load_model

HEADER = (
    "plan_hash", "method", "budget", "avg_wbits", "bytes", "bops", "ms_pred", "ms_meas", "zeta_pred", "zeta_meas",
    "stderr", "bd_rate", "qat_steps", "seed", "model_hash", "date",
)  # fmt: skip
WORKLOAD = Workload()
BITS = ("4", "3", "5", "6", "3.5")
SHARES = ("50%", "65%", "80%")
TIMES = ("95%", "93%")
RANDOM = 3
CALIBRATION = Stage("calibration", 4, 3, size=128, batch=2, encoder=True)


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


class Bench:
    """What all plans share: weights, clips, the float baseline, what layers read."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.checkpoint, self.skeleton = arguments.checkpoint, load_model("skeleton")
        cache = build_cache(arguments.train, arguments.cache or arguments.work / "clips", arguments.exclude)
        self.to_use, apart = halves(cache)
        self.apart = choose_clips(apart, 6, 8, 128)
        codec = self.codec()
        self.sites, self.model_hash = list(wiring(codec)), weights_hash(codec)
        self.baseline = float_curves(codec, self.apart)
        sequences = [sequence_at(self.to_use, 0, CALIBRATION, step) for step in range(CALIBRATION.steps)]
        self.inputs = layer_inputs(codec, sequences, CALIBRATION)
        self.timing = Timing(2, 9)
        self._skeleton_ms = sum(
            float(row.share) * skeleton_entry(row, self.timing).ms
            for row in _skeleton_rows()
        )  # fmt: skip

    def codec(self) -> Codec:
        return read_codec(self.checkpoint, self.skeleton)

    def quantized(self, plan: QuantPlan) -> Codec:
        codec = self.codec()
        bring_to(codec, plan, self.inputs)
        return codec

    def trained(self, plan: QuantPlan, recipe: str, folder: Path) -> Codec:
        out = folder / f"qat-{plan.hash}"
        return train(load_recipe(recipe), self.to_use, self.skeleton, out, True, self.checkpoint, plan=plan)

    def ms(self, model: IntegerModel) -> float:
        """Of a mean frame at 640x360 that is decoded: whole networks, and the skeleton's steps; of one thread."""
        networks = [(key, graph) for key, graph in model.graphs.items() if WORKLOAD.share(key)]
        each = (float(WORKLOAD.share(key)) * graph_ms(graph, WORKLOAD.map(key), self.timing) for key, graph in networks)
        return self._skeleton_ms + sum(each)


def _skeleton_rows() -> Iterator[Any]:
    from quaver.lab.costs import fixed

    return (row for row in fixed.skeleton(WORKLOAD) if row.share)


def plans(bench: Bench, arguments: argparse.Namespace) -> Iterator[Wanted]:
    """In the order of what a table that ends early should hold."""
    table = arguments.table is not None
    searcher = Searcher(bench.codec(), choose_clips(bench.to_use, 12, 3, 64, 1), WORKLOAD)
    for number, bits in enumerate(BITS):
        if "." not in bits:
            yield uniform(bench, int(bits), 8, f"avg_bits={bits}")
        if table:
            yield from allocated(arguments, f"avg_bits={bits}", RANDOM if number < 3 else 1)
        if arguments.search:
            yield searched(searcher, f"avg_bits={bits}")
    for share, widths in zip(SHARES, ((4, 5), (5, 6), (5, 8)), strict=True):
        yield uniform(bench, *widths, f"bops={share}")
        if table:
            yield from allocated(arguments, f"bops={share}", 1)
        if arguments.search:
            yield searched(searcher, f"bops={share}")
    yield uniform(bench, 7, 8, "")
    if table:
        yield from (pruned(bench, arguments, f"ms={share}") for share in TIMES)


def uniform(bench: Bench, w: int, a: int, budget: str) -> Wanted:
    return Wanted(f"uniform W{w}A{a}", budget, 0, lambda: QuantPlan.uniform(bench.sites, w, a))


def allocated(arguments: argparse.Namespace, budget: str, chances: int) -> Iterator[Wanted]:
    """Of the programme, greed and chance under one budget, and with bits per channel at the programme's size and bit
    operations."""

    def allocation(*budgets: str, channels: int = 0) -> Allocation:
        found = prepare(arguments.table, arguments.checkpoint, list(budgets), channel_points=channels)
        return with_unscored(found, fewest(budget))

    def plan(found: Allocation, method: str, solver: Callable[[Problem], Solution]) -> QuantPlan:
        problem = found.problem
        if budget.startswith("avg_bits"):
            problem = wide_inputs(problem)
        return found.plan(problem, solver(problem), method)

    def per_channel() -> QuantPlan:
        whole = plan(allocation(budget), "ilp", solve).predicted
        limits = [f"bytes={int(whole['bytes'])}", f"bops={int(whole['bops'])}"]
        return plan(allocation(*limits, channels=8), "channels", solve)

    yield Wanted("ilp", budget, 0, lambda: plan(allocation(budget), "ilp", solve))
    for seed in range(chances):
        yield Wanted("random", budget, seed, lambda seed=seed: plan(  # type: ignore[misc]
            allocation(budget), "random", lambda problem: baselines.random(problem, seed)))  # fmt: skip
    yield Wanted("greedy", budget, 0, lambda: plan(allocation(budget), "greedy", baselines.greedy))
    if arguments.channels:
        yield Wanted("channels", budget, 0, per_channel)


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
        found = prepare(arguments.table, arguments.checkpoint, [budget], channel_points=0)
        choices, clips = found.choices, choose_clips(bench.to_use, 2, 8, 96, 1)
        sites = {site for site, kind, _ in choices.scores.layers if kind == "w"}
        zeta_at = {site: choices.scores.layers[site, "w", 7] for site in sites}
        gains, common = amplification(SensitivityTable.load(arguments.table))
        gains = {layer.network: gains.get(layer.network, common) for layer in choices.layers}
        adapter = QuaverAdapter(found.codec, (20, 44))
        options = pruned_outputs(adapter, clips, choices.layers, (1 / 6, 1 / 3, 1 / 2), zeta_at, gains)
        found = replace(found, choices=replace(choices, candidates=options))
        problem = found.problem
        return found.plan(problem, solve(problem), "ilp pruned")

    return Wanted("ilp pruned", budget, 0, make)


def wide_inputs(problem: Problem) -> Problem:
    """Only options whose inputs have 8 bits: the budget is of weights."""
    options = {
        name: [option for option in own if option.plan.activation_bits == 8] for name, own in problem.options.items()
    }
    return replace(problem, options=options)


def predicted(scores: Scores, plan: QuantPlan) -> float | None:
    """The sum of what the layers of a plan lose by themselves; None for bits that were not scored."""
    if not scores.layers:
        return None
    if "zeta" in plan.predicted:
        return plan.predicted["zeta"]
    total = 0.0
    for site, layer in plan.layers.items():
        for kind, bits in (("w", layer.weight_bits), ("a", layer.activation_bits)):
            if (site, kind, bits) in scores.layers:
                total += scores.layers[site, kind, bits]  # type: ignore[index]
            elif scores.bits(site, kind):
                return None
    return total


def measured(bench: Bench, wanted: Wanted, plan: QuantPlan, allocation: Allocation, recipe: str | None, work: Path):
    """A row."""
    codec = bench.quantized(plan) if recipe is None else bench.trained(plan, recipe, work)
    steps = 0 if recipe is None else load_recipe(recipe).steps
    found = score(codec, bench.apart, bench.baseline)
    costs = allocation.costs(plan)
    zeta = predicted(allocation.choices.scores, plan)
    ms = bench.ms(lower(codec, "plan"))
    return (
        plan.hash, wanted.method, wanted.budget, f"{costs['avg_bits']:.3f}", f"{costs['bytes']:.0f}",
        f"{costs['bops']:.0f}", f"{costs['ms']:.3f}", f"{ms:.3f}", "" if zeta is None else f"{zeta:.5f}",
        f"{found.zeta:.5f}", f"{found.stderr:.5f}", "", steps, wanted.seed, bench.model_hash[:16],
        datetime.date.today(),
    )  # fmt: skip


def fill(out: Path, folder: Path, scores: Scores) -> None:
    """Predictions of plans that were measured before there was a table."""
    rows = read_table(out)
    for row in rows:
        path = folder / file_name((row["method"], row["budget"], row["seed"]))
        if not row["zeta_pred"] and path.exists():
            zeta = predicted(scores, QuantPlan.load(path))
            row["zeta_pred"] = "" if zeta is None else f"{zeta:.5f}"
    if rows:
        write_table(out, HEADER, [tuple(row.values()) for row in rows], comment())


def file_name(key: tuple[str, str, str]) -> str:
    return "-".join(key).replace(" ", "-").replace("%", "") + ".json"


def unscored(bench: Bench, arguments: argparse.Namespace) -> Allocation:
    """Costs alone, while there is no table."""
    from quaver.lab.allocate.options import Choices
    from quaver.lab.costs.codec import skeleton_bytes
    from quaver.lab.costs.profile import load_profile

    codec, profile = bench.codec(), load_profile("onnx-cpu")
    choices = Choices(codec_layers(codec, WORKLOAD), Scores("", {}), profile, skeleton_bytes(bench.skeleton))
    return Allocation(codec, choices, profile, {})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--table", type=Path, default=None)
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=None)
    parser.add_argument("--exclude", action="append", default=[])
    parser.add_argument("--channels", action="store_true", help="also bits per channel; the table must score channels")
    parser.add_argument("--search", action="store_true", help="also the differentiable search")
    parser.add_argument("--methods", default="", help="only these, with commas; for a worker beside others")
    parser.add_argument("--budgets", default="", help="only those that begin so, such as bops")
    parser.add_argument("--qat", default=None, help="train the plans that are there, and measure them again")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.work.mkdir(parents=True, exist_ok=True)
    bench = Bench(arguments)
    allocation = unscored(bench, arguments) if arguments.table is None else prepare(
        arguments.table, arguments.checkpoint, [], channel_points=0
    )  # fmt: skip
    if arguments.table is not None:
        fill(arguments.out, arguments.work, allocation.choices.scores)
    while one_pass(bench, arguments, allocation) and arguments.qat is not None:
        pass  # other workers may have made plans meanwhile


def one_pass(bench: Bench, arguments: argparse.Namespace, allocation: Allocation) -> int:
    """Rows that were not there; how many."""
    steps, made = "0" if arguments.qat is None else str(load_recipe(arguments.qat).steps), 0
    for wanted in plans(bench, arguments):
        rows = read_table(arguments.out)
        known = {(row["method"], row["budget"], row["seed"]) for row in rows if row["qat_steps"] == steps}
        path = arguments.work / file_name(wanted.key)
        chosen = not arguments.methods or wanted.method.split()[0] in arguments.methods.split(",")
        if wanted.key in known or not chosen or not wanted.budget.startswith(arguments.budgets):
            continue
        if arguments.qat is not None and not path.exists():
            continue
        try:
            plan = QuantPlan.load(path) if path.exists() else replace(wanted.make(), model_hash=bench.model_hash)
        except UsageError as error:
            print(*wanted.key, "no plan:", error, flush=True)
            continue
        plan.save(path)
        row = measured(bench, wanted, plan, allocation, arguments.qat, arguments.work)
        write_table(arguments.out, HEADER, [*(tuple(each.values()) for each in rows), row], comment())
        print(*row, sep="\t", flush=True)
        made += 1
    return made


if __name__ == "__main__":
    main()
