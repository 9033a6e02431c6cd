"""What groups cost on two machines, counted by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from quaver.errors import UsageError
from quaver.lab.costs.groups import extended_bops, group_cost
from quaver.lab.costs.layers import convolution
from quaver.lab.quant.plan import LayerPlan

POINTWISE = convolution("net.a", (4, 6, 1, 1), (5, 7))
DEPTHWISE = convolution("net.b", (4, 4, 9, 4), (5, 7))
SHARED = convolution("net.c", (4, 6, 1, 1), (5, 7), shared_input=True)
FOUR = (0, 1, 2, 3)


def test_partial_sums_are_added_and_aligned_where_a_tensor_has_one_scale() -> None:
    assert group_cost(POINTWISE, 4, "tensor").operations(4) == 3 * (6 * 5 * 7) * (32 + 32)
    assert group_cost(POINTWISE, 4, "tensor").stored == 40
    assert group_cost(DEPTHWISE, 4, "tensor").operations(4) == 0


def test_here_only_an_entry_costs() -> None:
    assert group_cost(POINTWISE, 4, "quaver").operations(4) == 0
    assert group_cost(SHARED, 4, "quaver").operations(4) == 0  # 4 bits need the entry anyway
    entry = 4 * 5 * 7 * 2 * 8
    assert [group_cost(SHARED, 8, "quaver").operations(count) for count in (1, 2, 4)] == [0, entry, entry]
    plan = LayerPlan(7, 8, groups=FOUR)
    assert extended_bops(SHARED, plan, "quaver") == SHARED.bops(plan)


def test_extended_operations_add_up() -> None:
    plan = LayerPlan(7, 4, groups=FOUR)
    assert extended_bops(POINTWISE, plan, "tensor") == POINTWISE.bops(plan) + 3 * (6 * 5 * 7) * 64
    assert extended_bops(POINTWISE, LayerPlan(7, 4), "tensor") == POINTWISE.bops(LayerPlan(7, 4))
    mixed = LayerPlan(7, 8, groups=(0, 0, 0, 1), group_bits=(2, 8))
    limits = [(replace(POINTWISE, signed=signed), count) for signed, count in ((True, 3), (False, 2))]
    for layer, count in limits:  # what holds the narrow channels within their bits runs too
        assert layer.bops(mixed) == 6 * 4 * 5 * 7 * 7 * (2 * 3 + 8) / 4 + count * 4 * 5 * 7 * 2 * 8
    fitted = replace(mixed, affine=True)  # codes begin at 0: two limits, whatever the sign
    assert POINTWISE.bops(mixed) - POINTWISE.bops(fitted) == 4 * 5 * 7 * 2 * 8
    narrow = LayerPlan(7, 4, groups=FOUR)  # weights of entries have 7 bits where zero-points differ
    assert SHARED.bops(replace(narrow, affine=True)) - SHARED.bops(narrow) == 4 * 5 * 7 * (7 - 2) * 8
    one = LayerPlan(7, 4)
    assert SHARED.bops(replace(one, affine=True)) == SHARED.bops(one)
    with pytest.raises(UsageError, match="quaver, tensor are known"):
        group_cost(POINTWISE, 4, "dsp")  # type: ignore[arg-type]
