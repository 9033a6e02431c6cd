"""`quaver lower`: a trained codec to the integer model that ships."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def lower(
    checkpoint: Annotated[Path, typer.Argument(help="Weights from `quaver train` (.safetensors).")],
    out: Annotated[Path, typer.Argument(help="The integer model to write (.qvm).")],
    calibrate: Annotated[Path, typer.Option(help="A folder of video files that set the scales inside the networks.")],
    skeleton: Annotated[str, typer.Option(help="The model it was trained over.")] = "skeleton",
    name: Annotated[str | None, typer.Option(help="The model's name; by default the file's.")] = None,
    sequences: Annotated[int, typer.Option(help="How many short sequences to calibrate on.")] = 12,
    cache: Annotated[Path | None, typer.Option(help="Where to keep decoded clips; by default nowhere.")] = None,
    exclude: Annotated[list[str] | None, typer.Option(help="Files to leave out, a pattern; repeatable.")] = None,
) -> None:
    """Turn trained weights into integers, with the proof of every accumulator's bound."""
    import torch
    from rich.console import Console
    from rich.table import Table

    from quaver.lab.lower.command import lower_checkpoint

    torch.set_num_threads(1)  # two that wait for each other take minutes on a busy machine, one takes seconds
    console = Console(stderr=True)
    with console.status("calibrating"):
        model = lower_checkpoint(
            checkpoint, out, calibrate, skeleton, name or out.stem, sequences, cache, None, exclude or []
        )
    table = Table("network", "layers", "MAC per position", "largest sum", title=f"{out}: {model.hash.hex()[:16]}")
    for key, graph in model.graphs.items():
        largest = max(int(conv.largest_sums().max()) for conv in graph.convolutions())
        layers = str(len(list(graph.convolutions())))
        table.add_row(key, layers, f"{graph.macs():,}", f"2^24 x {largest / 2**24:.3f}")
    console.print(table)
