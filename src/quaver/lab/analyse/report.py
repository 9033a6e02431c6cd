"""The report: one HTML page that needs nothing beside itself."""

from __future__ import annotations

import html
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import polars as pl
from plotly.offline import get_plotlyjs

from quaver.lab.analyse import figures
from quaver.lab.analyse.config import short_for_drift, short_for_ranking
from quaver.lab.analyse.report_page import PAGE, SCRIPT, STYLE
from quaver.lab.analyse.table import ALL, SensitivityTable

_WORST = 15


def write_report(table: SensitivityTable, path: Path) -> None:
    """Written beside its name and renamed."""
    part = path.with_name(path.name + ".part")
    part.write_text(report(table))
    part.replace(path)


def report(table: SensitivityTable) -> str:
    """The page."""
    drawings: dict[str, go.Figure] = {}
    sections = []

    def section(title: str, note: str, *blocks: str) -> None:
        sections.append(f"<section><h2>{title}</h2><p>{note}</p>{''.join(blocks)}</section>")

    def drawing(name: str, draw: Callable[[], go.Figure]) -> str:
        drawings[name] = draw()
        return f'<div id="{name}" class="figure"></div>'

    has = _contents(table)
    for level in ("module", "layer"):
        modes = [mode for mode in _MODES if (level, mode) in has]
        if {"add", "open"} <= set(modes):
            modes.insert(0, "estimate")
        if modes:
            for mode in modes:
                drawings[f"{level}-{mode}"] = figures.heatmap(table, level, mode)
            options = "".join(f'<option value="{level}-{mode}">{_MODES[mode]}</option>' for mode in modes)
            menu = f'<select class="map" data-figure="{level}-map">{options}</select>'
            note = _MAP_NOTE + (" Click a row for its channels and histograms." if level == "layer" else "")
            section(f"{level.title()}s", note, menu, f'<div id="{level}-map" class="figure"></div>')
    section("Worst", "Means over clips and λ.", _worst(table))
    section(
        "One call site", _SITE_NOTE, '<select id="site"></select>', '<div id="channels" class="figure"></div>', _PAIR
    )
    if ("module", "add") in has and _longest(table):
        section("Drift", _drift_note(table), drawing("drift", lambda: figures.drift(table)), _slopes(table))
    if ("module", "impulse") in has:
        section("Impulse responses", _IMPULSE_NOTE, drawing("impulse", lambda: figures.impulses(table)), _gains(table))
    if ("pair", "add") in has:
        section("Pairs of modules", _PAIRS_NOTE, drawing("pairs", lambda: figures.pairs(table)))
    if len(table.proxies):
        section("Cheap scores against the truth", _PROXY_NOTE, _proxies(table))
    note = json.dumps(table.manifest, indent=1, sort_keys=True)
    section("Manifest", "What this depended on.", f"<details><summary>show</summary><pre>{_safe(note)}</pre></details>")
    data = {
        "figures": {name: json.loads(str(figure.to_json())) for name, figure in drawings.items()},
        "histograms": dict(table.histograms),
        "channels": _channels(table),
        "sites": _sites(table),
    }
    return PAGE.format(
        style=STYLE,
        plotly=get_plotlyjs(),
        head=_head(table),
        body="".join(sections),
        data=json.dumps(data).replace("</", "<\\/"),
        script=SCRIPT,
    )


_MODES = {
    "estimate": "best estimate: the closed loop as far as its noise permits, else open loop, amplified",
    "add": "closed loop, this part quantized, the rest float",
    "open": "open loop: each frame from the float model's state",
    "drop": "closed loop, this part raised to float, the rest quantized",
}
_MAP_NOTE = "ζ = ΔJ / R, mean over clips and λ. Grey: not above the noise floor, or no loss."
_SITE_NOTE = (
    "Channels sorted by ζ, without the loop where measured so; measured ones dark. What its weights are and what"
    " arrives at it."
)
_PAIR = '<div class="two"><div id="weights" class="figure"></div><div id="inputs" class="figure"></div></div>'
_IMPULSE_NOTE = (
    "The part is quantized in one frame only. Gain: the sum of ΔJ from that frame on over ΔJ in that frame (1: nothing"
    " is handed on). Decay: the share of ΔJ left a frame later. Medians over λ, intervals over clips; empty where ΔJ in"
    " that frame is not above the noise."
)
_PAIRS_NOTE = (
    "J of two modules quantized together, less what each costs alone. Where this is not small, scores do not add."
)
_PROXY_NOTE = (
    "Spearman's rank correlation to the measured ζ in closed and in open loop, means over λ, and processor seconds for"
    " all of them together; derivatives on the surrogate that the manifest names."
)


def _contents(table: SensitivityTable) -> set[tuple[str, str]]:
    return set(table.means.filter(source="measured").select("level", "mode").unique().iter_rows())


def _head(table: SensitivityTable) -> str:
    note = table.manifest.get("merged", [table.manifest])[-1]
    codec, clips = note.get("codec", {}), note.get("clips", {})
    facts = {
        "codec": codec.get("name", ""),
        "model": str(note.get("model_hash", ""))[:16],
        "λ": ", ".join(f"{value:.4g}" for value in sorted(table.rows["lambda"].unique())),
        "clips": " × ".join(map(str, clips.get("shape", []))) + " (clips, frames, height, width)",
        "group of pictures": note.get("group_of_pictures", ""),
        "noise floor": _floor(table),
        "manifest": str(note.get("hash", "")),
    }
    rows = "".join(f"<tr><th>{name}</th><td>{_safe(str(value))}</td></tr>" for name, value in facts.items())
    short = "".join(f"<p>{_safe(sentence)}</p>" for sentence in _short(table))
    return f'<table class="facts">{rows}</table>{short}'


