"""`quaver patches`: which patches of a frame are worth how many bits."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from quaver.errors import UsageError


def patches(
    model: Annotated[str, typer.Argument(help="An integer model: a name or a .qvm.")],
    out: Annotated[Path, typer.Argument(help="The model with its table (.qvm); the table alone beside it (.json).")],
    data: Annotated[Path, typer.Option(help="A folder of video files to measure on.")],
    budget: Annotated[
        list[str], typer.Option(help="avg_bits or bops=VALUE, such as avg_bits=6, or a share: bops=70%; repeatable.")
    ],
    method: Annotated[str, typer.Option(help="ilp, uniform or random.")] = "ilp",
    split: Annotated[
        list[str] | None,
        typer.Option(help="Thresholds of a feature, such as levels=1,40; repeatable; by default from the clips."),
    ] = None,
    scores: Annotated[
        Path | None, typer.Option(help="Measured losses (.json): used where the file exists, else written.")
    ] = None,
    clips: Annotated[int, typer.Option(min=2, help="How many clips.")] = 6,
    frames: Annotated[int, typer.Option(min=2, help="Frames of each.")] = 8,
    size: Annotated[int, typer.Option(help="Side of the crops, a multiple of 16.")] = 192,
    lambdas: Annotated[str, typer.Option(help="Operating points, as qualities 0 to 63 with commas.")] = "12,32,52",
    exclude: Annotated[list[str] | None, typer.Option(help="Files to leave out, a pattern; repeatable.")] = None,
    cache: Annotated[Path | None, typer.Option(help="Where decoded clips are kept.")] = None,
    seed: Annotated[int, typer.Option(help="Of crops and random tables.")] = 0,
) -> None:
    """Measure what classes of patches lose at fewer bits and give a model the table that loses least. Interrupt it when
    you like; the same command goes on."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.table import Table

    from quaver.lab.allocate.patch_command import Clips, read_thresholds, search
    from quaver.runtime.patches import NETWORKS

    try:
        qualities = tuple(int(part) for part in lambdas.split(","))
    except ValueError:
        raise UsageError(f"--lambdas {lambdas}: legal are whole numbers with commas") from None
    if out.suffix != ".qvm" or min(qualities) < 0 or max(qualities) > 63:
        raise UsageError(f"{out}, --lambdas {lambdas}: legal are a .qvm and qualities 0 to 63")
    source = Clips(data, clips, frames, size, qualities, tuple(exclude or ()), cache)
    console = Console(stderr=True)
    columns = TextColumn("measuring"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("", total=None)

        def show(done: int, of: int) -> None:
            bar.update(task, completed=done, total=of)

        say, thresholds = partial(bar.print, soft_wrap=True), read_thresholds(split or [])
        done = search(model, out, source, budget, method, thresholds, scores, seed, show, say)
    table, counts = done.allocation.table, done.scores.counts
    shown = Table("class", "patches", *NETWORKS, title=f"{out}: bits")
    for number, count in enumerate(counts):
        if count:
            shown.add_row(str(number), f"{count / sum(counts):.1%}", *map(str, table.bits[number]))
    console.print(shown)
    costs = ", ".join(f"{key} {value:,.5g}" for key, value in done.allocation.costs.items())
    print(
        f"{out}: model {done.model.hash.hex()[:16]}, {costs}, zeta {100 * done.allocation.predicted:.2f} % predicted,"
        f" {100 * done.measured.zeta:.2f} ± {100 * done.measured.stderr:.2f} % measured"
    )
