"""Figures of a SensitivityTable, in Plotly."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl

from quaver.errors import UsageError
from quaver.lab.analyse.survey import STATE
from quaver.lab.analyse.table import SensitivityTable

KINDS = {"w": "weights", "a": "inputs", "wa": "both", "state": "state"}
_TICKS = (-3, -2, -1, 0, 1, 2)  # powers of ten of per cent
_SCALE = "YlOrRd"
_SHOWN = 8  # curves that are visible at first
_BAR = {"thickness": 14, "lenmode": "pixels", "len": 190, "yanchor": "top", "y": 1}
FLAT, GRID = "#f2f2f0", "#dcdcd8"


def heatmap(table: SensitivityTable, level: str = "layer", mode: str = "add") -> go.Figure:
    """zeta in per cent, logarithmic, mean over lambda and clips. Rows are parts, columns kinds and bits; grey is
    what does not exceed the noise floor, or gains. Mode "estimate": `SensitivityTable.estimates`."""
    scores = table.estimates(level) if mode == "estimate" else table.scores(level, mode)
    scores = scores.filter(pl.col("source") != "predicted")
    if scores.is_empty():
        measured = table.rows.filter(pl.col("level") != "codec").select("level", "mode").unique().sort("level", "mode")
        known = ", ".join(" ".join(row) for row in measured.rows())
        raise UsageError(f"the table has no rows of level {level!r} and mode {mode!r}; it has {known}")
    names = _order(table, level)
    columns = [(kind, bits) for kind in KINDS for bits in sorted(scores.filter(kind=kind)["bits"].unique())]
    cells = {(row["call_site"], row["kind"], row["bits"]): row for row in scores.iter_rows(named=True)}
    shown, notes = [], []
    for name in names:
        found = [cells.get((name, kind, bits)) for kind, bits in columns]
        shown.append([_shade(row) for row in found])
        notes.append([_note(row) for row in found])
    figure = go.Figure(
        go.Heatmap(
            z=shown,
            x=[f"{KINDS[kind]} {bits}" for kind, bits in columns],
            y=names,
            customdata=notes,
            hovertemplate="%{y}<br>%{x} bits<br>%{customdata}<extra></extra>",
            colorscale=_SCALE,
            zmin=_TICKS[0],
            zmax=_TICKS[-1],
            colorbar=_BAR | {"title": "ζ %", "tickvals": _TICKS, "ticktext": [f"{10**t:g}" for t in _TICKS]},
            xgap=1,
            ygap=1,
        )
    )
    figure.update_yaxes(autorange="reversed", automargin=True, showgrid=False)
    figure.update_xaxes(side="top", showgrid=False)
    return _styled(figure, max(240, 60 + (20 if len(names) < 40 else 14) * len(names)))


def drift(table: SensitivityTable) -> go.Figure:
    """dJ(t) / R of modules, the intra frame left out, at the longest clips; the worst slopes are shown first."""
    rows = table.means.filter(pl.col("level").eq("module") & pl.col("mode").eq("add"))
    longest = rows["frames"].max()
    rows = rows.filter((pl.col("frames") == longest) & (pl.col("bits") == rows.filter(frames=longest)["bits"].min()))
    return _curves(rows, 1, pl.col("slope").abs(), "ΔJ(t)/R %")


def impulses(table: SensitivityTable) -> go.Figure:
    """dJ(t) / R of modules that were quantized in one frame alone."""
    rows = table.means.filter(pl.col("mode") == "impulse")
    return _curves(rows, 0, pl.col("zeta").abs(), "ΔJ(t)/R %")


def pairs(table: SensitivityTable) -> go.Figure:
    """What two modules cost together beyond what they cost alone, in per cent, at the fewest bits."""
    rows = table.means.filter(pl.col("level") == "pair")
    groups = rows.filter(bits=rows["bits"].min()).group_by("call_site", maintain_order=True)
    found = {}
    for name, zeta in groups.agg(pl.col("zeta").mean()).iter_rows():
        a, b = name.split(" + ")
        found[a, b] = found[b, a] = 100 * zeta
    names = list(dict.fromkeys(a for a, _ in found))
    values = [[found.get((a, b)) for b in names] for a in names]
    reach = max((abs(value) for value in found.values()), default=1.0) or 1.0
    figure = go.Figure(
        go.Heatmap(
            z=values,
            x=names,
            y=names,
            colorscale="RdBu_r",
            zmin=-reach,
            zmax=reach,
            colorbar=_BAR | {"title": "%"},
            hovertemplate="%{y} with %{x}<br>%{z:.3f} %<extra></extra>",
            xgap=1,
            ygap=1,
        )
    )
    figure.update_yaxes(autorange="reversed", automargin=True, showgrid=False)
    figure.update_xaxes(automargin=True, showgrid=False)
    return _styled(figure, 220 + 24 * len(names))


def _order(table: SensitivityTable, level: str) -> list[str]:
    """Parts as the model has them, recirculated ones last."""
    rows = table.means.filter(pl.col("level") == level)
    names = rows.select("call_site", "module").unique(maintain_order=True)
    state = names.filter(module=STATE)["call_site"].to_list()
    return names.filter(pl.col("module") != STATE)["call_site"].unique(maintain_order=True).to_list() + state


def _shade(row: dict[str, Any] | None) -> float | None:
    if row is None or row["under_floor"] or row["zeta"] <= 0:
        return None
    return max(_TICKS[0], math.log10(100 * row["zeta"]))


def _note(row: dict[str, Any] | None) -> str:
    if row is None:
        return "not measured"
    text = f"ζ {100 * row['zeta']:.3f} %"
    if row["stderr"] is not None:
        text += f" ± {100 * row['stderr']:.3f}"
    text += f"<br>ΔR {row['dR']:+.5f} bpp, ΔD {row['dD']:+.4f}" if row["dR"] is not None else ""
    return (
        text
        + ("<br>under the noise floor" if row["under_floor"] else "")
        + ("<br>encoder only" if row["encoder_only"] else "")
    )


def _curves(rows: pl.DataFrame, first: int, order: pl.Expr, title: str) -> go.Figure:
    """One line per part, mean over lambda; `first`: the first frame shown."""
    figure = go.Figure()
    parts = rows.group_by("call_site", "kind", maintain_order=True).agg(
        pl.col("curve"), order.mean().alias("order"), pl.col("bits").first()
    )
    for place, row in enumerate(parts.sort("order", descending=True).iter_rows(named=True)):
        curve = 100 * np.mean(row["curve"], 0)[first:]
        figure.add_scatter(
            x=list(range(first + 1, first + 1 + len(curve))),
            y=curve.tolist(),
            name=f"{row['call_site']} {KINDS[row['kind']]} {row['bits']}",
            mode="lines",
            visible=True if place < _SHOWN else "legendonly",
            line={"width": 1.5},
        )
    figure.update_xaxes(title="frame", gridcolor=GRID, zeroline=False)
    figure.update_yaxes(title=title, gridcolor=GRID, zerolinecolor="#888")
    return _styled(figure, 420)


def _styled(figure: go.Figure, height: int) -> go.Figure:
    return figure.update_layout(
        height=height,
        margin={"l": 10, "r": 10, "t": 30, "b": 30},
        plot_bgcolor=FLAT,
        paper_bgcolor="white",
        font={"family": "system-ui, sans-serif", "size": 12},
    )
