"""`quaver analyse`: what each part of a codec loses at low precision."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from quaver.errors import UsageError


def analyse(
    checkpoint: Annotated[Path, typer.Argument(help="Weights from `quaver train` (.safetensors).")],
    data: Annotated[Path, typer.Option(help="A folder of video files to measure on.")],
    out: Annotated[Path, typer.Option(help="Folder for the table, the report and what resumes a run.")],
    level: Annotated[str, typer.Option(help="The finest level: module, layer or channel.")] = "layer",
    bits: Annotated[str, typer.Option(help="Bit-widths, with commas.")] = "4,6,8",
    mode: Annotated[
        str, typer.Option(help="add (one quantized), open (as add, without the loop), drop (one raised).")
    ] = "add,open,drop",
    target: Annotated[int, typer.Option(help="Bits of everything in drop-one; 0 for the fewest of --bits.")] = 0,
    frames: Annotated[int, typer.Option(help="Frames of each clip in rankings; 8 or more.")] = 8,
    drift_frames: Annotated[int, typer.Option(help="Frames of drift curves, 32 or more; 0 for none.")] = 32,
    clips: Annotated[int, typer.Option(min=1, help="How many clips.")] = 4,
    size: Annotated[int, typer.Option(help="Side of the crops, a multiple of 16.")] = 128,
    lambdas: Annotated[str, typer.Option(help="Operating points, as qualities 0 to 63 with commas.")] = "12,32,52",
    layers: Annotated[list[str] | None, typer.Option(help="Only these, a pattern of names; repeatable.")] = None,
    proxies: Annotated[bool, typer.Option(help="Compare cheap scores with the truth.")] = True,
    exclude: Annotated[list[str] | None, typer.Option(help="Files to leave out, a pattern; repeatable.")] = None,
    cache: Annotated[Path | None, typer.Option(help="Where decoded clips are kept; by default OUT/clips.")] = None,
    skeleton: Annotated[str, typer.Option(help="The model it was trained over.")] = "skeleton",
    seed: Annotated[int, typer.Option(help="Of crops, samples and perturbations.")] = 0,
    processes: Annotated[int, typer.Option(min=0, help="Worker processes; 0 works in this one.")] = 0,
    dask: Annotated[str | None, typer.Option(help="Address of a Dask scheduler instead; workers must see OUT.")] = None,
) -> None:
    """Sensitivity of modules, layers and channels in closed loop. Interrupt it when you like; the same command goes
    on."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bar
    from rich.table import Table

    from quaver.lab.analyse.command import analyse_checkpoint
    from quaver.lab.analyse.config import AnalyseConfig
    from quaver.lab.analyse.run import Estimate, Progress, duration

    config = AnalyseConfig(
        level=level,
        bits=_numbers("--bits", bits),
        modes=tuple(mode.split(",")),
        target=target,
        frames=frames,
        drift_frames=drift_frames,
        impulse_frames=min(16, drift_frames),
        proxies=proxies,
        only=tuple(layers or ()),
        seed=seed,
    )
    qualities = _numbers("--lambdas", lambdas)
    console = Console(stderr=True)
    columns = TextColumn("measuring"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}")
    with Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("looking at the model", total=None)

        def announce(estimate: Estimate) -> None:
            for line in (*config.warnings, str(estimate)):  # here, so that input that is refused has one line
                bar.console.print(line, soft_wrap=True, highlight=False)

        def show(progress: Progress) -> None:
            left = f"{duration(progress.left)} left"
            bar.update(task, completed=progress.done, total=progress.total, description=left)

        patterns = tuple(exclude or ())
        table = analyse_checkpoint(
            checkpoint,
            data,
            out,
            config,
            qualities,
            clips,
            size,
            patterns,
            cache,
            skeleton,
            processes,
            dask,
            announce,
            show,
        )
    worst = Table("call site", "kind", "bits", "zeta %", "±", title=f"{out / 'report.html'}")
    for row in table.worst("module" if level == "module" else "layer").head(12).iter_rows(named=True):
        error = "" if row["stderr"] is None else f"{100 * row['stderr']:.2f}"
        worst.add_row(row["call_site"], row["kind"], str(row["bits"]), f"{100 * row['zeta']:.2f}", error)
    console.print(worst)


def _numbers(option: str, text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"{option} {text}: legal are whole numbers with commas") from None
