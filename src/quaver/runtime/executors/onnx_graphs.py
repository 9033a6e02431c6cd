"""Integer graphs as ONNX models: u8 kernels (`onnx`), or the same integers in float32 (`onnx-f32`).

u8: QLinearConv with x_scale = y_scale = 1 and w_scale = multiplier, whose arithmetic is exactly the definition's;
QLinearAdd with scales 1. float32: convolutions of integers whose sums stay below 2**24 and are therefore exact in
any order, then Mul, Round (half to even), Clip.

What reads or writes 16 bits is computed in float32 in both: ConvInteger took three times as long as Conv. Either byte
has a sum of its own below 2**24, and 256 times one plus the other is rounded once, as float32(acc) is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from quaver.runtime.graph import Add, Concat, Conv, IntegerGraph

OPSET = 17


class _Builder:
    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: dict[str, Any] = {}

    def constant(self, name: str, value: NDArray[Any]) -> str:
        from onnx import numpy_helper

        self.constants.setdefault(name, numpy_helper.from_array(np.asarray(value, order="C"), name))
        return name

    def node(self, operation: str, inputs: list[str], output: str, domain: str = "", **attributes: Any) -> None:
        from onnx import helper

        self.nodes.append(helper.make_node(operation, inputs, [output], domain=domain, **attributes))

    def shared(self, value: int | float, kind: type[Any]) -> str:
        """A scalar constant."""
        return self.constant(f"_{kind.__name__}_{value}", np.array(value, kind))


def build(graph: IntegerGraph, float32: bool, every_tensor: bool = False) -> bytes:
    """A serialized ONNX model with ports (1, C, h, w), u8 or, of wide tensors, u16; `every_tensor` makes each node's
    output a port."""
    from onnx import TensorProto, helper

    builder = _Builder()
    wide = {port.name for port in (*graph.inputs, *graph.outputs) if port.bytes == 2}
    wide |= {conv.output for conv in graph.convolutions() if conv.y_bytes == 2}
    kinds = dict.fromkeys(wide, TensorProto.UINT16)
    names = _float_nodes(builder, graph) if float32 else _integer_nodes(builder, graph, every_tensor)
    outputs = [(port.name, port.channels) for port in graph.outputs]
    if every_tensor:
        known = {name for name, _ in outputs}
        outputs += [(node.output, 0) for node in graph.nodes if node.output not in known]
    inputs = [
        helper.make_tensor_value_info(port.name, kinds.get(port.name, TensorProto.UINT8), [1, port.channels, "h", "w"])
        for port in graph.inputs
    ]
    results = [
        helper.make_tensor_value_info(
            names[name], kinds.get(name, TensorProto.UINT8), [1, channels or "c_" + name, "h", "w"]
        )
        for name, channels in outputs
    ]
    body = helper.make_graph(builder.nodes, graph.name, inputs, results, list(builder.constants.values()))
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(body, opset_imports=opsets, ir_version=8)
    data: bytes = model.SerializeToString()
    return data


def _integer_nodes(builder: _Builder, graph: IntegerGraph, every_tensor: bool) -> dict[str, str]:
    """Wide tensors t are held as float32 codes `t:f`, and as u16 only where that is asked for."""
    from onnx import TensorProto

    shown = {port.name for port in graph.outputs}
    for port in graph.inputs:
        if port.bytes == 2:
            builder.node("Cast", [port.name], f"{port.name}:f", to=TensorProto.FLOAT)
    one = builder.shared(1.0, np.float32)
    centre = builder.shared(128, np.uint8)
    for node in graph.nodes:
        if isinstance(node, Conv) and (node.x_bytes, node.y_bytes) != (1, 1):
            x, y = f"{node.input}:f", f"{node.output}:f"
            if node.x_bytes == 1:
                x = f"{node.output}:x"
                builder.node("Cast", [node.input], x, to=TensorProto.FLOAT)
            _float_convolution(builder, node, x, y)
            if node.y_bytes == 1:
                builder.node("Cast", [y], node.output, to=TensorProto.UINT8)
            elif every_tensor or node.output in shown:
                builder.node("Cast", [y], node.output, to=TensorProto.UINT16)
        elif isinstance(node, Conv):
            name = node.name
            narrow = (node.low, node.high) != (0, 255)
            convolved = f"{node.output}:wide" if narrow else node.output
            builder.node(
                "QLinearConv",
                [
                    node.input,
                    one,
                    builder.shared(node.x_zero, np.uint8),
                    builder.constant(f"{name}.weight", node.weight),
                    builder.constant(f"{name}.multiplier", node.multiplier),
                    builder.constant(f"{name}.zero", np.zeros(len(node.bias), np.int8)),
                    one,
                    builder.shared(node.y_zero, np.uint8),
                    builder.constant(f"{name}.bias", node.bias),
                ],
                convolved,
                kernel_shape=[node.kernel] * 2,
                pads=[node.kernel // 2] * 4,
                group=node.groups,
            )
            if narrow:
                limits = [builder.shared(limit, np.uint8) for limit in (node.low, node.high)]
                builder.node("Clip", [convolved, *limits], node.output)
        elif isinstance(node, Add):
            operands = [node.a, one, centre, node.b, one, centre, one, centre]
            builder.node("QLinearAdd", operands, node.output, "com.microsoft")
        else:
            builder.node("Concat", list(node.inputs), node.output, axis=1)
    return {node.output: node.output for node in graph.nodes} | {p.name: p.name for p in graph.outputs}


def _float_nodes(builder: _Builder, graph: IntegerGraph) -> dict[str, str]:
    """Each tensor t is held as float32 codes `t:f`; `t` itself is its u8 cast."""
    from onnx import TensorProto

    low, high = builder.shared(0.0, np.float32), builder.shared(255.0, np.float32)
    centre = builder.shared(128.0, np.float32)
    for port in graph.inputs:
        builder.node("Cast", [port.name], f"{port.name}:f", to=TensorProto.FLOAT)
    for node in graph.nodes:
        out = node.output
        if isinstance(node, Conv):
            _float_convolution(builder, node, f"{node.input}:f", f"{out}:f")
        elif isinstance(node, Add):
            builder.node("Add", [f"{node.a}:f", f"{node.b}:f"], f"{out}:total")
            builder.node("Sub", [f"{out}:total", centre], f"{out}:shifted")
            builder.node("Clip", [f"{out}:shifted", low, high], f"{out}:f")
        else:
            assert isinstance(node, Concat)
            builder.node("Concat", [f"{name}:f" for name in node.inputs], f"{out}:f", axis=1)
        wide = isinstance(node, Conv) and node.y_bytes == 2
        builder.node("Cast", [f"{out}:f"], out, to=TensorProto.UINT16 if wide else TensorProto.UINT8)
    return {node.output: node.output for node in graph.nodes}


def _float_convolution(builder: _Builder, conv: Conv, x: str, y: str) -> None:
    """From float32 codes x to float32 codes y."""
    out = conv.output
    if conv.x_bytes == 1:
        sums = _float_sums(builder, conv, x, conv.x_zero, conv.bias, f"{out}:sums")
    else:
        base = builder.shared(256.0, np.float32)
        builder.node("Mul", [x, builder.shared(1 / 256, np.float32)], f"{out}:parts")
        builder.node("Floor", [f"{out}:parts"], f"{out}:high")
        builder.node("Mul", [f"{out}:high", base], f"{out}:high x 256")
        builder.node("Sub", [x, f"{out}:high x 256"], f"{out}:low")
        high = _float_sums(builder, conv, f"{out}:high", conv.x_zero >> 8, conv.bias >> 8, f"{out}:high sums")
        low = _float_sums(builder, conv, f"{out}:low", conv.x_zero & 255, conv.bias & 255, f"{out}:low sums")
        # Rounds nothing, and keeps ONNX Runtime from adding the low products to the high sums one by one.
        builder.node("Round", [low], f"{low} apart")
        builder.node("Mul", [high, base], f"{high} x 256")
        sums = f"{out}:sums"
        builder.node("Add", [f"{high} x 256", f"{low} apart"], sums)
    multiplier = builder.constant(f"{conv.name}.multiplier", conv.multiplier[None, :, None, None])
    builder.node("Mul", [sums, multiplier], f"{out}:scaled")
    builder.node("Round", [f"{out}:scaled"], f"{out}:rounded")
    target = builder.shared(float(conv.y_zero), np.float32)
    builder.node("Add", [f"{out}:rounded", target], f"{out}:shifted")
    limits = [builder.shared(float(limit), np.float32) for limit in (conv.low, conv.high)]
    builder.node("Clip", [f"{out}:shifted", *limits], y)


def _float_sums(builder: _Builder, conv: Conv, x: str, zero: int, bias: NDArray[np.int32], sums: str) -> str:
    """bias + sum of w (x - zero), named `sums`, exact."""
    # Centred first, so that zero padding is padding with the zero-point.
    builder.node("Sub", [x, builder.shared(float(zero), np.float32)], f"{sums}:centred")
    weight = builder.constant(f"{conv.name}.weight", conv.weight.astype(np.float32))
    constant = builder.constant(f"{sums}:bias", bias.astype(np.float32))
    builder.node(
        "Conv",
        [f"{sums}:centred", weight, constant],
        sums,
        kernel_shape=[conv.kernel] * 2,
        pads=[conv.kernel // 2] * 4,
        group=conv.groups,
    )
    return sums
