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
from quaver.lab.analyse.table import MEAN

Scores = Sequence[float] | NDArray[np.float64]

_FROM_SLOPES = {"SQNR": "noise", "first order": "spread", "Fisher": "fisher"}
_FEWEST = 3  # ranks of fewer layers say nothing


def audit(
    rows: pl.DataFrame,
    slopes: Mapping[float, Arrays],
    curvature: Mapping[float, Arrays],
    surrogate: str,
    truth_seconds: float,
) -> Iterator[dict[str, Any]]:
    """Rows of PROXY_SCHEMA, for each kind, bits and lambda (key of `slopes` and `curvature`).

    rows: measured layers. truth_seconds: what one of them costs.
    """
    layers = rows.filter((pl.col("level") == "layer") & (pl.col("mode") == "add"))
    keys = layers.select("kind", "bits", "lambda").unique().sort("kind", "bits", "lambda")
    for kind, bits, lmbda in keys.iter_rows():
        own = layers.filter(pl.col("kind").eq(kind) & pl.col("bits").eq(bits) & pl.col("lambda").eq(lmbda))
        means = own.filter(pl.col("clip") == MEAN)
        sites, zetas = means["call_site"].to_list(), means["zeta"].to_numpy()
        common = {"level": "layer", "kind": kind, "bits": bits, "lambda": lmbda, "count": len(sites)}

        def row(name: str, scores: Scores, seconds: float, common: Any = common, zetas: Any = zetas) -> Any:
            return common | {
                "proxy": name,
                "rank_correlation": rank_correlation(scores, zetas),
                "seconds": seconds,
                "surrogate": surrogate,
            }

        arrays = slopes[lmbda]
        for name, score in _FROM_SLOPES.items():
            values = [_of_all(arrays.get(f"{site}|{kind}|{bits}"), score) for site in sites]
            yield row(name, values, float(arrays["seconds"][0 if name == "SQNR" else 1]))
        if kind == "w" and lmbda in curvature:
            second = curvature[lmbda]  # holds seconds alone where the surrogate is not smooth enough
            products = np.array([second.get(f"{site}|{bits}", np.zeros(2)) for site in sites])
            traces = np.array([second.get(f"{site}|trace", np.zeros(1))[0] for site in sites])
            yield row("Hutchinson", traces * products[:, 1], float(second["seconds"][0]))
            yield row("dw^T H dw", products[:, 0], float(second["seconds"][1]))
        halves = _halves(own.filter(pl.col("clip") != MEAN), sites)
        if halves is not None:
            correlation = rank_correlation(*halves)
            yield row("truth, half of the clips", zetas, truth_seconds * len(sites)) | {"rank_correlation": correlation}


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
