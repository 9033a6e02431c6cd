"""Small tables for notebooks and terminals: the same head and rows, as HTML and as text."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

Cell = object  # numbers are written by who knows their units; anything else by str()


def html_table(head: Sequence[str], rows: Iterable[Sequence[Cell]], caption: str = "") -> str:
    """Everything is escaped."""

    def line(cells: Sequence[Cell], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(str(cell))}</{tag}>" for cell in cells) + "</tr>"

    title = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    return f"<table>{title}{line(head, 'th')}{''.join(line(row, 'td') for row in rows)}</table>"


def text_table(head: Sequence[str], rows: Iterable[Sequence[Cell]], caption: str = "") -> str:
    """Columns as wide as they must be, the first flush left, the others flush right."""
    lines = [list(head), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    texts = (
        "  ".join(cell.rjust(width) if column else cell.ljust(width) for column, (cell, width) in enumerate(pairs))
        for pairs in (list(zip(line, widths, strict=True)) for line in lines)
    )
    return "\n".join([*([caption] if caption else []), *(text.rstrip() for text in texts)])


def percent(value: float | None) -> str:
    """A share as per cent with two decimals and its sign; nothing for none."""
    return "" if value is None or value != value else f"{100 * value:+.2f} %"
