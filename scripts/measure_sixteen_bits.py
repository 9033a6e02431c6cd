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
from clips_apart import halves
from provenance import comment

from quaver.evaluate.points import write_table
from quaver.lab.analyse.clips import choose_clips
from quaver.lab.analyse.score import Score, float_curves, score
from quaver.lab.costs.codec import codec_layers
from quaver.lab.costs.measure import Timing, graph_ms, skeleton_entry
from quaver.lab.costs.table import totals
from quaver.lab.costs.workload import Workload
from quaver.lab.data.cache import build_cache
from quaver.lab.lower.model import bring_to, layer_inputs, lower
from quaver.lab.models.codec import Codec
from quaver.lab.models.weights import read_codec, weights_hash
from quaver.lab.models.wiring import wiring
from quaver.lab.quant.plan import QuantPlan
from quaver.lab.train.loop import sequence_at
from quaver.lab.train.recipes import Stage
from quaver.runtime.model import IntegerModel, load_model

WORKLOAD, TIMING = Workload(), Timing(2, 9)
CALIBRATION = Stage("calibration", 4, 3, size=128, batch=2, encoder=True)
SCORED, FRAMES, SIZE = 12, 8, 128
HEADER = (
    "plan", "plan_hash", "wide_layers", "model_hash", "bops", "ms_networks", "ms", "zeta", "stderr", "zeta_gain",
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


def networks_ms(model: IntegerModel) -> float:
    """Of a mean frame at 640x360 that is decoded; one thread."""
    shares = {key: float(WORKLOAD.share(key)) for key in model.graphs}
    return sum(
        shares[key] * graph_ms(graph, WORKLOAD.map(key), TIMING) for key, graph in model.graphs.items() if shares[key]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--train", type=Path, required=True, help="training clips: to calibrate and score")
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--exclude", action="append", default=[])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    first = comment()
    skeleton = load_model("skeleton")
    to_use, apart = halves(build_cache(arguments.train, arguments.cache, arguments.exclude))
    clips = choose_clips(apart, SCORED, FRAMES, SIZE)
    codec = read_codec(arguments.checkpoint, skeleton)
    baseline, of = float_curves(codec, clips), weights_hash(codec)[:16]
    inputs = layer_inputs(
        codec, [sequence_at(to_use, 0, CALIBRATION, step) for step in range(CALIBRATION.steps)], CALIBRATION
    )
    layers = codec_layers(codec, WORKLOAD)
    fixed_ms = sum(float(row.share) * skeleton_entry(row, TIMING).ms for row in layers if not row.planned and row.share
                   and row.op not in ("add", "gdn"))  # fmt: skip
    rows: list[tuple[object, ...]] = []
    narrow: Score | None = None
    for plan in plans(codec):
        quantized = read_codec(arguments.checkpoint, skeleton)
        bring_to(quantized, plan, inputs)
        found = score(quantized, clips, baseline)
        narrow = narrow or found
        gain = narrow - found
        ms = networks_ms(lower(quantized, plan.name))
        wide = sum((layer.activation_bits or 0) > 8 for layer in plan.layers.values())
        rows.append((
            plan.name, plan.hash, wide, of, f"{float(totals(layers, plan)['bops']):.0f}", f"{ms:.3f}",
            f"{ms + fixed_ms:.3f}", f"{found.zeta:.5f}", f"{found.stderr:.5f}", f"{gain.zeta:.5f}",
            f"{gain.stderr:.5f}", datetime.date.today(),
        ))  # fmt: skip
        write_table(arguments.out, HEADER, rows, first)
        print(*rows[-1], sep="\t", flush=True)


if __name__ == "__main__":
    main()
