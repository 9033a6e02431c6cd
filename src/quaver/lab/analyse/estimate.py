"""The best guess at zeta in closed loop, from a noisy measurement of it and a precise one of something smaller.

Without the loop ("open") a part's zeta is measured a hundred times as precisely, but the loop amplifies it. How much
is known for modules, which stand out of the noise: their closed zeta over their open one. So of a layer

    prior        p = amplification of its module * open zeta,  taken to be right within its own size
    measurement  z = closed zeta,  right within sigma, half of the noise floor
    estimate     p + w (z - p),  w = p^2 / (p^2 + sigma^2)

which is the mean of two normal distributions. A part that the closed loop shows clearly keeps that value; one that
drowns in noise gets what it loses at once, amplified.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from quaver.lab.analyse.table import SensitivityTable

_KEY = ["call_site", "module", "kind", "channel", "bits", "encoder_only"]


def estimates(table: SensitivityTable, level: str) -> pl.DataFrame:
    """Columns of `scores`, and closed, open, gain. Parts that were measured in one way alone keep that."""
    closed = table.scores(level, "add").filter(pl.col("source") == "measured")
    unlooped = table.scores(level, "open").select(
        *_KEY, pl.col("zeta").alias("open"), pl.col("stderr").alias("open_stderr")
    )
    joined = closed.join(unlooped, on=_KEY, how="full", coalesce=True, nulls_equal=True)
    gains, common = amplification(table)
    gain = pl.col("module").replace_strict(gains, default=common, return_dtype=pl.Float64)
    prior, measured = pl.col("gain") * pl.col("open"), pl.col("closed")
    noise = (pl.col("floor") / 2).pow(2)
    share = prior.pow(2) / (prior.pow(2) + noise)
    mixed = prior + share * (measured - prior)
    known = mixed.is_not_null() & mixed.is_not_nan()
    # Clips differ in what they lose without the loop, too.
    prior_spread = (pl.col("gain") * pl.col("open_stderr")).fill_nan(None)
    between = ((1 - share) * prior_spread).pow(2).fill_null(0)
    spread = pl.when(measured.is_not_null()).then(pl.col("stderr")).otherwise(prior_spread)
    return (
        joined.rename({"zeta": "closed"})
        .with_columns(gain.alias("gain"))
        .with_columns(
            pl.when(known).then(mixed).otherwise(pl.coalesce(measured, prior)).alias("zeta"),
            pl.when(known).then((share * noise + between).sqrt()).otherwise(spread).alias("stderr"),
            pl.lit("estimated").alias("source"),
            pl.lit(False).alias("under_floor"),
        )
        .sort(["zeta", *_KEY], descending=[True, *[False] * len(_KEY)])
    )


def amplification(table: SensitivityTable) -> tuple[dict[str, float], float]:
    """How many times its open zeta a module costs in closed loop, from what is above both floors; and of all
    together, for modules without such rows. 1 where nothing is known."""
    pairs = (
        table.scores("module", "add")
        .join(table.scores("module", "open"), on=["call_site", "module", "kind", "bits"], suffix="_open")
        .filter((pl.col("zeta") > pl.col("floor")) & (pl.col("zeta_open") > pl.col("floor_open")))
    )
    sums = pairs.group_by("module").agg(pl.col("zeta", "zeta_open").sum())
    rows: list[tuple[str, float, float]] = list(sums.iter_rows())
    gains = {module: closed / unlooped for module, closed, unlooped in rows}
    return gains, sum(row[1] for row in rows) / sum(row[2] for row in rows) if rows else 1.0
