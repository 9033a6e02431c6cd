"""Executors over ONNX Runtime: `onnx` (u8) and `onnx-f32`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quaver.runtime.executors.onnx_graphs import build
from quaver.runtime.executors.protocol import Tensors
from quaver.runtime.graph import IntegerGraph


@dataclass(slots=True)
class OnnxRunner:
    """A session; the one that shows every tensor is made when `trace` is first called."""

    graph: IntegerGraph
    float32: bool
    threads: int
    optimize: bool
    session: Any
    _tracing: Any = field(default=None)

    def run(self, inputs: Mapping[str, NDArray[np.uint8]]) -> Tensors:
        return _run(self.session, inputs)

    def trace(self, inputs: Mapping[str, NDArray[np.uint8]]) -> Tensors:
        if self._tracing is None:
            self._tracing = _session(build(self.graph, self.float32, True), self.threads, self.optimize)
        return {**inputs, **_run(self._tracing, inputs)}


@dataclass(frozen=True, slots=True)
class OnnxExecutor:
    """``float32``: compute the integers in float32. ``optimize``: ONNX Runtime's graph optimizations."""

    float32: bool = False
    optimize: bool = True

    @property
    def name(self) -> str:
        return "onnx-f32" if self.float32 else "onnx"

    def prepare(self, graph: IntegerGraph, threads: int = 1) -> OnnxRunner:
        session = _session(build(graph, self.float32), threads, self.optimize)
        return OnnxRunner(graph, self.float32, threads, self.optimize, session)


def _run(session: Any, inputs: Mapping[str, NDArray[np.uint8]]) -> Tensors:
    names = [output.name for output in session.get_outputs()]
    values = session.run(names, {name: np.ascontiguousarray(value)[None] for name, value in inputs.items()})
    return {name: value[0] for name, value in zip(names, values, strict=True)}


def library() -> Any:
    """ONNX Runtime. Some builds of it report what they do and keep an identifier of the machine in the user's cache,
    unless told not to before they are loaded."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    return onnxruntime


def _session(model: bytes, threads: int, optimize: bool) -> Any:
    onnxruntime = library()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    level = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_ALL if optimize else level.ORT_DISABLE_ALL
    # ConvMulFusion folds the multiplier into the weights and breaks exactness.
    return onnxruntime.InferenceSession(
        model, options, providers=["CPUExecutionProvider"], disabled_optimizers=["ConvMulFusion"]
    )
