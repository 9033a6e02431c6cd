"""What encode and decode share: a range of frames, files that must differ, and a progress bar."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

from quaver.errors import UsageError

Advance = Callable[[int], None]  # called after each frame with the bytes it took


def parse_range(text: str | None) -> slice | None:
    """ "A:B" to a slice of frame numbers; either side may be empty."""
    if text is None:
        return None
    first, colon, last = text.partition(":")
    try:
        if not colon:
            raise ValueError
        chosen = slice(int(first) if first else 0, int(last) if last else None)
    except ValueError:
        raise UsageError(f"--frames {text}: legal is A:B with frame numbers, such as 0:96 or 30:") from None
    if chosen.start < 0 or (chosen.stop is not None and chosen.stop <= chosen.start):
        raise UsageError(f"--frames {text}: legal is A:B with 0 <= A < B")
    return chosen


def refuse_same_file(source: Path, target: Path) -> None:
    """UsageError when both name one file, which would be overwritten by what is made of it."""
    if target.exists() and source.exists() and target.samefile(source):
        raise UsageError(f"{target}: is both input and output")


@contextmanager
def progress(what: str, total: int | None, rate: Fraction | None = None) -> Iterator[Advance]:
    """A bar on stderr while it is a terminal: frames, frames per second, time left and, if the video's `rate` in
    frames per second is given, the bit rate so far. It is cleared at the end."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (
        TextColumn(what),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speed]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=total, speed="")
        size = 0

        def advance(added: int) -> None:
            nonlocal size
            size += added
            bar.advance(task)
            shown = bar.tasks[0]
            speed = f"{shown.speed or 0:.1f} fps"
            if rate is not None:
                speed += f"  {8 * size * float(rate) / shown.completed / 1000:.0f} kbit/s"
            bar.update(task, speed=speed)

        yield advance
