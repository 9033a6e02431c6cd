"""Which executor to use: the first whose integers are right on this machine.

ONNX Runtime has shipped wrong integer kernels for some CPUs (its issue 26324), so an executor is believed only
after its outputs equal the reference's over the layers in use; that it did is remembered (`verdicts.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np

from quaver.errors import ModelError, UsageError
from quaver.runtime.executors import verdicts
from quaver.runtime.executors.onnx_runtime import OnnxExecutor
from quaver.runtime.executors.protocol import Executor
from quaver.runtime.executors.reference import ReferenceExecutor
from quaver.runtime.graph import IntegerGraph, Port

EXECUTORS: Mapping[str, Executor] = {
    "onnx": OnnxExecutor(),
    "onnx-f32": OnnxExecutor(float32=True),
    "reference": ReferenceExecutor(),
}
_SIZES = ((5, 13), (2, 3))  # small maps whose widths leave tails for every vector length


def executor(name: str) -> Executor:
    """An executor by name."""
    if name not in EXECUTORS:
        raise UsageError(f"no executor named {name!r}; known: {', '.join(EXECUTORS)}")
    return EXECUTORS[name]


def choose(graphs: Mapping[str, IntegerGraph], name: str | None = None, threads: int = 1) -> Executor:
    """The named executor, or the first that passes; ModelError where a named one fails its self-test."""
    candidates = [executor(name)] if name is not None else list(EXECUTORS.values())
    probes = list(_probes(graphs.values()))
    for candidate in candidates:
        key = verdicts.key_of(candidate.name, probes)
        if verdicts.passed(key):
            return candidate
        failed = self_test(candidate, probes, threads)
        if failed is None:
            verdicts.remember(key)
            return candidate
        if name is not None:
            raise ModelError(f"executor {name!r} computes wrong integers here (layer {failed!r}); try another one")
    raise ModelError("no executor computes right integers on this machine")


def self_test(candidate: Executor, probes: Iterable[IntegerGraph], threads: int = 1) -> str | None:
    """The first probe whose outputs differ from the reference's; None when all agree."""
    if isinstance(candidate, ReferenceExecutor):
        return None
    rng = np.random.default_rng(20261124)
    for probe in probes:
        runner, reference = candidate.prepare(probe, threads), ReferenceExecutor().prepare(probe)
        for height, width in _SIZES:
            # Extreme codes provoke saturation; uniform ones exercise everything else.
            channels = probe.inputs[0].channels
            uniform = rng.integers(0, 256, (channels, height, width), np.uint8)
            extreme = rng.choice(np.array([0, 255], np.uint8), (channels, height, width))
            for values in (uniform, extreme):
                inputs = {probe.inputs[0].name: values}
                expected, got = reference.run(inputs), runner.run(inputs)
                if any(not np.array_equal(expected[key], got[key]) for key in expected):
                    return probe.name
    return None


def _probes(graphs: Iterable[IntegerGraph]) -> Iterable[IntegerGraph]:
    """One small graph for each shape of convolution in use."""
    seen = set()
    for graph in graphs:
        for conv in graph.convolutions():
            key = (conv.weight.shape, conv.groups, conv.x_zero, conv.y_zero, conv.low, conv.high)
            if key in seen:
                continue
            seen.add(key)
            channels = conv.weight.shape[1] * conv.groups
            alone = replace(conv, input="x", output="y")
            ports = (Port("x", channels, conv.x_zero),), (Port("y", conv.weight.shape[0], conv.y_zero),)
            yield IntegerGraph(f"{graph.name}/{conv.name}", *ports, (alone,))
