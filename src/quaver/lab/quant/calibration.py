"""Calibration: statistics of call sites, and the activation scales that follow from them for any bits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import reduce

from quaver.errors import UsageError
from quaver.lab.quant.observers import SiteStats, together
from quaver.lab.quant.plan import LayerPlan, QuantPlan
from quaver.lab.quant.scale import Scale
from quaver.lab.quant.selection import Method, choose


class Calibration:
    """Scales chosen from statistics, each once.

    method, power_of_two, symmetric, percent: as for `choose`, the same for every call site.
    """

    def __init__(
        self,
        stats: Mapping[str, SiteStats],
        method: Method = "mse",
        power_of_two: bool = False,
        symmetric: bool = False,
        percent: float = 99.99,
    ) -> None:
        self.stats, self.method, self.power_of_two = stats, method, power_of_two
        self.symmetric, self.percent = symmetric, percent
        self._chosen: dict[tuple[str | tuple[str, ...], LayerPlan], Scale] = {}

    def site_stats(self, site: str) -> SiteStats:
        """Of the call site; of its layer where roles were not observed apart; of all roles together where a layer is
        asked for without one."""
        stats = self.stats.get(site) or self.stats.get(site.partition("@")[0])
        if stats is None:
            roles = [each for name, each in self.stats.items() if name.partition("@")[0] == site]
            if not roles:
                raise UsageError(f"{site}: it was not observed")
            stats = reduce(SiteStats.merge, roles)
        return stats

    def scale(self, site: str, layer: LayerPlan, sharing: tuple[str, ...] = ()) -> Scale:
        """The grid of a call site's input under a plan with activation bits. sharing: call sites that have one scale
        (`QuantPlan.sharing`), this one among them: fitted on what all of them saw."""
        if layer.activation_bits is None:
            raise UsageError(f"{site}: the plan leaves its input in floating point")
        key = sharing or site, replace(layer, weight_bits=None, channel_bits=None)
        if key not in self._chosen:
            self._chosen[key] = choose(
                together([self.site_stats(each) for each in sharing]) if sharing else self.site_stats(site),
                layer.group_bits or layer.activation_bits,
                self.method,
                layer.groups,
                self.power_of_two,
                symmetric=self.symmetric and not layer.affine,
                split=layer.split,
                percent=self.percent,
            )
        return self._chosen[key]

    def scales(self, plan: QuantPlan) -> dict[str, Scale]:
        """Of every observed call site that the plan gives activation bits."""
        planned = {site: plan.layer(site) for site in sorted(self.stats)}
        return {
            site: self.scale(site, layer, plan.sharing(site))
            for site, layer in planned.items()
            if layer.activation_bits is not None
        }
