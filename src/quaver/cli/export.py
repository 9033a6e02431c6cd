"""`quaver export`: the float networks as ONNX files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def export(
    checkpoint: Annotated[Path, typer.Argument(help="Weights from `quaver train` (.safetensors).")],
    out: Annotated[Path, typer.Argument(help="A folder; it gets encoder/, decoder/ and networks.json.")],
    skeleton: Annotated[str, typer.Option(help="The model it was trained over.")] = "skeleton",
) -> None:
    """Write the networks in floating point for other runtimes, compared with torch in ONNX Runtime."""
    from rich.console import Console
    from rich.table import Table

    from quaver.lab.export.modules import TOLERANCE
    from quaver.lab.export.networks import export_checkpoint

    console = Console(stderr=True)
    with console.status("exporting") as status:
        done = export_checkpoint(checkpoint, out, skeleton, lambda name: status.update(f"exporting {name}"))
    table = Table("file", "inputs", "outputs", "MAC per position", "differs", title=f"{out} (tolerance {TOLERANCE:g})")
    for each in done:
        ports = ", ".join(f"{name} {channels}" for name, channels in each.inputs.items())
        table.add_row(each.file, ports, ", ".join(each.outputs), f"{each.macs:,}", f"{each.difference:.1g}")
    console.print(table)
