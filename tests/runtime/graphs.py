"""Random legal integer graphs."""

from __future__ import annotations

import numpy as np

from quaver.runtime.graph import Add, Concat, Conv, IntegerGraph, Node, Port


def convolution(
    rng: np.random.Generator,
    name: str,
    source: str,
    inputs: int,
    outputs: int,
    kernel: int = 1,
    depthwise: bool = False,
    x_zero: int = 128,
    y_zero: int = 128,
    codes: tuple[int, int] = (0, 255),
    wide: tuple[int, int] = (1, 1),
) -> Conv:
    """Weights use their whole range; multipliers spread sums over about the range of a byte, or of two. `wide`: bytes
    of input and output."""
    groups = inputs if depthwise else 1
    weight = rng.integers(-64, 65, (outputs, inputs // groups, kernel, kernel)).astype(np.int8)
    spread = 64 * 128 * np.sqrt(weight[0].size) * 256.0 ** (wide[0] - wide[1])
    multiplier = (rng.uniform(20, 200, outputs) / spread).astype(np.float32)
    bias = (rng.integers(-50000, 50000, outputs) * 256 ** (wide[0] - 1)).astype(np.int32)
    return Conv(name, source, name, weight, bias, multiplier, x_zero, y_zero, groups, *codes, *wide)


def separable(seed: int, channels: int = 12) -> IntegerGraph:
    """Two ports, a concatenation, one block as the networks have it, a dense 3x3 and a head."""
    rng = np.random.default_rng(seed)
    extra = int(rng.integers(1, 6))
    nodes: list[Node] = [
        Concat(("a", "b"), "both"),
        convolution(rng, "enter", "both", channels + extra, channels),
        convolution(rng, "first", "enter", channels, channels, y_zero=0, codes=(0, 15)),
        convolution(rng, "mix", "first", channels, channels, 3, True, x_zero=0),
        convolution(rng, "second", "mix", channels, channels, codes=(120, 135)),
        Add("enter", "second", "sum"),
        convolution(rng, "wide", "sum", channels, 2 * channels, y_zero=0),
        convolution(rng, "narrow", "wide", 2 * channels, channels, x_zero=0),
        Add("sum", "narrow", "total"),
        convolution(rng, "dense", "total", channels, 8, 3, y_zero=int(rng.integers(0, 256))),
    ]
    head_zero = nodes[-1].y_zero  # type: ignore[union-attr]
    nodes.append(convolution(rng, "head", "dense", 8, 5, 3, x_zero=head_zero))
    ports = (Port("a", channels, 128), Port("b", extra, 128))
    return IntegerGraph(f"random-{seed}", ports, (Port("head", 5, 128), Port("total", channels, 128)), tuple(nodes))


def sixteen_bits(seed: int, channels: int = 12) -> IntegerGraph:
    """A block whose 1x1 layers read 16 bits, behind a depthwise and a 1x1 layer, and one that also writes them."""
    rng = np.random.default_rng(seed)
    zero, top = 1 << 15, (1 << 16) - 1
    nodes: list[Node] = [
        convolution(rng, "mix", "x", channels, channels, 3, True, y_zero=zero, codes=(0, top), wide=(1, 2)),
        convolution(rng, "leave", "mix", channels, channels, x_zero=zero, wide=(2, 1)),
        Add("x", "leave", "sum"),
        convolution(rng, "widen", "sum", channels, 2 * channels, y_zero=0, codes=(0, 4095), wide=(1, 2)),
        convolution(rng, "again", "widen", 2 * channels, channels, x_zero=0, y_zero=77, codes=(0, top), wide=(2, 2)),
        convolution(rng, "narrow", "again", channels, channels, x_zero=int(rng.integers(0, top)), wide=(2, 1)),
        Add("sum", "narrow", "total"),
    ]
    return IntegerGraph(f"wide-{seed}", (Port("x", channels, 128),), (Port("total", channels, 128),), tuple(nodes))


def inputs_for(graph: IntegerGraph, seed: int, height: int, width: int) -> dict[str, np.ndarray]:
    """Uniform, extreme or nearly constant codes."""
    rng = np.random.default_rng(seed)
    kinds = (
        lambda shape: rng.integers(0, 256, shape).astype(np.uint8),
        lambda shape: rng.choice(np.array([0, 255], np.uint8), shape),
        lambda shape: np.full(shape, rng.integers(0, 256), np.uint8),
    )
    return {port.name: kinds[seed % 3]((port.channels, height, width)) for port in graph.inputs}
