"""`quaver evaluate`: real files against other codecs."""

from __future__ import annotations

import datetime
import sys
from pathlib import Path
from typing import Annotated

import typer

from quaver.codec.encoder import DEFAULT_MODEL
from quaver.errors import UsageError


def evaluate(
    clips: Annotated[list[Path], typer.Argument(help="Video files.")],
    out: Annotated[Path, typer.Option(help="Folder for points.tsv, bdrate.tsv, frames.tsv and rd.png.")],
    codecs: Annotated[str, typer.Option(help="quaver, x264, x265, svtav1, with commas.")] = "quaver,x264,x265",
    model: Annotated[str, typer.Option(help="Quaver models, with commas.")] = DEFAULT_MODEL,
    qualities: Annotated[str, typer.Option(help="Quaver qualities, with commas.")] = "2,12,22,32,42,52,62",
    frames: Annotated[int, typer.Option(min=1, help="Frames of each clip.")] = 96,
    gop: Annotated[int, typer.Option(min=1, help="Frames from one intra frame to the next.")] = 32,
    executor: Annotated[str | None, typer.Option(help="onnx, onnx-f32 or reference; by default what works.")] = None,
    threads: Annotated[int, typer.Option(help="Threads of networks.")] = 1,
) -> None:
    """Encode clips with Quaver and its peers, decode, measure. Finished points are kept: run it again to go on."""
    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table

    from quaver.evaluate import report
    from quaver.evaluate.points import put_frames, read_frames, read_points, write_frames, write_points
    from quaver.evaluate.run import Setting, jobs
    from quaver.evaluate.run import evaluate as run

    try:
        chosen = [int(quality) for quality in qualities.split(",")]
    except ValueError:
        raise UsageError(f"--qualities {qualities}: legal are numbers 0 to 63 with commas") from None
    models = model.split(",")
    setting = Setting(frames, gop, executor, threads)
    todo = jobs(codecs.split(","), models, chosen, setting)
    out.mkdir(parents=True, exist_ok=True)
    points = list(read_points(out / "points.tsv"))
    per_frame = read_frames(out / "frames.tsv")
    command = "quaver " + " ".join(sys.argv[1:])
    comment = f"{datetime.date.today()}  {command}"
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("evaluating", total=len(clips) * len(todo))

        def save(point, qualities) -> None:  # type: ignore[no-untyped-def]
            points.append(point)
            put_frames(per_frame, point, qualities)
            write_frames(out / "frames.tsv", per_frame, comment)
            write_points(out / "points.tsv", points, comment)
            bar.update(task, advance=1, description=f"{point.clip} {point.codec} {point.quality:g}")

        run(clips, todo, models, setting, list(points), save)
    report.write_report(points, out, comment)
    table = Table("clip", "codec", "against", "BD-rate %", "overlap")
    for row in report.delta_rows(points):
        if row[1].startswith("quaver"):
            table.add_row(*row)
    console.print(table)
