"""Which channels to split, by effect on J, by high frequencies or by chance: results/splits.tsv, one row at a time.

Every row brings the same float weights to W7 and --bits activations, calibrated on --train, with a twentieth of each
layer's input channels split; zeta is over crops of --val, `gain` what splitting takes off the zeta without splits, its
standard error taken clip by clip. Rows that the table has are kept: run it again to go on.

usage: measure_splits.py CHECKPOINT --train DIR --val DIR --work DIR --out results/splits.tsv [--bits 5 6]
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator

import provenance
from group_plans import Ground, ground_parser, plan_for, prepared, stand

from quaver.evaluate.points import read_table, write_table
from quaver.lab.analyse.score import Score, score
from quaver.lab.lower.model import lower
from quaver.lab.models.weights import weights_hash
from quaver.lab.quant.plan import QuantPlan
from quaver.runtime.model import save_model

HEADER = (
    "activation_bits", "method", "seed", "split_channels", "plan_hash", "model_hash", "zeta", "stderr", "gain",
    "gain_stderr", "d_rate", "bytes", "date", "command",
)  # fmt: skip
METHODS = ("split", "split frequency", "split random")


def row(
    ground: Ground, plan: QuantPlan, method: str, bits: int, none: Score | None
) -> tuple[tuple[object, ...], Score]:
    codec = prepared(ground, plan, {})
    model = lower(codec, plan.name)
    path = ground.arguments.work / "split.qvm"
    save_model(model, path)
    found = score(codec, ground.clips, ground.baseline)
    gain = (none or found) - found
    count = sum(len(layer.split) for layer in plan.layers.values())
    command = provenance.comment().split("; ")[1]
    return (
        bits, method, ground.arguments.seed, count, plan.hash, model.hash.hex()[:16], f"{found.zeta:.4f}",
        f"{found.stderr:.4f}", f"{gain.zeta:.4f}", f"{gain.stderr:.4f}", f"{found.d_rate:.4f}", path.stat().st_size,
        datetime.date.today(), command,
    ), found  # fmt: skip


def rows(ground: Ground, seeds: int, done: set[tuple[str, ...]]) -> Iterator[tuple[object, ...]]:
    arguments = ground.arguments
    for bits in arguments.bits:
        arguments.seed = 0
        first, none = row(ground, plan_for(ground, "per tensor", bits), "none", bits, None)
        if (str(bits), "none", "0") not in done:
            yield first
        for method in METHODS:
            for seed in range(seeds if method == "split random" else 1):
                arguments.seed = seed
                if (str(bits), method, str(seed)) not in done:
                    yield row(ground, plan_for(ground, method, bits), method, bits, none)[0]


def main() -> None:
    parser = ground_parser(__doc__.splitlines()[0])
    parser.add_argument("--bits", type=int, nargs="+", default=[5, 6])
    parser.add_argument("--seeds", type=int, default=2, help="of random channels")
    arguments = parser.parse_args()
    ground = stand(arguments)
    table: list[tuple[object, ...]] = [tuple(old[key] for key in HEADER) for old in read_table(arguments.out)]
    comment = f"float weights {weights_hash(ground.codec())[:16]}"
    for new in rows(ground, arguments.seeds, {tuple(map(str, old[:3])) for old in table}):
        table.append(new)
        write_table(arguments.out, HEADER, table, comment)
        print(*new[:12], sep="\t", flush=True)


if __name__ == "__main__":
    main()
