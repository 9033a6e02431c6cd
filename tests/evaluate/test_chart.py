"""Charts of the demo's page."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quaver.evaluate.chart import Series, line_chart, ticks

finite = st.floats(-1e6, 1e6)


@given(finite, finite)
def test_ticks_span_the_values(a: float, b: float) -> None:
    low, high = sorted((a, b))
    values = ticks(low, high)
    slack = 1e-6 * max(1, abs(low), abs(high))
    assert values[0] <= low + slack and values[-1] >= high - slack
    assert 2 <= len(values) <= 9 and values == sorted(set(values))


@pytest.mark.parametrize(("low", "high", "expected"), [(0, 95, [0, 20, 40, 60, 80, 100]), (31, 33.5, [31, 32, 33, 34])])
def test_ticks_are_round(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == expected


def test_a_chart_is_well_formed_and_holds_its_points() -> None:
    series = [Series("a & <b>", [(0.1, 30), (0.2, 33)], marked=True), Series("one", [(0.15, 31)])]
    svg = ElementTree.fromstring(line_chart(series, "rate", "PSNR"))
    width, height = map(int, svg.attrib["viewBox"].split()[2:])
    circles = svg.findall("circle")
    assert len(circles) == 3 and len(svg.findall("polyline")) == 2
    assert all(0 <= float(c.attrib["cx"]) <= width and 0 <= float(c.attrib["cy"]) <= height for c in circles)
    assert "a & <b>" in svg.attrib["aria-label"]
