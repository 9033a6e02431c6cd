"""What one analysis found, short enough to read: results/sensitivity.tsv.

Rows by `what`: module (add, open, drop) and state, means over lambda; drift and impulse of modules, at each lambda;
pairs whose interaction stands out most from its standard error; the dearest layers; how well scores predict measured
channels, all of them and those above the floor of the mode that they were measured in; proxies over all layers. Empty
where a column has no meaning.

usage: summarize_sensitivity.py ANALYSIS --out results/sensitivity.tsv --command "quaver analyse ..."
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from quaver.evaluate.points import write_table
from quaver.lab.analyse.proxies import AGAINST, rank_correlation
from quaver.lab.analyse.table import MEAN, SensitivityTable

SLOPE = ("slope", "slope_low", "slope_high")
IMPULSE = ("gain", "gain_low", "gain_high", "decay", "decay_low", "decay_high")
FIGURES = ("zeta", "stderr", "floor", *SLOPE, *IMPULSE, "correlation")
HEADER = ("what", "part", "kind", "bits", "lambda", "encoder_only", *FIGURES, "count")
TOP = 12  # layers and pairs
Row = dict[str, object]


def row(what: str, found: Row, *figures: str, **more: object) -> Row:
    own = {key: found.get(key) for key in ("kind", "bits", "lambda", "encoder_only", *figures)}
    return {"what": what, "part": found.get("call_site")} | own | more


def averaged(rows: pl.DataFrame) -> pl.DataFrame:
    """Over lambda; the standard error as if lambdas were one clip's, which is no less than it is."""
    keys = ["call_site", "module", "kind", "bits", "encoder_only"]
    figures = [pl.col(key).mean() for key in ("zeta", "stderr", "floor")]
    return rows.group_by(keys, maintain_order=True).agg(*figures)


def modules(rows: pl.DataFrame) -> Iterator[Row]:
    for mode in ("add", "open", "drop"):
        longest = rows.filter(level="module", mode=mode)["frames"].min()
        own = averaged(rows.filter(level="module", mode=mode, frames=longest))
        for each in own.sort("zeta", descending=True).iter_rows(named=True):
            label = "state" if each["kind"] == "state" else "module"
            yield row(f"{label}, {mode}", each, "zeta", "stderr", "floor")


def over_time(rows: pl.DataFrame) -> Iterator[Row]:
    drift = rows.filter(pl.col("frames") == rows.filter(level="module", mode="add")["frames"].max())
    for each in drift.filter(pl.col("slope").is_not_null(), level="module", mode="add").iter_rows(named=True):
        yield row(f"drift, {each['frames']} frames", each, *SLOPE)
    for each in rows.filter(mode="impulse", level="module").iter_rows(named=True):
        yield row(f"impulse, {each['frames']} frames", each, *IMPULSE)


def dearest(table: SensitivityTable, rows: pl.DataFrame) -> Iterator[Row]:
    pairs = averaged(rows.filter(level="pair")).with_columns(
        (pl.col("zeta").abs() / pl.col("stderr")).alias("clearness")
    )
    for each in pairs.sort("clearness", descending=True).head(TOP).iter_rows(named=True):
        yield row("pair, beyond the sum", each, "zeta", "stderr")
    layers = table.estimates("layer").filter(pl.col("channel").is_null())
    for each in layers.sort("zeta", descending=True).head(TOP).iter_rows(named=True):
        yield row("layer, estimate", each, "zeta", "stderr")


def channels(table: SensitivityTable) -> Iterator[Row]:
    """Of each kind and mode how many were measured, their mean floor, and how many are above theirs."""
    for (kind, mode), own in table.channels.partition_by("kind", "mode", as_dict=True, maintain_order=True).items():
        measured = own.filter(source="measured")
        yield row(f"channels predicted, {mode}", {"kind": kind}, count=own.height - measured.height)
        common, floor = {"kind": kind, "bits": measured["bits"].min()}, measured["floor"].mean()
        yield row(f"channels measured, {mode}", common, floor=floor, count=measured.height)
        clear = measured.filter(pl.col("zeta").abs() > pl.col("floor"))
        yield row(f"channels above the floor, {mode}", common, floor=floor, count=clear.height)
        agreement = rank_correlation(clear["fisher"].to_list(), clear["zeta"].to_list())
        what = f"Fisher, of channels above the floor, {AGAINST[str(mode)]}"
        yield row(what, common, correlation=agreement, count=clear.height)


def audits(table: SensitivityTable) -> Iterator[Row]:
    yield from channels(table)
    for each in table.proxies.filter(modules="all").sort("level", "against", "kind").iter_rows(named=True):
        if each["level"] == "channel" or each["lambda"] is None:
            what = f"{each['proxy']}, of {each['level']}s, {each['against']}"
            yield row(what, each, correlation=each["rank_correlation"], count=each["count"])


def shown(value: object) -> object:
    if value is None or value != value:
        return ""
    return f"{value:.5f}" if isinstance(value, float) else value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("analysis", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--command", default="", help="what made the analysis, for the first line")
    arguments = parser.parse_args()
    table = SensitivityTable.load(arguments.analysis)
    rows = table.rows.filter(clip=MEAN)
    found = [*modules(rows), *over_time(rows), *dearest(table, rows), *audits(table)]
    note, cpu = table.manifest, table.manifest["environment"]["cpu"]
    shape = "x".join(str(size) for size in note["clips"]["shape"])
    first = f"{arguments.command}; weights {note['model_hash'][:16]}, clips {shape}, manifest {note['hash']}; {cpu}"
    write_table(arguments.out, HEADER, [tuple(shown(each.get(key)) for key in HEADER) for each in found], first)
    print(f"{arguments.out}: {len(found)} rows")


if __name__ == "__main__":
    main()
