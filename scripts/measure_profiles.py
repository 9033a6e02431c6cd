"""Whether a machine's profile changes what is allocated for it: results/profiles.tsv.

One table of scores, the same budgets under every profile, each with three kinds of options: bits per layer, bits per
layer and channel (which may leave channels out), bits per layer and pruned channels (as `quaver allocate --prune`).
Budgets are shares of what W7A8 needs on that machine; the last one is mean weight bits beside W7A8's time.

zeta_pred: what the plan is believed to lose, in per cent; gap: how far at most above the best, in per cent. mean_w,
mean_a: bits of the mean layer's weights and inputs, of the largest channel. pruned: output channels at 0 bits.
bytes, bops, ms_PROFILE: predicted, in per cent of W7A8's. other_w, other_a: layers whose weights and inputs differ from
those of the plan under the first profile with the same budget and options. An impossible budget has its smallest value
in `said`.

usage: measure_profiles.py CHECKPOINT --table ANALYSIS --train DIR --cache DIR --out results/profiles.tsv
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from clips_apart import halves
from provenance import comment

from quaver.errors import UsageError
from quaver.evaluate.points import write_table
from quaver.lab.allocate.candidates import CLIPS, with_pruned
from quaver.lab.allocate.command import Allocation, allocate, prepare
from quaver.lab.allocate.options import Candidates
from quaver.lab.analyse.clips import choose_clips
from quaver.lab.costs.profile import load_profile
from quaver.lab.data.cache import build_cache
from quaver.lab.models.weights import weights_hash
from quaver.lab.quant.plan import LayerPlan, QuantPlan

PROFILES = ("onnx-cpu", "avx2", "bit-serial")
BUDGETS = (("ms=95%",), ("ms=90%",), ("ms=85%",), ("ms=65%",), ("ms=50%",), ("bops=65%",), ("avg_bits=4", "ms=100%"))
PER_LAYER, PER_CHANNEL, PRUNED = "per layer", "per channel", "per layer, pruned"
SHARES = (1 / 6, 1 / 3, 1 / 2)  # of channels that go
HEADER = (
    "profile", "budget", "options", "zeta_pred", "gap", "mean_w", "mean_a", "pruned", "bytes", "bops",
    *(f"ms_{name}" for name in PROFILES), "other_w", "other_a", "plan_hash", "said",
)  # fmt: skip


def weights(layer: LayerPlan) -> object:
    """What tells two plans of a layer's weights apart."""
    return layer.weight_bits, layer.channel_bits


def inputs(layer: LayerPlan) -> object:
    """The same of its input."""
    return layer.activation_bits, layer.groups, layer.group_bits, layer.split


class Table:
    """Rows of the table, as they are made."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._arguments = arguments
        self._first: dict[object, QuantPlan] = {}
        self._pruned: Candidates | None = None

    def rows(self) -> Iterator[tuple[object, ...]]:
        for profile in PROFILES:
            for budget in BUDGETS:
                for options in (PER_LAYER, PER_CHANNEL, PRUNED):
                    yield profile, " ".join(budget), options, *self._row(profile, budget, options)

    def _row(self, profile: str, budget: tuple[str, ...], options: str) -> tuple[object, ...]:
        allocation = self._allocation(profile, budget, options)
        try:
            plan = allocate(allocation)
        except UsageError as error:
            return *[""] * (len(HEADER) - 4), error
        layers, full = allocation.choices.layers, allocation.costs(QuantPlan({}))
        predicted, own = plan.predicted, plan.layers
        bits = [statistics.mean(each) for each in zip(*map(_bits, own.values()), strict=True)]
        times = [100 * load_profile(name).predict(plan, layers) / load_profile(name).predict(QuantPlan({}), layers)
                 for name in PROFILES]  # fmt: skip
        first = self._first.setdefault((budget, options), plan).layers
        other = [sum(part(own[site]) != part(first[site]) for site in own) for part in (weights, inputs)]
        if profile == PROFILES[0]:
            other = ["", ""]
        figures = f"{100 * predicted['zeta']:.2f}", f"{100 * predicted['gap']:.2f}", *(f"{each:.2f}" for each in bits)
        shares = [100 * predicted[key] / full[key] for key in ("bytes", "bops")] + times
        gone = sum((layer.channel_bits or ()).count(0) for layer in own.values())
        return *figures, gone, *(f"{share:.1f}" for share in shares), *other, plan.hash, ""

    def _allocation(self, profile: str, budget: tuple[str, ...], options: str) -> Allocation:
        arguments, points = self._arguments, 8 if options == PER_CHANNEL else 0
        allocation = prepare(arguments.table, arguments.checkpoint, budget, profile, channel_points=points)
        if options != PRUNED:
            return allocation
        if self._pruned is None:  # no profile changes what they lose
            cache = halves(build_cache(arguments.train, arguments.cache, arguments.exclude))[0]
            self._pruned = with_pruned(allocation, choose_clips(cache, *CLIPS), SHARES, _show).choices.candidates
        return replace(allocation, choices=replace(allocation.choices, candidates=self._pruned))


def _bits(layer: LayerPlan) -> tuple[int, int]:
    return layer.weight_bits or 0, layer.activation_bits or 0


def _show(number: int, of: int) -> None:
    if number % 12 == 0:
        print(f"pruned: {number} of {of}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    for name in ("--table", "--train", "--cache", "--out"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--exclude", action="append", default=[])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    allocation = prepare(arguments.table, arguments.checkpoint, [], channel_points=0)
    count = len({site for site, _, _ in allocation.choices.scores.layers})
    note = comment(
        None, f"weights {weights_hash(allocation.codec)[:16]}", f"table {allocation.table}", f"{count} layers"
    )
    rows = []
    for row in Table(arguments).rows():
        rows.append(row)
        print(*row, sep="\t", flush=True)
    write_table(arguments.out, HEADER, rows, note)


if __name__ == "__main__":
    main()
