"""Whether it helps to allocate, train briefly, measure around the plan and allocate again: results/iterations.tsv.

Every round's plan is trained from the same float weights for as many steps; zeta is measured before and after on clips
that neither scores nor training saw.

usage: measure_iterations.py CHECKPOINT --table ANALYSIS --train DIR --work DIR --qat RECIPE --out TSV
"""

from __future__ import annotations

import argparse
import datetime
from dataclasses import replace
from pathlib import Path

import torch
from front_bench import Bench
from front_plans import fewest, wide_inputs, with_unscored
from provenance import comment

from quaver.evaluate.points import read_table, write_table
from quaver.lab.allocate.around import members, module_losses, ratios, rescaled
from quaver.lab.allocate.command import prepare
from quaver.lab.allocate.programme import solve
from quaver.lab.analyse.clips import choose_clips
from quaver.lab.analyse.estimate import amplification
from quaver.lab.analyse.score import score
from quaver.lab.analyse.table import SensitivityTable
from quaver.lab.quant.plan import QuantPlan
from quaver.lab.train.recipes import load_recipe

HEADER = (
    "round", "plan_hash", "changed", "budget", "avg_wbits", "zeta_pred", "zeta_ptq", "zeta_qat", "stderr", "qat_steps",
    "ratios", "model_hash", "date",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=None)
    parser.add_argument("--exclude", action="append", default=[])
    parser.add_argument("--qat", required=True)
    parser.add_argument("--budget", default="avg_bits=4")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    bench = Bench(arguments)
    seen = choose_clips(bench.to_use, 4, 4, 96, 1)
    gains, common = amplification(SensitivityTable.load(arguments.table))
    allocation = with_unscored(
        prepare(arguments.table, arguments.checkpoint, [arguments.budget], channel_points=0), fewest(arguments.budget)
    )
    previous: QuantPlan | None = None
    for number in range(arguments.rounds):
        problem = wide_inputs(allocation.problem)
        plan = allocation.plan(problem, solve(problem), "ilp", f"round {number}")
        if previous is not None and plan.layers == previous.layers:
            print("the plan stays as it is", flush=True)
            break
        before = score(bench.quantized(plan), bench.apart, bench.baseline)
        codec = bench.trained(plan, arguments.qat, arguments.work)
        after = score(codec, bench.apart, bench.baseline)
        losses = module_losses(codec, seen)
        scores = allocation.choices.scores
        factors = ratios(scores, plan, losses, {module: gains.get(module, common) for module in members(plan)})
        row = (
            number, plan.hash, "" if previous is None else len(plan.diff(previous)), arguments.budget,
            f"{plan.predicted['avg_bits']:.3f}", f"{plan.predicted['zeta']:.5f}", f"{before.zeta:.5f}",
            f"{after.zeta:.5f}", f"{after.stderr:.5f}", load_recipe(arguments.qat).steps,
            " ".join(f"{module} {ratio:.2f}" for module, ratio in factors.items()), bench.model_hash[:16],
            datetime.date.today(),
        )  # fmt: skip
        others = [
            tuple(old.values())
            for old in read_table(arguments.out)
            if old["budget"] != arguments.budget or int(old["round"]) < number
        ]
        write_table(arguments.out, HEADER, [*others, row], comment())
        print(*row, sep="\t", flush=True)
        choices = replace(allocation.choices, scores=rescaled(scores, factors))
        allocation, previous = replace(allocation, choices=choices), plan


if __name__ == "__main__":
    main()
