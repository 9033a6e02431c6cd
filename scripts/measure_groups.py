"""What groups of activation channels gain and cost: results/groups.tsv, one row at a time.

Every row brings the same float weights to W7 and --bits activations with one way of grouping, either calibrated (ptq)
or also trained in integers for --steps steps (qat: the same batches for all). Groups, scales and training see --train
alone; zeta is over crops of --val. Rows that the table has are kept: run it again to go on.

usage: measure_groups.py CHECKPOINT --train DIR --val DIR --work DIR --out results/groups.tsv [--bits 5 6] [--steps 0]
"""

from __future__ import annotations

import datetime
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import provenance
import torch
from group_plans import METHODS, TRAINING, WORKLOAD, Ground, add_search, ground_parser, kept_plan, prepared, stand

from quaver.evaluate.points import write_table
from quaver.lab.analyse.score import score
from quaver.lab.costs.groups import extended_bops
from quaver.lab.lower.model import lower
from quaver.lab.models.codec import Codec
from quaver.lab.models.weights import set_integer
from quaver.lab.train.loop import sequence_at
from quaver.lab.train.objective import run_sequence
from quaver.runtime.executors.select import executor
from quaver.runtime.model import IntegerModel, read_model, save_model

HEADER = (
    "activation_bits", "method", "training", "plan_hash", "model_hash", "mean_groups", "zeta", "stderr", "d_rate",
    "bytes", "gbops_quaver", "gbops_tensor", "ms", "steps", "seed", "date",
)  # fmt: skip


def trained(ground: Ground, codec: Codec, steps: int) -> None:
    set_integer(codec, True)
    optimizer = torch.optim.AdamW(codec.parameters(), lr=3e-4, weight_decay=0)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 3e-4 * min(1.0, (step + 1) / 5, 2 * (steps - step) / steps)
        outcome = run_sequence(codec, sequence_at(ground.train, ground.arguments.seed, TRAINING, step), TRAINING)
        optimizer.zero_grad()
        outcome.loss.backward()
        torch.nn.utils.clip_grad_norm_(codec.parameters(), 1.0)
        optimizer.step()


def milliseconds(model: IntegerModel, repeats: int = 15) -> float:
    """Processor time of the decoder's networks on an inter frame of the workload, one thread: the sum of every graph's
    fastest run."""
    total, rng = 0.0, np.random.default_rng(0)
    for name in ("inter.entropy", "inter.decoder", "inter.loop", "motion.average", "motion.detail"):
        graph, size = model.graphs[name], WORKLOAD.map(name)
        inputs = {port.name: rng.integers(0, 256, (port.channels, *size), np.uint8) for port in graph.inputs}
        runner = executor("onnx").prepare(graph, 1)
        times = []
        for _ in range(repeats):
            began = time.thread_time()
            runner.run(inputs)
            times.append(time.thread_time() - began)
        total += 1000 * min(times)
    return total


def row(ground: Ground, method: str, bits: int, steps: int) -> tuple[object, ...]:
    arguments = ground.arguments
    plan = kept_plan(ground, method, bits)
    codec = prepared(ground, plan, ground.ratios if method == "equalized" else {})
    if steps:
        trained(ground, codec, steps)
    path = arguments.work / f"A{bits} {method} {steps}.qvm"
    save_model(lower(codec, path.stem), path)
    model = read_model(path)
    ms = milliseconds(model)
    result = score(codec, ground.clips, ground.baseline)
    gbops = [
        float(sum(extended_bops(each, plan.layer(each.call_site), machine) for each in ground.layers.values())) / 1e9
        for machine in ("quaver", "tensor")
    ]
    if method == "equalized":  # one scale for the tensor; the proportions are in the weights
        one = replace(plan, layers={name: replace(layer, groups=None) for name, layer in plan.layers.items()})
        gbops[1] = float(sum(each.bops(one.layer(each.call_site)) for each in ground.layers.values())) / 1e9
    counts = [max(plan.layers[name].groups or (0,)) + 1 for name in ground.stats]
    mean = 1.0 if method == "equalized" else sum(counts) / len(counts)
    return (
        bits, method, "qat" if steps else "ptq", plan.hash, model.hash.hex()[:16], f"{mean:.2f}", f"{result.zeta:.4f}",
        f"{result.stderr:.4f}", f"{result.d_rate:.4f}", path.stat().st_size, f"{gbops[0]:.3f}", f"{gbops[1]:.3f}",
        f"{ms:.2f}", steps, arguments.seed, datetime.date.today(),
    )  # fmt: skip


def main() -> None:
    parser = ground_parser(__doc__.splitlines()[0])
    parser.add_argument("--bits", type=int, nargs="+", default=[5, 6, 8, 4])
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--steps", type=int, default=0, help="of training in integers; 0: calibration alone")
    add_search(parser)
    arguments = parser.parse_args()
    ground = stand(arguments)
    for bits in arguments.bits:
        for method in arguments.methods:
            key = (str(bits), method, "qat" if arguments.steps else "ptq", str(arguments.steps))
            if any((old[0], old[1], old[2], old[13]) == key for old in table(arguments.out)):
                continue
            new = row(ground, method, bits, arguments.steps)
            print(*new, sep="\t", flush=True)
            write_table(arguments.out, HEADER, [*table(arguments.out), new], provenance.comment(ground.skeleton))


def table(path: Path) -> list[list[str]]:
    """Rows that are there."""
    if not path.exists():
        return []
    lines = [line.rstrip("\n").split("\t") for line in path.open() if not line.startswith("#")]
    return lines[1:]


if __name__ == "__main__":
    main()
