"""The integer networks as data: u8 activations, s8 weights, sums below 2**24. See docs/format/arithmetic.md.

A graph is a list of nodes in order; tensors are u8 arrays (channels, h, w) known by name. Between convolutions they
may be u16 (*wide*): a 1x1 convolution reads them as two bytes, and its sums stay below 2**31.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quaver.errors import ModelError

WEIGHT_LIMIT = 64
ACCUMULATOR_LIMIT = 1 << 24
WIDE_LIMIT = 1 << 31  # of |acc| where the input is wide; the sums over either byte then stay below 2**24


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output of a graph. bytes: of a value; files hold graphs whose ports have 1."""

    name: str
    channels: int
    zero_point: int
    bytes: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class Conv:
    """q = clamp(rint(fl32(float32(acc) * multiplier)) + y_zero, low, high), acc = bias + sum w (x - x_zero).

    weight: int8 (O, I / groups, k, k), |w| <= 64; bias: int32 (O,); multiplier: float32 (O,), positive. Stride 1;
    padding k // 2 with x_zero. low, high: the codes in use, 0 and 255 unless the activation has other than 8 bits.
    x_bytes, y_bytes: 2 where x or y is wide; wide inputs are for 1x1 convolutions that are not depthwise.
    """

    name: str
    input: str
    output: str
    weight: NDArray[np.int8]
    bias: NDArray[np.int32]
    multiplier: NDArray[np.float32]
    x_zero: int
    y_zero: int
    groups: int = 1
    low: int = 0
    high: int = 255
    x_bytes: int = 1
    y_bytes: int = 1

    @property
    def kernel(self) -> int:
        return int(self.weight.shape[2])

    def largest_sums(self) -> NDArray[np.int64]:
        """(O,) a bound of |acc| over every legal input and every order of summation."""
        reach = max(self.x_zero, 256**self.x_bytes - 1 - self.x_zero)
        weights = np.abs(self.weight.astype(np.int64)).sum((1, 2, 3))
        return np.abs(self.bias.astype(np.int64)) + reach * weights


@dataclass(frozen=True, slots=True)
class Add:
    """y = clamp((a - 128) + (b - 128) + 128, 0, 255)."""

    a: str
    b: str
    output: str


@dataclass(frozen=True, slots=True)
class Concat:
    """Channels of several tensors, one after the other."""

    inputs: tuple[str, ...]
    output: str


Node = Conv | Add | Concat


