"""Costs of single layers against counting by hand."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quaver.lab.costs.fixed import add, gdn
from quaver.lab.costs.layers import convolution
from quaver.lab.quant.plan import LayerPlan
from quaver.runtime.packing import pack

shapes = st.tuples(st.integers(1, 6), st.integers(1, 6), st.sampled_from([1, 9]))


@given(shapes, st.integers(2, 7), st.integers(2, 8))
def test_operations_are_those_of_the_loops(shape: tuple[int, int, int], w: int, a: int) -> None:
    inputs, outputs, taps = shape
    layer = convolution("x", (inputs, outputs, taps, 1), (3, 5), Fraction(1, 4))
    counted = sum(1 for _ in np.ndindex(outputs, inputs, taps, 3, 5))
    assert layer.operations == counted and layer.macs == Fraction(counted, 4)
    assert layer.bops(LayerPlan(w, a)) == Fraction(counted * w * a, 4)


def test_depthwise_layers_and_kinds() -> None:
    layer = convolution("x", (6, 6, 9, 6), (2, 2))
    assert (layer.op, layer.weights, layer.operations) == ("depthwise", 54, 216)
    kinds = {(6, 6, 1, 1): "pointwise", (6, 6, 9, 1): "dense", (6, 6, 9, 2): "grouped", (6, 6, 1, 6): "entry"}
    assert {shape: convolution("x", shape, (1, 1)).op for shape in kinds} == kinds


def test_bits_per_channel() -> None:
    """A pruned channel costs nothing but its bias; the rest counts by its own bits."""
    layer = convolution("x", (4, 3, 1, 1), (5, 5))
    plan = LayerPlan(4, 8, (4, 0, 2))
    assert layer.weight_bits(plan) == 4 * (4 + 0 + 2)
    assert layer.bops(plan) == 25 * 24 * 8


def test_splits_widen_the_layer() -> None:
    layer = convolution("x", (4, 3, 1, 1), (5, 5))
    assert layer.bops(LayerPlan(4, 8, split=(0, 2))) == layer.bops(LayerPlan(4, 8)) * Fraction(6, 4)


def test_clips_where_a_byte_holds_more_codes() -> None:
    """Once, and after every convolution that limits channels; halves of split channels are cut off too."""
    layer = convolution("x", (4, 3, 1, 1), (5, 5), Fraction(1, 2))
    assert layer.clips(LayerPlan(4, 8)) == layer.clips(LayerPlan(None, None)) == ()
    (clip,) = layer.clips(LayerPlan(4, 5, split=(0, 2)))
    assert (clip.op, clip.inputs, clip.share, clip.bops(LayerPlan(4, 5))) == ("clip", 6, Fraction(1, 2), 0)
    grouped = LayerPlan(4, 5, groups=(0, 0, 1, 1), group_bits=(5, 4))
    assert len(layer.clips(grouped)) == 1 + 3


@pytest.mark.parametrize(("bits", "groups", "asks"), [(8, None, False), (7, None, True), (8, (0, 1, 0), True)])
def test_entries(bits: int, groups: tuple[int, ...] | None, asks: bool) -> None:
    """Fewer bits or other scales than the stored input's ask for an entry, where others read that input too."""
    plan = LayerPlan(7, bits, groups=groups)
    shared, own = (convolution("x", (3, 5, 1, 1), (4, 4), shared_input=shared) for shared in (True, False))
    assert (shared.entry(plan) is not None) == asks and own.entry(plan) is None
    extra = shared.bops(plan) - own.bops(plan), shared.file_bytes(plan) - own.file_bytes(plan)
    assert (extra == (0, 0)) != asks
    if asks:
        assert extra[0] == 3 * 16 * 2 * 8


def test_file_bytes_are_the_packed_ones() -> None:
    rng = np.random.default_rng(0)
    weights = rng.integers(-3, 4, (7, 5, 3, 3)).astype(np.int8)
    weights[:, 0, 0, 0] = 3
    layer = convolution("x", (5, 7, 9, 1), (4, 4))
    payload, bits = pack(weights)
    narrow, wide = layer.file_bytes(LayerPlan(3, 8)), layer.file_bytes(LayerPlan(7, 8))
    assert set(bits.tolist()) == {3} and wide - narrow == -(-7 * 45 * 7 // 8) - len(payload)


def test_memory_and_traffic() -> None:
    layer = convolution("x", (4, 3, 1, 1), (5, 5))
    assert layer.activation_bytes(LayerPlan(4, 8)) == (100, 75) and layer.traffic(LayerPlan(4, 8)) == 187
    assert layer.activation_bytes(LayerPlan(None, None)) == (400, 300)
    assert layer.traffic(LayerPlan(None, None)) == 748


def test_fixed_rows() -> None:
    norm, total = gdn("n", 4, (2, 3)), add("s", 4, (2, 3))
    assert norm.operations == 6 * (16 + 12) and norm.bops(LayerPlan(2, 2)) == norm.operations * 1024
    assert total.macs == 0 and total.bops(LayerPlan(2, 2)) == 24 * 8
    assert not norm.planned and norm.file_bytes(LayerPlan(7, 8)) == 0
