"""What needs no training of the rows of results/plans.tsv: budget, milliseconds, predicted zeta, by plan.

ms_pred, ms_meas: of the networks in a mean frame that is decoded at 640x360, one thread; ms_w7a8: W7A8's, measured in
turns with the plan's, so that the two compare however fast the machine was. zeta_pred: what --table says its layers
lose one by one. Rows of plans that are not given stay as they are.

usage: fill_plans.py CHECKPOINT PLAN... --rows results/plans.tsv --table ANALYSIS [--profile NAME]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from measure_front import predicted
from measure_plans import HEADER
from plan_latency import networks_ms, networks_predicted, shaped

from quaver.evaluate.points import read_table, write_table
from quaver.lab.allocate.scores import table_scores
from quaver.lab.analyse.table import SensitivityTable
from quaver.lab.costs.profile import load_profile
from quaver.lab.lower.command import read_plan
from quaver.lab.quant.plan import QuantPlan


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("plans", nargs="+")
    parser.add_argument("--rows", type=Path, required=True)
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--profile", default="onnx-cpu", help="of the machine that this runs on")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    comment = arguments.rows.read_text().splitlines()[0].removeprefix("# ")
    scores = table_scores(SensitivityTable.load(arguments.table)).believed()
    profile, whole = load_profile(arguments.profile), shaped(arguments.checkpoint, QuantPlan({}))
    found = {}
    for name in arguments.plans:
        plan = read_plan(name, arguments.checkpoint, "skeleton")
        ms, reference = networks_ms([shaped(arguments.checkpoint, plan), whole])
        zeta, own = predicted(scores, plan), networks_predicted(arguments.checkpoint, plan, profile)
        found[plan.hash] = {
            "budget": " ".join(f"{key}={limit:g}" for key, limit in plan.budget.items()),
            "ms_pred": f"{own:.2f}", "ms_meas": f"{ms:.2f}", "ms_w7a8": f"{reference:.2f}",
            "zeta_pred": "" if zeta is None else f"{zeta:.4f}",
        }  # fmt: skip
        print(name, plan.hash, *found[plan.hash].values(), sep="\t", flush=True)
    rows = [row | found.get(row["plan_hash"], {}) for row in read_table(arguments.rows)]
    write_table(arguments.rows, HEADER, [tuple(row.get(key, "") for key in HEADER) for row in rows], comment)


if __name__ == "__main__":
    main()
