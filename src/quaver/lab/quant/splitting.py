"""Outlier channels in two halves: which ones, and the float layers that compute the same.

A split channel is stored as two codes whose sum counts: at the same scale it reaches twice as far, or the scale that
all channels share may be half. Source: Zhao, Hu, Dotzel, De Sa, Zhang, Improving Neural Network Quantization without
Retraining using Outlier Channel Splitting, ICML 2019. There the channels with the largest values are split; here those
whose splitting lowers the loss most, as Q-LIC (Sun et al., 2022) does by reconstruction error; those with the highest
frequencies are a baseline.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from quaver.errors import UsageError
from quaver.lab.quant.grouping import error_table
from quaver.lab.quant.observers import SiteStats

Dense = nn.Conv2d | nn.Linear


Rank = Literal["effect", "frequency"]


@dataclass(frozen=True, slots=True)
class Split:
    """A channel, and by how much splitting it lowers the loss once those before it are split."""

    channel: int
    gain: float


@dataclass(frozen=True, slots=True, eq=False)
class SplitErrors:
    """Squared errors at every one of a common set of scales, (C, scales) float64 as of `error_table`: of channels as
    they are, and in two halves."""

    whole: Tensor
    halved: Tensor

    @classmethod
    def of(cls, stats: SiteStats, bits: int) -> SplitErrors:
        return cls(error_table(stats, bits), error_table(stats, bits, split=True))

    def least(self, groups: Sequence[int] | None = None, split: Sequence[int] = ()) -> float:
        """The summed squared error with those channels split, where each group has its best scale."""
        table = self.whole.clone()
        table[list(split)] = self.halved[list(split)]
        return float(_totals(table, _numbers(groups, len(table))).amin(1).sum())


def rank_splits(
    stats: SiteStats,
    bits: int,
    count: int,
    groups: Sequence[int] | None = None,
    importance: Tensor | None = None,
    rank: Rank = "effect",
    frequency: Tensor | None = None,
    errors: SplitErrors | None = None,
) -> list[Split]:
    """At most `count` channels to split, the best first; by effect fewer where more would not help.

    importance (C,): what a channel's mean squared error costs. With that of `channel_importance` gains are changes of
    J; without it they are changes of the squared error. Scales are the best for each group, before and after.
    rank: "effect" takes the channel with the largest gain each time. "frequency" takes the channels in the order of
    `frequency` (C,), such as `high_frequency_share`, the highest first, whatever they gain: a baseline that looks at
    no loss. errors: `SplitErrors` of stats and bits, where they are known already.
    """
    weight = torch.ones(stats.channels) if importance is None else importance
    if weight.shape != (stats.channels,):
        raise UsageError(f"importance of {weight.numel()} channels; the call site's input has {stats.channels}")
    order = None if rank == "effect" else _order(frequency, stats.channels, rank)
    of, errors = _numbers(groups, stats.channels), errors or SplitErrors.of(stats, bits)
    factor = (weight.double() / stats.counts.double().sum(1).clamp(min=1))[:, None]
    whole, halved = errors.whole * factor, errors.halved * factor
    totals = _totals(whole, of)
    left, found = torch.ones(stats.channels, dtype=torch.bool), list[Split]()
    while len(found) < min(count, stats.channels):
        tried = totals[of] - whole + halved
        gains = torch.where(left, totals[of].amin(1) - tried.amin(1), -torch.inf)
        best = int(gains.argmax()) if order is None else order[len(found)]
        if order is None and float(gains[best]) <= 0:
            break
        totals[of[best]] = tried[best]
        left[best] = False
        found.append(Split(best, float(gains[best])))
    return found


def _order(frequency: Tensor | None, channels: int, rank: str) -> list[int]:
    if rank != "frequency":
        raise UsageError(f"rank {rank!r}: effect and frequency are legal")
    if frequency is None or frequency.shape != (channels,):
        given = "none" if frequency is None else f"of {frequency.numel()} channels"
        raise UsageError(f'rank "frequency" needs a frequency for each of {channels} channels; given: {given}')
    order: list[int] = frequency.argsort(descending=True, stable=True).tolist()
    return order


def _numbers(groups: Sequence[int] | None, channels: int) -> Tensor:
    return torch.zeros(channels, dtype=torch.long) if groups is None else torch.tensor(list(groups))


def _totals(table: Tensor, of: Tensor) -> Tensor:
    """(groups, scales)"""
    return torch.zeros(int(of.max()) + 1, table.shape[1], dtype=torch.float64).index_add(0, of, table)


@torch.no_grad()
def split_layers(first: Dense, second: Dense, channels: Sequence[int]) -> tuple[Dense, Dense]:
    """Copies of two convolutions or linear layers that compute the same through channels that the first makes twice at
    half size and the second adds up. Between them there may be what commutes with halving, such as a ReLU; all is
    exact but for the order of the second's sum."""
    for layer in (first, second):
        if not isinstance(layer, nn.Conv2d | nn.Linear) or getattr(layer, "groups", 1) != 1:
            raise UsageError(f"{type(layer).__name__}: channels are split between Conv2d and Linear without groups")
    again = list(channels)
    maker, reader = copy.deepcopy(first), copy.deepcopy(second)
    half = torch.ones(len(maker.weight)).to(maker.weight)
    half[again] = 0.5
    for name in ("weight", "bias"):
        rows = getattr(maker, name)
        if rows is not None:
            halved = rows * half.reshape(-1, *[1] * (rows.ndim - 1))
            setattr(maker, name, nn.Parameter(torch.cat([halved, halved[again]])))
    reader.weight = nn.Parameter(torch.cat([reader.weight, reader.weight[:, again]], 1))
    setattr(maker, "out_channels" if isinstance(maker, nn.Conv2d) else "out_features", len(maker.weight))
    setattr(reader, "in_channels" if isinstance(reader, nn.Conv2d) else "in_features", reader.weight.shape[1])
    return maker, reader
