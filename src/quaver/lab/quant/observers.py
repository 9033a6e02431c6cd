"""What a call site's input looked like over a run: running ranges and a histogram per channel, in bounded memory.

A channel's histogram covers [-2^e, 2^e) with equal bins; where a value lies outside, e grows and bins merge in pairs,
so histograms of different calls, channels and machines add up exactly. A bin keeps how many values it had and their
sum: data on a coarser grid (another layer's 8-bit codes) are then known exactly, not only to a bin's width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce

import torch
from torch import Tensor

from quaver.errors import UsageError

BINS = 1024  # more than the codes of twice an 8-bit range, so that two codes never share a bin
LOWEST_EXPONENT, HIGHEST_EXPONENT = -60, 60
_TENSORS = ("lowest", "highest", "exponent", "counts", "sums")  # of SiteStats, in its order


@dataclass(frozen=True, slots=True, eq=False)
class SiteStats:
    """Statistics of one call site's input with C channels. 8 * BINS + 12 bytes a channel.

    axis: the channels', counted from the end. calls: how many tensors were seen.
    lowest, highest: (C,) float32, exact. exponent: (C,) int32, the histogram's range [-2^e, 2^e).
    counts, sums: (C, BINS) float32, the values in each bin and their sum.
    """

    axis: int
    calls: int
    lowest: Tensor
    highest: Tensor
    exponent: Tensor
    counts: Tensor
    sums: Tensor

    @property
    def channels(self) -> int:
        return self.lowest.shape[0]

    @property
    def mean(self) -> Tensor:
        """(C,) float32, of each channel."""
        totals = self.sums.double().sum(1) / self.counts.double().sum(1).clamp(min=1)
        return totals.float()

    def merge(self, other: SiteStats) -> SiteStats:
        """Of both runs together, as for calibration on several machines."""
        if (self.channels, self.axis) != (other.channels, other.axis):
            raise UsageError(f"statistics of {self.channels} and {other.channels} channels cannot be merged")
        exponent = torch.maximum(self.exponent, other.exponent)
        mine, theirs = self._widened(exponent), other._widened(exponent)
        return SiteStats(
            self.axis,
            self.calls + other.calls,
            torch.minimum(self.lowest, other.lowest),
            torch.maximum(self.highest, other.highest),
            exponent,
            mine[0] + theirs[0],
            mine[1] + theirs[1],
        )

    def grouped(self, groups: Sequence[int] | Tensor | None, split: Sequence[int] = ()) -> SiteStats:
        """The statistics of channel groups, as if each group were one channel. None: one group.

        Channels in `split` count as their halves, which is what is quantized of them.
        """
        names = torch.zeros(self.channels, dtype=torch.int64) if groups is None else torch.as_tensor(groups)
        if names.shape != (self.channels,):
            raise UsageError(f"groups for {names.numel()} channels; the call site's input has {self.channels}")
        count = int(names.max()) + 1
        factor = torch.ones(self.channels)
        factor[list(split)] = 0.5
        exponent = self.exponent - (factor < 1).to(torch.int32)
        widest = exponent.new_full((count,), LOWEST_EXPONENT - 1)
        widest = widest.scatter_reduce(0, names, exponent, "amax")
        counts, sums = _widen(self.counts, self.sums * factor[:, None], widest[names] - exponent)
        empty = torch.zeros(count, counts.shape[1])
        return SiteStats(
            self.axis,
            self.calls,
            torch.full((count,), torch.inf).scatter_reduce(0, names, self.lowest * factor, "amin"),
            torch.full((count,), -torch.inf).scatter_reduce(0, names, self.highest * factor, "amax"),
            widest,
            empty.index_add(0, names, counts),
            empty.index_add(0, names, sums),
        )

    def percentile(self, percent: float) -> tuple[Tensor, Tensor]:
        """(C,) values that all but 100 - percent per cent of the values are above, and below: to a bin's width,
        and never outside the exact range."""
        if not 50 < percent <= 100:
            raise UsageError(f"percentile {percent}: more than 50, up to 100 is legal")
        counts = self.counts.double()
        allowed = counts.sum(1, keepdim=True) * (1 - percent / 100)
        bins = counts.shape[1]
        below = (counts.cumsum(1) <= allowed).sum(1)
        above = (counts.flip(1).cumsum(1) <= allowed).sum(1)
        width = torch.ldexp(torch.full((self.channels,), 2.0 / bins), self.exponent)
        lowest = (below - bins // 2) * width
        highest = (bins - above - bins // 2) * width
        return torch.maximum(lowest, self.lowest), torch.minimum(highest, self.highest)

    def values(self, count: int) -> Tensor:
        """(C, count) float32 values that stand for equal shares of what each channel had, ascending: means of bins."""
        counts = self.counts.double()
        below = counts.cumsum(1)
        wanted = (torch.arange(count) + 0.5) / count * below[:, -1:]
        means = self.sums.double() / counts.clamp(min=1)
        return means.gather(1, torch.searchsorted(below, wanted)).float()

    def _widened(self, exponent: Tensor) -> tuple[Tensor, Tensor]:
        return _widen(self.counts, self.sums, exponent - self.exponent)


def accumulate(stats: SiteStats | None, x: Tensor, axis: int = -3) -> SiteStats:
    """The statistics after one more tensor, whose channels lie on `axis`; `stats` is None before the first."""
    rows = x.detach().movedim(axis, 0).reshape(x.shape[axis], -1).float()
    if rows.numel() == 0:
        raise UsageError(f"an empty tensor of shape {tuple(x.shape)} has no statistics")
    lowest, highest = rows.amin(1), rows.amax(1)
    peak = torch.maximum(-lowest, highest)
    if not bool(torch.isfinite(peak).all()):
        raise UsageError("values that are not finite have no statistics")
    exponent = torch.frexp(peak).exponent.to(torch.int32)
    exponent = torch.where(peak > 0, exponent, LOWEST_EXPONENT).clamp(LOWEST_EXPONENT, HIGHEST_EXPONENT)
    if stats is not None:
        if stats.channels != rows.shape[0]:
            raise UsageError(f"{rows.shape[0]} channels after {stats.channels}")
        exponent = torch.maximum(exponent, stats.exponent.to(exponent.device))
    counts, sums = _histogram(rows, exponent)
    parts = (each.cpu() for each in (lowest, highest, exponent, counts, sums))
    new = SiteStats(axis, 1, *parts)
    return new if stats is None else stats.merge(new)


def together(inputs: Sequence[SiteStats]) -> SiteStats:
    """Of whole inputs of several call sites, as if all of them were one channel."""
    return reduce(SiteStats.merge, (replace(each.grouped(None), axis=inputs[0].axis) for each in inputs))


def side_by_side(inputs: Sequence[SiteStats]) -> SiteStats:
    """Whole inputs of several call sites, each as one channel."""
    whole = [each.grouped(None) for each in inputs]
    parts = [torch.cat([getattr(each, name) for each in whole]) for name in _TENSORS]
    return SiteStats(inputs[0].axis, max(each.calls for each in inputs), *parts)


def _histogram(rows: Tensor, exponent: Tensor) -> tuple[Tensor, Tensor]:
    """(counts, sums), each (C, BINS), of rows (C, N)."""
    channels = rows.shape[0]
    scaled = rows * torch.ldexp(torch.full_like(exponent, BINS // 2, dtype=torch.float32), -exponent)[:, None]
    # The floor first: a sum with a small negative number would round up to the bin above zero.
    place = scaled.floor_().add_(BINS // 2).clamp_(0, BINS - 1).to(torch.int64)
    place += torch.arange(channels, device=rows.device)[:, None] * BINS
    place = place.flatten()
    shape, length = (channels, BINS), channels * BINS
    counts = torch.bincount(place, minlength=length).to(torch.float32).reshape(shape)
    sums = torch.bincount(place, rows.flatten(), length).to(torch.float32).reshape(shape)
    return counts, sums


def _widen(counts: Tensor, sums: Tensor, doublings: Tensor) -> tuple[Tensor, Tensor]:
    """Histograms over ranges that are 2^doublings times as wide; doublings (C,) >= 0."""
    # After log2(bins) doublings only the two bins beside zero are left, and they stay.
    left = doublings.clamp(max=counts.shape[1].bit_length())
    while bool((left > 0).any()):
        grows = (left > 0)[:, None]
        counts, sums = torch.where(grows, _halved(counts), counts), torch.where(grows, _halved(sums), sums)
        left = left - 1
    return counts, sums


def _halved(values: Tensor) -> Tensor:
    channels, bins = values.shape
    half = torch.zeros_like(values)
    half[:, bins // 4 : 3 * bins // 4] = values.reshape(channels, bins // 2, 2).sum(2)
    return half
