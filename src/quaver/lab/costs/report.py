"""What a plan costs, for people: totals, networks and layers, with milliseconds on a machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from quaver.lab.costs.layers import Layer
from quaver.lab.costs.profile import HardwareProfile
from quaver.lab.costs.table import by_network, planned, table, totals
from quaver.lab.display import html_table, text_table
from quaver.lab.quant.plan import QuantPlan

# Columns of a row, and what of it is divided by what.
UNITS = {
    "MMAC": ("macs", 1e6),
    "GBOP": ("bops", 1e9),
    "file KB": ("file_bytes", 1e3),
    "moved MB": ("traffic_bytes", 1e6),
    "ms": ("ms", 1.0),
}


@dataclass(frozen=True, repr=False)
class CostTable:
    """plan: its name. totals: bytes, bops, avg_bits, macs, ms. networks, layers: rows as `costs.table` makes them, with
    milliseconds. Prints, in a notebook as a table, one row for each network."""

    plan: str
    totals: Mapping[str, float]
    networks: list[dict[str, Any]]
    layers: list[dict[str, Any]]

    def __repr__(self) -> str:
        return text_table(*self._shown())

    def _repr_html_(self) -> str:
        return html_table(*self._shown())

    def _shown(self) -> tuple[list[str], list[list[str]], str]:
        rows = [[row["network"], *cells(row)] for row in self.networks]
        figures = ", ".join(f"{key} {value:,.6g}" for key, value in self.totals.items())
        return ["network", *UNITS], rows, f"{self.plan}: {figures}"


def cells(row: Mapping[str, Any]) -> list[str]:
    """A row's figures in the units of `UNITS`."""
    return [f"{row[key] / unit:,.4g}" for key, unit in UNITS.values()]


def cost_table(
    layers: Sequence[Layer],
    plan: QuantPlan,
    machine: HardwareProfile,
    fixed_bytes: int = 0,
    peaks: Mapping[str, int] | None = None,
) -> CostTable:
    """Of layers under a plan. fixed_bytes: of the file beside its layers. peaks: bytes that a network holds at once,
    where that is known. UsageError where the machine cannot run the plan."""
    machine.check(plan, layers)
    rows = table(layers, plan)
    for row, layer in zip(rows, layers, strict=True):
        row["ms"] = machine.milliseconds(layer, planned(plan, layer))
    networks = by_network(rows)
    for row in networks:
        row["peak_bytes"] = (peaks or {}).get(row["network"], row["peak_bytes"])
    figures = {key: float(value) for key, value in totals(layers, plan, fixed_bytes).items()}
    return CostTable(plan.name, figures | {"ms": sum(row["ms"] for row in rows)}, networks, rows)
