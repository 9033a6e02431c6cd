"""What it costs that layers share one scale and zero-point: results/layer_groups.tsv, one row at a time.

Every row brings the same float weights to W7 and --bits activations by calibration alone; rows differ in which layers'
inputs share a scale. Partitions and scales see --train alone; zeta is over crops of --val, and `beyond` is what it is
more than with a scale for every input, on the same clips. Rows that the table has are kept: run it again to go on.

usage: measure_layer_groups.py CHECKPOINT --train DIR --val DIR --work DIR --out results/layer_groups.tsv [--bits 5 6 8]
"""

from __future__ import annotations

import datetime
from dataclasses import replace

import provenance
from group_plans import Ground, ground_parser, prepared, stand
from measure_groups import table

from quaver.evaluate.points import write_table
from quaver.lab.analyse.score import Score, score
from quaver.lab.lower.model import lower
from quaver.lab.models.precision import shape_for, zero_points
from quaver.lab.models.weights import weights_hash
from quaver.lab.quant.grouping import DISTANCES
from quaver.lab.quant.layer_groups import noise_weights, partition_sites, sharing, shuffled_sites
from quaver.lab.quant.plan import LayerPlan, QuantPlan
from quaver.runtime.model import save_model

HEADER = (
    "plan_hash", "activation_bits", "groups", "method", "scales", "zeta", "stderr", "beyond", "beyond_stderr", "bytes",
    "model_hash", "date",
)  # fmt: skip
COUNTS = (1, 2, 4, 8, 16)  # of groups, at most, of each zero-point
# relative: squared error as a share of each input's power. J: times the mean importance of the input's channels.
METHODS = (*DISTANCES, "relative", "J", "random")


def uniform(ground: Ground, bits: int) -> QuantPlan:
    planned = [name for name, layer in ground.layers.items() if layer.planned]
    return QuantPlan(dict.fromkeys(planned, LayerPlan(7, bits)), f"A{bits}", method="own scales")


def kinds(ground: Ground, plan: QuantPlan) -> dict[str, int]:
    """Layers whose input may share its scale, and that input's zero-point."""
    zeros = zero_points(shape_for(ground.codec(), plan))
    return {name: zero for name, zero in zeros.items() if name in ground.stats and name in plan.layers}


def groups_of(ground: Ground, zeros: dict[str, int], method: str, count: int, bits: int) -> dict[str, int]:
    if method in DISTANCES:
        return partition_sites(ground.stats, count, method, bits, kinds=zeros)
    if method == "random":
        return shuffled_sites(ground.stats, count, ground.arguments.seed, kinds=zeros)
    if method == "J":
        weights = {name: float(each.mean()) for name, each in ground.importance.items()}
    else:
        weights = noise_weights(ground.stats)
    return partition_sites(ground.stats, count, "error", bits, kinds=zeros, importance=weights)


def measured(ground: Ground, plan: QuantPlan) -> tuple[Score, int, str]:
    """(score, bytes of the model file, the model's hash)"""
    codec = prepared(ground, plan, {})
    model = lower(codec, "nano")
    path = ground.arguments.work / "nano.qvm"
    save_model(model, path)
    return score(codec, ground.clips, ground.baseline), path.stat().st_size, model.hash.hex()[:16]


def main() -> None:
    parser = ground_parser(__doc__.splitlines()[0])
    parser.add_argument("--bits", type=int, nargs="+", default=[5, 6, 8])
    parser.add_argument("--counts", type=int, nargs="+", default=list(COUNTS))
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    ground = stand(arguments)
    weights = f"weights {weights_hash(ground.codec())[:16]}"
    setting = "W7, calibrated alone; six val crops of 128x128, 8 frames, 3 lambdas"
    for bits in arguments.bits:
        plan = uniform(ground, bits)
        zeros = kinds(ground, plan)
        own = measured(ground, plan)
        asked = [(len(zeros), "own", {name: number for number, name in enumerate(zeros)})]
        for count in arguments.counts:
            for method in arguments.methods if count > 1 else ["all"]:
                asked.append((count, method, groups_of(ground, zeros, "range" if count == 1 else method, count, bits)))
        for count, method, groups in asked:
            if any(old[1:4] == [str(bits), str(count), method] for old in table(arguments.out)):
                continue
            shared = replace(plan, shared=sharing(groups), method=f"{count} {method}")
            result, size, model = own if method == "own" else measured(ground, shared)
            beyond = result - own[0]
            new = (
                shared.hash, bits, count, method, len(set(groups.values())), f"{result.zeta:.4f}",
                f"{result.stderr:.4f}", f"{beyond.zeta:.4f}", f"{beyond.stderr:.4f}", size, model,
                datetime.date.today(),
            )  # fmt: skip
            print(*new, sep="\t", flush=True)
            write_table(arguments.out, HEADER, [*table(arguments.out), new], provenance.comment(None, weights, setting))


if __name__ == "__main__":
    main()
