"""`quaver train`: a recipe over a folder of videos."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def train(
    recipe: Annotated[
        str, typer.Argument(help="A recipe by name (tiny, nano, small, large, motion, qat) or a .json of one.")
    ],
    data: Annotated[Path, typer.Option(help="A folder of video files and, if you like, photos.")],
    out: Annotated[Path, typer.Option(help="Where checkpoints, weights and logs go.")],
    resume: Annotated[bool, typer.Option("--resume", help="Go on from OUT's last checkpoint.")] = False,
    start: Annotated[Path | None, typer.Option("--from", help="Weights to begin from (.safetensors).")] = None,
    exclude: Annotated[list[str] | None, typer.Option(help="Files to leave out, a pattern; repeatable.")] = None,
    cache: Annotated[Path | None, typer.Option(help="Where decoded clips are kept; by default OUT/cache.")] = None,
    skeleton: Annotated[str, typer.Option(help="The model whose steps and tables to train over.")] = "skeleton",
    threads: Annotated[int, typer.Option(min=0, help="Threads for torch; 0: its choice, slow on a busy machine.")] = 1,
) -> None:
    """Train a codec. Interrupt it when you like; --resume continues exactly."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.table import Table

    from quaver.lab.train.command import train_folder
    from quaver.lab.train.loop import Progress as Figures
    from quaver.lab.train.recipes import load_recipe

    console = Console(stderr=True)
    chosen = load_recipe(recipe)
    table = Table("stage", "steps", "frames", "size", "batch", "trains", "arithmetic", title=f"recipe {chosen.name}")
    for stage in chosen.stages:
        shape = str(stage.steps), str(stage.frames), str(stage.size), str(stage.batch)
        table.add_row(stage.name, *shape, ", ".join(stage.trains), "integer" if stage.integer else "float")
    console.print(table)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("reading clips", total=chosen.steps)

        def show(figures: Figures) -> None:
            o = figures.outcome
            text = (
                f"{figures.stage}  {o.rate:.3f} bpp  D {o.distortion:.1f}  J {o.cost:.3f}"
                f"  {figures.frames_per_second:.0f} frames/s"
            )
            bar.update(task, completed=figures.step, description=text)
            if figures.validation is not None:
                bar.print(f"step {figures.step}: validation J {figures.validation:.4f}")

        train_folder(chosen, data, out, resume, start, tuple(exclude or ()), cache, skeleton, threads, show)
