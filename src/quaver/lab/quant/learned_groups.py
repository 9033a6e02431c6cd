"""Groups of channels that are learned: which channels share a scale, and how many groups there are.

    L = J + mu sum_l C_l(groups)

Channel c of a call site belongs to group g with probability p_cg = softmax_g((logit_cg + favour_g + noise) /
temperature), noise of Gumbel's distribution; its scale is exp(sum_g p_cg log s_g). Logits, favours and scales are
learned; a favour moves all members of a group at once. A falling temperature makes assignments hard.

C_l counts groups by their shares m_g = mean_c p_cg: (sum_g m_g^q)^(1 / (1 - q)), q = 1/4, Hill's number of order q
(Ecology 1973). It is the number of groups where they are equally large, a little less where not, and for q = 0 always.
The expected number of non-empty groups, sum_g (1 - prod_c (1 - p_cg)), is exact too but flat around large groups: they
would never merge.

Sources: Jang, Gu, Poole, Categorical Reparameterization with Gumbel-Softmax, ICLR
2017 (relaxation, annealing); Liu, Simonyan, Yang, DARTS, ICLR 2019 (one search over mixtures); Moon et al., IGQ-ViT,
CVPR 2024 (numbers of groups weighed against bit operations; its groups change with the image, these do not).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from quaver.errors import UsageError
from quaver.lab.quant import primitives
from quaver.lab.quant.attach import Attachment
from quaver.lab.quant.gradients import lsq
from quaver.lab.quant.grouping import Groups, numbered
from quaver.lab.quant.plan import QuantPlan
from quaver.lab.quant.scale import Scale

_NEAR = 0.05  # logarithm of a ratio of scales that costs a channel little
_OWN = 3.0  # logarithm of how much likelier a channel begins in its own group than in another of the same scale
_ORDER = 0.25


class RelaxedGroups(nn.Module):
    """The channels of one call site.

    steps (C,): each channel's own best scale, where the search starts. limit: groups at most, which then begin at the
    scales of as many channels, evenly spread in their order.
    """

    def __init__(self, steps: Tensor, limit: int | None = None) -> None:
        super().__init__()
        if not bool((steps > 0).all()) or steps.ndim != 1:
            raise UsageError("groups are learned from one positive scale per channel")
        own = steps.detach().float().log()
        count = min(limit or len(own), len(own))
        places = torch.linspace(0, len(own) - 1, count).round().long()
        centres = own.sort(stable=True).values[places] if count < len(own) else own
        apart = (own[:, None] - centres).abs()
        # As likely as (1 + distance)^-2: near scales are told apart, far ones stay within reach, so that groups merge.
        logits = -2 * torch.log1p(apart / _NEAR)
        self.logits = nn.Parameter(logits + _OWN * (torch.eye(count) if count == len(own) else 0))
        self.favour = nn.Parameter(torch.zeros(count))
        self.log_step = nn.Parameter(centres.clone())
        self.temperature = 1.0
        self._soft: Tensor | None = None

    def probabilities(self, noise: Tensor | None = None) -> Tensor:
        """(C, groups), rows add up to 1."""
        logits = self.logits + self.favour
        logits = logits if noise is None else logits + noise
        return torch.softmax(logits / self.temperature, 1)

    def sample(self, noisy: bool = True) -> None:
        """Draw the assignment that `steps` has until the next sample."""
        noise = None
        if noisy:
            uniform = torch.rand_like(self.logits).clamp(1e-6, 1 - 1e-6)
            noise = -torch.log(-torch.log(uniform)) * self.temperature
        self._soft = self.probabilities(noise)

    def steps(self) -> Tensor:
        """(C,) scales of the present sample."""
        soft = self.probabilities() if self._soft is None else self._soft
        return torch.exp(soft @ self.log_step)

    def number(self) -> Tensor:
        """Of groups, as the cost counts them."""
        shares = self.probabilities().mean(0).clamp(min=1e-12)
        return torch.exp(torch.logsumexp(_ORDER * shares.log(), 0) / (1 - _ORDER))

    def harden(self) -> tuple[Groups, Tensor]:
        """(group of each channel, scale of each group), empty groups left out."""
        chosen = (self.logits + self.favour).detach().argmax(1).cpu().numpy().astype(np.intp)
        groups = numbered(chosen)
        first = [groups.index(group) for group in range(max(groups) + 1)]
        return groups, self.log_step.detach().exp()[torch.from_numpy(chosen[first])]


class GroupQuantizer(nn.Module):
    """What an attachment puts on an input while its groups are searched: the relaxed scales on the grid of `start`.
    Zero-points stay each channel's own until the groups found are calibrated."""

    def __init__(self, relaxed: RelaxedGroups, start: Scale) -> None:
        super().__init__()
        self.relaxed, self._start = relaxed, start

    @property
    def current(self) -> Scale:
        return self._start.with_scale(self.relaxed.steps().detach())

    def forward(self, x: Tensor) -> Tensor:
        start = self._start.with_scale(self.relaxed.steps())
        scale, zero, low, high = start.grid(x.ndim)
        return lsq(primitives.wide(x), scale, low - zero, high - zero)


