"""What 16 activation bits gain and cost where 1x1 layers may have them: results/sixteen_bits.tsv.

Calibrated plans W7A8, and with more bits in all 1x1 layers whose input is their own. Calibration uses one part of the
training clips, zeta the other; zeta_gain is W7A8's less this one's, with the standard error of that difference.

usage: measure_sixteen_bits.py CHECKPOINT --train DIR --cache DIR --out results/sixteen_bits.tsv
"""

from __future__ import annotations

import argparse
import datetime
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from front_bench import WORKLOAD, Bench
from provenance import comment

from quaver.evaluate.points import write_table
from quaver.lab.analyse.score import Score, score
from quaver.lab.costs.codec import codec_layers
from quaver.lab.costs.table import totals
from quaver.lab.lower.model import lower
from quaver.lab.models.codec import Codec
from quaver.lab.models.wiring import wiring
from quaver.lab.quant.plan import QuantPlan

HEADER = (
    "plan", "plan_hash", "wide_layers", "model_hash", "bops", "ms_networks", "zeta", "stderr", "zeta_gain",
    "gain_stderr", "date",
)  # fmt: skip


def plans(codec: Codec) -> Iterator[QuantPlan]:
    wires = wiring(codec)
    for bits in (8, 12, 16):
        layers = dict(QuantPlan.uniform(list(wires)).layers)
        for name, wire in wires.items():
            if wire.conv.kernel == wire.conv.groups == 1 and not wire.source.shared:
                layers[name] = replace(layers[name], activation_bits=bits)
        yield QuantPlan(layers, f"W7A{bits}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--train", type=Path, required=True, help="training clips: to calibrate and score")
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--exclude", action="append", default=[])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    first, bench = comment(), Bench(arguments, 12)
    layers = codec_layers(bench.codec(), WORKLOAD)
    rows: list[tuple[object, ...]] = []
    narrow: Score | None = None
    for plan in plans(bench.codec()):
        quantized = bench.quantized(plan)
        found = score(quantized, bench.apart, bench.baseline)
        narrow = narrow or found
        gain = narrow - found
        ms = bench.networks_ms(lower(quantized, plan.name))
        wide = sum((layer.activation_bits or 0) > 8 for layer in plan.layers.values())
        bops = float(totals(layers, plan)["bops"])
        rows.append((
            plan.name, plan.hash, wide, bench.model_hash[:16], f"{bops:.0f}", f"{ms:.3f}", f"{found.zeta:.5f}",
            f"{found.stderr:.5f}", f"{gain.zeta:.5f}", f"{gain.stderr:.5f}", datetime.date.today(),
        ))  # fmt: skip
        write_table(arguments.out, HEADER, rows, first)
        print(*rows[-1], sep="\t", flush=True)


if __name__ == "__main__":
    main()
