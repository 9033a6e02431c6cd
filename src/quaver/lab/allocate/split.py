"""Split channels of an input as options: how many, and which are coded as two halves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil

from torch import Tensor

from quaver.lab.allocate.grouped import Show, Variants
from quaver.lab.allocate.scores import Scores
from quaver.lab.costs.layers import Layer
from quaver.lab.quant.observers import SiteStats
from quaver.lab.quant.plan import LayerPlan
from quaver.lab.quant.splitting import SplitErrors, rank_splits

_NARROW = 8  # activation bits that split channels may have


def split_inputs(
    stats: Mapping[str, SiteStats],
    scores: Scores,
    layers: Sequence[Layer],
    shares: Sequence[float],
    grouped: Mapping[str, Sequence[tuple[LayerPlan, float]]] | None = None,
    importance: Mapping[str, Tensor] | None = None,
    show: Show = lambda number, of: None,
) -> Variants:
    """Of every scored call site that may have splits, at each scored width, each share of its input channels split
    (rounded up), in one group and in those of `grouped`.

    Channels are ranked by how much their splitting lowers J, with `importance` of every channel by call site
    (`channel_importance`), else the squared error. zeta is predicted as that of groups: what one scale loses, times the
    share of its squared error that is left. Depthwise layers add no channels up and have none.
    """
    able = {layer.call_site for layer in layers if layer.planned and layer.groups == 1}
    sites, variants = [site for site in stats if site in able], Variants()
    for number, site in enumerate(sites):
        show(number, len(sites))
        seen, known = stats[site], (importance or {}).get(site)
        counts = sorted({ceil(share * seen.channels) for share in shares})
        for bits in (bits for bits in scores.bits(site, "a") if bits <= _NARROW):
            errors = SplitErrors.of(seen, bits)
            whole = errors.least()
            parts = [plan.groups for plan, _ in (grouped or {}).get(site, ()) if _groups_alone(plan, bits)]
            for groups in (None, *parts):
                ranked = rank_splits(seen, bits, counts[-1], groups, known, errors=errors)
                own = errors.least(groups)
                for count in sorted({min(count, len(ranked)) for count in counts}):
                    split = tuple(sorted(each.channel for each in ranked[:count]))
                    left = errors.least(groups, split)
                    if split and left < own:
                        zeta = scores.layers[site, "a", bits] * left / whole
                        variants.setdefault(site, []).append((LayerPlan(None, bits, groups=groups, split=split), zeta))
    return variants


def _groups_alone(plan: LayerPlan, bits: int) -> bool:
    return plan.groups is not None and not plan.split and plan.group_bits is None and plan.activation_bits == bits
