"""`quaver costs`: what a model costs under a plan."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def costs(
    model: Annotated[str, typer.Argument(help="Weights (.safetensors), a model (name or .qvm), or a preset.")],
    plan: Annotated[Path | None, typer.Option(help="A plan (.json); by default the model's own, or W7A8.")] = None,
    profile: Annotated[str, typer.Option(help="A hardware profile: a name or a .json.")] = "onnx-cpu",
    size: Annotated[str, typer.Option(help="Of the pictures.")] = "640x360",
    side: Annotated[str, typer.Option(help="decode or encode.")] = "decode",
    layers: Annotated[bool, typer.Option("--layers", help="A row per layer, not per network.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Every layer as JSON on stdout.")] = False,
) -> None:
    """Multiplications, bit operations, bytes and milliseconds, per frame. What a profile cannot run is an error."""
    from rich.console import Console
    from rich.table import Column, Table

    from quaver.cli.workload import workload_of
    from quaver.lab.costs.command import cost_report
    from quaver.lab.costs.report import UNITS, cells

    report = cost_report(model, plan, profile, workload_of(size, side))
    if as_json:
        print(json.dumps({"totals": report.totals, "layers": report.layers}))
        return
    if layers:
        table = Table(Column("call site", no_wrap=True), "bits", *UNITS)
        for row in report.layers:
            table.add_row(row["call_site"], row["bits"], *cells(row))
    else:
        table = Table(Column("network", no_wrap=True), "layers", *UNITS, "peak KB")
        for row in report.networks:
            table.add_row(row["network"], str(row["layers"]), *cells(row), f"{row['peak_bytes'] / 1e3:,.0f}")
    table.title = f"{model}, {report.plan}, {size}, {side}, {profile}"
    Console().print(table)
    print(", ".join(f"{key} {value:,.6g}" for key, value in report.totals.items()))
