"""Zero-points in the middle or fitted, for one scale, four groups and a scale per channel: results/zero_points.tsv.

Every row brings the same float weights to W7 and --bits activations, calibrated on --train alone; zeta is over crops
of --val, `gain` what fitting zero-points takes off the zeta of fixed ones, its standard error taken clip by clip. Rows
that the table has are kept: run it again to go on.

usage: measure_zero_points.py CHECKPOINT --train DIR --val DIR --work DIR --out results/zero_points.tsv [--bits 4 5 6]
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace

import provenance
import torch
from group_plans import Ground, ground_parser, plan_for, prepared, stand
from torch import Tensor

from quaver.evaluate.points import read_table, write_table
from quaver.lab.analyse.score import Score, score
from quaver.lab.costs.groups import extended_bops
from quaver.lab.lower.model import lower
from quaver.lab.models.codec import Codec
from quaver.lab.models.weights import weights_hash
from quaver.lab.models.wiring import wiring
from quaver.lab.quant.plan import QuantPlan
from quaver.runtime.model import save_model

HEADER = (
    "activation_bits", "method", "zero_points", "fitted_inputs", "plan_hash", "model_hash", "zeta", "stderr", "gain",
    "gain_stderr", "d_rate", "input_error", "bytes", "gbops_quaver", "gbops_tensor", "fit_seconds", "date", "command",
)  # fmt: skip
METHODS = ("per tensor", "partition error", "per channel")


def input_error(codec: Codec, samples: Mapping[str, Tensor]) -> float:
    """Mean over inputs with negative values of the share of their power that is lost, on the samples that calibrate."""
    shares = []
    for name, wire in wiring(codec).items():
        site, values = wire.grid, samples.get(name)
        if site.signed and not site.shared and values is not None:
            low, high, step = (each.detach().expand(len(values))[:, None] for each in (*site.reach(), site.steps()))
            error = torch.round(values / step).clamp(low, high) * step - values
            shares.append(float(error.square().mean() / values.square().mean().clamp(min=1e-12)))
    return sum(shares) / len(shares)


def row(ground: Ground, plan: QuantPlan, bits: int, fixed: Score | None) -> tuple[tuple[object, ...], Score]:
    began = time.process_time()
    codec = prepared(ground, plan, {})
    seconds = time.process_time() - began
    model = lower(codec, plan.name)
    path = ground.arguments.work / "zero.qvm"
    save_model(model, path)
    found = score(codec, ground.clips, ground.baseline)
    gain = (fixed or found) - found
    gbops = [
        float(sum(extended_bops(each, plan.layer(each.call_site), machine) for each in ground.layers.values())) / 1e9
        for machine in ("quaver", "tensor")
    ]
    count = sum(wire.grid.zero_point is not None for wire in wiring(codec).values())
    return (
        bits, plan.method, "fitted" if count else "fixed", count, plan.hash, model.hash.hex()[:16],
        f"{found.zeta:.4f}", f"{found.stderr:.4f}", f"{gain.zeta:.4f}", f"{gain.stderr:.4f}", f"{found.d_rate:.4f}",
        f"{input_error(codec, ground.samples):.5f}", path.stat().st_size, f"{gbops[0]:.3f}", f"{gbops[1]:.3f}",
        f"{seconds:.1f}", datetime.date.today(), provenance.comment().split("; ")[1],
    ), found  # fmt: skip


def rows(ground: Ground, done: set[tuple[str, ...]]) -> Iterator[tuple[object, ...]]:
    for bits in ground.arguments.bits:
        for method in METHODS:
            wanted = {kind for kind in ("fixed", "fitted") if (str(bits), method, kind) not in done}
            if not wanted:
                continue
            plan = plan_for(ground, method, bits)
            first, fixed = row(ground, plan, bits, None)
            if "fixed" in wanted:
                yield first
            if "fitted" in wanted:
                layers = {name: replace(layer, affine=True) for name, layer in plan.layers.items()}
                yield row(ground, replace(plan, layers=layers), bits, fixed)[0]


def main() -> None:
    parser = ground_parser(__doc__.splitlines()[0])
    parser.add_argument("--bits", type=int, nargs="+", default=[4, 5, 6])
    arguments = parser.parse_args()
    ground = stand(arguments)
    table: list[tuple[object, ...]] = [tuple(old[key] for key in HEADER) for old in read_table(arguments.out)]
    comment = f"float weights {weights_hash(ground.codec())[:16]}; {provenance.machine()}"
    for new in rows(ground, {tuple(map(str, old[:3])) for old in table}):
        table.append(new)
        write_table(arguments.out, HEADER, table, comment)
        print(*new[:17], sep="\t", flush=True)


if __name__ == "__main__":
    main()