def _short(table: SensitivityTable) -> list[str]:
    """What the analyses' clips are too few frames for, besides drift, which has a section."""
    configs = (note.get("config", {}) for note in table.manifest.get("merged", [table.manifest]))
    found = dict.fromkeys(short_for_ranking(config["frames"]) for config in configs if "frames" in config)
    return [sentence for sentence in found if sentence]


def _floor(table: SensitivityTable) -> str:
    floors = table.means.filter(mode="noise").group_by("frames").agg(pl.col("floor").mean()).sort("frames")
    return ", ".join(f"ζ {100 * floor:.3f} % over {frames} frames" for frames, floor in floors.iter_rows())


def _worst(table: SensitivityTable) -> str:
    scores = table.worst("layer" if table.layers() else "module")
    rows = [
        (
            row["call_site"],
            figures.KINDS[row["kind"]],
            row["bits"],
            _percent(row["zeta"]),
            _percent(row["stderr"]),
            f"{row['dR']:+.5f}",
            f"{row['dD']:+.4f}",
            "encoder only" if row["encoder_only"] else "",
        )
        for row in scores.head(_WORST).iter_rows(named=True)
    ]
    return _table(("call site", "kind", "bits", "ζ %", "±", "ΔR bpp", "ΔD", ""), rows)


def _longest(table: SensitivityTable) -> int:
    return max(table.means.filter(level="module", mode="add")["frames"].to_list(), default=0)


def _drift_note(table: SensitivityTable) -> str:
    frames = _longest(table)
    return (
        f"ΔJ(t)/R over {frames} frames, one intra frame (not shown), mean over λ. Slope by least squares over frames"
        f" 2 to {frames}, 95 % interval from the clips. {short_for_drift(frames)}"
    )


def _slopes(table: SensitivityTable) -> str:
    rows = table.means.filter(level="module", mode="add", frames=_longest(table))
    groups = rows.filter(bits=rows["bits"].min()).group_by("call_site", "kind", maintain_order=True)
    means = groups.agg(pl.col("slope", "slope_low", "slope_high", "zeta").mean()).sort("slope", descending=True)
    return _table(
        ("part", "kind", "slope, % a frame", "95 %", "ζ %"),
        [
            (name, figures.KINDS[kind], _percent(slope), f"{_percent(low)} … {_percent(high)}", _percent(zeta))
            for name, kind, slope, low, high, zeta in means.iter_rows()
        ],
    )


def _gains(table: SensitivityTable) -> str:
    rows = table.means.filter(mode="impulse").group_by("call_site", "kind", maintain_order=True)
    names = ("gain", "gain_low", "gain_high", "decay", "decay_low", "decay_high")
    means = rows.agg(pl.col("zeta").mean(), pl.col(*names).median()).sort("zeta", descending=True)

    def both(row: dict[str, Any], name: str) -> tuple[str, str]:
        low, high = row[f"{name}_low"], row[f"{name}_high"]
        return _number(row[name]), "" if low is None or high is None else f"{low:.2f} … {high:.2f}"

    return _table(
        ("part", "kind", "ζ %", "gain", "95 %", "decay", "95 %"),
        [
            (
                row["call_site"],
                figures.KINDS[row["kind"]],
                _percent(row["zeta"]),
                *both(row, "gain"),
                *both(row, "decay"),
            )
            for row in means.iter_rows(named=True)
        ],
    )


def _proxies(table: SensitivityTable) -> str:
    """Means over lambda where they were taken; of channels what there is."""
    rows = table.proxies.filter(pl.col("lambda").is_null() | (pl.col("level") == "channel")).filter(modules=ALL)
    groups = rows.group_by("level", "kind", "bits", "proxy", maintain_order=True).agg(
        pl.col("rank_correlation").filter(against="closed").mean().alias("closed"),
        pl.col("rank_correlation").filter(against="open").mean().alias("open"),
        pl.col("seconds").max(),
        pl.col("count").first(),
    )
    return _table(
        ("of", "kind", "bits", "score", "closed loop", "open loop", "seconds", "compared"),
        [
            (f"{level}s", figures.KINDS[kind], bits, name, _number(closed), _number(unlooped), f"{seconds:.1f}", count)
            for level, kind, bits, name, closed, unlooped, seconds, count in groups.sort(
                "level", "kind", "bits", maintain_order=True
            ).iter_rows()
        ],
    )


def _channels(table: SensitivityTable) -> dict[str, Any]:
    """Per call site and kind: [channel, zeta in per cent, measured], worst first."""
    rows = table.channels.filter(pl.col("bits") > 0)  # that a channel is pruned, 0 bits, is not measured
    result: dict[str, Any] = {}
    if rows.is_empty():
        return result
    rows = rows.filter(bits=rows["bits"].min()).sort("zeta", descending=True)
    for name, kind, channel, zeta, source in rows.select("call_site", "kind", "channel", "zeta", "source").iter_rows():
        result.setdefault(name, {}).setdefault(kind, []).append([channel, 100 * zeta, source == "measured"])
    return result


def _sites(table: SensitivityTable) -> list[str]:
    """Call sites of layers: what has weights and inputs."""
    histograms = table.histograms
    return [
        name for name in histograms if "a" in histograms[name] and "w" in histograms.get(name.partition("@")[0], {})
    ]


def _table(head: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    def line(cells: tuple[Any, ...], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{_safe(str(cell))}</{tag}>" for cell in cells) + "</tr>"

    return f'<div class="scroll"><table>{line(head, "th")}{"".join(line(row, "td") for row in rows)}</table></div>'


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.3f}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _safe(text: str) -> str:
    return html.escape(text)
