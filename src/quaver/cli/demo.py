"""`quaver demo`: a clip through Quaver and x264, with a picture and a page to look at."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

from quaver.codec.encoder import DEFAULT_MODEL


def demo(
    file: Annotated[Path | None, typer.Argument(help="A video; by default the clip in the package.")] = None,
    out: Annotated[Path, typer.Option(help="Where the files go.")] = Path("quaver-demo"),
    quality: Annotated[int, typer.Option("--quality", "-q", min=0, max=63, help="0 to 63; larger is better.")] = 24,
    frames: Annotated[int, typer.Option(min=2, help="How many frames at most.")] = 96,
    model: Annotated[str, typer.Option(help="A model by name, or a .qvm file.")] = DEFAULT_MODEL,
) -> None:
    """Encode, decode, compare with x264 at the same rate; write a picture and one HTML page."""
    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table

    from quaver.evaluate.demo import write_demo

    clip = file or Path(str(resources.files("quaver").joinpath("demo", "big_buck_bunny.mp4")))
    console = Console(stderr=True)
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("demo", total=None)
        results, page = write_demo(clip, out, quality, frames, model, lambda text: bar.update(task, description=text))
    table = Table("codec", "kB", "bits per pixel", "PSNR 6:1:1", "encode fps", "decode fps", title=clip.stem)
    for r in results:
        table.add_row(
            r.name,
            f"{r.bytes / 1000:.1f}",
            f"{r.bpp:.4f}",
            f"{r.psnr_611:.2f} dB",
            f"{r.encode_fps:.1f}",
            f"{r.decode_fps:.1f}",
        )
    Console().print(table)
    console.print(f"stream {out / (clip.stem + '.qvr')}\npicture {out / 'demo.png'}\npage    {page}", highlight=False)
