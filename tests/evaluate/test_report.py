"""What a set of points says."""

from __future__ import annotations

from pathlib import Path

import pytest

from quaver.evaluate.points import Point, read_table
from quaver.evaluate.report import curves, delta_rows, write_report

pytest.importorskip("scipy", reason="needs the extra `evaluate` or `lab`")
pytest.importorskip("matplotlib", reason="needs the extra `evaluate` or `lab`")


def points_of(clip: str, codec: str, factor: float) -> list[Point]:
    """Four points whose rate is `factor` times that of the codec it is compared with."""
    rates = (0.02, 0.05, 0.1, 0.3)
    return [
        Point(clip, codec, "options", n, 8, 100, factor * rate, 0.0, 30 + 4.0 * n, 1, 1) for n, rate in enumerate(rates)
    ]


POINTS = [
    point
    for clip, factor in (("zebra", 1.1), ("apple", 1.3))
    for codec, times in (("x264", 1.0), ("x265", 0.5), ("quaver-a", factor))
    for point in reversed(points_of(clip, codec, times))
]


def test_curves_keep_the_order_of_clips_and_sort_rates() -> None:
    assert list(curves(POINTS)) == ["zebra", "apple"]
    assert [rate for rate, _ in curves(POINTS)["zebra"]["x265"]] == [0.01, 0.025, 0.05, 0.15]


def test_averages_come_first_and_each_pair_of_peers_once() -> None:
    rows = delta_rows(POINTS)
    assert rows[0] == ("mean", "quaver-a", "x264", "20.00", "2/2 clips")
    assert [row[1:3] for row in rows if row[0] == "apple"] == [
        ("quaver-a", "x264"),
        ("quaver-a", "x265"),
        ("x264", "x265"),
    ]


def test_report_names_the_models(tmp_path: Path) -> None:
    write_report(POINTS, tmp_path, "today")
    assert (tmp_path / "bdrate.tsv").read_text().startswith("# today; quaver-a: options\n")
    assert read_table(tmp_path / "bdrate.tsv")[1]["clip"] == "median"
    assert (tmp_path / "rd.png").stat().st_size > 1000
