"""`quaver score`: what a plan loses, in half a minute."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def score(
    checkpoint: Annotated[Path, typer.Argument(help="Weights (.safetensors) in floating point.")],
    data: Annotated[Path, typer.Option(help="A folder of video files: to calibrate with, and to measure on.")],
    plan: Annotated[list[str] | None, typer.Option(help="A plan (.json) or such as W4A8; repeatable.")] = None,
    trained: Annotated[list[Path] | None, typer.Option(help="Weights trained for a plan; repeatable.")] = None,
    clips: Annotated[int, typer.Option(min=1, help="How many clips.")] = 4,
    frames: Annotated[int, typer.Option(min=2, help="Frames of each.")] = 8,
    size: Annotated[int, typer.Option(help="Side of the crops, a multiple of 16.")] = 128,
    exclude: Annotated[list[str] | None, typer.Option(help="Files to leave out, a pattern; repeatable.")] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Where clips and baselines are kept, instead of in the user's cache.")
    ] = None,
    skeleton: Annotated[str, typer.Option(help="The model whose steps and tables were trained over.")] = "skeleton",
    threads: Annotated[int, typer.Option(help="Threads for torch; 0 leaves torch's choice.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON for each plan, with the manifest.")] = False,
) -> None:
    """Score plans: zeta, the loss in J over the rate of floating point, in closed loop with the integers that ship."""
    from quaver.lab.analyse.score_command import score_checkpoint

    for row in score_checkpoint(
        checkpoint, plan or [], trained or [], data, clips, frames, size, exclude or [], cache, skeleton, threads
    ):
        if as_json:
            print(json.dumps(row), flush=True)
        else:
            print(
                "{name:<24} {hash}  zeta {zeta:+7.2%}  stderr {stderr:.2%}  rate {d_rate:+.2%}".format(**row),
                flush=True,
            )
