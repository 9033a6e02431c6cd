"""Activation memory of an integer graph: what must be held at once when nodes run in their order."""

from __future__ import annotations

from quaver.runtime.graph import Add, Conv, IntegerGraph, Node


def peak_bytes(graph: IntegerGraph, map: tuple[int, int]) -> int:
    """The largest sum of tensors alive during a node, one byte per value, two of a wide tensor: each from the node that
    makes it to the last that reads it, inputs from the beginning, outputs to the end."""
    sizes = {name: channels * map[0] * map[1] for name, channels in tensor_channels(graph).items()}
    for conv in graph.convolutions():
        sizes[conv.output] *= conv.y_bytes
    last = {name: number for number, node in enumerate(graph.nodes) for name in reads(node)}
    last |= {port.name: len(graph.nodes) for port in graph.outputs}
    alive, peak = {port.name for port in graph.inputs}, 0
    for number, node in enumerate(graph.nodes):
        alive.add(node.output)
        peak = max(peak, sum(sizes[name] for name in alive))
        alive = {name for name in alive if last.get(name, -1) > number}
    return peak


def reads(node: Node) -> tuple[str, ...]:
    """The tensors that a node reads."""
    if isinstance(node, Conv):
        return (node.input,)
    return (node.a, node.b) if isinstance(node, Add) else node.inputs


def tensor_channels(graph: IntegerGraph) -> dict[str, int]:
    """Channels of every tensor."""
    known = {port.name: port.channels for port in graph.inputs}
    for node in graph.nodes:
        if isinstance(node, Conv):
            known[node.output] = int(node.weight.shape[0])
        else:
            known[node.output] = known[node.a] if isinstance(node, Add) else sum(known[name] for name in node.inputs)
    return known
