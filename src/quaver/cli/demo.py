"""`quaver demo`: a clip through Quaver and x264, with a picture and a page to look at."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

from quaver.codec.encoder import DEFAULT_MODEL

_CLIP = "big_buck_bunny.mp4"
_CREDIT = "Big Buck Bunny, (c) 2008 Blender Foundation, www.bigbuckbunny.org, CC BY 3.0; scaled and encoded again."


def demo(
    file: Annotated[Path | None, typer.Argument(help="A video; by default the clip in the package.")] = None,
    out: Annotated[Path, typer.Option(help="The folder to write into.")] = Path("quaver-demo"),
    quality: Annotated[int, typer.Option("--quality", "-q", help="0 to 63; larger is better.")] = 24,
    frames: Annotated[int, typer.Option(min=2, help="How many frames at most.")] = 96,
    model: Annotated[str, typer.Option(help="A model by name, or a .qvm file.")] = DEFAULT_MODEL,
) -> None:
    """Encode, decode, compare with x264 at the same rate; write a picture and one HTML page."""
    from rich import box
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.table import Table

    from quaver.evaluate.demo import write_demo

    clip, credit = file, ""
    if clip is None:
        clip, credit = Path(str(resources.files("quaver").joinpath("demo", _CLIP))), _CREDIT
    console = Console(stderr=True)
    columns = SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("starting", total=None)
        results, files = write_demo(
            clip, out, quality, frames, model, credit, lambda text: bar.update(task, description=text)
        )
    count = len(results[0].per_frame)
    table = Table(box=box.SIMPLE, caption=f"{clip.name}, {count} frames at about the same size; more dB is closer")
    table.add_column("codec", no_wrap=True)
    for name in ("kB", "bpp", "PSNR 6:1:1, dB", "encode fps", "decode fps"):
        table.add_column(name, justify="right", no_wrap=True)
    for r in results:
        numbers = f"{r.bytes / 1000:.1f}", f"{r.bpp:.4f}", f"{r.psnr_611:.2f}"
        table.add_row(r.name, *numbers, f"{r.encode_fps:.1f}", f"{r.decode_fps:.1f}")
    Console().print(table)
    for what, path in (
        ("stream", files.stream),
        ("decoded", files.video),
        ("picture", files.picture),
        ("page", files.page),
    ):
        print(f"{what:<9}{path}")
    print("\nOpen the page in a browser to flip between the pictures.")
