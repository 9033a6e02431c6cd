"""How many groups of channels the price mu leaves, from one for each channel to one: results/group_prices.tsv.

The search of `measure_groups.py`'s method "learned" (J to second order, + mu times the groups' bit operations), begun
with a group for every channel, at each --mu; then calibrated and scored like there. Groups are counted where they cost
anything: depthwise layers and those that no decoder runs keep theirs at any price (free_sites).

usage: measure_prices.py CHECKPOINT --train DIR --val DIR --work DIR --out results/group_prices.tsv [--bits 5]
"""

from __future__ import annotations

import datetime

import provenance
from group_plans import ground_parser, plan_for, prepared, stand

from quaver.evaluate.points import read_table, write_table
from quaver.lab.analyse.score import score
from quaver.lab.costs.groups import extended_bops, group_cost

HEADER = (
    "activation_bits", "mu", "mean_groups", "mean_channels", "one_group", "per_channel", "sites", "free_sites",
    "gbops_tensor", "plan_hash", "zeta", "stderr", "search_steps", "seed", "date",
)  # fmt: skip


def main() -> None:
    parser = ground_parser(__doc__.splitlines()[0])
    parser.add_argument("--bits", type=int, default=5)
    parser.add_argument("--mu", type=float, nargs="+", dest="prices", default=[0, 0.1, 0.3, 1, 3, 10, 30, 100])
    parser.add_argument("--search", type=int, default=100, help="steps")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    arguments.limit = None
    ground = stand(arguments)
    for mu in arguments.prices:
        rows = read_table(arguments.out)
        if any((old["activation_bits"], float(old["mu"])) == (str(arguments.bits), mu) for old in rows):
            continue
        arguments.mu = mu
        plan = plan_for(ground, "learned", arguments.bits)
        found = score(prepared(ground, plan, {}), ground.clips, ground.baseline)
        legal = [name for name in ground.stats if ground.grouped(name, arguments.bits)]
        sites = [name for name in legal if group_cost(ground.layers[name], arguments.bits, "tensor").per_group > 0]
        counts = {name: 1 + max(plan.layers[name].groups or (0,)) for name in sites}
        bops = sum(extended_bops(each, plan.layer(each.call_site), "tensor") for each in ground.layers.values())
        row = (
            arguments.bits, f"{mu:g}", f"{sum(counts.values()) / len(sites):.2f}",
            f"{sum(ground.stats[name].channels for name in sites) / len(sites):.2f}",
            sum(count == 1 for count in counts.values()),
            sum(counts[name] == ground.stats[name].channels for name in sites), len(sites), len(legal) - len(sites),
            f"{float(bops) / 1e9:.3f}", plan.hash, f"{found.zeta:.4f}", f"{found.stderr:.4f}", arguments.search,
            arguments.seed, datetime.date.today(),
        )  # fmt: skip
        print(*row, sep="\t", flush=True)
        kept = [tuple(old.values()) for old in rows]
        write_table(arguments.out, HEADER, [*kept, row], provenance.comment(ground.skeleton))


if __name__ == "__main__":
    main()
