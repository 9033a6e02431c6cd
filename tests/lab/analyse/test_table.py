"""Rows in and out of files, merged, summarized."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from quaver.errors import UsageError
from quaver.lab.analyse.table import MEAN, SCHEMA, SensitivityTable


def row(site: str = "a.b", zeta: float = 0.01, **others: Any) -> dict[str, Any]:
    plain = {"model_hash": "m", "call_site": site, "module": "a", "kind": "w", "level": "layer", "bits": 4}
    plain |= {"mode": "add", "lambda": 0.01, "clip": MEAN, "frames": 8, "zeta": zeta, "source": "measured"}
    return plain | {"floor": 0.001, "under_floor": False, "encoder_only": False, "curve": [0.0, zeta]} | others


def test_files_keep_everything(tmp_path: Path) -> None:
    table = SensitivityTable.of(
        [row(), row("a.c", 0.5, stderr=0.1)], manifest={"hash": "x"}, histograms={"a.b": {"w": {"low": 0.0}}}
    )
    table.save(tmp_path)
    for path in (tmp_path, tmp_path / "sensitivity.parquet", tmp_path / "sensitivity.json"):
        read = SensitivityTable.load(path)
        assert_frame_equal(read.rows, table.rows)
        assert (read.manifest, read.histograms) == (table.manifest, table.histograms)
        assert read.proxies.schema == table.proxies.schema
    assert not list(tmp_path.glob("*.part"))


def test_tables_from_before_impulses_had_intervals_load(tmp_path: Path) -> None:
    later = ["gain_low", "gain_high", "decay_low", "decay_high"]
    table = SensitivityTable.of([row(gain=2.0)])
    table.save(tmp_path)
    texts = pl.read_parquet_metadata(tmp_path / "sensitivity.parquet")
    notes = {key: text for key, text in texts.items() if key.startswith("quaver.")}
    table.rows.drop(later).write_parquet(tmp_path / "old.parquet", metadata=notes)
    plain = json.loads((tmp_path / "sensitivity.json").read_text())
    plain["columns"] = {name: values for name, values in plain["columns"].items() if name not in later}
    (tmp_path / "old.json").write_text(json.dumps(plain))
    for name in ("old.parquet", "old.json"):
        assert_frame_equal(SensitivityTable.load(tmp_path / name).rows, table.rows)


def test_columns_of_the_format() -> None:
    promised = "model_hash call_site kind level channel bits mode lambda clip dR dD zeta stderr slope source"
    assert set(promised.split()) <= set(SCHEMA)


def test_merge_takes_the_last_of_equal_rows() -> None:
    old, new = SensitivityTable.of([row(), row("a.c", 0.2)]), SensitivityTable.of([row(zeta=0.3), row(bits=6)])
    merged = old.merge(new)
    zetas = {(r["call_site"], r["bits"]): r["zeta"] for r in merged.rows.iter_rows(named=True)}
    assert zetas == {("a.b", 4): 0.3, ("a.c", 4): 0.2, ("a.b", 6): 0.01}


def test_scores_are_means_over_lambda_worst_first() -> None:
    table = SensitivityTable.of(
        [row(zeta=0.1), row(zeta=0.3, **{"lambda": 0.1}), row("a.c", 0.5), row("a.d", 9.0, clip="one"), row(frames=32)]
    )
    scores = table.scores()
    assert scores["call_site"].to_list() == ["a.c", "a.b"]
    assert scores["zeta"].to_list() == pytest.approx([0.5, 0.2])


def test_some_clips_alone() -> None:
    """Means, their errors and floors are of the clips that were asked for; what is known of all clips alone is gone."""
    rows = [row(zeta=zeta, clip=clip, floor=floor) for clip, zeta, floor in (("x", 1, 3), ("y", 5, 1), ("z", 3, 4))]
    table = SensitivityTable.of([*rows, row(zeta=3.0), row("a.c", 0.5, source="predicted")])
    assert table.clips == ["x", "y", "z"]
    (found,) = table.of_clips(["x", "z"]).means.iter_rows(named=True)
    assert (found["zeta"], found["stderr"], found["floor"]) == pytest.approx((2, 1, 2.5)) and found["under_floor"]
    assert table.of_clips(["y"]).scores()["zeta"].to_list() == [5]
    assert table.of_clips(["x"]).estimates()["zeta"].to_list() == [1]


def test_channels_are_those_without_the_loop_where_there_are_some() -> None:
    common: dict[str, Any] = {"level": "channel", "channel": 0}
    table = SensitivityTable.of(
        [row("a.b", 1.0, **common), row("a.b", 2.0, mode="open", **common), row("a.b", 3.0, bits=6, **common)]
    )
    assert table.channels["zeta"].to_list() == [2.0, 3.0]


def test_the_mean_over_lambda_has_a_lower_floor() -> None:
    rows = [row(zeta=0.018, floor=0.02, **{"lambda": lmbda}) for lmbda in (0.1, 0.2, 0.3, 0.4)]
    (score,) = SensitivityTable.of(rows).scores().iter_rows(named=True)
    assert score["floor"] == pytest.approx(0.01) and not score["under_floor"]
    assert SensitivityTable.of([row(floor=None)]).scores()["floor"].to_list() == [None]


def test_heatmap_leaves_out_what_is_noise() -> None:
    table = SensitivityTable.of([row(), row("a.c", floor=0.02), row("a.d", -0.1)])
    (map_,) = table.heatmap().data
    assert list(map_.y) == ["a.b", "a.c", "a.d"] and map_.z[0][0] == pytest.approx(0.0)  # log10 of 1 %
    assert map_.z[1][0] is None and map_.z[2][0] is None
    with pytest.raises(UsageError, match="no rows of level 'channel'"):
        table.heatmap("channel")


@pytest.mark.parametrize("content", ["", "{}", '{"version": 99}', "nonsense"])
def test_a_file_that_is_no_table(tmp_path: Path, content: str) -> None:
    for name in ("t.json", "t.parquet"):
        (tmp_path / name).write_text(content)
        with pytest.raises(UsageError, match=r"not a sensitivity table|table version"):
            SensitivityTable.load(tmp_path / name)
    with pytest.raises(UsageError, match="cannot read"):
        SensitivityTable.load(tmp_path / "missing.json")
