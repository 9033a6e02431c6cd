"""Latencies of this machine: layers alone, the skeleton's steps, whole networks; one thread.

A layer's time is what ONNX Runtime's profiler gives its kernel, so that bringing a lone layer's ports into the layout
that kernels use, which happens once per network, is not counted once per layer.
"""

from __future__ import annotations

import json
import platform
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quaver.lab.costs.layers import Layer
from quaver.lab.costs.profile import Entry
from quaver.runtime.executors.onnx_graphs import OPSET, build
from quaver.runtime.executors.onnx_runtime import library
from quaver.runtime.graph import Add, Conv, IntegerGraph, Node, Port

FORMATS = ("u8s8", "f32")
ROUNDS = 3  # a round that other programs disturb is not the machine's speed: the fastest round counts
_KERNELS = {"u8s8": ("QLinearConv", "NhwcQLinearConv"), "f32": ("Conv", "FusedConv"), "fixed": ("QLinearAdd", "Clip")}

Inputs = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Timing:
    """How often to run: `warm` times before, then `repeats` times in each round."""

    warm: int = 3
    repeats: int = 15

    def of(self, run: Callable[[], object]) -> float:
        """Milliseconds: the median of a round, the fastest round's. CPU time of this thread, which is the clock's on
        an idle machine and does not count other programs on a busy one."""
        for _ in range(self.warm):
            run()
        rounds = []
        for _ in range(ROUNDS):
            times = []
            for _ in range(self.repeats):
                start = time.thread_time()
                run()
                times.append(time.thread_time() - start)
            rounds.append(median(times))
        return 1000 * min(rounds)


def layer_entry(layer: Layer, format: str, timing: Timing) -> Entry:
    """A convolution in "u8s8" or "f32", or an "add" or a "clip" in "fixed"."""
    if layer.op == "clip":
        model = _clip()
    else:
        model = _float_layer(layer) if format == "f32" else build(_integer_layer(layer), False)
    dtype = np.float32 if format == "f32" else np.uint8
    rng = np.random.default_rng(0)
    names = ("a", "b") if layer.op == "add" else ("x",)
    shape = (1, layer.inputs, layer.rows, layer.columns)
    inputs = {name: rng.integers(0, 256, shape).astype(dtype) for name in names}
    return _entry(layer, format, _kernel_ms(model, inputs, _KERNELS[format], timing))


def skeleton_entry(layer: Layer, timing: Timing) -> Entry:
    """A step of the skeleton: "warp", "transform" (one direction) or "entropy" (decoding; a quarter of the symbols is
    not certain)."""
    return _entry(layer, "fixed", timing.of(_STEPS[layer.op](layer.rows, layer.columns)))


def graph_ms(graph: IntegerGraph, map: tuple[int, int], timing: Timing) -> float:
    """A whole network in u8, ports included."""
    rng = np.random.default_rng(0)
    inputs = {p.name: rng.integers(0, 256, (1, p.channels, *map), np.uint8) for p in graph.inputs}
    session = _session(build(graph, False))
    return timing.of(lambda: session.run(None, inputs))


def distinct(layers: Iterable[Layer]) -> list[Layer]:
    """One layer for each shape and size, entries and clips where a plan may ask for them included."""
    found: dict[tuple[Any, ...], Layer] = {}
    for layer in _with_entries(layers):
        key = (layer.op, layer.inputs, layer.outputs, layer.taps, layer.groups, layer.rows, layer.columns)
        found.setdefault(key, layer)
    return list(found.values())


def machine() -> dict[str, str]:
    """The processor, its vector extensions for integers, and versions."""
    onnxruntime = library()

    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    known = {key.strip(): value.strip() for key, value in fields.items()}
    wanted = ("avx2", "avx512", "avx_vnni", "amx", "asimddp", "i8mm")
    flags = known.get("flags", known.get("Features", "")).split()
    return {
        "processor": known.get("model name") or platform.processor() or platform.machine(),
        "extensions": " ".join(sorted(flag for flag in flags if flag.startswith(wanted))),
        "onnxruntime": onnxruntime.__version__,
        "numpy": np.__version__,
    }


def _with_entries(layers: Iterable[Layer]) -> Iterator[Layer]:
    from quaver.lab.quant.plan import LayerPlan

    for layer in layers:
        yield layer
        if (entry := layer.entry(LayerPlan(7, 7))) is not None:
            yield entry
        yield from layer.clips(LayerPlan(7, 7))


def _entry(layer: Layer, format: str, ms: float) -> Entry:
    shape = layer.inputs, layer.outputs, layer.taps, layer.rows, layer.columns
    return Entry(layer.op, format, *shape, layer.operations, float(f"{ms:.4g}"))