@dataclass(frozen=True, slots=True)
class Price:
    """What groups of a call site cost, in whatever unit the loss counts: each group after the first, and once where
    there is more than one."""

    per_group: float
    first: float = 0.0


class GroupSearch(nn.Module):
    """All call sites of a search. Each optimizer step: `sample()`, run the model with `steps`, add mu * `loss_cost()`
    to the loss, then `anneal`. A search of bits may hold one and multiply the steps by what its bits ask for."""

    def __init__(self, steps: Mapping[str, Tensor], prices: Mapping[str, Price], limit: int | None = None) -> None:
        super().__init__()
        missing = sorted(set(steps) - set(prices))
        if missing:
            raise UsageError(f"{missing[0]}: its groups have no price")
        self.names, self.prices = tuple(steps), dict(prices)
        self.sites = nn.ModuleList(RelaxedGroups(steps[name], limit) for name in self.names)

    def site(self, name: str) -> RelaxedGroups:
        found = self.sites[self.names.index(name)]
        assert isinstance(found, RelaxedGroups)
        return found

    def sample(self, noisy: bool = True) -> None:
        for name in self.names:
            self.site(name).sample(noisy)

    def rates(self, rate: float = 0.3) -> list[dict[str, Any]]:
        """Parameters for Adam, each kind with its learning rate: groups move faster than their channels, so that whole
        ones merge while the temperature lasts; scales hardly move."""
        sites = [self.site(name) for name in self.names]
        return [
            {"params": [site.logits for site in sites], "lr": rate / 4},
            {"params": [site.favour for site in sites], "lr": 2 * rate},
            {"params": [site.log_step for site in sites], "lr": rate / 15},
        ]

    def anneal(self, progress: float, first: float = 2.0, last: float = 0.05) -> None:
        """Temperature after this share of the search: as at first for a third of it, in which groups merge, then
        falling exponentially."""
        fallen = min(1.0, max(0.0, 1.5 * progress - 0.5))
        for name in self.names:
            self.site(name).temperature = first * (last / first) ** fallen

    def counts(self) -> dict[str, Tensor]:
        """Number of groups by call site."""
        return {name: self.site(name).number() for name in self.names}

    def loss_cost(self) -> Tensor:
        """Sum of C_l."""
        total = torch.zeros(())
        for name, count in self.counts().items():
            price, more = self.prices[name], count - 1
            total = total + price.per_group * more + price.first * more.clamp(max=1)
        return total

    def harden(self, plan: QuantPlan) -> QuantPlan:
        """`plan` with the groups found; of one group, none."""
        layers = dict(plan.layers)
        for name in self.names:
            groups, _ = self.site(name).harden()
            layers[name] = replace(layers[name], groups=groups if max(groups) else None, group_bits=None)
        return replace(plan, layers=layers, method="learned groups", predicted={}, measured={})


def search_groups(attachment: Attachment, prices: Mapping[str, Price], limit: int | None = None) -> GroupSearch:
    """A search over the call sites of any model that `prices` names; the attached plan must give them a scale for each
    channel. Attach `harden(plan)` anew to have the groups found, calibrated."""
    scales = {name: attachment.input_scale(name) for name in prices}
    for name, scale in scales.items():
        if scale.scale.ndim == 0 or scale.groups is not None:
            raise UsageError(f"{name}: its groups are searched from one scale per channel; the plan has other groups")
    search = GroupSearch({name: scale.scale for name, scale in scales.items()}, prices, limit)
    for name, scale in scales.items():
        attachment.set_input_quantizer(name, GroupQuantizer(search.site(name), scale))
    return search
