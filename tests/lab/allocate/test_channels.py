"""Bits per channel against every combination."""

from __future__ import annotations

from itertools import pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quaver.errors import UsageError
from quaver.lab.allocate.channels import calibrated, grouped_points, pareto_points, spread

scores = st.integers(1, 4).flatmap(
    lambda count: st.fixed_dictionaries(
        {bits: st.lists(st.integers(-5, 100), min_size=count, max_size=count) for bits in (0, 2, 4)}
    )
)


@given(scores)
def test_no_other_bits_with_that_total_lose_less(scores: dict[int, list[int]]) -> None:
    """And points rise in bits and fall in zeta."""
    points = pareto_points(scores)
    every = [
        (sum(bits), sum(max(0, scores[b][c]) for c, b in enumerate(bits)))
        for bits in product(scores, repeat=len(scores[0]))
    ]
    for point in points:
        assert point.zeta == pytest.approx(min(zeta for total, zeta in every if total <= point.total))
    for low, high in pairwise(points):
        assert low.total < high.total and low.zeta > high.zeta
    assert points[-1].zeta == pytest.approx(min(zeta for _, zeta in every))


def test_sizes_weigh() -> None:
    """A group of four channels is raised only after the single channel, though it loses more."""
    points = pareto_points({2: [3.0, 4.0], 4: [0.0, 0.0]}, sizes=[1, 4])
    assert [point.bits for point in points] == [(2, 2), (4, 2), (4, 4)]
    assert [point.total for point in points] == [10, 12, 20]


def test_channels_share_what_the_layer_loses() -> None:
    """At the widths of the layer, by the shares at the nearest width of the channels."""
    found = calibrated({4: [1.0, 3.0], 0: [2.0, 2.0]}, {2: 1.0, 4: 0.4, 7: 0.0})
    assert found[2] == (0.25, 0.75) and found[4] == pytest.approx((0.1, 0.3)) and found[7] == (0.0, 0.0)
    assert found[0] == (0.5, 0.5)  # as much more than alone as at 2 bits
    assert calibrated({4: [0.0, -1.0]}, {4: 1.0})[4] == (0.5, 0.5)
    # The second channel's share grows from 2 to 8 bits, its loss does not.
    assert calibrated({2: [1.0, 0.0], 8: [0.0, 1.0]}, {2: 1.0, 8: 0.1}) == {2: (1.0, 0.1), 8: (0.0, 0.1)}


def test_incomplete_scores_are_refused() -> None:
    for wrong in ({}, {2: [1.0], 4: [1.0, 2.0]}):
        with pytest.raises(UsageError):
            pareto_points(wrong)
    with pytest.raises(UsageError):
        calibrated({0: [1.0]}, {2: 1.0})


def test_spread_keeps_the_ends() -> None:
    points = pareto_points({bits: [2.0**-bits * c for c in range(1, 20)] for bits in (2, 3, 4)})
    few = spread(points, 4)
    assert len(few) == 4 and few[0] == points[0] and few[-1] == points[-1] and spread(few, 9) == few


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.integers(1, 4))
def test_groups_of_like_channels_get_bits_of_their_own(least: list[float], count: int) -> None:
    """zeta of a point is the sum over channels at their group's bits, and groups are runs of the sorted scores."""
    scores = {bits: [value * 4.0 ** (2 - bits) for value in least] for bits in (2, 4, 6, 8)}
    for groups, point in grouped_points(scores, count, 5):
        assert len(groups) == len(least) and max(groups) + 1 == len(point.bits) <= count
        own = [point.bits[group] for group in groups]
        assert point.total == sum(own) and len(set(own)) > 1
        assert point.zeta == pytest.approx(sum(scores[bits][c] for c, bits in enumerate(own)))
        order = [groups[c] for c in sorted(range(len(least)), key=lambda c: least[c])]
        assert len([1 for a, b in pairwise(order) if a != b]) == max(groups)  # each group once
