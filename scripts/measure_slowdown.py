"""How much slower a training step in integers is than one in floating point: results/slowdown.tsv.

The same batches, forward and backward, through the same weights in floating point and quantized as --plan says, in
turns. seconds_cpu: the median over steps of processor time; ratio: the median over steps of a step's time over that of
floating point on the same batch.

usage: measure_slowdown.py CHECKPOINT --train DIR --out results/slowdown.tsv [--plan W7A8 W4A8] [--turns 8]
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import torch
from provenance import comment

from quaver.evaluate.points import write_table
from quaver.lab.data.cache import build_cache
from quaver.lab.lower.command import read_plan
from quaver.lab.lower.model import calibrate
from quaver.lab.models.codec import Codec
from quaver.lab.models.weights import read_codec, set_integer, weights_hash
from quaver.lab.train.loop import sequence_at
from quaver.lab.train.objective import run_sequence
from quaver.lab.train.recipes import Stage, load_recipe
from quaver.runtime.model import load_model

HEADER = ("arithmetic", "forward_cpu", "backward_cpu", "seconds_cpu", "ratio", "low", "high", "steps")


def step(codec: Codec, stage: Stage, batch: object) -> tuple[float, float]:
    """Processor seconds forward and backward."""
    begun = time.process_time()
    outcome = run_sequence(codec, batch, stage)  # type: ignore[arg-type]
    middle = time.process_time()
    codec.zero_grad(set_to_none=True)
    outcome.loss.backward()
    return middle - begun, time.process_time() - middle


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--exclude", action="append", default=[])
    parser.add_argument("--plan", nargs="+", default=["W7A8", "W4A8"])
    parser.add_argument("--recipe", default="results/recipes/qat7.json")
    parser.add_argument("--turns", type=int, default=8)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cache, skeleton = build_cache(arguments.train, arguments.cache, arguments.exclude), load_model("skeleton")
    stage = load_recipe(arguments.recipe).stages[0]
    codecs = {"float32": read_codec(arguments.checkpoint, skeleton)}
    for name in arguments.plan:
        codec = read_codec(arguments.checkpoint, skeleton)
        sequences = [sequence_at(cache, 0, stage, -1 - number) for number in range(2)]
        calibrate(codec, sequences, stage, read_plan(name, arguments.checkpoint, "skeleton"))
        set_integer(codec, True)
        codecs[f"integers, {name}"] = codec
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in codecs}
    for turn in range(-1, arguments.turns):  # the first warms up
        batch = sequence_at(cache, 1, stage, max(turn, 0))
        for name, codec in codecs.items():
            found = step(codec, stage, batch)
            if turn >= 0:
                times[name].append(found)
    whole = {name: [sum(pair) for pair in pairs] for name, pairs in times.items()}
    rows = []
    for name, pairs in times.items():
        ratios = sorted(own / plain for own, plain in zip(whole[name], whole["float32"], strict=True))
        parts = [statistics.median(pair[side] for pair in pairs) for side in (0, 1)]
        figures = *parts, statistics.median(whole[name]), statistics.median(ratios), ratios[0], ratios[-1]
        rows.append((name, *(f"{value:.3f}" for value in figures), len(pairs)))
    shape = f"batch {stage.batch}, {stage.frames} frames of {stage.size}x{stage.size}, one thread"
    write_table(arguments.out, HEADER, rows, comment(None, f"weights {weights_hash(codecs['float32'])[:16]}", shape))
    for row in rows:
        print(*row, sep="\t")


if __name__ == "__main__":
    main()
