"""Channels of an activation in groups that share a scale: partitions by distance of distributions, and baselines.

A partition gives every channel the number of its group, 0, 1, ... without gaps (`LayerPlan.groups`). Optimal partitions
are found by dynamic programming among runs of channels in the order of their ranges. For the distance of ranges no
other partition is better; for the others tests compare with all partitions of small cases. Source of the program: Wang
and Song, Ckmeans.1d.dp, The R Journal 2011; of sorting by range: Yuan et al., RPTQ, 2023.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from quaver.errors import UsageError
from quaver.lab.quant import primitives
from quaver.lab.quant.observers import SiteStats

Groups = tuple[int, ...]
Distance = Literal["range", "quantiles", "error"]
DISTANCES: tuple[Distance, ...] = ("range", "quantiles", "error")

_QUANTILES = np.linspace(0.5, 99.5, 34)
_CANDIDATES = 48  # scales that the error of shared scales is tabulated for


def one_group(channels: int) -> Groups:
    """Per tensor."""
    return (0,) * channels


def per_channel(channels: int) -> Groups:
    return tuple(range(channels))


def contiguous(channels: int, count: int) -> Groups:
    """Runs of equal length in the order of channels, as group normalization has them."""
    return tuple(int(x) for x in np.arange(channels) * min(count, channels) // channels)


def by_source(sizes: Sequence[int]) -> Groups:
    """One group for each operand of a concatenation: context and latents differ in distribution."""
    return tuple(number for number, size in enumerate(sizes) for _ in range(size))


def shuffled(channels: int, count: int, seed: int) -> Groups:
    """Equal sizes, random members: what grouping without looking gives."""
    order = np.random.default_rng(seed).permutation(channels)
    return numbered(np.array(contiguous(channels, count))[order])


def sorted_range(stats: SiteStats, count: int) -> Groups:
    """Equal sizes by growing range."""
    groups = np.empty(stats.channels, np.intp)
    groups[_order(stats)] = contiguous(stats.channels, count)
    return numbered(groups)


def partition(
    stats: SiteStats, count: int, distance: Distance = "error", bits: int = 8, importance: Tensor | None = None
) -> Groups:
    """The best partition in at most `count` groups.

    range: squared differences of the logarithms of ranges. quantiles: the squared 2-Wasserstein distance of each
    channel's distribution to its group's barycentre. error: squared error at `bits` when members share the group's
    best scale, which is what sharing costs; times the channel's `importance` (C,) where it is given
    (`channel_importance`), what it costs in J.
    """
    return partitions(stats, count, distance, bits, importance)[-1]


def partitions(
    stats: SiteStats, count: int, distance: Distance = "error", bits: int = 8, importance: Tensor | None = None
) -> list[Groups]:
    """The best partitions in 1, 2, ... `count` groups; one program finds them all."""
    if distance not in DISTANCES:
        raise UsageError(f"distance {distance!r}: {', '.join(DISTANCES)} are legal")
    if count < 1:
        raise UsageError(f"{count} groups: at least 1 is legal")
    order = _order(stats)
    if distance == "error":
        table = error_table(stats, bits)
        if importance is not None:
            table = table * importance.double()[:, None]
        costs = _shared_costs(table.numpy()[order])
    else:
        features = np.log(_reach(stats))[:, None] if distance == "range" else _quantile_functions(stats)
        costs = _variance_costs(features[order])
    result = []
    for runs in _best_runs(costs, min(count, stats.channels)):
        groups = np.empty(stats.channels, np.intp)
        groups[order] = runs
        result.append(numbered(groups))
    return result


def runs_of(values: NDArray[np.float64], count: int) -> Groups:
    """(C,) numbers in at most `count` groups of neighbouring values, with the least squared distance to the groups'
    means."""
    order = np.argsort(values, kind="stable")
    groups = np.empty(len(values), np.intp)
    groups[order] = _best_runs(_variance_costs(values[order, None]), min(count, len(values)))[-1]
    return numbered(groups)


def sharing_error(stats: SiteStats, groups: Groups, bits: int = 8) -> float:
    """Mean squared error at `bits` where each group has the best scale of `error_table`."""
    table, of = error_table(stats, bits), torch.tensor(groups)
    shared = torch.stack([table[of == group].sum(0).min() for group in range(int(of.max()) + 1)])
    return float(shared.sum() / stats.counts.double().sum())


def error_table(stats: SiteStats, bits: int, split: bool = False) -> Tensor:
    """(C, scales) float64: each channel's summed squared error at every one of a common set of scales. Channels
    without negative values have zero-point 0, others the middle code. split: of channels in two halves."""
    low, high = primitives.activation_range(bits)
    reach = torch.from_numpy(_reach(stats))
    signed = bool((stats.lowest < 0).any())
    zero = float((high + 1) // 2) if signed else 0.0
    top = high - zero
    # From what the narrowest channel would clip to, up to what the widest one needs.
    scales = torch.logspace(
        float(torch.log10(reach.min() / top)) - 0.5, float(torch.log10(reach.max() / top)), _CANDIDATES
    )
    rows = []
    for channel in range(stats.channels):
        filled = stats.counts[channel] > 0
        counts = stats.counts[channel][filled].double()
        centres = stats.sums[channel][filled].double() / counts
        s = scales[:, None].double()
        halves = 1 + split
        z = torch.tensor(zero * halves, dtype=torch.float64)
        codes = primitives.quantize(centres, s, z, low * halves, high * halves)
        error = primitives.dequantize(codes, s, z) - centres
        rows.append((error.square() * counts).sum(1))
    return torch.stack(rows)


def _reach(stats: SiteStats) -> NDArray[np.float64]:
    reach = torch.maximum(stats.highest, -stats.lowest).clamp(min=1e-6)
    return reach.double().numpy()


def _order(stats: SiteStats) -> NDArray[np.intp]:
    return np.argsort(_reach(stats), kind="stable")


def _quantile_functions(stats: SiteStats) -> NDArray[np.float64]:
    """(C, quantiles): the distance of two rows is that of the distributions (2-Wasserstein in one dimension)."""
    result = np.empty((stats.channels, len(_QUANTILES)))
    for channel in range(stats.channels):
        counts = stats.counts[channel].double().numpy()
        filled = counts > 0
        centres = stats.sums[channel].double().numpy()[filled] / counts[filled]
        shares = (np.cumsum(counts[filled]) - counts[filled] / 2) / counts.sum() * 100
        result[channel] = np.interp(_QUANTILES, shares, centres)
    return result


def _variance_costs(features: NDArray[np.float64]) -> NDArray[np.float64]:
    """(C, C): squared distances of rows i..j to their mean, where i <= j."""
    total = np.concatenate([np.zeros((1, features.shape[1])), np.cumsum(features, 0)])
    squares = np.concatenate([[0.0], np.cumsum((features**2).sum(1))])
    size = len(features)
    costs = np.full((size, size), np.inf)
    for first in range(size):
        lengths = np.arange(1, size - first + 1)
        sums = total[first + 1 :] - total[first]
        costs[first, first:] = squares[first + 1 :] - squares[first] - (sums**2).sum(1) / lengths
    return costs


def _shared_costs(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """(C, C): error of rows i..j at the best scale for all of them."""
    total = np.concatenate([np.zeros((1, table.shape[1])), np.cumsum(table, 0)])
    size = len(table)
    costs = np.full((size, size), np.inf)
    for first in range(size):
        costs[first, first:] = (total[first + 1 :] - total[first]).min(1)
    return costs


def _best_runs(costs: NDArray[np.float64], count: int) -> list[NDArray[np.intp]]:
    """For 1..count runs the best division of rows, as the run's number of each row."""
    size = len(costs)
    best, starts = [costs[0]], [np.zeros(size, np.intp)]
    for _ in range(1, count):
        before = np.concatenate([[np.inf], best[-1][:-1]])  # the best up to row i - 1, for a last run from i
        tried = before[:, None] + costs
        starts.append(tried.argmin(0))
        best.append(tried.min(0))
    result = []
    for runs in range(count):
        numbers, end = np.empty(size, np.intp), size
        for run in range(runs, -1, -1):
            start = int(starts[run][end - 1]) if run else 0
            numbers[start:end] = run
            end = start
        result.append(numbers)
    return result


def numbered(groups: NDArray[np.intp]) -> Groups:
    """The same partition with groups numbered as channels meet them."""
    seen: dict[int, int] = {}
    return tuple(seen.setdefault(int(group), len(seen)) for group in groups)
