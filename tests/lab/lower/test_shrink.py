"""Shrunk graphs have fewer multiplications and the same outputs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from quaver.lab.lower.shrink import shrink
from quaver.runtime.executors.reference import ReferenceExecutor
from quaver.runtime.executors.select import EXECUTORS
from quaver.runtime.graph import Conv, IntegerGraph
from runtime.graphs import inputs_for, separable


def pruned(graph: IntegerGraph, seed: int, share: float) -> IntegerGraph:
    """Output channels of every convolution at random, with or without what is left in their biases."""
    rng = np.random.default_rng(seed)
    nodes = []
    for node in graph.nodes:
        if isinstance(node, Conv):
            gone = rng.random(len(node.bias)) < share
            weight, bias = node.weight.copy(), node.bias.copy()
            weight[gone] = 0
            bias[gone & (rng.random(len(bias)) < 0.5)] = 0
            node = replace(node, weight=weight, bias=bias)
        nodes.append(node)
    return replace(graph, nodes=tuple(nodes))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_the_same_outputs(seed: int, share: float) -> None:
    graph = pruned(separable(seed, 14), seed, share)
    small = shrink(graph)
    assert small.macs() == graph.macs() if share == 0 else small.macs() < graph.macs()
    for number, (height, width) in enumerate(((1, 1), (3, 5), (9, 14))):
        inputs = inputs_for(graph, seed + number, height, width)
        expected = ReferenceExecutor().prepare(graph).run(inputs)
        for executor in EXECUTORS.values():
            got = executor.prepare(small).run(inputs)
            for name, tensor in expected.items():
                np.testing.assert_array_equal(got[name], tensor, f"{executor.name} {name}")


def test_shrinking_twice_changes_nothing_more() -> None:
    once = shrink(pruned(separable(3), 3, 0.5))
    assert shrink(once).macs() == once.macs()