def _integer_layer(layer: Layer) -> IntegerGraph:
    rng = np.random.default_rng(1)
    output = Port("y", layer.outputs, 128)
    if layer.op == "add":
        ports = tuple(Port(name, layer.inputs, 128) for name in ("a", "b"))
        return IntegerGraph("add", ports, (output,), (Add("a", "b", "y"),))
    side = round(layer.taps**0.5)
    weight = rng.integers(-8, 9, (layer.outputs, layer.inputs // layer.groups, side, side)).astype(np.int8)
    multiplier = np.full(layer.outputs, 1e-3, np.float32)
    bias = np.zeros(layer.outputs, np.int32)
    nodes: tuple[Node, ...] = (Conv("layer", "x", "y", weight, bias, multiplier, 128, 128, layer.groups),)
    return IntegerGraph("layer", (Port("x", layer.inputs, 128),), (output,), nodes)


def _float_layer(layer: Layer) -> bytes:
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(1)
    side = round(layer.taps**0.5)
    weight = rng.normal(size=(layer.outputs, layer.inputs // layer.groups, side, side)).astype(np.float32)
    constants = [
        numpy_helper.from_array(weight, "w"),
        numpy_helper.from_array(np.zeros(layer.outputs, np.float32), "b"),
    ]
    conv = helper.make_node("Conv", ["x", "w", "b"], ["c"], pads=[side // 2] * 4, group=layer.groups)
    relu = helper.make_node("Relu", ["c"], ["y"])
    x, y = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, channels, "h", "w"])
        for name, channels in (("x", layer.inputs), ("y", layer.outputs))
    )
    graph = helper.make_graph([conv, relu], "layer", [x], [y], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    return bytes(model.SerializeToString())


def _clip() -> bytes:
    """As `onnx_graphs` cuts off a tensor's codes."""
    from onnx import TensorProto, helper, numpy_helper

    limits = [numpy_helper.from_array(np.array(value, np.uint8), name) for name, value in (("low", 96), ("high", 159))]
    x, y = (helper.make_tensor_value_info(name, TensorProto.UINT8, [1, "c", "h", "w"]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Clip", ["x", "low", "high"], ["y"])], "clip", [x], [y], limits)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    return bytes(model.SerializeToString())


def _kernel_ms(model: bytes, inputs: Inputs, kernels: tuple[str, ...], timing: Timing) -> float:
    """The kernel's own time where nothing disturbed it: what a quarter of its runs stays below. Where other programs
    cut into all of them, as into kernels of several milliseconds, the thread's CPU time without the other nodes'."""
    processor = []
    with tempfile.TemporaryDirectory() as folder:
        session = _session(model, str(Path(folder) / "layer"))
        for _ in range(timing.warm + ROUNDS * timing.repeats):
            start = time.thread_time()
            session.run(None, inputs)
            processor.append(1000 * (time.thread_time() - start))
        events = json.loads(Path(session.end_profiling()).read_text())
    own: list[float] = []
    rest: list[float] = []
    # A run begins before its nodes, or in the same microsecond.
    for event in sorted(events, key=lambda event: (event["ts"], event.get("cat") == "Node")):
        if event["name"] == "model_run":
            own.append(0.0)
            rest.append(0.0)
        elif event.get("cat") == "Node" and event["name"].endswith("kernel_time"):
            (own if event["args"].get("op_name") in kernels else rest)[-1] += event["dur"] / 1000
    clock, others = (float(np.quantile(times[timing.warm :], 0.25)) for times in (own, rest))
    return max(min(clock, median(processor[timing.warm :]) - others), 5e-4)  # the profiler counts whole microseconds


def _session(model: bytes, profile: str | None = None) -> Any:
    onnxruntime = library()

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if profile is not None:
        options.enable_profiling, options.profile_file_prefix = True, profile
    return onnxruntime.InferenceSession(
        model, options, providers=["CPUExecutionProvider"], disabled_optimizers=["ConvMulFusion"]
    )


def _warp(height: int, width: int) -> Callable[[], object]:
    from quaver.runtime.picture import Picture
    from quaver.runtime.warp import compensate

    rng = np.random.default_rng(2)
    planes = [rng.integers(0, 256, (height // n, width // n)).astype(np.uint8) for n in (1, 2, 2)]
    vectors = rng.integers(-40, 41, (height // 8, width // 8, 2)).astype(np.int16)
    picture = Picture(*planes)
    return lambda: compensate(picture, vectors)


def _transform(height: int, width: int) -> Callable[[], object]:
    from quaver.runtime.transform import CHANNELS, inverse

    coefficients = np.random.default_rng(3).integers(-500, 501, (CHANNELS, height // 8, width // 8)).astype(np.int32)
    return lambda: inverse(coefficients)


def _entropy(height: int, width: int) -> Callable[[], object]:
    from quaver.bitstream.symbols import SymbolDecoder, SymbolEncoder
    from quaver.runtime.model import load_model
    from quaver.runtime.transform import CHANNELS

    rng, tables = np.random.default_rng(4), load_model("skeleton").tables
    shape = (CHANNELS, height // 8, width // 8)
    coded = rng.random(shape) < 0.25
    indices = (rng.integers(1, len(tables.supports) - 1, shape) * coded).astype(np.uint8)
    symbols = (rng.integers(-1, 2, shape) * coded).astype(np.int32)
    encoder = SymbolEncoder()
    encoder.put(symbols, indices, tables)
    payload = encoder.finish()
    return lambda: SymbolDecoder(payload).get(indices, tables)


_STEPS: Mapping[str, Callable[[int, int], Callable[[], object]]] = {
    "warp": _warp,
    "transform": _transform,
    "entropy": _entropy,
}
