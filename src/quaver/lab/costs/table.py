"""A cost table: each row and the totals under a plan, as plain dictionaries that print, save and load anywhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any

from quaver.lab.costs.layers import Layer
from quaver.lab.costs.pruning import pruned
from quaver.lab.costs.workload import Workload
from quaver.lab.quant.plan import LayerPlan, QuantPlan

FULL = LayerPlan(7, 8)  # what profile 1 runs at most; layers that a plan does not name have it


def planned(plan: QuantPlan, layer: Layer) -> LayerPlan:
    """The layer's plan: the one named, or the most that profile 1 runs."""
    exact = plan.layers.get(layer.call_site) or plan.layers.get(layer.call_site.partition("@")[0])
    return exact or FULL


def table(layers: Iterable[Layer], plan: QuantPlan) -> list[dict[str, Any]]:
    """One row per layer. macs, bops and traffic_bytes are per frame of the workload, read_bytes and written_bytes per
    call. Layers that lost channels count as they then are."""
    rows = []
    for layer in pruned(layers, plan):
        bits = planned(plan, layer)
        read, written = layer.activation_bytes(bits)
        rows.append(
            {
                "call_site": layer.call_site,
                "op": layer.op,
                "bits": bits.label if layer.planned else "W{}A{}".format(*layer.bits or ()),
                "calls": float(layer.share),
                "weights": layer.stored_weights,
                "macs": float(layer.macs),
                "bops": float(layer.bops(bits)),
                "file_bytes": layer.file_bytes(bits),
                "read_bytes": read,
                "written_bytes": written,
                "traffic_bytes": float(layer.share * layer.traffic(bits)),
            }
        )
    return rows


def by_network(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The table with one row per network; peak_bytes is the largest sum of a layer's input and output, a
    lower bound of what must be held (`memory.peak_bytes` of an integer graph is exact)."""
    result: dict[str, dict[str, Any]] = {}
    for row in rows:
        name = ".".join(row["call_site"].split(".")[:2])
        into = result.setdefault(name, {"network": name, "layers": 0, "peak_bytes": 0})
        into["layers"] += 1
        into["peak_bytes"] = max(into["peak_bytes"], row["read_bytes"] + row["written_bytes"])
        for key in ("weights", "macs", "bops", "file_bytes", "traffic_bytes", "ms"):
            into[key] = into.get(key, 0) + row.get(key, 0)
    return list(result.values())


def totals(layers: Iterable[Layer], plan: QuantPlan, fixed_bytes: int = 0) -> dict[str, Fraction]:
    """What budgets limit: bytes of the model file, BOPs per frame, mean weight bits. ``fixed_bytes``: of the file
    beside its layers."""
    whole = list(layers)
    rows = [(layer, planned(plan, layer)) for layer in pruned(whole, plan)]
    # Of all weights that there were: pruning lowers the mean.
    weights = sum(layer.stored_weights for layer in whole if layer.planned)
    bits = sum((layer.stored_bits(p) for layer, p in rows if layer.planned), Fraction(0))
    return {
        "bytes": Fraction(fixed_bytes + sum(layer.file_bytes(p) for layer, p in rows)),
        "bops": sum((layer.bops(p) for layer, p in rows), Fraction(0)),
        "avg_bits": bits / max(1, weights),
        "macs": sum((layer.macs for layer, _ in rows), Fraction(0)),
    }


def macs_per_pixel(layers: Iterable[Layer], workload: Workload) -> float:
    """Of the networks, for a picture of the workload's size."""
    return float(sum(layer.macs for layer in layers if layer.planned) / (workload.width * workload.height))
