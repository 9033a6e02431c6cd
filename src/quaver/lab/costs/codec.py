"""Cost rows of Quaver's own codec, from the torch modules or from an integer model, without running either."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from torch import nn

from quaver.lab.costs import fixed
from quaver.lab.costs.layers import Layer, convolution
from quaver.lab.costs.memory import tensor_channels
from quaver.lab.costs.workload import Workload
from quaver.lab.models.blocks import GDN, Block
from quaver.lab.models.codec import Codec
from quaver.lab.models.layers import Conv
from quaver.lab.models.networks import LoopFilter
from quaver.lab.quant.plan import LayerPlan, QuantPlan
from quaver.runtime.graph import Add
from quaver.runtime.graph import Conv as IntegerConv
from quaver.runtime.model import GRAPHS, IntegerModel
from quaver.runtime.packing import pack_arrays, row_bits

# Layers whose input is stored for them alone; every other input is a port or a residual stream.
_OWN_INPUT = {Block: ("mix", "leave", "narrow"), LoopFilter: ("middle", "correction")}
_SIGNED = ("leave",)  # of those; what others read has passed a ReLU


def codec_layers(codec: Codec, workload: Workload) -> list[Layer]:
    """Every layer of every network, then the skeleton's steps."""
    rows: list[Layer] = []
    for name in GRAPHS:
        try:
            network = codec.get_submodule(name)
        except AttributeError:  # a codec of an earlier shape
            continue
        rows += _network_layers(name, network, workload)
    return rows + fixed.skeleton(workload)


def _network_layers(name: str, network: nn.Module, workload: Workload) -> Iterator[Layer]:
    map, share = workload.map(name), workload.share(name)
    for parent, module in [
        (name, network),
        *((f"{name}.{key}", child) for key, child in network.named_modules(prefix="") if key),
    ]:
        own = next((names for kind, names in _OWN_INPUT.items() if isinstance(module, kind)), ())
        for key, child in module.named_children():
            if isinstance(child, Conv):
                shape = child.weight.shape[1] * child.groups, child.weight.shape[0], child.kernel**2, child.groups
                row = convolution(f"{parent}.{key}", shape, map, share, key not in own)
                yield replace(row, signed=key not in own or key in _SIGNED)
            elif isinstance(child, GDN):
                yield fixed.gdn(f"{parent}.{key}", len(child.beta), map, share)
        if isinstance(module, Block):
            for key in ("middle", "out"):
                yield fixed.add(f"{parent}.{key}", module.leave.weight.shape[0], map, share)


def skeleton_bytes(model: IntegerModel) -> int:
    """Of a model file, beside its networks."""
    from safetensors.numpy import save

    return len(save(pack_arrays(replace(model, graphs={}).arrays())))


def model_layers(model: IntegerModel, workload: Workload) -> list[Layer]:
    """As `codec_layers`; entries are rows of their own. Call sites have the names they have in torch."""
    rows: list[Layer] = []
    for name, graph in model.graphs.items():
        map, share = workload.map(name), workload.share(name)
        channels = tensor_channels(graph)
        for node in graph.nodes:
            if isinstance(node, IntegerConv):
                shape = node.weight.shape[1] * node.groups, node.weight.shape[0], node.kernel**2, node.groups
                rows.append(convolution(_call_site(name, node.name), shape, map, share))
            elif isinstance(node, Add):
                rows.append(fixed.add(_call_site(name, node.output), channels[node.output], map, share))
    return rows + fixed.skeleton(workload)


def model_plan(model: IntegerModel) -> QuantPlan:
    """The bits that an integer model uses: of weights, what each output channel needs; of activations, what the codes
    that the layer before can store need."""
    layers: dict[str, LayerPlan] = {}
    for name, graph in model.graphs.items():
        stored = {
            node.output: (node.high - node.low).bit_length() for node in graph.nodes if isinstance(node, IntegerConv)
        }
        for conv in graph.convolutions():
            bits = tuple(int(b) for b in row_bits(conv.weight))
            layers[_call_site(name, conv.name)] = (
                LayerPlan(max(bits), stored.get(conv.input, 8), bits) if any(bits) else LayerPlan(2, 8)
            )
    return QuantPlan(layers, model.name, method="read from the model")


def _call_site(network: str, node: str) -> str:
    """ "trunk.0.enter" of a graph is "trunk.blocks.0.enter" of the module."""
    return f"{network}." + re.sub(r"\.(\d+)\.", r".blocks.\1.", node)
