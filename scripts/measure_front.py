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
import statistics
from dataclasses import replace
from pathlib import Path

import torch
from front_bench import WORKLOAD, Bench
from front_plans import Wanted, plans
from provenance import comment
from training_clips import study_parser

from quaver.errors import UsageError
from quaver.evaluate.points import read_table, write_table
from quaver.lab.allocate.command import Allocation, prepare
from quaver.lab.allocate.scores import Scores
from quaver.lab.analyse.score import score
from quaver.lab.costs.codec import codec_layers
from quaver.lab.lower.model import lower
from quaver.lab.quant.plan import QuantPlan
from quaver.lab.train.recipes import load_recipe

HEADER = (
    "plan_hash", "method", "budget", "avg_wbits", "mean_groups", "bytes", "bops", "ms_pred", "ms_meas",
    "zeta_pred", "zeta_meas", "stderr", "qat_steps", "seed", "model_hash", "date",
)  # fmt: skip


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
        plan.hash, wanted.method, wanted.budget, f"{costs['avg_bits']:.3f}", f"{mean_groups(plan):.2f}",
        f"{costs['bytes']:.0f}", f"{costs['bops']:.0f}", f"{costs['ms']:.3f}", f"{ms:.3f}",
        "" if zeta is None else f"{zeta:.5f}", f"{found.zeta:.5f}", f"{found.stderr:.5f}",
        steps, wanted.seed, bench.model_hash[:16], datetime.date.today(),
    )  # fmt: skip


def mean_groups(plan: QuantPlan) -> float:
    """Groups of the mean call site's input."""
    return statistics.mean(1 + max(layer.groups or (0,)) for layer in plan.layers.values())


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

    codec, profile = bench.codec(), load_profile(arguments.profile)
    choices = Choices(codec_layers(codec, WORKLOAD), Scores("", {}), profile, skeleton_bytes(bench.skeleton))
    return Allocation(codec, choices, profile, {})


def main() -> None:
    parser = study_parser(__doc__.splitlines()[0])
    parser.add_argument("--table", type=Path, default=None)
    parser.add_argument("--profile", default="onnx-cpu", help="of the machine that this runs on")
    parser.add_argument("--clips", type=int, default=6, help="to measure on")
    parser.add_argument("--channels", action="store_true", help="also bits per channel; the table must score channels")
    parser.add_argument("--draws", type=int, default=3, help="random plans under every budget")
    parser.add_argument("--search", action="store_true", help="also the differentiable search")
    parser.add_argument("--methods", default="", help="only these, with commas; for a worker beside others")
    parser.add_argument("--budgets", default="", help="only those that begin so, such as bops")
    parser.add_argument("--qat", default=None, help="train the plans that are there, and measure them again")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.work.mkdir(parents=True, exist_ok=True)
    bench = Bench(arguments, arguments.clips)
    allocation = unscored(bench, arguments) if arguments.table is None else prepare(
        arguments.table, arguments.checkpoint, [], arguments.profile, channel_points=0
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