@dataclass(frozen=True, slots=True, eq=False)
class IntegerGraph:
    """Ports and nodes. Construction checks that every tensor is known where it is used, that channels fit, that
    weights and zero-points are legal and that every accumulator stays below 2**24; ModelError says what is not."""

    name: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    nodes: tuple[Node, ...]

    def __post_init__(self) -> None:
        channels = {port.name: port.channels for port in self.inputs}
        wide = {port.name for port in self.inputs if port.bytes == 2}
        for node in self.nodes:
            if node.output in channels:
                raise ModelError(f"graph {self.name!r}: tensor {node.output!r} is made twice")
            for used in _used(node):
                if used not in channels:
                    raise ModelError(f"graph {self.name!r}: tensor {used!r} is used before it is made")
                if (used in wide) != (isinstance(node, Conv) and node.x_bytes == 2):
                    kind = "16" if used in wide else "8"
                    raise ModelError(
                        f"graph {self.name!r}: {node.output!r} cannot read {used!r}, which has {kind} bits"
                    )
            channels[node.output] = _channels(self.name, node, channels)
            if isinstance(node, Conv) and node.y_bytes == 2:
                wide.add(node.output)
        for port in self.outputs:
            if (port.name in wide) != (port.bytes == 2):
                raise ModelError(f"graph {self.name!r}: output {port.name!r} does not have {port.bytes} bytes a value")
            if channels.get(port.name) != port.channels:
                raise ModelError(f"graph {self.name!r}: output {port.name!r} does not have {port.channels} channels")

    def convolutions(self) -> Iterator[Conv]:
        return (node for node in self.nodes if isinstance(node, Conv))

    def macs(self) -> int:
        """Multiplications per position of the map."""
        return sum(conv.weight.size for conv in self.convolutions())

    def halo(self) -> int:
        """How far a position's outputs reach into the inputs, in positions; a bound."""
        return sum(conv.kernel // 2 for conv in self.convolutions())

    def to_arrays(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """(JSON-able description, arrays by name)."""
        arrays: dict[str, NDArray[Any]] = {}
        nodes: list[dict[str, Any]] = []
        for node in self.nodes:
            if isinstance(node, Conv):
                for part in ("weight", "bias", "multiplier"):
                    arrays[f"{node.name}.{part}"] = getattr(node, part)
                plain = {key: getattr(node, key) for key in _CONV_FIELDS}
                narrow = {key: getattr(node, key) for key, usual in _CODES.items() if getattr(node, key) != usual}
                wide = {key: getattr(node, key) for key in _BYTES}
                if set(wide.values()) == {1}:
                    nodes.append({"op": "conv", **plain, **narrow})
                else:
                    nodes.append({"op": "wide", **plain, **narrow, **wide})
            elif isinstance(node, Add):
                nodes.append({"op": "add", "a": node.a, "b": node.b, "output": node.output})
            else:
                nodes.append({"op": "concat", "inputs": list(node.inputs), "output": node.output})
        ports = {
            side: [[port.name, port.channels, port.zero_point] for port in getattr(self, side)]
            for side in ("inputs", "outputs")
        }
        return {"name": self.name, **ports, "nodes": nodes}, arrays

    @classmethod
    def from_arrays(cls, description: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> IntegerGraph:
        """Inverse of `to_arrays`; ModelError for anything else."""
        try:
            nodes = tuple(_node(entry, arrays) for entry in description["nodes"])
            inputs, outputs = (
                tuple(Port(str(name), int(channels), int(zero)) for name, channels, zero in description[side])
                for side in ("inputs", "outputs")
            )
            return cls(str(description["name"]), inputs, outputs, nodes)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ModelError(f"a graph's description is damaged: {error}") from error


_CONV_FIELDS = ("name", "input", "output", "x_zero", "y_zero", "groups")
_CODES = {"low": 0, "high": 255}  # described only where they differ
_BYTES = ("x_bytes", "y_bytes")  # described where one is 2, by an operation that readers without wide tensors refuse


def _node(entry: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Node:
    if entry["op"] in ("conv", "wide"):
        name = str(entry["name"])
        weight, bias, multiplier = (arrays[f"{name}.{part}"] for part in ("weight", "bias", "multiplier"))
        numbers = [int(entry[key]) for key in ("x_zero", "y_zero", "groups")]
        numbers += [int(entry.get(key, usual)) for key, usual in _CODES.items()]
        numbers += [int(entry[key]) for key in _BYTES] if entry["op"] == "wide" else []
        return Conv(name, str(entry["input"]), str(entry["output"]), weight, bias, multiplier, *numbers)
    if entry["op"] == "add":
        return Add(str(entry["a"]), str(entry["b"]), str(entry["output"]))
    if entry["op"] == "concat":
        return Concat(tuple(str(name) for name in entry["inputs"]), str(entry["output"]))
    raise ValueError(f"unknown operation {entry['op']!r}")


def _used(node: Node) -> tuple[str, ...]:
    if isinstance(node, Conv):
        return (node.input,)
    return (node.a, node.b) if isinstance(node, Add) else node.inputs


def _channels(graph: str, node: Node, channels: Mapping[str, int]) -> int:
    """Channels of the node's output, after checking the node."""
    if isinstance(node, Concat):
        return sum(channels[name] for name in node.inputs)
    if isinstance(node, Add):
        if channels[node.a] != channels[node.b]:
            raise ModelError(f"graph {graph!r}: {node.output!r} adds {channels[node.a]} to {channels[node.b]} channels")
        return channels[node.a]
    problem = _problem(node, channels[node.input])
    if problem:
        raise ModelError(f"graph {graph!r}: convolution {node.name!r}: {problem}")
    return int(node.weight.shape[0])


def _problem(conv: Conv, inputs: int) -> str | None:
    weight, outputs = conv.weight, conv.weight.shape[0]
    if weight.dtype != np.int8 or conv.bias.dtype != np.int32 or conv.multiplier.dtype != np.float32:
        return "weights must be int8, biases int32, multipliers float32"
    if weight.ndim != 4 or weight.shape[2] != weight.shape[3] or conv.kernel % 2 == 0 or conv.kernel > 7:
        return f"a kernel of shape {weight.shape}; square and odd up to 7 is legal"
    if conv.groups not in (1, inputs) or weight.shape[1] * conv.groups != inputs or outputs % conv.groups:
        return f"{inputs} channels into weights of shape {weight.shape} with {conv.groups} groups"
    if conv.bias.shape != (outputs,) or conv.multiplier.shape != (outputs,):
        return "biases and multipliers must be one per output channel"
    if np.abs(weight.astype(np.int32)).max(initial=0) > WEIGHT_LIMIT:
        return f"a weight lies outside -{WEIGHT_LIMIT}..{WEIGHT_LIMIT}"
    if not (np.isfinite(conv.multiplier).all() and (conv.multiplier > 0).all()):
        return "a multiplier is not positive"
    if conv.x_bytes not in (1, 2) or conv.y_bytes not in (1, 2):
        return f"{conv.x_bytes} bytes in, {conv.y_bytes} out; 1 and 2 are legal"
    if conv.x_bytes == 2 and (conv.kernel > 1 or conv.groups > 1):
        return "16 bits of a kernel or depthwise layer; 1x1 convolutions alone read them"
    largest = 256**conv.y_bytes - 1
    if not (0 <= conv.x_zero < 256**conv.x_bytes and 0 <= conv.y_zero <= largest):
        return "a zero-point lies outside the codes of its tensor"
    if not 0 <= conv.low < conv.high <= largest:
        return f"codes {conv.low}..{conv.high} are not a range inside 0..{largest}"
    limit = WIDE_LIMIT if conv.x_bytes == 2 else ACCUMULATOR_LIMIT
    if conv.largest_sums().max(initial=0) >= limit:
        return f"an accumulator can reach {conv.largest_sums().max()}, not below 2**{limit.bit_length() - 1}"
    return None
