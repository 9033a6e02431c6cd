"""Layers in groups that share one scale and zero-point: which call sites' inputs are alike enough.

`grouping` divides the channels of one input; here a call site's whole input is one channel of statistics, so its
distances and its program serve as they are. Sites of different kinds, such as zero-points that differ, never share.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping

import torch

from quaver.errors import UsageError
from quaver.lab.quant import grouping
from quaver.lab.quant.grouping import Distance, Groups
from quaver.lab.quant.observers import SiteStats, side_by_side

Kinds = Mapping[str, Hashable]


def partition_sites(
    stats: Mapping[str, SiteStats],
    count: int,
    distance: Distance = "error",
    bits: int = 8,
    *,
    kinds: Kinds | None = None,
    importance: Mapping[str, float] | None = None,
) -> dict[str, int]:
    """The best partition of call sites in at most `count` groups of each kind, by a distance of `grouping.partition`:
    the group's number for every site.

    kinds: of each site; by default whether its input has negative values. Sites without a kind are left out.
    importance: what a unit of squared error at a site costs, for the distance "error"; without it sites with large
    values decide.
    """
    result: dict[str, int] = {}
    for names in _by_kind(stats, kinds):
        weights = None if importance is None else torch.tensor([importance[name] for name in names])
        inputs = side_by_side([stats[name] for name in names])
        _number(result, names, grouping.partition(inputs, count, distance, bits, weights))
    return result


def shuffled_sites(
    stats: Mapping[str, SiteStats], count: int, seed: int, *, kinds: Kinds | None = None
) -> dict[str, int]:
    """Equal sizes within each kind, random members: what sharing without looking gives."""
    result: dict[str, int] = {}
    for number, names in enumerate(_by_kind(stats, kinds)):
        _number(result, names, grouping.shuffled(len(names), count, seed + number))
    return result


def noise_weights(stats: Mapping[str, SiteStats]) -> dict[str, float]:
    """1 / summed square of each site's input: as `importance`, every site's error counts as a share of its own power,
    whatever the unit of its values and the size of its map."""
    result = {}
    for name, seen in stats.items():
        counts = seen.counts.double()
        power = (seen.sums.double().square() / counts.clamp(min=1)).sum()
        result[name] = 1 / max(float(power), 1e-12)
    return result


def sharing(groups: Mapping[str, int]) -> tuple[tuple[str, ...], ...]:
    """`QuantPlan.shared` of a partition: its groups of two and more."""
    members: dict[int, list[str]] = {}
    for name, group in groups.items():
        members.setdefault(group, []).append(name)
    return tuple(tuple(names) for names in members.values() if len(names) > 1)


def _by_kind(stats: Mapping[str, SiteStats], kinds: Kinds | None) -> list[list[str]]:
    if kinds is None:
        kinds = {name: bool((seen.lowest < 0).any()) for name, seen in stats.items()}
    unknown = [name for name in kinds if name not in stats]
    if unknown:
        raise UsageError(f"{unknown[0]}: it was not observed")
    found: dict[Hashable, list[str]] = {}
    for name, kind in kinds.items():
        found.setdefault(kind, []).append(name)
    return list(found.values())


def _number(result: dict[str, int], names: list[str], groups: Groups) -> None:
    """Add a kind's partition, numbered after those before."""
    first = max(result.values(), default=-1) + 1
    result.update((name, first + group) for name, group in zip(names, groups, strict=True))
