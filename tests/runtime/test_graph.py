"""The integer network description: what it refuses, its proof, its files."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quaver.errors import ModelError
from quaver.runtime.executors.reference import accumulate
from quaver.runtime.graph import ACCUMULATOR_LIMIT, Add, Concat, Conv, IntegerGraph, Port

from .graphs import convolution, separable, sixteen_bits


def alone(conv: Conv) -> IntegerGraph:
    channels = conv.weight.shape[1] * conv.groups
    return IntegerGraph("g", (Port(conv.input, channels, 128),), (Port(conv.output, len(conv.bias), 128),), (conv,))


@given(st.integers(0, 10**6), st.sampled_from([(4, 1), (3, 3)]), st.booleans(), st.sampled_from([0, 37, 128, 255]))
@settings(max_examples=25, deadline=None)
def test_no_input_exceeds_the_bound(seed: int, shape: tuple[int, int], depthwise: bool, zero: int) -> None:
    rng = np.random.default_rng(seed)
    channels, kernel = shape
    conv = convolution(rng, "y", "x", channels, channels, kernel, depthwise, zero)
    signs = np.sign(conv.weight.astype(int))
    # The worst input of output channel 0 at the middle position, by the signs of its weights.
    worst = np.full((channels, kernel, kernel), zero, np.uint8)
    weights = signs[0] if not depthwise else signs[0].repeat(channels, 0)
    high, low = (np.uint8(255), np.uint8(0))
    for sign, chosen in ((1, high), (-1, low)):
        worst[weights[: len(worst)] == sign] = chosen
    middle = kernel // 2
    sums = accumulate(conv, worst)[0, middle, middle]
    assert abs(int(sums)) <= conv.largest_sums()[0] < ACCUMULATOR_LIMIT


def test_bound_is_reached_where_zero_point_is_in_the_middle() -> None:
    weight = np.full((1, 3, 1, 1), 64, np.int8)
    conv = Conv("y", "x", "y", weight, np.array([7], np.int32), np.ones(1, np.float32), 0, 0)
    sums = accumulate(conv, np.full((3, 1, 1), 255, np.uint8))
    assert sums.item() == conv.largest_sums()[0] == 7 + 3 * 64 * 255


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"weight": np.full((2, 3, 1, 1), 65, np.int8)}, "outside"),
        ({"bias": np.array([1 << 24, 0], np.int32)}, "2\\*\\*24"),
        ({"multiplier": np.array([1, np.nan], np.float32)}, "not positive"),
        ({"multiplier": np.array([1, 0], np.float32)}, "not positive"),
        ({"x_zero": 256}, "zero-point"),
        ({"low": 9, "high": 9}, "not a range"),
        ({"high": 256}, "not a range"),
        ({"groups": 2}, "groups"),
        ({"bias": np.zeros(3, np.int32)}, "one per output"),
        ({"weight": np.zeros((2, 3, 2, 2), np.int8)}, "kernel"),
        ({"weight": np.zeros((2, 3, 1, 1), np.int16)}, "int8"),
        ({"input": "nowhere"}, "before it is made"),
        ({"output": "x"}, "made twice"),
        ({"x_bytes": 2}, "cannot read 'x', which has 8 bits"),
        ({"y_bytes": 2}, "output 'y' does not have 1 bytes"),
        ({"y_bytes": 3}, "1 and 2 are legal"),
        ({"y_bytes": 2, "high": 65536}, "not a range inside 0..65535"),
    ],
)
def test_illegal_convolutions_are_refused(change: dict[str, object], said: str) -> None:
    legal = Conv("y", "x", "y", np.ones((2, 3, 1, 1), np.int8), np.zeros(2, np.int32), np.ones(2, np.float32), 0, 0)
    ports = (Port("x", 3, 0),), (Port("y", 2, 0),)
    IntegerGraph("g", *ports, (legal,))
    with pytest.raises(ModelError, match=said):
        IntegerGraph("g", *ports, (dataclasses.replace(legal, **change),))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, None),
        ({"x_bytes": 1}, "cannot read 'x', which has 16 bits"),
        ({"bias": np.full(2, (1 << 31) - 4 * (1 << 15), np.int32)}, r"not below 2\*\*31"),
        ({"weight": np.ones((2, 4, 3, 3), np.int8)}, "1x1 convolutions alone"),
        ({"weight": np.ones((4, 1, 1, 1), np.int8), "groups": 4}, "1x1 convolutions alone"),
        ({"x_zero": 1 << 16}, "zero-point"),
    ],
)
def test_what_reads_sixteen_bits(change: dict[str, object], said: str | None) -> None:
    conv = convolution(np.random.default_rng(0), "y", "x", 4, 2, x_zero=1 << 15, wide=(2, 1))
    weight = change.get("weight", np.ones_like(conv.weight))
    conv = dataclasses.replace(conv, **{"weight": weight, **change})
    outputs = len(conv.weight)
    conv = dataclasses.replace(conv, bias=np.resize(conv.bias, outputs), multiplier=np.ones(outputs, np.float32))
    ports = (Port("x", 4, 128, 2),), (Port("y", outputs, 128),)
    if said is None:
        IntegerGraph("g", *ports, (conv,))
    else:
        with pytest.raises(ModelError, match=said):
            IntegerGraph("g", *ports, (conv,))


def test_nothing_else_reads_sixteen_bits() -> None:
    ports = (Port("a", 3, 128, 2), Port("b", 3, 128)), (Port("c", 3, 128),)
    for node in (Add("a", "b", "c"), Concat(("b", "a"), "c")):
        with pytest.raises(ModelError, match="'c' cannot read 'a', which has 16 bits"):
            IntegerGraph("g", *ports, (node,))


def test_unequal_sums_are_refused() -> None:
    with pytest.raises(ModelError, match="adds 3 to 2"):
        IntegerGraph("g", (Port("a", 3, 128), Port("b", 2, 128)), (Port("c", 3, 128),), (Add("a", "b", "c"),))


def test_layers_of_eight_bits_are_described_as_ever() -> None:
    """Models without wide layers keep their hash; those with are refused by readers that do not know them."""
    nodes = separable(1).to_arrays()[0]["nodes"]
    assert {node["op"] for node in nodes} == {"conv", "add", "concat"}
    assert not any("x_bytes" in node for node in nodes)
    assert {node["op"] for node in sixteen_bits(1).to_arrays()[0]["nodes"]} == {"wide", "add"}


@pytest.mark.parametrize("make", [separable, sixteen_bits])
def test_description_and_arrays_restore_the_graph(make: Callable[[int], IntegerGraph]) -> None:
    graph = make(1)
    again = IntegerGraph.from_arrays(*graph.to_arrays())
    assert again.to_arrays()[0] == graph.to_arrays()[0]
    for key, array in graph.to_arrays()[1].items():
        np.testing.assert_array_equal(array, again.to_arrays()[1][key])


@pytest.mark.parametrize("damage", ["nodes", "inputs", "op", "array"])
def test_damaged_descriptions_are_refused(damage: str) -> None:
    description, arrays = separable(2).to_arrays()
    if damage == "array":
        del arrays["mix.weight"]
    elif damage == "op":
        description["nodes"][0]["op"] = "sqrt"
    else:
        del description[damage]
    with pytest.raises(ModelError, match="damaged"):
        IntegerGraph.from_arrays(description, arrays)
