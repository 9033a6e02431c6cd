"""Bits and groups of channels in one search: J / R + lambda_q E_q + lambda_c C / C_full + mu G / C_full, where C counts
the bit operations of products and G those of groups; mu is lambda_c unless said otherwise.

Every input has one scale per channel, relaxed into groups (`quant.learned_groups`), at its largest width; at the
others they are wider in the proportion that the least squared error asks for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from quaver.errors import UsageError
from quaver.lab.allocate.relaxed import Relaxed, Tape, Widths
from quaver.lab.allocate.search import Search
from quaver.lab.analyse.closed_loop import frame_seed
from quaver.lab.costs.groups import Machine, group_cost
from quaver.lab.quant import primitives
from quaver.lab.quant.attach import Attachment
from quaver.lab.quant.calibration import Calibration
from quaver.lab.quant.gradients import lsq
from quaver.lab.quant.grouping import per_channel
from quaver.lab.quant.learned_groups import GroupSearch, Price, RelaxedGroups
from quaver.lab.quant.plan import LayerPlan
from quaver.lab.quant.scale import Scale


class GroupedInput(Relaxed):
    """An input between two widths, its channels between groups."""

    def __init__(self, widths: Widths, place: int, grids: Sequence[Scale], tape: Tape, groups: RelaxedGroups) -> None:
        super().__init__(widths, "a", place, grids, tape)
        self._groups = groups
        self._wider = [(grid.scale.log() - grids[-1].scale.log()).mean().exp() for grid in grids]

    def _on_grid(self, number: int, x: Tensor) -> Tensor:
        grid = self._grids[number].with_scale(self._groups.steps() * self._wider[number])
        scale, zero, low, high = grid.grid(x.ndim)
        return lsq(primitives.wide(x), scale, low - zero, high - zero)


class JointSearch(Search):
    """As `Search`, by price alone: under budgets groups would have to be counted once more when they are hard.

    machine: what groups cost; on "quaver" nothing, and every channel may keep a scale of its own. limit: groups that
    a layer begins with.
    """

    machine: Machine = "tensor"
    limit = 16
    _groups: GroupSearch

    def _relax(self, attachment: Attachment, tape: Tape) -> None:
        super()._relax(attachment, tape)
        if self.budgets or self.config.cost != "bops":
            raise UsageError("groups are searched at a price of bit operations, not under budgets")
        calibration, grids = Calibration(self._stats), dict[str, list[Scale]]()
        for layer in self.layers:
            own = per_channel(layer.inputs)
            plans = [LayerPlan(None, bits, groups=own) for bits in self.config.activation_bits]
            grids[layer.call_site] = [calibration.scale(layer.call_site, plan) for plan in plans]
        full, widest = self.costs.full["bops"], self.config.activation_bits[-1]
        prices = {}
        for layer in self.layers:
            cost = group_cost(layer, widest, self.machine)
            prices[layer.call_site] = Price(float(cost.per_group) / full, float(cost.first) / full)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.config.seed)
            self._groups = GroupSearch({name: each[-1].scale for name, each in grids.items()}, prices, self.limit)
        for place, name in enumerate(self.widths.sites):
            quantizer = GroupedInput(self.widths, place, grids[name], tape, self._groups.site(name))
            attachment.set_input_quantizer(name, quantizer)

    def _learned(self) -> list[dict[str, Any]]:
        return super()._learned() + [group | {"rate": group["lr"]} for group in self._groups.rates()]

    def _prepare(self, number: int) -> None:
        self._groups.anneal(number / self.config.steps)
        with torch.random.fork_rng(devices=[]):  # the plan is a function of the seed, whatever ran before
            torch.manual_seed(frame_seed(self.config.seed, number))
            self._groups.sample()

    def _shares(self) -> dict[str, Tensor]:
        shares = super()._shares()
        return shares | {"groups": self._groups.loss_cost()}

    def _price(self, shares: Mapping[str, Tensor]) -> Tensor:
        given = self.config.group_price
        mu = self.config.cost_price if given is None else given
        return super()._price(shares) + mu * shares["groups"]

    def _hardened(self) -> dict[str, LayerPlan]:
        plans = super()._hardened()
        for name in self._groups.names:
            groups, _ = self._groups.site(name).harden()
            plans[name] = replace(plans[name], groups=groups if max(groups) else None)
        return plans
