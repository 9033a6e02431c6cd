"""Outlier channels in two halves: which ones, and the float layers that compute the same.

A split channel is stored as two codes whose sum counts: at the same scale it reaches twice as far, or the scale that
all channels share may be half. Source: Zhao, Hu, Dotzel, De Sa, Zhang, Improving Neural Network Quantization without
Retraining using Outlier Channel Splitting, ICML 2019. There the channels with the largest values are split; here those
whose splitting lowers the loss most, as Q-LIC (Sun et al., 2022) does by reconstruction error.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from quaver.errors import UsageError
from quaver.lab.quant.grouping import error_table
from quaver.lab.quant.observers import SiteStats

Dense = nn.Conv2d | nn.Linear


@dataclass(frozen=True, slots=True)
class Split:
    """A channel, and by how much splitting it lowers the loss once those before it are split."""

    channel: int
    gain: float


def rank_splits(
    stats: SiteStats,
    bits: int,
    count: int,
    groups: Sequence[int] | None = None,
    importance: Tensor | None = None,
) -> list[Split]:
    """At most `count` channels to split, the best first; fewer where more would not help.

    importance (C,): what a channel's mean squared error costs. With that of `channel_importance` gains are changes of
    J; without it they are changes of the squared error. Scales are the best for each group, before and after.
    """
    weight = torch.ones(stats.channels) if importance is None else importance
    if weight.shape != (stats.channels,):
        raise UsageError(f"importance of {weight.numel()} channels; the call site's input has {stats.channels}")
    of = torch.zeros(stats.channels, dtype=torch.long) if groups is None else torch.tensor(list(groups))
    factor = (weight.double() / stats.counts.double().sum(1).clamp(min=1))[:, None]
    whole, halved = (error_table(stats, bits, split) * factor for split in (False, True))
    totals = torch.zeros(int(of.max()) + 1, whole.shape[1], dtype=torch.float64).index_add(0, of, whole)
    left, found = torch.ones(stats.channels, dtype=torch.bool), list[Split]()
    while len(found) < min(count, stats.channels):
        tried = totals[of] - whole + halved
        gains = torch.where(left, totals[of].amin(1) - tried.amin(1), -torch.inf)
        best = int(gains.argmax())
        if float(gains[best]) <= 0:
            break
        totals[of[best]] = tried[best]
        left[best] = False
        found.append(Split(best, float(gains[best])))
    return found


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
