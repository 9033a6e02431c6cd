"""`quaver quantize`: weights and a plan in, an integer model that runs out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from quaver.errors import UsageError


def quantize(
    checkpoint: Annotated[Path, typer.Argument(help="Weights (.safetensors) in floating point.")],
    out: Annotated[Path, typer.Argument(help="The integer model to write (.qvm).")],
    plan: Annotated[str, typer.Option(help="A plan (.json), or the same bits everywhere, such as W4A8.")],
    calibrate: Annotated[Path, typer.Option(help="A folder of video files that scales are fitted to.")],
    patches: Annotated[
        Path | None, typer.Option(help="Bits of patches: a table (.json) that `quaver patches` wrote.")
    ] = None,
    qat: Annotated[str | None, typer.Option(help="Then train in integers: a recipe, such as qat, or a .json.")] = None,
    work: Annotated[Path | None, typer.Option(help="Where training keeps its checkpoints; by default OUT.qat.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint of training.")] = False,
    rounding: Annotated[str, typer.Option(help="Of weights: nearest, or loss: the code that J likes.")] = "nearest",
    bias_correction: Annotated[
        bool, typer.Option("--bias-correction", help="Biases make up for mean errors, where J falls.")
    ] = False,
    steps: Annotated[int, typer.Option(min=1, help="Of --rounding loss.")] = 100,
    exclude: Annotated[list[str] | None, typer.Option(help="Files to leave out, a pattern; repeatable.")] = None,
    cache: Annotated[Path | None, typer.Option(help="Where decoded clips are kept.")] = None,
    skeleton: Annotated[str, typer.Option(help="The model whose steps and tables were trained over.")] = "skeleton",
    sequences: Annotated[int, typer.Option(min=1, help="Sequences to calibrate with.")] = 8,
    threads: Annotated[int, typer.Option(min=0, help="Threads for torch; 0: its choice, slow on a busy machine.")] = 1,
) -> None:
    """Quantize a codec as a plan says. The result encodes and decodes bit for bit alike everywhere.

    --rounding loss and --bias-correction are fitted to most of what scales are fitted to, and stay where J falls on the
    rest.
    """
    import torch
    from rich.console import Console
    from rich.progress import Progress

    from quaver.lab.allocate.patch_command import read_table
    from quaver.lab.lower.command import lower_checkpoint, read_plan, training_note
    from quaver.lab.lower.refine import Refined, Refinement
    from quaver.lab.train.command import train_folder
    from quaver.lab.train.loop import Progress as Figures
    from quaver.lab.train.recipes import load_recipe

    console = Console(stderr=True)
    refinement = Refinement.of({"rounding": rounding, "bias_correction": bias_correction, "steps": steps})
    if refinement.asked and qat is not None:
        raise UsageError("--rounding loss and --bias-correction are for weights that are not trained in integers")
    if threads:
        torch.set_num_threads(threads)
    chosen = read_plan(plan, checkpoint, skeleton)
    patterns = tuple(exclude or ())
    table, trained = (None if patches is None else read_table(patches)), None
    if qat is not None:
        recipe, folder = load_recipe(qat), work or out.with_suffix(".qat")
        trained = training_note(recipe, checkpoint, skeleton)
        with Progress(console=console) as bar:
            task = bar.add_task("training in integers", total=recipe.steps)

            def show(figures: Figures) -> None:
                o = figures.outcome
                text = f"{o.rate:.3f} bpp  D {o.distortion:.1f}  J {o.cost:.3f}"
                bar.update(task, completed=figures.step, description=text)

            given = checkpoint, patterns, cache, skeleton
            train_folder(recipe, calibrate, folder, resume, *given, threads, show, chosen, table)
        checkpoint = folder / "ema.safetensors"
    own = None if qat else chosen

    def tell(refined: Refined) -> None:
        console.print(str(refined), soft_wrap=True)

    with console.status("fitting scales, proving bounds"):
        files = checkpoint, out, calibrate, skeleton, out.stem, sequences, cache
        model = lower_checkpoint(*files, own, patterns, table, trained, refinement, tell)
    print(f"{out}: {chosen.name} ({chosen.hash}), model {model.hash.hex()[:16]}, {out.stat().st_size:,} bytes")
