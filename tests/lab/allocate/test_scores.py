"""Sensitivity tables as the allocator reads them."""

from __future__ import annotations

from typing import Any

import pytest

from quaver.errors import UsageError
from quaver.lab.allocate.scores import Scores, table_scores
from quaver.lab.analyse.table import SensitivityTable


def row(site: str, kind: str, bits: int, zeta: float, **more: Any) -> dict[str, Any]:
    plain = {
        "model_hash": "m",
        "module": "net",
        "level": "layer",
        "mode": "add",
        "lambda": 0.1,
        "clip": "mean",
        "frames": 8,
    }
    return plain | {"call_site": site, "kind": kind, "bits": bits, "zeta": zeta, "source": "measured"} | more


def test_means_of_what_was_measured() -> None:
    rows = [
        row("a", "w", 4, 1.0),
        row("a", "w", 4, 3.0, **{"lambda": 0.2}),
        row("a", "w", 4, 9.0, clip="one clip"),
        row("a", "w", 4, 9.0, mode="drop"),
        row("a", "w", 4, 9.0, source="predicted"),
        row("a", "a", 8, 0.5),
        row("b", "a", 8, 0.7, source="predicted"),
        row("net", "wa", 4, 0.2, level="module"),
        row("net + other", "wa", 4, 0.1, level="pair"),
        row("a", "w", 4, 0.3, level="channel", channel=1),
        row("a", "w", 4, 0.2, level="channel", channel=0, source="predicted"),
        row("b", "w", 4, 0.2, level="channel", channel=1),  # without channel 0: not whole
        row("state", "state", 8, 9.0, level="module"),
    ]
    found = table_scores(SensitivityTable.of(rows))
    assert found.layers == {("a", "w", 4): 2.0, ("a", "a", 8): 0.5, ("b", "a", 8): 0.7}
    assert found.channels == {("a", "w"): {4: (0.2, 0.3)}} and found.modules == {("net", "wa", 4): 0.2}
    assert found.pairs[0].first == ("net", "wa", 4) and found.pairs[0].second == ("other", "wa", 4)
    assert found.model_hash == "m" and found.bits("a", "w") == [4]


def test_channels_without_the_loop_come_first() -> None:
    def channel(number: int, zeta: float, mode: str, bits: int = 4) -> dict[str, Any]:
        return row("a", "w", bits, zeta, level="channel", channel=number, mode=mode)

    rows = [row("a", "w", 4, 1.0), channel(0, 9.0, "add"), channel(1, 9.0, "add"), channel(0, 0.5, "add", 6)]
    rows += [channel(1, 0.4, "add", 6), channel(0, 0.1, "open"), channel(1, 0.2, "open")]
    assert table_scores(SensitivityTable.of(rows)).channels == {("a", "w"): {4: (0.1, 0.2), 6: (0.5, 0.4)}}


def test_what_the_closed_loop_cannot_see_comes_from_without_the_loop() -> None:
    rows = [
        row("a", "w", 4, -0.005, floor=0.01),
        row("a", "w", 4, 0.0001, mode="open", floor=1e-5),
        row("b", "w", 4, 0.3, floor=0.01),
        row("b", "w", 4, 0.2, mode="open", floor=1e-5),
    ]
    found = table_scores(SensitivityTable.of(rows)).believed().layers
    # Each with a quarter of its standard error: an estimate from without the loop is right within its size, the closed
    # loop's within half of the floor.
    assert found["a", "w", 4] == pytest.approx(0.000125, rel=0.05)
    assert found["b", "w", 4] == pytest.approx(0.30125, rel=0.01)


def test_tables_that_do_not_serve() -> None:
    with pytest.raises(UsageError, match="2 models"):
        table_scores(SensitivityTable.of([row("a", "w", 4, 1.0), row("a", "w", 4, 1.0, model_hash="n")]))
    with pytest.raises(UsageError, match="scores no layers"):
        table_scores(SensitivityTable.of([row("a", "w", 4, 1.0, mode="drop")]))


def test_widths_follow_the_square_of_a_step() -> None:
    layers = {("a", "w", 2): 0.16, ("a", "w", 4): 0.01, ("a", "a", 4): -0.2, ("a", "a", 6): 0.001}
    errors = dict.fromkeys(layers, 0.0)
    believed = Scores("", layers, errors=errors).believed()
    assert believed.layers["a", "w", 3] == pytest.approx(0.04) and believed.layers["a", "w", 2] == pytest.approx(0.16)
    assert believed.layers["a", "a", 4] == believed.layers["a", "a", 6] == 0
    noisy = Scores("", layers | {("a", "w", 4): -0.3}, errors={("a", "w", 2): 0.0, ("a", "w", 4): 0.2}).believed()
    assert 0 < noisy.layers["a", "w", 4] < 0.05  # 0.01 expected, within 0.04
    assert believed.bits("a", "w") == [2, 3, 4] and believed.bits("a", "a") == [4, 5, 6]


def test_a_loss_that_is_whole_at_few_bits_is_seen_at_more() -> None:
    """Of a clear measurement nothing is smoothed away: 2 bits lose all that can be lost, 4 bits nearly as much."""
    layers = {("a", "a", 2): 0.072, ("a", "a", 4): 0.045, ("a", "a", 8): 0.001}
    believed = Scores("", layers, errors=dict.fromkeys(layers, 0.002)).believed().layers
    assert believed["a", "a", 4] == pytest.approx(0.045, rel=0.1)
    assert 0.001 < believed["a", "a", 6] < 0.02 and believed["a", "a", 8] < 0.004


def test_a_part_of_the_standard_error_counts_as_loss() -> None:
    rows = [row("a", "w", 4, 0.02, stderr=0.01), row("b", "w", 4, -0.02, stderr=0.01)]
    found = table_scores(SensitivityTable.of(rows)).believed().layers
    assert found == {("a", "w", 4): pytest.approx(0.0225), ("b", "w", 4): pytest.approx(0.0025)}


def test_noise_is_not_rewarded() -> None:
    """Negative values and values that grow with bits are noise: they become 0, and their mean."""
    noisy = {("a", "w", 2): -0.5, ("a", "w", 4): -0.1, ("b", "w", 2): 0.2, ("b", "w", 4): 0.4, ("b", "w", 6): 0.1}
    smooth = Scores("", noisy).smoothed().layers
    assert smooth["a", "w", 2] == smooth["a", "w", 4] == 0
    assert smooth["b", "w", 2] == smooth["b", "w", 4] == pytest.approx(0.3) and smooth["b", "w", 6] == 0.1
