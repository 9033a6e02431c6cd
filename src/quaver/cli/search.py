"""`quaver search`: bits, and groups of channels, by gradient descent, beside `quaver allocate`'s integer programme."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from quaver.errors import UsageError


def search(
    model: Annotated[Path, typer.Argument(help="Weights (.safetensors) in floating point.")],
    data: Annotated[Path, typer.Option(help="A folder of video files to search on.")],
    out: Annotated[Path, typer.Option(help="The plan to write (.json); with several prices OUT-PRICE.json each.")],
    budget: Annotated[
        list[str] | None,
        typer.Option(help="bytes, bops, ms or avg_bits=VALUE, or a share of W7A8; repeatable. Else --price."),
    ] = None,
    price: Annotated[str, typer.Option(help="Of bit operations, as shares of the rate; several draw a front.")] = "0.1",
    groups: Annotated[
        float | None,
        typer.Option(min=0, help="Also which input channels share a scale, at this price of what groups cost."),
    ] = None,
    error_price: Annotated[float, typer.Option(min=0, help="Of the mean quantization error.")] = 0.1,
    steps: Annotated[int, typer.Option(min=1, help="Gradient steps.")] = 200,
    profile: Annotated[str, typer.Option(help="A hardware profile: a name or a .json.")] = "onnx-cpu",
    size: Annotated[str, typer.Option(help="Of the pictures that costs are for.")] = "640x360",
    side: Annotated[str, typer.Option(help="Whose time and operations count: decode or encode.")] = "decode",
    clips: Annotated[int, typer.Option(min=1, help="How many clips.")] = 16,
    crop: Annotated[int, typer.Option(help="Side of the crops, a multiple of 16.")] = 96,
    exclude: Annotated[list[str] | None, typer.Option(help="Files to leave out, a pattern; repeatable.")] = None,
    cache: Annotated[Path | None, typer.Option(help="Where decoded clips are kept.")] = None,
    skeleton: Annotated[str, typer.Option(help="The model it was trained over.")] = "skeleton",
    seed: Annotated[int, typer.Option(help="Of crops and batches.")] = 0,
) -> None:
    """Search bits, and groups of channels, by gradient descent on J, the quantization error and costs, for `quaver
    quantize --plan`. Interrupt it when you like; the same command goes on."""
    import torch
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    from quaver.cli.workload import workload_of
    from quaver.lab.allocate.search import SearchConfig, Step
    from quaver.lab.allocate.search_command import Searcher
    from quaver.lab.analyse.clips import choose_clips
    from quaver.lab.data.cache import decoded

    prices = _prices(price)
    if groups is not None and budget:
        raise UsageError("--groups and --budget: groups are searched at a price, not under budgets; give --price")
    config = SearchConfig(steps=steps, error_price=error_price, group_price=groups, seed=seed)
    workload, console = workload_of(size, side), Console(stderr=True)
    torch.set_num_threads(1)
    with ExitStack() as stack:
        found = stack.enter_context(decoded(data, cache, exclude or ()))
        chosen = choose_clips(found, clips, config.frames, crop, seed)
        searcher = Searcher.load(model, chosen, workload, profile, skeleton)
        searcher.limits(budget or ())
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        bar = stack.enter_context(Progress(*columns, console=console))
        for each in [prices[0]] if budget else prices:
            task = bar.add_task("searching", total=steps)

            def show(step: Step, task: TaskID = task) -> None:
                shares = "  ".join(f"{key} {share:.1%}" for key, share in step.shares.items())
                text = f"J/R {step.cost:.3f}  E {step.error:.4f}  {shares}"
                bar.update(task, completed=step.number, description=text)

            several = len(prices) > 1 and not budget
            path = out.with_name(f"{out.stem}-{each:g}.json") if several else out
            own = replace(config, cost_price=each)
            plan = searcher.write(path, own, budget or (), show, partial(bar.print, soft_wrap=True))
            costs = "  ".join(f"{key} {value:,.6g}" for key, value in sorted(plan.predicted.items()))
            if groups is not None:
                number = [max(layer.groups or (0,)) + 1 for layer in plan.layers.values()]
                costs += f"  groups {sum(number) / len(number):.3g} a layer"
            print(f"{path}: {plan.hash}  {costs}", flush=True)


def _prices(text: str) -> list[float]:
    try:
        prices = [float(part) for part in text.split(",")]
    except ValueError:
        prices = []
    if not prices or min(prices) < 0 or len(set(prices)) < len(prices):
        raise UsageError(f"--price {text}: legal are different numbers from 0 on, with commas")
    return prices
