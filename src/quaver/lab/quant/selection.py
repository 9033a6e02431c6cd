"""Scales from statistics: min-max, percentile, least squared error, and search by a task's loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor

from quaver.errors import UsageError
from quaver.lab.quant import primitives, weight_grids
from quaver.lab.quant.observers import SiteStats
from quaver.lab.quant.scale import Scale
from quaver.lab.quant.weight_grids import COARSE, FINE, PLACES

Method = Literal["minmax", "percentile", "mse"]
METHODS: tuple[Method, ...] = ("minmax", "percentile", "mse")


def choose(
    stats: SiteStats,
    bits: int | Sequence[int],
    method: Method = "mse",
    groups: Sequence[int] | None = None,
    power_of_two: bool = False,
    *,
    symmetric: bool = False,
    split: Sequence[int] = (),
    percent: float = 99.99,
) -> Scale:
    """The grid of a call site's input.

    bits: of all codes, or of each group's. groups: the group of each channel; None: one scale for all;
    range(channels): one for each.
    symmetric: zero-point 2^(bits-1), whatever the data; otherwise 0 where nothing is negative, else fitted.
    split: channels coded as two halves (`Scale.split`). percent: of "percentile", kept at either end.
    power_of_two: scales are powers of two; covering the range for min-max and percentile, the best for mse.
    """
    if method not in METHODS:
        raise UsageError(f"method {method!r}: {', '.join(METHODS)} are legal")
    if not isinstance(bits, int):
        return _mixed(stats, bits, method, groups, power_of_two, symmetric=symmetric, split=split, percent=percent)
    grouped = stats.grouped(groups, split)
    lowest, highest = grouped.lowest, grouped.highest
    if method == "percentile":
        lowest, highest = grouped.percentile(percent)
    if method == "mse":
        scale, zero = _least_error(grouped, bits, symmetric, power_of_two)
    else:
        scale, zero = _fit(lowest, highest, bits, symmetric)
        if power_of_two:
            scale = primitives.power_of_two(scale)
            if not symmetric:
                zero = torch.round(-lowest.clamp(max=0) / scale)
    if groups is None:
        scale, zero = scale[0], zero[0]
    names = None if groups is None or list(groups) == list(range(stats.channels)) else torch.as_tensor(groups)
    halves = None
    if split:
        halves = torch.zeros(stats.channels, dtype=torch.bool)
        halves[list(split)] = True
    low, high = (torch.tensor(float(limit)) for limit in primitives.activation_range(bits))
    return Scale(scale, zero, low, high, names, halves, stats.axis)


def choose_weight(
    weight: Tensor,
    bits: int | Sequence[int],
    method: Method = "minmax",
    axis: int | None = 0,
    power_of_two: bool = False,
    groups: Sequence[int] | None = None,
    affine: bool = False,
) -> Scale:
    """The grid of a weight: one scale for each index of `axis` (the output channels), for each group of them where
    `groups` names the group of each, or one for all where axis is None.

    bits: may be given per output channel; 0 prunes it. Methods: minmax or mse, on the weight itself.
    affine: codes 0..2^bits - 1 with fitted zero-points; otherwise symmetric ones around 0.
    """
    if method not in ("minmax", "mse"):
        raise UsageError(f"method {method!r}: minmax, mse are legal for weights")
    weight = weight.detach().float()
    rows = weight.reshape(1, -1) if axis is None else weight.movedim(axis, 0).reshape(weight.shape[axis], -1)
    each = [bits] * len(rows) if isinstance(bits, int) else list(bits)
    names = torch.arange(len(rows)) if groups is None else torch.as_tensor(groups)
    if not len(each) == len(names) == len(rows):
        raise UsageError(f"{len(each)} bits, {len(names)} groups; the weight has {len(rows)} output channels")
    names = names.to(weight.device)
    limits = torch.tensor([0.0 if b == 0 else float(primitives.weight_range(b)[1]) for b in each]).to(weight.device)
    limit = limits.new_zeros(int(names.max()) + 1).scatter_reduce(0, names, limits, "amax")
    if not torch.equal(limit[names], limits):
        raise UsageError("the channels of a group have the same bits")
    scale, zero = weight_grids.symmetric(rows, names, limit, method, power_of_two)
    low, high = -limit, limit
    if affine:
        scale, zero = weight_grids.affine(rows, names, limit, method, power_of_two, scale)
        low, high = torch.zeros_like(limit), weight_grids.top(limit)
    if axis is None:
        scale, zero, low, high = (each.reshape(-1)[0] for each in (scale, zero, low, high))
        return Scale(scale, zero, low, high, axis=0)
    return Scale(scale, zero, low, high, None if groups is None else names, axis=axis)


def search_by_loss(
    stats: SiteStats,
    bits: int | Sequence[int],
    loss: Callable[[Scale], float],
    groups: Sequence[int] | None = None,
    power_of_two: bool = False,
    *,
    symmetric: bool = False,
    split: Sequence[int] = (),
    shares: Sequence[float] = (0.9, 0.8, 0.7),
) -> tuple[Scale, float]:
    """(scale, loss) of the candidate whose loss is least: mse, min-max, two percentiles, then shares of the best.

    `loss` is called with each candidate, for example with the clip's rate and distortion where one call site has it.
    Source: Shi, Lu, Ma, RDO-PTQ, TCSVT 2024: the range with the least error is not the one with the least R + lambda D.
    """
    chosen: list[tuple[Method, float]] = [("mse", 100), ("minmax", 100), ("percentile", 99.99), ("percentile", 99.9)]
    candidates = [
        choose(stats, bits, method, groups, power_of_two, symmetric=symmetric, split=split, percent=percent)
        for method, percent in chosen
    ]
    best, least = candidates[0], loss(candidates[0])
    for candidate in candidates[1:]:
        value = loss(candidate)
        if value < least:
            best, least = candidate, value
    if power_of_two:
        return best, least
    full = best
    for share in shares:
        candidate = full.with_scale(full.scale * share)
        value = loss(candidate)
        if value >= least:
            break
        best, least = candidate, value
    return best, least


def _mixed(
    stats: SiteStats, bits: Sequence[int], method: Method, groups: Sequence[int] | None, power_of_two: bool, **rest: Any
) -> Scale:
    """A grid whose groups have bits of their own: each group's is that which it has where all have its bits."""
    if groups is None or len(bits) != max(groups) + 1:
        raise UsageError(f"bits {list(bits)}: one for each group")
    grids = {b: choose(stats, b, method, groups, power_of_two, **rest) for b in sorted(set(bits))}
    first = grids[bits[0]]

    def joined(name: str) -> Tensor:
        values = [getattr(grids[b], name) for b in bits]
        return torch.stack([value[place] if value.ndim else value for place, value in enumerate(values)])

    scale, zero, low, high = (joined(name) for name in ("scale", "zero", "low", "high"))
    return replace(first, scale=scale, zero=zero, low=low, high=high)


