"""`quaver verify`: does this machine compute the same bits?"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from quaver.runtime.executors.select import EXECUTORS


def verify(
    executor: Annotated[list[str] | None, typer.Option(help="Only this executor; may be repeated.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print results as JSON on stdout.")] = False,
) -> None:
    """Run the conformance vectors: golden streams and inner tensors of a frozen model, on each executor."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from quaver.codec import conformance
    from quaver.runtime import native

    executors = list(dict.fromkeys(executor or EXECUTORS))
    results = list(conformance.run(executors))
    if as_json:
        print(json.dumps([asdict(result) for result in results]))
    else:
        table = Table("vector", *executors)
        found = {(result.name, result.executor): result for result in results}
        for vector in dict.fromkeys(result.name for result in results):
            row = [found[vector, name] for name in executors]
            table.add_row(vector, *(Text("same bits", "green") if r.ok else Text(r.detail, "red") for r in row))
        Console().print(table)
        built = "streams are decoded with them and without" if native.kernels else "not in use; NumPy does their work"
        Console().print(f"kernels in C: {built}")
    if not all(result.ok for result in results):
        raise typer.Exit(1)
