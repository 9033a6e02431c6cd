"""Steps and zero-points of weights: to cover their range, or of the least squared error, for groups of rows.

rows (R, N): a row's weights have one grid. names (R,): the group of each row. limit (G,): the largest code of symmetric
weights, 2^(bits-1) - 1, or 0 where rows are pruned. Grids are (scale, zero), (G,) each.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from quaver.lab.quant import primitives

# Shares of the full range: every 6 % down to a fiftieth (2 bits clip that much), then finer around the best.
COARSE = torch.logspace(0, -1.7, 66, base=10.0)
FINE = torch.linspace(0.94, 1.06, 13)
PLACES = torch.linspace(0, 1, 9)  # of zero-points, between those that reach either end
_HALVINGS = 0.5 ** torch.arange(6.0)

Grid = tuple[Tensor, Tensor]  # scale, zero


def top(limit: Tensor) -> Tensor:
    """The largest code of affine weights, whose least is 0, with as many bits as symmetric ones up to `limit` have."""
    return torch.where(limit > 0, 2 * limit + 1, 0.0)


def symmetric(rows: Tensor, names: Tensor, limit: Tensor, method: str, power_of_two: bool) -> Grid:
    """Codes -limit..limit, one zero-point () of 0."""
    peak = torch.zeros_like(limit).scatter_reduce(0, names, rows.abs().amax(1), "amax")
    scale, zero = primitives.symmetric(peak, limit), torch.zeros_like(limit)
    if power_of_two:
        scale = primitives.power_of_two(scale)
    if method == "mse":
        for shares in [_HALVINGS] if power_of_two else [COARSE, FINE]:
            narrower = [(primitives.positive(scale * share), zero) for share in shares.tolist()]
            scale, _ = _best(rows, names, -limit, limit, [(scale, zero), *narrower])
    return scale, zero[0].clone()


def affine(rows: Tensor, names: Tensor, limit: Tensor, method: str, power_of_two: bool, other: Tensor) -> Grid:
    """Codes 0..`top(limit)`, fitted zero-points. other: the scales of the `symmetric` grid, which the grid of least
    error is never worse than."""
    low, high = torch.zeros_like(limit), top(limit)
    lowest = low.scatter_reduce(0, names, rows.amin(1), "amin")  # of `low` as well: both ends hold 0
    highest = low.scatter_reduce(0, names, rows.amax(1), "amax")
    full = primitives.affine_to(lowest, highest, high)
    if power_of_two:
        full = _placed(primitives.power_of_two(full[0]), lowest, highest, high, 0.0)
    if method == "minmax":
        return full
    same = other, limit  # the symmetric codes, and one below or above them
    if power_of_two:
        steps = (full[0] * share for share in _HALVINGS.tolist())
        placed = (_placed(step, lowest, highest, high, place) for step in steps for place in PLACES.tolist())
        return _best(rows, names, low, high, [full, same, *placed])
    narrower = (primitives.affine_to(lowest * share, highest * share, high) for share in COARSE.tolist())
    best = _best(rows, names, low, high, [full, same, *narrower])
    for shares in _shares():  # of the two ends apart
        scale, zero = best
        ends = [(-zero * scale * below, (high - zero) * scale * above) for below, above in shares]
        best = _best(rows, names, low, high, [best, *(primitives.affine_to(*pair, high) for pair in ends)])
    return best


def _shares() -> Iterator[list[tuple[float, float]]]:
    either = torch.cat([COARSE, FINE]).tolist()
    yield [(share, 1.0) for share in either]
    yield [(1.0, share) for share in either]


def _placed(step: Tensor, lowest: Tensor, highest: Tensor, high: Tensor, place: float) -> Grid:
    """A step with the zero-point that reaches the lowest value (place 0), or the highest (1), or lies between."""
    from_low, from_high = -lowest / step, high - highest / step
    return step, torch.minimum(torch.round(from_low + place * (from_high - from_low)).clamp(min=0), high)


def _best(rows: Tensor, names: Tensor, low: Tensor, high: Tensor, candidates: Iterable[Grid]) -> Grid:
    """For each group of rows the candidate with the least squared error; the first where several have."""
    best: Grid | None = None
    least = torch.zeros_like(low)
    for scale, zero in candidates:
        step, middle = scale[names, None], zero[names, None]
        codes = torch.clamp(torch.round(rows / step), low[names, None] - middle, high[names, None] - middle)
        squared = (codes * step - rows).double().square().sum(1)
        error = squared.new_zeros(len(scale)).index_add(0, names, squared)
        if best is None:
            best, least = (scale, zero), error
            continue
        better = error < least
        best = torch.where(better, scale, best[0]), torch.where(better, zero, best[1])
        least = torch.minimum(error, least)
    assert best is not None
    return best
