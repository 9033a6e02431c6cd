"""Milliseconds of plans that differ in the groups of activation channels, side by side: results/groups_ms.tsv.

ms: processor time of the networks in a mean frame that is decoded at 640x360, one thread. All plans of a run take turns
network by network, and the fastest turn counts, so that whatever else the machine does meets all of them. relative: to
equalized at the same bits. macs: of each network per position of its map, summed, as in latency.tsv. Plans come from
WORK where measure_groups.py or an earlier run left them; others are made from --train (learned ones are searched for).
A run writes the whole table anew: times of two runs do not compare.

usage: time_groups.py CHECKPOINT --train DIR --work DIR --out results/groups_ms.tsv [--bits 5 6] [--methods ...]
"""

from __future__ import annotations

import datetime

import provenance
from group_plans import METHODS, add_search, kept_plan, stand
from plan_latency import TURNS, WORKLOAD, networks_ms, shaped
from training_clips import study_parser

from quaver.evaluate.points import write_table

HEADER = ("activation_bits", "method", "plan_hash", "macs", "ms", "relative", "date", "command")
REFERENCE = "equalized"
DEFAULT = ("per tensor", REFERENCE, "partition error", "learned", "per channel")


def main() -> None:
    parser = study_parser(__doc__.splitlines()[0])
    parser.add_argument("--bits", type=int, nargs="+", default=[5, 6])
    parser.add_argument("--methods", nargs="+", default=list(DEFAULT), choices=METHODS)
    parser.add_argument("--turns", type=int, default=TURNS)
    add_search(parser)
    arguments = parser.parse_args()
    if REFERENCE not in arguments.methods:
        parser.error(f"--methods must name {REFERENCE}, which the others are compared with")
    ground = stand(arguments)
    keys = [(bits, method) for bits in arguments.bits for method in arguments.methods]
    plans = {(bits, method): kept_plan(ground, method, bits) for bits, method in keys}
    models = [shaped(arguments.checkpoint, plans[key]) for key in keys]
    ms = dict(zip(keys, networks_ms(models, arguments.turns), strict=True))
    command, rows = provenance.comment().split("; ")[1], []
    for (bits, method), model in zip(keys, models, strict=True):
        own = ms[bits, method]
        macs = sum(graph.macs() for key, graph in model.graphs.items() if WORKLOAD.share(key))
        rows.append((
            bits, method, plans[bits, method].hash, macs, f"{own:.3f}", f"{own / ms[bits, REFERENCE]:.3f}",
            datetime.date.today(), command,
        ))  # fmt: skip
        print(*rows[-1][:-1], sep="\t", flush=True)
    write_table(arguments.out, HEADER, rows, provenance.comment(None, f"turns {arguments.turns}"))


if __name__ == "__main__":
    main()
