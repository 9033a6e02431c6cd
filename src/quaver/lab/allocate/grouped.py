"""Groups of an input's channels as options: how many, and which channels share a scale."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from quaver.lab.allocate.scores import Scores
from quaver.lab.quant.grouping import partitions, sharing_error
from quaver.lab.quant.observers import SiteStats
from quaver.lab.quant.plan import LayerPlan

Variants = dict[str, list[tuple[LayerPlan, float]]]
Show = Callable[[int, int], None]  # is told how many of how many are done


def grouped_inputs(
    stats: Mapping[str, SiteStats],
    scores: Scores,
    counts: Iterable[int],
    show: Show = lambda number, of: None,
) -> Variants:
    """Of every scored call site the best partition in each number of groups, at each scored width.

    zeta is predicted: what one scale loses, times the share of its squared error that is left. That groups cost an
    entry and bytes is for the programme to weigh (as IGQ-ViT, Moon et al. 2024, chooses group counts under a BOP
    budget).
    """
    wanted = sorted({count for count in counts if count > 1})
    variants: Variants = {}
    for number, (site, seen) in enumerate(stats.items()):
        show(number, len(stats))
        for bits in scores.bits(site, "a"):
            found = partitions(seen, max(wanted, default=1), "error", bits)
            whole = sharing_error(seen, found[0], bits)
            for groups in {found[min(count, len(found)) - 1] for count in wanted}:
                left = sharing_error(seen, groups, bits) / whole if whole > 0 else 1.0
                if max(groups) > 0 and left < 1:
                    zeta = scores.layers[site, "a", bits] * left
                    variants.setdefault(site, []).append((LayerPlan(None, bits, groups=groups), zeta))
    return variants
