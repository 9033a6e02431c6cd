"""What is left of a cost table when a plan prunes channels, as `lower.shrink` leaves them out of the graphs.

An output channel goes where its tensor is stored for one reader: inside a residual block and inside the loop filter.
Its readers lose it with it; a depthwise one hands that on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache

from quaver.lab.costs.layers import Layer
from quaver.lab.lower.shrink import stays
from quaver.lab.quant.plan import LayerPlan, QuantPlan

# Of the layer whose outputs are pruned: who reads them, in order.
_IN_BLOCK = {"enter": ("mix", "leave"), "widen": ("narrow",)}
_IN_LOOP = {"enter": ("middle",), "middle": ("correction",)}


@cache
def followers(call_site: str) -> tuple[str, ...]:
    """Call sites that lose channels with this one; none where pruning its outputs changes no shape."""
    parent, _, name = call_site.rpartition(".")
    if re.search(r"\.blocks\.\d+$", parent):
        own = _IN_BLOCK.get(name, ())
    else:
        own = _IN_LOOP.get(name, ()) if parent.endswith(".loop") else ()
    return tuple(f"{parent}.{each}" for each in own)


def kept(plan: LayerPlan, call_site: str) -> int | None:
    """Output channels that stay in the graph under a plan; None where none leaves it."""
    if plan.channel_bits is None:
        return None
    return left(call_site, len(plan.channel_bits), sum(bits > 0 for bits in plan.channel_bits))


def left(call_site: str, channels: int, needed: int) -> int | None:
    """Of a layer's output channels those that stay in the graph where `needed` must; None where none leaves it."""
    readers = followers(call_site)
    if not readers:
        return None
    count = stays(channels, needed, depthwise=readers[0].endswith(".mix"))
    return None if count == channels else count


def narrowed(layer: Layer, inputs: int, outputs: int) -> Layer:
    """The layer with fewer channels."""
    groups = inputs if layer.groups == layer.inputs and layer.groups > 1 else layer.groups
    operations = outputs * (inputs // groups) * layer.taps * layer.positions
    return replace(layer, inputs=inputs, outputs=outputs, groups=groups, operations=operations)


def chain(layers: Mapping[str, Layer], call_site: str, count: int) -> dict[str, Layer]:
    """A layer with `count` outputs and those who follow it, as they then are."""
    first = layers[call_site]
    changed = {call_site: narrowed(first, first.inputs, count)}
    for name in followers(call_site):
        if name in layers:
            layer = layers[name]
            carries_on = layer.groups == layer.inputs and layer.groups > 1
            changed[name] = narrowed(layer, count, count if carries_on else layer.outputs)
    return changed


def pruned(layers: Iterable[Layer], plan: QuantPlan) -> list[Layer]:
    """All layers, those smaller that a plan's pruned channels make smaller."""
    rows = list(layers)
    by_name = {layer.call_site: layer for layer in rows if layer.planned}
    for name in list(by_name):
        count = kept(plan.layer(name), name)
        if count is not None:
            by_name |= chain(by_name, name, count)
    return [by_name.get(layer.call_site, layer) if layer.planned else layer for layer in rows]
