"""`quaver profile`: how fast this machine computes which layers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def profile(
    out: Annotated[Path, typer.Option(help="The hardware profile to write (.json).")],
    model: Annotated[
        list[str] | None, typer.Option(help="Models whose layers to measure: presets, names or .qvm; repeatable.")
    ] = None,
    size: Annotated[list[str] | None, typer.Option(help="Of pictures; repeatable.")] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Runs of a round; the median of the fastest of 3 counts.")] = 15,
    name: Annotated[str | None, typer.Option(help="The profile's name; by default the file's.")] = None,
) -> None:
    """Measure every shape of layer, the skeleton's steps and whole networks on this machine, one thread."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.table import Table

    from quaver.cli.workload import workload_of
    from quaver.lab.costs.command import measure_machine
    from quaver.lab.costs.measure import Timing

    console = Console(stderr=True)
    sizes = [workload_of(each) for each in size or ["640x360"]]
    with Progress(BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), console=console) as bar:
        task = bar.add_task("looking at the models", total=None)

        def show(done: int, of: int, what: str) -> None:
            bar.update(task, completed=done, total=of, description=what)

        found = measure_machine(model or ["nano", "small"], sizes, name or out.stem, Timing(repeats=repeats), show)
    found.save(out)
    table = Table("network", "ms", "sum of its layers", "GMAC/s", title=f"{out}: {len(found.table)} measurements")
    for graph in found.graphs:
        rate = f"{graph.macs / graph.ms / 1e6:.0f}"
        table.add_row(graph.graph, f"{graph.ms:.3g}", f"{graph.predicted_ms:.3g}", rate)
    console.print(table)
