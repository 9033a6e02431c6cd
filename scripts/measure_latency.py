"""Predicted against measured milliseconds of plans: results/latency.tsv.

Milliseconds per decoded frame at 640x360: the networks, as ONNX Runtime runs them on one thread, each plan's in turns
with W7A8's, so that whatever else the machine does meets both. error: of the prediction itself; relative: of the
predicted ratio to W7A8. The profile is to be one of the machine that it runs on.

usage: measure_latency.py CHECKPOINT PLAN.json... --out results/latency.tsv
"""

from __future__ import annotations

import argparse
import datetime
from pathlib import Path

import torch
from plan_latency import WORKLOAD, networks_ms, networks_predicted, shaped
from provenance import comment

from quaver.evaluate.points import read_table, write_table
from quaver.lab.costs.profile import load_profile
from quaver.lab.quant.plan import QuantPlan

HEADER = (
    "plan_hash", "name", "macs", "ms_pred", "ms_meas", "error", "ms_pred_w7a8", "ms_meas_w7a8", "relative", "profile",
    "date",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("plans", type=Path, nargs="+")
    parser.add_argument("--profile", default="onnx-cpu")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    profile, whole = load_profile(arguments.profile), shaped(arguments.checkpoint, QuantPlan({}))
    full = networks_predicted(arguments.checkpoint, QuantPlan({}), profile)
    for path in arguments.plans:
        plan = QuantPlan.load(path)
        model, predicted = shaped(arguments.checkpoint, plan), networks_predicted(arguments.checkpoint, plan, profile)
        own, reference = networks_ms([model, whole])
        macs = sum(graph.macs() for key, graph in model.graphs.items() if WORKLOAD.share(key))
        row = (
            plan.hash, path.stem, macs, f"{predicted:.3f}", f"{own:.3f}", f"{predicted / own - 1:+.3f}",
            f"{full:.3f}", f"{reference:.3f}", f"{predicted / full / (own / reference) - 1:+.3f}", profile.name,
            datetime.date.today(),
        )  # fmt: skip
        known = plan.hash, profile.name
        others = [
            tuple(old.values()) for old in read_table(arguments.out) if (old["plan_hash"], old["profile"]) != known
        ]
        write_table(arguments.out, HEADER, [*others, row], comment(None, f"profile {profile.name}"))
        print(*row, sep="\t", flush=True)


if __name__ == "__main__":
    main()
