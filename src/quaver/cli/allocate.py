"""`quaver allocate`: which layer computes with how many bits, under budgets."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from quaver.errors import UsageError


def allocate(
    table: Annotated[Path, typer.Argument(help="What `quaver analyse` wrote: a table or its folder.")],
    model: Annotated[Path, typer.Option(help="The weights that were analysed (.safetensors).")],
    out: Annotated[Path, typer.Option(help="The plan to write (.json); with --front that and a picture (.png).")],
    budget: Annotated[
        list[str] | None,
        typer.Option(help="bytes, bops, ms or avg_bits=VALUE, such as bytes=600k, or a share of W7A8; repeatable."),
    ] = None,
    profile: Annotated[str, typer.Option(help="A hardware profile: a name or a .json.")] = "onnx-cpu",
    method: Annotated[str, typer.Option(help="ilp, greedy, random or uniform.")] = "ilp",
    per: Annotated[str, typer.Option(help="layer, or module: one width per module, with pair terms.")] = "layer",
    front: Annotated[str | None, typer.Option(help="Sweep this budget and draw all methods instead.")] = None,
    points: Annotated[int, typer.Option(min=2, help="Budgets of a front.")] = 9,
    size: Annotated[str, typer.Option(help="Of the pictures that costs are for.")] = "640x360",
    side: Annotated[str, typer.Option(help="Whose time and operations count: decode or encode.")] = "decode",
    groups: Annotated[
        str | None, typer.Option(help="Also groups of input channels, such as 2,4; needs --data.")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Videos to measure the plan's loss on.")] = None,
    clips: Annotated[int, typer.Option(min=1, help="How many clips of them.")] = 4,
    frames: Annotated[int, typer.Option(min=2, help="Frames of each.")] = 8,
    crop: Annotated[int, typer.Option(help="Side of the crops, a multiple of 16.")] = 128,
    exclude: Annotated[list[str] | None, typer.Option(help="Files to leave out, a pattern; repeatable.")] = None,
    skeleton: Annotated[str, typer.Option(help="The model it was trained over.")] = "skeleton",
) -> None:
    """Choose bits for every layer so that least is lost and the budgets hold."""
    from rich.console import Console
    from rich.table import Table

    from quaver.cli.workload import workload_of
    from quaver.lab.allocate import command
    from quaver.lab.allocate.front import sweep
    from quaver.lab.manifest import beside, write_manifest

    if groups is not None and data is None:
        raise UsageError("--groups needs --data: channels are grouped by what they hold")
    if not budget and front is None:
        raise UsageError("no budget is given; --budget bytes=60%, for example, or --front bytes")
    console = Console(stderr=True)
    allocation = command.prepare(table, model, budget or [], profile, workload_of(size, side), skeleton, per)
    with ExitStack() as stack:
        status = stack.enter_context(console.status("looking"))
        seen = None
        if data is not None and (groups is not None or front is None):
            seen = stack.enter_context(command.clips_of(data, clips, frames, crop, tuple(exclude or ())))
        counts = None if groups is None else _counts(groups)
        if counts is not None and seen is not None:
            allocation = command.with_groups(allocation, seen, counts)
        config = {"method": method, "size": size, "side": side, "groups": counts, "front": front, "points": points}
        note = allocation.note(config, seen)
        if front is not None:
            done = sweep(
                command.with_axis(allocation, front).problem,
                front,
                points,
                show=lambda number, of: status.update(f"solving, budget {number} of {of}"),
            )
            done.save(out)
            picture = out.with_suffix(".png")
            done.figure().savefig(picture, dpi=150)
            write_manifest(beside(out), note)
            print(f"{out}, {picture}")
            return
        status.update("solving")
        plan = command.allocate(allocation, method, out.stem)
        if seen is not None:
            status.update("measuring")
            plan = command.measured(allocation, plan, seen)
    plan.save(out)
    write_manifest(beside(out), note, {"plan_hash": plan.hash})
    counted = Table("bits", "layers", title=f"{out}: {plan.hash}")
    labels = [layer.label for layer in plan.layers.values()]
    for label in sorted(set(labels)):
        counted.add_row(label, str(labels.count(label)))
    if allocation.unscored:
        counted.add_row("W7A8, not scored", str(len(allocation.unscored)))
    console.print(counted)
    figures = Table("", "budget", "predicted", "measured")
    for key in plan.predicted:
        cells = (f"{found[key]:,.6g}" if key in found else "" for found in (plan.budget, plan.predicted, plan.measured))
        figures.add_row(key, *cells)
    console.print(figures)


def _counts(text: str) -> list[int]:
    try:
        counts = [int(part) for part in text.split(",")]
    except ValueError:
        counts = []
    if not counts or min(counts) < 2:
        raise UsageError(f"--groups {text}: legal are numbers from 2 on, with commas")
    return counts