def _fit(lowest: Tensor, highest: Tensor, bits: int, symmetric: bool) -> tuple[Tensor, Tensor]:
    if not symmetric:
        return primitives.affine(lowest, highest, bits)
    peak = torch.maximum(-lowest, highest).clamp(min=0)
    return primitives.symmetric(peak, 2 ** (bits - 1) - 1), torch.full_like(peak, 2.0 ** (bits - 1))


def _placed(steps: Tensor, lowest: Tensor, highest: Tensor, bits: int, symmetric: bool) -> tuple[Tensor, Tensor]:
    """(scale, zero) for given steps (G, K * len(PLACES)): each with zero-points that clip more of one end, or of the
    other."""
    if symmetric:
        return steps, torch.full_like(steps, 2.0 ** (bits - 1))
    low, high = primitives.activation_range(bits)
    from_low, from_high = -lowest.clamp(max=0) / steps, high - highest.clamp(min=0) / steps
    places = PLACES.repeat(steps.shape[1] // len(PLACES))
    zero = torch.round(from_low + places * (from_high - from_low)).clamp(low, high)
    return steps, torch.where(lowest < 0, zero, 0.0)


def _least_error(stats: SiteStats, bits: int, symmetric: bool, power_of_two: bool) -> tuple[Tensor, Tensor]:
    """(scale, zero), each (G,), with the least squared error over the histogram."""
    lowest, highest = stats.lowest[:, None], stats.highest[:, None]
    full, zero = _fit(lowest, highest, bits, symmetric)
    # Powers of two, with zero-points from the one that reaches the lowest value to the one that reaches the highest.
    # They are candidates in any case: data that already lie on such a grid lose nothing on it.
    steps = (primitives.power_of_two(full) * 0.5 ** torch.arange(8.0)).repeat_interleave(len(PLACES), 1)
    powers = _placed(steps, lowest, highest, bits, symmetric)
    if power_of_two:
        return _best(stats, [powers], bits)
    shares = _fit(lowest * COARSE, highest * COARSE, bits, symmetric)
    scale, zero = (each[:, None] for each in _best(stats, [(full, zero), shares, powers], bits))
    candidates = [(scale, zero)]
    if symmetric:
        candidates.append((scale * FINE, zero.expand(-1, len(FINE))))
        return _best(stats, candidates, bits)
    # The two ends apart: the lower, then the upper.
    _, top = primitives.activation_range(bits)
    candidates.append(_fit(-zero * scale * COARSE, (top - zero) * scale, bits, False))
    scale, zero = (each[:, None] for each in _best(stats, candidates, bits))
    upper = torch.cat([COARSE, FINE])
    candidates = [(scale, zero), _fit(-zero * scale, (top - zero) * scale * upper, bits, False)]
    return _best(stats, candidates, bits)


def _best(stats: SiteStats, candidates: list[tuple[Tensor, Tensor]], bits: int) -> tuple[Tensor, Tensor]:
    """The candidate (scale, zero), each (G, K), with the least error for each group; the first where several have."""
    scale, zero = (torch.cat([pair[i] for pair in candidates], 1) for i in (0, 1))
    low, high = primitives.activation_range(bits)
    best = []
    for group in range(stats.channels):  # one at a time bounds the memory
        filled = stats.counts[group] > 0
        counts = stats.counts[group][filled].double()
        centres = stats.sums[group][filled].double() / counts
        s, z = scale[group, :, None].double(), zero[group, :, None].double()
        error = primitives.dequantize(primitives.quantize(centres, s, z, low, high), s, z) - centres
        best.append(int((error.square() * counts).sum(1).argmin()))
    index = torch.tensor(best)[:, None]
    return scale.gather(1, index)[:, 0], zero.gather(1, index)[:, 0]
