"""`quaver allocate`: which layer computes with how many bits, under budgets."""

from __future__ import annotations

import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

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
    split: Annotated[
        str | None, typer.Option(help="Also shares of input channels in two halves, such as 0.02,0.05; needs --data.")
    ] = None,
    prune: Annotated[
        str | None, typer.Option(help="Also layers without shares of their channels, such as 1/6,1/3; needs --data.")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Videos to measure the plan's loss on.")] = None,
    clips: Annotated[int, typer.Option(min=1, help="How many clips of them.")] = 4,
    frames: Annotated[int, typer.Option(min=2, help="Frames of each.")] = 8,
    crop: Annotated[int, typer.Option(help="Side of the crops, a multiple of 16.")] = 128,
    exclude: Annotated[list[str] | None, typer.Option(help="Files to leave out, a pattern; repeatable.")] = None,
    cache: Annotated[Path | None, typer.Option(help="Where decoded clips are kept.")] = None,
    skeleton: Annotated[str, typer.Option(help="The model it was trained over.")] = "skeleton",
) -> None:
    """Choose bits for every layer so that least is lost and the budgets hold."""
    from rich.console import Console
    from rich.table import Table

    from quaver.cli.workload import workload_of
    from quaver.lab.allocate import candidates, command
    from quaver.lab.allocate.front import sweep
    from quaver.lab.analyse.clips import choose_clips
    from quaver.lab.data.cache import decoded
    from quaver.lab.manifest import beside, clips_note, write_manifest

    counts, halves, gone = _counts(groups), _shares("split", split), _shares("prune", prune)
    for option, asked in (("groups", counts), ("split", halves), ("prune", gone)):
        if asked and data is None:
            raise UsageError(f"--{option} needs --data: channels are told apart by what they hold")
    if not budget and front is None:
        raise UsageError("no budget is given; --budget bytes=60%, for example, or --front bytes")
    console = Console(stderr=True)
    allocation = command.prepare(table, model, budget or [], profile, workload_of(size, side), skeleton, per)
    config: dict[str, Any] = {"method": method, "size": size, "side": side, "groups": counts or None}
    config |= {"front": front, "points": points}
    with console.status("looking") as status:
        seen = None
        if data is not None and (counts or halves or gone or front is None):
            with decoded(data, cache, tuple(exclude or ())) as found:
                seen = choose_clips(found, clips, frames, crop)
                many = choose_clips(found, *candidates.CLIPS[:2], min(crop, candidates.CLIPS[2])) if gone else None
            show = _progress(console.print, status.update)
            allocation = candidates.with_candidates(allocation, seen, counts, halves, gone, many, show)
            config |= {key: shares for key, shares in (("split", halves), ("prune", gone)) if shares}
            config |= {"prune_clips": clips_note(many)} if many is not None else {}
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


def _counts(text: str | None) -> list[int]:
    if text is None:
        return []
    try:
        counts = [int(part) for part in text.split(",")]
    except ValueError:
        counts = []
    if not counts or min(counts) < 2:
        raise UsageError(f"--groups {text}: legal are numbers from 2 on, with commas")
    return counts


def _shares(option: str, text: str | None) -> list[float]:
    if text is None:
        return []
    try:
        shares = [float(Fraction(part)) for part in text.split(",")]
    except (ValueError, ZeroDivisionError):
        shares = []
    if not shares or not all(0 < share < 1 for share in shares):
        raise UsageError(f"--{option} {text}: legal are shares between 0 and 1, such as 1/6 or 0.05, with commas")
    return shares


def _progress(say: Callable[[str], None], update: Callable[[str], None]) -> Callable[[str, int, int], None]:
    """How long it takes, once a twentieth is done, and how far it is."""
    begun = 0.0

    def show(what: str, number: int, of: int) -> None:
        nonlocal begun
        if number == 0:
            begun = time.monotonic()
            return
        each = (time.monotonic() - begun) / number
        if number == 1 + of // 20:
            say(f"--{what}: {of} measurements, about {each * of:.0f} s")
        update(f"--{what}: {number} of {of}, {each * (of - number):.0f} s left")

    return show
