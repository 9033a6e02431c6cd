"""Does the score of a plan order plans as real files do? results/score_audit.tsv: both for a dozen plans, and their
rank correlation.

Scores as `quaver score` has them (training clips, 8 frames, 3 lambdas); BD-rates from files of the clips given, against
those of W7A8, without training. What is finished is kept in --work: run it again to go on.

usage: score_audit.py WEIGHTS --train DIR --work DIR --out results/score_audit.tsv CLIP...
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from pathlib import Path

import torch
from provenance import comment
from real_files import curves_of
from scipy.stats import spearmanr

from quaver.evaluate.bdrate import bd_rate
from quaver.evaluate.points import write_table
from quaver.lab.analyse.score import score
from quaver.lab.analyse.score_set import Shelf, baseline, calibration_inputs, score_set
from quaver.lab.lower.model import bring_to, lower
from quaver.lab.models.weights import read_codec, weights_hash
from quaver.lab.models.wiring import wiring
from quaver.lab.quant.plan import QuantPlan
from quaver.runtime.model import load_model

ANCHOR = "W7A8"
UNIFORM = ((7, 8), (6, 8), (5, 8), (4, 8), (3, 8), (7, 6), (6, 6), (5, 5), (4, 4))
# Mixed: bits of one part beside 7 and 8 everywhere else.
MIXED = (("inter.decoder.*", 3, 8), ("inter.loop.*", 3, 8), ("intra.*", 3, 8), ("*.entropy.*", 2, 4), ("inter.*", 5, 6))
QUALITIES = (8, 24, 40, 56)
HEADER = ("plan_hash", "name", "avg_wbits", "zeta", "stderr", "bd_rate", "score_seconds", "file_seconds")

Curves = dict[str, list[tuple[float, float]]]


def plans(layers: list[str]) -> list[QuantPlan]:
    """The anchor first."""
    full = QuantPlan.uniform(layers, 7, 8)
    mixed = [full.with_bits(pattern, w=w, a=a) for pattern, w, a in MIXED]
    names = [f"{pattern} W{w}A{a}, else W7A8" for pattern, w, a in MIXED]
    return [QuantPlan.uniform(layers, w, a) for w, a in UNIFORM] + [
        QuantPlan(plan.layers, name) for plan, name in zip(mixed, names, strict=True)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", type=Path)
    parser.add_argument("clips", type=Path, nargs="+")
    parser.add_argument("--train", type=Path, required=True, help="clips to calibrate with and to score on")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=None)
    parser.add_argument("--frames", type=int, default=17)
    arguments = parser.parse_args()
    os.nice(10)
    torch.set_num_threads(1)
    arguments.work.mkdir(parents=True, exist_ok=True)
    skeleton = load_model("skeleton")
    codec = read_codec(arguments.weights, skeleton)
    own = weights_hash(codec)[:16]
    shelf = Shelf(arguments.cache)
    scored = score_set(arguments.train, 4, 8, 128, (), arguments.cache, shelf)
    floating = baseline(codec, scored.clips, shelf)
    inputs = calibration_inputs(codec, scored, shelf)
    rows, anchor = [], None
    for plan in plans(list(wiring(codec))):
        kept = arguments.work / f"{own}-{plan.hash}-{arguments.frames}.json"
        if not kept.exists():
            codec = read_codec(arguments.weights, skeleton)
            bring_to(codec, plan, inputs)
            began = time.process_time()
            zeta = score(codec, scored.clips, floating)
            middle = time.process_time()
            curves = curves_of(lower(codec, plan.name), arguments.clips, QUALITIES, arguments.frames)
            seconds = middle - began, time.process_time() - middle
            part = kept.with_suffix(".part")
            part.write_text(json.dumps([zeta.zeta, zeta.stderr, curves, *seconds]))
            part.replace(kept)
        zeta, stderr, curves, first, second = json.loads(kept.read_text())
        curves = {clip: [tuple(point) for point in own_points] for clip, own_points in curves.items()}
        anchor = anchor or curves
        delta = statistics.mean(bd_rate(anchor[clip], curves[clip]).percent for clip in curves)
        sizes = {name: codec.get_submodule(name).weight.numel() for name in plan.layers}
        mean = sum(plan.layers[name].weight_bits * size for name, size in sizes.items()) / sum(sizes.values())
        rows.append((plan.hash, plan.name, f"{mean:.2f}", f"{zeta:.4f}", f"{stderr:.4f}", f"{delta:.2f}",
                     f"{first:.1f}", f"{second:.1f}"))  # fmt: skip
        print(*rows[-1], sep="\t", flush=True)
        if len(rows) > 2:
            zetas, rates = ([float(row[column]) for row in rows] for column in (3, 5))
            found = f"Spearman {spearmanr(zetas, rates).statistic:.3f} over {len(rows)} plans"
            note = comment(None, f"weights {own}", f"{arguments.frames} frames", f"BD-rate against {ANCHOR}", found)
            write_table(arguments.out, HEADER, rows, note)
    print(found)


if __name__ == "__main__":
    main()
