"""Cheap scores of layers, audited: does their order agree with the truth's, and what do they cost?

    SQNR         ||dx||^2 / ||x||^2: the error alone, the codec does not matter
    first order  rms over clips of sum g dx, summed over all calls before it is squared
    Fisher       1/2 mean over clips of sum (g dx)^2
    Hutchinson   mean diagonal of the Hessian times ||dw||^2 (HAWQ-V2)
    dw^T H dw    1/2 of the quadratic form itself

Scores are derivatives on the adapter's surrogate with fixed noise. `truth, half of the clips` is how well the truth of
one half of the clips agrees with that of the other: no proxy can be expected to do better.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import spearmanr

from quaver.lab.analyse.gradients import SCORES, Arrays
from quaver.lab.analyse.table import ALL, MEAN

Scores = Sequence[float] | NDArray[np.float64]

_FROM_SLOPES = {"SQNR": "noise", "first order": "spread", "Fisher": "fisher"}
_FEWEST = 3  # ranks of fewer layers say nothing
AGAINST = {"add": "closed", "open": "open"}  # by mode, what a truth is called
HALVES = "truth, half of the clips"


def audit(
    rows: pl.DataFrame,
    slopes: Mapping[float, Arrays],
    curvature: Mapping[float, Arrays],
    surrogate: str,
    truth_seconds: float,
) -> Iterator[dict[str, Any]]:
    """Rows of PROXY_SCHEMA for each truth (closed and open), kind and bits, for each lambda (the keys of `slopes` and
    `curvature`) and for means over them; means also for each kind of modules, whose layers alone are compared then.

    rows: measured layers. truth_seconds: what one of them costs.
    """
    for mode, against in AGAINST.items():
        layers = rows.filter((pl.col("level") == "layer") & (pl.col("mode") == mode))
        for kind, bits in layers.select("kind", "bits").unique().sort("kind", "bits").iter_rows():
            own = layers.filter(pl.col("kind").eq(kind) & pl.col("bits").eq(bits))
            for lambdas in [*([lmbda] for lmbda in slopes), list(slopes)]:
                mean = len(lambdas) == len(slopes)
                common = {
                    "level": "layer",
                    "kind": kind,
                    "bits": bits,
                    "lambda": None if mean else lambdas[0],
                    "against": against,
                    "surrogate": surrogate,
                }
                here = own.filter(pl.col("lambda").is_in(lambdas))
                groups = {ALL: here} | (_by_kind(here) if mean else {})
                for modules, group in groups.items():
                    for row in _compare(group, kind, bits, lambdas, slopes, curvature, truth_seconds):
                        yield common | {"modules": modules} | row
                if len(slopes) == 1:
                    break  # its mean is itself


def _by_kind(rows: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Layers of intra, inter and motion networks that do the same, by its name: "decoder", "loop". Kinds with too few
    layers are left out."""
    kinds = rows.with_columns(pl.col("module").str.split(".").list.last().alias("of")).partition_by("of", as_dict=True)
    found = {str(kind): group.drop("of") for (kind,), group in kinds.items()}
    return {kind: group for kind, group in sorted(found.items()) if group["call_site"].n_unique() >= _FEWEST}


def _compare(
    rows: pl.DataFrame,
    kind: str,
    bits: int,
    lambdas: list[float],
    slopes: Mapping[float, Arrays],
    curvature: Mapping[float, Arrays],
    truth_seconds: float,
) -> Iterator[dict[str, Any]]:
    """Every score of one kind and width against the mean of `rows` over `lambdas`."""
    means = rows.filter(pl.col("clip") == MEAN).group_by("call_site", maintain_order=True).agg(pl.col("zeta").mean())
    sites, zetas = means["call_site"].to_list(), means["zeta"].to_numpy()

    def row(name: str, scores: Scores, seconds: float) -> dict[str, Any]:
        correlation = rank_correlation(scores, zetas)
        return {"proxy": name, "rank_correlation": correlation, "count": len(sites), "seconds": seconds}

    for name, score in _FROM_SLOPES.items():
        each = [[_of_all(slopes[lmbda].get(f"{site}|{kind}|{bits}"), score) for site in sites] for lmbda in lambdas]
        seconds = sum(float(slopes[lmbda]["seconds"][0 if name == "SQNR" else 1]) for lmbda in lambdas)
        yield row(name, np.mean(each, 0), seconds)
    if kind == "w" and curvature:
        second = [curvature[lmbda] for lmbda in lambdas]  # hold seconds alone where the surrogate is not smooth enough
        products = np.array([[own.get(f"{site}|{bits}", np.zeros(2)) for site in sites] for own in second])
        traces = np.array([[own.get(f"{site}|trace", np.zeros(1))[0] for site in sites] for own in second])
        spent = [sum(float(own["seconds"][part]) for own in second) for part in (0, 1)]
        yield row("Hutchinson", (traces * products[..., 1]).mean(0), spent[0])
        yield row("dw^T H dw", products[..., 0].mean(0), spent[1])
    halves = _halves(rows.filter(pl.col("clip") != MEAN), sites)
    if halves is not None:
        seconds = truth_seconds * len(sites) * len(lambdas)
        yield row(HALVES, zetas, seconds) | {"rank_correlation": rank_correlation(*halves)}


def _of_all(scores: NDArray[np.float64] | None, name: str) -> float:
    """Of all channels together; 0 where no gradient passed the site."""
    return 0.0 if scores is None else float(scores[SCORES.index(name), -1])


def rank_correlation(scores: Scores, truth: Scores) -> float | None:
    """Spearman's; None where it is not defined."""
    if len(scores) < _FEWEST or np.ptp(scores) == 0 or np.ptp(truth) == 0:
        return None
    return float(spearmanr(scores, truth).statistic)


def _halves(rows: pl.DataFrame, sites: list[str]) -> tuple[Any, Any] | None:
    """Mean zeta of every site over even and over odd clips."""
    clips = rows["clip"].unique(maintain_order=True).to_list()
    if len(clips) < 2:
        return None
    halves = []
    for part in (clips[::2], clips[1::2]):
        means = rows.filter(pl.col("clip").is_in(part)).group_by("call_site").agg(pl.col("zeta").mean())
        by_site = dict(means.iter_rows())
        halves.append([by_site[site] for site in sites])
    return halves[0], halves[1]
