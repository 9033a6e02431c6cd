"""The definition of integer graphs, readable: int64 sums, one float32 multiplication, round half to even."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from quaver.runtime.executors.protocol import Tensors
from quaver.runtime.graph import Add, Concat, Conv, IntegerGraph, Node


@dataclass(frozen=True, slots=True)
class ReferenceRunner:
    graph: IntegerGraph

    def run(self, inputs: Mapping[str, NDArray[np.uint8]]) -> Tensors:
        tensors = self.trace(inputs)
        return {port.name: tensors[port.name] for port in self.graph.outputs}

    def trace(self, inputs: Mapping[str, NDArray[np.uint8]]) -> Tensors:
        tensors = dict(inputs)
        for node in self.graph.nodes:
            tensors[node.output] = compute(node, tensors)
        return tensors


class ReferenceExecutor:
    name = "reference"

    def prepare(self, graph: IntegerGraph, threads: int = 1) -> ReferenceRunner:
        """`threads` changes nothing here."""
        return ReferenceRunner(graph)


def compute(node: Node, tensors: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    """One node's output; u16 where it is wide."""
    if isinstance(node, Concat):
        return np.concatenate([tensors[name] for name in node.inputs])
    if isinstance(node, Add):
        total = tensors[node.a].astype(np.int32) + tensors[node.b] - 128
        return np.clip(total, 0, 255).astype(np.uint8)
    return requantize(accumulate(node, tensors[node.input]), node)


def accumulate(conv: Conv, x: NDArray[Any]) -> NDArray[np.int64]:
    """bias + sum of w (x - x_zero), (O, h, w). float64 products, in which every sum is an exact integer."""
    edge = conv.kernel // 2
    centred = np.pad(x.astype(np.float64) - conv.x_zero, ((0, 0), (edge, edge), (edge, edge)))
    windows = sliding_window_view(centred, (conv.kernel, conv.kernel), axis=(1, 2))
    weight = conv.weight.astype(np.float64)
    if conv.groups == 1:
        sums = np.tensordot(weight, windows, axes=([1, 2, 3], [0, 3, 4]))
    else:
        per_group = weight.shape[0] // conv.groups
        sums = np.einsum("oyx,ohwyx->ohw", weight[:, 0], windows.repeat(per_group, 0))
    return sums.astype(np.int64) + conv.bias[:, None, None]


def requantize(sums: NDArray[np.int64], conv: Conv) -> NDArray[Any]:
    """clamp(rint(fl32(float32(sums) * multiplier)) + y_zero, low, high)."""
    scaled = np.rint(sums.astype(np.float32) * conv.multiplier[:, None, None])
    return np.clip(scaled.astype(np.float64) + conv.y_zero, conv.low, conv.high).astype(
        np.uint16 if conv.y_bytes == 2 else np.uint8
    )
