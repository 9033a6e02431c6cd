"""Which executor to use: the first whose integers are right on this machine.

ONNX Runtime has shipped wrong integer kernels for some CPUs (its issue 26324), so an executor is believed only
after its outputs equal the reference's over one layer of each form in use; that it did is remembered (`verdicts.py`).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quaver.errors import ModelError, UsageError
from quaver.runtime.executors import verdicts
from quaver.runtime.executors.onnx_runtime import OnnxExecutor
from quaver.runtime.executors.protocol import Executor
from quaver.runtime.executors.reference import ReferenceExecutor
from quaver.runtime.graph import Conv, IntegerGraph, Port

EXECUTORS: Mapping[str, Executor] = {
    "onnx": OnnxExecutor(),
    "onnx-f32": OnnxExecutor(float32=True),
    "reference": ReferenceExecutor(),
}
_SIZES = ((15, 31), (2, 3))  # 465 and 6 positions leave tails for every vector length


def executor(name: str) -> Executor:
    """An executor by name."""
    if name not in EXECUTORS:
        raise UsageError(f"no executor named {name!r}; known: {', '.join(EXECUTORS)}")
    return EXECUTORS[name]


def choose(graphs: Iterable[IntegerGraph], name: str | None = None, threads: int = 1) -> Executor:
    """The named executor, or the first that passes; ModelError where a named one fails its self-test."""
    candidates = [executor(name)] if name is not None else list(EXECUTORS.values())
    test = probe(graphs)
    for candidate in candidates:
        if isinstance(candidate, ReferenceExecutor):
            return candidate
        key = verdicts.key_of(candidate.name, test)
        if verdicts.passed(key):
            return candidate
        failed = self_test(candidate, test, threads)
        if failed is None:
            verdicts.remember(key)
            return candidate
        if name is not None:
            raise ModelError(f"executor {name!r} computes wrong integers here (layer {failed!r}); try another one")
    raise ModelError("no executor computes right integers on this machine")


def self_test(candidate: Executor, test: IntegerGraph, threads: int = 1) -> str | None:
    """The first output of `test` that differs from the reference's; None when all agree."""
    runner, reference = candidate.prepare(test, threads), ReferenceExecutor().prepare(test)
    for height, width in _SIZES:
        inputs = {conv.input: _codes(conv, height, width) for conv in test.convolutions()}
        expected, got = reference.run(inputs), runner.run(inputs)
        for name in expected:
            if not np.array_equal(expected[name], got[name]):
                return name
    return None


def probe(graphs: Iterable[IntegerGraph]) -> IntegerGraph:
    """One convolution of each form in use, side by side in a graph: one session tests them all."""
    found: dict[tuple[object, ...], Conv] = {}
    for graph in graphs:
        for conv in graph.convolutions():
            key = (
                conv.weight.shape,
                conv.groups,
                conv.x_zero,
                conv.y_zero,
                conv.low,
                conv.high,
                conv.x_bytes,
                conv.y_bytes,
            )
            name = f"{graph.name}/{conv.name}"
            found.setdefault(key, replace(conv, name=name, input=f"{name} in", output=name))
    convs = found.values()
    inputs = [Port(conv.input, conv.weight.shape[1] * conv.groups, conv.x_zero, conv.x_bytes) for conv in convs]
    outputs = [Port(conv.output, conv.weight.shape[0], conv.y_zero, conv.y_bytes) for conv in convs]
    return IntegerGraph("self-test", tuple(inputs), tuple(outputs), tuple(found.values()))


def _codes(conv: Conv, height: int, width: int) -> NDArray[Any]:
    """Inputs (I, height, width), the same each time: columns of extreme codes and of uniform ones in turn, then two
    columns that drive an output channel a row towards its largest and its smallest sum."""
    outputs, per_group = conv.weight.shape[:2]
    shape = per_group * conv.groups, height, width
    kind, largest = (np.uint8, 255) if conv.x_bytes == 1 else (np.uint16, 65535)
    uniform = hashlib.shake_128(f"{conv.name} {shape}".encode()).digest(math.prod(shape) * conv.x_bytes)
    codes = np.frombuffer(uniform, kind).reshape(shape).copy()
    codes[:, :, ::2] = np.where(codes[:, :, ::2] <= largest // 2, 0, largest)
    drive = conv.weight.sum((2, 3)) > 0  # (O, I), or (O, 1) where each input has outputs of its own
    rows = drive[np.arange(height) % outputs].T if conv.groups == 1 else drive[:: outputs // conv.groups]
    codes[:, :, -2] = np.where(rows, largest, 0)
    codes[:, :, -1] = np.where(rows, 0, largest)
    return codes
