"""Rounding by loss and bias correction in Quaver's own integers: results/ptq_integers.tsv.

Every row brings the same float weights to the same bits, calibrated on --train alone; then the steps of `quaver
quantize --rounding loss` and `--bias-correction`, each alone and both, fitted to --sequences batches of four crops of
--train. zeta is over crops of --val; `gain` what the steps take off the zeta of calibration alone, its standard error
taken clip by clip, `better` on how many clips. judged_before and judged_after: zeta on those crops of --train that
decide whether a step stays. changed: the share of codes that are others; strength: of the bias correction.

usage: measure_ptq_integers.py CHECKPOINT --train DIR --val DIR --work DIR --out results/ptq_integers.tsv
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterator
from dataclasses import replace

import provenance
from group_plans import CALIBRATION, Ground, ground_parser, prepared, stand

from quaver.evaluate.points import write_table
from quaver.lab.analyse.score import Score, score
from quaver.lab.lower.command import read_plan
from quaver.lab.lower.model import lower
from quaver.lab.lower.refine import CALIBRATED, Refined, Refinement, refine
from quaver.lab.models.weights import weights_hash
from quaver.lab.quant.plan import QuantPlan
from quaver.lab.train.loop import sequence_at

HEADER = (
    "plan", "steps_after_calibration", "rounding_steps", "model_hash", "zeta", "stderr", "gain", "gain_stderr",
    "better", "d_rate", "judged_before", "judged_after", "changed", "strength", "seconds", "date", "command",
)  # fmt: skip


def ways(steps: int, seed: int) -> dict[str, Refinement]:
    return {
        "none": CALIBRATED,
        "biases": Refinement("nearest", True, steps, seed),
        "rounding": Refinement("loss", False, steps, seed),
        "rounding, biases": Refinement("loss", True, steps, seed),
    }


def judged(done: Refined | None) -> tuple[str, str, str, str]:
    """zeta before and after, the share of codes that are others, the strength of the bias correction."""
    if done is None:
        return "", "", "", ""
    steps = [step for step in (done.rounded, done.corrected) if step is not None]
    before, after = (f"{value - done.floating:.4f}" for value in (steps[0].before, steps[-1].after))
    changed = "" if done.rounded is None else f"{done.rounded.changed:.4f}"
    return before, after, changed, "" if done.corrected is None else f"{done.corrected.strength:g}"


def rows(ground: Ground, plan: QuantPlan) -> Iterator[tuple[object, ...]]:
    arguments = ground.arguments
    stage = replace(CALIBRATION, steps=arguments.sequences)
    sequences = [sequence_at(ground.train, arguments.seed, stage, step) for step in range(stage.steps)]
    first: Score | None = None
    for name, refinement in ways(arguments.steps, arguments.seed).items():
        codec, began = prepared(ground, plan, {}), time.process_time()
        done = refine(codec, ground.codec(), sequences, refinement) if refinement.asked else None
        seconds = time.process_time() - began
        found = score(codec, ground.clips, ground.baseline)
        first = first or found
        gain = first - found
        better = f"{int((gain.each.mean(0) > 0).sum())} of {len(ground.clips)}" if done else ""
        yield (
            plan.name, name, arguments.steps if refinement.rounding == "loss" else 0,
            lower(codec, plan.name).hash.hex()[:16], f"{found.zeta:.4f}", f"{found.stderr:.4f}", f"{gain.zeta:.4f}",
            f"{gain.stderr:.4f}", better, f"{found.d_rate:.4f}", *judged(done), f"{seconds:.0f}",
            datetime.date.today(), provenance.comment().split("; ")[1],
        )  # fmt: skip


def main() -> None:
    parser = ground_parser(__doc__.splitlines()[0])
    parser.add_argument("--plans", nargs="+", default=["W4A8", "W4A4"])
    parser.add_argument("--steps", type=int, default=200, help="of rounding by loss")
    parser.add_argument("--sequences", type=int, default=48)
    parser.add_argument("--seed", type=int, default=0)
    ground = stand(parser.parse_args())
    comment = f"float weights {weights_hash(ground.codec())[:16]}; {provenance.machine()}"
    table: list[tuple[object, ...]] = []
    for text in ground.arguments.plans:
        for new in rows(ground, read_plan(text, ground.arguments.checkpoint, "skeleton")):
            table.append(new)
            write_table(ground.arguments.out, HEADER, table, comment)
            print(*new[:15], sep="\t", flush=True)


if __name__ == "__main__":
    main()
