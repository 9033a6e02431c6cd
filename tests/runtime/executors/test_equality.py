"""Every executor computes every tensor of every graph alike, whatever its threads and optimizations."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from quaver.runtime.executors import select
from quaver.runtime.executors.onnx_runtime import OnnxExecutor
from quaver.runtime.executors.reference import ReferenceExecutor, accumulate, requantize
from quaver.runtime.executors.strips import StripRunner
from quaver.runtime.graph import Conv, IntegerGraph

from ..graphs import convolution, inputs_for, separable, sixteen_bits

Make = Callable[[int, int], IntegerGraph]
SIZES = ((1, 1), (3, 5), (8, 17), (23, 40))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("optimize", [True, False])
@pytest.mark.parametrize("float32", [False, True])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("make", [separable, sixteen_bits])
def test_every_tensor(make: Make, seed: int, float32: bool, optimize: bool, threads: int) -> None:
    graph = make(seed, (8, 12, 16, 33)[seed])
    reference = ReferenceExecutor().prepare(graph)
    runner = OnnxExecutor(float32, optimize).prepare(graph, threads)
    for number, (height, width) in enumerate(SIZES):
        inputs = inputs_for(graph, seed + number, height, width)
        expected, traced, outputs = reference.trace(inputs), runner.trace(inputs), runner.run(inputs)
        assert traced.keys() == expected.keys()
        for name, tensor in expected.items():
            np.testing.assert_array_equal(traced[name], tensor, name)
            assert traced[name].dtype == tensor.dtype, name
        for name, tensor in outputs.items():
            np.testing.assert_array_equal(tensor, expected[name], name)


@pytest.mark.parametrize("name", ["onnx", "onnx-f32", "reference"])
@pytest.mark.parametrize("count", [1, 2, 5, 23, 100])
@pytest.mark.parametrize("side_by_side", [False, True])
def test_strips(name: str, count: int, side_by_side: bool) -> None:
    graph = separable(5)
    whole = select.executor(name).prepare(graph)
    inputs = inputs_for(graph, 3, 23, 9)
    with ThreadPoolExecutor(2) as pool:
        strips = StripRunner(whole, graph, count, pool if side_by_side else None)
        for key, tensor in whole.run(inputs).items():
            np.testing.assert_array_equal(strips.run(inputs)[key], tensor)


def test_float_tensors_hold_exact_integers() -> None:
    """What the float32 path convolves are integers, and so are its sums: all below 2**24, hence exact."""
    graph = separable(6)
    runner = OnnxExecutor(float32=True).prepare(graph)
    inputs = inputs_for(graph, 0, 9, 11)
    tensors = runner.trace(inputs)
    for conv in graph.convolutions():
        sums = accumulate(conv, tensors[conv.input])
        assert np.abs(sums).max() <= conv.largest_sums().max() < 1 << 24
        np.testing.assert_array_equal(sums.astype(np.float32).astype(np.int64), sums)
        np.testing.assert_array_equal(requantize(sums, conv), tensors[conv.output])


def test_sixteen_bits_are_two_products() -> None:
    """The sums over either byte are exact in float32, and 256 times one plus the other rounds as the whole does."""
    rng = np.random.default_rng(0)
    conv = convolution(rng, "y", "x", 500, 8, x_zero=1 << 15, wide=(2, 1))
    full = replace(conv, weight=np.full_like(conv.weight, 64), bias=np.full_like(conv.bias, (1 << 29) - 1))
    x = rng.choice(np.array([0, 1, 255, 256, 65534, 65535], np.uint16), (500, 4, 5))
    for each, codes in ((conv, x), (full, x), (full, np.full_like(x, 65535)), (full, np.zeros_like(x))):
        sums = accumulate(each, codes)
        assert np.abs(sums).max() <= each.largest_sums().max() < 1 << 31
        byte = [
            accumulate(replace(each, x_bytes=1, x_zero=zero, bias=bias), part)
            for part, zero, bias in ((codes >> 8, 128, each.bias >> 8), (codes & 255, 0, each.bias & 255))
        ]
        np.testing.assert_array_equal(256 * byte[0] + byte[1], sums)
        assert max(np.abs(part).max() for part in byte) < 1 << 24
        high, low = (part.astype(np.float32) for part in byte)
        np.testing.assert_array_equal(np.float32(256) * high + low, sums.astype(np.float32))


def saturating_sums(conv: Conv, x: np.ndarray) -> np.ndarray:
    """A 1x1 convolution as x86 without VNNI does it (pmaddubsw): pairs of u8 x s8 products added in int16 with
    saturation, then summed in int32."""
    weight, codes = conv.weight[:, :, 0, 0].astype(np.int64), x[:, 0, 0].astype(np.int64)
    pairs = (weight * codes).reshape(len(weight), -1, 2).sum(-1).clip(-32768, 32767)
    return pairs.sum(-1)


@pytest.mark.parametrize("limit", [64, 127])
def test_weights_up_to_64_never_saturate_pairs(limit: int) -> None:
    rng = np.random.default_rng(limit)
    wrong = 0
    for seed in range(50):
        conv = convolution(rng, "y", "x", 32, 16, x_zero=0)
        weight = rng.choice(np.array([-limit, limit, 0, 1], np.int8), conv.weight.shape)
        x = rng.choice(np.array([0, 255, 254], np.uint8), (32, 1, 1)) if seed else np.full((32, 1, 1), 255, np.uint8)
        exact = (weight[:, :, 0, 0].astype(np.int64) * x[:, 0, 0].astype(np.int64)).sum(-1)
        plain = Conv("y", "x", "y", weight, conv.bias, conv.multiplier, 0, 0)
        wrong += int((saturating_sums(plain, x) != exact).any())
    assert (wrong == 0) == (limit == 64)
