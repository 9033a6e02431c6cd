"""Scales of sites, and zero-points where a plan has them fitted, with the least squared error over samples.

A zero-point z says where codes of b bits lie around zero: from -z to 2^b - 1 - z, 0 <= z < 2^b. Scales are tried for
the middle and for the zero-point of the whole range; then the ends of the best range move, one at a time. As the best
scale for the middle is among the candidates, no fitted zero-point loses more than a fixed one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from quaver.lab.models.sites import Site

RATIOS = torch.linspace(0.3, 1.0, 29)  # of the largest value, tried as the range's end
_ROUNDS = 2  # in which both ends of a range move
_NARROWEST = 1e-3  # width of a range
_AT_ONCE = 1 << 18  # values on candidate grids, which bounds the memory


def scales(site: Site, values: Tensor, groups: Sequence[int] | None) -> Tensor:
    """() or (C,), for values (C, N) and zero-points as they are."""
    low, high = (limit.expand(len(values)) for limit in site.reach())
    if groups is None:
        return scale(values, low, high)
    of, members = _members(groups)
    return torch.stack([scale(values[own], low[own], high[own]) for own in members])[of]


def scale(values: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Of channels that share one: values (C, N), lowest and highest in steps (C,)."""
    reach = max(float((values.abs().amax(1) / high).max()), 1e-3 / float(high.max()))
    low, high = low[:, None], high[:, None]
    tried = RATIOS * reach
    errors = [float(((values / s).round().clamp(low, high) * s - values).square().mean()) for s in tried]
    return tried[int(torch.tensor(errors).argmin())]


def scales_and_zero_points(site: Site, values: Tensor, groups: Sequence[int] | None) -> tuple[Tensor, Tensor]:
    """Each () or (C,), of a site with fitted zero-points, for values (C, N). Where it has one for all groups, that is
    the best of those that single groups would have."""
    assert site.zero_point is not None
    low, high = (limit.expand(len(values)) for limit in site.limits())
    top = high - low
    pieces = torch.ones(len(values)) if site.pieces is None else site.pieces
    of, members = _members(groups or (0,) * len(values))
    parts = [_Shared(values[own], pieces[own], float(top[own][0])) for own in members]
    grids = [part.grid() for part in parts]
    if site.zero_point.ndim == 0 and len(parts) > 1:
        tried = sorted({parts[0].middle, *(zero for _, zero in grids)})
        choices = [[part.step(zero) for part in parts] for zero in tried]
        totals = [
            sum(p.error(s, zero) * len(p.values) for p, s in zip(parts, steps, strict=True))
            for zero, steps in zip(tried, choices, strict=True)
        ]
        best = totals.index(min(totals))
        grids = [(step, tried[best]) for step in choices[best]]
    found, zeros = (torch.tensor(each) for each in zip(*grids, strict=True))
    return (found[0] if groups is None else found[of]), (zeros[of] if site.zero_point.ndim else zeros[0])


@dataclass(frozen=True, slots=True, eq=False)
class _Shared:
    """Channels of one scale and zero-point: values (C, N), codes that each channel has (C,), the largest code."""

    values: Tensor
    pieces: Tensor
    top: float

    @property
    def middle(self) -> float:
        return (self.top + 1) / 2

    def grid(self) -> tuple[float, float]:
        """(scale, zero-point)"""
        low, high = self._ends()
        whole = self._of_range(low, high)[1]
        best = self._best((self.step(zero), zero) for zero in (self.middle, whole))
        for _ in range(_ROUNDS):
            step, zero = best
            lower, upper = -zero * step, (self.top - zero) * step
            moved = [self._of_range(low * float(r), upper) for r in RATIOS]
            moved += [self._of_range(lower, high * float(r)) for r in RATIOS]
            best = self._best([best, *moved])
        return best

    def step(self, zero: float) -> float:
        """The best scale for a zero-point."""
        if zero == self.middle:
            return float(scale(self.values, -zero * self.pieces, (self.top - zero) * self.pieces))
        low, high = self._ends()
        reach = max(high / (self.top - zero) if zero < self.top else 0.0, -low / zero if zero > 0 else 0.0)
        return self._best((float(r) * max(reach, _NARROWEST / self.top), zero) for r in RATIOS)[0]

    def error(self, step: float, zero: float) -> float:
        return float(self._errors(torch.tensor([[step, zero]]))[0])

    def _best(self, grids: Iterable[tuple[float, float]]) -> tuple[float, float]:
        """The first of those with the least squared error."""
        tried = torch.tensor(list(grids))
        at_once = max(1, _AT_ONCE // self.values.numel())
        errors = torch.cat([self._errors(some) for some in tried.split(at_once)])
        step, zero = tried[int(errors.argmin())].tolist()
        return step, zero

    def _errors(self, grids: Tensor) -> Tensor:
        """(K,) mean squared errors of (K, 2) scales and zero-points."""
        step, zero = (each[:, None, None] for each in grids.unbind(1))
        low, high = -zero * self.pieces[:, None], (self.top - zero) * self.pieces[:, None]
        on_grid = (self.values / step).round().clamp(low, high) * step
        return (on_grid - self.values).square().mean((1, 2))

    def _ends(self) -> tuple[float, float]:
        """Lowest and highest value of one code, zero among them."""
        each = self.values / self.pieces[:, None]
        return min(float(each.min()), 0.0), max(float(each.max()), 0.0)

    def _of_range(self, low: float, high: float) -> tuple[float, float]:
        width = max(high - low, _NARROWEST)
        return width / self.top, float(min(max(round(-low / width * self.top), 0), self.top))


def _members(groups: Sequence[int]) -> tuple[Tensor, list[Tensor]]:
    """(group of each channel, which channels each group has)."""
    of = torch.tensor(groups)
    return of, [of == group for group in range(int(of.max()) + 1)]
